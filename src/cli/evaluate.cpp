#include <CLI/CLI.hpp>
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

#include "cli/commands.hpp"
#include "cli/evaluation_report.hpp"
#include "cli/json.hpp"
#include "cli/loading.hpp"
#include "cli/question.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

struct Options {
  ModelOptions model;
  InputOptions input;
  RunChoices run;
  QuestionOptions question;
  std::vector<std::string> methods;
  std::string labels, fill = "0", start, score, mask, plot, csv;
  std::vector<std::string> randomisation;
  std::int64_t region_size = 0, steps = 0, orders = 5, sensitivity = 0, key = 0;
  double until = 1, baseline = 0;
  std::optional<double> radius;
  bool json = false;
};

/// What was typed, before any file is read.
struct Plan {
  Fill fill, start;  ///< what regions are replaced by; what insertion starts from
  std::optional<ScoreKind> score;
  std::vector<Randomisation> randomisation;
  std::vector<AnalyzerCall> calls;  ///< the methods, then `random` with each key
  std::vector<std::string> names;   ///< of the methods
};

Plan plan_of(const Options& options, const RuleLibrary& library) {
  Plan plan;
  plan.fill = Fill::parse(options.fill);
  if (!options.start.empty()) plan.start = Fill::parse(options.start);
  plan.fill.key = plan.start.key = options.key;
  if (!options.score.empty()) plan.score = score_kind_from_name(options.score);
  for (const std::string& kind : options.randomisation)
    plan.randomisation.push_back(randomisation_from_name(kind));
  if (!options.plot.empty() && std::filesystem::path(options.plot).extension() != ".png")
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--plot '{}': charts are PNG pictures; the name must end in .png", options.plot));
  if (options.radius && options.sensitivity == 0)
    throw Error(ErrorCode::invalid_argument, "--radius belongs to --sensitivity DRAWS, which is not there");
  for (const std::string& text : options.methods) {
    if (text == "random") continue;  // it is there anyway
    plan.calls.push_back(AnalyzerCall::parse(text));
    (void)library.analyzer(plan.calls.back().name);  // an unknown method is told before a model is loaded
    plan.names.push_back(text);
  }
  for (std::int64_t k = 0; k < options.orders; ++k)
    plan.calls.push_back({"random", {{"key", static_cast<double>(options.key + k)}}});
  return plan;
}

/// Tells a display of progress what is new.
std::function<void(std::int64_t, std::int64_t)> advancing(Progress& progress) {
  return [&progress, before = std::int64_t{0}](std::int64_t done, std::int64_t) mutable {
    progress.advance(done - std::exchange(before, done));
  };
}

std::vector<std::int64_t> read_targets(const std::string& path, std::int64_t samples, std::int64_t scores) {
  const Tensor file = io::read_npy(path);
  if (is_floating(file.dtype()) || file.size() != samples)
    throw Error(ErrorCode::shape,
                fmt::format("{} holds {}{} but --labels needs one integer for each of the {} samples", path,
                            name_of(file.dtype()), to_string(file.dims()), samples));
  std::vector<std::int64_t> targets;
  for (std::int64_t i = 0; i < samples; ++i) {
    targets.push_back(static_cast<std::int64_t>(file.at(i)));
    if (targets.back() < 0 || targets.back() >= scores)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: the label {} of sample {} is no class: the model has {} score{}, {}", path,
                              targets.back(), i, scores, scores == 1 ? "" : "s",
                              scores == 1 ? "whose index is 0" : fmt::format("0 to {}", scores - 1)));
  }
  return targets;
}

/// Methods that explain the difference from just what regions are replaced by have an advantage that the
/// reader should know.
std::string note_on_baseline(const Plan& plan) {
  if (plan.fill.kind != Fill::Kind::value) return "";
  std::vector<std::string> favoured;
  for (std::size_t m = 0; m < plan.names.size(); ++m) {
    const AnalyzerCall& call = plan.calls[m];
    if (call.name.find("integrated_gradients") == std::string::npos &&
        call.name.find("deeplift") == std::string::npos)
      continue;
    const auto given =
        std::ranges::find(call.arguments, "baseline", [](const auto& argument) { return argument.first; });
    const auto* number = given == call.arguments.end() ? nullptr : std::get_if<double>(&given->second);
    if (given == call.arguments.end() ? plan.fill.value == 0
                                      : number != nullptr && *number == plan.fill.value)
      favoured.push_back(plan.names[m]);
  }
  return favoured.empty()
             ? ""
             : fmt::format("the fill {} is the baseline of {}, which favours {}\n", to_string(plan.fill),
                           join(favoured), favoured.size() == 1 ? "it" : "them");
}

