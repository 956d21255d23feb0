#include "rulegrad/evaluation/perturbation.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <numeric>

#include "rulegrad/support/error.hpp"

#include "evaluation/axes.hpp"

namespace rulegrad {
namespace {

void expect_samples(const Tensor& array, const Regions& regions, std::string_view what) {
  if (array.rank() > 0 && sample_dims(array) == regions.sample()) return;
  throw Error(ErrorCode::shape, fmt::format("[perturbation] {} {} but one sample is {}", what,
                                            to_string(array.dims()), to_string(regions.sample())));
}

std::int64_t replaced_in_the_end(const CurveOptions& options, std::int64_t regions) {
  return std::llround(options.until * static_cast<double>(regions));
}

/// How many regions are replaced after each step, from 0.
std::vector<std::int64_t> counts_of(std::int64_t regions, const CurveOptions& options) {
  const std::int64_t steps = steps_of(options, regions), all = replaced_in_the_end(options, regions);
  std::vector<std::int64_t> counts;
  for (std::int64_t k = 0; k <= steps; ++k)
    counts.push_back(
        std::llround(static_cast<double>(k) * static_cast<double>(all) / static_cast<double>(steps)));
  return counts;
}

}  // namespace

std::int64_t steps_of(const CurveOptions& options, std::int64_t regions) {
  if (!(options.until > 0 && options.until <= 1))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[perturbation] the fraction that is replaced in the end must lie in (0, 1], not be {}",
                    options.until));
  const std::int64_t all = replaced_in_the_end(options, regions);
  if (all == 0)
    throw Error(ErrorCode::invalid_argument, fmt::format("[perturbation] {} of {} regions is less than one; "
                                                         "replace more of them, or choose smaller regions",
                                                         options.until, regions));
  const std::int64_t steps = options.steps == 0 ? std::min<std::int64_t>(all, 32) : options.steps;
  if (steps < 0 || steps > all)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[perturbation] {} steps were asked for, but {} of {} regions are replaced; "
                            "choose 1 to {} steps, or smaller regions",
                            options.steps, all, regions, all));
  return steps;
}

Regions::Regions(Dims sample, std::int64_t size, io::Layout layout) : sample_(std::move(sample)) {
  if (sample_.empty() || element_count(sample_) == 0)
    throw Error(ErrorCode::shape,
                fmt::format("[perturbation] a sample of shape {} has no regions", to_string(sample_)));
  const SampleAxes axes(sample_, layout);
  std::int64_t longest = 1;
  for (const std::size_t axis : axes.positions) longest = std::max(longest, sample_[axis]);
  if (size < 1 || size > longest)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "[perturbation] regions of size {} do not fit into samples of shape {}; choose a size of 1 to {}",
            size, to_string(sample_), longest));
  std::int64_t count = 1;
  for (const std::size_t axis : axes.positions) count *= (sample_[axis] + size - 1) / size;
  elements_.resize(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < element_count(sample_); ++i) {
    std::int64_t region = 0;
    for (const std::size_t axis : axes.positions)
      region =
          region * ((sample_[axis] + size - 1) / size) + i / stride_of(sample_, axis) % sample_[axis] / size;
    elements_[static_cast<std::size_t>(region)].push_back(i);
  }
}

std::vector<std::vector<std::int64_t>> most_relevant_first(const Tensor& attributions,
                                                           const Regions& regions) {
  expect_samples(attributions, regions, "the attributions are");
  const std::int64_t each = element_count(regions.sample());
  std::vector<std::vector<std::int64_t>> orders;
  for (std::int64_t sample = 0; sample < attributions.dims()[0]; ++sample) {
    std::vector<double> relevance;
    for (std::int64_t region = 0; region < regions.count(); ++region) {
      double sum = 0;
      for (const std::int64_t i : regions.elements(region)) sum += attributions.at(sample * each + i);
      if (!std::isfinite(sum))
        throw Error(ErrorCode::non_finite, fmt::format("[perturbation] the relevance of region {} of sample "
                                                       "{} is {}, so regions cannot be ordered by it",
                                                       region, sample, sum));
      relevance.push_back(sum);
    }
    auto& order = orders.emplace_back(relevance.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::ranges::greater(), [&](std::int64_t region) {
      return relevance[static_cast<std::size_t>(region)];
    });
  }
  return orders;
}

