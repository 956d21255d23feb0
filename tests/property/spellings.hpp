#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"

/// One function in the many ways in which exporters and people write it: operands exchanged, products and
/// sums put together in another order, constants split or rounded to float32, reciprocals for divisions.
/// Spelling 0 is that of the operators that ship.
namespace rulegrad::testing {

class Speller {
 public:
  explicit Speller(std::uint64_t seed) : random_(seed), plain_(seed == 0) {}

  [[nodiscard]] bool plain() const { return plain_; }
  std::size_t pick(std::size_t count) {
    return plain_ ? 0 : std::uniform_int_distribution<std::size_t>(0, count - 1)(random_);
  }
  bool coin() { return pick(2) == 1; }

  Expr apply(std::string_view name, std::vector<Expr> operands, Attributes attributes = {}) {
    return operands[0].graph().apply(op(name), std::move(operands), std::move(attributes));
  }
  Expr number(double value, Expr like) {
    if (coin()) value = static_cast<double>(static_cast<float>(value));
    return like.graph().scalar(value, like.dtype());
  }
  Expr mul(Expr a, Expr b) { return coin() ? b * a : a * b; }
  Expr add(Expr a, Expr b) { return coin() ? b + a : a + b; }
  Expr scaled(Expr x, double factor) {
    switch (pick(4)) {
      case 1:
        return x / number(1 / factor, x);
      case 2:
        return mul(mul(x, number(2, x)), number(factor / 2, x));
      case 3:
        return mul(number(factor / 4, x), mul(number(4, x), x));
      default:
        return mul(x, number(factor, x));
    }
  }
  Expr over(Expr a, Expr b) {
    switch (pick(3)) {
      case 1:
        return mul(a, apply("reciprocal", {b}));
      case 2:
        return mul(a, number(1, b) / b);
      default:
        return a / b;
    }
  }
  Expr square(Expr x) { return coin() ? apply("pow", {x, number(2, x)}) : x * x; }
  /// The product of several, in any order and any association.
  Expr product(std::vector<Expr> factors) {
    std::shuffle(factors.begin(), factors.end(), random_);
    while (factors.size() > 1) {
      const std::size_t at = pick(factors.size() - 1);
      factors[at] = factors[at] * factors[at + 1];
      factors.erase(factors.begin() + static_cast<std::ptrdiff_t>(at) + 1);
    }
    return factors[0];
  }

  Expr sigmoid(Expr x) {
    switch (pick(3)) {
      case 1:
        return over(number(1, x), add(number(1, x), rulegrad::exp(-x)));
      case 2:
        return over(rulegrad::exp(x), add(rulegrad::exp(x), number(1, x)));
      default:
        return rulegrad::sigmoid(x);
    }
  }
  Expr relu(Expr x) {
    switch (pick(3)) {
      case 1:
        return rulegrad::max(number(0, x), x);
      case 2:
        return apply("where", {apply("greater", {x, number(0, x)}), x, number(0, x)});
      default:
        return rulegrad::relu(x);
    }
  }
  Expr softplus(Expr x) {
    return coin() ? rulegrad::log(add(rulegrad::exp(x), number(1, x))) : apply("softplus", {x});
  }
  Expr clipped(Expr x, double low, double high) {
    switch (pick(3)) {
      case 1:
        return rulegrad::min(rulegrad::max(x, number(low, x)), number(high, x));
      case 2:
        return rulegrad::max(rulegrad::min(x, number(high, x)), number(low, x));
      default:
        return apply("clip", {x}, ClipAttributes{low, high});
    }
  }

  static constexpr std::size_t functions = 10;
  Expr function(std::size_t which, Expr x) {
    switch (which) {
      case 0:
        return plain_ ? apply("silu", {x}) : mul(x, sigmoid(x));
      case 1:
        return gelu(x);
      case 2:
        return tanh_gelu(x);
      case 3:
        return plain_ ? apply("mish", {x}) : mul(x, apply("tanh", {softplus(x)}));
      case 4:
        return plain_ ? apply("softsign", {x}) : over(x, add(number(1, x), rulegrad::abs(x)));
      case 5:
        return plain_ ? apply("quick_gelu", {x}) : mul(x, sigmoid(scaled(x, 1.702)));
      case 6:
        return plain_ ? apply("hardswish", {x})
                      : product({x, clipped(add(x, number(3, x)), 0, 6), number(1.0 / 6, x)});
      case 7:
        return plain_   ? apply("hardsigmoid", {x}, HardsigmoidAttributes{1.0 / 6, 0.5})
               : coin() ? scaled(clipped(add(x, number(3, x)), 0, 6), 1.0 / 6)
                        : clipped(add(scaled(x, 1.0 / 6), number(0.5, x)), 0, 1);
      case 8:
        return relu(x);
      default:
        return softplus(x);
    }
  }

