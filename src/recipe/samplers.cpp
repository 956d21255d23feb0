#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/recipe/sampler.hpp"
#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad {
namespace {

std::string describe_argument(const SamplerArgument& argument) {
  return std::visit(
      []<class T>(const T& value) -> std::string {
        if constexpr (std::is_same_v<T, double>)
          return fmt::format("the number {}", shortest(value));
        else if constexpr (std::is_same_v<T, Expr>)
          return describe(value);
        else
          return to_string(AttrValue(value));
      },
      argument);
}

[[noreturn]] void refuse(const SamplerCall& call, std::size_t position, const std::string& wanted) {
  throw Error(ErrorCode::invalid_argument,
              fmt::format("the sampler {}({}) takes {} as '{}', not {}", call.sampler, join(call.parameters),
                          wanted, call.parameters[position], describe_argument(call.arguments[position])));
}

/// The entry of `table` for the sample.
Expr entry_of(const SamplerCall& call, Expr table, Expr index) {
  return call.graph.apply(call.operators.at("gather"), {table, index}, AxisAttributes{0});
}

Expr number_of(const SamplerCall& call, const std::vector<double>& numbers, Expr index) {
  const Tensor table({static_cast<std::int64_t>(numbers.size())}, std::span<const double>(numbers));
  return entry_of(call, call.graph.constant(table.cast(call.graph.real())), index);
}

/// Working out its nodes takes time that grows with the square of their number; 4096 of them are exact to the
/// last digit of float64.
constexpr std::int64_t most_gauss_nodes = 4096;

Sampler quadrature(std::string name, std::string doc, Quadrature (*rule)(std::int64_t), std::int64_t least,
                   std::int64_t most = most_samples) {
  Sampler s;
  s.name = std::move(name);
  s.doc = std::move(doc);
  s.parameters = {"n"};
  s.variables = {"t", "q"};
  s.count = [least, most](const SamplerCall& call) { return call.count(0, least, most); };
  s.values = [rule](const SamplerCall& call, Expr index) {
    const Quadrature points = rule(call.count(0));
    return std::vector<Expr>{number_of(call, points.nodes, index), number_of(call, points.weights, index)};
  };
  return s;
}

Sampler plain_samples() {
  Sampler s;
  s.name = "samples";
  s.doc = "The numbers 0 .. n - 1, for random draws.";
  s.parameters = {"n"};
  s.variables = {"i"};
  s.count = [](const SamplerCall& call) { return call.count(0); };
  s.values = [](const SamplerCall& call, Expr index) {
    return std::vector<Expr>{
        call.graph.apply(call.operators.at("cast"), {index}, CastAttributes{call.graph.real()})};
  };
  return s;
}

Sampler rows_of_array() {
  Sampler s;
  s.name = "rows";
  s.doc = "The entries of an array along its first axis.";
  s.parameters = {"values"};
  s.variables = {"row"};
  s.count = [](const SamplerCall& call) {
    const Expr values = call.expr(0);
    if (values.shape().rank() == 0 || values.shape()[0].batch || values.shape().sampled())
      refuse(call, 0, "an array [n, ...]");
    return values.shape()[0].factor;
  };
  s.values = [](const SamplerCall& call, Expr index) {
    return std::vector<Expr>{entry_of(call, call.expr(0), index)};
  };
  return s;
}

Sampler one_hots() {
  Sampler s;
  s.name = "onehots";
  s.doc = "The n vectors of length n with a single 1.";
  s.parameters = {"n"};
  s.variables = {"v"};
  s.count = [](const SamplerCall& call) { return call.count(0); };
  s.values = [](const SamplerCall& call, Expr index) {
    return std::vector<Expr>{call.graph.apply(call.operators.at("one_hot"), {index},
                                              OneHotAttributes{call.count(0), call.graph.real()})};
  };
  return s;
}

/// The windows over the axes behind batch and channels, or behind the batch where there are no others.
WindowMaskAttributes sliding(const SamplerCall& call) {
  const Shape& shape = call.expr(0).shape();
  const std::size_t rank = shape.rank(), first = rank > 2 ? 2 : 1;
  if (rank < 2) refuse(call, 0, "a value with axes behind the batch");
  const std::vector<double> window = call.numbers(1, rank - first);
  const std::vector<double> stride = call.has(2) ? call.numbers(2, rank - first) : window;
  if (window.size() != stride.size() || window.size() >= rank)
    refuse(
        call, 1,
        fmt::format("a number, or a list with an entry for each of the last axes of {},", to_string(shape)));
  WindowMaskAttributes mask{Ints(rank, 1), Ints(rank, 1), Ints(rank, 1)};
  for (std::size_t k = 0; k < window.size(); ++k) {
    const std::size_t axis = rank - window.size() + k;
    if (shape[axis].batch) refuse(call, 0, "a value whose windowed axes have fixed extents");
    mask.extents[axis] = shape[axis].factor;
    mask.window[axis] = static_cast<std::int64_t>(window[k]);
    mask.strides[axis] = static_cast<std::int64_t>(stride[k]);
    if (window[k] < 1 || stride[k] < 1 || window[k] != std::floor(window[k]) ||
        stride[k] != std::floor(stride[k]))
      refuse(call, window[k] < 1 || window[k] != std::floor(window[k]) ? 1 : 2, "whole numbers of 1 or more");
    if (stride[k] > window[k] && mask.extents[axis] > mask.window[axis])
      refuse(call, 2, fmt::format("strides that leave nothing out, at most the window of {},", window[k]));
  }
  return mask;
}

Sampler sliding_windows() {
  Sampler s;
  s.name = "windows";
  s.doc =
      "1 inside of a window and 0 elsewhere, for windows that slide over the spatial axes (of [B, F]: over "
      "the features); "
      "the last ones are cut at the border.";
  s.parameters = {"input", "window", "[stride]"};
  s.variables = {"m"};
  s.count = [](const SamplerCall& call) {
    const WindowMaskAttributes mask = sliding(call);
    std::int64_t count = 1;
    for (std::size_t axis = 0; axis < mask.extents.size(); ++axis)
      if (mask.extents[axis] > mask.window[axis])
        count *= (mask.extents[axis] - mask.window[axis] + mask.strides[axis] - 1) / mask.strides[axis] + 1;
    return count;
  };
  s.values = [](const SamplerCall& call, Expr index) {
    const Expr mask = call.graph.apply(call.operators.at("window_mask"), {index}, sliding(call));
    return std::vector<Expr>{
        call.graph.apply(call.operators.at("cast"), {mask}, CastAttributes{call.graph.real()})};
  };
  return s;
}

/// Windows as long as the axes behind the batch at most, that begin at every stride of them.
WindowMaskAttributes rolling(const SamplerCall& call) {
  const Shape& shape = call.expr(0).shape();
  const std::size_t rank = shape.rank();
  if (rank < 2) refuse(call, 0, "a value with axes behind the batch");
  const std::vector<double> window = call.numbers(1, rank - 1);
  const std::vector<double> stride = call.has(2) ? call.numbers(2, rank - 1) : window;
  if (window.size() != stride.size() || window.size() >= rank)
    refuse(
        call, 1,
        fmt::format("a number, or a list with an entry for each of the last axes of {},", to_string(shape)));
  WindowMaskAttributes mask{Ints(rank, 1), Ints(rank, 1), Ints(rank, 1), true};
  for (std::size_t k = 0; k < window.size(); ++k) {
    const std::size_t axis = rank - window.size() + k;
    if (shape[axis].batch) refuse(call, 0, "a value whose windowed axes have fixed extents");
    if (window[k] < 1 || stride[k] < 1 || window[k] != std::floor(window[k]) ||
        stride[k] != std::floor(stride[k]))
      refuse(call, window[k] < 1 || window[k] != std::floor(window[k]) ? 1 : 2, "whole numbers of 1 or more");
    mask.extents[axis] = shape[axis].factor;
    mask.window[axis] = std::min(static_cast<std::int64_t>(window[k]), mask.extents[axis]);
    mask.strides[axis] = std::min(static_cast<std::int64_t>(stride[k]), mask.extents[axis]);
  }
  return mask;
}

Sampler rolled_windows() {
  Sampler s;
  s.name = "rolled_windows";
  s.doc =
      "1 inside of a window and 0 elsewhere, for windows that begin at every stride and wrap around the "
      "border. A number counts "
      "for all axes behind the batch, a list for the last axes.";
  s.parameters = {"input", "window", "[stride]"};
  s.variables = {"m"};
  s.count = [](const SamplerCall& call) {
    const WindowMaskAttributes mask = rolling(call);
    std::int64_t count = 1;
    for (std::size_t axis = 0; axis < mask.extents.size(); ++axis)
      count *= (mask.extents[axis] + mask.strides[axis] - 1) / mask.strides[axis];
    return count;
  };
  s.values = [](const SamplerCall& call, Expr index) {
    const Expr mask = call.graph.apply(call.operators.at("window_mask"), {index}, rolling(call));
    return std::vector<Expr>{
        call.graph.apply(call.operators.at("cast"), {mask}, CastAttributes{call.graph.real()})};
  };
  return s;
}

}  // namespace