class Evaluating {
 public:
  explicit Evaluating(const Options& options)
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
    const auto list = [&](const char* name, const std::vector<double>& values) {
      json.key(name).open('[');
      for (const double value : values) json.number(value);
      json.close(']');
    };
    json.open('{')
        .key("model")
        .text(options_.model.path)
        .key("samples")
        .number(loaded_.samples.count())
        .key("score")
        .text(score);
    json.key("mean_score").number(mean_of(target_scores(answers, targets_))).key("right").number(right);
    list("fractions", result_.fractions);
    json.key("methods").open('[');
    for (const MethodResult& method : result_.methods) {
      const Measures& m = method.measures;
      json.open('{').key("name").text(method.name).key("floor").truth(method.floor);
      json.key("aopc")
          .number(m.aopc)
          .key("aopc_least")
          .number(m.aopc_least)
          .key("deletion")
          .number(m.deletion)
          .key("insertion")
          .number(m.insertion)
          .key("gini")
          .number(m.gini);
      for (const auto& [name, value] :
           {std::pair{"completeness", m.completeness}, std::pair{"sensitivity", m.sensitivity},
            std::pair{"precision", m.precision}})
        if (value) json.key(name).number(*value);
      list("most_relevant_first", method.most);
      list("least_relevant_first", method.least);
      list("insertion_curve", method.insertion);
      json.key("randomisation").open('[');
      for (const LayerCorrelations& kind : method.randomisation) {
        json.open('{').key("kind").text(kind.kind);
        list("correlation", kind.correlation);
        list("of_magnitudes", kind.of_magnitudes);
        json.close('}');
      }
      json.close(']').close('}');
    }
    json.close(']').key("layers").open('[');
    for (const std::string& layer : result_.layers) json.text(layer);
    json.close(']').close('}');
    print_answer(json);
  }

  static Registry registry_of(const Options& options) {
    Registry registry = options.model.registry();
    registry.rules = library_with(registry, options.question.rule_files);
    return registry;
  }

  [[nodiscard]] ExplainerOptions explainer_options() const {
    const std::string& seed = options_.question.seed;
    ExplainerOptions options;
    options.registry = &registry_;
    options.targets = rulegrad::Targets::given;
    options.head = head_from_name(options_.question.head);
    options.check_finite = !options_.model.allow_non_finite;
    options.precision = options_.run.precision();
    options.rounding = !options_.run.exact;
    if (seed == "one" || seed == "value" || seed.empty())
      options.seed = seed_from_name(seed);
    else
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("--seed '{}' is not one or value: the measures follow one score of each sample", seed));
    options.aux = auxiliary_arrays(options_.question);
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

  const Options& options_;
  Registry registry_;
  Plan plan_;
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

void add_evaluate(CLI::App& app, Run& run) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("evaluate",
                                         "Measure how good explanations are: what is called relevant is "
                                         "taken away, and more; `random` is the floor");
  add_model_options(*command, options->model);
  add_input_options(*command, options->input);
  command
      ->add_option("--labels", options->labels,
                   "The classes whose scores are explained and followed, an integer a sample\n(default: the "
                   "model's own answers)")
      ->type_name("FILE.npy");
  command
      ->add_option("--method,-m", options->methods,
                   "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  command
      ->add_option("--region-size", options->region_size,
                   "Side of the regions in pixels or features (default: a fourteenth of a picture's longer "
                   "side;\n1 for features)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--fill", options->fill,
                   "What replaces regions: a number (default 0), mean, blur, blur:WIDTH, uniform (noise over "
                   "the\nrange of the samples) or uniform:LOW,HIGH")
      ->type_name("FILL");
  command
      ->add_option("--insertion-into", options->start,
                   "What insertion starts from, as --fill (default: blur for pictures, --fill for features)")
      ->type_name("FILL");
  command
      ->add_option("--steps", options->steps,
                   "How often the score is asked for on the way (default: once a region, at most 32)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--until", options->until,
                   "The fraction of the regions that is replaced in the end (default 1)")
      ->type_name("FRACTION");
  command
      ->add_option("--score", options->score,
                   "The score that is followed: the probability of the label (default where a softmax or "
                   "sigmoid ends the output;\nof other scores it is their softmax), or its logit")
      ->type_name("probability|logit");
  command
      ->add_option("--random-orders", options->orders,
                   "How many random maps the floor is the mean of (default 5)")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--baseline", options->baseline,
                   "The input against which completeness is measured, a number everywhere (default 0)")
      ->type_name("VALUE");
  command
      ->add_option("--sensitivity", options->sensitivity,
                   "Estimate max-sensitivity from so many moved inputs a sample")
      ->type_name("DRAWS")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--radius", options->radius,
                   "How far each element is moved at most (default: a fiftieth of the samples' range)")
      ->type_name("R")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--randomisation", options->randomisation,
                   "Randomise layers from the output down, cascading or one at a time, and tell how far "
                   "the\nexplanations stay the same; may be given twice")
      ->type_name("cascading|independent");
  command
      ->add_option("--mask", options->mask,
                   "What is truly relevant (not 0), for one sample or all: report precision against it")
      ->type_name("FILE.npy");
  command->add_option("--key", options->key, "Of the random numbers (default 0)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  add_method_options(*command, options->question);
  command->add_option("--plot", options->plot, "Draw the curves")->type_name("FILE.png");
  command->add_option("--csv", options->csv, "Write curves and measures as method,measure,at,value")
      ->type_name("FILE.csv");
  add_json_option(*command, options->json);
  add_run_choices(*command, options->run);
  command->callback([options, &run] { run = [options] { Evaluating(*options).run(); }; });
}

}  // namespace rulegrad::cli
