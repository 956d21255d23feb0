#include "rulegrad/evaluation/measures.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>
#include <numeric>

#include "rulegrad/ops/random.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

using Values = std::vector<double>;

Values row(const Tensor& tensor, std::int64_t sample) {
  const std::int64_t each = tensor.size() / tensor.dims()[0];
  Values result;
  for (std::int64_t i = 0; i < each; ++i) {
    result.push_back(tensor.at(sample * each + i));
    if (!std::isfinite(result.back()))
      throw Error(ErrorCode::non_finite,
                  fmt::format("[measures] element {} of the attribution of sample {} is {}", i, sample,
                              result.back()));
  }
  return result;
}

std::int64_t samples_of(const Tensor& attributions) {
  if (attributions.rank() == 0 || attributions.size() == 0)
    throw Error(ErrorCode::shape, fmt::format("[measures] attributions [N, ...] are needed, not {}",
                                              to_string(attributions.dims())));
  return attributions.dims()[0];
}

double norm(const Values& values) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  return std::sqrt(sum);
}

/// Ranks from 1; equals share the mean of theirs.
Values ranks(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, std::less(), [&](std::size_t i) { return values[i]; });
  Values result(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t end = first;
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    for (std::size_t k = first; k < end; ++k) result[order[k]] = static_cast<double>(first + end + 1) / 2;
    first = end;
  }
  return result;
}

}  // namespace

double mean_of(std::span<const double> values) {
  return values.empty()
             ? 0.0
             : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<double> gini_index(const Tensor& attributions) {
  Values result;
  for (std::int64_t sample = 0; sample < samples_of(attributions); ++sample) {
    Values v = row(attributions, sample);
    for (double& value : v) value = std::abs(value);
    std::ranges::sort(v);
    const double sum = std::accumulate(v.begin(), v.end(), 0.0), d = static_cast<double>(v.size());
    double weighted = 0;
    for (std::size_t k = 0; k < v.size(); ++k) weighted += v[k] * (d - static_cast<double>(k) - 0.5) / d;
    result.push_back(sum == 0 ? 0 : 1 - 2 * weighted / sum);
  }
  return result;
}

std::vector<double> completeness_error(const Tensor& attributions, std::span<const double> scores,
                                       std::span<const double> baseline_scores) {
  const std::int64_t samples = samples_of(attributions);
  if (static_cast<std::int64_t>(scores.size()) != samples ||
      static_cast<std::int64_t>(baseline_scores.size()) != samples)
    throw Error(ErrorCode::shape,
                fmt::format("[measures] {} scores and {} scores at the baseline were given for attributions "
                            "{}; give one for each sample",
                            scores.size(), baseline_scores.size(), to_string(attributions.dims())));
  Values result;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const Values values = row(attributions, static_cast<std::int64_t>(i));
    result.push_back(
        std::abs(std::accumulate(values.begin(), values.end(), 0.0) - (scores[i] - baseline_scores[i])));
  }
  return result;
}

