#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/check.hpp"
#include "rulegrad/rule.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Rule sets, functions and analyzers by name: the ones that ship, and those of the user's files beside them.
class RuleLibrary {
 public:
  /// Empty; see `builtin`.
  RuleLibrary() = default;
  /// The shipped `rules/*.rules`, parsed once.
  [[nodiscard]] static const RuleLibrary& builtin();

  /// Adds all items of a file, once they are checked (rulegrad/check.hpp) together with what the library holds. Throws
  /// RuleError with every error found; then nothing is added. An item that equals one that is there is that one.
  void add(const RuleFile& file);
  /// Parses the text of a file and adds it; `path` is what messages call it.
  void add_text(std::string_view text, const std::string& path);
  void add_file(const std::string& path);
  /// Adds a rule set made with the C++ DSL.
  void add(RuleSet rules);
  void add(AnalyzerDefinition analyzer);

  /// The operators that rules added from now on may name; they must live as long as the library.
  void set_operators(const Operators& operators) { operators_ = &operators; }
  /// What a file that is added may refer to.
  [[nodiscard]] CheckContext check_context() const;

  /// Throw Error(unknown_name) with the nearest name.
  [[nodiscard]] const RuleSet& rule_set(std::string_view name) const;
  [[nodiscard]] const AnalyzerDefinition& analyzer(std::string_view name) const;
  [[nodiscard]] const std::map<std::string, const Function*, std::less<>>& functions() const { return functions_; }
  [[nodiscard]] std::vector<std::string> analyzer_names() const;
  [[nodiscard]] std::vector<std::string> rule_set_names() const;

 private:
  void add_checked(const RuleFile& file);

  const Operators* operators_ = &Operators::builtin();
  std::map<std::string, std::shared_ptr<const RuleSet>, std::less<>> rule_sets_;
  std::map<std::string, std::shared_ptr<const AnalyzerDefinition>, std::less<>> analyzers_;
  std::map<std::string, std::shared_ptr<const Function>, std::less<>> owned_functions_;
  std::map<std::string, const Function*, std::less<>> functions_;
};

}  // namespace rulegrad
