#include "networks.hpp"

#include <cmath>
#include <random>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

namespace rulegrad::benchmarks {

Model mlp() {
  return Sequential({B, 784}).dense(512).relu().dense(512).relu().dense(10).finish();
}

Model lenet() {
  return Sequential({B, 1, 28, 28})
      .conv(6, {5, 5}, {.pads_begin = {2, 2}, .pads_end = {2, 2}})
      .relu()
      .max_pool({2, 2})
      .conv(16, {5, 5})
      .relu()
      .max_pool({2, 2})
      .flatten()
      .dense(120)
      .relu()
      .dense(84)
      .relu()
      .dense(10)
      .finish();
}

Model vgg16() {
  Sequential network({B, 3, 224, 224});
  for (const int width : {64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512, 0}) {
    if (width == 0)
      network.max_pool({2, 2});
    else
      network.conv(width, {3, 3}, {.pads_begin = {1, 1}, .pads_end = {1, 1}}).relu();
  }
  return network.flatten().dense(4096).relu().dense(4096).relu().dense(1000).finish();
}

Model encoder() {
  constexpr std::int64_t tokens = 64, features = 128, heads = 4, each = features / heads;
  Network network;
  Expr x = network.input("x", {B, tokens, features});
  const auto layer = [&](Expr v, std::int64_t from, std::int64_t to) {
    return dense(v, network.graph().constant(random_tensor({to, from})) * 0.1);
  };
  const auto op = [](const char* name) -> const OpSchema& { return Operators::builtin().at(name); };
  const auto norm = [&](Expr v) {
    Graph& graph = network.graph();
    return graph.apply(op("layer_norm"),
                       {v, graph.constant(Tensor::full(DType::float32, {features}, 1)),
                        graph.constant(Tensor::full(DType::float32, {features}, 0))},
                       LayerNormAttributes{-1, 1e-5});
  };
  for (int block = 0; block < 2; ++block) {
    const Expr n = norm(x);
    const auto head = [&] {
      return transpose(reshape(layer(n, features, features), {B, tokens, heads, each}), {0, 2, 1, 3});
    };
    const Expr q = head(), k = head(), v = head();
    const Expr weights = softmax(matmul(q, k, {.transpose_b = true}) * (1 / std::sqrt(double{each})), -1);
    const Expr mixed = reshape(transpose(matmul(weights, v), {0, 2, 1, 3}), {B, tokens, features});
    x = x + layer(mixed, features, features);
    const Expr hidden = layer(norm(x), features, 4 * features);
    x = x + layer(network.graph().apply(op("gelu"), {hidden}), 4 * features, features);
  }
  return network.finish(layer(mean(norm(x), {1}), features, 10));
}

Model deep(std::size_t nodes) {
  Network network;
  Expr x = network.input("x", {B, 8});
  for (std::size_t k = 0; k + 5 <= nodes; k += 5) x = sigmoid(tanh(relu(network.dense(x, 8)))) + x;
  return network.finish(x);
}

Tensor random_tensor(Dims dims) {
  static std::minstd_rand random(1);
  std::uniform_real_distribution<float> uniform(-1, 1);
  Tensor values = Tensor::uninitialized(DType::float32, std::move(dims));
  for (float& v : values.mutable_values<float>()) v = uniform(random);
  return values;
}

Tensor random_input(const Model& model, std::int64_t batch) {
  std::minstd_rand random(2);
  std::normal_distribution<float> normal;
  Tensor values = Tensor::uninitialized(DType::float32,
                                        model.inputs().at(0).expr.shape().at({.batch = batch, .samples = 1}));
  for (float& v : values.mutable_values<float>()) v = normal(random);
  return values;
}

}  // namespace rulegrad::benchmarks
