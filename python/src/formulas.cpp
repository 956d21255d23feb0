#include <algorithm>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <unordered_map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/rebuild.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/parse_graph.hpp"
#include "rulegrad/support/error.hpp"

#include "arrays.hpp"
#include "holder.hpp"

namespace rulegrad::python {
namespace {

/// A copy of a network that gets another output. Weights are shared.
struct Derivation {
  std::shared_ptr<Network> from;
  std::unique_ptr<Graph> graph;
  std::unordered_map<Expr, Expr> images;
};

/// An expression of a derivation, in Python's arithmetic.
struct Formula {
  std::shared_ptr<Derivation> in;
  Expr expr;
  [[nodiscard]] Formula with(Expr other) const { return {in, other}; }
};

Formula derived(const std::shared_ptr<Derivation>& derivation, Expr node) {
  return {derivation, rebuild(*derivation->graph, std::span(&node, 1), derivation->images)[0]};
}

Operand operand_of(const py::handle& value, const Formula& beside) {
  if (py::isinstance<Formula>(value)) {
    const auto other = value.cast<Formula>();
    if (other.in != beside.in)
      throw Error(ErrorCode::invalid_argument, "[formula] the two values belong to different calls");
    return other.expr;
  }
  return value.cast<double>();
}

std::int64_t counted_from_front(std::int64_t index, std::int64_t extent, std::size_t axis) {
  const std::int64_t result = index < 0 ? index + extent : index;
  if (result < 0 || result >= extent)
    throw Error(ErrorCode::invalid_argument, "[formula] index " + std::to_string(index) +
                                                 " is out of range for axis " + std::to_string(axis) +
                                                 " of extent " + std::to_string(extent));
  return result;
}

/// NumPy's basic indexing: whole numbers, slices with a step of at least 1, one ellipsis; the batch axis is
/// taken whole.
Formula indexed(const Formula& of, const py::object& key) {
  const std::size_t rank = of.expr.shape().rank();
  const py::tuple given = py::isinstance<py::tuple>(key) ? key.cast<py::tuple>() : py::make_tuple(key);
  py::list keys;
  for (const auto item : given) {
    if (!item.is(py::ellipsis())) {
      keys.append(item);
      continue;
    }
    const std::size_t missing = rank + 1 - std::min(rank + 1, given.size());
    for (std::size_t i = 0; i < missing; ++i) keys.append(py::slice(py::none(), py::none(), py::none()));
  }
  if (keys.size() > rank)
    throw Error(ErrorCode::invalid_argument, "[formula] " + std::to_string(keys.size()) +
                                                 " indices for a value of shape " +
                                                 to_string(of.expr.shape()));
  SliceAttributes slice;
  std::vector<Dim> kept;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const Dim dim = of.expr.shape()[axis];
    const py::object item =
        axis < keys.size() ? py::object(keys[axis]) : py::slice(py::none(), py::none(), py::none());
    std::int64_t start = 0, stop = dim.factor, step = 1;
    bool whole = false;
    if (py::isinstance<py::slice>(item)) {
      whole = item.attr("start").is_none() && item.attr("stop").is_none() && item.attr("step").is_none();
      if (!whole && !dim.batch) {
        py::ssize_t from = 0, to = 0, by = 0, count = 0;
        if (!item.cast<py::slice>().compute(dim.factor, &from, &to, &by, &count))
          throw py::error_already_set();
        if (by < 1 || count < 1)
          throw Error(ErrorCode::invalid_argument,
                      "[formula] slices have a step of at least 1 and hold something");
        start = from, stop = to, step = by;
        kept.emplace_back(count);
      } else {
        kept.push_back(dim);
      }
    } else {
      start = dim.batch ? 0 : counted_from_front(item.cast<std::int64_t>(), dim.factor, axis);
      stop = start + 1;
    }
    if (dim.batch && !whole)
      throw Error(ErrorCode::invalid_argument,
                  "[formula] a score is one of each sample: take the first axis, which holds the samples, "
                  "whole (`:`)");
    if (whole) continue;
    slice.axes.push_back(static_cast<std::int64_t>(axis));
    slice.starts.push_back(start);
    slice.stops.push_back(stop);
    slice.steps.push_back(step);
  }
  Expr result = of.expr;
  if (!slice.axes.empty()) result = result.graph().apply(op("slice"), {result}, slice);
  return of.with(reshape(result, Shape(std::move(kept))));
}

/// Axes as Python gives them; none: all but the samples'.
Ints axes_of(const Formula& of, const py::object& axis) {
  const auto rank = static_cast<std::int64_t>(of.expr.shape().rank());
  Ints axes;
  if (axis.is_none())
    for (std::int64_t i = 1; i < rank; ++i) axes.push_back(i);
  else
    axes.push_back(counted_from_front(axis.cast<std::int64_t>(), rank, 0));
  return axes;
}

/// The network whose only output is the formula: one score a sample, or whatever the node holds.
std::shared_ptr<Network> network_of(const Formula& formula, const std::string& name, bool scalar) {
  Derivation& derivation = *formula.in;
  if (derivation.graph == nullptr)
    throw Error(ErrorCode::invalid_argument, "[formula] a formula makes one network");
  Expr output = formula.expr;
  if (scalar) {
    const Shape& shape = output.shape();
    const Dim batch = shape.rank() == 0 ? Dim(1) : shape[0];
    if (shape.count() != batch)
      throw Error(ErrorCode::shape,
                  "[target] the function gives " + to_string(output.type()) +
                      " but a score is one number for each sample; index or sum it down to [B]");
    output = reshape(output, Shape{batch, 1});
  }
  derivation.graph->add_name(output, name);
  const Model& from = derivation.from->model;
  Model::Parts parts;
  for (const ModelInput& input : from.inputs())
    if (const auto image = derivation.images.find(input.expr); image != derivation.images.end())
      parts.inputs.push_back({input.name, image->second, input.declared});
  parts.outputs.push_back({name, output});
  parts.operators = from.operators();
  parts.summary = from.summary();
  parts.files = from.files();
  parts.graph = std::move(derivation.graph);
  return std::make_shared<Network>(Model(std::move(parts)));
}

/// A network from its printed form; the values that are returned are its outputs `y`, `y_1`, ... unless
/// `names` has others.
std::shared_ptr<Network> network_from_text(const std::string& text, const py::dict& constants,
                                           const std::vector<std::string>& names) {
  std::map<std::string, Tensor> arrays;
  for (const auto& [name, array] : constants) arrays.emplace(name.cast<std::string>(), tensor_of(array));
  Model::Parts parts;
  parts.graph = std::make_unique<Graph>();
  const std::vector<Expr> outputs = parse_graph(*parts.graph, text, [&](std::string_view reference) {
    const auto found = arrays.find(std::string(reference));
    if (found == arrays.end())
      throw Error(ErrorCode::unknown_name, "no constant of the name " + std::string(reference));
    return found->second;
  });
  for (const Expr input : parts.graph->inputs())
    parts.inputs.push_back({input.attributes<InputAttributes>().name, input, to_string(input.type())});
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    std::string name = i < names.size() ? names[i] : i == 0 ? "y" : "y_" + std::to_string(i);
    parts.graph->add_name(outputs[i], name);
    parts.outputs.push_back({std::move(name), outputs[i]});
  }
  return std::make_shared<Network>(Model(std::move(parts)));
}

