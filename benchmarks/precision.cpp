// How far single precision is from double, with and without Winograd's transforms, method by method: the
// table of docs/precision.md. `benchmarks/precision [vgg16] [samples]`: by default networks like VGG-16 and
// ResNet of 64 to 128 channels on images of 64 x 64; with `vgg16` that network itself, 224 x 224. All weights
// are random, He's.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include "rulegrad/rulegrad.hpp"

using namespace rulegrad;

namespace {

/// The same network in either precision: float64 weights are the float32 ones.
class Builder {
 public:
  explicit Builder(Graph& graph, std::int64_t size) : graph_(graph) {
    y = x = graph.input("x", {graph.real(), Shape{B, 3, size, size}});
  }

  Builder& conv(std::int64_t out, std::int64_t kernel = 3, std::int64_t stride = 1) {
    const std::int64_t in = y.shape()[1].factor, pad = kernel / 2;
    const double he = std::sqrt(2.0 / static_cast<double>(in * kernel * kernel));
    y = graph_.apply(op("conv"), {y, values({out, in, kernel, kernel}, he), values({out}, 0.05)},
                     ConvAttributes{{stride, stride}, {pad, pad}, {pad, pad}, {1, 1}, 1});
    return *this;
  }
  Builder& relu() {
    y = graph_.apply(op("relu"), {y});
    return *this;
  }
  Builder& pool() {
    y = graph_.apply(op("max_pool"), {y}, PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false});
    return *this;
  }
  Builder& residual(std::int64_t out, std::int64_t stride) {
    const Expr before = y;
    conv(out, 3, stride).relu().conv(out);
    const Expr branch = y;
    y = before;
    if (stride != 1 || before.shape()[1].factor != out) conv(out, 1, stride);
    y = graph_.apply(op("add"), {branch, y});
    return relu();
  }
  Builder& mean() {
    y = graph_.apply(op("mean"), {y}, ReduceAttributes{{2, 3}, false});
    return *this;
  }
  Builder& dense(std::int64_t out) {
    const std::int64_t features = element_count(y.shape().at({1, 1}));
    if (y.shape().rank() > 2) y = graph_.apply(op("reshape"), {y}, ShapeAttributes{Shape{B, features}});
    y = graph_.apply(op("dense"), {y, values({out, features}, std::sqrt(2.0 / static_cast<double>(features))),
                                   values({out}, 0.05)});
    return *this;
  }

  Expr x, y;

 private:
  Expr values(Dims dims, double deviation) {
    std::normal_distribution<float> normal(0, static_cast<float>(deviation));
    Tensor result(DType::float32, std::move(dims));
    for (float& value : result.mutable_values<float>()) value = normal(random_);
    return graph_.constant(result.cast(graph_.real()));
  }

  Graph& graph_;
  std::mt19937_64 random_{1};
};

Builder vgg_like(Graph& g) {
  return Builder(g, 64)
      .conv(64)
      .relu()
      .conv(64)
      .relu()
      .pool()
      .conv(128)
      .relu()
      .conv(128)
      .relu()
      .pool()
      .conv(128)
      .relu()
      .conv(128)
      .relu()
      .pool()
      .dense(256)
      .relu()
      .dense(10);
}
Builder resnet_like(Graph& g) {
  return Builder(g, 64)
      .conv(64, 7, 2)
      .relu()
      .residual(64, 1)
      .residual(64, 1)
      .residual(128, 2)
      .residual(128, 1)
      .mean()
      .dense(10);
}
Builder vgg16(Graph& g) {
  Builder net(g, 224);
  for (const std::vector<std::int64_t>& block :
       {std::vector<std::int64_t>{64, 64}, {128, 128}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}}) {
    for (const std::int64_t width : block) net.conv(width).relu();
    net.pool();
  }
  return net.dense(4096).relu().dense(4096).relu().dense(1000);
}

