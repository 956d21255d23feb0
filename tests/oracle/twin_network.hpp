#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

#include "oracle/lrp.hpp"

/// One random network in two forms: the graph that is tested, and the oracle's list of connections.
namespace rulegrad::oracle {

class TwinNetwork {
 public:
  TwinNetwork(Graph& graph, std::uint64_t seed, bool with_bias)
      : graph_(graph), random_(seed), with_bias_(with_bias) {}

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

  void input(std::int64_t channels, std::int64_t length) {
    dims_ = {channels, length};
    x = graph_.input("x", {graph_.real(), Shape{B, channels, length}});
    y = x;
  }

  /// Over one or two spatial axes; `extra` pads are at the end of the last axis only.
  void conv(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
            std::int64_t dilation, std::int64_t groups, std::int64_t extra = 0) {
    const bool line = dims_.size() == 2;
    const std::int64_t in = dims_[0], h = line ? 1 : dims_[1], w = dims_.back(), each = in / groups;
    const std::int64_t kernel_h = line ? 1 : kernel, pad_h = line ? 0 : pad;
    const auto extent = [&](std::int64_t n, std::int64_t k, std::int64_t pads) {
      return (n + pads - dilation * (k - 1) - 1) / stride + 1;
    };
    const std::int64_t oh = line ? 1 : extent(h, kernel, 2 * pad), ow = extent(w, kernel, 2 * pad + extra);
    const Vector weights = draw(static_cast<std::size_t>(out * each * kernel_h * kernel),
                                1 / std::sqrt(static_cast<double>(each * kernel_h * kernel)));
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
            for (std::int64_t i = 0; i < kernel_h; ++i)
              for (std::int64_t j = 0; j < kernel; ++j) {
                const std::int64_t row = p * stride - pad_h + i * dilation,
                                   column = q * stride - pad + j * dilation;
                if (row < 0 || row >= h || column < 0 || column >= w) continue;
                const std::int64_t channel = o / (out / groups) * each + c;
                layer.connections.push_back(
                    {static_cast<std::size_t>((channel * h + row) * w + column), to,
                     weights[static_cast<std::size_t>(((o * each + c) * kernel_h + i) * kernel + j)]});
              }
          layer.bias.push_back(bias[static_cast<std::size_t>(o)]);
        }
    layers.push_back(std::move(layer));
    if (line) {
      y = graph_.apply(op("conv"), {y, constant({out, each, kernel}, weights), bias_constant(bias)},
                       ConvAttributes{{stride}, {pad}, {pad + extra}, {dilation}, groups});
      dims_ = {out, ow};
    } else {
      y = graph_.apply(
          op("conv"), {y, constant({out, each, kernel, kernel}, weights), bias_constant(bias)},
          ConvAttributes{{stride, stride}, {pad, pad}, {pad, pad + extra}, {dilation, dilation}, groups});
      dims_ = {out, oh, ow};
    }
  }

  /// Zeros around the last two axes, by a node of their own; the next convolution should have no padding
  /// itself. The oracle's connections of that convolution leave the border out, so the layer is one here too.
  void padded_conv(std::int64_t out, std::int64_t kernel, std::int64_t pad) {
    const Expr before = y;
    conv(out, kernel, 1, pad, 1, 1);
    const Expr padded = graph_.apply(op("pad"), {before},
                                     PadAttributes{{0, 0, pad, pad}, {0, 0, pad, pad}, PadMode::constant, 0});
    y = graph_.apply(op("conv"), {padded, y.operand(1), y.operand(2)},
                     ConvAttributes{{1, 1}, {0, 0}, {0, 0}, {1, 1}, 1});
  }

