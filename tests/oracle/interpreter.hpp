#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "oracle/conv.hpp"
#include "oracle/pool.hpp"

/// Expressions computed node by node, by plain float64 loops, with how far a float32 program may be off: each
/// operation adds half a unit in the last place of the magnitudes it adds up, and hands on what its operands
/// are off.
namespace oracle {

/// u of float32.
inline constexpr double unit_roundoff = 1.0 / (1 << 24);

struct Interpreted {
  Dims dims;
  Values value, error;
};

class Interpreter {
 public:
  /// `slack`: how many times the error a value may be off before a decision (a comparison, a sign, a maximum)
  /// hangs on it.
  Interpreter(std::map<std::string, rulegrad::Tensor> inputs, std::int64_t batch, double slack)
      : inputs_(std::move(inputs)), extents_{batch, 1}, slack_(slack) {}

  const Interpreted& of(rulegrad::Expr root) {
    for (const rulegrad::Expr e : rulegrad::topological_order(std::span(&root, 1)))
      if (!known_.contains(e)) {
        undecided_ = std::any_of(e.operands().begin(), e.operands().end(),
                                 [&](rulegrad::Expr operand) { return hanging_.at(operand); });
        known_.emplace(e, compute(e));
        hanging_.emplace(e, undecided_);
      }
    return known_.at(root);
  }
  /// Some decision below was within rounding: float32 may have taken the other way.
  [[nodiscard]] bool undecided(rulegrad::Expr e) const { return hanging_.at(e); }

 private:
  using Expr = rulegrad::Expr;
  struct Number {
    double value, error;
  };

  Interpreted compute(Expr e) {
    const Dims dims = e.shape().at(extents_);
    const std::string op = e.op().name;
    if (op == "input") return given(dims, inputs_.at(e.attributes<rulegrad::InputAttributes>().name));
    if (op == "constant") return given(dims, e.attributes<rulegrad::ConstantAttributes>().value);
    if (op == "fill")
      return filled(dims,
                    static_cast<double>(static_cast<float>(e.attributes<rulegrad::FillAttributes>().value)));
    if (op == "conv") return convolved(e, dims, e.attributes<rulegrad::ConvAttributes>(), true);
    if (op == "conv_transpose")
      return convolved(e, dims, e.attributes<rulegrad::ConvTransposeAttributes>(), false);
    if (op == "dense" || op == "matmul") return product(e, dims);
    if (op == "max_pool") return max_pooled(e, dims);
    if (op == "max_pool_vjp") return max_unpooled(e, dims);
    if (op == "reshape" || op == "identity" || op == "const") return {dims, arg(e, 0).value, arg(e, 0).error};
    if (op == "one_hot") return one_hot(e, dims);
    if (op == "accum") return added_up(e, dims);
    return elementwise(e, dims);
  }

  const Interpreted& arg(Expr e, std::size_t i) const { return known_.at(e.operand(i)); }

  static Interpreted filled(const Dims& dims, double value) {
    const auto n = static_cast<std::size_t>(count(dims));
    return {dims, Values(n, value), Values(n, 0.0)};
  }
  static Interpreted given(const Dims& dims, const rulegrad::Tensor& values) {
    Interpreted result = filled(dims, 0);
    for (std::size_t i = 0; i < result.value.size(); ++i)
      result.value[i] = values.at(static_cast<std::int64_t>(i));
    return result;
  }

  /// Does a decision hang on the rounding of this value's distance from 0?
  bool near_zero(Number a) {
    const bool near = a.error > 0 && std::abs(a.value) <= slack_ * a.error;
    undecided_ = undecided_ || near;
    return near;
  }

  /// Sum of products, each i, j, k of which `products` calls with.
  template <class Products>
  Interpreted contraction(const Dims& dims, const Interpreted& a, const Interpreted& b, Products&& products) {
    Interpreted y = filled(dims, 0);
    products([&](std::size_t i, std::size_t j, std::size_t k) {
      y.value[k] += a.value[i] * b.value[j];
      y.error[k] += unit_roundoff * std::abs(a.value[i] * b.value[j]) + a.error[i] * std::abs(b.value[j]) +
                    std::abs(a.value[i]) * b.error[j];
    });
    return y;
  }

