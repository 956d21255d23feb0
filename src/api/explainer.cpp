#include "rulegrad/api/explainer.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <optional>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/prove/verify.hpp"
#include "rulegrad/support/error.hpp"

#include "api/explained.hpp"
#include "api/explainer_data.hpp"
#include "api/labels.hpp"
#include "compile/constants.hpp"

namespace rulegrad {
namespace {

/// Where the batch lies in a result that stands for a value; loops of a method's own stand in front.
ExplainedResult result_of(Expr result, Expr value, const std::optional<BatchPlace>& known) {
  ExplainedResult placed{.type = result.type()};
  placed.loops = result.shape().rank() - value.shape().rank();
  BatchPlace place;
  if (known) {
    place = *known;
  } else {
    // Where samples are mixed, they are taken to lie as the shape is written.
    while (place.axis < value.shape().rank() && !value.shape()[place.axis].batch) ++place.axis;
    if (place.axis == value.shape().rank()) return placed;
    place.inner = value.shape()[place.axis].factor;
  }
  placed.has_batch = true;
  placed.axis = place.axis + placed.loops;
  placed.outer = place.outer;
  placed.inner = place.inner;
  return placed;
}

/// Makes the expressions of all methods.
class Making {
 public:
  Making(const Model& model, std::span<const AnalyzerCall> calls, const ExplainerOptions& options,
         const Registry& registry)
      : model_(model), calls_(calls), options_(options), registry_(registry), labels_(labels_of(calls)) {
    if (calls.empty()) throw Error(ErrorCode::invalid_argument, "[explainer] it needs at least one method");
    values_ = explained_values(model, options.nodes, options.output);
  }

  Explainer::Data make();

 private:
  void ask();
  void add(std::size_t method, const Analysis& analysis);
  void tell(std::size_t method, const Analysis& analysis) const;
  void add_totals();
  void log(const std::string& line) const {
    if (options_.log) options_.log(line);
  }
  /// The value that one of the analysed nodes belongs to.
  [[nodiscard]] std::size_t value_of(std::size_t node) const;

