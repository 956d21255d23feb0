#include "rulegrad/prove/operator_trials.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/expr/operator_facts.hpp"
#include "rulegrad/support/error.hpp"

#include "prove/draw_example.hpp"
#include "prove/operator_case.hpp"

namespace rulegrad::proving {

OperatorNode::OperatorNode(const OpSchema& op, std::span<const Type> operands, const Attributes& attributes) {
  for (std::size_t k = 0; k < operands.size(); ++k)
    inputs.push_back(graph.input(fmt::format("x{}", k), operands[k]));
  expr = graph.make(op, inputs, attributes);
}

std::vector<Type> types_of(std::span<const Tensor> operands) {
  std::vector<Type> types;
  for (const Tensor& operand : operands) types.push_back({operand.dtype(), Shape::of(operand.dims())});
  return types;
}

Inputs inputs_of(std::span<const Tensor> operands) {
  Inputs inputs;
  for (std::size_t k = 0; k < operands.size(); ++k) inputs[fmt::format("x{}", k)] = operands[k];
  return inputs;
}

namespace {

/// As it is written; memory is NaN before it is written to.
CompileOptions plainly(const OperatorCase& c) {
  CompileOptions options;
  options.check_finite = false;
  options.kernels = &c.kernels;
  options.simplify = false;
  options.poison = true;
  return options;
}

}  // namespace

Tensor computed(const OperatorCase& c, const OperatorNode& node, std::span<const Tensor> operands) {
  return Program::compile(std::span(&node.expr, 1), plainly(c)).run(inputs_of(operands)).at(0);
}

Tensor computed(const OperatorCase& c, std::span<const Tensor> operands) {
  return computed(c, OperatorNode(c.op, types_of(operands), c.example.attributes), operands);
}

Interval extremes(const Tensor& values) {
  Interval result{intervals::infinite, -intervals::infinite};
  for (std::int64_t i = 0; i < values.size(); ++i)
    result = intervals::either(result, {values.at(i), values.at(i)});
  return result;
}

std::optional<std::string> difference(const Tensor& expected, std::string_view expected_by,
                                      const Tensor& found, std::string_view found_by, double tolerance) {
  if (expected.dims() != found.dims())
    return fmt::format("{} is {} but {} is {}", expected_by, to_string(std::span(expected.dims())), found_by,
                       to_string(std::span(found.dims())));
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    const double a = expected.at(i), b = found.at(i);
    if (a == b || (std::isnan(a) && std::isnan(b))) continue;
    if (std::abs(a - b) <= tolerance * std::max({1.0, std::abs(a), std::abs(b)})) continue;
    return fmt::format("element {} is {:.9g} {} but {:.9g} {}", i, a, expected_by, b, found_by);
  }
  return std::nullopt;
}

