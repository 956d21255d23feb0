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

/// Values of an operand: anywhere in its range, or where functions have their kinks and jumps.
Tensor draw(RandomEngine& random, const ExampleOperand& operand, bool at_jumps) {
  std::uniform_real_distribution<double> real(operand.low, operand.high);
  std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                    static_cast<std::int64_t>(std::floor(operand.high)));
  Tensor result(operand.dtype, operand.dims);
  dispatch(operand.dtype, [&]<class T>(T) {
    for (T& value : result.mutable_values<T>()) {
      double drawn = std::is_floating_point_v<T> ? real(random) : static_cast<double>(whole(random));
      if (at_jumps && std::is_floating_point_v<T>)
        drawn = std::clamp(std::round(drawn * 2) / 2, operand.low, operand.high);
      value = static_cast<T>(drawn);
    }
  });
  return result;
}

struct Instance {
  Graph graph{DType::float64};
  Expr expr;

  Instance(const OpSchema& op, const std::vector<Type>& operands, const Attributes& attributes) {
    std::vector<Expr> inputs;
    for (std::size_t k = 0; k < operands.size(); ++k)
      inputs.push_back(graph.input("x" + std::to_string(k), operands[k]));
    expr = graph.make(op, inputs, attributes);
  }
};

std::vector<Type> types_of(const std::vector<Tensor>& operands) {
  std::vector<Type> types;
  for (const Tensor& operand : operands) types.push_back({operand.dtype(), Shape::of(operand.dims())});
  return types;
}

Tensor compute(const Instance& node, const std::vector<Tensor>& operands) {
  Inputs inputs;
  for (std::size_t k = 0; k < operands.size(); ++k) inputs["x" + std::to_string(k)] = operands[k];
  return Program::compile(std::span(&node.expr, 1), {.check_finite = false, .simplify = false})
      .run(inputs)
      .at(0);
}

Tensor compute(const OpSchema& op, const std::vector<Tensor>& operands, const Attributes& attributes) {
  return compute(Instance(op, types_of(operands), attributes), operands);
}

Interval extremes(const Tensor& values) {
  Interval result{intervals::infinite, -intervals::infinite};
  for (std::int64_t i = 0; i < values.size(); ++i)
    result = intervals::either(result, {values.at(i), values.at(i)});
  return result;
}

template <class F>
void for_each_example(F&& f) {
  RandomEngine random(17);
  for (const auto& op : Operators::builtin().all()) {
    if (!has_kernel(*op)) continue;
    INFO("operator ", op->name);
    for (const OpExample& example : op->examples(random)) {
      INFO("attributes ", to_string(example.attributes));
      f(*op, example, random);
    }
  }
}

