#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/operator_facts.hpp"

#include "prove/draw_example.hpp"
#include "prove/operator_case.hpp"

namespace rulegrad::proving {
namespace {

using intervals::infinite;

bool is_real_data(const OperatorCase& c, std::size_t k) {
  return c.is_data(k) && c.example.operands[k].dtype == DType::float64;
}

OperatorNode node_of(const OperatorCase& c, std::span<const Tensor> operands) {
  return OperatorNode(c.op, types_of(operands), c.example.attributes);
}

NonFinite non_finite_in(const Tensor& values) {
  unsigned bits = 0;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    const double v = values.at(i);
    bits |= std::isnan(v)    ? non_finite::nan
            : v == infinite  ? non_finite::high
            : v == -infinite ? non_finite::low
                             : 0U;
  }
  return static_cast<NonFinite>(bits);
}

std::string text_of(NonFinite bits) {
  std::string text;
  for (const auto& [bit, word] :
       {std::pair{non_finite::low, "-inf"}, {non_finite::high, "inf"}, {non_finite::nan, "NaN"}})
    if ((bits & bit) != 0) text += (text.empty() ? "" : ", ") + std::string(word);
  return text.empty() ? "numbers alone" : text;
}

bool says_finite(const OperatorCase& c, Expr node, std::span<const Tensor> operands) {
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (!finite::holds(c.op.finite_for(node, k), extremes(operands[k]))) return false;
  return true;
}

}  // namespace

Verdict try_finite(const OperatorCase& c) {
  if (!c.op.finite) return not_tried;
  Verdict verdict;
  // Where functions have their poles and their ends.
  for (const double number : {0.0, -0.5, 0.5, 1.0, -1.0, 3.0, -3.0, 1.5}) {
    std::vector<Tensor> operands = draw_example(c.example, c.random);
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (is_real_data(c, k)) operands[k] = Tensor::full(DType::float64, operands[k].dims(), number);
    const OperatorNode node = node_of(c, operands);
    if (!is_floating(node.expr.dtype())) return not_tried;
    if (!says_finite(c, node.expr, operands)) continue;
    verdict.tried = true;
    if (const NonFinite found = non_finite_in(computed(c, node, operands)); found != 0)
      return {true, fmt::format("it is finite where all data is {}, it says, but gives {}", number,
                                text_of(found))};
  }
  return verdict;
}

Verdict try_passes(const OperatorCase& c) {
  if (!c.op.passes) return not_tried;
  Verdict verdict;
  for (std::size_t k = 0; k < c.example.operands.size(); ++k) {
    if (!is_real_data(c, k) || element_count(c.example.operands[k].dims) == 0) continue;
    for (const double strange : {infinite, -infinite, std::nan("")})
      for (const bool everywhere : {false, true}) {
        std::vector<Tensor> operands = draw_example(c.example, c.random);
        const OperatorNode node = node_of(c, operands);
        if (!is_floating(node.expr.dtype())) return not_tried;
        // Poles are another matter, and a row of nothing but -inf has no shares.
        if (!says_finite(c, node.expr, operands)) continue;
        const bool shares = c.op.coupled_axes(node.expr).has_value() && !c.op.is(OpClass::elementwise);
        if (everywhere && shares) continue;
        std::vector<Interval> bounds;
        for (std::size_t i = 0; i < operands.size(); ++i)
          bounds.push_back(i == k ? Interval{} : extremes(operands[i]));
        const auto elements = operands[k].mutable_values<double>();
        std::fill_n(elements.begin(), everywhere ? elements.size() : 1, strange);
        std::vector<NonFinite> given(operands.size(), 0);
        given[k] = non_finite_in(operands[k]);
        const NonFinite said = c.op.passed_on(node.expr, given, bounds),
                        found = non_finite_in(computed(c, node, operands));
        verdict.tried = true;
        if ((found & ~said) != 0)
          return {true,
                  fmt::format("where {} holds {}{}, the result holds {} by what it says, but {} came out",
                              c.op.operand(k).name, strange, everywhere ? " everywhere" : "", text_of(said),
                              text_of(found))};
      }
  }
  return verdict;
}

namespace {

/// 2 f(a) - 3 f(b) = f(2 a - 3 b), where `moves` says which operands differ.
template <class Moves>
std::string linear_together(const OperatorCase& c, const Moves& moves, const std::string& in) {
  const std::vector<Tensor> a = draw_example(c.example, c.random), other = draw_example(c.example, c.random);
  std::vector<Tensor> b = a, both = a;
  for (std::size_t k = 0; k < a.size(); ++k) {
    if (!moves(k) || a[k].dtype() != DType::float64) continue;
    b[k] = other[k];
    const auto elements = both[k].mutable_values<double>();
    for (std::size_t i = 0; i < elements.size(); ++i)
      elements[i] = 2 * a[k].values<double>()[i] - 3 * b[k].values<double>()[i];
  }
  const Tensor of_a = computed(c, a), of_b = computed(c, b), of_both = computed(c, both);
  for (std::int64_t i = 0; i < of_a.size(); ++i) {
    const double expected = 2 * of_a.at(i) - 3 * of_b.at(i);
    if (!(std::abs(of_both.at(i) - expected) <= 1e-11 * (1 + std::abs(expected))))
      return fmt::format(
          "it is linear in {}, it says, but element {} is {:.9g} of 2 a - 3 b, and {:.9g} of a and b", in, i,
          of_both.at(i), expected);
  }
  return {};
}

}  // namespace

Verdict try_linear_in(const OperatorCase& c) {
  const LinearIn linear = c.op.linear_in.value_or(LinearIn::nothing);
  if (linear == LinearIn::nothing || c.example.operands.empty() ||
      c.example.operands[0].dtype != DType::float64)
    return not_tried;
  if (linear == LinearIn::all)
    return {true, linear_together(
                      c, [](std::size_t) { return true; }, "all operands")};
  const std::size_t count = linear == LinearIn::first ? 1 : c.example.operands.size();
  for (std::size_t k = 0; k < count; ++k)
    if (std::string failure = linear_together(
            c, [k](std::size_t i) { return i == k; }, c.op.operand(k).name);
        !failure.empty())
      return {true, std::move(failure)};
  return fine;
}

Verdict try_couples(const OperatorCase& c) {
  if (!c.op.couples || c.example.operands.empty() || c.example.operands[0].dtype != DType::float64)
    return not_tried;
  std::vector<Tensor> operands = draw_example(c.example, c.random);
  const OperatorNode node = node_of(c, operands);
  const auto axes = c.op.coupled_axes(node.expr);
  if (!axes || operands[0].size() == 0) return not_tried;
  const Tensor before = computed(c, node, operands);
  operands[0].mutable_values<double>()[0] += 0.5;
  const Tensor after = computed(c, node, operands);
  for (std::int64_t i = 0; i < before.size(); ++i) {
    // On a line with the first element: all other axes stand at 0.
    bool on_line = true;
    std::int64_t rest = i;
    for (std::size_t axis = before.rank(); axis-- > 0; rest /= before.dims()[axis]) {
      const bool coupled =
          std::find(axes->begin(), axes->end(), static_cast<std::int64_t>(axis)) != axes->end();
      on_line = on_line && (coupled || rest % before.dims()[axis] == 0);
    }
    if (before.at(i) != after.at(i) && !on_line)
      return {true,
              fmt::format("a change of the first element of {} changes element {} of the result, which lies "
                          "on none of the axes that it says",
                          c.op.operand(0).name, i)};
  }
  return fine;
}

}  // namespace rulegrad::proving
