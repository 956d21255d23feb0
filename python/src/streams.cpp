#include <optional>
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <type_traits>

#include "rulegrad/api/stream.hpp"
#include "rulegrad/support/error.hpp"

#include "arrays.hpp"
#include "compiled.hpp"
#include "holder.hpp"
#include "pictures.hpp"
#include "watched.hpp"

namespace rulegrad::python {
namespace {

/// What an exception of Python's is to a run: errors of rulegrad.errors are the library's own, which may be
/// skipped; whatever else ends the run.
Error error_of(py::error_already_set& problem) {
  const py::object value = problem.value();
  const std::string code = py::hasattr(value, "code") ? py::str(value.attr("code")).cast<std::string>() : "";
  for (int k = 0; k <= static_cast<int>(ErrorCode::internal); ++k)
    if (name_of(static_cast<ErrorCode>(k)) == code)
      return {static_cast<ErrorCode>(k), py::str(value).cast<std::string>()};
  return Error(ErrorCode::cancelled, problem.what());
}

/// Samples that Python reads: an object with count, name(k), has(k), read(k) and digest.
class PythonSamples : public SampleSource {
 public:
  explicit PythonSamples(py::object source)
      : source_(std::move(source)),
        count_(source_.attr("count").is_none() ? unknown : source_.attr("count").cast<std::int64_t>()),
        digest_(source_.attr("digest").cast<std::string>()) {}
  PythonSamples(const PythonSamples&) = delete;
  PythonSamples& operator=(const PythonSamples&) = delete;
  ~PythonSamples() override {
    const py::gil_scoped_acquire hold;
    source_ = py::object();
  }
  [[nodiscard]] std::int64_t count() const override { return count_; }
  [[nodiscard]] std::string digest() const override { return digest_; }
  [[nodiscard]] bool has(std::int64_t sample) const override {
    return count_ == unknown ? asked<bool>("has", sample) : sample < count_;
  }
  [[nodiscard]] std::string name(std::int64_t sample) const override {
    return asked<std::string>("name", sample);
  }
  [[nodiscard]] Tensor read(std::int64_t sample) const override { return asked<Tensor>("read", sample); }

 private:
  template <class T>
  [[nodiscard]] T asked(const char* what, std::int64_t sample) const {
    const py::gil_scoped_acquire hold;
    try {
      const py::object answer = source_.attr(what)(sample);
      if constexpr (std::is_same_v<T, Tensor>)
        return tensor_of(answer);
      else
        return answer.cast<T>();
    } catch (py::error_already_set& problem) {
      throw error_of(problem);
    }
  }

