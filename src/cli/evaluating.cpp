#include "cli/evaluating.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <memory>
#include <utility>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/evaluation/fill.hpp"
#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/evaluation/perturbation.hpp"
#include "rulegrad/evaluation/randomisation.hpp"
#include "rulegrad/evaluation/scores.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/evaluation_plan.hpp"
#include "cli/evaluation_report.hpp"
#include "cli/loading.hpp"
#include "cli/print_json.hpp"
#include "cli/question.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

/// Tells a display of progress what is new.
std::function<void(std::int64_t, std::int64_t)> advancing(Progress& progress) {
  return [&progress, before = std::int64_t{0}](std::int64_t done, std::int64_t) mutable {
    progress.advance(done - std::exchange(before, done));
  };
}

class Evaluating {
 public:
  explicit Evaluating(const EvaluateOptions& options)
      : options_(options),
        registry_(registry_of(options)),
        plan_(plan_of(options, registry_.rules)),
        explaining_(explainer_options()),
        loaded_(load(options.model, options.input)),
        output_(output_index(options.model, loaded_.model)),
        measured_(measured_input()) {
    explaining_.output = output_;
    explaining_.nodes = {measured_};
    note_output(options.model, loaded_.model);
  }

  void run() {
    const Dims sample(values().dims().begin() + 1, values().dims().end());
    const io::Layout layout = loaded_.samples.preprocessing.layout;
    const bool image = sample.size() >= 3;
    if (options_.start.empty()) plan_.start = image ? Fill::parse("blur") : plan_.fill;
    const std::int64_t side = !image                       ? 0
                              : layout == io::Layout::nchw ? std::max(sample[1], sample[2])
                                                           : std::max(sample[0], sample[1]);
    const std::int64_t size =
        options_.region_size != 0 ? options_.region_size : std::max<std::int64_t>(1, side / 14);
    const Regions regions(sample, size, layout);
    const Tensor gone = filled(values(), plan_.fill, layout), start = filled(values(), plan_.start, layout);
    const Tensor mask = options_.mask.empty() ? Tensor() : io::read_npy(options_.mask);

    const ScoreKind kind = plan_.score.value_or(
        has_probability(loaded_.model, output_) ? ScoreKind::probability : ScoreKind::logit);
    batch_ = batch_size_for(options_.run, loaded_.model, loaded_.samples.count());
    const ScoreFunction scores = scores_of(loaded_.model, kind,
                                           {.batch_size = batch_,
                                            .threads = options_.run.threads,
                                            .check_finite = explaining_.check_finite,
                                            .kernels = options_.model.kernels(),
                                            .output = output_,
                                            .input = measured_,
                                            .others = others()});
    const Tensor answers = scores(values());
    const std::vector<std::int64_t> largest = largest_scores(answers);
    targets_ = options_.labels.empty()
                   ? largest
                   : read_targets(options_.labels, loaded_.samples.count(), answers.dims()[1]);

    (void)steps_of({.steps = options_.steps, .until = options_.until},
                   regions.count());  // told before the work begins
    explain();
    perturb(scores, gone, start, regions);
    measure(mask);
    if (options_.sensitivity > 0) find_sensitivity();
    for (const Randomisation randomisation : plan_.randomisation) randomise(randomisation);
    average_floor();

    const std::string score = kind == ScoreKind::probability ? "probability" : "logit";
    write_files(score);
    std::int64_t right = 0;
    for (std::size_t i = 0; i < largest.size(); ++i) right += largest[i] == targets_[i];
    if (options_.json) return print_json(score, answers, right);
    say(fmt::format("{} on {} sample{}; {}\n", options_.model.path, loaded_.samples.count(),
                    loaded_.samples.count() == 1 ? "" : "s",
                    options_.labels.empty()
                        ? "labels: the model's own answers"
                        : fmt::format("{} of the labels are the model's answers", right)));
    say(fmt::format("{} of the label: {:.3f} on average\n", score,
                    mean_of(target_scores(answers, targets_))));
    say(
        fmt::format("{} regions of size {}, {} steps to {:.4g} %; replaced by {}; insertion into {}; random: "
                    "the mean of {}\n\n",
                    regions.count(), size, result_.fractions.size() - 1, 100 * result_.fractions.back(),
                    to_string(plan_.fill), to_string(plan_.start), options_.orders));
    say(fmt::format("{}\n{}{}", measures_table(result_), compared_with_floor(result_),
                    note_on_baseline(plan_)));
    for (std::size_t k = 0; k < plan_.randomisation.size(); ++k)
      say(
          fmt::format("\n{} randomisation: rank correlation with the learned model's attributions, |their "
                      "magnitudes|\n{}",
                      options_.randomisation[k], randomisation_table(result_, k)));
    for (const std::string& file : {options_.plot, options_.csv})
      if (!file.empty()) say(fmt::format("wrote {}\n", file));
  }

