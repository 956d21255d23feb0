#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/explain/explain.hpp"
#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// A page of HTML that holds everything about some explanations and fetches nothing: what `rulegrad report`
/// and, in Python, `Explanation.report` write.
namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// One thing that is shown of a sample.
struct PagePart {
  /// How it is shown.
  enum class Kind {
    picture,  ///< what the model saw
    map,     ///< values [H, W], drawn in the browser: sliders move the overlay and the percentile of the full
             ///< colour
    bars,    ///< values [F] with their names
    tokens,  ///< values [T], the tokens on their colours
    series,  ///< values [T] or [C, T]: colours below the signal as a line
  };
  Kind kind = Kind::bars;
  std::string caption{};
  Picture picture{};
  Tensor values{};
  Tensor signal{};  ///< of a series, in the shape of the values, or nothing: then the values are the line
  std::vector<std::string> names{};   ///< of bars and tokens: one a value
  std::optional<std::size_t> over{};  ///< of a map: which part of the sample is the picture below it
};

/// A sample, its answers and its explanations.
struct PageSample {
  std::string heading;
  std::vector<PagePart> parts{};
  std::vector<std::pair<std::string, double>> answers{};  ///< the largest scores
};

/// The rules that a method ran by, and where the relevance of one sample went.
struct PageRules {
  std::string title;
  std::vector<ExplainedStep> steps{};
  RelevanceFlow flow{};
  std::vector<ExplainedRewrite> rewrites{};
  std::string problem{};  ///< why relevance could not be followed
};

/// What a page holds.
struct Page {
  std::string title;
  double percentile = 99;  ///< what gets the full colour at first
  double overlay = 0;      ///< how much of the picture shows at first, 0 to 1
  std::string colormap = "rulegrad";
  std::vector<PageSample> samples{};
  std::vector<PageRules> rules{};
  std::vector<std::pair<std::string, std::string>> facts{};  ///< versions, digests
};

/// The page as text. Throws Error(shape) where names and values, or maps and their axes, do not fit,
/// Error(non_finite), and Error(unknown_name) for colour maps.
[[nodiscard]] std::string page_html(const Page& page);

/// Signed bars from the middle, a line a feature: the 40 largest, in their own order. A part of a page that
/// has `bars_style`.
[[nodiscard]] std::string bars_html(const Tensor& values, const std::vector<std::string>& names,
                                    const std::string& colormap = "rulegrad");
/// Tokens on the colours of their values, which are shown where the pointer rests. A part of a page that has
/// `bars_style`.
[[nodiscard]] std::string token_spans(const Tensor& values, const std::vector<std::string>& names,
                                      const std::string& colormap = "rulegrad");
/// The style sheet of bars and tokens alone.
[[nodiscard]] std::string bars_style();

}  // namespace io
}  // namespace rulegrad