  py::object source_;
  std::int64_t count_;
  std::string digest_;
};

using Source = std::shared_ptr<const SampleSource>;

Source open(const std::vector<std::string>& paths, const std::string& input, const std::string& dtype,
            const std::vector<std::int64_t>& dims, const py::object& recipe, const std::string& no_recipe) {
  SampleFiles how{{input, dtype_of_numpy(dtype), dims}, std::nullopt, no_recipe};
  if (!recipe.is_none()) how.recipe = recipe_of(recipe.cast<py::dict>());
  const py::gil_scoped_release free;
  return open_samples(paths, how);
}

/// What a dict says that has it.
template <class T>
void take(const py::dict& from, const char* key, T& to) {
  if (from.contains(key) && !from[key].is_none()) to = from[key].cast<T>();
}

StreamQuestion question_of(const py::dict& asked, const Compiled& compiled) {
  StreamQuestion question;
  take(asked, "model_name", question.model_name);
  take(asked, "model_digest", question.model_digest);
  take(asked, "model_dtype", question.model_dtype);
  take(asked, "target", question.target);
  take(asked, "seed", question.seed);
  take(asked, "output", question.output);
  take(asked, "head", question.head);
  take(asked, "precision", question.precision);
  take(asked, "aux", question.aux);
  take(asked, "stacked", question.stacked);
  take(asked, "rounding", question.rounding);
  take(asked, "keep", question.keep);
  take(asked, "score_dims", question.score_dims);
  question.preprocessing = recipe_of(asked["preprocessing"].cast<py::dict>());
  question.methods = stream_methods(compiled.explainer(), calls_of(asked["calls"].cast<py::iterable>()),
                                    asked["registry"].cast<std::shared_ptr<Registry>>()->rules);
  // Asked by threads of the library's own, and freed where this was called.
  question.label = [label = asked["label"].cast<py::function>()](std::int64_t score) {
    const py::gil_scoped_acquire hold;
    return label(score).cast<std::string>();
  };
  return question;
}

/// One source an input, by name; arrays are what every sample shares.
py::dict run(const Compiled& compiled, const py::dict& given, const std::string& folder,
             const py::dict& asked, const py::dict& how, const py::object& progress) {
  std::vector<StreamInput> inputs;
  StreamOptions options;
  const auto& declared = compiled.network().model.inputs();
  for (const ModelInput& input : declared) {
    if (!given.contains(input.name.c_str())) continue;
    const py::object source = given[input.name.c_str()];
    const Shape& shape = input.expr.shape();
    if (shape.rank() == 0 || !shape[0].batch) {
      options.shared[input.name] = tensor_of(source);
      continue;
    }
    SampleType type{input.name, input.expr.dtype(), {}};
    for (std::size_t axis = 1; axis < shape.rank(); ++axis) type.dims.push_back(shape[axis].factor);
    inputs.push_back({type, py::isinstance<SampleSource>(source)
                                ? source.cast<std::shared_ptr<SampleSource>>()
                                : std::make_shared<PythonSamples>(source)});
  }
  const StreamQuestion question = question_of(asked, compiled);
  std::stop_source stop;
  take(how, "shard", options.shard);
  take(how, "batch_size", options.batch_size);
  take(how, "threads", options.threads);
  take(how, "readers", options.readers);
  take(how, "resume", options.resume);
  take(how, "skip", options.skip);
  take(how, "targets", options.targets);
  if (how.contains("seed") && !how["seed"].is_none()) options.seed = tensor_of(how["seed"]);
  if (how.contains("part") && !how["part"].is_none())
    options.part = how["part"].cast<std::pair<std::int64_t, std::int64_t>>();
  options.stop = stop.get_token();
  if (!progress.is_none())
    options.progress = [&progress](std::int64_t done, std::int64_t samples) {
      const py::gil_scoped_acquire hold;
      progress(done, samples);
    };
  StreamSummary summary;
  run_watched(stop, [&] { summary = run_stream(compiled.explainer(), inputs, folder, question, options); });
  py::dict result;
  result["explained"] = summary.explained;
  result["shards"] = summary.shards;
  return result;
}

}  // namespace

void bind_streams(py::module_& module) {
  py::class_<SampleSource, std::shared_ptr<SampleSource>>(module, "Samples",
                                                          "Samples that the library reads.")
      .def_property_readonly("count", &SampleSource::count)
      .def_property_readonly("digest", &SampleSource::digest)
      .def("has", &SampleSource::has)
      .def("name", &SampleSource::name)
      .def("read", &SampleSource::read, py::call_guard<py::gil_scoped_release>());
  module.def(
      "open_samples",
      [](const std::vector<std::string>& paths, const std::string& input, const std::string& dtype,
         const std::vector<std::int64_t>& dims, const py::object& recipe, const std::string& no_recipe) {
        return std::const_pointer_cast<SampleSource>(open(paths, input, dtype, dims, recipe, no_recipe));
      },
      py::arg("paths"), py::arg("input"), py::arg("dtype"), py::arg("dims"), py::arg("recipe"),
      py::arg("no_recipe"));
  module.def("run_stream", &run, py::arg("compiled"), py::arg("inputs"), py::arg("folder"),
             py::arg("question"), py::arg("options"), py::arg("progress"));
  module.def("array_json",
             [](const py::object& array, std::int64_t most) { return array_json(tensor_of(array), most); });
}

}  // namespace rulegrad::python
