#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/api/plugin.hpp"
#include "rulegrad/check/check.hpp"
#include "rulegrad/explain/method_page.hpp"
#include "rulegrad/prove/properties.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "arrays.hpp"
#include "holder.hpp"

namespace rulegrad::python {
namespace {

py::dict row_of(const Diagnostic& finding, const std::string& text) {
  const char* severity = finding.severity == Severity::error     ? "error"
                         : finding.severity == Severity::warning ? "warning"
                                                                 : "note";
  py::dict row;
  row["severity"] = severity;
  row["code"] = finding.code;
  row["file"] = finding.where.file;
  row["line"] = finding.where.line;
  row["column"] = finding.where.column;
  row["message"] = finding.message;
  row["help"] = finding.help;
  row["text"] = render(finding, text);
  return row;
}

/// What the checker says of a text beside the rules of a registry; syntax errors too.
py::list check_text(const Registry& registry, const std::string& text, const std::string& path) {
  py::list rows;
  try {
    const RuleFile file = parse_rules(text, path);
    RuleLibrary library = registry.rules;
    library.add_operators(registry.operators);
    library.add_samplers(registry.samplers);
    for (const Diagnostic& finding : check(file, library.check_context())) rows.append(row_of(finding, text));
  } catch (const RuleError& error) {
    for (const Diagnostic& finding : error.diagnostics()) rows.append(row_of(finding, text));
  }
  return rows;
}

py::dict method_row(const RuleLibrary& library, const std::string& name) {
  const AnalyzerDefinition& analyzer = library.analyzer(name);
  py::list parameters;
  for (const Parameter& parameter : analyzer.parameters) {
    py::dict row;
    row["name"] = parameter.name;
    row["type"] = parameter.type.empty() ? "number" : parameter.type;
    row["default"] = parameter.fallback == no_term ? py::object(py::none())
                                                   : py::str(print_term(analyzer.terms, parameter.fallback));
    row["low"] = parameter.range ? py::object(py::float_(parameter.range->low)) : py::object(py::none());
    row["high"] = parameter.range ? py::object(py::float_(parameter.range->high)) : py::object(py::none());
    parameters.append(row);
  }
  py::dict row;
  row["name"] = name;
  row["doc"] = analyzer.doc;
  row["parameters"] = parameters;
  row["properties"] = analyzer.properties;
  row["file"] = analyzer.where.file;
  row["line"] = analyzer.where.line;
  return row;
}

}  // namespace

void bind_rules(py::module_& module) {
  py::class_<Registry, std::shared_ptr<Registry>>(module, "Registry",
                                                  "Methods, operators and kernels by name.")
      .def(py::init([] {
        auto registry = std::make_shared<Registry>();
        return registry;
      }))
      .def("copy", [](const Registry& registry) { return std::make_shared<Registry>(registry); })
      .def("add_text", [](Registry& registry, const std::string& text,
                          const std::string& path) { registry.rules.add_text(text, path); })
      .def("add_file", [](Registry& registry, const std::string& path) { registry.rules.add_file(path); })
      .def("load_plugin",
           [](Registry& registry, const std::string& path) {
             load_plugin(registry, path);
             registry.rules.add_operators(registry.operators);
             registry.rules.add_samplers(registry.samplers);
           })
      .def_property_readonly("names",
                             [](const Registry& registry) { return registry.rules.analyzer_names(); })
      .def_property_readonly("files", [](const Registry& registry) { return registry.rules.files(); })
      .def("method",
           [](const Registry& registry, const std::string& name) { return method_row(registry.rules, name); })
      .def("show", [](const Registry& registry,
                      const std::string& name) { return show_method(registry.rules, name); })
      .def("page", [](const Registry& registry,
                      const std::string& name) { return method_page(registry.rules, name); })
      .def("check", &check_text, py::arg("text"), py::arg("path"))
      .def("properties", [](const Registry& registry, const std::string& name) {
        std::vector<PropertyTrial> trials;
        {
          const py::gil_scoped_release free;
          trials = try_properties(registry.rules, name, registry.operators, registry.samplers);
        }
        py::list rows;
        for (const PropertyTrial& trial : trials) {
          py::dict row;
          row["method"] = name;
          row["property"] = trial.property;
          row["holds"] = trial.holds;
          row["networks"] = trial.networks;
          row["network"] = trial.network;
          row["what"] = trial.what;
          rows.append(row);
        }
        return rows;
      });
}

}  // namespace rulegrad::python
