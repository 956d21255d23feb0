// The families that operators say they belong to, proved on their examples: rules hang on what a class
// promises.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

using namespace rulegrad;

namespace {

Tensor drawn(RandomEngine& random, const ExampleOperand& operand) {
  Tensor result(operand.dtype, operand.dims);
  dispatch(operand.dtype, [&]<class T>(T) {
    std::uniform_real_distribution<double> real(operand.low, operand.high);
    std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                      static_cast<std::int64_t>(std::floor(operand.high)));
    for (T& value : result.mutable_values<T>())
      value = std::is_floating_point_v<T> ? static_cast<T>(real(random)) : static_cast<T>(whole(random));
  });
  return result;
}

Tensor computed(const OpSchema& op, const std::vector<Tensor>& operands, const Attributes& attributes) {
  Graph graph(DType::float64);
  std::vector<Expr> inputs;
  Inputs values;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    const std::string name = "x" + std::to_string(k);
    inputs.push_back(graph.input(name, {operands[k].dtype(), Shape::of(operands[k].dims())}));
    values[name] = operands[k];
  }
  const Expr result = graph.make(op, inputs, attributes);
  return Program::compile(std::span(&result, 1), {.check_finite = false}).run(values).at(0);
}

/// A example whose data are floating: classes say nothing of integers.
struct Case {
  const OpSchema& op;
  const OpExample& example;
  Attributes attributes;
  RandomEngine& random;

  [[nodiscard]] std::vector<Tensor> draw() const {
    std::vector<Tensor> all;
    for (const ExampleOperand& operand : example.operands) all.push_back(drawn(random, operand));
    return all;
  }
  [[nodiscard]] bool data(std::size_t slot) const { return op.operand(slot).role == Role::data; }
  /// Other data, the same parameters.
  [[nodiscard]] std::vector<Tensor> redrawn(const std::vector<Tensor>& operands) const {
    std::vector<Tensor> other = draw();
    for (std::size_t slot = 0; slot < other.size(); ++slot)
      if (!data(slot)) other[slot] = operands[slot];
    return other;
  }
};

template <class F>
void for_each_case(F&& f) {
  RandomEngine random(5);
  for (const auto& op : Operators::builtin().all()) {
    if (!op->examples || op->operands.empty() || op->name == "grad" || op->name == "vjp") continue;
    for (const OpExample& example : op->examples(random)) {
      const Attributes given = &example.attributes.type() == op->attributes
                                   ? example.attributes
                                   : Attributes::make(*op->attributes, {});
      const bool floating =
          std::all_of(example.operands.begin(), example.operands.end(), [&](const ExampleOperand& operand) {
            const auto slot = static_cast<std::size_t>(&operand - example.operands.data());
            return op->operand(slot).role != Role::data || is_floating(operand.dtype);
          });
      if (!floating) continue;
      INFO("operator ", op->name, " ", to_string(given));
      f(Case{*op, example, given, random});
    }
  }
}

std::string joined(const std::set<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += name + " ";
  return all;
}

/// Is each element of the result one of the data's elements, whatever these are, or one number?
bool moves(const Case& c) {
  const std::vector<Tensor> first = c.draw(), second = c.redrawn(first);
  std::map<double, std::pair<std::size_t, std::int64_t>> places;
  const auto held = [&](double value) {
    return c.op.name == "cast" ? static_cast<double>(static_cast<float>(value)) : value;
  };
  for (std::size_t slot = 0; slot < first.size(); ++slot)
    if (c.data(slot))
      for (std::int64_t i = 0; i < first[slot].size(); ++i) places[held(first[slot].at(i))] = {slot, i};
  const Tensor a = computed(c.op, first, c.attributes), b = computed(c.op, second, c.attributes);
  if (!is_floating(a.dtype()) || identical(a, b)) return false;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const auto found = places.find(held(a.at(i)));
    if (found == places.end() ? a.at(i) != b.at(i)
                              : held(second[found->second.first].at(found->second.second)) != held(b.at(i)))
      return false;
  }
  return true;
}

