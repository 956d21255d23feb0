#pragma once

#include <memory>
#include <mutex>
#include <pybind11/pybind11.h>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/registry.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"

namespace rulegrad::python {

namespace py = pybind11;

/// A model that several Python threads may hold: whoever adds nodes to its graph takes the lock, without the
/// GIL.
struct Network {
  explicit Network(Model loaded) : model(std::move(loaded)) {}
  Model model;
  std::mutex building;
};

/// How a question is put, as keyword arguments give it.
struct Settings {
  std::size_t output = 0;
  std::string head = "logit";
  bool targets_given = false;
  std::string seed = "own";  ///< own, one, value or tensor
  std::vector<std::string> nodes;
  py::object aux = py::none();  ///< a dict NODE/NAME -> array
  bool check_finite = true;
  std::string precision = "exact";
  bool rounding = true;
  bool prove_canonizers = true;
  std::vector<std::string> keep = {};
  std::size_t memory = std::size_t{1} << 30;
  bool totals = false;
};

[[nodiscard]] HeadKind head_of(const std::string& name);
[[nodiscard]] Precision precision_of(const std::string& name);
[[nodiscard]] Question::Seed seed_of(const std::string& name);
/// The arrays of a dict, or null.
[[nodiscard]] std::shared_ptr<const AuxiliaryArrays> aux_of(const py::object& arrays);
/// Strings as the command takes them, or pairs (name, dict of arguments).
[[nodiscard]] std::vector<AnalyzerCall> calls_of(const py::iterable& methods);

void bind_models(py::module_& module);
void bind_formulas(py::module_& module);
void bind_explainers(py::module_& module);
void bind_streams(py::module_& module);
void bind_rules(py::module_& module);
void bind_questions(py::module_& module);
void bind_evaluation(py::module_& module);
void bind_pictures(py::module_& module);
void bind_pages(py::module_& module);

}  // namespace rulegrad::python
