#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/rule/rule.hpp"
#include "rulegrad/support/error.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Something else worth knowing about a problem; with a place, that place is shown too.
struct DiagnosticNote {
  std::string message;
  std::optional<SourceRange> where;
};

/// Errors keep a file from being loaded; warnings and notes only want to be read.
enum class Severity : std::uint8_t { error, warning, note };

/// One problem of a rule file. The message says what was found and what was expected, the help how to write
/// it. Codes R100 to R199 are syntax (docs/rule-language-grammar.md lists them), R200 to R299 are what the
/// checker finds (docs/rule-checks.md).
struct Diagnostic {
  std::string code;
  SourceRange where;
  std::string message;
  std::vector<DiagnosticNote> notes;
  std::string help;
  Severity severity = Severity::error;
};

/// `file:line:column: error[code]: message` (or `warning`, `note`), the line of `source` with a caret line
/// below it, the notes, and `help: ...`. Columns count code points. Without source only the messages are
/// shown. Ends without a newline.
[[nodiscard]] std::string render(const Diagnostic& diagnostic, std::string_view source);
/// All of them, with an empty line between two.
[[nodiscard]] std::string render(const std::vector<Diagnostic>& diagnostics, std::string_view source);

/// Every problem that was found in one rule file; what() renders all of them, in the order of the file.
class RuleError : public Error {
 public:
  /// With the text of the file, for the excerpts in `what()`; the code is ErrorCode::rule.
  RuleError(std::vector<Diagnostic> diagnostics, std::string_view source);
  /// In the order of the file.
  [[nodiscard]] const std::vector<Diagnostic>& diagnostics() const noexcept { return diagnostics_; }

 private:
  std::vector<Diagnostic> diagnostics_;
};

}  // namespace rulegrad
