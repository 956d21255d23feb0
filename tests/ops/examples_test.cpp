// Every operator's examples are valid, and shapes with the symbolic batch say the same as shapes with its
// extent.
#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <set>
#include <string>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

std::vector<Type> types_of(const OpExample& example) {
  std::vector<Type> types;
  for (const ExampleOperand& operand : example.operands)
    types.push_back({operand.dtype, Shape::of(operand.dims)});
  return types;
}

/// The attributes in their one form, as a graph gives them to the operator.
Attributes attributes_of(const OpSchema& op, const OpExample& example) {
  const bool given = &example.attributes.type() == op.attributes;
  CHECK((given || &example.attributes.type() == &attr_type<NoAttributes>()));
  const Attributes attributes = given ? example.attributes : Attributes::make(*op.attributes, {});
  return op.normalize ? op.normalize(types_of(example), attributes) : attributes;
}

Shape with_batch_in_front(const Shape& shape) {
  std::vector<Dim> dims = shape.dims();
  dims[0] = B;
  return Shape(std::move(dims));
}

/// The attributes with the leading extent of shapes in them read as the batch, where it is the extent `n`.
Attributes with_batch(const Attributes& attributes, std::int64_t n) {
  std::vector<NamedValue> values = attributes.values();
  for (auto& [name, value] : values)
    if (const auto* shape = std::get_if<Shape>(&value);
        shape != nullptr && shape->rank() > 0 && (*shape)[0].is(n))
      value = with_batch_in_front(*shape);
  return Attributes::make(attributes.type(), values);
}

/// The result, or nothing where the operator refuses the symbolic batch.
std::optional<Type> infer(const OpSchema& op, const std::vector<Type>& types, const Attributes& attributes) {
  try {
    return op.infer(types, attributes);
  } catch (const Error& error) {
    CHECK(std::string(error.what()).starts_with("[" + op.name + "] "));
    return std::nullopt;
  }
}

}  // namespace

TEST_CASE("every operator has a sentence of documentation and valid examples") {
  RandomEngine random(1);
  for (const auto& op : Operators::builtin().all()) {
    INFO("operator ", op->name);
    CHECK(!op->doc.empty());
    if (!op->examples) continue;
    for (int round = 0; round < 5; ++round)
      for (const OpExample& example : op->examples(random)) {
        INFO("attributes ", to_string(example.attributes));
        REQUIRE(example.operands.size() >= op->required_operands());
        Type result;
        CHECK_NOTHROW(result = op->infer(types_of(example), attributes_of(*op, example)));
        CHECK(!result.shape.has_batch());
      }
  }
}

TEST_CASE("examples keep their values distinct where a kink or a tie would spoil a difference") {
  RandomEngine random(2);
  for (const auto& op : Operators::builtin().all()) {
    if (!op->examples) continue;
    for (const OpExample& example : op->examples(random))
      for (const ExampleOperand& operand : example.operands) {
        CHECK(operand.low <= operand.high);
        if (operand.gap == 0) continue;
        INFO("operator ", op->name, " ", to_string(std::span(operand.dims)));
        const double steps = (operand.high - operand.low) / (2 * operand.gap) - 1;
        CHECK(steps - 2 >= static_cast<double>(element_count(operand.dims)));
      }
  }
}

TEST_CASE("with the batch in front, inference gives what it gives for the batch's extent, or refuses") {
  std::set<std::string> never;
  RandomEngine random(3);
  for (const auto& op : Operators::builtin().all()) {
    if (!op->examples) continue;
    bool accepted = false;
    for (const OpExample& example : op->examples(random)) {
      const std::vector<Type> plain = types_of(example);
      const Attributes plain_attributes = attributes_of(*op, example);
      const Type expected = op->infer(plain, plain_attributes);
      // The operands that hold the batch: all of one leading extent, each subset of them.
      std::map<std::int64_t, std::vector<std::size_t>> by_extent;
      for (std::size_t i = 0; i < plain.size(); ++i)
        if (plain[i].shape.rank() > 0) by_extent[plain[i].shape[0].factor].push_back(i);
      for (const auto& [extent, members] : by_extent)
        for (std::size_t subset = 1; subset < std::size_t{1} << members.size(); ++subset) {
          std::vector<Type> symbolic = plain;
          for (std::size_t k = 0; k < members.size(); ++k)
            if ((subset >> k & 1) != 0)
              symbolic[members[k]].shape = with_batch_in_front(plain[members[k]].shape);
          for (const Attributes& attributes : {plain_attributes, with_batch(plain_attributes, extent)}) {
            const auto result = infer(*op, symbolic, attributes);
            if (!result) continue;
            accepted = true;
            INFO("operator ", op->name, " ", to_string(attributes), " gives ", to_string(*result));
            CHECK(result->dtype == expected.dtype);
            CHECK(result->shape.at({extent, 1}) == expected.shape.at({}));
          }
        }
    }
    if (!accepted) never.insert(op->name);
  }
  CHECK(never == std::set<std::string>{"fill", "window_mask"});
}
