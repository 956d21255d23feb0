#include <map>
#include <optional>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "arrays.hpp"
#include "holder.hpp"
#include "watched.hpp"

namespace rulegrad::python {
namespace {

py::dict value_row(const std::string& name, Expr expr) {
  py::dict row;
  row["name"] = name;
  row["dtype"] = numpy_name(expr.dtype());
  row["shape"] = shape_tuple(expr.shape());
  return row;
}

std::vector<Expr> outputs_of(const Model& model) {
  std::vector<Expr> outputs;
  for (const ModelOutput& output : model.outputs()) outputs.push_back(output.expr);
  return outputs;
}

py::dict summary_of(const ModelSummary& summary) {
  const auto values = [](const std::vector<ModelSummary::Value>& declared) {
    py::dict result;
    for (const ModelSummary::Value& value : declared) result[py::str(value.name)] = value.type;
    return result;
  };
  py::dict row;
  row["producer"] = summary.producer;
  row["graph_name"] = summary.graph_name;
  row["opset"] = summary.opset;
  row["other_opsets"] = summary.other_opsets;
  row["inputs"] = values(summary.inputs);
  row["outputs"] = values(summary.outputs);
  row["operators"] = summary.operators;
  row["unmapped"] = summary.unmapped;
  row["parameters"] = summary.parameters;
  row["parameter_bytes"] = summary.parameter_bytes;
  row["metadata"] = summary.metadata;
  return row;
}

std::shared_ptr<Network> load(const std::string& path, const std::string& dtype, const std::string& batch,
                              const std::map<std::string, std::int64_t>& extents, bool allow_non_finite,
                              const std::shared_ptr<Registry>& registry) {
  LoadOptions options;
  options.dtype = dtype_of_numpy(dtype);
  options.batch = batch == "symbolic" ? BatchPolicy::symbolic
                  : batch == "fixed"  ? BatchPolicy::fixed
                                      : BatchPolicy::automatic;
  options.extents = extents;
  options.allow_non_finite = allow_non_finite;
  if (registry != nullptr) options.operators = &registry->operators;
  const py::gil_scoped_release free;
  return std::make_shared<Network>(load_onnx(path, options));
}

/// Values of the network itself: its outputs, or any of its nodes.
struct Values {
  std::shared_ptr<Network> network;
  Program program;
  std::vector<Type> types;
  bool separable = true;
};

Values values_of(const std::shared_ptr<Network>& network, const std::vector<std::string>& names,
                 const std::string& precision, bool check_finite) {
  CompileOptions options;
  options.precision = precision_of(precision);
  options.check_finite = check_finite;
  const py::gil_scoped_release free;
  const std::lock_guard lock(network->building);
  std::vector<Expr> wanted = outputs_of(network->model);
  if (!names.empty()) {
    // All outputs together, so that a node below any of them is found.
    const std::vector<Expr> outputs = std::move(wanted);
    wanted.clear();
    for (const std::string& name : names) {
      std::optional<Expr> found;
      for (const ModelOutput& output : network->model.outputs())
        if (output.name == name) found = output.expr;
      for (std::size_t i = 0; !found && i < outputs.size(); ++i) {
        try {
          found = find_node(outputs[i], name);
        } catch (const Error&) {
          if (i + 1 == outputs.size()) throw;
        }
      }
      wanted.push_back(*found);
    }
  }
  const bool separable = !first_mixing(wanted).has_value();
  Program program = Program::compile(wanted, options);
  std::vector<Type> types = program.output_types();
  return {network, std::move(program), std::move(types), separable};
}

}  // namespace

void bind_models(py::module_& module) {
  module.def("load", &load, py::arg("path"), py::arg("dtype"), py::arg("batch"), py::arg("extents"),
             py::arg("allow_non_finite"), py::arg("registry"));
  module.def("inspect", [](const std::string& path) { return summary_of(inspect_onnx(path)); });

  py::class_<Network, std::shared_ptr<Network>>(module, "Network", "A loaded model.")
      .def_property_readonly("inputs",
                             [](const Network& network) {
                               py::list rows;
                               for (const ModelInput& input : network.model.inputs()) {
                                 rows.append(value_row(input.name, input.expr));
                                 rows[rows.size() - 1]["declared"] = input.declared;
                               }
                               return rows;
                             })
      .def_property_readonly("outputs",
                             [](const Network& network) {
                               py::list rows;
                               for (const ModelOutput& output : network.model.outputs())
                                 rows.append(value_row(output.name, output.expr));
                               return rows;
                             })
      .def("nodes",
           [](Network& network) {
             const std::lock_guard lock(network.building);
             py::list rows;
             for (const Expr node : topological_order(outputs_of(network.model))) {
               const auto& names = network.model.graph().names(node);
               if (names.empty() || node.is("constant")) continue;
               py::dict row = value_row(names.front(), node);
               row["operator"] = std::string(node.op().name);
               row["names"] = names;
               rows.append(row);
             }
             return rows;
           })
      .def("table_rows",
           [](Network& network, const std::string& input) {
             const std::lock_guard lock(network.building);
             std::int64_t rows = 0;
             for (std::size_t i = 0; i < network.model.outputs().size(); ++i)
               for (const Expr lookup : lookups_of(network.model, input, i))
                 rows = std::max(rows, lookup.operand(0).shape()[0].factor);
             return rows;
           })
      .def_property_readonly("summary",
                             [](const Network& network) { return summary_of(network.model.summary()); })
      .def_property_readonly("labels", [](const Network& network) { return network.model.labels(); })
      .def_property_readonly("notes", [](const Network& network) { return network.model.notes(); })
      .def_property_readonly("files", [](const Network& network) { return network.model.files(); })
      .def("digest", [](const Network& network) {
        const py::gil_scoped_release free;
        return network.model.digest();
      });

  py::class_<Values>(module, "Values", "A compiled run of a network to its outputs or to other nodes.")
      .def(py::init(&values_of), py::arg("network"), py::arg("names"), py::arg("precision"),
           py::arg("check_finite"))
      .def_readonly("separable", &Values::separable)
      .def_property_readonly("types",
                             [](const Values& values) {
                               py::list rows;
                               for (const Type& type : values.types)
                                 rows.append(py::make_tuple(numpy_name(type.dtype), shape_tuple(type.shape)));
                               return rows;
                             })
      .def(
          "run",
          [](const Values& values, const py::dict& arrays, int threads, std::int64_t first) {
            const Inputs inputs = inputs_of(arrays);
            std::stop_source stop;
            std::vector<Tensor> results;
            run_watched(stop, [&] {
              results = values.program.run(
                  inputs, {.threads = threads, .stop = stop.get_token(), .batch_offset = first});
            });
            py::list arrays_of_results;
            for (Tensor& result : results)
              arrays_of_results.append(py::cast(Result::alone(std::move(result))));
            return arrays_of_results;
          },
          py::arg("inputs"), py::arg("threads") = 0, py::arg("first") = 0);
}

}  // namespace rulegrad::python