/// Is the result an affine function of the operand at `slot`: f(x + y) + f(0) = f(x) + f(y)?
bool linear_in(const Case& c, std::size_t slot) {
  const std::vector<Tensor> x = c.draw();
  std::vector<Tensor> y = x, sum = x, none = x;
  y[slot] = c.redrawn(x)[slot];
  for (std::int64_t i = 0; i < x[slot].size(); ++i) {
    dispatch(x[slot].dtype(), [&]<class T>(T) {
      sum[slot].mutable_values<T>()[static_cast<std::size_t>(i)] =
          static_cast<T>(x[slot].at(i) + y[slot].at(i));
      none[slot].mutable_values<T>()[static_cast<std::size_t>(i)] = T(0);
    });
  }
  const Tensor at_sum = computed(c.op, sum, c.attributes), at_none = computed(c.op, none, c.attributes);
  const Tensor at_x = computed(c.op, x, c.attributes), at_y = computed(c.op, y, c.attributes);
  for (std::int64_t i = 0; i < at_x.size(); ++i)
    if (!(std::abs(at_sum.at(i) + at_none.at(i) - at_x.at(i) - at_y.at(i)) <=
          1e-10 * (1 + std::abs(at_sum.at(i)))))
      return false;
  return true;
}

bool linear(const Case& c) {
  const std::vector<Tensor> first = c.draw();
  if (identical(computed(c.op, first, c.attributes), computed(c.op, c.redrawn(first), c.attributes)))
    return false;
  for (std::size_t slot = 0; slot < c.example.operands.size(); ++slot)
    if (c.data(slot) && !linear_in(c, slot)) return false;
  return true;
}

}  // namespace

TEST_CASE(
    "an operator of class routing moves numbers: each element of its result is one of its operand's or a "
    "constant") {
  std::set<std::string> moving, members, mixing;
  for_each_case([&](const Case& c) {
    if (c.op.is(OpClass::routing, c.attributes)) {
      members.insert(c.op.name);
      CHECK(moves(c));
    } else if (c.op.is(OpClass::routing)) {
      mixing.insert(c.op.name);
    } else if (!moves(c)) {
      mixing.insert(c.op.name);
    } else {
      moving.insert(c.op.name);
    }
  });
  for (const char* name :
       {"reshape", "transpose", "concat", "slice", "pad", "gather", "expand", "resize", "cast", "identity"})
    CHECK(members.contains(name));
  // Those that move on every example and are not of the class: `const` stops the flow, and a choice has rules
  // of its own (what it takes may depend on the data).
  std::set<std::string> missing;
  for (const std::string& name : moving)
    if (!mixing.contains(name) && name != "const" && name != "where") missing.insert(name);
  CHECK(joined(missing) == "");
}

TEST_CASE("a linear resize is not routing, a nearest one is") {
  const OpSchema& resize = op("resize");
  const auto with = [](ResizeMode mode) {
    return Attributes(ResizeAttributes{{4}, {}, mode, ResizeCoordinates::half_pixel, {}});
  };
  CHECK(resize.is(OpClass::routing, with(ResizeMode::nearest)));
  CHECK_FALSE(resize.is(OpClass::routing, with(ResizeMode::linear)));
  CHECK(resize.is(OpClass::linear, with(ResizeMode::linear)));
}

TEST_CASE("an operator of class linear is linear in each of its data operands") {
  std::set<std::string> seems, bent;
  for_each_case([&](const Case& c) {
    if (!is_floating(computed(c.op, c.draw(), c.attributes).dtype())) return;
    if (c.op.is(OpClass::linear, c.attributes))
      CHECK(linear(c));
    else
      (linear(c) ? seems : bent).insert(c.op.name);
  });
  // Sums and products of two values and choices have rules of their own; a batch norm and a padding add
  // constants; a cast rounds; `const` stops the flow.
  const std::set<std::string> known{"add", "sub", "mul", "where", "batch_norm", "pad", "cast", "const"};
  std::set<std::string> missing;
  for (const std::string& name : seems)
    if (!bent.contains(name) && !known.contains(name)) missing.insert(name);
  CHECK(joined(missing) == "");
}

TEST_CASE("an operator of class elementwise or activation works element by element") {
  for_each_case([&](const Case& c) {
    if (!c.op.is(OpClass::elementwise) && !c.op.is(OpClass::activation)) return;
    const std::vector<Tensor> operands = c.draw();
    for (const Tensor& operand : operands)
      if (operand.dims() != operands[0].dims()) return;
    std::vector<Tensor> turned = operands;  // from the last element to the first
    for (Tensor& operand : turned)
      dispatch(operand.dtype(), [&]<class T>(T) {
        const auto values = operand.mutable_values<T>();
        std::reverse(values.begin(), values.end());
      });
    const Tensor a = computed(c.op, operands, c.attributes), b = computed(c.op, turned, c.attributes);
    CHECK(a.dims() == operands[0].dims());
    for (std::int64_t i = 0; i < a.size(); ++i) CHECK(a.at(i) == b.at(a.size() - 1 - i));
  });
}
