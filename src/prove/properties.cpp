#include "rulegrad/prove/properties.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "prove/trial_networks.hpp"

namespace rulegrad {
namespace {

constexpr double property_tolerance = 1e-6;  // relative; float64 and central differences leave 1e-9
constexpr double difference_step = 1e-5;

double sum_of(const Tensor& tensor) {
  double sum = 0;
  for (const double value : tensor.values<double>()) sum += value;
  return sum;
}

double product(const Tensor& a, const Tensor& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values<double>().size(); ++i)
    sum += a.values<double>()[i] * b.values<double>()[i];
  return sum;
}

double size_of(const Tensor& tensor) {
  double largest = 0;
  for (const double value : tensor.values<double>()) largest = std::max(largest, std::abs(value));
  return largest;
}

/// a u + b v
Tensor mixed(double a, const Tensor& u, double b, const Tensor& v) {
  Tensor result = Tensor::full(DType::float64, u.dims(), 0);
  for (std::size_t i = 0; i < u.values<double>().size(); ++i)
    result.mutable_values<double>()[i] = a * u.values<double>()[i] + b * v.values<double>()[i];
  return result;
}

std::string text_of(const Tensor& tensor) {
  const std::size_t count = std::min<std::size_t>(8, tensor.values<double>().size());
  std::string text;
  for (std::size_t i = 0; i < count; ++i)
    text += fmt::format("{}{:.4g}", i == 0 ? "" : ", ", tensor.values<double>()[i]);
  return fmt::format("[{}{}]", text, count < tensor.values<double>().size() ? ", ..." : "");
}

/// Whose word is tried, and what it may need.
struct Subject {
  const RuleLibrary& library;
  const AnalyzerCall& call;
  const Operators& operators;
  const Samplers& samplers;
  const Kernels* kernels;
};

/// One network with an input, and the analyzer on it.
class Trial {
 public:
  /// `with_flow`: `conserves` will be asked.
  Trial(const Subject& subject, const TrialNetwork& net, std::uint64_t seed, bool biases, bool with_flow)
      : builder_(graph_, seed, biases) {
    const Expr x = graph_.input("x", {DType::float64, Shape::of(net.input)});
    Expr y = x;
    for (const TrialLayer& layer : net.layers) y = layer.add(builder_, y);
    if (y.shape().rank() < 2)  // one row of scores
      y = graph_.apply(op("reshape"), {y}, ShapeAttributes{Shape{1, y.shape().count().factor}});
    const std::int64_t rows = y.shape()[0].factor, scores = y.shape().count().factor / rows;
    Question question;
    question.output = y;
    question.explained = {x};
    question.seed = Question::Seed::tensor;
    question.seed_tensor = graph_.input("seed", {DType::float64, Shape{rows, scores}});
    const Analysis analysis =
        analyze(subject.library, subject.call, question, subject.operators, subject.samplers);
    std::vector<Expr> outputs;
    if (with_flow) outputs = flow_.emplace(analysis).expressions();
    outputs.push_back(analysis.attributions[0]);
    CompileOptions options;
    options.kernels = subject.kernels;
    options.check_finite = subject.kernels == nullptr;  // else `explains` looks for it
    if (!analysis.totals.empty()) {
      const Expr total = analysis.totals[0].expected;
      total_.emplace(Program::compile(std::span(&total, 1), options));
    }
    const std::vector<Expr> nodes = topological_order(analysis.attributions);
    has_loop_ = std::any_of(nodes.begin(), nodes.end(), [](Expr node) { return node.is("reduce_samples"); });
    program_.emplace(Program::compile(outputs, options));
    const Expr flat = flatten(y);
    forward_.emplace(Program::compile(std::span(&flat, 1), options));
    value_ = net.drawn ? builder_.values(*net.drawn) : builder_.values(net.input);
    one_ = builder_.values(Dims{rows, scores});
    other_ = builder_.values(Dims{rows, scores});
  }

  /// Does what reaches the input come near the score's difference?
  bool comes_near() {
    return total_ &&
           std::abs(sum_of(total_->run({{"x", value_}, {"seed", one_}})[0]) - sum_of(attribution(one_))) <=
               0.02 * (size_of(one_) + size_of(attribution(one_)));
  }

