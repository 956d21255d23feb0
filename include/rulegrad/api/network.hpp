#pragma once

#include <array>
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

/// What a recurrent layer gives of x [B, T, I].
struct RecurrentStates {
  Expr all;   ///< its state after each step: [B, T, units]
  Expr last;  ///< after the last one: [B, units]
};

/// Makes layers with parameters of their own; what has none comes from build.hpp. Weights begin as random
/// numbers of variance 2 / fan-in (He et al. 2015, arXiv 1502.01852, eq. 10), biases as zeros, unless they
/// are given or a layer says otherwise. A layer is named `conv1`, `dense2`, ... in the order of its kind, or
/// as it is told; its parameters are `conv1.w`, `conv1.b`.
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

  /// The rows of a table at integers from 0 to rows - 1, as of words: ids [...] -> [..., width]. The table
  /// begins as numbers of variance 1. Throws Error(dtype), Error(shape).
  Expr embedding(Expr ids, std::int64_t rows, std::int64_t width, const std::string& name = {});
  /// With a table [rows, width].
  Expr embedding(Expr ids, Tensor table, const std::string& name = {});
  /// A layer of LSTM cells (Hochreiter and Schmidhuber 1997; with a forget gate Gers et al. 2000), written out
  /// step by step from a state of zeros: i, o, f = sigmoid(..), g = tanh(..) of W x + R h + b, c' = f c + i g,
  /// h' = o tanh(c'). The values of step 3 are named `lstm1.t3.input`, `.output`, `.forget`, `.candidate`,
  /// `.cell` and `.hidden`, as those of a file's LSTM are. Parameters begin as uniform numbers within
  /// 1 / sqrt(units). Throws Error(shape).
  RecurrentStates lstm(Expr x, std::int64_t units, const std::string& name = {});
  /// With W [4 units, I], R [4 units, units] and b [4 units], or none; the gates in ONNX's order i, o, f, g.
  RecurrentStates lstm(Expr x, Tensor w, Tensor r, Tensor b = {}, const std::string& name = {});
  /// A layer of GRU cells (Cho et al. 2014, arXiv 1406.1078, eq. 5 to 8), likewise: z, r = sigmoid(W x + R h +
  /// b), n = tanh(W x + R (r h) + b), h' = (1 - z) n + z h, named `gru1.t3.update`, `.reset`, `.candidate` and
  /// `.hidden`.
  RecurrentStates gru(Expr x, std::int64_t units, const std::string& name = {});
  /// With W [3 units, I], R [3 units, units] and b [3 units], or none; in ONNX's order z, r, n.
  RecurrentStates gru(Expr x, Tensor w, Tensor r, Tensor b = {}, const std::string& name = {});

  /// The network as a model, with outputs `y`, `y_1`, ...; nothing can be added afterwards.
  [[nodiscard]] Model finish(Expr output);
  [[nodiscard]] Model finish(std::span<const Expr> outputs);

 private:
  struct Data;
  /// Throws Error(invalid_argument) for a network that was moved from.
  [[nodiscard]] Data& data() const;
  [[nodiscard]] std::string layer_name(const std::string& kind, const std::string& given);
  [[nodiscard]] Tensor random_weight(Dims dims, double variance);
  /// W, R and b of a recurrent layer of so many gates.
  [[nodiscard]] std::array<Tensor, 3> random_cell(const char* kind, std::int64_t gates, Expr x,
                                                  std::int64_t units);

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