  /// Behind a convolution or a dense layer it is part of that layer's weights in the oracle; behind anything
  /// else (folded = false) it is a layer with one connection for each value.
  void batch_norm(bool folded) {
    const std::int64_t channels = dims_[0], each = element_count(dims_) / channels;
    const auto count = static_cast<std::size_t>(channels);
    const Vector scale = draw(count, 1), shift = draw(count, 0.3), mean = draw(count, 0.3);
    Vector variance = draw(count, 1);
    for (double& v : variance) v = 0.5 + v * v;
    constexpr double epsilon = 1e-3;
    const auto factor = [&](std::size_t c) { return scale[c] / std::sqrt(variance[c] + epsilon); };
    if (folded) {
      Layer& layer = layers.back();
      for (Connection& c : layer.connections) c.weight *= factor(c.to / static_cast<std::size_t>(each));
      for (std::size_t j = 0; j < layer.outputs; ++j) {
        const std::size_t c = j / static_cast<std::size_t>(each);
        layer.bias[j] = (layer.bias[j] - mean[c]) * factor(c) + shift[c];
      }
    } else {
      Layer layer;
      layer.kind = Layer::Kind::batch_norm;
      layer.inputs = layer.outputs = static_cast<std::size_t>(element_count(dims_));
      for (std::size_t j = 0; j < layer.outputs; ++j) {
        const std::size_t c = j / static_cast<std::size_t>(each);
        layer.connections.push_back({j, j, factor(c)});
        layer.bias.push_back(shift[c] - mean[c] * factor(c));
      }
      layers.push_back(std::move(layer));
    }
    y = graph_.apply(op("batch_norm"),
                     {y, constant({channels}, scale), constant({channels}, shift), constant({channels}, mean),
                      constant({channels}, variance)},
                     BatchNormAttributes{epsilon, 1});
  }

  /// The mean over all places, as global average pooling.
  void global_average() {
    const std::int64_t channels = dims_[0];
    const std::size_t each = static_cast<std::size_t>(element_count(dims_) / channels);
    Layer layer;
    layer.kind = Layer::Kind::avg_pool;
    layer.inputs = each * static_cast<std::size_t>(channels);
    layer.outputs = static_cast<std::size_t>(channels);
    for (std::size_t i = 0; i < layer.inputs; ++i)
      layer.connections.push_back({i, i / each, 1 / static_cast<double>(each)});
    layers.push_back(std::move(layer));
    Ints axes;
    for (std::size_t axis = 1; axis < dims_.size(); ++axis)
      axes.push_back(static_cast<std::int64_t>(axis) + 1);
    y = graph_.apply(op("mean"), {y}, ReduceAttributes{axes, false});
    dims_ = {channels};
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
      for (std::size_t i = 0; i < layer.inputs; ++i)
        layer.connections.push_back({i, o, weights[o * layer.inputs + i]});
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
    const std::int64_t c = dims_[0], h = dims_[1], w = dims_[2], oh = (h - kernel) / stride + 1,
                       ow = (w - kernel) / stride + 1;
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
          if (!max)
            layer.connections.push_back(
                {from, static_cast<std::size_t>(o), 1.0 / static_cast<double>(kernel * kernel)});
        }
    }
    layers.push_back(std::move(layer));
    if (max)
      y = graph_.apply(op("max_pool"), {y},
                       PoolAttributes{{kernel, kernel}, {stride, stride}, {0, 0}, {0, 0}, {1, 1}, false});
    else
      y = graph_.apply(
          op("avg_pool"), {y},
          AvgPoolAttributes{{kernel, kernel}, {stride, stride}, {0, 0}, {0, 0}, {1, 1}, false, false});
    dims_ = {c, oh, ow};
  }

  Vector biases(std::size_t count) { return with_bias_ ? draw(count, 0.3) : Vector(count, 0.0); }
  Expr constant(Dims dims, const Vector& values) {
    return graph_.constant(Tensor(std::move(dims), std::span<const double>(values)).cast(graph_.real()));
  }
  Expr bias_constant(const Vector& values) {
    return with_bias_ ? constant({static_cast<std::int64_t>(values.size())}, values) : graph_.scalar(0);
  }

  Graph& graph_;
  std::mt19937_64 random_;
  bool with_bias_;
  Dims dims_;
};

}  // namespace rulegrad::oracle