namespace {

constexpr double derivative_tolerance = 1e-6;  // central differences in float64 leave 1e-9 of most functions
constexpr double float32_tolerance = 2e-5;     // some hundred roundings

/// Inference with the leading extent read as the batch, against inference with the extent.
Verdict try_shapes(const OperatorCase& c) {
  std::vector<Type> types;
  for (const ExampleOperand& operand : c.example.operands)
    types.push_back({operand.dtype, Shape::of(operand.dims)});
  const Type expected = OperatorNode(c.op, types, c.example.attributes).expr.type();
  if (!expected.shape.static_dims())
    return {true, fmt::format("the extents are known, but the result is {}", to_string(expected))};
  for (std::size_t subset = 1; subset < std::size_t{1} << std::min<std::size_t>(types.size(), 4); ++subset) {
    std::vector<Type> symbolic = types;
    std::int64_t extent = 0;
    for (std::size_t k = 0; k < types.size(); ++k) {
      if ((subset >> k & 1) == 0 || types[k].shape.rank() == 0) continue;
      std::vector<Dim> dims = types[k].shape.dims();
      if (extent == 0) extent = dims[0].factor;
      if (dims[0].is(extent)) dims[0] = B;
      symbolic[k].shape = Shape(std::move(dims));
    }
    if (extent == 0) continue;
    Type found;
    try {
      found = OperatorNode(c.op, symbolic, c.example.attributes).expr.type();
    } catch (const Error&) {
      continue;  // it takes no batch there
    }
    if (found.dtype != expected.dtype || found.shape.at({extent, 1}) != expected.shape.at({}))
      return {true,
              fmt::format("with the batch in front ({}) the result is {}, with the extent {} in its place {}",
                          to_string(symbolic[0]), to_string(found), extent, to_string(expected))};
  }
  return fine;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.dims() == b.dims() && a.dtype() == b.dtype() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

/// With a sample axis on its first operand, against the samples one by one.
std::optional<std::string> with_samples(const OperatorCase& c, const std::vector<Tensor>& first) {
  std::vector<Tensor> second = first;
  second[0] = draw_example(c.example, c.random)[0].cast(first[0].dtype());
  std::vector<Type> types = types_of(first);
  types[0].shape = types[0].shape.with_samples(true);
  const OperatorNode node(c.op, types, c.example.attributes);
  Dims dims = first[0].dims();
  dims.insert(dims.begin(), 2);
  Tensor both = Tensor::uninitialized(first[0].dtype(), dims);
  std::memcpy(both.mutable_data(), first[0].data(), first[0].bytes());
  std::memcpy(both.mutable_data() + first[0].bytes(), second[0].data(), second[0].bytes());
  std::vector<Tensor> operands = first;
  operands[0] = both;
  const Tensor found = computed(c, node, operands);
  const Tensor one = computed(c, first), two = computed(c, second);
  Dims expected_dims = one.dims();
  expected_dims.insert(expected_dims.begin(), 2);
  Tensor expected = Tensor::uninitialized(one.dtype(), expected_dims);
  std::memcpy(expected.mutable_data(), one.data(), one.bytes());
  std::memcpy(expected.mutable_data() + one.bytes(), two.data(), two.bytes());
  return difference(expected, "for two samples one by one", found, "for both under a sample axis", 1e-12);
}

Verdict try_kernel(const OperatorCase& c) {
  const std::vector<Tensor> operands = draw_example(c.example, c.random);
  const OperatorNode node(c.op, types_of(operands), c.example.attributes);
  const Program program = Program::compile(std::span(&node.expr, 1), plainly(c));
  const Tensor result = program.run(inputs_of(operands), {.threads = 1}).at(0);
  for (std::int64_t i = 0; i < result.size(); ++i)
    if (!std::isfinite(result.at(i)))
      return {true, fmt::format("element {} of the result {} was not written, or is not finite", i,
                                to_string(node.expr.type()))};
  if (!same_bits(result, program.run(inputs_of(operands), {.threads = 3}).at(0)))
    return {true, "three threads give other bits than one"};

  Graph graph(DType::float64);
  std::vector<Expr> constants;
  for (const Tensor& operand : operands) constants.push_back(graph.constant(operand));
  const Expr folded = graph.make(c.op, constants, c.example.attributes);
  if (!same_bits(result, Program::compile(std::span(&folded, 1), plainly(c)).run({}).at(0)))
    return {true, "folded from constants it has other bits than computed in a run"};

  if (!operands.empty())
    if (auto found = with_samples(c, operands)) return {true, std::move(*found)};
  if (c.op.attributes->has("dtype")) return fine;
  std::vector<Tensor> narrow, wide;
  for (const Tensor& operand : operands) {
    narrow.push_back(operand.dtype() == DType::float64 ? operand.cast(DType::float32) : operand);
    wide.push_back(is_floating(operand.dtype()) ? narrow.back().cast(DType::float64) : operand);
  }
  if (auto found = difference(computed(c, wide).cast(DType::float64), "in float64",
                              computed(c, narrow).cast(DType::float64), "in float32", float32_tolerance))
    return {true, std::move(*found)};
  return fine;
}

double dot(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) sum += a.at(i) * b.at(i);
  return sum;
}

/// Along a few random directions, so that every element takes part at the cost of two evaluations each.
Verdict try_derivative(const OperatorCase& c) {
  if (c.op.derivatives.empty()) return not_tried;
  const std::vector<Tensor> operands = draw_example(c.example, c.random);
  OperatorNode node(c.op, types_of(operands), c.example.attributes);
  if (!is_floating(node.expr.dtype())) return not_tried;
  const Tensor seed = draw_example(
      ExampleOperand{.dims = node.expr.shape().at({}), .low = -1, .high = 1, .dtype = node.expr.dtype()},
      c.random);
  CompileOptions options = plainly(c);
  const Program forward = Program::compile(std::span(&node.expr, 1), options);
  Verdict verdict;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (operands[k].dtype() != DType::float64) continue;
    verdict.tried = true;
    const Expr x = node.inputs[k];
    const std::vector<Expr> gradients =
        gradient(node.expr, std::span(&x, 1), node.graph.constant(seed), c.operators);
    if (gradients[0].type() != x.type())
      return {true, fmt::format("the gradient by {} is {} but {} is {}", c.op.operand(k).name,
                                to_string(gradients[0].type()), c.op.operand(k).name, to_string(x.type()))};
    const Tensor analytic = Program::compile(gradients, options).run(inputs_of(operands)).at(0);
    for (int direction = 0; direction < 3; ++direction) {
      const Tensor along =
          draw_example(ExampleOperand{.dims = operands[k].dims(), .low = -1, .high = 1}, c.random);
      const double expected = dot(analytic, along);
      double best = std::numeric_limits<double>::infinity(), nearest = 0;
      for (const double step : {1e-4, 1e-5, 1e-6}) {
        const auto at = [&](double distance) {
          std::vector<Tensor> moved = operands;
          const auto elements = moved[k].mutable_values<double>();
          for (std::size_t i = 0; i < elements.size(); ++i)
            elements[i] += distance * along.values<double>()[i];
          return dot(forward.run(inputs_of(moved))[0], seed);
        };
        const double differences = (at(step) - at(-step)) / (2 * step);
        double scale = std::max({std::abs(expected) + std::abs(differences), 1e-3});
        for (std::int64_t i = 0; i < analytic.size(); ++i) scale = std::max(scale, std::abs(analytic.at(i)));
        const double off = std::abs(differences - expected) / scale;
        if (!(off >= best)) {
          best = off;
          nearest = differences;
        }
      }
      if (!(best < derivative_tolerance))
        return {true, fmt::format(
                          "along a random direction of {} differences give {:.9g} but its rule gives {:.9g}",
                          c.op.operand(k).name, nearest, expected)};
    }
  }
  return verdict;
}

