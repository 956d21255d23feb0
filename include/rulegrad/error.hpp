#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace rulegrad {

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
  internal,          ///< a broken invariant of rulegrad itself: please report it
};

/// The one exception of the library. Its text says what failed, where, what was expected and what to do.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  [[nodiscard]] ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace rulegrad
