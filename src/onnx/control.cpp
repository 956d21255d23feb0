#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"

#include "onnx/node_context.hpp"
#include "onnx/steps.hpp"

// If, Loop and Scan: bodies whose conditions and trip counts are known when a model is read are written out.
namespace rulegrad::io {
namespace {

constexpr std::int64_t most_iterations = 1 << 13;

/// True or false, if the value is known.
std::optional<bool> truth_of(const Value& value) {
  // A batch is never empty.
  if (value.symbolic && value.symbolic->elements.size() == 1) return value.symbolic->elements[0].factor != 0;
  if (!value.expr) return std::nullopt;
  if (const auto* fill = fill_of(value.expr)) return fill->value != 0;
  const Tensor* array = array_of(value.expr);
  return array != nullptr && array->size() == 1 ? std::optional(array->at(0) != 0) : std::nullopt;
}

void choose(NodeContext& c) {
  const auto condition = truth_of(c.value(0));
  const onnx::GraphProto& yes = c.body("then_branch");
  const onnx::GraphProto& no = c.body("else_branch");
  if (!condition)
    c.fail(
        fmt::format("its condition '{}' depends on the model's inputs, and both branches cannot be one "
                    "expression; export the "
                    "model for the branch that is to be explained",
                    c.input_name(0)));
  const std::vector<Value> results = c.importer().run_body(*condition ? yes : no, {}, c.plain_name());
  if (results.size() < c.output_count())
    c.fail(fmt::format("its branch gives {} values for {} outputs", results.size(), c.output_count()));
  for (std::size_t i = 0; i < c.output_count(); ++i) c.result(results[i], i);
}

/// How often a loop runs at most.
std::int64_t trip_count(const NodeContext& c) {
  if (!c.has(0)) return INT64_MAX;
  const auto count = c.symbols(0);
  if (!count)
    c.fail(
        fmt::format("how often it runs, '{}', depends on the model's inputs; export the model for a fixed "
                    "number of steps",
                    c.input_name(0)));
  if (count->has_batch())
    c.importer().fail_steps(fmt::format(
        "it runs once for each entry of the axis that is read as the batch ('{}')", c.input_name(0)));
  if (count->elements.size() != 1)
    c.fail(fmt::format("its trip count has {} elements", count->elements.size()));
  return std::max<std::int64_t>(0, count->elements[0].factor);
}

void loop(NodeContext& c) {
  const onnx::GraphProto& body = c.body("body");
  const std::int64_t most = trip_count(c);
  const auto carried = static_cast<std::size_t>(std::max(0, body.input_size() - 2));
  const auto given = static_cast<std::size_t>(body.output_size());
  if (body.input_size() < 2 || given < 1 + carried || c.input_count() != 2 + carried)
    c.fail(fmt::format("its body takes {} values and gives {}, for {} inputs of the node", body.input_size(),
                       given, c.input_count()));
  std::vector<Value> state;
  for (std::size_t i = 0; i < carried; ++i) state.push_back(c.value(2 + i));
  std::vector<std::vector<Expr>> scanned(given - 1 - carried);
  Value condition = c.has(1) ? c.value(1) : Value{c.graph().constant(Tensor::scalar(DType::boolean, 1))};
  for (std::int64_t i = 0; i < most; ++i) {
    const auto runs = truth_of(condition);
    if (!runs)
      c.fail(
          fmt::format("whether it goes on after {} iterations depends on the model's inputs; export the "
                      "model for a fixed "
                      "number of steps",
                      i));
    if (!*runs) break;
    if (i == most_iterations)
      c.fail(
          fmt::format("it runs more than {} times, and each step is written out; export the model for fewer",
                      most_iterations));
    std::vector<Value> arguments{{c.graph().constant(Tensor::scalar(DType::int64, static_cast<double>(i)))},
                                 condition};
    arguments.insert(arguments.end(), state.begin(), state.end());
    std::vector<Value> results =
        c.importer().run_body(body, std::move(arguments), fmt::format("{}.t{}", c.plain_name(), i));
    condition = results[0];
    for (std::size_t k = 0; k < carried; ++k) state[k] = results[1 + k];
    for (std::size_t k = 0; k < scanned.size(); ++k)
      scanned[k].push_back(c.importer().expression(results[1 + carried + k]));
  }
  for (std::size_t k = 0; k < c.output_count(); ++k)
    if (k < carried)
      c.result(state[k], k);
    else if (c.wanted(k) && k - carried < scanned.size())
      c.result(join_steps(c, scanned[k - carried], 0), k);
}

/// Axis and direction of each scanned input or output.
struct Scanned {
  std::int64_t axis = 0;
  bool reverse = false;
};

std::vector<Scanned> read_scanned(NodeContext& c, std::size_t count, const char* axes,
                                  const char* directions) {
  std::vector<Scanned> all(count);
  const Ints at = c.integers(axes), way = c.integers(directions);
  if ((!at.empty() && at.size() != count) || (!way.empty() && way.size() != count))
    c.fail(fmt::format("{} and {} need a number for each of {} arrays", axes, directions, count));
  for (std::size_t i = 0; i < count; ++i) {
    if (!at.empty()) all[i].axis = at[i];
    if (!way.empty()) all[i].reverse = way[i] != 0;
  }
  return all;
}

void scan(NodeContext& c) {
  if (c.opset() < 9) c.fail("Scan of operator set 8 is not supported; convert the model to set 9 or later");
  const onnx::GraphProto& body = c.body("body");
  const auto sources = static_cast<std::size_t>(std::max<std::int64_t>(0, c.integer("num_scan_inputs", 0)));
  if (sources < 1 || sources > c.input_count() ||
      static_cast<std::size_t>(body.input_size()) != c.input_count())
    c.fail(fmt::format("num_scan_inputs is {} for {} inputs of the node and {} of its body", sources,
                       c.input_count(), body.input_size()));
  const std::size_t carried = c.input_count() - sources;
  if (static_cast<std::size_t>(body.output_size()) < carried)
    c.fail(fmt::format("its body gives {} values and carries {}", body.output_size(), carried));
  const std::size_t made = static_cast<std::size_t>(body.output_size()) - carried;
  const std::vector<Scanned> from = read_scanned(c, sources, "scan_input_axes", "scan_input_directions");
  const std::vector<Scanned> to = read_scanned(c, made, "scan_output_axes", "scan_output_directions");
  std::vector<std::vector<Expr>> steps;
  for (std::size_t k = 0; k < sources; ++k) {
    const Expr x = c.operand(carried + k);
    const std::size_t axis = checked_axis(c, from[k].axis, x.shape().rank());
    if (x.shape()[axis].batch)
      c.importer().fail_steps(
          fmt::format("it goes over axis {} of {}, which is read as the batch", axis, to_string(x.type())));
    if (x.shape()[axis].factor > most_iterations)
      c.fail(fmt::format("it runs more than {} times", most_iterations));
    steps.push_back(cut_steps(c, x, axis));
    if (from[k].reverse) std::reverse(steps[k].begin(), steps[k].end());
    if (steps[k].size() != steps[0].size())
      c.fail(fmt::format("its inputs have {} and {} steps", steps[0].size(), steps[k].size()));
  }
  std::vector<Value> state;
  for (std::size_t i = 0; i < carried; ++i) state.push_back(c.value(i));
  std::vector<std::vector<Expr>> scanned(made);
  for (std::size_t t = 0; t < steps[0].size(); ++t) {
    std::vector<Value> arguments = state;
    for (const std::vector<Expr>& source : steps) arguments.push_back({source[t]});
    std::vector<Value> results =
        c.importer().run_body(body, std::move(arguments), fmt::format("{}.t{}", c.plain_name(), t));
    for (std::size_t k = 0; k < carried; ++k) state[k] = results[k];
    for (std::size_t k = 0; k < made; ++k)
      scanned[k].push_back(c.importer().expression(results[carried + k]));
  }
  for (std::size_t k = 0; k < c.output_count(); ++k) {
    if (k < carried) {
      c.result(state[k], k);
    } else if (k - carried < made && c.wanted(k)) {
      std::vector<Expr>& all = scanned[k - carried];
      if (to[k - carried].reverse) std::reverse(all.begin(), all.end());
      const std::size_t rank = all.empty() ? 1 : all[0].shape().rank() + 1;
      c.result(join_steps(c, all, checked_axis(c, to[k - carried].axis, rank)), k);
    }
  }
}

}  // namespace

void add_control(Handlers& h) {
  h["If"] = choose;
  h["Loop"] = loop;
  h["Scan"] = scan;
}

}  // namespace rulegrad::io
