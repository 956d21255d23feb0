#include <string>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/run/program.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

/// A convolution of `in` channels of size x size to `out`.
struct Layer {
  const char* name;
  std::int64_t in, size, out, kernel, stride, groups;
};

constexpr Layer layers[] = {
    {"vgg16.conv1_1", 3, 224, 64, 3, 1, 1},
    {"vgg16.conv1_2", 64, 224, 64, 3, 1, 1},
    {"vgg16.conv4_2", 512, 28, 512, 3, 1, 1},
    {"resnet50.conv1", 3, 224, 64, 7, 2, 1},
    {"resnet50.conv2_c", 64, 56, 256, 1, 1, 1},
    {"resnet50.conv5_b", 512, 7, 512, 3, 1, 1},
    {"mobilenetv2.depthwise", 144, 56, 144, 3, 1, 144},
    {"mobilenetv2.strided", 96, 112, 96, 3, 2, 96},
    {"lenet.conv2", 6, 14, 16, 5, 1, 1},
};

/// `macs`: products of one run.
void run(benchmark::State& state, Expr result, const Inputs& inputs, double macs) {
  const Program program = Program::compile(std::span(&result, 1), {.check_finite = false});
  for (auto _ : state) benchmark::DoNotOptimize(program.run(inputs));
  state.counters["FLOPS"] =
      benchmark::Counter(2 * macs * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}

void run_conv(benchmark::State& state, const Layer& layer, std::int64_t batch, bool backward) {
  Graph graph;
  const std::int64_t pad = layer.kernel / 2, out = (layer.size + 2 * pad - layer.kernel) / layer.stride + 1;
  const Expr w =
      graph.constant(random_tensor({layer.out, layer.in / layer.groups, layer.kernel, layer.kernel}));
  const double macs = static_cast<double>(batch * layer.out * out * out * layer.in / layer.groups *
                                          layer.kernel * layer.kernel);
  const Ints strides{layer.stride, layer.stride}, pads{pad, pad};
  if (backward) {
    const Expr g = graph.input("g", {DType::float32, Shape{B, layer.out, out, out}});
    const Expr y = conv_transpose(g, w, 0.0,
                                  {.strides = strides,
                                   .pads_begin = pads,
                                   .pads_end = pads,
                                   .groups = layer.groups,
                                   .spatial = {layer.size, layer.size}});
    return run(state, y, {{"g", random_tensor({batch, layer.out, out, out})}}, macs);
  }
  const Expr x = graph.input("x", {DType::float32, Shape{B, layer.in, layer.size, layer.size}});
  const Expr y =
      conv(x, w, 0.0, {.strides = strides, .pads_begin = pads, .pads_end = pads, .groups = layer.groups});
  run(state, y, {{"x", random_tensor({batch, layer.in, layer.size, layer.size})}}, macs);
}

void run_dense(benchmark::State& state, std::int64_t in, std::int64_t out, std::int64_t rows, bool backward) {
  Graph graph;
  const Expr w = graph.constant(random_tensor({out, in}));
  const Expr x = graph.input("x", {DType::float32, Shape{B, backward ? out : in}});
  run(state, backward ? matmul(x, w) : dense(x, w), {{"x", random_tensor({rows, backward ? out : in})}},
      static_cast<double>(rows * in * out));
  state.SetBytesProcessed(state.iterations() * in * out * 4);
}

}  // namespace

void add_contractions() {
  for (const bool backward : {false, true}) {
    const std::string way = backward ? "/backward" : "/forward";
    for (const Layer& layer : layers)
      for (const std::int64_t batch : {1, 8}) {
        const std::string title =
            std::string("contractions/") + layer.name + way + "/batch:" + std::to_string(batch);
        benchmark::RegisterBenchmark(title.c_str(), [&layer, batch, backward](benchmark::State& state) {
          run_conv(state, layer, batch, backward);
        })->UseRealTime();
      }
    for (const std::int64_t rows : {1, 8, 32}) {
      const std::string title = "contractions/dense4096" + way + "/batch:" + std::to_string(rows);
      benchmark::RegisterBenchmark(title.c_str(), [rows, backward](benchmark::State& state) {
        run_dense(state, 4096, 4096, rows, backward);
      })->UseRealTime();
    }
  }
}

}  // namespace rulegrad::benchmarks
