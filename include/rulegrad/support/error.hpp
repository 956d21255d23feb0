#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace [[gnu::visibility("default")]] rulegrad {

/// What kind of thing went wrong, for programs; the text is for people.
enum class ErrorCode {
  invalid_argument,  ///< a value outside what the function accepts
  shape,             ///< shapes that do not fit together
  dtype,             ///< element types that do not fit together
  unknown_name,      ///< no operator, method, parameter or node of that name
  rule,              ///< a rule or rule file that does not hold together
  unclaimed,         ///< gradient nodes that no rule of an analyzer claims
  model,             ///< a model file that cannot be read or mapped
  io,                ///< a file that cannot be read or written
  non_finite,        ///< NaN or infinity where the numeric contract forbids it
  missing_feature,   ///< something that this build of the library was made without; the text names the option
  cancelled,         ///< the caller asked for the end, see RunOptions::stop
  internal,          ///< a broken invariant of rulegrad itself: please report it
};

/// `shape`, `unknown_name`, ...: for logs.
[[nodiscard]] std::string_view name_of(ErrorCode code);

/// What the library throws: itself, or a class derived from it that holds more (RuleError: every diagnostic
/// of a rule file). Its text says what failed, where, what was expected and what to do; the command prints
/// the same one. Other exceptions are std::bad_alloc and whatever a callback of the caller throws.
class Error : public std::runtime_error {
 public:
  /// `message` is what `what()` gives.
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  /// What kind of thing went wrong.
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace rulegrad
