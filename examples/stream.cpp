// Explains a stream of samples: the explainer is compiled once, memory is reused, and nothing is allocated
// for results.
#include <chrono>
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main() {
  const Model model = Sequential({B, 64}).dense(128).relu().dense(128).relu().dense(10).finish();
  const Explainer explainer(model, {"gradient", "lrp.epsilon"});

  Tensor sample(DType::float32, {1, 64});
  std::vector<float> gradient(64), relevance(64), scores(10);
  const OutputBuffer maps[] = {std::span(gradient), std::span(relevance)};

  const auto start = std::chrono::steady_clock::now();
  double seen = 0;
  for (int step = 0; step < 1000; ++step) {
    // What comes in next: a camera's frame, a row of a log.
    float phase = static_cast<float>(step);
    for (float& value : sample.mutable_values<float>()) value = std::sin(phase += 0.1F);

    explainer.run_into(sample, maps, std::span(scores), {.threads = 1});
    seen += relevance[0];
  }
  const std::chrono::duration<double, std::micro> took = std::chrono::steady_clock::now() - start;
  std::printf("%.0f microseconds a sample; mean relevance of the first feature %.4f\n", took.count() / 1000,
              seen / 1000);
}
