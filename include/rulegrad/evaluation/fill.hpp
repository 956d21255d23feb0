#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What stands where something was taken away from a sample.
struct Fill {
  /// Where the numbers come from.
  enum class Kind : std::uint8_t {
    value,  ///< one number everywhere
    mean,   ///< of each channel over all samples and positions; of samples without channels, of each feature
            ///< over all samples
    blur,  ///< the sample under a Gaussian, each channel by itself; beyond the border the outermost values go
           ///< on
    uniform,  ///< independent random numbers
  };
  Kind kind = Kind::value;
  double value = 0;
  /// Of the Gaussian in pixels, cut off at three times that; nothing: an eighth of the longest side.
  std::optional<double> sigma = {};
  /// Of the random numbers; nothing: the least and the greatest value of all samples (Samek et al. 2017 take
  /// that range).
  std::optional<std::pair<double, double>> range = {};
  std::int64_t key = 0;  ///< of the random numbers

  /// Reads `0.5`, `mean`, `blur`, `blur:3`, `uniform` or `uniform:-1,1`. Throws Error(invalid_argument).
  [[nodiscard]] static Fill parse(std::string_view text);
};
/// As `parse` reads it.
[[nodiscard]] std::string to_string(const Fill& fill);

/// The samples [N, ...] with everything taken away: an array of their shape and dtype. Samples of rank 1 are
/// feature vectors; others have channels where `layout` says, in front or last. Throws Error(shape) for the
/// blur of what is no image (two positions' axes at least), Error(invalid_argument) for features' means over
/// a single sample, which would be the sample itself.
[[nodiscard]] Tensor filled(const Tensor& samples, const Fill& fill, io::Layout layout = io::Layout::nchw);

}  // namespace rulegrad
