#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "rulegrad/evaluation/fill.hpp"
#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/evaluation/patterns.hpp"
#include "rulegrad/evaluation/perturbation.hpp"
#include "rulegrad/evaluation/randomisation.hpp"
#include "rulegrad/evaluation/scores.hpp"
#include "rulegrad/support/error.hpp"

#include "arrays.hpp"
#include "holder.hpp"
#include "watched.hpp"

namespace rulegrad::python {
namespace {

io::Layout layout_of(const std::string& name) {
  if (name == "nchw") return io::Layout::nchw;
  if (name == "nhwc") return io::Layout::nhwc;
  throw Error(ErrorCode::unknown_name, "[evaluation] layout '" + name + "' is not nchw or nhwc");
}

/// Curves and measures of one method's maps.
py::dict measures(const std::shared_ptr<Network>& network, const py::object& samples, const py::object& maps,
                  const std::vector<std::int64_t>& targets, const std::string& score, const std::string& fill,
                  const std::string& start, std::int64_t region, std::int64_t steps, double until,
                  std::int64_t key, const std::string& layout_name, std::int64_t batch_size, int threads,
                  const py::object& mask) {
  const Tensor x = tensor_of(samples), map = tensor_of(maps),
               truth = mask.is_none() ? Tensor() : tensor_of(mask);
  const io::Layout layout = layout_of(layout_name);
  Fill away = Fill::parse(fill), from = Fill::parse(start);
  away.key = from.key = key;
  const Dims sample(x.dims().begin() + 1, x.dims().end());
  PerturbationCurve most, least, insertion;
  std::vector<double> gini, precision;
  std::stop_source stop;
  run_watched(stop, [&] {
    const ScoreKind kind = score.empty()
                               ? (has_probability(network->model) ? ScoreKind::probability : ScoreKind::logit)
                               : score_kind_from_name(score);
    ScoreFunction scores;
    {
      const std::lock_guard lock(network->building);
      scores = scores_of(network->model, kind,
                         {.batch_size = batch_size, .threads = threads, .stop = stop.get_token()});
    }
    const Regions regions(sample, region, layout);
    const Tensor gone = filled(x, away, layout), begin = filled(x, from, layout);
    const auto orders = most_relevant_first(map, regions);
    const CurveOptions how{.steps = steps, .until = until};
    most = perturbation_curve(scores, x, gone, regions, orders, targets, how);
    least = perturbation_curve(scores, x, gone, regions, reversed(orders), targets, how);
    insertion = perturbation_curve(scores, begin, x, regions, orders, targets, how);
    gini = gini_index(map);
    if (truth.size() > 0) precision = mask_precision(map, truth);
  });
  py::dict row;
  row["fractions"] = most.fractions;
  row["most_relevant_first"] = most.mean();
  row["least_relevant_first"] = least.mean();
  row["insertion_curve"] = insertion.mean();
  // Named as in the command's CSV.
  const double aopc = area_over_curve(most.mean()), of_least = area_over_curve(least.mean());
  row["aopc"] = aopc;
  row["aopc_least_relevant_first"] = of_least;
  row["area_between_curves"] = aopc - of_least;
  row["deletion_auc"] = area_under_curve(most.fractions, most.mean());
  row["insertion_auc"] = area_under_curve(most.fractions, insertion.mean());
  row["gini"] = mean_of(gini);
  if (truth.size() > 0) row["precision"] = mean_of(precision);
  return row;
}

py::dict randomisation(const std::shared_ptr<Network>& network, const py::iterable& methods,
                       const std::shared_ptr<Registry>& registry, const py::object& samples,
                       const std::vector<std::int64_t>& targets, const std::string& kind, std::int64_t key,
                       std::int64_t batch_size, int threads) {
  const std::vector<AnalyzerCall> calls = calls_of(methods);
  const Tensor x = tensor_of(samples);
  RandomisationOptions options;
  options.kind = randomisation_from_name(kind);
  options.key = key;
  options.batch_size = batch_size;
  options.threads = threads;
  options.explainer.registry = registry.get();
  RandomisationCheck check;
  std::stop_source stop;
  run_watched(stop, [&] {
    const std::lock_guard lock(network->building);
    check = randomisation_check(network->model, calls, x, targets, options);
  });
  py::dict result;
  result["methods"] = check.methods;
  result["layers"] = check.layers;
  result["correlation"] = check.correlation;
  result["of_magnitudes"] = check.of_magnitudes;
  return result;
}

/// Patterns of PatternNet and PatternAttribution, batch by batch.
class Patterns {
 public:
  Patterns(std::shared_ptr<Network> network, const std::string& type)
      : network_(std::move(network)), computation_(make(*network_, type)) {}
  void add(const py::dict& arrays, int threads) {
    const Inputs inputs = inputs_of(arrays);
    std::stop_source stop;
    run_watched(stop, [&] { computation_.add(inputs, {.threads = threads, .stop = stop.get_token()}); });
  }
  [[nodiscard]] py::dict result() const {
    py::dict arrays;
    for (auto& [name, pattern] : computation_.patterns()) arrays[py::str(name)] = py::cast(pattern);
    return arrays;
  }

 private:
  static PatternComputation make(Network& network, const std::string& type) {
    const py::gil_scoped_release free;
    const std::lock_guard lock(network.building);
    return PatternComputation(network.model.head(HeadKind::logit), pattern_type_from_name(type));
  }
  std::shared_ptr<Network> network_;
  PatternComputation computation_;
};

}  // namespace

void bind_evaluation(py::module_& module) {
  module.def("measures", &measures, py::arg("network"), py::arg("samples"), py::arg("maps"),
             py::arg("targets"), py::arg("score"), py::arg("fill"), py::arg("start"), py::arg("region"),
             py::arg("steps"), py::arg("until"), py::arg("key"), py::arg("layout"), py::arg("batch_size"),
             py::arg("threads"), py::arg("mask"));
  module.def("randomisation", &randomisation, py::arg("network"), py::arg("methods"), py::arg("registry"),
             py::arg("samples"), py::arg("targets"), py::arg("kind"), py::arg("key"), py::arg("batch_size"),
             py::arg("threads"));
  module.def("completeness", [](const py::object& maps, const std::vector<double>& scores,
                                const std::vector<double>& baseline) {
    return completeness_error(tensor_of(maps), scores, baseline);
  });
  module.def("learned_layers", [](Network& network) {
    const std::lock_guard lock(network.building);
    return learned_layers(network.model);
  });
  py::class_<Patterns>(module, "Patterns")
      .def(py::init<std::shared_ptr<Network>, const std::string&>())
      .def("add", &Patterns::add)
      .def("result", &Patterns::result);
}

}  // namespace rulegrad::python