double SamplerCall::number(std::size_t position) const {
  if (const auto* value = std::get_if<double>(&arguments[position])) return *value;
  refuse(*this, position, "a number");
}

std::int64_t SamplerCall::count(std::size_t position, std::int64_t least, std::int64_t most) const {
  const double value = number(position);
  if (!(value >= static_cast<double>(least)) || value != std::floor(value) ||
      value > static_cast<double>(most))
    refuse(*this, position, fmt::format("a whole number from {} to {}", least, most));
  return static_cast<std::int64_t>(value);
}

Expr SamplerCall::expr(std::size_t position) const {
  if (const auto* value = std::get_if<Expr>(&arguments[position])) return *value;
  refuse(*this, position, "an array");
}

std::vector<double> SamplerCall::numbers(std::size_t position, std::size_t length) const {
  if (const auto* list = std::get_if<std::vector<double>>(&arguments[position])) return *list;
  return std::vector<double>(length, number(position));
}

const Samplers& Samplers::builtin() {
  static const Samplers samplers = [] {
    Samplers all;
    all.add(quadrature("midpoint", "The midpoints of n equal steps from 0 to 1, and their weights.",
                       midpoint_rule, 1));
    all.add(
        quadrature("left", "The left ends of n equal steps from 0 to 1, and their weights.", left_rule, 1));
    all.add(quadrature("right", "The right ends of n equal steps from 0 to 1, and their weights.", right_rule,
                       1));
    all.add(quadrature("trapezoid", "n points from 0 to 1, both included, with half the weight at the ends.",
                       trapezoid_rule, 2));
    all.add(quadrature("gauss_legendre", "The n-point Gauss-Legendre rule on [0, 1].", gauss_legendre_rule, 1,
                       most_gauss_nodes));
    all.add(plain_samples());
    all.add(rows_of_array());
    all.add(sliding_windows());
    all.add(rolled_windows());
    all.add(one_hots());
    return all;
  }();
  return samplers;
}

void Samplers::add(Sampler sampler) {
  std::string name = sampler.name;
  if (!by_name_.emplace(name, std::move(sampler)).second)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("a sampler '{}' exists already; choose another name", name));
}

const Sampler& Samplers::at(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end())
    throw Error(ErrorCode::unknown_name, unknown_name_message("sampler", name, names()));
  return found->second;
}

std::vector<std::string> Samplers::names() const {
  std::vector<std::string> result;
  for (const auto& [name, sampler] : by_name_) result.push_back(name);
  return result;
}

}  // namespace rulegrad
