// Times VGG-16 (Simonyan and Zisserman 2014, arXiv 1409.1556, configuration D) with random weights:
//   vgg16 [forward|METHOD] [BATCH] [RUNS] [THREADS]
// prints the milliseconds of each run on one line, after a warm-up that is not printed.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/build.hpp"
#include "rulegrad/program.hpp"

using namespace rulegrad;

namespace {

Expr random_constant(Graph& graph, Dims dims, std::int64_t fan_in) {
  static std::minstd_rand random(1);
  const float range = std::sqrt(6.0F / static_cast<float>(fan_in));
  std::uniform_real_distribution<float> uniform(-range, range);
  Tensor values = Tensor::uninitialized(DType::float32, std::move(dims));
  for (float& v : values.mutable_values<float>()) v = uniform(random);
  return graph.constant(values);
}

Expr vgg16(Graph& graph, Expr x) {
  std::int64_t in = 3;
  for (const int width : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (width == 0) {
      x = max_pool(x, {.kernel = {2, 2}, .strides = {2, 2}});
      continue;
    }
    x = relu(conv(x, random_constant(graph, {width, in, 3, 3}, in * 9), random_constant(graph, {width}, 100), {.pads_begin = {1, 1}, .pads_end = {1, 1}}));
    in = width;
  }
  x = flatten(x);
  x = relu(dense(x, random_constant(graph, {4096, 25088}, 25088), random_constant(graph, {4096}, 100)));
  x = relu(dense(x, random_constant(graph, {4096, 4096}, 4096), random_constant(graph, {4096}, 100)));
  return dense(x, random_constant(graph, {1000, 4096}, 4096), random_constant(graph, {1000}, 100));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "gradient";
  const std::int64_t batch = argc > 2 ? std::atoll(argv[2]) : 1;
  const int runs = argc > 3 ? std::atoi(argv[3]) : 7;
  const int threads = argc > 4 ? std::atoi(argv[4]) : 0;

  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3, 224, 224}});
  const Expr y = vgg16(graph, x);
  std::vector<Expr> outputs{y};
  if (what != "forward")
    outputs = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(what), {.output = y, .explained = {x}, .target = {}, .seed_tensor = {}}).attributions;
  const Program program = Program::compile(outputs);

  std::minstd_rand random(2);
  std::normal_distribution<float> normal;
  Tensor input = Tensor::uninitialized(DType::float32, {batch, 3, 224, 224});
  for (float& v : input.mutable_values<float>()) v = normal(random);
  for (int run = -2; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    (void)program.run({{"x", input}}, {.threads = threads});
    const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
    if (run >= 0) std::printf("%.2f ", time.count());
  }
  std::printf("\n");
  return 0;
}
