#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

/// Numbers about attributions, a value for each sample. Attributions are [N, ...]; throw Error(non_finite)
/// where one is not.
namespace [[gnu::visibility("default")]] rulegrad {

/// The Gini index of the magnitudes (Chalasani et al. 2020, "Concise explanations of neural networks using
/// adversarial training", arXiv 1810.06583, section 3): with v sorted, smallest first,
///
///     1 - 2 sum_k v_k / sum(v) * (d - k + 1/2) / d
///
/// 0 where all are equal, 1 - 1/d where one element has everything. An all-zero map, which has none, gives 0.
[[nodiscard]] std::vector<double> gini_index(const Tensor& attributions);

/// |sum of the attributions - (score - score at the baseline)|: what a method that claims completeness
/// (Sundararajan et al. 2017, arXiv 1703.01365, proposition 1) misses. Throws Error(shape).
[[nodiscard]] std::vector<double> completeness_error(const Tensor& attributions,
                                                     std::span<const double> scores,
                                                     std::span<const double> baseline_scores);

/// Attributions [n, ...] of samples [n, ...]; sample i is always explained for the same target.
using ExplainFunction = std::function<Tensor(const Tensor& samples)>;

/// How far and how often samples are moved.
struct SensitivityOptions {
  /// In the unit of the input; nothing: a fiftieth of the range of the samples.
  std::optional<double> radius = {};
  std::int64_t draws = 10;
  std::int64_t key = 0;
  /// Divide by the norm of the sample's own attribution, so that methods of different scale can be compared.
  bool relative = true;
  std::function<void(std::int64_t done, std::int64_t draws)> progress = {};
};

/// Max-sensitivity (Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", arXiv 1901.09392,
/// definition 2), estimated from draws: the largest |e(x + d) - e(x)|_2 with each element of d uniform in
/// [-radius, radius]. An all-zero attribution has no relative one: 0 if it stays zero, else infinity. Throws
/// Error(dtype) for samples of integers, Error(invalid_argument) for a radius or a number of draws that is
/// not positive, Error(shape).
[[nodiscard]] std::vector<double> max_sensitivity(const ExplainFunction& explain, const Tensor& samples,
                                                  const SensitivityOptions& options = {});

/// Spearman's rank correlation; equal values share the mean of their ranks. Nothing varies in a constant: 0.
/// Throws Error(shape) unless there are as many of the one as of the other.
[[nodiscard]] double rank_correlation(std::span<const double> a, std::span<const double> b);

/// With k elements in the true mask: the share of the k largest magnitudes that lie in it (Clark et al. 2023,
/// XAI-TRIS, arXiv 2306.12816). Where equal magnitudes compete for the last places, the expectation over all
/// ways to break the tie. `mask` (true where not 0) has the elements of one sample, for all of them, or of
/// all. Throws Error(shape), Error(invalid_argument) for an empty mask.
[[nodiscard]] std::vector<double> mask_precision(const Tensor& attributions, const Tensor& mask);

/// Of values that are not there: 0.
[[nodiscard]] double mean_of(std::span<const double> values);

}  // namespace rulegrad