/// Operands at whole and half numbers, where functions jump and have their kinks.
std::vector<Tensor> drawn_at_jumps(const OperatorCase& c) {
  std::vector<Tensor> operands = draw_example(c.example, c.random);
  for (std::size_t k = 0; k < operands.size(); ++k)
    if (operands[k].dtype() == DType::float64)
      for (double& value : operands[k].mutable_values<double>())
        value = std::clamp(std::round(value * 2) / 2, c.example.operands[k].low, c.example.operands[k].high);
  return operands;
}

/// The result for these operands beside what is said of it; what is known of them may be their extremes, or
/// their signs alone.
std::string outside_of_interval(const OperatorCase& c, const OperatorNode& node,
                                std::span<const Tensor> operands) {
  const Tensor result = computed(c, node, operands);
  std::vector<Interval> of_operands, signs;
  for (const Tensor& operand : operands) {
    of_operands.push_back(extremes(operand));
    signs.push_back(intervals::sums(of_operands.back()));
  }
  for (const Interval& said : {c.op.interval_of(node.expr, of_operands), c.op.interval_of(node.expr, signs)})
    for (std::int64_t i = 0; i < result.size(); ++i)
      if (!std::isnan(result.at(i)) && !said.contains(result.at(i)))
        return fmt::format("element {} of the result is {:.9g}, outside of [{:.9g}, {:.9g}]", i, result.at(i),
                           said.low, said.high);
  return {};
}

