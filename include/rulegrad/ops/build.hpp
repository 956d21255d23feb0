#pragma once

#include <initializer_list>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/op_attributes.hpp"

/// Networks and formulas in C++ that read as on paper. Every function applies the built-in operator of its
/// name in the graph of its operands; shapes, units and formulas are those of the operator (`rulegrad` docs,
/// src/ops). Empty lists in attribute structs mean the neutral value. All throw Error that names operator,
/// operands and what disagrees.
namespace [[gnu::visibility("default")]] rulegrad {

/// A number where an expression is expected: a scalar of the other operand's dtype.
class Operand {
 public:
  /// Both read as operands.
  Operand(Expr expr) : expr_(expr) {}          // NOLINT(google-explicit-constructor)
  Operand(double number) : number_(number) {}  // NOLINT(google-explicit-constructor)
  /// The expression, or the number as a scalar in the graph and of the dtype of `other`.
  [[nodiscard]] Expr in(Expr other) const {
    return expr_ ? expr_ : other.graph().scalar(number_, other.dtype());
  }

 private:
  Expr expr_;
  double number_ = 0;
};

/// Element by element. Shapes broadcast as in NumPy: the last axes align, and an extent of 1 stretches.
Expr operator-(Expr x);
Expr operator+(Expr a, Operand b);  ///< a + b, broadcast
Expr operator-(Expr a, Operand b);  ///< a - b, broadcast
Expr operator*(Expr a,
               Operand b);  ///< a b, element by element, broadcast; `matmul` is the product of matrices
Expr operator/(Expr a, Operand b);  ///< a / b, broadcast; an element 0 of b gives infinity or NaN
Expr operator+(double a, Expr b);   ///< a + b
Expr operator-(double a, Expr b);   ///< a - b
Expr operator*(double a, Expr b);   ///< a b
Expr operator/(double a, Expr b);   ///< a / b

/// x w^T + b: x [..., I], w [O, I], b [O] or none -> [..., O].
Expr dense(Expr x, Expr w, Operand b = 0.0);
/// The product of matrices as NumPy has it: a [..., N, K], b [..., K, M] -> [..., N, M]; leading axes
/// broadcast. The last two axes of an operand may be swapped first.
Expr matmul(Expr a, Expr b, MatmulAttributes attributes = {});
/// The convolution of neural networks (a cross-correlation) over 1 to 3 spatial axes: x [N, C, spatial...],
/// w [O, C / groups, kernel...], b [O] or none -> [N, O, spatial'...], where spatial' = (spatial + pads -
/// dilation (kernel - 1) - 1) / stride + 1, rounded down.
Expr conv(Expr x, Expr w, Operand b = 0.0, ConvAttributes attributes = {});
/// The adjoint of `conv` for its input: x [N, O, ...], w [O, C / groups, kernel...], b [C] or none -> [N, C,
/// spatial...].
Expr conv_transpose(Expr x, Expr w, Operand b = 0.0, ConvTransposeAttributes attributes = {});
/// The largest value of each window: x [N, C, spatial...] -> [N, C, spatial'...]. Strides default to 1, not
/// to the kernel.
Expr max_pool(Expr x, PoolAttributes attributes);
/// The mean of each window: x [N, C, spatial...] -> [N, C, spatial'...]. Strides default to 1; padding does
/// not count unless `count_padding` says so.
Expr avg_pool(Expr x, AvgPoolAttributes attributes);
/// scale (x - mean) / sqrt(var + epsilon) + bias for each channel (Ioffe and Szegedy 2015, arXiv 1502.03167,
/// algorithm 2): x [N, C, ...], the others [C].
Expr batch_norm(Expr x, Expr scale, Expr bias, Expr mean, Expr var, BatchNormAttributes attributes = {});

Expr relu(Expr x);            ///< max(x, 0), element by element
Expr sigmoid(Expr x);         ///< 1 / (1 + exp(-x)), element by element
Expr tanh(Expr x);            ///< the hyperbolic tangent, element by element
Expr exp(Expr x);             ///< e^x, element by element
Expr log(Expr x);             ///< the natural logarithm, element by element
Expr sqrt(Expr x);            ///< the square root, element by element
Expr abs(Expr x);             ///< |x|, element by element
Expr max(Expr a, Operand b);  ///< the larger of two, element by element, broadcast
Expr min(Expr a, Operand b);  ///< the smaller of two, element by element, broadcast
/// exp(x_i) / sum_k exp(x_k) along `axis`, which may count from the end; the shape stays.
Expr softmax(Expr x, std::int64_t axis);
/// x_i - log sum_k exp(x_k) along `axis`; the shape stays.
Expr log_softmax(Expr x, std::int64_t axis);

/// The sum over the named axes, without axes over all; `keep` leaves extents of 1 where they were.
Expr sum(Expr x, Ints axes = {}, bool keep = false);
/// The mean over the named axes, without axes over all; `keep` leaves extents of 1 where they were.
Expr mean(Expr x, Ints axes = {}, bool keep = false);
/// The largest value over the named axes, without axes over all; `keep` leaves extents of 1 where they were.
Expr amax(Expr x, Ints axes = {}, bool keep = false);

/// The elements in row-major order under another shape of as many; batch extents stay batch extents.
Expr reshape(Expr x, Shape shape);
/// [B, ...] -> [B, product of the rest]
Expr flatten(Expr x);
/// Axis i of the result is axis perm[i] of x; an empty perm reverses them.
Expr transpose(Expr x, Ints perm);
/// The parts one after another along `axis`; all other extents are equal.
Expr concat(std::span<const Expr> parts, std::int64_t axis);
/// Integers [...] -> [..., depth]: 1 at the index, 0 elsewhere.
Expr one_hot(Expr index, std::int64_t depth, DType dtype);

}  // namespace rulegrad