  /// What is wrong, or nothing.
  std::optional<std::string> broken(std::string_view property) {
    if (property == "linear") return linear();
    if (property == "positive") return positive();
    if (property == "adjoint") return adjoint();
    if (property == "completes") return completes();
    if (property == "conserves") return conserves();
    return explains();
  }

 private:
  Tensor attribution(const Tensor& seed, RelevanceFlow* flow = nullptr) {
    std::vector<Tensor> values = program_->run({{"x", value_}, {"seed", seed}});
    Tensor result = std::move(values.back());
    values.pop_back();
    if (flow != nullptr) *flow = flow_->read(values);
    return result;
  }
  [[nodiscard]] std::string on(const Tensor& seed) const {
    return fmt::format("x = {}, seed = {}", text_of(value_), text_of(seed));
  }

  std::optional<std::string> linear() {
    const Tensor expected = mixed(2, attribution(one_), -3, attribution(other_)),
                 seed = mixed(2, one_, -3, other_), found = attribution(seed);
    if (size_of(mixed(1, expected, -1, found)) <= property_tolerance * (size_of(expected) + 1e-3))
      return std::nullopt;
    return fmt::format("{}: 2 A(s) - 3 A(t) is {} but A(2 s - 3 t) is {}", on(seed), text_of(expected),
                       text_of(found));
  }

  std::optional<std::string> positive() {
    Tensor seed = one_;
    for (double& value : seed.mutable_values<double>()) value = std::abs(value);
    const Tensor found = attribution(seed);
    const double least = *std::min_element(found.values<double>().begin(), found.values<double>().end());
    if (least >= -property_tolerance * size_of(found)) return std::nullopt;
    return fmt::format("{}: the attribution is {}, with {:.4g} in it", on(seed), text_of(found), least);
  }

  std::optional<std::string> adjoint() {
    const Tensor direction = builder_.values(value_.dims());
    const auto moved = [&](double step) {
      return product(forward_->run({{"x", mixed(1, value_, step, direction)}})[0], one_);
    };
    const double expected = (moved(difference_step) - moved(-difference_step)) / (2 * difference_step);
    const Tensor map = attribution(one_);
    const double found = product(map, direction);
    if (std::abs(expected - found) <= property_tolerance * (std::abs(expected) + size_of(map) + 1e-3) * 10)
      return std::nullopt;
    return fmt::format("{}: along d = {} the score changes by {:.6g} but A . d is {:.6g}", on(one_),
                       text_of(direction), expected, found);
  }

  /// A sum over few steps is close at best.
  std::optional<std::string> completes() {
    if (!total_) return "it has neither a world `base` nor a parameter `baseline` that would say less what";
    const Tensor found = attribution(one_);
    const double expected = sum_of(total_->run({{"x", value_}, {"seed", one_}})[0]), reached = sum_of(found);
    if (std::abs(expected - reached) <=
        (has_loop_ ? 0.2 : property_tolerance) * (std::abs(expected) + size_of(found)))
      return std::nullopt;
    return fmt::format("{}: the score is larger by {:.6g} than at the baseline, and {:.6g} reaches the input",
                       on(one_), expected, reached);
  }

  std::optional<std::string> conserves() {
    RelevanceFlow flow;
    const Tensor found = attribution(one_, &flow);
    const double seed = sum_of(one_), reached = sum_of(found);
    double bias = 0, stabiliser = 0, empty = 0, scale = std::abs(seed) + size_of(one_);
    for (const FlowRow& row : flow.rows) {
      bias += row.bias;
      stabiliser += row.stabiliser;
      empty += row.empty;
      scale += std::abs(row.bias) + std::abs(row.stabiliser) + std::abs(row.empty);
    }
    const double rest = seed - reached - bias - stabiliser - empty;
    if (std::abs(rest) <= property_tolerance * scale) return std::nullopt;
    std::string text = fmt::format(
        "{}: {:.6g} comes in and {:.6g} reaches the input: biases take {:.4g}, stabilisers {:.4g}, units to "
        "which nothing contributes {:.4g}, and {:.4g} is lost beside them",
        on(one_), seed, reached, bias, stabiliser, empty, rest);
    return text;
  }

  /// What any method must do.
  std::optional<std::string> explains() {
    const Tensor found = attribution(one_);
    if (found.dims() != value_.dims())
      return fmt::format("{}: the attribution is {} but x is {}", on(one_),
                         to_string(std::span(found.dims())), to_string(std::span(value_.dims())));
    for (const double value : found.values<double>())
      if (!std::isfinite(value)) return fmt::format("{}: the attribution is {}", on(one_), text_of(found));
    return std::nullopt;
  }