std::vector<Tensor> draw(RandomEngine& random, const OpExample& example, bool at_jumps) {
  std::vector<Tensor> operands;
  for (const ExampleOperand& operand : example.operands) operands.push_back(draw(random, operand, at_jumps));
  return operands;
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

TEST_CASE("what kernels compute lies in the interval that the operator says") {
  int bounded = 0;
  for_each_example([&](const OpSchema& op, const OpExample& example, RandomEngine& random) {
    for (const bool at_jumps : {false, true})
      for (const bool narrow : {false, true}) {
        std::vector<Tensor> operands = draw(random, example, at_jumps);
        if (narrow)
          for (Tensor& operand : operands)
            if (operand.dtype() == DType::float64) operand = operand.cast(DType::float32);
        if (narrow && op.attributes->has("dtype")) continue;
        const Instance node(op, types_of(operands), example.attributes);
        const Tensor result = compute(node, operands);
        // What is known of operands may be their extremes, or their signs alone.
        std::vector<Interval> exact, signs;
        for (const Tensor& operand : operands) {
          exact.push_back(extremes(operand));
          signs.push_back(intervals::sums(exact.back()));
        }
        for (const auto& of_operands : {exact, signs}) {
          const Interval said = op.interval_of(node.expr, of_operands);
          if (said != Interval{}) ++bounded;
          INFO("said ", said.low, " to ", said.high);
          for (std::int64_t i = 0; i < result.size(); ++i) {
            if (std::isnan(result.at(i))) continue;  // values are finite where intervals are asked
            CAPTURE(result.at(i));
            REQUIRE(said.contains(result.at(i)));
          }
        }
      }
  });
  CHECK(bounded > 300);
}

namespace {

/// The types with the extent of some axes read as the batch, and the attributes' shapes as well.
struct Symbolic {
  std::vector<Type> operands;
  std::vector<std::optional<BatchPlace>> places;
};

Symbolic with_batch(const std::vector<Type>& types, std::size_t subset, std::size_t axis,
                    std::int64_t extent) {
  Symbolic result{types, std::vector<std::optional<BatchPlace>>(types.size())};
  for (std::size_t k = 0; k < types.size(); ++k) {
    if ((subset >> k & 1) == 0) continue;
    std::vector<Dim> dims = types[k].shape.dims();
    if (axis >= dims.size() || !dims[axis].is(extent)) return {};
    dims[axis] = B;
    result.operands[k].shape = Shape(std::move(dims));
    result.places[k] = BatchPlace{axis, 1, 1};
  }
  return result;
}

/// The attributes, and each way to read one extent of a shape in them as the batch.
std::vector<Attributes> readings(const Attributes& attributes, std::int64_t extent) {
  std::vector<Attributes> result{attributes};
  const std::vector<NamedValue> values = attributes.values();
  for (std::size_t field = 0; field < values.size(); ++field) {
    const auto* shape = std::get_if<Shape>(&values[field].second);
    if (shape == nullptr) continue;
    for (std::size_t axis = 0; axis < shape->rank(); ++axis) {
      if ((*shape)[axis].factor % extent != 0) continue;
      std::vector<Dim> dims = shape->dims();
      dims[axis] = Dim{dims[axis].factor / extent, true};
      std::vector<NamedValue> changed = values;
      changed[field].second = Shape(std::move(dims));
      result.push_back(Attributes::make(attributes.type(), changed));
    }
  }
  return result;
}

/// Which entry of the batch of `count` an element of a row-major array belongs to.
std::int64_t entry_of(std::int64_t flat, const Dims& dims, const BatchPlace& place, std::int64_t count) {
  std::int64_t behind = 1;
  for (std::size_t axis = place.axis + 1; axis < dims.size(); ++axis) behind *= dims[axis];
  return flat / behind % dims[place.axis] / place.inner % count;
}

}  // namespace

TEST_CASE("entries of the batch act on those entries of a result that the operator says, and on no other") {
  std::set<std::string> separate, mixing;
  for_each_example([&](const OpSchema& op, const OpExample& example, RandomEngine& random) {
    const std::vector<Tensor> operands = draw(random, example, false), others = draw(random, example, false);
    const std::vector<Type> types = types_of(operands);
    for (std::size_t axis = 0; axis < 4; ++axis)
      for (std::size_t subset = 1; subset < std::size_t{1} << std::min<std::size_t>(types.size(), 3);
           ++subset) {
        std::int64_t extent = 0;
        for (std::size_t k = 0; k < types.size() && extent == 0; ++k)
          if ((subset >> k & 1) != 0 && axis < types[k].shape.rank()) extent = types[k].shape[axis].factor;
        if (extent < 2) continue;
        const Symbolic symbolic = with_batch(types, subset, axis, extent);
        if (symbolic.operands.empty()) continue;
        for (const Attributes& attributes : readings(example.attributes, extent)) {
          std::optional<Instance> node;
          try {
            node.emplace(op, symbolic.operands, attributes);
          } catch (const Error&) {
            continue;  // the operator refuses a batch there
          }
          const BatchFlow flow = op.batch_of(node->expr, symbolic.places);
          if (flow.mixes) {
            mixing.insert(op.name);
            continue;
          }
          separate.insert(op.name);
          const std::int64_t entry = 1;
          std::vector<Tensor> changed = operands;
          for (std::size_t k = 0; k < types.size(); ++k)
            if (symbolic.places[k])
              for (std::int64_t i = 0; i < changed[k].size(); ++i)
                if (entry_of(i, changed[k].dims(), *symbolic.places[k], extent) == entry)
                  std::copy_n(
                      others[k].data() + i * static_cast<std::int64_t>(size_of(others[k].dtype())),
                      size_of(others[k].dtype()),
                      changed[k].mutable_data() + i * static_cast<std::int64_t>(size_of(others[k].dtype())));
          const Tensor before = compute(*node, operands), after = compute(*node, changed);
          INFO("the batch is axis ", axis, " of operands ", subset, ", and the result ",
               to_string(node->expr.type()));
          if (flow.place) {
            REQUIRE(flow.place->axis < before.rank());
            CHECK(before.dims()[flow.place->axis] == flow.place->outer * flow.place->inner * extent);
          }
          for (std::int64_t i = 0; i < before.size(); ++i) {
            const bool same =
                before.at(i) == after.at(i) || (std::isnan(before.at(i)) && std::isnan(after.at(i)));
            if (same) continue;
            REQUIRE(flow.place.has_value());
            REQUIRE(entry_of(i, before.dims(), *flow.place, extent) == entry);
          }
        }
      }
  });
  CHECK(separate.size() > 70);
  for (const char* name :
       {"sum", "softmax", "batch_norm", "slice", "transpose", "reshape", "gather", "concat"}) {
    INFO(name);
    CHECK(separate.contains(name));
  }
  for (const std::string name : {"sum", "dense_weight_grad", "conv_weight_grad", "matmul"}) {
    CAPTURE(name);
    CHECK(mixing.contains(name));
  }
}

TEST_CASE(
    "where an operator asks nothing of an operand, a small change of it is a small change of the result") {
  std::set<std::string> jumped;
  for_each_example([&](const OpSchema& op, const OpExample& example, RandomEngine& random) {
    for (int round = 0; round < 4; ++round) {
      const std::vector<Tensor> operands = draw(random, example, true);
      const Tensor before = compute(op, operands, example.attributes);
      const Instance node(op, types_of(operands), example.attributes);
      std::bernoulli_distribution up;
      for (std::size_t k = 0; k < operands.size(); ++k) {
        if (operands[k].dtype() != DType::float64) continue;
        std::vector<Tensor> moved = operands;
        for (double& value : moved[k].mutable_values<double>())
          value = std::clamp(value + (up(random) ? 1e-9 : -1e-9), example.operands[k].low,
                             example.operands[k].high);
        const Tensor after = compute(op, moved, example.attributes);
        bool jumps = false;
        for (std::int64_t i = 0; i < before.size(); ++i)
          jumps = jumps || !(std::abs(after.at(i) - before.at(i)) <= 1e-3 * (1 + std::abs(before.at(i))));
        if (!jumps) continue;
        jumped.insert(op.name);
        INFO("operand ", k);
        CHECK(op.asks_of(node.expr, k) != Asks::nothing);
      }
    }
  });
  for (const char* name : {"sign", "floor", "ceil", "round", "less", "equal", "argmax", "argmin", "first_max",
                           "stabilize", "max_pool_vjp", "cast"}) {
    INFO(name, " was not seen to jump");
    CHECK(jumped.contains(name));
  }
}

TEST_CASE("numbers in place of operands give what the kernel gives") {
  int checked = 0;
  RandomEngine random(23);
  std::uniform_real_distribution<double> real(0.25, 2);
  for (const auto& op : Operators::builtin().all()) {
    if (!op->fold) continue;
    INFO("operator ", op->name);
    for (int round = 0; round < 5; ++round) {
      std::vector<double> numbers;
      std::vector<Tensor> operands;
      for (std::size_t k = 0; k < op->operands.size(); ++k) {
        numbers.push_back(real(random));
        operands.push_back(Tensor::scalar(DType::float64, numbers.back()));
        if (op->name == "logical_not") operands.back() = operands.back().cast(DType::boolean);
      }
      CHECK(op->fold(numbers) == doctest::Approx(compute(*op, operands, {}).at(0)).epsilon(1e-12));
      ++checked;
    }
  }
  CHECK(checked >= 5 * 18);
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