 private:
  void print_json(const std::string& score, const Tensor& answers, std::int64_t right) const {
    Json json;
    json.open('{')
        .key("model")
        .text(options_.model.path)
        .key("samples")
        .number(loaded_.samples.count())
        .key("score")
        .text(score);
    json.key("mean_score").number(mean_of(target_scores(answers, targets_))).key("right").number(right);
    write_result(json, result_);
    json.close('}');
    print_answer(json);
  }

  static Registry registry_of(const EvaluateOptions& options) {
    Registry registry = options.model.registry();
    registry.rules = library_with(registry, options.question.rule_files);
    return registry;
  }

  [[nodiscard]] ExplainerOptions explainer_options() const {
    ExplainerOptions options = cli::explainer_options(options_.question, options_.model, options_.run);
    options.registry = &registry_;
    options.targets = rulegrad::Targets::given;
    if (options.seed == Question::Seed::tensor)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--seed '{}' is not one or value: the measures follow one score of each sample",
                              options_.question.seed));
    return options;
  }

  /// The input whose values are taken away: the only one of a floating dtype.
  [[nodiscard]] std::string measured_input() const {
    std::vector<std::string> floating;
    for (const ModelInput& input : loaded_.model.inputs())
      if (is_floating(input.expr.dtype())) floating.push_back(input.name);
    if (floating.size() != 1)
      throw Error(ErrorCode::model,
                  fmt::format("evaluate takes values of one input away and asks again; of the model's inputs "
                              "{} hold real numbers{}{}",
                              floating.size(), floating.empty() ? "" : ": ", join(floating)));
    return floating[0];
  }
  [[nodiscard]] const Tensor& values() const { return loaded_.samples.inputs.at(measured_); }
  [[nodiscard]] Inputs others() const {
    Inputs result = loaded_.samples.inputs;
    result.erase(measured_);
    return result;
  }

  [[nodiscard]] Explanation explained(std::span<const AnalyzerCall> calls, const Tensor& samples,
                                      std::function<void(std::int64_t, std::int64_t)> progress = {}) const {
    Inputs inputs = loaded_.samples.inputs;
    inputs[measured_] = samples;
    return Explainer(loaded_.model, calls, explaining_)
        .run(inputs, {.targets = targets_,
                      .batch_size = batch_,
                      .threads = options_.run.threads,
                      .progress = std::move(progress)});
  }

  void explain() {
    Progress progress("explaining", loaded_.samples.count());
    const Explanation found = explained(plan_.calls, values(), advancing(progress));
    for (std::size_t m = 0; m < plan_.calls.size(); ++m) {
      maps_.push_back(found.attribution(m));
      if (maps_[m].dims() != values().dims())
        throw Error(
            ErrorCode::shape,
            fmt::format(
                "{} gives {} for samples {}; only a value for each element of a sample can be measured",
                found.methods()[m], to_string(maps_[m].dims()), to_string(values().dims())));
      auto& method = result_.methods.emplace_back();
      method.floor = m >= plan_.names.size();
      method.name = method.floor ? "random" : plan_.names[m];
    }
    // A cheap method gives the scores that the others explain.
    const Explanation there = explained(std::span(plan_.calls).last(1),
                                        Tensor::full(values().dtype(), values().dims(), options_.baseline));
    scores_ = target_scores(found.scores(), targets_);
    baseline_scores_ = target_scores(there.scores(), targets_);
  }

  void perturb(const ScoreFunction& scores, const Tensor& gone, const Tensor& start, const Regions& regions) {
    CurveOptions how{.steps = options_.steps, .until = options_.until};
    Progress progress("perturbing",
                      static_cast<std::int64_t>(3 * maps_.size()) * steps_of(how, regions.count()));
    for (std::size_t m = 0; m < maps_.size(); ++m) {
      MethodResult& method = result_.methods[m];
      const auto orders = most_relevant_first(maps_[m], regions);
      const auto curve = [&](const Tensor& from, const Tensor& to,
                             std::span<const std::vector<std::int64_t>> order) {
        how.progress = advancing(progress);
        const PerturbationCurve found = perturbation_curve(scores, from, to, regions, order, targets_, how);
        result_.fractions = found.fractions;
        return found.mean();
      };
      method.most = curve(values(), gone, orders);
      method.least = curve(values(), gone, reversed(orders));
      method.insertion = curve(start, values(), orders);
      method.measures.aopc = area_over_curve(method.most);
      method.measures.aopc_least = area_over_curve(method.least);
      method.measures.deletion = area_under_curve(result_.fractions, method.most);
      method.measures.insertion = area_under_curve(result_.fractions, method.insertion);
    }
  }

  void measure(const Tensor& mask) {
    double differences = 0;
    for (std::size_t i = 0; i < scores_.size(); ++i)
      differences += std::abs(scores_[i] - baseline_scores_[i]);
    for (std::size_t m = 0; m < maps_.size(); ++m) {
      Measures& measures = result_.methods[m].measures;
      measures.gini = mean_of(gini_index(maps_[m]));
      const double missed = mean_of(completeness_error(maps_[m], scores_, baseline_scores_)) *
                            static_cast<double>(scores_.size());
      if (differences > 0) measures.completeness = missed / differences;
      if (mask.size() > 0) measures.precision = mean_of(mask_precision(maps_[m], mask));
    }
  }

  void find_sensitivity() {
    Progress progress("moving the input", options_.sensitivity * static_cast<std::int64_t>(maps_.size()));
    for (std::size_t m = 0; m < maps_.size(); ++m) {
      const Explainer explainer(loaded_.model, std::span(plan_.calls).subspan(m, 1), explaining_);
      const ExplainFunction explain = [&](const Tensor& samples) {
        Inputs inputs = loaded_.samples.inputs;
        inputs[measured_] = samples;
        return explainer
            .run(inputs, {.targets = targets_, .batch_size = batch_, .threads = options_.run.threads})
            .attribution();
      };
      result_.methods[m].measures.sensitivity = mean_of(max_sensitivity(explain, values(),
                                                                        {.radius = options_.radius,
                                                                         .draws = options_.sensitivity,
                                                                         .key = options_.key,
                                                                         .progress = advancing(progress)}));
    }
  }

  void randomise(Randomisation kind) {
    (void)loaded_.samples.only(loaded_.model, "--randomisation");
    const std::string name = kind == Randomisation::cascading ? "cascading" : "independent";
    Progress progress("randomising", static_cast<std::int64_t>(learned_layers(loaded_.model).size()));
    const RandomisationCheck check = randomisation_check(loaded_.model, plan_.calls, values(), targets_,
                                                         {.kind = kind,
                                                          .key = options_.key,
                                                          .explainer = explaining_,
                                                          .batch_size = batch_,
                                                          .threads = options_.run.threads,
                                                          .progress = advancing(progress)});
    result_.layers = check.layers;
    for (std::size_t m = 0; m < maps_.size(); ++m)
      result_.methods[m].randomisation.push_back({name, check.correlation[m], check.of_magnitudes[m]});
  }

  /// The random orders become one method: their mean.
  void average_floor() {
    const std::span all(result_.methods);
    const auto orders = all.subspan(plan_.names.size());
    MethodResult mean = orders.front();
    const auto average = [&](auto member) {
      double sum = 0;
      for (const MethodResult& order : orders) sum += member(order);
      return sum / static_cast<double>(orders.size());
    };
    for (const auto curve : {&MethodResult::most, &MethodResult::least, &MethodResult::insertion})
      for (std::size_t k = 0; k < (mean.*curve).size(); ++k)
        (mean.*curve)[k] = average([&](const MethodResult& order) { return (order.*curve)[k]; });
    for (const auto measure :
         {&Measures::aopc, &Measures::aopc_least, &Measures::deletion, &Measures::insertion, &Measures::gini})
      mean.measures.*measure = average([&](const MethodResult& order) { return order.measures.*measure; });
    for (const auto measure : {&Measures::completeness, &Measures::sensitivity, &Measures::precision})
      if (mean.measures.*measure)
        mean.measures.*measure =
            average([&](const MethodResult& order) { return *(order.measures.*measure); });
    result_.methods.resize(plan_.names.size());
    result_.methods.push_back(std::move(mean));
  }

  void write_files(const std::string& score) const {
    const std::string title = fmt::format("{}: {} of the label, mean of {} samples",
                                          std::filesystem::path(options_.model.path).filename().string(),
                                          score, loaded_.samples.count());
    if (!options_.plot.empty())
      io::write_png(options_.plot, as_chart(result_, title, to_string(plan_.fill), to_string(plan_.start)));
    if (!options_.csv.empty()) io::write_text(options_.csv, as_csv(result_));
  }

  const EvaluateOptions& options_;
  Registry registry_;
  EvaluationPlan plan_;
  ExplainerOptions explaining_;
  Loaded loaded_;
  std::size_t output_;
  std::string measured_;
  std::int64_t batch_ = 1;
  std::vector<std::int64_t> targets_;
  std::vector<double> scores_, baseline_scores_;  ///< of what is explained
  std::vector<Tensor> maps_;                      ///< of each call
  EvaluationResult result_;
};

}  // namespace

void evaluate(const EvaluateOptions& options) {
  Evaluating(options).run();
}

}  // namespace rulegrad::cli