  const Model& model_;
  std::span<const AnalyzerCall> calls_;
  const ExplainerOptions& options_;
  const Registry& registry_;
  std::vector<std::string> labels_;
  std::vector<ExplainedValue> values_;
  Question question_;
  std::string target_input_, seed_input_;
  std::vector<std::optional<BatchPlace>> places_;  ///< of the values
  std::vector<Expr> outputs_, totals_;
  std::vector<ExplainedResult> results_;
  std::vector<Explainer::Data::Sum> sums_;
};

void Making::ask() {
  AskedQuestion asked = question_about(model_, values_, options_);
  question_ = std::move(asked.question);
  target_input_ = std::move(asked.target_input);
  seed_input_ = std::move(asked.seed_input);
  std::vector<Expr> exprs;
  for (const ExplainedValue& value : values_) exprs.push_back(value.value);
  places_ = batch_places(exprs);
}

void Making::tell(std::size_t method, const Analysis& analysis) const {
  if (options_.on_analysis) options_.on_analysis(method, analysis);
  for (const std::string& line : analysis.notes) log(fmt::format("{}: {}", labels_[method], line));
  for (const ForwardRewrite& rewrite : analysis.rewrites)
    log(fmt::format("{}: {} -> {}  ({})", labels_[method], describe(rewrite.before), describe(rewrite.after),
                    rewrite.rule_set));
  if (!options_.prove_canonizers || analysis.rewrites.empty()) return;
  const CanonizerProof proof = prove_canonizers(question_.output, analysis, {.kernels = &registry_.kernels});
  log(fmt::format(
      "{}: {} rewrites by canonizers change the output by {:.3g} at most, where it is as large as {:.3g}",
      labels_[method], proof.rewrites, proof.difference, proof.largest));
}

std::size_t Making::value_of(std::size_t node) const {
  std::size_t value = 0;
  for (; node >= values_[value].nodes.size(); ++value) node -= values_[value].nodes.size();
  return value;
}

void Making::add(std::size_t method, const Analysis& analysis) {
  if (outputs_.empty()) {
    outputs_.push_back(analysis.output);
    results_.push_back(
        result_of(analysis.output, analysis.output, batch_places(std::span(&analysis.output, 1))[0]));
  }
  std::size_t first = 0;
  for (std::size_t v = 0; v < values_.size(); ++v) {
    const Expr attribution =
        attribution_of(values_[v], std::span(analysis.attributions).subspan(first, values_[v].nodes.size()));
    first += values_[v].nodes.size();
    outputs_.push_back(attribution);
    results_.push_back(result_of(attribution, values_[v].value, places_[v]));
  }
  if (!options_.totals) return;
  for (const Analysis::Total& total : analysis.totals) {
    Explainer::Data::Sum sum{method, {}};
    std::vector<std::size_t> counted(values_.size());
    for (const std::size_t member : total.members) ++counted[value_of(member)];
    // A lookup alone of several that are summed has no attribution of its own.
    bool whole = true;
    for (std::size_t v = 0; v < values_.size(); ++v) {
      whole = whole && (counted[v] == 0 || counted[v] == values_[v].nodes.size());
      if (counted[v] != 0) sum.nodes.push_back(v);
    }
    if (!whole) continue;
    sums_.push_back(std::move(sum));
    totals_.push_back(total.expected);
  }
}

void Making::add_totals() {
  for (const Expr total : totals_) {
    outputs_.push_back(total);
    results_.push_back({.type = total.type(),
                        .has_batch = total.shape().rank() > 0 && total.shape()[0].batch,
                        .axis = 0,
                        .outer = 1,
                        .inner = 1});
  }
}

Explainer::Data Making::make() {
  ask();
  for (std::size_t i = 0; i < calls_.size(); ++i) {
    const Analysis analysis =
        analyze(registry_.rules, calls_[i], question_, registry_.operators, registry_.samplers);
    tell(i, analysis);
    add(i, analysis);
  }
  add_totals();
  // What holds no batch sums over it, and is explained one sample at a time.
  std::vector<Expr> by_sample;
  for (std::size_t i = 0; i < outputs_.size(); ++i)
    if (results_[i].has_batch) by_sample.push_back(outputs_[i]);
  const std::optional<Expr> mixing = first_mixing(by_sample);
  const Program program = Program::compile(outputs_, {.check_finite = options_.check_finite,
                                                      .kernels = &registry_.kernels,
                                                      .rounding = options_.rounding,
                                                      .precision = options_.precision,
                                                      .memory = options_.memory});
  const std::vector<Type> types = program.output_types();
  for (std::size_t i = 0; i < types.size(); ++i) results_[i].type = types[i];
  if (options_.log) {
    const ProgramStats stats = program.stats({});
    log(fmt::format("compiled {} kernel calls, {} constants folded, {:.1f} MB of constants kept",
                    stats.instructions, stats.folded_constants,
                    static_cast<double>(stats.folded_bytes + stats.packed_bytes) / 1e6));
    for (const std::string& fold : stats.large_folds) log("a large constant was folded: " + fold);
  }
  std::vector<std::string> nodes;
  for (const ExplainedValue& value : values_) nodes.push_back(value.name);
  std::vector<std::pair<std::string, Type>> inputs;
  for (const ModelInput& input : model_.inputs()) inputs.emplace_back(input.name, input.expr.type());
  Explainer::Data data{std::move(labels_),  std::move(nodes), std::move(inputs),
                       options_.targets,    options_.seed,    program,
                       std::move(results_), std::move(sums_), mixing ? describe(*mixing) : std::string(),
                       target_input_,       seed_input_};
  if (options_.verify_numbers > 0) {
    data.verified = options_.verify_numbers;
    data.verifier.emplace(outputs_, options_.precision, &registry_.kernels);
    data.log = options_.log;
  }
  return data;
}

Explainer compile_texts(const Model& model, std::span<const std::string_view> methods,
                        const ExplainerOptions& options) {
  std::vector<AnalyzerCall> calls;
  for (const std::string_view method : methods) calls.push_back(AnalyzerCall::parse(method));
  return Explainer(model, calls, options);
}

}  // namespace

Explainer::Explainer(const Model& model, std::string_view method, const ExplainerOptions& options)
    : Explainer(compile_texts(model, std::span(&method, 1), options)) {}

Explainer::Explainer(const Model& model, std::initializer_list<std::string_view> methods,
                     const ExplainerOptions& options)
    : Explainer(compile_texts(model, std::span(methods.begin(), methods.size()), options)) {}

Explainer::Explainer(const Model& model, std::span<const std::string> methods,
                     const ExplainerOptions& options)
    : Explainer(
          compile_texts(model, std::vector<std::string_view>(methods.begin(), methods.end()), options)) {}

Explainer::Explainer(const Model& model, std::span<const AnalyzerCall> methods,
                     const ExplainerOptions& options) {
  const Registry shipped = options.registry == nullptr ? Registry{} : *options.registry;
  // Explainers add nodes to the model's graph.
  const std::shared_ptr<ConstantStore> store = store_of(model.graph());
  const auto building = store->building();
  Data data = Making(model, methods, options, shipped).make();
  auto origin = std::make_shared<Data::Origin>(
      Data::Origin{&model.graph(), {methods.begin(), methods.end()}, options, shipped});
  origin->options.registry = nullptr;
  origin->options.log = {};
  origin->options.on_analysis = {};
  data.origin = std::move(origin);
  data_ = std::make_shared<const Data>(std::move(data));
}

const Explainer::Data& Explainer::data() const {
  if (data_ == nullptr)
    throw Error(
        ErrorCode::invalid_argument,
        "[explainer] it was moved from, or made without a model; run the explainer it was moved to, or "
        "assign one to it: copies share everything");
  return *data_;
}

const std::vector<std::string>& Explainer::methods() const {
  return data().methods;
}
const std::vector<std::string>& Explainer::nodes() const {
  return data().nodes;
}
const Program& Explainer::program() const {
  return data().program;
}

}  // namespace rulegrad
