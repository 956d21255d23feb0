#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "prove/draw_example.hpp"
#include "prove/operator_case.hpp"

namespace rulegrad::proving {
namespace {

/// Other data, the same parameters.
std::vector<Tensor> redrawn(const OperatorCase& c, const std::vector<Tensor>& operands) {
  std::vector<Tensor> other = draw_example(c.example, c.random);
  for (std::size_t k = 0; k < other.size(); ++k)
    if (!c.is_data(k)) other[k] = operands[k];
  return other;
}

/// routing: each element of the result is one of the data's elements, whatever these are, or a number.
std::string moves_numbers(const OperatorCase& c) {
  const std::vector<Tensor> first = draw_example(c.example, c.random), second = redrawn(c, first);
  const Tensor a = computed(c, first), b = computed(c, second);
  // What a narrower type keeps of a number is still that number.
  const auto kept = [&](double value) { return Tensor::scalar(a.dtype(), value).at(0); };
  std::multimap<double, double> becomes;
  for (std::size_t k = 0; k < first.size(); ++k)
    if (c.is_data(k))
      for (std::int64_t i = 0; i < first[k].size(); ++i)
        becomes.emplace(kept(first[k].at(i)), kept(second[k].at(i)));
  for (std::int64_t i = 0; i < a.size(); ++i) {
    if (a.at(i) == b.at(i)) continue;
    const auto [begin, end] = becomes.equal_range(a.at(i));
    if (std::none_of(begin, end, [&](const auto& pair) { return pair.second == b.at(i); }))
      return fmt::format(
          "routing moves numbers, but element {} of the result, {:.6g}, is none of the operands' elements", i,
          a.at(i));
  }
  return {};
}

/// linear, affine: f(x + y) + f(0) = f(x) + f(y) in the operand at `k`.
std::string linear_in(const OperatorCase& c, std::size_t k, std::string_view name) {
  std::vector<Tensor> x = draw_example(c.example, c.random);
  for (Tensor& operand : x)
    if (is_floating(operand.dtype())) operand = operand.cast(DType::float64);
  std::vector<Tensor> y = x, sum = x, none = x;
  y[k] = redrawn(c, x)[k].cast(x[k].dtype());
  for (std::size_t i = 0; i < x[k].values<double>().size(); ++i) {
    sum[k].mutable_values<double>()[i] = x[k].values<double>()[i] + y[k].values<double>()[i];
    none[k].mutable_values<double>()[i] = 0;
  }
  const Tensor at_sum = computed(c, sum), at_none = computed(c, none), at_x = computed(c, x),
               at_y = computed(c, y);
  for (std::int64_t i = 0; i < at_x.size(); ++i) {
    const double left = at_sum.at(i) + at_none.at(i), right = at_x.at(i) + at_y.at(i);
    if (!(std::abs(left - right) <= 1e-10 * (1 + std::abs(at_sum.at(i)))))
      return fmt::format(
          "of class {} it is f(x + y) + f(0) = f(x) + f(y) in {}, but element {} is {:.6g} on the left and "
          "{:.6g} on the right",
          name, c.op.operand(k).name, i, left, right);
  }
  return {};
}

/// elementwise, activation: element i of the result is made of elements i of the operands.
std::string element_by_element(const OperatorCase& c) {
  const std::vector<Tensor> operands = draw_example(c.example, c.random);
  for (const Tensor& operand : operands)
    if (operand.dims() != operands[0].dims()) return {};  // broadcast
  std::vector<Tensor> turned = operands;                  // from the last element to the first
  for (Tensor& operand : turned)
    dispatch(operand.dtype(), [&]<class T>(T) {
      const auto values = operand.mutable_values<T>();
      std::reverse(values.begin(), values.end());
    });
  const Tensor a = computed(c, operands), b = computed(c, turned);
  if (a.dims() != operands[0].dims())
    return fmt::format("it works element by element, but operands of shape {} give {}",
                       to_string(std::span(operands[0].dims())), to_string(std::span(a.dims())));
  for (std::int64_t i = 0; i < a.size(); ++i)
    if (a.at(i) != b.at(a.size() - 1 - i) && !std::isnan(a.at(i)))
      return fmt::format(
          "it works element by element, but element {} is {:.9g}, and {:.9g} where all elements stand in "
          "reverse",
          i, a.at(i), b.at(a.size() - 1 - i));
  return {};
}

}  // namespace

Verdict try_classes(const OperatorCase& c) {
  Verdict verdict;
  for (std::size_t k = 0; k < c.example.operands.size(); ++k)  // classes say nothing of integers
    if (c.is_data(k) && !is_floating(c.example.operands[k].dtype)) return not_tried;
  const auto is = [&](OpClass op_class) { return c.op.is(op_class, c.example.attributes); };
  const auto note = [&](std::string failure) {
    verdict.tried = true;
    if (verdict.failure.empty()) verdict.failure = std::move(failure);
  };
  if (is(OpClass::routing)) note(moves_numbers(c));
  if (is(OpClass::linear) || is(OpClass::affine))
    for (std::size_t k = 0; k < c.example.operands.size(); ++k)
      if (c.is_data(k)) note(linear_in(c, k, is(OpClass::linear) ? "linear" : "affine"));
  if (is(OpClass::elementwise) || is(OpClass::activation)) note(element_by_element(c));
  return verdict;
}

}  // namespace rulegrad::proving
