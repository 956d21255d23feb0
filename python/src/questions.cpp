#include <array>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/explain/comparison.hpp"
#include "rulegrad/explain/explain.hpp"
#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "arrays.hpp"
#include "holder.hpp"
#include "watched.hpp"

namespace rulegrad::python {
namespace {

/// Analyses of one question, and how their expressions are computed for one sample.
class Asked {
 public:
  Asked(std::shared_ptr<Network> network, const std::shared_ptr<Registry>& registry, const Settings& settings)
      : network_(std::move(network)), registry_(registry), settings_(settings) {
    const Model& model = network_->model;
    Graph& graph = model.graph();
    question_.output = model.head(head_of(settings.head), settings.output);
    for (const std::string& name : settings.nodes)
      question_.explained.push_back(find_node(question_.output, name));
    if (settings.nodes.empty())
      for (const ModelInput& input : model.inputs())
        if (is_floating(input.expr.dtype())) question_.explained.push_back(input.expr);
    question_.keep = settings.nodes.empty() ? std::vector<Expr>{} : question_.explained;
    question_.seed = seed_of(settings.seed);
    if (question_.seed == Question::Seed::tensor)
      throw Error(ErrorCode::invalid_argument, "[question] a seed here is \"one\" or \"value\"");
    question_.aux = aux_of(settings.aux);
    question_.read_array = [](const std::string& path) { return io::read_npy(path); };
    if (settings.targets_given) {
      const Shape& shape = question_.output.shape();
      question_.target = target_input(graph, shape.rank() == 0 ? Dim(1) : shape[0]);
    }
  }

  [[nodiscard]] Analysis analysis(const AnalyzerCall& call) const {
    return analyze(registry_->rules, call, question_, registry_->operators, registry_->samplers);
  }

  [[nodiscard]] std::vector<Tensor> values(std::span<const Expr> expressions, Inputs inputs,
                                           const std::vector<std::int64_t>& targets,
                                           std::stop_token stop) const {
    if (settings_.targets_given)
      inputs[target_name] =
          Tensor({static_cast<std::int64_t>(targets.size())}, std::span<const std::int64_t>(targets));
    CompileOptions options;
    options.kernels = &registry_->kernels;
    options.check_finite = settings_.check_finite;
    return Program::compile(expressions, options).run(inputs, {.stop = std::move(stop)});
  }

  [[nodiscard]] Network& network() const { return *network_; }

 private:
  static constexpr const char* target_name = "rulegrad.python.target";
  static Expr target_input(Graph& graph, Dim batch) {
    for (const Expr input : graph.inputs())
      if (input.attributes<InputAttributes>().name == target_name) return input;
    return graph.input(target_name, {DType::int64, Shape{batch}});
  }

