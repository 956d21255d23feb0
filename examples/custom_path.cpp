// Integrated gradients (Sundararajan et al. 2017, arXiv 1703.01365, section 3) along a path of one's own: the
// gradient is compiled once, and its values are summed over the steps of the path. Their sum is the change of
// the score.
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main() {
  const Model model = Sequential({B, 4}, DType::float64).dense(16).tanh().dense(3).finish();
  const Explainer gradient(model, "gradient", {.targets = Targets::given});
  const double input[] = {1.0, -0.5, 2.0, 0.25};

  // The curve x_i(t) = input_i t^(i+1) from the zeros to the input: features come in one after the other.
  constexpr int steps = 400;
  Tensor path(DType::float64, {steps + 1, 4});
  for (std::size_t k = 0; k <= steps; ++k)
    for (std::size_t i = 0; i < 4; ++i)
      path.mutable_values<double>()[k * 4 + i] =
          input[i] * std::pow(static_cast<double>(k) / steps, static_cast<double>(i + 1));
  const Explanation along = gradient.run(path, {.targets = {1}});  // all points are one batch

  double total = 0;
  for (std::int64_t i = 0; i < 4; ++i) {
    double sum = 0;  // trapezoids of gradient dx
    for (std::int64_t k = 0; k < steps; ++k)
      sum += (along.attribution().at(k * 4 + i) + along.attribution().at((k + 1) * 4 + i)) / 2 *
             (path.at((k + 1) * 4 + i) - path.at(k * 4 + i));
    std::printf("feature %lld: %8.5f\n", static_cast<long long>(i), sum);
    total += sum;
  }
  const double change = along.scores().at(steps * 3 + 1) - along.scores().at(1);
  std::printf("sum %.6f, change of the score %.6f\n", total, change);
  return std::abs(total - change) < 1e-3 ? 0 : 1;
}
