#pragma once

#include <string>
#include <string_view>

/// What the command prints. Names come from files, and no file may steer the terminal it is shown on.
namespace rulegrad::cli {

/// Control characters but line ends and tabs as `\x1b`; broken UTF-8 stays as it is, for terminals to show.
[[nodiscard]] std::string harmless(std::string_view text);

/// Prints to standard output, control characters escaped.
void say(std::string_view text);
/// A line on standard error, behind `rulegrad: warning: `.
void warn(std::string_view text);

}  // namespace rulegrad::cli
