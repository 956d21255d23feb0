// Trains a small network on two interleaved moons and explains one of its answers.
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main() {
  constexpr std::int64_t points = 200;
  Tensor x(DType::float32, {points, 2}), moon(DType::int64, {points});
  for (std::size_t i = 0; i < points; ++i) {
    const float turn = 3.14159F * static_cast<float>(i / 2) / (points / 2), side = i % 2 == 0 ? 1.0F : -1.0F;
    x.mutable_values<float>()[2 * i] = side * std::cos(turn) + (i % 2 == 0 ? 0.0F : 1.0F);
    x.mutable_values<float>()[2 * i + 1] = side * std::sin(turn) + (i % 2 == 0 ? 0.0F : 0.5F);
    moon.mutable_values<std::int64_t>()[i] = static_cast<std::int64_t>(i % 2);
  }

  const Model untrained = Sequential({B, 2}).dense(16).relu().dense(16).relu().dense(2).softmax().finish();
  Trainer trainer(untrained, cross_entropy, {DType::int64, {B}});
  for (int step = 0; step <= 400; ++step)
    if (const double loss = trainer.step(x, moon, 1e-2); step % 100 == 0)
      std::printf("step %3d: loss %.4f\n", step, loss);
  const Model model = trainer.trained();

  const Explanation got = Explainer(model, "input_times_gradient").run(x);
  int right = 0;
  for (std::size_t i = 0; i < points; ++i) right += got.predictions()[i] == static_cast<std::int64_t>(i % 2);
  std::printf("%d of %lld right; for the first point x counts %.3f, y counts %.3f\n", right,
              static_cast<long long>(points), got.attribution().at(0), got.attribution().at(1));
  return right > 190 ? 0 : 1;
}
