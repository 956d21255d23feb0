#include "autodiff/guarded.hpp"

#include <algorithm>
#include <cmath>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "expr/walk.hpp"

namespace rulegrad {
namespace {

bool is_any(Expr node, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), node.op().name) != names.end();
}

/// What is known of a constant's elements.
struct Elements {
  bool finite = true, positive = true, negative_or_zero = true;
};

Elements elements_of(Expr constant) {
  Elements result;
  const auto take = [&](double value) {
    result.finite = result.finite && std::isfinite(value);
    result.positive = result.positive && value > 0;
    result.negative_or_zero = result.negative_or_zero && value <= 0;
  };
  if (constant.is("fill")) {
    take(constant.attributes<FillAttributes>().value);
    return result;
  }
  const Tensor& value = constant.attributes<ConstantAttributes>().value;
  if (!is_floating(value.dtype())) return {true, false, false};
  dispatch(value.dtype(), [&]<class T>(T) {
    for (const T element : value.values<T>()) {
      take(static_cast<double>(element));
      if (!result.finite && !result.positive && !result.negative_or_zero) break;
    }
  });
  return result;
}

/// Looks at one forward graph; answers are remembered.
class Looking {
 public:
  explicit Looking(const ForwardFacts& facts) : facts_(facts) {}

  NodeMap<char> guarded() {
    NodeMap<char> result;
    const auto at_risk = [&](Expr e) { return facts_.depends(e) && may_be_infinite(e); };
    std::vector<Expr> branches;
    for (const Expr node : facts_.order()) {
      if (!node.is("where") || !facts_.depends(node)) continue;
      for (const std::size_t branch : {1, 2})
        if (at_risk(node.operand(branch))) branches.push_back(node.operand(branch));
    }
    for_each_below(branches, at_risk, [&](Expr e) { result.emplace(e, 1); });
    return result;
  }

 private:
  const Elements& elements(Expr constant) {
    if (const auto known = elements_.find(constant); known != elements_.end()) return known->second;
    elements_.emplace(constant, elements_of(constant));
    return elements_.at(constant);
  }

  /// May an element be infinite or no number where a choice above does not take it? Operands are known before
  /// their users.
  bool may_be_infinite(Expr root) {
    if (!ready_) {
      ready_ = true;
      for (const Expr node : facts_.order()) infinite_.emplace(node, static_cast<char>(judged(node) ? 1 : 0));
    }
    return infinite_.contains(root) && infinite_.at(root) != 0;
  }

  bool judged(Expr node) {
    if (!is_floating(node.dtype())) return false;
    if (node.operands().empty()) return false;
    // Only where numbers meet element by element are constants looked at: weights were read as finite.
    const bool elementwise = node.op().is(OpClass::elementwise) || node.is("where");
    const auto constant = [](Expr e) { return is_constant(e) || e.is("fill"); };
    if (elementwise)
      for (const Expr operand : node.operands())
        if (constant(operand) && is_floating(operand.dtype()) && !elements(operand).finite) return true;
    if (node.is("where")) return false;
    for (const Expr operand : node.operands())
      if (infinite_.contains(operand) && infinite_.at(operand) != 0) return true;
    if (is_any(node, {"log", "reciprocal"})) return !positive(node.operand(0), 0);
    if (is_any(node, {"sqrt"})) return !not_negative(node.operand(0), 0);
    if (is_any(node, {"exp"})) return !not_positive(node.operand(0));
    if (is_any(node, {"div", "mod"}))
      return !positive(node.operand(1), 0) && !(constant(node.operand(1)) && nonzero(node.operand(1)));
    if (is_any(node, {"pow"})) {
      const auto exponent = constant_value(node.operand(1));
      const bool whole = exponent && *exponent >= 0 && *exponent == std::floor(*exponent);
      return !whole && !positive(node.operand(0), 0) &&
             !(exponent && *exponent >= 0 && not_negative(node.operand(0), 0));
    }
    return false;
  }

  bool nonzero(Expr constant) {
    if (constant.is("fill")) return constant.attributes<FillAttributes>().value != 0;
    const Tensor& value = constant.attributes<ConstantAttributes>().value;
    bool all = true;
    dispatch(value.dtype(), [&]<class T>(T) {
      all = std::none_of(value.values<T>().begin(), value.values<T>().end(), [](T e) { return e == T(0); });
    });
    return all;
  }

