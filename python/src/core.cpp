#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/rule/diagnostic.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

#include "arrays.hpp"
#include "holder.hpp"

namespace py = pybind11;

namespace {

/// The exception of rulegrad.errors for a code; it makes its own text.
void raise(const rulegrad::Error& error) {
  const py::object errors = py::module_::import("rulegrad.errors");
  py::object made = errors.attr("of_code")(std::string(name_of(error.code())), std::string(error.what()));
  if (const auto* rules = dynamic_cast<const rulegrad::RuleError*>(&error)) {
    py::list findings;
    for (const rulegrad::Diagnostic& finding : rules->diagnostics()) {
      py::dict row;
      row["code"] = finding.code;
      row["file"] = finding.where.file;
      row["line"] = finding.where.line;
      row["column"] = finding.where.column;
      row["message"] = finding.message;
      row["help"] = finding.help;
      findings.append(row);
    }
    made.attr("diagnostics") = findings;
  }
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.ptr())), made.ptr());
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The C++ library behind rulegrad; use the package rulegrad itself.";
  py::register_exception_translator([](std::exception_ptr problem) {
    try {
      if (problem) std::rethrow_exception(problem);
    } catch (const rulegrad::Error& error) {
      raise(error);
    }
  });
  module.def("version", [] { return std::string(rulegrad::version()); });
  module.def("features", [] {
    py::dict found;
    for (const rulegrad::Feature& feature : rulegrad::features())
      found[py::str(std::string(feature.name))] = feature.available;
    return found;
  });
  rulegrad::python::bind_arrays(module);
  rulegrad::python::bind_rules(module);
  rulegrad::python::bind_models(module);
  rulegrad::python::bind_formulas(module);
  rulegrad::python::bind_explainers(module);
  rulegrad::python::bind_streams(module);
  rulegrad::python::bind_questions(module);
  rulegrad::python::bind_evaluation(module);
  rulegrad::python::bind_pictures(module);
  rulegrad::python::bind_pages(module);
}
