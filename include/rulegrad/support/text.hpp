#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

/// The words of messages, for programs whose messages should read like the library's.
namespace [[gnu::visibility("default")]] rulegrad {

/// `a, b, c`
[[nodiscard]] std::string join(std::span<const std::string> parts, std::string_view separator = ", ");

/// Insertions, deletions, substitutions and swaps of neighbours between two words.
[[nodiscard]] int edit_distance(std::string_view a, std::string_view b);

/// The candidate closest to `name`, or nothing (empty) when none is near enough to be what was meant.
[[nodiscard]] std::string nearest_name(std::string_view name, std::span<const std::string> candidates);

/// `unknown operator 'rlu'; did you mean 'relu'?`, or the list of candidates when none is near and it is
/// short.
[[nodiscard]] std::string unknown_name_message(std::string_view what, std::string_view name,
                                               std::span<const std::string> candidates);

/// True if `text` matches `glob`, where `*` stands for any run of characters and `?` for one.
[[nodiscard]] bool glob_match(std::string_view glob, std::string_view text);

/// The shortest decimal text that reads back as the same double: `1`, `0.25`, `1e-07`, `inf`.
[[nodiscard]] std::string shortest(double value);

}  // namespace rulegrad
