#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/draw/colormap.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// The tokens of one sample and how much each counted.
struct TokenMap {
  std::string title{};   ///< `sample_0: positive (2.31)`
  std::string method{};  ///< `lrp.epsilon`
  std::vector<std::string> tokens{};
  std::vector<double> values{};  ///< one for each token
};

/// How tokens are coloured.
struct TokenOptions {
  std::string colormap = "rulegrad";
  /// The number that gets the full colour; without it each map's largest magnitude.
  std::optional<double> limit{};
};

/// A page that stands on its own: a paragraph for each map, its tokens on backgrounds of their colours, the
/// numbers shown where the pointer rests. Everything that is special in HTML is escaped, control characters
/// are shown as such. Error(invalid_argument) where a map has not one value for each token.
[[nodiscard]] std::string tokens_html(std::span<const TokenMap> maps, const std::string& title,
                                      const TokenOptions& options = TokenOptions());

/// One line for a terminal of 24-bit colours: the tokens on backgrounds of their colours, control characters
/// shown as such.
[[nodiscard]] std::string tokens_line(const TokenMap& map, const TokenOptions& options = TokenOptions());

}  // namespace io
}  // namespace rulegrad
