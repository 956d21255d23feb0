#include "rulegrad/evaluation/xai_tris.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fmt/format.h>
#include <string>
#include <vector>

#include "rulegrad/ops/random.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::int64_t side = 8, pixels = side * side;
constexpr std::array<std::int64_t, 4> t_shape{1 * side + 1, 2 * side + 1, 2 * side + 2, 3 * side + 1};
constexpr std::array<std::int64_t, 4> l_shape{4 * side + 5, 5 * side + 5, 6 * side + 5, 6 * side + 6};

using Values = std::vector<double>;

void scale_to_norm(Values& values, double norm) {
  double sum = 0;
  for (const double v : values) sum += v * v;
  for (double& v : values) v *= norm / std::sqrt(sum);
}

}  // namespace

XaiTrisScenario xai_tris_scenario_from_name(std::string_view name) {
  const std::vector<std::string> known{"linear", "xor"};
  if (name == known[0]) return XaiTrisScenario::linear;
  if (name == known[1]) return XaiTrisScenario::exclusive_or;
  throw Error(ErrorCode::unknown_name, unknown_name_message("scenario", name, known));
}

XaiTrisData xai_tris(XaiTrisScenario scenario, const XaiTrisOptions& options) {
  const bool linear = scenario == XaiTrisScenario::linear;
  const double alpha = options.alpha.value_or(linear ? 0.18 : 0.35);
  if (options.samples < 4)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[xai_tris] {} samples do not show every class with every sign; ask for at least 4",
                    options.samples));
  if (!(alpha >= 0 && alpha <= 1))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[xai_tris] the signal's weight must lie in [0, 1], not be {}", alpha));

  const auto count = static_cast<std::size_t>(options.samples);
  Values signal(count * pixels), noise(signal.size());
  XaiTrisData data;
  data.labels = Tensor(DType::int64, {options.samples});
  for (std::size_t n = 0; n < count; ++n) {
    // Turns of four: label 0, 1, 0, 1; for xor the signs ++, +-, --, -+.
    const std::size_t turn = n % 4, label = turn % 2;
    const double sign = turn < 2 ? 1 : -1;
    const double t = linear ? (label == 0 ? 1 : 0) : sign,
                 l = linear ? (label == 1 ? 1 : 0) : (label == 0 ? sign : -sign);
    for (const std::int64_t i : t_shape) signal[n * pixels + static_cast<std::size_t>(i)] = t;
    for (const std::int64_t i : l_shape) signal[n * pixels + static_cast<std::size_t>(i)] = l;
    for (std::int64_t i = 0; i < pixels; ++i)
      noise[n * pixels + static_cast<std::size_t>(i)] =
          normal_at({.key = options.key, .row = static_cast<std::int64_t>(n), .element = i});
    data.labels.mutable_values<std::int64_t>()[n] = static_cast<std::int64_t>(label);
  }
  scale_to_norm(signal, alpha);
  scale_to_norm(noise, 1 - alpha);
  double largest = 0;
  for (std::size_t i = 0; i < signal.size(); ++i)
    largest = std::max(largest, std::abs(signal[i] += noise[i]));
  for (double& v : signal) v /= largest;
  data.samples =
      Tensor({options.samples, 1, side, side}, std::span<const double>(signal)).cast(DType::float32);
  data.mask = Tensor(DType::boolean, {1, side, side});
  const auto mask = data.mask.mutable_values<bool>();
  for (const std::int64_t i : t_shape) mask[static_cast<std::size_t>(i)] = true;
  for (const std::int64_t i : l_shape) mask[static_cast<std::size_t>(i)] = true;
  return data;
}

}  // namespace rulegrad