  Expr layer_norm(Expr x, Expr w, Expr b, double epsilon) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    if (plain_) return apply("layer_norm", {x, w, b}, LayerNormAttributes{axis, epsilon});
    const Expr m = mean(x, {axis}, true), d = x - m;
    const Expr variance =
        pick(3) == 2 ? mean(square(x), {axis}, true) - square(m) : mean(square(d), {axis}, true);
    return add(mul(normalised(d, variance, epsilon), w), b);
  }
  Expr rms_norm(Expr x, Expr w, double epsilon) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    if (plain_) return apply("rms_norm", {x, w}, LayerNormAttributes{axis, epsilon});
    return mul(normalised(x, mean(square(x), {axis}, true), epsilon), w);
  }

  /// silu(g) u, as gated layers are.
  Expr gated(Expr g, Expr u) {
    switch (plain_ ? 0 : 1 + pick(3)) {
      case 0:
        return apply("silu", {g}) * u;
      case 1:
        return mul(g, u) / add(number(1, g), rulegrad::exp(-g));
      default:
        return product({g, sigmoid(g), u});
    }
  }
  /// 1 - sigmoid(x).
  Expr other_gate(Expr x) {
    switch (pick(4)) {
      case 1:
        return number(1, x) - sigmoid(x);
      case 2:
        return over(number(1, x), add(number(1, x), rulegrad::exp(x)));
      case 3:
        return add(number(1, x), -sigmoid(x));
      default:
        return rulegrad::sigmoid(-x);
    }
  }
  /// RMS norm with weights, gated by g.
  Expr gated_rms_norm(Expr x, Expr w, Expr g, double epsilon) {
    if (plain_) return mul(rms_norm(x, w, epsilon), g);
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    const Expr v = add(mean(square(x), {axis}, true), number(epsilon, x));
    switch (pick(3)) {
      case 0:
        return product({x, apply("pow", {v, number(-0.5, x)}), w, g});
      case 1:
        return product({x, w, g}) / rulegrad::sqrt(v);
      default:
        return product({x, apply("reciprocal", {rulegrad::sqrt(v)}), w, g});
    }
  }
  /// x / |x| along the last axis.
  Expr unit_vector(Expr x) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    if (plain_) return apply("lp_normalize", {x}, LpNormalizeAttributes{axis, 2, 1e-6, 0});
    const Expr v = add(sum(square(x), {axis}, true), number(1e-6, x));
    switch (pick(3)) {
      case 1:
        return mul(x, apply("pow", {v, number(-0.5, x)}));
      case 2:
        return over(x, apply("pow", {v, number(0.5, x)}));
      default:
        return over(x, rulegrad::sqrt(v));
    }
  }
  /// x / max(|x|, least) along the last axis.
  Expr bounded_vector(Expr x, double least) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    if (plain_) return apply("lp_normalize", {x}, LpNormalizeAttributes{axis, 2, 0, least});
    const Expr s = sum(square(x), {axis}, true), bound = number(least, x);
    switch (pick(3)) {
      case 1:
        return over(x, rulegrad::sqrt(rulegrad::max(s, number(least * least, x))));
      case 2:
        return x / apply("expand", {rulegrad::max(bound, rulegrad::sqrt(s))}, ShapeAttributes{x.shape()});
      default:
        return over(x, rulegrad::max(rulegrad::sqrt(s), bound));
    }
  }
  /// x over the sum of sizes along the last axis, or over `least` where that is more.
  Expr shares(Expr x, double least) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    if (plain_) return apply("lp_normalize", {x}, LpNormalizeAttributes{axis, 1, 0, least});
    const Expr s = sum(rulegrad::abs(x), {axis}, true);
    return least == 0 ? x / s : x / rulegrad::max(s, number(least, x));
  }
  /// q k^T times a number, wherever it stands.
  Expr scores(Expr q, Expr k, double factor) {
    const MatmulAttributes turned{.transpose_a = false, .transpose_b = true};
    switch (pick(4)) {
      case 1:
        return matmul(scaled(q, factor), k, turned);
      case 2:
        return matmul(q, scaled(k, factor), turned);
      case 3:
        return matmul(scaled(q, std::sqrt(factor)), scaled(k, std::sqrt(factor)), turned);
      default:
        return scaled(matmul(q, k, turned), factor);
    }
  }
  /// A dense layer whose bias is a number more everywhere.
  Expr shifted_dense(Expr x, Expr w, Expr b, double shift) {
    switch (pick(3)) {
      case 1:
        return add(dense(x, w, b), number(shift, x));
      case 2:
        return dense(x, w, b) - number(-shift, x);
      default:
        return dense(x, w, b + shift);
    }
  }
  /// A dense layer that gives what is less than nothing.
  Expr negated_dense(Expr x, Expr w, Expr b) {
    switch (pick(4)) {
      case 1:
        return -dense(x, w, b);
      case 2:
        return mul(dense(x, w, b), number(-1, x));
      case 3:
        return number(0, x) - dense(x, w, b);
      default:
        return dense(x, -w, -b);
    }
  }
  /// A dense layer and a batch norm: factor k and shift s for each feature, in front or behind a movement.
  Expr normed_dense(Expr x, Expr w, Expr b, Expr k, Expr s) {
    const std::int64_t features = w.shape()[0].factor;
    const auto column = [&](Expr v) { return reshape(v, Shape{features, 1}); };
    const auto turned = [&](Expr v) { return apply("transpose", {v}, TransposeAttributes{{0, 2, 1}}); };
    switch (pick(5)) {
      case 1:
        return add(mul(dense(x, w, b), k), s);
      case 2:
        return turned(add(mul(turned(dense(x, w, b)), column(k)), column(s)));
      case 3: {
        const Expr nothing = k * 0.0, one = nothing + 1.0;
        return turned(apply("batch_norm", {turned(dense(x, w, b)), k, s, nothing, one - 1e-3},
                            BatchNormAttributes{1e-3, 1}));
      }
      case 4: {
        const Expr y = dense(x, w, b);
        std::vector<Dim> wide = y.shape().dims();
        wide.insert(wide.begin() + 1, Dim{1});
        return reshape(mul(reshape(y, Shape(wide)) + s / k, k), y.shape());
      }
      default:
        return dense(x, w * column(k), b * k + s);
    }
  }
  /// sum_t softmax(scores)_t x_t over tokens [B, T, D], scores [B, T, 1].
  Expr attention_pooling(Expr scores, Expr x) {
    const auto turned = [&](Expr v) { return apply("transpose", {v}, TransposeAttributes{{0, 2, 1}}); };
    const Expr weights = rulegrad::softmax(turned(scores), 2);
    const std::int64_t width = x.shape()[2].factor;
    switch (pick(3)) {
      case 1:
        return sum(mul(turned(weights), x), {1});
      case 2:
        return reshape(matmul(turned(x), turned(weights)), Shape{B, width});
      default:
        return reshape(matmul(weights, x), Shape{B, width});
    }
  }
  /// Tokens mixed by a matrix [T, T].
  Expr token_mixing(Expr x, Expr w) {
    const auto turned = [&](Expr v) { return apply("transpose", {v}, TransposeAttributes{{0, 2, 1}}); };
    return coin() ? matmul(w, x) : turned(dense(turned(x), w));
  }

  Expr softmax(Expr x) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    switch (pick(4)) {
      case 1: {
        const Expr e = rulegrad::exp(x - amax(x, {axis}, true));
        return over(e, sum(e, {axis}, true));
      }
      case 2: {
        const Expr e = rulegrad::exp(x);
        return over(e, sum(e, {axis}, true));
      }
      case 3:
        return rulegrad::softmax(x - amax(x, {axis}, true), axis);
      default:
        return rulegrad::softmax(x, axis);
    }
  }
  Expr log_softmax(Expr x) {
    const std::int64_t axis = static_cast<std::int64_t>(x.shape().rank()) - 1;
    const Expr top = amax(x, {axis}, true);
    const auto logarithm = [&](Expr v) { return rulegrad::log(sum(rulegrad::exp(v), {axis}, true)); };
    switch (pick(5)) {
      case 1:
        return x - logarithm(x);
      case 2:
        return (x - top) - logarithm(x - top);
      case 3:
        return x - add(logarithm(x - top), top);
      case 4:
        return rulegrad::log(softmax(x));
      default:
        return rulegrad::log_softmax(x, axis);
    }
  }

 private:
  Expr gelu(Expr x) {
    if (plain_) return apply("gelu", {x});
    const Expr e = apply("erf", {scaled(x, 1 / std::sqrt(2.0))});
    if (coin()) return product({x, add(scaled(e, 0.5), number(0.5, x))});
    return product({x, number(0.5, x), add(e, number(1, x))});
  }
  Expr tanh_gelu(Expr x) {
    if (plain_) return apply("gelu", {x}, GeluAttributes{GeluForm::tanh});
    const Expr cube = coin() ? apply("pow", {x, number(3, x)}) : product({x, x, x});
    const Expr inner =
        coin() ? add(x, scaled(cube, 0.044715)) : mul(x, add(number(1, x), scaled(square(x), 0.044715)));
    return product({x, number(0.5, x),
                    add(number(1, x), apply("tanh", {scaled(inner, std::sqrt(2 / std::acos(-1.0)))}))});
  }
  /// a / sqrt(variance + epsilon)
  Expr normalised(Expr a, Expr variance, double epsilon) {
    const Expr v = add(variance, number(epsilon, a));
    switch (pick(4)) {
      case 1:
        return mul(a, apply("pow", {v, number(-0.5, a)}));
      case 2:
        return over(a, apply("pow", {v, number(0.5, a)}));
      default:
        return over(a, rulegrad::sqrt(v));
    }
  }

  std::mt19937_64 random_;
  bool plain_;
};

}  // namespace rulegrad::testing
