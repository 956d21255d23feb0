#include "cli/analysis.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <set>
#include <string_view>

#include "rulegrad/explain/unapplied.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/json.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/loading.hpp"
#include "cli/say.hpp"
#include "cli/verify.hpp"

namespace rulegrad::cli {
namespace {

Registry registry_of(const AnalysisOptions& options) {
  Registry registry = options.model.registry();
  registry.rules = library_with(registry, options.question.rule_files);
  return registry;
}

/// --target as it was asked: nothing, an index, one for each axis, a label, the numbers of a file, or
/// several.
std::string target_json(const std::string& text) {
  if (text == "argmax") return "null";
  const std::vector<std::string> named = lines_of(text);
  if (named.size() > 1) {
    Json json;
    json.open('[');
    for (const std::string& one : named) json.raw(target_json(one));
    return json.close(']').whole();
  }
  if (std::filesystem::path(text).extension() == ".npy")
    return array_json(io::read_npy(text).cast(DType::int64));
  const std::vector<std::int64_t> place = indices_in(text);
  if (place.empty() || text.find('-') != std::string::npos) return Json().text(text).whole();
  if (place.size() == 1) return Json().number(place[0]).whole();
  Json json;
  json.open('[');
  for (const std::int64_t index : place) json.number(index);
  return json.close(']').whole();
}

}  // namespace

void add_analysis_options(CLI::App& command, AnalysisOptions& options) {
  add_model_options(command, options.model);
  add_input_options(command, options.input);
  command
      .add_option("--method,-m", options.methods,
                  "A method, as name or name:key=value,key=value; may be given several times")
      ->required()
      ->type_name("NAME");
  add_question_options(command, options.question);
  command
      .add_option("--at", options.nodes,
                  "Explain these inputs or inner nodes instead of every input; an input of token ids by the "
                  "values that\nlook them up; may be given several times")
      ->type_name("NODE");
  command
      .add_option("--keep", options.keep, "Nodes that canonizers leave as they are, so that --at finds them")
      ->type_name("NODE");
  command
      .add_option("--memory", options.memory,
                  "Megabytes that the samples of a method may take together, and those of a stream that are "
                  "in flight\n(default 1024)")
      ->type_name("MB")
      ->check(CLI::PositiveNumber);
  command.add_option("--labels", options.labels, "A text file with one class name a line")->type_name("FILE");
  add_verify_option(command, options.verify);
  add_verify_numbers_option(command, options.verify_numbers);
  add_run_choices(command, options.run);
}

AnalysisCase::AnalysisCase(const AnalysisOptions& options)
    : options_(options), registry_(registry_of(options)) {
  for (const std::string& method : options_.methods) {
    calls_.push_back(parse_method(method, options_.question));
    (void)registry_.rules.analyzer(calls_.back().name);
  }
}

void AnalysisCase::loaded(Model model) {
  model_.emplace(std::move(model));
  output_ = output_index(options_.model, *model_);
  scores_.emplace(*model_, output_, options_.labels);
}

void AnalysisCase::load(std::span<const GivenInput> given) {
  loaded(load_model(options_.model, given, options_.input.preprocessing("")));
}

Samples AnalysisCase::load_samples() {
  Loaded both = cli::load(options_.model, options_.input);
  loaded(std::move(both.model));
  return std::move(both.samples);
}

ExplainerOptions AnalysisCase::explainer_options(const Chosen& chosen) {
  ExplainerOptions how = cli::explainer_options(options_.question, options_.model, options_.run);
  how.registry = &registry_;
  how.targets = chosen.largest ? Targets::largest : Targets::given;
  seed_ = how.seed;
  how.output = output_;
  how.nodes = options_.nodes;
  how.keep = options_.keep;
  how.prove_canonizers = false;  // `verify_canonizers` remembers what it proved
  how.memory = options_.memory_bytes();
  how.totals = true;
  if (options_.verify_numbers) {
    how.verify_numbers = 2;
    how.log = [](std::string_view line) {
      if (line.find("plain float64 path") != std::string_view::npos)
        fmt::print(stderr, "{}", harmless(fmt::format("{}\n", line)));
    };
  }
  how.on_analysis = [this, question_output = model_->head(how.head, output_)](std::size_t method,
                                                                              const Analysis& analysis) {
    verify_canonizers(options_.model, *model_, registry_.rules, options_.methods[method], question_output,
                      analysis, options_.verify);
    for (const std::string& note : analysis.notes)
      fmt::print(stderr, "{}", harmless(fmt::format("{}: {}\n", calls_[method].name, note)));
    for (const UnappliedRule& rule : unapplied_rules(registry_.rules, calls_[method], analysis))
      fmt::print(stderr, "{}", harmless(fmt::format("warning: {}\n", to_string(rule))));
  };
  return how;
}

Tensor AnalysisCase::seed_array(std::int64_t samples) const {
  if (seed_ != Question::Seed::tensor) return {};
  return read_seed(options_.question.seed, samples, scores_->count(),
                   model_->outputs()[output_].expr.dtype());
}

void AnalysisCase::note_other_inputs(const std::vector<std::string>& explained) const {
  if (!options_.nodes.empty()) return;
  const std::set<std::string_view> known(explained.begin(), explained.end());
  for (const ModelInput& input : model_->inputs())
    if (!known.contains(input.name) && !lookups_of(*model_, input.name, output_).empty())
      fmt::print(
          stderr, "{}",
          harmless(fmt::format("the input '{}' holds integers that are looked up; --at {} explains it too\n",
                               input.name, input.name)));
}

std::string AnalysisCase::score_kind() const {
  const std::string kind = kind_of_output(*model_, output_);
  const bool below = kind != "score" && head_from_name(options_.question.head) == HeadKind::logit;
  return below ? "logit" : kind;
}

std::string AnalysisCase::seed_name(const Tensor& seed) const {
  if (seed.size() == 0 || seed_ != Question::Seed::tensor) return "";
  std::string text;
  int parts = 0;
  const std::int64_t width = scores_->count();
  for (std::int64_t i = 0; i < seed.size(); ++i)
    if (i >= width && seed.at(i) != seed.at(i % width)) return "seed " + options_.question.seed;
  for (std::int64_t k = 0; k < width; ++k) {
    const double weight = seed.at(k);
    if (weight == 0) continue;
    if (++parts > 3) return "seed " + options_.question.seed;
    text += text.empty() ? (weight < 0 ? "-" : "") : weight < 0 ? " - " : " + ";
    if (std::abs(weight) != 1) text += fmt::format("{:.4g} ", std::abs(weight));
    text += scores_->name(k);
  }
  return text.empty() ? "seed of zeros" : text;
}

std::map<std::string, TokenInput> AnalysisCase::tokens_of(const std::vector<std::string>& nodes,
                                                          const Samples& samples) const {
  std::map<std::string, TokenInput> result;
  for (const ModelInput& input : model_->inputs()) {
    if (is_floating(input.expr.dtype()) || std::find(nodes.begin(), nodes.end(), input.name) == nodes.end())
      continue;
    std::int64_t rows = 0;
    for (const Expr lookup : lookups_of(*model_, input.name, output_))
      rows = std::max(rows, lookup.operand(0).shape()[0].factor);
    result[input.name] = {samples.inputs.at(input.name), rows};
  }
  return result;
}

StreamQuestion AnalysisCase::stream_question(const Explainer& explainer,
                                             const io::Preprocessing& preprocessing) const {
  StreamQuestion result;
  result.model_name = std::filesystem::path(options_.model.path).stem().string();
  result.model_digest = model_->digest();
  result.model_dtype = options_.model.dtype;
  result.methods = stream_methods(explainer, calls_, registry_.rules);
  result.target = target_json(options_.question.target);
  if (seed_ == Question::Seed::tensor) {
    result.seed = array_json(io::read_npy(options_.question.seed).cast(DType::float64));
  } else if (seed_ != Question::Seed::own) {
    result.seed = seed_ == Question::Seed::one ? "\"one\"" : "\"value\"";
  }
  result.output = fmt::format("{}", output_);
  result.head = options_.question.head;
  result.precision = options_.run.precision_name == "auto" ? "automatic" : options_.run.precision_name;
  if (!options_.question.aux.empty()) {
    Json aux;
    aux.open('{');
    for (const auto& [key, array] : io::read_npz(options_.question.aux))
      aux.key(key).raw(array_json(array, 0));
    result.aux = aux.close('}').whole();
  }
  result.rounding = !options_.run.exact;
  result.keep = options_.keep;
  result.preprocessing = preprocessing;
  const Shape& shape = model_->outputs()[output_].expr.shape();
  for (std::size_t axis = 1; axis < shape.rank(); ++axis) result.score_dims.push_back(shape[axis].factor);
  result.label = [this](std::int64_t score) { return scores_->name(score); };
  return result;
}

}  // namespace rulegrad::cli