std::vector<double> max_sensitivity(const ExplainFunction& explain, const Tensor& samples,
                                    const SensitivityOptions& options) {
  const std::int64_t count = samples_of(samples);
  if (!is_floating(samples.dtype()))
    throw Error(ErrorCode::dtype,
                fmt::format("[measures] samples of {} cannot be moved a little; only float32 and float64 can",
                            name_of(samples.dtype())));
  if (options.draws < 1 || (options.radius && !(*options.radius > 0)))
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[measures] max-sensitivity needs a positive radius and at least one draw, not {} and {}",
                    options.radius.value_or(0), options.draws));
  Values x;
  for (std::int64_t i = 0; i < samples.size(); ++i) x.push_back(samples.at(i));
  const auto [least, greatest] = std::minmax_element(x.begin(), x.end());
  const double radius = options.radius.value_or((*greatest - *least) / 50);
  const Tensor own = explain(samples);
  if (samples_of(own) != count)
    throw Error(ErrorCode::shape, fmt::format("[measures] {} samples were explained by attributions {}",
                                              count, to_string(own.dims())));
  std::vector<Values> maps;
  for (std::int64_t sample = 0; sample < count; ++sample) maps.push_back(row(own, sample));
  const std::size_t each = x.size() / static_cast<std::size_t>(count);
  Values result(static_cast<std::size_t>(count));
  for (std::int64_t draw = 0; draw < options.draws; ++draw) {
    Values moved = x;
    for (std::size_t i = 0; i < moved.size(); ++i)
      moved[i] += radius * (2 * uniform_at({.key = options.key,
                                            .sample = draw,
                                            .row = static_cast<std::int64_t>(i / each),
                                            .element = static_cast<std::int64_t>(i % each)}) -
                            1);
    const Tensor there =
        explain(Tensor(samples.dims(), std::span<const double>(moved)).cast(samples.dtype()));
    for (std::size_t sample = 0; sample < result.size(); ++sample) {
      Values difference = row(there, static_cast<std::int64_t>(sample));
      for (std::size_t i = 0; i < difference.size(); ++i) difference[i] -= maps[sample][i];
      const double distance = norm(difference), scale = options.relative ? norm(maps[sample]) : 1;
      result[sample] = std::max(result[sample], distance == 0 ? 0
                                                : scale == 0  ? std::numeric_limits<double>::infinity()
                                                              : distance / scale);
    }
    if (options.progress) options.progress(draw + 1, options.draws);
  }
  return result;
}

double rank_correlation(std::span<const double> a, std::span<const double> b) {
  if (a.size() != b.size())
    throw Error(ErrorCode::shape,
                fmt::format("[measures] {} values have no rank correlation with {}", a.size(), b.size()));
  const Values ra = ranks(a), rb = ranks(b);
  const double mean = (static_cast<double>(a.size()) + 1) / 2;
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < ra.size(); ++i) {
    ab += (ra[i] - mean) * (rb[i] - mean);
    aa += (ra[i] - mean) * (ra[i] - mean);
    bb += (rb[i] - mean) * (rb[i] - mean);
  }
  return aa == 0 || bb == 0 ? 0 : ab / std::sqrt(aa * bb);
}

std::vector<double> mask_precision(const Tensor& attributions, const Tensor& mask) {
  const std::int64_t samples = samples_of(attributions), each = attributions.size() / samples;
  if (mask.size() != each && mask.size() != attributions.size())
    throw Error(ErrorCode::shape, fmt::format("[measures] the mask is {} but the attributions are {}; it "
                                              "needs the {} elements of one sample, or those of all",
                                              to_string(mask.dims()), to_string(attributions.dims()), each));
  Values result;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    Values size = row(attributions, sample);
    for (double& v : size) v = std::abs(v);
    std::vector<bool> inside;
    for (std::int64_t i = 0; i < each; ++i)
      inside.push_back(mask.at(mask.size() == each ? i : sample * each + i) != 0);
    const auto places = static_cast<std::size_t>(std::ranges::count(inside, true));
    if (places == 0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[measures] the true mask of sample {} is empty, so nothing can be found in it",
                              sample));
    Values sorted = size;
    std::ranges::nth_element(sorted, sorted.begin() + static_cast<std::ptrdiff_t>(places - 1),
                             std::greater());
    const double last = sorted[places - 1];
    double above = 0, above_inside = 0, equal = 0, equal_inside = 0;
    for (std::size_t i = 0; i < size.size(); ++i) {
      above += size[i] > last;
      above_inside += size[i] > last && inside[i];
      equal += size[i] == last;
      equal_inside += size[i] == last && inside[i];
    }
    result.push_back((above_inside + (static_cast<double>(places) - above) * equal_inside / equal) /
                     static_cast<double>(places));
  }
  return result;
}

}  // namespace rulegrad