  template <class Attributes>
  Interpreted convolved(Expr e, const Dims& dims, const Attributes& a, bool forward) {
    const Interpreted &data = arg(e, 0), &w = arg(e, 1);
    const Dims& x = forward ? data.dims : dims;
    const Conv c{x[0],
                 x[1],
                 forward ? dims[1] : data.dims[1],
                 a.groups,
                 {x.begin() + 2, x.end()},
                 {w.dims.begin() + 2, w.dims.end()},
                 a.strides,
                 a.pads_begin,
                 a.pads_end,
                 a.dilations};
    Interpreted y = contraction(dims, data, w, [&](auto&& f) {
      c.for_each_product(
          [&](std::size_t i, std::size_t j, std::size_t k) { forward ? f(i, j, k) : f(k, j, i); });
    });
    Dims bias = arg(e, 2).dims;
    if (bias.size() == 1) bias.resize(dims.size() - 1, 1);
    return biased(std::move(y), bias, arg(e, 2));
  }

  Interpreted product(Expr e, const Dims& dims) {
    const bool dense = e.is("dense");
    const Interpreted &a = arg(e, 0), &b = arg(e, 1);
    if (a.dims.size() != 2 || b.dims.size() != 2)
      throw std::runtime_error("the interpreter multiplies matrices alone");
    const bool ta = !dense && e.attributes<rulegrad::MatmulAttributes>().transpose_a,
               tb = dense || e.attributes<rulegrad::MatmulAttributes>().transpose_b;
    const std::int64_t inner = a.dims[ta ? 0 : 1];
    Interpreted y = contraction(dims, a, b, [&](auto&& f) {
      for (std::int64_t r = 0; r < dims[0]; ++r)
        for (std::int64_t c = 0; c < dims[1]; ++c)
          for (std::int64_t k = 0; k < inner; ++k)
            f(static_cast<std::size_t>(ta ? k * a.dims[1] + r : r * a.dims[1] + k),
              static_cast<std::size_t>(tb ? c * b.dims[1] + k : k * b.dims[1] + c),
              static_cast<std::size_t>(r * dims[1] + c));
    });
    return dense ? biased(std::move(y), arg(e, 2).dims, arg(e, 2)) : y;
  }

  static Interpreted biased(Interpreted y, const Dims& dims, const Interpreted& bias) {
    std::size_t k = 0;
    for_each_index(y.dims, [&](const Dims& at) {
      const std::size_t i = broadcast(dims, at);
      y.value[k] += bias.value[i];
      y.error[k] += bias.error[i] + (bias.value[i] == 0 ? 0 : unit_roundoff * std::abs(y.value[k]));
      ++k;
    });
    return y;
  }

  Pool windows(Expr e, const Dims& x, const Dims& y) const {
    const auto& a = e.attributes<rulegrad::PoolAttributes>();
    return {{x.begin() + 2, x.end()},
            {y.begin() + 2, y.end()},
            a.kernel,
            a.strides,
            a.pads_begin,
            a.pads_end,
            a.dilations};
  }

  Interpreted max_pooled(Expr e, const Dims& dims) {
    const Interpreted& x = arg(e, 0);
    Interpreted y = filled(dims, 0);
    const auto where = first_maxima(windows(e, x.dims, dims), x.value, dims[0] * dims[1]);
    for (std::size_t k = 0; k < where.size(); ++k) {
      y.value[k] = x.value[static_cast<std::size_t>(where[k])];
      y.error[k] = *std::max_element(x.error.begin(), x.error.end()) == 0
                       ? 0
                       : x.error[static_cast<std::size_t>(where[k])];
    }
    return y;
  }

  Interpreted max_unpooled(Expr e, const Dims& dims) {
    const Interpreted &x = arg(e, 0), &g = arg(e, 1);
    const Pool p = windows(e, x.dims, g.dims);
    const auto where = first_maxima(p, x.value, dims[0] * dims[1]);
    Interpreted y = filled(dims, 0);
    std::size_t k = 0;
    for (std::int64_t plane = 0; plane < dims[0] * dims[1]; ++plane)
      for_each_index(p.out, [&](const Dims& o) {
        const auto best = static_cast<std::size_t>(where[k]);
        p.for_each_position(o, [&](std::int64_t at, bool) {
          if (at < 0) return;
          const auto i = static_cast<std::size_t>(at + plane * count(p.in));
          if (i != best) (void)near_zero({x.value[best] - x.value[i], x.error[best] + x.error[i]});
        });
        y.value[best] += g.value[k];
        y.error[best] += g.error[k] + unit_roundoff * std::abs(g.value[k]);
        ++k;
      });
    return y;
  }

  Interpreted one_hot(Expr e, const Dims& dims) {
    Interpreted y = filled(dims, 0);
    const Interpreted& index = arg(e, 0);
    for (std::size_t i = 0; i < index.value.size(); ++i)
      y.value[i * static_cast<std::size_t>(dims.back()) + static_cast<std::size_t>(index.value[i])] = 1;
    return y;
  }

