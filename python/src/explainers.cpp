#include <optional>
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/api/export.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "arrays.hpp"
#include "compiled.hpp"
#include "holder.hpp"
#include "watched.hpp"

namespace rulegrad::python {

HeadKind head_of(const std::string& name) {
  const std::vector<std::string> known{"logit", "probability"};
  if (name == known[0]) return HeadKind::logit;
  if (name == known[1]) return HeadKind::probability;
  throw Error(ErrorCode::unknown_name, unknown_name_message("head", name, known));
}

Precision precision_of(const std::string& name) {
  const std::vector<std::string> known{"exact", "fast", "bfloat16", "automatic"};
  if (name == known[0]) return Precision::exact;
  if (name == known[1]) return Precision::fast;
  if (name == known[2] || name == "bf16") return Precision::bfloat16;
  if (name == known[3] || name == "auto") return Precision::automatic;
  throw Error(ErrorCode::unknown_name, unknown_name_message("precision", name, known));
}

Question::Seed seed_of(const std::string& name) {
  if (name == "one") return Question::Seed::one;
  if (name == "value") return Question::Seed::value;
  if (name == "tensor") return Question::Seed::tensor;
  return Question::Seed::own;
}

std::shared_ptr<const AuxiliaryArrays> aux_of(const py::object& arrays) {
  if (arrays.is_none()) return nullptr;
  auto result = std::make_shared<AuxiliaryArrays>("aux");
  for (const auto& [key, array] : arrays.cast<py::dict>())
    result->add(key.cast<std::string>(), tensor_of(array));
  return result;
}

std::vector<AnalyzerCall> calls_of(const py::iterable& methods) {
  std::vector<AnalyzerCall> calls;
  for (const auto method : methods) {
    if (py::isinstance<py::str>(method)) {
      calls.push_back(AnalyzerCall::parse(method.cast<std::string>()));
      continue;
    }
    const auto pair = method.cast<py::tuple>();
    AnalyzerCall call = AnalyzerCall::parse(pair[0].cast<std::string>());
    for (const auto& [name, value] : pair[1].cast<py::dict>()) {
      AnalyzerCall::Argument argument;
      if (py::isinstance<py::str>(value))
        argument = value.cast<std::string>();
      else if (py::isinstance<py::float_>(value) || py::isinstance<py::int_>(value))
        argument = value.cast<double>();
      else
        argument = tensor_of(value);
      call.arguments.emplace_back(name.cast<std::string>(), std::move(argument));
    }
    calls.push_back(std::move(call));
  }
  return calls;
}

namespace {

Explainer make(Network& network, const std::vector<AnalyzerCall>& calls,
               const std::shared_ptr<Registry>& registry, const Settings& settings,
               std::function<void(const std::string&)> log) {
  ExplainerOptions options;
  options.registry = registry.get();
  options.targets = settings.targets_given ? Targets::given : Targets::largest;
  options.seed = seed_of(settings.seed);
  options.output = settings.output;
  options.head = head_of(settings.head);
  options.nodes = settings.nodes;
  options.aux = aux_of(settings.aux);
  options.check_finite = settings.check_finite;
  options.precision = precision_of(settings.precision);
  options.rounding = settings.rounding;
  options.prove_canonizers = settings.prove_canonizers;
  options.keep = settings.keep;
  options.memory = settings.memory;
  options.totals = settings.totals;
  if (log)
    options.log = [&log](std::string_view line) {
      const py::gil_scoped_acquire hold;
      log(std::string(line));
    };
  const py::gil_scoped_release free;
  const std::lock_guard lock(network.building);
  return Explainer(network.model, calls, options);
}

}  // namespace

Compiled::Compiled(std::shared_ptr<Network> network, const py::iterable& methods,
                   const std::shared_ptr<Registry>& registry, const Settings& settings,
                   std::function<void(const std::string&)> log)
    : network_(std::move(network)),
      explainer_(make(*network_, calls_of(methods), registry, settings, std::move(log))),
      types_(explainer_.program().output_types()) {
  const Expr output = network_->model.outputs().at(settings.output).expr;
  const std::lock_guard lock(network_->building);
  if (const auto mixing = first_mixing(std::span(&output, 1))) mixing_ = describe(*mixing);
}

py::dict Compiled::run(const py::dict& arrays, const std::vector<std::int64_t>& targets,
                       const py::object& seed, std::int64_t batch_size, int threads, std::int64_t stacked,
                       const py::object& progress) const {
  const Inputs inputs = inputs_of(arrays);
  std::stop_source stop;
  ExplainChoices choices;
  choices.targets = targets;
  if (!seed.is_none()) choices.seed = tensor_of(seed);
  choices.batch_size = batch_size;
  choices.threads = threads;
  choices.stacked = stacked;
  choices.stop = stop.get_token();
  if (!progress.is_none())
    choices.progress = [&progress](std::int64_t done, std::int64_t samples) {
      const py::gil_scoped_acquire hold;
      progress(done, samples);
    };
  std::optional<Explanation> found;
  run_watched(stop, [&] { found.emplace(explainer_.run(inputs, choices)); });
  py::list maps, totals;
  for (std::size_t method = 0; method < found->methods().size(); ++method) {
    py::list row;
    for (std::size_t node = 0; node < found->nodes().size(); ++node)
      row.append(py::make_tuple(Result(found->attribution(method, node)), found->layout(method, node).loops));
    maps.append(row);
  }
  for (const Explanation::Total& total : found->totals()) {
    py::dict row;
    row["method"] = total.method;
    row["nodes"] = total.nodes;
    row["expected"] = total.expected;
    row["reached"] = total.reached;
    totals.append(row);
  }
  py::dict result;
  result["scores"] = Result(found->scores());
  result["maps"] = maps;
  result["targets"] = found->targets();
  result["explained_scores"] = found->explained_scores();
  result["totals"] = totals;
  return result;
}

py::dict Compiled::export_onnx(const std::string& path, std::int64_t opset, std::int64_t most_samples,
                               bool external_data, bool share_weights,
                               const std::vector<std::string>& labels) const {
  ExportedFile file;
  {
    const py::gil_scoped_release free;
    const std::lock_guard lock(network_->building);
    file = explainer_.export_onnx(network_->model, path,
                                  {opset, most_samples, external_data, share_weights, labels});
  }
  py::dict names;
  names["inputs"] = file.inputs;
  names["outputs"] = file.outputs;
  return names;
}

void bind_explainers(py::module_& module) {
  py::class_<Settings>(module, "Settings")
      .def(py::init<>())
      .def_readwrite("output", &Settings::output)
      .def_readwrite("head", &Settings::head)
      .def_readwrite("targets_given", &Settings::targets_given)
      .def_readwrite("seed", &Settings::seed)
      .def_readwrite("nodes", &Settings::nodes)
      .def_readwrite("aux", &Settings::aux)
      .def_readwrite("check_finite", &Settings::check_finite)
      .def_readwrite("precision", &Settings::precision)
      .def_readwrite("rounding", &Settings::rounding)
      .def_readwrite("prove_canonizers", &Settings::prove_canonizers)
      .def_readwrite("keep", &Settings::keep)
      .def_readwrite("memory", &Settings::memory)
      .def_readwrite("totals", &Settings::totals);

  py::class_<Compiled>(module, "Compiled", "Methods compiled for a network.")
      .def(py::init<std::shared_ptr<Network>, const py::iterable&, const std::shared_ptr<Registry>&,
                    const Settings&, std::function<void(const std::string&)>>(),
           py::arg("network"), py::arg("methods"), py::arg("registry"), py::arg("settings"),
           py::arg("log") = nullptr)
      .def_property_readonly("methods",
                             [](const Compiled& compiled) { return compiled.explainer().methods(); })
      .def_property_readonly("nodes", [](const Compiled& compiled) { return compiled.explainer().nodes(); })
      .def_property_readonly("types",
                             [](const Compiled& compiled) {
                               py::list rows;
                               for (const Type& type : compiled.types())
                                 rows.append(py::make_tuple(numpy_name(type.dtype), shape_tuple(type.shape)));
                               return rows;
                             })
      .def_property_readonly("separable", [](const Compiled& compiled) { return compiled.mixing().empty(); })
      .def_property_readonly("mixing", &Compiled::mixing)
      .def("stats",
           [](const Compiled& compiled, std::int64_t batch) {
             const ProgramStats stats = compiled.explainer().program().stats({.batch = batch, .samples = 1});
             py::dict row;
             row["kernel_calls"] = stats.instructions;
             row["contractions"] = stats.contractions;
             row["folded_constants"] = stats.folded_constants;
             row["constant_bytes"] = stats.folded_bytes + stats.packed_bytes;
             row["working_bytes"] = stats.arena_bytes;
             row["samples_at_once"] = stats.samples_at_once;
             return row;
           })
      .def("export_onnx", &Compiled::export_onnx, py::arg("path"), py::arg("opset"), py::arg("most_samples"),
           py::arg("external_data"), py::arg("share_weights"), py::arg("labels"))
      .def("run", &Compiled::run, py::arg("inputs"), py::arg("targets"), py::arg("seed"),
           py::arg("batch_size"), py::arg("threads"), py::arg("stacked"), py::arg("progress"));
}

}  // namespace rulegrad::python
