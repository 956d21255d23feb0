#include "rulegrad/evaluation/fill.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/ops/random.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "evaluation/axes.hpp"
#include "support/number.hpp"

namespace rulegrad {
namespace {

using Values = std::vector<double>;

std::optional<double> finite_number(std::string_view text) {
  const double value = number_from(text);
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

Values values_of(const Tensor& tensor) {
  Values result(static_cast<std::size_t>(tensor.size()));
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = tensor.at(static_cast<std::int64_t>(i));
  return result;
}

/// Which mean each element of a sample shares in: its channel's, or its own where there are no channels.
std::vector<std::size_t> groups_of(const Dims& sample, const SampleAxes& axes) {
  std::vector<std::size_t> groups(static_cast<std::size_t>(element_count(sample)));
  for (std::size_t i = 0; i < groups.size(); ++i)
    groups[i] = axes.channels ? i / static_cast<std::size_t>(stride_of(sample, *axes.channels)) %
                                    static_cast<std::size_t>(sample[*axes.channels])
                              : i;
  return groups;
}

Values means(const Values& x, const std::vector<std::size_t>& groups) {
  const std::size_t count = *std::max_element(groups.begin(), groups.end()) + 1;
  Values sums(count), sizes(count), result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    sums[groups[i % groups.size()]] += x[i];
    sizes[groups[i % groups.size()]] += 1;
  }
  for (std::size_t i = 0; i < x.size(); ++i)
    result[i] = sums[groups[i % groups.size()]] / sizes[groups[i % groups.size()]];
  return result;
}

Values gaussian(double sigma) {
  const auto reach = static_cast<std::int64_t>(std::ceil(3 * sigma));
  Values weights;
  double sum = 0;
  for (std::int64_t k = -reach; k <= reach; ++k) {
    weights.push_back(std::exp(-0.5 * std::pow(static_cast<double>(k) / sigma, 2)));
    sum += weights.back();
  }
  for (double& w : weights) w /= sum;
  return weights;
}

/// Along one axis of arrays with `stride` elements between neighbours.
Values blurred(const Values& x, std::int64_t extent, std::int64_t stride, const Values& weights) {
  const auto reach = static_cast<std::int64_t>(weights.size() / 2),
             size = static_cast<std::int64_t>(x.size());
  Values result(x.size());
  for (std::int64_t i = 0; i < size; ++i) {
    const std::int64_t at = i / stride % extent;
    double sum = 0;
    for (std::int64_t k = -reach; k <= reach; ++k)
      sum += weights[static_cast<std::size_t>(k + reach)] *
             x[static_cast<std::size_t>(i + (std::clamp<std::int64_t>(at + k, 0, extent - 1) - at) * stride)];
    result[static_cast<std::size_t>(i)] = sum;
  }
  return result;
}

Values blur(Values x, const Dims& sample, const SampleAxes& axes, const Fill& fill) {
  if (axes.positions.size() < 2)
    throw Error(ErrorCode::shape, fmt::format("[fill] samples of shape {} are no images (channels and at "
                                              "least two axes of positions), so they cannot be blurred; "
                                              "fill with a value, mean or uniform",
                                              to_string(sample)));
  std::int64_t longest = 1;
  for (const std::size_t axis : axes.positions) longest = std::max(longest, sample[axis]);
  const Values weights = gaussian(fill.sigma.value_or(static_cast<double>(longest) / 8));
  for (const std::size_t axis : axes.positions)
    x = blurred(x, sample[axis], stride_of(sample, axis), weights);
  return x;
}

Values noise(const Values& x, std::size_t each, const Fill& fill) {
  const auto [least, greatest] = std::minmax_element(x.begin(), x.end());
  const auto [low, high] = fill.range.value_or(std::pair(*least, *greatest));
  Values result(x.size());
  for (std::size_t i = 0; i < x.size(); ++i)
    result[i] = low + (high - low) * uniform_at({.key = fill.key,
                                                 .row = static_cast<std::int64_t>(i / each),
                                                 .element = static_cast<std::int64_t>(i % each)});
  return result;
}

}  // namespace

Fill Fill::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view word = text.substr(0, colon),
                         rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  const bool bare = colon == std::string_view::npos;
  Fill fill;
  if (const auto number = finite_number(text)) {
    fill.value = *number;
    return fill;
  }
  if (word == "mean" && bare) {
    fill.kind = Kind::mean;
    return fill;
  }
  if (word == "blur") {
    fill.kind = Kind::blur;
    fill.sigma = finite_number(rest);
    if (bare || (fill.sigma && *fill.sigma > 0)) return fill;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[fill] '{}': a blur needs a positive width in pixels, as in blur:3", text));
  }
  if (word == "uniform") {
    fill.kind = Kind::uniform;
    if (bare) return fill;
    const std::size_t comma = rest.find(',');
    const auto low = finite_number(rest.substr(0, comma)),
               high = comma == std::string_view::npos ? std::nullopt : finite_number(rest.substr(comma + 1));
    if (low && high && *low < *high) {
      fill.range = {*low, *high};
      return fill;
    }
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[fill] '{}': uniform noise needs the least and the greatest value, as in uniform:-1,1",
                    text));
  }
  const std::vector<std::string> known{"mean", "blur", "uniform"};
  const std::string near = nearest_name(word, known);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("[fill] '{}' is no number, mean, blur, blur:WIDTH, uniform or uniform:LOW,HIGH{}",
                          text, near.empty() ? "" : fmt::format("; did you mean '{}'?", near)));
}

std::string to_string(const Fill& fill) {
  switch (fill.kind) {
    case Fill::Kind::value:
      return shortest(fill.value);
    case Fill::Kind::mean:
      return "mean";
    case Fill::Kind::blur:
      return fill.sigma ? "blur:" + shortest(*fill.sigma) : "blur";
    case Fill::Kind::uniform:
      break;
  }
  return fill.range ? fmt::format("uniform:{},{}", shortest(fill.range->first), shortest(fill.range->second))
                    : "uniform";
}

Tensor filled(const Tensor& samples, const Fill& fill, io::Layout layout) {
  const Dims sample = sample_dims(samples);
  if (sample.empty() || samples.size() == 0)
    throw Error(ErrorCode::shape,
                fmt::format("[fill] samples [N, ...] are needed, not {}", to_string(samples.dims())));
  if (!is_floating(samples.dtype()))
    throw Error(ErrorCode::dtype, fmt::format("[fill] samples of {} have nothing between their values; only "
                                              "float32 and float64 can be perturbed",
                                              name_of(samples.dtype())));
  if (fill.kind == Fill::Kind::value) return Tensor::full(samples.dtype(), samples.dims(), fill.value);
  const SampleAxes axes(sample, layout);
  const Values x = values_of(samples);
  const auto each = static_cast<std::size_t>(element_count(sample));
  Values result;
  if (fill.kind == Fill::Kind::blur) {
    result = blur(x, sample, axes, fill);
  } else if (fill.kind == Fill::Kind::uniform) {
    result = noise(x, each, fill);
  } else {
    if (!axes.channels && samples.dims()[0] == 1)
      throw Error(ErrorCode::invalid_argument,
                  "[fill] the mean of each feature over one sample is that sample, so nothing would be taken "
                  "away; give more samples, or fill with a value");
    result = means(x, groups_of(sample, axes));
  }
  return Tensor(samples.dims(), std::span<const double>(result)).cast(samples.dtype());
}

}  // namespace rulegrad