  std::shared_ptr<Network> network_;
  std::shared_ptr<Registry> registry_;
  Settings settings_;
  Question question_;
};

py::dict explain_rules(const std::shared_ptr<Network>& network, const py::object& method,
                       const std::shared_ptr<Registry>& registry, const Settings& settings,
                       const py::object& arrays, const std::vector<std::int64_t>& targets,
                       const std::string& node, std::size_t width) {
  const AnalyzerCall call = calls_of(py::make_tuple(method)).front();
  const Inputs inputs = arrays.is_none() ? Inputs{} : inputs_of(arrays.cast<py::dict>());
  const bool has_values = !arrays.is_none();
  std::vector<ExplainedStep> steps;
  std::vector<ExplainedRewrite> rewrites;
  RelevanceFlow flow;
  std::vector<std::string> notes;
  std::string text, dot;
  std::stop_source stop;
  {
    const Asked asked(network, registry, settings);
    run_watched(stop, [&] {
      const std::lock_guard lock(network->building);
      const Analysis analysis = asked.analysis(call);
      steps = explained_steps(analysis);
      rewrites = explained_rewrites(analysis);
      notes = analysis.notes;
      dot = explain_dot(analysis);
      if (!node.empty()) text = explain_node(analysis, node, settings.rounding);
      if (has_values) {
        const FlowQuestions questions(analysis);
        flow = questions.read(asked.values(questions.expressions(), inputs, targets, stop.get_token()));
        if (text.empty()) text = flow_table(analysis, flow, width);
      }
      if (text.empty()) text = explain_table(analysis, width);
    });
  }
  py::list rows;
  for (const ExplainedStep& step : steps) {
    py::dict row;
    row["node"] = step.node;
    row["operator"] = step.op;
    row["operand"] = step.operand;
    row["rule"] = step.rule;
    row["place"] = step.place;
    row["why"] = step.why;
    if (has_values)
      for (const FlowRow& values : flow.rows)
        if (values.step == step.step) {
          row["in"] = values.in;
          row["out"] = values.out;
          row["bias"] = values.bias;
          row["stabiliser"] = values.stabiliser;
          row["rest"] = values.rest;
          row["low"] = values.low;
          row["high"] = values.high;
        }
    rows.append(row);
  }
  py::list changes;
  for (const ExplainedRewrite& rewrite : rewrites) {
    py::dict row;
    row["before"] = rewrite.before;
    row["folded"] = rewrite.folded;
    row["after"] = rewrite.after;
    row["rule"] = rewrite.rule;
    row["place"] = rewrite.place;
    changes.append(row);
  }
  py::dict result;
  result["steps"] = rows;
  result["rewrites"] = changes;
  result["notes"] = notes;
  result["text"] = text;
  result["dot"] = dot;
  if (has_values) {
    result["seed"] = flow.seed;
    result["reached"] = flow.reached;
  }
  return result;
}

py::dict diff(const std::shared_ptr<Network>& network, const py::object& a, const py::object& b,
              const std::shared_ptr<Registry>& registry, const Settings& settings, const py::object& arrays,
              const std::vector<std::int64_t>& targets, std::size_t width) {
  const std::vector<AnalyzerCall> calls = calls_of(py::make_tuple(a, b));
  const Inputs inputs = arrays.is_none() ? Inputs{} : inputs_of(arrays.cast<py::dict>());
  const bool has_values = !arrays.is_none();
  std::vector<Difference> differences;
  std::size_t common = 0;
  std::string text;
  std::stop_source stop;
  {
    const Asked asked(network, registry, settings);
    run_watched(stop, [&] {
      const std::lock_guard lock(network->building);
      const Analysis first = asked.analysis(calls[0]), second = asked.analysis(calls[1]);
      Comparison comparison(first, second);
      if (has_values)
        comparison.read(asked.values(comparison.expressions(), inputs, targets, stop.get_token()));
      differences = comparison.differences();
      common = comparison.common();
      text = comparison.table(calls[0].name, calls[1].name, width);
    });
  }
  py::list rows;
  for (const Difference& difference : differences) {
    py::dict row;
    row["node"] = difference.node;
    row["operator"] = difference.op;
    row["operand"] = difference.operand;
    row["rule_a"] = difference.rule_a;
    row["place_a"] = difference.place_a;
    row["rule_b"] = difference.rule_b;
    row["place_b"] = difference.place_b;
    row["parameters"] = difference.parameters;
    if (has_values) {
      row["relative_l1"] = difference.relative_l1;
      row["relative_max"] = difference.relative_max;
    }
    rows.append(row);
  }
  py::dict result;
  result["differences"] = rows;
  result["common"] = common;
  result["text"] = text;
  return result;
}

}  // namespace

void bind_questions(py::module_& module) {
  module.def("explain_rules", &explain_rules, py::arg("network"), py::arg("method"), py::arg("registry"),
             py::arg("settings"), py::arg("inputs"), py::arg("targets"), py::arg("node"), py::arg("width"));
  module.def("diff", &diff, py::arg("network"), py::arg("a"), py::arg("b"), py::arg("registry"),
             py::arg("settings"), py::arg("inputs"), py::arg("targets"), py::arg("width"));
}

}  // namespace rulegrad::python