Verdict try_interval(const OperatorCase& c) {
  if (!c.op.interval) return not_tried;
  for (const bool at_jumps : {false, true, false})
    for (const DType dtype : {DType::float64, DType::float32}) {
      // Attributes that name the type of the operands name the one of the example.
      if (dtype == DType::float32 && c.op.attributes->has("dtype")) continue;
      std::vector<Tensor> operands = at_jumps ? drawn_at_jumps(c) : draw_example(c.example, c.random);
      for (Tensor& operand : operands)
        if (operand.dtype() == DType::float64) operand = operand.cast(dtype);
      const OperatorNode node(c.op, types_of(operands), c.example.attributes);
      if (std::string failure = outside_of_interval(c, node, operands); !failure.empty())
        return {true, std::move(failure)};
    }
  return fine;
}

Verdict try_decisions(const OperatorCase& c) {
  if (!c.op.decides) return not_tried;
  Verdict verdict;
  std::bernoulli_distribution up;
  for (int round = 0; round < 4; ++round) {
    const std::vector<Tensor> operands = round == 0 ? draw_example(c.example, c.random) : drawn_at_jumps(c);
    const OperatorNode node(c.op, types_of(operands), c.example.attributes);
    const Tensor before = computed(c, node, operands);
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (operands[k].dtype() != DType::float64 || c.op.asks_of(node.expr, k) != Asks::nothing) continue;
      verdict.tried = true;
      std::vector<Tensor> moved = operands;
      for (double& value : moved[k].mutable_values<double>())
        value = std::clamp(value + (up(c.random) ? 1e-9 : -1e-9), c.example.operands[k].low,
                           c.example.operands[k].high);
      const Tensor after = computed(c, node, moved);
      if (const auto jumped = difference(
              before, "before", after,
              fmt::format("after a change of {} by 1e-9, of which it asks nothing", c.op.operand(k).name),
              1e-3))
        return {true, *jumped};
    }
  }
  return verdict;
}

Verdict try_fold(const OperatorCase& c) {
  if (!c.op.fold) return not_tried;
  std::vector<double> numbers;
  std::vector<Tensor> operands;
  for (const ExampleOperand& operand : c.example.operands) {
    ExampleOperand one = operand;
    one.dims = {};
    operands.push_back(draw_example(one, c.random));
    numbers.push_back(operands.back().at(0));
  }
  const double folded = c.op.fold(numbers), expected = computed(c, operands).at(0);
  if (std::abs(folded - expected) <= 1e-12 * std::max(1.0, std::abs(expected))) return fine;
  return {true, fmt::format("on numbers it gives {:.15g} but its kernel {:.15g}", folded, expected)};
}

}  // namespace
}  // namespace rulegrad::proving

namespace rulegrad {

std::vector<OperatorTrial> try_operator(const OpSchema& op, const Kernels& kernels,
                                        const Operators& operators) {
  using namespace proving;
  RandomEngine random(7);
  const std::vector<OpExample> examples = op.examples ? op.examples(random) : std::vector<OpExample>();
  if (examples.empty())
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[{}] it has no examples, so that nothing it says can be tried; set OpSchema::examples",
                    op.name));
  const std::pair<const char*, Verdict (*)(const OperatorCase&)> parts[] = {
      {"shapes", try_shapes},     {"kernel", try_kernel},       {"derivative", try_derivative},
      {"interval", try_interval}, {"batch", try_batch},         {"decisions", try_decisions},
      {"fold", try_fold},         {"classes", try_classes},     {"finite", try_finite},
      {"passes", try_passes},     {"linear_in", try_linear_in}, {"couples", try_couples}};
  std::vector<OperatorTrial> result;
  for (const auto& [what, part] : parts) {
    OperatorTrial& trial = result.emplace_back(OperatorTrial{what, 0, {}});
    for (const OpExample& given : examples) {
      OpExample example = given;
      if (&example.attributes.type() != op.attributes)
        example.attributes = Attributes::make(*op.attributes, {});
      const OperatorCase c{op, example, kernels, operators, random};
      Verdict verdict;
      try {
        verdict = part(c);
      } catch (const Error& error) {
        verdict = {true, error.what()};
      }
      trial.examples += verdict.tried ? 1 : 0;
      if (verdict.failure.empty() || !trial.holds()) continue;
      trial.failure = fmt::format("on {}: {}", text_of_example(op, example), verdict.failure);
    }
  }
  return result;
}

}  // namespace rulegrad
