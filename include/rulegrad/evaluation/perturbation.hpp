#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "rulegrad/evaluation/scores.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// How the score falls when what an explanation calls relevant is taken away: pixel flipping (Bach et al.
/// 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
/// propagation"), region perturbation (Samek et al. 2017, "Evaluating the visualization of what a deep neural
/// network has learned", arXiv 1509.06321), deletion and insertion (Petsiuk et al. 2018, "RISE", arXiv
/// 1806.07421).
namespace [[gnu::visibility("default")]] rulegrad {

/// A sample cut into blocks of `size` positions along each axis, all channels together; the last ones may be
/// smaller. A feature vector is cut into runs of `size` features.
class Regions {
 public:
  /// Throws Error(shape) for scalars, Error(invalid_argument) for a size below 1 or above the longest side.
  Regions(Dims sample, std::int64_t size, io::Layout layout = io::Layout::nchw);

  /// How many regions a sample has.
  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(elements_.size()); }
  /// Of one sample.
  [[nodiscard]] const Dims& sample() const { return sample_; }
  /// Row-major positions within the sample, rising.
  [[nodiscard]] const std::vector<std::int64_t>& elements(std::int64_t region) const {
    return elements_[static_cast<std::size_t>(region)];
  }

 private:
  Dims sample_;
  std::vector<std::vector<std::int64_t>> elements_;  ///< regions in row-major order
};

/// For each sample its regions, the most relevant first. The relevance of a region is the sum over its
/// elements, in float64; equals keep their row-major order. Throws Error(shape) for attributions that are not
/// [N, sample], Error(non_finite).
[[nodiscard]] std::vector<std::vector<std::int64_t>> most_relevant_first(const Tensor& attributions,
                                                                         const Regions& regions);
/// The same the other way round.
[[nodiscard]] std::vector<std::vector<std::int64_t>> reversed(std::vector<std::vector<std::int64_t>> orders);

/// How far a curve goes, in how many steps.
struct CurveOptions {
  /// How many times the score is asked for after the first; 0: as often as there are regions, 32 times at
  /// most.
  std::int64_t steps = 0;
  /// The fraction of the regions that is replaced in the end, in (0, 1].
  double until = 1;
  /// Called after each step.
  std::function<void(std::int64_t done, std::int64_t steps)> progress = {};
};

/// How many steps that makes of so many regions. Throws Error(invalid_argument) for a fraction outside (0, 1]
/// and for more steps than regions are replaced.
[[nodiscard]] std::int64_t steps_of(const CurveOptions& options, std::int64_t regions);

/// The score of each sample while its regions are replaced.
struct PerturbationCurve {
  std::vector<double> fractions;  ///< of the regions replaced, from 0
  Tensor scores;                  ///< float64 [N, fractions]

  /// Over the samples, at each fraction.
  [[nodiscard]] std::vector<double> mean() const;
};

/// From the samples `from` to the samples `to` (both [N, sample]), region by region in each sample's order;
/// after step k of L round(k / L * until * regions) of them stand as in `to`. The score is that of each
/// sample's target.
///
///     most relevant first, deletion   from x to the filled x, in the order of relevance
///     least relevant first            from x to the filled x, in the reverse order
///     insertion                       from the filled (or blurred) x to x, in the order of relevance
///
/// Throws Error(shape) for arrays, orders and targets that do not fit together, Error(invalid_argument) as
/// steps_of.
[[nodiscard]] PerturbationCurve perturbation_curve(const ScoreFunction& scores, const Tensor& from,
                                                   const Tensor& to, const Regions& regions,
                                                   std::span<const std::vector<std::int64_t>> orders,
                                                   std::span<const std::int64_t> targets,
                                                   const CurveOptions& options = {});

/// The area over the curve (Samek et al. 2017, eq. 12): the mean over the L + 1 points of s(0) - s(k).
[[nodiscard]] double area_over_curve(std::span<const double> scores);
/// The area under the curve by the trapezoid rule, divided by the width: the mean score on the way.
[[nodiscard]] double area_under_curve(std::span<const double> fractions, std::span<const double> scores);

}  // namespace rulegrad