  static constexpr int deepest = 12;

  /// By what the expression says: 0 stays away from it.
  bool positive(Expr e, int depth) {
    if (depth > deepest) return false;
    if (is_constant(e) || e.is("fill")) return is_floating(e.dtype()) && elements(e).positive;
    if (is_any(e, {"exp", "sigmoid", "softplus"})) return true;
    if (e.is("clip")) return e.attributes<ClipAttributes>().low > 0;
    if (e.is("max")) return positive(e.operand(0), depth + 1) || positive(e.operand(1), depth + 1);
    if (e.is("add"))
      return (positive(e.operand(0), depth + 1) && not_negative(e.operand(1), depth + 1)) ||
             (positive(e.operand(1), depth + 1) && not_negative(e.operand(0), depth + 1));
    if (is_any(e, {"mul", "div"}))
      return positive(e.operand(0), depth + 1) && positive(e.operand(1), depth + 1);
    if (is_any(e, {"sqrt", "sum", "mean", "reshape", "transpose", "expand", "cast", "slice", "identity",
                   "amax", "amin"}))
      return positive(e.operand(0), depth + 1);
    return false;
  }

  bool not_negative(Expr e, int depth) {
    if (depth > deepest) return false;
    if (is_any(e, {"abs", "relu", "sqrt", "softmax"}) || positive(e, depth + 1)) return true;
    if (is_constant(e)) {
      const Tensor& value = e.attributes<ConstantAttributes>().value;
      bool all = is_floating(value.dtype());
      dispatch(value.dtype(), [&]<class T>(T) {
        all = all &&
              std::none_of(value.values<T>().begin(), value.values<T>().end(), [](T v) { return v < T(0); });
      });
      return all;
    }
    if (e.is("fill")) return e.attributes<FillAttributes>().value >= 0;
    if (e.is("mul"))
      return e.operand(0) == e.operand(1) ||
             (not_negative(e.operand(0), depth + 1) && not_negative(e.operand(1), depth + 1));
    if (e.is("pow")) {
      const auto exponent = constant_value(e.operand(1));
      return exponent && std::fmod(*exponent, 2.0) == 0;
    }
    if (e.is("clip")) return e.attributes<ClipAttributes>().low >= 0;
    if (e.is("max")) return not_negative(e.operand(0), depth + 1) || not_negative(e.operand(1), depth + 1);
    if (e.is("add")) return not_negative(e.operand(0), depth + 1) && not_negative(e.operand(1), depth + 1);
    if (e.is("div")) return not_negative(e.operand(0), depth + 1) && positive(e.operand(1), depth + 1);
    if (is_any(e, {"sum", "mean", "reshape", "transpose", "expand", "cast", "slice", "identity", "amax",
                   "amin"}))
      return not_negative(e.operand(0), depth + 1);
    return false;
  }

  /// x - max(x), -|x|, -x^2
  bool not_positive(Expr e) {
    if (e.is("neg")) return not_negative(e.operand(0), 0);
    if (is_constant(e) || e.is("fill")) return is_floating(e.dtype()) && elements(e).negative_or_zero;
    return e.is("sub") && e.operand(1).is("amax") && e.operand(1).operand(0) == e.operand(0);
  }

  const ForwardFacts& facts_;
  bool ready_ = false;
  NodeMap<char> infinite_;
  NodeMap<Elements> elements_;
};

}  // namespace

NodeMap<char> guarded_nodes(const ForwardFacts& facts) {
  return Looking(facts).guarded();
}

std::optional<std::vector<std::int64_t>> coupled_axes(Expr operation) {
  if (is_any(operation, {"softmax", "log_softmax"}))
    return std::vector<std::int64_t>{operation.attributes<AxisAttributes>().axis};
  if (operation.is("layer_norm")) {
    std::vector<std::int64_t> axes;
    for (auto axis = operation.attributes<LayerNormAttributes>().axis;
         axis < static_cast<std::int64_t>(operation.shape().rank()); ++axis)
      axes.push_back(axis);
    return axes;
  }
  // A choice multiplies with nothing.
  if (operation.op().is(OpClass::elementwise) && !operation.is("where")) return std::vector<std::int64_t>{};
  return std::nullopt;
}

}  // namespace rulegrad