  Interpreted added_up(Expr e, const Dims& dims) {
    Interpreted y = filled(dims, 0);
    for (std::size_t part = 0; part < e.operands().size(); ++part)
      for (std::size_t i = 0; i < y.value.size(); ++i) {
        y.value[i] += arg(e, part).value[i];
        y.error[i] += arg(e, part).error[i] + unit_roundoff * std::abs(y.value[i]);
      }
    return y;
  }

  /// The element of an operand that belongs to index `at` of the result, by NumPy's broadcasting.
  static std::size_t broadcast(const Dims& dims, const Dims& at) {
    std::int64_t i = 0;
    for (std::size_t axis = 0; axis < dims.size(); ++axis)
      i = i * dims[axis] + (dims[axis] == 1 ? 0 : at[at.size() - dims.size() + axis]);
    return static_cast<std::size_t>(i);
  }

  Interpreted elementwise(Expr e, const Dims& dims) {
    Interpreted y = filled(dims, 0);
    std::size_t k = 0;
    for_each_index(dims, [&](const Dims& at) {
      std::vector<Number> x;
      for (std::size_t i = 0; i < e.operands().size(); ++i) {
        const Interpreted& operand = arg(e, i);
        const std::size_t j = broadcast(operand.dims, at);
        x.push_back({operand.value[j], operand.error[j]});
      }
      const Number r = element(e.op().name, x);
      y.value[k] = r.value;
      y.error[k++] = r.error;
    });
    return y;
  }

  static Number rounded(double value, double error) {
    return {value, error + unit_roundoff * std::abs(value)};
  }

  Number quotient(Number a, Number b) {
    const double q = a.value / b.value;
    return rounded(q, (a.error + std::abs(q) * b.error) / std::abs(b.value));
  }

  Number element(const std::string& op, const std::vector<Number>& x) {
    const auto decided = [&](bool answer) {
      (void)near_zero({x[0].value - x[1].value, x[0].error + x[1].error});
      return Number{answer ? 1.0 : 0.0, 0};
    };
    if (op == "relu")
      return x[0].value > 0 ? x[0] : Number{0, x[0].value + slack_ * x[0].error > 0 ? x[0].error : 0};
    if (op == "neg") return {-x[0].value, x[0].error};
    if (op == "abs") return {std::abs(x[0].value), x[0].error};
    if (op == "expand") return x[0];
    if (op == "cast") return x[0];
    if (op == "add")
      return x[0].value == 0 && x[0].error == 0   ? x[1]
             : x[1].value == 0 && x[1].error == 0 ? x[0]
                                                  : rounded(x[0].value + x[1].value, x[0].error + x[1].error);
    if (op == "sub") return rounded(x[0].value - x[1].value, x[0].error + x[1].error);
    if (op == "mul")
      return rounded(x[0].value * x[1].value,
                     x[0].error * std::abs(x[1].value) + std::abs(x[0].value) * x[1].error);
    if (op == "max" || op == "min") {
      const bool first = (op == "max") == (x[0].value > x[1].value);
      const double near = slack_ * (x[0].error + x[1].error);
      if (std::abs(x[0].value - x[1].value) <= near)
        return {x[first ? 0 : 1].value, std::max(x[0].error, x[1].error)};
      return x[first ? 0 : 1];
    }
    if (op == "div") return quotient(x[0], x[1]);
    if (op == "over") return near_zero(x[1]) || x[1].value == 0 ? Number{0, 0} : quotient(x[0], x[1]);
    if (op == "stabilize") {
      (void)near_zero(x[0]);
      return rounded(x[0].value >= 0 ? x[0].value + x[1].value : x[0].value - x[1].value,
                     x[0].error + x[1].error);
    }
    if (op == "where") return x[0].value != 0 ? x[1] : x[2];
    if (op == "less") return decided(x[0].value < x[1].value);
    if (op == "greater") return decided(x[0].value > x[1].value);
    if (op == "less_equal") return decided(x[0].value <= x[1].value);
    if (op == "greater_equal") return decided(x[0].value >= x[1].value);
    if (op == "equal") return decided(x[0].value == x[1].value);
    if (op == "not_equal") return decided(x[0].value != x[1].value);
    throw std::runtime_error("the interpreter does not know " + op);
  }

  std::map<std::string, rulegrad::Tensor> inputs_;
  rulegrad::Extents extents_;
  double slack_;
  bool undecided_ = false;
  std::unordered_map<Expr, Interpreted> known_;
  std::unordered_map<Expr, bool> hanging_;
};

}  // namespace oracle