std::vector<std::vector<std::int64_t>> reversed(std::vector<std::vector<std::int64_t>> orders) {
  for (auto& order : orders) std::ranges::reverse(order);
  return orders;
}

std::vector<double> PerturbationCurve::mean() const {
  std::vector<double> result(fractions.size());
  const std::int64_t samples = scores.dims()[0];
  for (std::int64_t i = 0; i < scores.size(); ++i)
    result[static_cast<std::size_t>(i) % result.size()] += scores.at(i) / static_cast<double>(samples);
  return result;
}

PerturbationCurve perturbation_curve(const ScoreFunction& scores, const Tensor& from, const Tensor& to,
                                     const Regions& regions,
                                     std::span<const std::vector<std::int64_t>> orders,
                                     std::span<const std::int64_t> targets, const CurveOptions& options) {
  expect_samples(from, regions, "the samples are");
  expect_samples(to, regions, "what replaces them is");
  const std::int64_t samples = from.dims()[0];
  if (to.dims() != from.dims() || to.dtype() != from.dtype() ||
      static_cast<std::int64_t>(orders.size()) != samples ||
      static_cast<std::int64_t>(targets.size()) != samples)
    throw Error(ErrorCode::shape,
                fmt::format("[perturbation] samples {}{}, what replaces them {}{}, {} orders and {} targets "
                            "do not fit together; there must be as many of each",
                            name_of(from.dtype()), to_string(from.dims()), name_of(to.dtype()),
                            to_string(to.dims()), orders.size(), targets.size()));
  for (const auto& order : orders)
    if (static_cast<std::int64_t>(order.size()) != regions.count() ||
        std::ranges::any_of(order,
                            [&](std::int64_t region) { return region < 0 || region >= regions.count(); }))
      throw Error(
          ErrorCode::shape,
          fmt::format("[perturbation] an order must hold each of the {} regions once", regions.count()));
  const std::vector<std::int64_t> counts = counts_of(regions.count(), options);

  PerturbationCurve curve;
  const auto points = static_cast<std::int64_t>(counts.size());
  curve.scores = Tensor(DType::float64, {samples, points});
  const auto into = curve.scores.mutable_values<double>();
  Tensor now = from;
  const std::size_t width = size_of(from.dtype());
  const auto each = static_cast<std::size_t>(element_count(regions.sample()));
  for (std::int64_t k = 0; k < points; ++k) {
    const auto step = static_cast<std::size_t>(k);
    std::byte* values = now.mutable_data();
    for (std::size_t sample = 0; k > 0 && sample < orders.size(); ++sample)
      for (std::int64_t r = counts[step - 1]; r < counts[step]; ++r)
        for (const std::int64_t i : regions.elements(orders[sample][static_cast<std::size_t>(r)])) {
          const std::size_t at = (sample * each + static_cast<std::size_t>(i)) * width;
          std::memcpy(values + at, to.data() + at, width);
        }
    const std::vector<double> found = target_scores(scores(now), targets);
    for (std::size_t sample = 0; sample < found.size(); ++sample)
      into[sample * counts.size() + step] = found[sample];
    curve.fractions.push_back(static_cast<double>(counts[step]) / static_cast<double>(regions.count()));
    if (k > 0 && options.progress) options.progress(k, points - 1);
  }
  return curve;
}

double area_over_curve(std::span<const double> scores) {
  if (scores.empty())
    throw Error(ErrorCode::invalid_argument, "[perturbation] a curve without points has no area");
  double sum = 0;
  for (const double score : scores) sum += scores[0] - score;
  return sum / static_cast<double>(scores.size());
}

double area_under_curve(std::span<const double> fractions, std::span<const double> scores) {
  if (fractions.size() != scores.size() || scores.size() < 2)
    throw Error(ErrorCode::shape, fmt::format("[perturbation] {} fractions and {} scores are no curve; it "
                                              "needs two points and one score for each fraction",
                                              fractions.size(), scores.size()));
  double area = 0;
  for (std::size_t k = 1; k < scores.size(); ++k)
    area += (fractions[k] - fractions[k - 1]) * (scores[k] + scores[k - 1]) / 2;
  return area / (fractions.back() - fractions.front());
}

}  // namespace rulegrad