struct Error {
  double most = 0, mean = 0;  ///< of the largest value; of the sum of all
};

Error error_of(const Tensor& got, const Tensor& want) {
  double most = 0, largest = 0, sum = 0, all = 0;
  for (std::int64_t i = 0; i < want.size(); ++i) {
    const double d = std::abs(got.at(i) - want.at(i));
    most = std::max(most, d);
    largest = std::max(largest, std::abs(want.at(i)));
    sum += d;
    all += std::abs(want.at(i));
  }
  return {most / largest, sum / all};
}

constexpr const char* methods[] = {"(scores)",
                                   "gradient",
                                   "integrated_gradients:steps=32",
                                   "smoothgrad:n=32",
                                   "guided_backprop",
                                   "lrp.epsilon",
                                   "lrp.z_plus",
                                   "lrp.epsilon_plus_flat",
                                   "lrp.gamma",
                                   "lrp.epsilon_gamma_box",
                                   "lrp.alpha_2_beta_1",
                                   "deep_taylor",
                                   "deeplift.rescale"};

Expr explained(const Builder& net, const std::string& method) {
  if (method == "(scores)") return net.y;
  Question question;
  question.output = net.y;
  question.explained = {net.x};
  question.target = net.x.graph().constant(Tensor({1}, {std::int64_t{0}}));
  return analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question).attributions[0];
}

void table(const char* title, Builder (*make)(Graph&), std::int64_t samples) {
  std::printf(
      "**%s**\n\n| method | by Winograd | exact: largest, mean | fast: largest, mean | auto | in bfloat16 "
      "| bf16: largest, mean |\n|---|---|---|---|---|---|---|\n",
      title);
  for (const char* method : methods) {
    Graph single(DType::float32), twice(DType::float64);
    const Builder in_single = make(single), in_double = make(twice);
    const Expr s = explained(in_single, method), d = explained(in_double, method);
    Tensor x(DType::float32, in_single.x.shape().at({samples, 1}));
    std::mt19937_64 random(2);
    std::normal_distribution<float> normal;
    for (float& value : x.mutable_values<float>()) value = normal(random);
    const Tensor want = Program::compile(std::span(&d, 1)).run({{"x", x.cast(DType::float64)}})[0];
    const auto in = [&](Precision precision) {
      return Program::compile(std::span(&s, 1), {.precision = precision});
    };
    const Program fast = in(Precision::fast);
    const Error e = error_of(in(Precision::exact).run({{"x", x}})[0], want),
                f = error_of(fast.run({{"x", x}})[0], want);
    const bool chosen = in(Precision::automatic).stats({samples, 1}).winograd != 0;
    const ProgramStats stats = fast.stats({samples, 1});
    const Program narrow = in(Precision::bfloat16);
    const Error n = error_of(narrow.run({{"x", x}})[0], want);
    std::printf("| %s | %zu of %zu | %.0e, %.0e | %.0e, %.0e | %s | %zu | %.0e, %.0e |\n", method,
                stats.winograd, stats.contractions, e.most, e.mean, f.most, f.mean,
                stats.winograd == 0 ? "the same"
                : chosen            ? "fast"
                                    : "exact",
                narrow.stats({samples, 1}).bfloat16, n.most, n.mean);
    std::fflush(stdout);
  }
  std::printf("\n");
}

}  // namespace

int main(int count, char** arguments) {
  const std::vector<std::string> given(arguments + 1, arguments + count);
  const bool large = !given.empty() && given[0] == "vgg16";
  const std::int64_t samples = given.size() > (large ? 1U : 0U) ? std::stoll(given.back()) : (large ? 1 : 4);
  if (large) {
    table("VGG-16, 224 x 224", vgg16, samples);
  } else {
    table("Like VGG-16: six convolutions of 64 to 128 channels, 64 x 64", vgg_like, samples);
    table("Like ResNet: four blocks of 64 to 128 channels, 64 x 64", resnet_like, samples);
  }
}
