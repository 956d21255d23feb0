#include "passes/support.hpp"

#include <algorithm>
#include <functional>

#include "rulegrad/ops/given_values.hpp"

namespace rulegrad {
namespace {

bool is_number(Expr e, double number) {
  return constant_value(e) == number;
}

using Wanted = std::function<bool(Expr)>;

/// Looks for a factor of a value. Ways fork at products and sums alone, and relevance holds few of them
/// between a layer and the next; a bound on the steps ends the search where it does not.
class Search {
 public:
  bool has_factor(Expr v, const Wanted& wanted) {
    if (--steps_ < 0) return false;
    if (wanted(v)) return true;
    const auto in = [&](Expr part) { return part.shape() == v.shape() && has_factor(part, wanted); };
    switch (v.op().linear_in.value_or(LinearIn::nothing)) {
      case LinearIn::first:
        return in(v.operand(0));
      case LinearIn::each:
        return std::ranges::any_of(v.operands(), in);
      case LinearIn::all:
        return std::ranges::all_of(v.operands(), in);
      case LinearIn::nothing:
        break;
    }
    if (v.is("where")) return number_everywhere(v.operand(2)) == 0.0 && in(v.operand(1));
    // A maximum goes to the element whose value it is: a factor max_pool(x) becomes a factor x there.
    if (v.is("max_pool_vjp")) {
      const Expr x = v.operand(0);
      return wanted(x) && has_factor(v.operand(1), [&](Expr f) {
               return f.is("max_pool") && f.operand(0) == x && same_windows(f, v);
             });
    }
    // Elements under another shape: the factor went there by the reshape that this one undoes.
    if (v.is("reshape"))
      return has_factor(v.operand(0), [&](Expr f) {
        return f.is("reshape") && f.operand(0).shape() == v.shape() && wanted(f.operand(0));
      });
    return false;
  }

 private:
  static bool same_windows(Expr pool, Expr vjp) {
    for (const char* field : {"kernel", "strides", "pads_begin", "dilations"})
      if (!equal(pool.attributes().get(field), vjp.attributes().get(field))) return false;
    return true;
  }

  int steps_ = 64;
};

}  // namespace

bool is_cut(Expr factor, const std::function<bool(Expr)>& of) {
  // A model may cut a value as often as it likes: no recursion.
  while (true) {
    if (factor.is("relu"))
      factor = factor.operand(0);
    else if (factor.is("max") && is_number(factor.operand(1), 0))
      factor = factor.operand(0);
    else if (factor.is("max") && is_number(factor.operand(0), 0))
      factor = factor.operand(1);
    else
      return false;
    if (of(factor)) return true;
  }
}

bool has_factor(Expr v, const std::function<bool(Expr)>& wanted) {
  return Search().has_factor(v, wanted);
}

bool vanishes_below(Expr v, Expr z) {
  const auto is_z = [&](Expr e) { return e == z; };
  return v.shape() == z.shape() &&
         has_factor(v, [&](Expr f) { return f.shape() == z.shape() && is_cut(f, is_z); });
}

}  // namespace rulegrad
