// What operators say of themselves, held against what their kernels compute: bounds, what becomes of the
// batch, where they jump, numbers in place of operands. Every operator that ships is walked; one that says
// nothing gets the worst.
#include "rulegrad/expr/operator_facts.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rulegrad/dsl.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

/// Leaves, gradient nodes and the ends of loops are nothing that a kernel computes by itself.
bool has_kernel(const OpSchema& op) {
  return Kernels::portable().find(op.name) != nullptr;
}

}  // namespace

TEST_CASE("every operator that ships says what others ask of it") {
  for (const auto& op : Operators::builtin().all()) {
    std::vector<std::string> unsaid = op->unsaid();
    if (!has_kernel(*op)) std::erase(unsaid, "examples");
    for (const std::string& what : unsaid)
      FAIL_CHECK("the operator '", op->name, "' says nothing of `", what,
                 "`: set it in its schema (src/ops); ",
                 "rulegrad/expr/operator_facts.hpp has the usual answers, such as intervals::anything, "
                 "batches::mixing and decisions::none; `without` says that there is no derivative or fold");
  }
}

TEST_CASE("operators that add up over the batch say that they mix it, and where it goes otherwise") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4}}),
             y = graph.input("y", {DType::float32, Shape{B, 3}});
  const std::vector<std::optional<BatchPlace>> both(2, BatchPlace{0, 1, 1});
  const Expr over_batch = graph.apply(op("sum"), {x}, ReduceAttributes{{0}, true}),
             over_units = graph.apply(op("sum"), {x}, ReduceAttributes{{1}, false}),
             weights = graph.apply(op("dense_weight_grad"), {x, y});
  const auto flow = [&](Expr e) { return e.op().batch_of(e, std::span(both).first(e.operands().size())); };
  CHECK(flow(over_batch).mixes);
  CHECK(flow(weights).mixes);
  CHECK_FALSE(flow(over_units).mixes);
  REQUIRE(flow(over_units).place.has_value());
  CHECK(flow(over_units).place->axis == 0);
}

TEST_CASE(
    "an operator that says nothing is taken to bound nothing, to mix the batch, and to decide by all it "
    "reads") {
  OpSchema silent;
  silent.name = "silent";
  silent.operands = {{"x"}};
  silent.infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  CHECK(silent.unsaid() == std::vector<std::string>{"doc", "interval", "batch", "decides", "finite", "passes",
                                                    "derivative", "examples"});
  OpSchema aloud = silent;
  aloud.classes = {OpClass::elementwise, OpClass::affine};
  CHECK(aloud.unsaid() == std::vector<std::string>{"doc", "interval", "batch", "decides", "finite", "passes",
                                                   "derivative", "fold", "linear_in", "channels",
                                                   "examples"});
  aloud.without = {"derivative", "fold"};
  CHECK(aloud.unsaid() == std::vector<std::string>{"doc", "interval", "batch", "decides", "finite", "passes",
                                                   "linear_in", "channels", "examples"});
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4}});
  const Expr y = graph.make(silent, {x});
  CHECK(silent.interval_of(y, std::vector<Interval>{{0, 1}}) == Interval{});
  CHECK(silent.asks_of(y, 0) == Asks::everything);
  CHECK(silent.finite_for(y, 0) == FiniteFor::none);
  CHECK(silent.passed_on(y, std::vector<NonFinite>{non_finite::low}, {}) == non_finite::any);
  CHECK_FALSE(silent.coupled_axes(y).has_value());
  CHECK(first_mixing(std::span(&y, 1)) == y);

  // Two products become one where nothing decides by their sum (simplify.rounding): what is not known might.
  Tensor a = Tensor::full(DType::float32, {3, 4}, 0.5), b = Tensor::full(DType::float32, {3, 4}, 0.25);
  const Expr none = graph.scalar(0);
  const Expr sum = graph.apply(op("add"), {graph.apply(op("dense"), {x, graph.constant(a), none}),
                                           graph.apply(op("dense"), {x, graph.constant(b), none})});
  const Expr plain = graph.apply(op("tanh"), {sum}), decided = graph.make(silent, {sum});
  CHECK(simplify(std::span(&plain, 1), true).rewrites.size() == 1);
  CHECK(simplify(std::span(&decided, 1), true).rewrites.empty());
  // The same for those that decide and were forgotten.
  const Expr least = graph.apply(op("argmin"), {sum}, ArgAttributes{1}),
             whole = graph.apply(op("cast"), {sum}, CastAttributes{DType::int32});
  const Expr rest = graph.apply(op("mod"), {sum, graph.scalar(2)}),
             wide = graph.apply(op("cast"), {sum}, CastAttributes{DType::float64});
  for (const Expr e : {least, whole, rest}) CHECK(simplify(std::span(&e, 1), true).rewrites.empty());
  CHECK(simplify(std::span(&wide, 1), true).rewrites.size() == 1);
}

TEST_CASE("the DSL's rows take as many operands as the operators do") {
  for (const dsl::OperatorRow& row : dsl::operator_rows) {
    INFO("operator ", row.name);
    const OpSchema& schema = op(row.name);
    CHECK(row.min_operands == static_cast<int>(schema.required_operands()));
    CHECK(row.max_operands == (schema.variadic() ? dsl::any : static_cast<int>(schema.operands.size())));
  }
  for (const auto& op : Operators::builtin().all()) {
    INFO("operator ", op->name);
    // C++ keeps one word for itself.
    if (has_kernel(*op) && op->name != "const") CHECK(dsl::detail::is_operator_name(op->name));
  }
}