template <class F>
auto binary(F&& f) {
  return [f](const Formula& a, const py::object& b) { return a.with(f(a.expr, operand_of(b, a))); };
}
template <class F>
auto unary(F&& f) {
  return [f](const Formula& a) { return a.with(f(a.expr)); };
}

}  // namespace

void bind_formulas(py::module_& module) {
  py::class_<Derivation, std::shared_ptr<Derivation>>(module, "Derivation")
      .def(py::init([](std::shared_ptr<Network> from) {
        auto graph = std::make_unique<Graph>(from->model.graph().real());
        return std::make_shared<Derivation>(Derivation{std::move(from), std::move(graph), {}});
      }))
      .def("output",
           [](const std::shared_ptr<Derivation>& derivation, std::size_t index, const std::string& head) {
             const std::lock_guard lock(derivation->from->building);
             return derived(derivation, derivation->from->model.head(head_of(head), index));
           })
      .def("node", [](const std::shared_ptr<Derivation>& derivation, const std::string& name) {
        const std::lock_guard lock(derivation->from->building);
        const auto& outputs = derivation->from->model.outputs();
        for (std::size_t i = 0; i + 1 < outputs.size(); ++i) {
          try {
            return derived(derivation, find_node(outputs[i].expr, name));
          } catch (const Error&) {  // below another output, perhaps
          }
        }
        return derived(derivation, find_node(outputs.back().expr, name));
      });

  using namespace rulegrad;
  py::class_<Formula>(
      module, "Formula",
      "A value of a network while a target is written down; NumPy's arithmetic and basic indexing.")
      .def_property_readonly("shape",
                             [](const Formula& formula) { return shape_tuple(formula.expr.shape()); })
      .def("__getitem__", &indexed)
      .def("__neg__", unary([](Expr a) { return -a; }))
      .def("__add__", binary([](Expr a, Operand b) { return a + b; }))
      .def("__radd__", binary([](Expr a, Operand b) { return a + b; }))
      .def("__sub__", binary([](Expr a, Operand b) { return a - b; }))
      .def("__rsub__", binary([](Expr a, Operand b) { return b.in(a)-a; }))
      .def("__mul__", binary([](Expr a, Operand b) { return a * b; }))
      .def("__rmul__", binary([](Expr a, Operand b) { return a * b; }))
      .def("__truediv__", binary([](Expr a, Operand b) { return a / b; }))
      .def("__rtruediv__", binary([](Expr a, Operand b) { return b.in(a) / a; }))
      .def("__abs__", unary([](Expr a) { return abs(a); }))
      .def("exp", unary([](Expr a) { return exp(a); }))
      .def("log", unary([](Expr a) { return log(a); }))
      .def("sqrt", unary([](Expr a) { return sqrt(a); }))
      .def("tanh", unary([](Expr a) { return tanh(a); }))
      .def("sigmoid", unary([](Expr a) { return sigmoid(a); }))
      .def("relu", unary([](Expr a) { return relu(a); }))
      .def(
          "softmax", [](const Formula& a, std::int64_t axis) { return a.with(softmax(a.expr, axis)); },
          py::arg("axis") = -1)
      .def(
          "log_softmax",
          [](const Formula& a, std::int64_t axis) { return a.with(log_softmax(a.expr, axis)); },
          py::arg("axis") = -1)
      .def(
          "sum",
          [](const Formula& a, const py::object& axis) { return a.with(sum(a.expr, axes_of(a, axis))); },
          py::arg("axis") = py::none())
      .def(
          "mean",
          [](const Formula& a, const py::object& axis) { return a.with(mean(a.expr, axes_of(a, axis))); },
          py::arg("axis") = py::none())
      .def(
          "max",
          [](const Formula& a, const py::object& axis) { return a.with(amax(a.expr, axes_of(a, axis))); },
          py::arg("axis") = py::none());

  module.def("save", [](Network& network, const std::string& path, const std::vector<std::string>& labels,
                        const std::map<std::string, std::string>& metadata) {
    const py::gil_scoped_release free;
    std::vector<Expr> outputs;
    SaveOptions options;
    options.labels = labels;
    options.metadata = metadata;
    for (const ModelOutput& output : network.model.outputs()) {
      outputs.push_back(output.expr);
      options.output_names.push_back(output.name);
    }
    save_onnx(path, outputs, options);
  });
  module.def("parse", &network_from_text, py::arg("text"), py::arg("constants"), py::arg("names"),
             "A network from the text that print gives, with names for its nodes.");
  module.def("network_of", &network_of, py::arg("formula"), py::arg("name"), py::arg("scalar"));
}

}  // namespace rulegrad::python
