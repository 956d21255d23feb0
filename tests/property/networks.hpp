#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

/// Small random networks for property tests: dense and convolutional, with branches, shared weights and
/// fan-out.
namespace rulegrad::testing {

struct NetworkOptions {
  bool bias = true;
  bool relu_only = false;  ///< no other activations
  bool max_pool = true;
  bool strictly_positive_input = false;
};

struct Network {
  Expr input;       ///< [B, features] or [B, C, H, W]
  Expr output;      ///< [B, 3]
  Dims input_dims;  ///< of a batch of two
};

class NetworkMaker {
 public:
  NetworkMaker(Graph& graph, std::uint64_t seed, NetworkOptions options)
      : graph_(graph), random_(seed), options_(options) {}

  Network mlp() {
    const std::int64_t features = pick(3, 9);
    Network net;
    net.input_dims = {2, features};
    net.input = graph_.input("x", {graph_.real(), Shape{B, features}});
    Expr h = net.input;
    std::int64_t width = features;
    const int layers = static_cast<int>(pick(1, 4));
    for (int layer = 0; layer < layers; ++layer) {
      const std::int64_t next = pick(3, 10);
      const Expr w = weight({next, width}, width), b = bias(next);
      Expr z = graph_.apply(op("dense"), {h, w, b});
      // A residual branch, and the same weights used twice where the widths allow it.
      if (next == width && pick(0, 1) == 1) z = graph_.apply(op("add"), {h, z});
      h = activation(z);
      if (next == width || pick(0, 3) == 0) {
        const Expr shared = weight({next, next}, next);
        h = activation(graph_.apply(op("dense"), {h, shared, bias(next)}));
        h = activation(graph_.apply(op("dense"), {h, shared, bias(next)}));
      }
      width = next;
    }
    net.output = graph_.apply(op("dense"), {h, weight({3, width}, width), bias(3)});
    return net;
  }

  Network cnn() {
    const std::int64_t channels = pick(1, 3), extent = pick(6, 9);
    Network net;
    net.input_dims = {2, channels, extent, extent};
    net.input = graph_.input("x", {graph_.real(), Shape{B, channels, extent, extent}});
    const std::int64_t wide = pick(2, 4);
    Expr h = activation(conv(net.input, wide, 3, pick(1, 2), 1));
    // Two branches from one value, joined by a sum and by a concatenation.
    const Expr left = activation(conv(h, wide, 3, 1, 1));
    const Expr right = conv(h, wide, 1, 1, 0);
    h = activation(graph_.apply(op("add"), {left, right}));
    h = graph_.apply(op("concat"), {h, right}, AxisAttributes{1});
    if (options_.max_pool && pick(0, 1) == 1)
      h = graph_.apply(op("max_pool"), {h}, PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false});
    else
      h = graph_.apply(op("avg_pool"), {h},
                       AvgPoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false, false});
    const std::int64_t features = h.shape()[1].factor * h.shape()[2].factor * h.shape()[3].factor;
    h = graph_.apply(op("reshape"), {h}, ShapeAttributes{Shape{B, features}});
    net.output = graph_.apply(op("dense"), {h, weight({3, features}, features), bias(3)});
    return net;
  }

  Tensor values(const Dims& dims) {
    std::normal_distribution<double> normal;
    std::vector<double> data(static_cast<std::size_t>(element_count(dims)));
    for (double& v : data)
      v = options_.strictly_positive_input ? std::abs(normal(random_)) + 0.01 : normal(random_);
    return Tensor(dims, std::span<const double>(data)).cast(graph_.real());
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }

  Expr weight(Dims dims, std::int64_t fan_in) {
    std::normal_distribution<double> normal(0, 1 / std::sqrt(static_cast<double>(fan_in)));
    std::vector<double> data(static_cast<std::size_t>(element_count(dims)));
    for (double& v : data) v = normal(random_);
    return graph_.constant(Tensor(std::move(dims), std::span<const double>(data)).cast(graph_.real()));
  }
  Expr bias(std::int64_t count) { return options_.bias ? weight({count}, 16) : graph_.scalar(0); }

  Expr conv(Expr x, std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
    const std::int64_t in = x.shape()[1].factor;
    return graph_.apply(op("conv"), {x, weight({out, in, kernel, kernel}, in * kernel * kernel), bias(out)},
                        ConvAttributes{{stride, stride}, {pad, pad}, {pad, pad}, {1, 1}, 1});
  }

  Expr activation(Expr x) {
    static const std::vector<std::string> names{"relu", "tanh", "sigmoid", "softplus", "silu", "gelu"};
    return graph_.apply(op(options_.relu_only ? "relu" : names[static_cast<std::size_t>(pick(0, 5))]), {x});
  }

  Graph& graph_;
  std::mt19937_64 random_;
  NetworkOptions options_;
};

}  // namespace rulegrad::testing
