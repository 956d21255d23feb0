#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"

/// Networks written in C++. Two ways of saying the same; both give a Model, as a file would:
///
///     Model model = Sequential({B, 1, 28, 28})
///                       .conv(16, {3, 3}, {.pads_begin = {1, 1}, .pads_end = {1, 1}})
///                       .relu().max_pool({2, 2}).flatten().dense(10).softmax().finish();
///
///     Network net;
///     const Expr x = net.input("x", {B, 1, 28, 28});
///     const Expr h = max_pool(relu(net.conv(x, 16, {3, 3})), {.kernel = {2, 2}, .strides = {2, 2}});
///     Model model = net.finish(softmax(net.dense(flatten(h), 10), 1));
namespace [[gnu::visibility("default")]] rulegrad {

/// Makes layers with parameters of their own; what has none comes from build.hpp. Weights begin as random
/// numbers of variance 2 / fan-in (He et al. 2015, arXiv 1502.01852, eq. 10), biases as zeros, unless they
/// are given. A layer is named `conv1`, `dense2`, ... in the order of its kind, or as it is told; its
/// parameters are `conv1.w`, `conv1.b`.
class Network {
 public:
  /// float32 or float64; equal seeds give equal weights.
  explicit Network(DType dtype = DType::float32, std::uint32_t seed = 1);
  Network(Network&& other) noexcept;
  Network& operator=(Network&& other) noexcept;
  ~Network();

  /// Where the layers are. Throws Error(invalid_argument) once the network is finished.
  [[nodiscard]] Graph& graph() const;
  /// A value that runs give by name, of the network's dtype unless one is named; its shape begins with the
  /// batch B.
  Expr input(const std::string& name, Shape shape);
  Expr input(const std::string& name, Shape shape, DType dtype);
  /// A constant that training may change, by name.
  Expr parameter(const std::string& name, Tensor value);

  /// x [..., I] -> [..., units]. Throws Error(shape).
  Expr dense(Expr x, std::int64_t units, const std::string& name = {});
  /// With a weight [O, I] and a bias [O], or none.
  Expr dense(Expr x, Tensor weight, Tensor bias = {}, const std::string& name = {});
  /// x [N, C, spatial...] -> [N, channels, ...]; the kernel has an extent for each spatial axis.
  Expr conv(Expr x, std::int64_t channels, Ints kernel, ConvAttributes attributes = {},
            const std::string& name = {});
  /// With a weight [O, C / groups, kernel...] and a bias [O], or none.
  Expr conv(Expr x, Tensor weight, Tensor bias = {}, ConvAttributes attributes = {},
            const std::string& name = {});

  /// The network as a model, with outputs `y`, `y_1`, ...; nothing can be added afterwards.
  [[nodiscard]] Model finish(Expr output);
  [[nodiscard]] Model finish(std::span<const Expr> outputs);

 private:
  struct Data;
  /// Throws Error(invalid_argument) for a network that was moved from.
  [[nodiscard]] Data& data() const;
  [[nodiscard]] std::string layer_name(const std::string& kind, const std::string& given);
  [[nodiscard]] Tensor random_weight(Dims dims, std::int64_t fan_in);

  std::unique_ptr<Data> data_;
};

/// A network whose layers stand one after the other.
class Sequential {
 public:
  /// The input `x`: its shape begins with the batch, as in {B, 3, 224, 224}.
  explicit Sequential(Shape input, DType dtype = DType::float32, std::uint32_t seed = 1);

  /// [B, I] -> [B, units]
  Sequential& dense(std::int64_t units);
  /// With a weight [O, I] and a bias [O], or none.
  Sequential& dense(Tensor weight, Tensor bias = {});
  /// [B, C, spatial...] -> [B, channels, ...]; the kernel has an extent for each spatial axis.
  Sequential& conv(std::int64_t channels, Ints kernel, ConvAttributes attributes = {});
  /// With a weight [O, C / groups, kernel...] and a bias [O], or none.
  Sequential& conv(Tensor weight, Tensor bias = {}, ConvAttributes attributes = {});
  /// The largest value of each window; strides are the kernel's extents unless given.
  Sequential& max_pool(Ints kernel, Ints strides = {});
  /// The mean of each window; strides are the kernel's extents unless given.
  Sequential& avg_pool(Ints kernel, Ints strides = {});
  Sequential& relu();     ///< max(x, 0)
  Sequential& sigmoid();  ///< 1 / (1 + exp(-x))
  Sequential& tanh();     ///< the hyperbolic tangent
  Sequential& softmax();  ///< over axis 1
  Sequential& flatten();  ///< [B, ...] -> [B, product of the rest]
  /// Any function of what came before.
  template <class F>
  Sequential& then(F&& f) {
    return set(f(last_));
  }

  /// What came last, to go on from or to name.
  [[nodiscard]] Expr last() const { return last_; }
  /// The network as a model, with the output `y`; nothing can be added afterwards.
  [[nodiscard]] Model finish();

 private:
  Sequential& set(Expr expr);

  Network network_;
  Expr last_;
};

}  // namespace rulegrad
