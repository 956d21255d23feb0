#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "oracle/lrp.hpp"
#include "rulegrad/op_attributes.hpp"
#include "rulegrad/operators.hpp"

/// One random network in two forms: the graph that is tested, and the oracle's list of connections.
namespace rulegrad::oracle {

class TwinNetwork {
 public:
  TwinNetwork(Graph& graph, std::uint64_t seed, bool with_bias) : graph_(graph), random_(seed), with_bias_(with_bias) {}

  void input(std::int64_t channels, std::int64_t height, std::int64_t width) {
    dims_ = {channels, height, width};
    x = graph_.input("x", {graph_.real(), Shape{B, channels, height, width}});
    y = x;
  }
  void input(std::int64_t features) {
    dims_ = {features};
    x = graph_.input("x", {graph_.real(), Shape{B, features}});
    y = x;
  }

  void conv(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad, std::int64_t dilation, std::int64_t groups) {
    const std::int64_t in = dims_[0], h = dims_[1], w = dims_[2], each = in / groups;
    const auto extent = [&](std::int64_t n) { return (n + 2 * pad - dilation * (kernel - 1) - 1) / stride + 1; };
    const std::int64_t oh = extent(h), ow = extent(w);
    const Vector weights = draw(static_cast<std::size_t>(out * each * kernel * kernel), 1 / std::sqrt(static_cast<double>(each * kernel * kernel)));
    const Vector bias = biases(static_cast<std::size_t>(out));
    Layer layer;
    layer.convolution = true;
    layer.inputs = static_cast<std::size_t>(in * h * w);
    layer.outputs = static_cast<std::size_t>(out * oh * ow);
    for (std::int64_t o = 0; o < out; ++o)
      for (std::int64_t p = 0; p < oh; ++p)
        for (std::int64_t q = 0; q < ow; ++q) {
          const auto to = static_cast<std::size_t>((o * oh + p) * ow + q);
          for (std::int64_t c = 0; c < each; ++c)
            for (std::int64_t i = 0; i < kernel; ++i)
              for (std::int64_t j = 0; j < kernel; ++j) {
                const std::int64_t row = p * stride - pad + i * dilation, column = q * stride - pad + j * dilation;
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                const std::int64_t channel = o / (out / groups) * each + c;
                layer.connections.push_back({static_cast<std::size_t>((channel * h + row) * w + column), to,
                                             weights[static_cast<std::size_t>(((o * each + c) * kernel + i) * kernel + j)]});
              }
          layer.bias.push_back(bias[static_cast<std::size_t>(o)]);
        }
    layers.push_back(std::move(layer));
    y = graph_.apply(op("conv"), {y, constant({out, each, kernel, kernel}, weights), bias_constant(bias)},
                     ConvAttributes{{stride, stride}, {pad, pad}, {pad, pad}, {dilation, dilation}, groups});
    dims_ = {out, oh, ow};
  }

  void dense(std::int64_t out) {
    std::int64_t in = 1;
    for (const std::int64_t extent : dims_) in *= extent;
    if (dims_.size() > 1) y = graph_.apply(op("reshape"), {y}, ShapeAttributes{Shape{B, in}});
    const Vector weights = draw(static_cast<std::size_t>(out * in), 1 / std::sqrt(static_cast<double>(in)));
    const Vector bias = biases(static_cast<std::size_t>(out));
    Layer layer;
    layer.inputs = static_cast<std::size_t>(in);
    layer.outputs = static_cast<std::size_t>(out);
    for (std::size_t o = 0; o < layer.outputs; ++o)
      for (std::size_t i = 0; i < layer.inputs; ++i) layer.connections.push_back({i, o, weights[o * layer.inputs + i]});
    layer.bias = bias;
    layers.push_back(std::move(layer));
    y = graph_.apply(op("dense"), {y, constant({out, in}, weights), bias_constant(bias)});
    dims_ = {out};
  }

  void relu() { activation("relu", Layer::Kind::relu); }
  void tanh() { activation("tanh", Layer::Kind::tanh); }
  void max_pool(std::int64_t kernel, std::int64_t stride) { pool(kernel, stride, true); }
  void avg_pool(std::int64_t kernel, std::int64_t stride) { pool(kernel, stride, false); }

  Vector draw(std::size_t count, double deviation) {
    std::normal_distribution<double> normal(0, deviation);
    Vector values(count);
    for (double& v : values) v = normal(random_);
    return values;
  }
  [[nodiscard]] Dims batch_dims(std::int64_t batch) const {
    Dims dims{batch};
    for (std::size_t axis = 1; axis < x.shape().rank(); ++axis) dims.push_back(x.shape()[axis].factor);
    return dims;
  }

  Expr x, y;
  std::vector<Layer> layers;

 private:
  void activation(const char* name, Layer::Kind kind) {
    Layer layer;
    layer.kind = kind;
    layer.inputs = layer.outputs = static_cast<std::size_t>(element_count(dims_));
    layers.push_back(std::move(layer));
    y = graph_.apply(op(name), {y});
  }

  void pool(std::int64_t kernel, std::int64_t stride, bool max) {
    const std::int64_t c = dims_[0], h = dims_[1], w = dims_[2], oh = (h - kernel) / stride + 1, ow = (w - kernel) / stride + 1;
    Layer layer;
    layer.kind = max ? Layer::Kind::max_pool : Layer::Kind::avg_pool;
    layer.inputs = static_cast<std::size_t>(c * h * w);
    layer.outputs = static_cast<std::size_t>(c * oh * ow);
    for (std::int64_t o = 0; o < c * oh * ow; ++o) {
      const std::int64_t channel = o / (oh * ow), p = o / ow % oh, q = o % ow;
      auto& window = layer.windows.emplace_back();
      for (std::int64_t i = 0; i < kernel; ++i)
        for (std::int64_t j = 0; j < kernel; ++j) {
          const auto from = static_cast<std::size_t>((channel * h + p * stride + i) * w + q * stride + j);
          window.push_back(from);
          if (!max) layer.connections.push_back({from, static_cast<std::size_t>(o), 1.0 / static_cast<double>(kernel * kernel)});
        }
    }
    layers.push_back(std::move(layer));
    if (max)
      y = graph_.apply(op("max_pool"), {y}, PoolAttributes{{kernel, kernel}, {stride, stride}, {0, 0}, {0, 0}, {1, 1}, false});
    else
      y = graph_.apply(op("avg_pool"), {y}, AvgPoolAttributes{{kernel, kernel}, {stride, stride}, {0, 0}, {0, 0}, {1, 1}, false, false});
    dims_ = {c, oh, ow};
  }

  Vector biases(std::size_t count) { return with_bias_ ? draw(count, 0.3) : Vector(count, 0.0); }
  Expr constant(Dims dims, const Vector& values) { return graph_.constant(Tensor(std::move(dims), std::span<const double>(values)).cast(graph_.real())); }
  Expr bias_constant(const Vector& values) {
    return with_bias_ ? constant({static_cast<std::int64_t>(values.size())}, values) : graph_.scalar(0);
  }

  Graph& graph_;
  std::mt19937_64 random_;
  bool with_bias_;
  Dims dims_;
};

}  // namespace rulegrad::oracle