  Graph graph_{DType::float64};
  TrialBuilder builder_;
  std::optional<FlowQuestions> flow_;
  std::optional<Program> program_, forward_, total_;
  bool has_loop_ = false;
  Tensor value_, one_, other_;
};

}  // namespace

namespace {

/// The call with 64 times as many values of each loop whose number is a parameter; nothing where none is.
std::optional<AnalyzerCall> refined(const AnalyzerDefinition& definition, const AnalyzerCall& call) {
  AnalyzerCall result = call;
  for (const ForClause& loop : definition.loops)
    for (const TermId id : definition.terms[static_cast<std::size_t>(loop.sampler)].args) {
      const Term& count = definition.terms[static_cast<std::size_t>(id)];
      for (const Parameter& parameter : definition.parameters) {
        if (count.kind != TermKind::variable || parameter.name != count.name || parameter.fallback == no_term)
          continue;
        const Term& fallback = definition.terms[static_cast<std::size_t>(parameter.fallback)];
        if (fallback.kind == TermKind::number)
          result.arguments.emplace_back(parameter.name, 64 * fallback.number);
      }
    }
  if (result.arguments.size() == call.arguments.size()) return std::nullopt;
  return result;
}

}  // namespace

namespace {

/// The properties on the networks, smallest first. `refused` gets what the analyzer said where it does not
/// run.
std::vector<PropertyTrial> tried(const std::vector<std::string>& properties, const Subject& subject,
                                 const std::optional<AnalyzerCall>& finer,
                                 std::span<const TrialNetwork> networks, std::span<const bool> with_biases,
                                 std::string& refused) {
  std::vector<PropertyTrial> result;
  for (const std::string& property : properties)
    result.push_back({.property = property, .holds = true, .networks = 0, .network = {}, .what = {}});
  const bool with_flow = std::find(properties.begin(), properties.end(), "conserves") != properties.end();
  for (const TrialNetwork& net : networks)
    for (const bool biases : with_biases)
      for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
        std::optional<Trial> trial;
        try {
          trial.emplace(subject, net, seed, biases, with_flow);
          for (PropertyTrial& told : result) {
            if (!told.holds) continue;
            ++told.networks;
            if (auto what = trial->broken(told.property)) {
              // A sum over steps comes to an integral, the nearer the more there are.
              if (told.property == "completes" && finer &&
                  Trial({subject.library, *finer, subject.operators, subject.samplers, subject.kernels}, net,
                        seed, biases, false)
                      .comes_near())
                continue;
              told.holds = false;
              told.network = net.text(biases);
              told.what = std::move(*what);
            }
          }
        } catch (const Error& error) {
          if (refused.empty()) refused = error.what();  // a layer that the analyzer does not take
        }
      }
  return result;
}

}  // namespace

std::vector<PropertyTrial> try_properties(const RuleLibrary& library, std::string_view analyzer,
                                          const Operators& operators, const Samplers& samplers) {
  const AnalyzerDefinition& definition = library.analyzer(analyzer);
  if (definition.properties.empty()) return {};
  const AnalyzerCall call{definition.name, {{"allow_unmatched", 1.0}}};
  const bool with_biases[] = {false, true};
  std::string refused;
  return tried(definition.properties, {library, call, operators, samplers, nullptr},
               refined(definition, call), trial_networks(), with_biases, refused);
}

std::vector<PropertyTrial> try_properties_on(const OpSchema& op, const RuleLibrary& library,
                                             std::string_view analyzer, const Kernels& kernels,
                                             const Operators& operators, const Samplers& samplers) {
  const AnalyzerDefinition& definition = library.analyzer(analyzer);
  const AnalyzerCall call{definition.name, {{"allow_unmatched", 1.0}}};
  std::vector<std::string> properties{"explains"};
  properties.insert(properties.end(), definition.properties.begin(), definition.properties.end());
  const bool without_biases[] = {false};
  std::string refused;
  std::vector<PropertyTrial> result =
      tried(properties, {library, call, operators, samplers, &kernels}, refined(definition, call),
            trial_networks_of(op), without_biases, refused);
  for (PropertyTrial& trial : result)
    if (trial.networks == 0) trial.what = refused;
  return result;
}

}  // namespace rulegrad
