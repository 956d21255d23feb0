#pragma once

#include <initializer_list>

#include "rulegrad/expr.hpp"
#include "rulegrad/op_attributes.hpp"

/// Networks and formulas in C++ that read as on paper. Every function applies the built-in operator of its name in
/// the graph of its operands; shapes, units and formulas are those of the operator (`rulegrad` docs, src/ops). Empty
/// lists in attribute structs mean the neutral value. All throw Error that names operator, operands and what disagrees.
namespace [[gnu::visibility("default")]] rulegrad {

/// A number where an expression is expected: a scalar of the other operand's dtype.
class Operand {
 public:
  Operand(Expr expr) : expr_(expr) {}         // NOLINT(google-explicit-constructor): both read as operands
  Operand(double number) : number_(number) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] Expr in(Expr other) const { return expr_ ? expr_ : other.graph().scalar(number_, other.dtype()); }

 private:
  Expr expr_;
  double number_ = 0;
};

Expr operator-(Expr x);
Expr operator+(Expr a, Operand b);
Expr operator-(Expr a, Operand b);
Expr operator*(Expr a, Operand b);
Expr operator/(Expr a, Operand b);
Expr operator+(double a, Expr b);
Expr operator-(double a, Expr b);
Expr operator*(double a, Expr b);
Expr operator/(double a, Expr b);

/// x [..., I], w [O, I], b [O] -> [..., O]
Expr dense(Expr x, Expr w, Operand b = 0.0);
Expr matmul(Expr a, Expr b, MatmulAttributes attributes = {});
/// x [N, C, spatial...], w [O, C / groups, kernel...], b [O]
Expr conv(Expr x, Expr w, Operand b = 0.0, ConvAttributes attributes = {});
Expr conv_transpose(Expr x, Expr w, Operand b = 0.0, ConvTransposeAttributes attributes = {});
/// Strides default to 1, not to the kernel.
Expr max_pool(Expr x, PoolAttributes attributes);
Expr avg_pool(Expr x, AvgPoolAttributes attributes);
Expr batch_norm(Expr x, Expr scale, Expr bias, Expr mean, Expr var, BatchNormAttributes attributes = {});

Expr relu(Expr x);
Expr sigmoid(Expr x);
Expr tanh(Expr x);
Expr exp(Expr x);
Expr log(Expr x);
Expr sqrt(Expr x);
Expr abs(Expr x);
Expr max(Expr a, Operand b);
Expr min(Expr a, Operand b);
Expr softmax(Expr x, std::int64_t axis);
Expr log_softmax(Expr x, std::int64_t axis);

/// Over the named axes; without axes over all.
Expr sum(Expr x, Ints axes = {}, bool keep = false);
Expr mean(Expr x, Ints axes = {}, bool keep = false);
Expr amax(Expr x, Ints axes = {}, bool keep = false);

Expr reshape(Expr x, Shape shape);
/// [B, ...] -> [B, product of the rest]
Expr flatten(Expr x);
Expr transpose(Expr x, Ints perm);
Expr concat(std::span<const Expr> parts, std::int64_t axis);
/// Integers [...] -> [..., depth]
Expr one_hot(Expr index, std::int64_t depth, DType dtype);

}  // namespace rulegrad
