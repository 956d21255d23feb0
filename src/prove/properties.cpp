#include "rulegrad/prove/properties.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <functional>
#include <random>

#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr double tolerance = 1e-6;  // relative; float64 and central differences leave 1e-9
constexpr double difference_step = 1e-5;

/// A layer added to a network, and what it is called in messages.
struct Layer {
  std::string text;
  std::function<Expr(class Builder&, Expr)> add;
};

class Builder {
 public:
  Builder(Graph& graph, std::uint64_t seed, bool biases) : graph_(graph), random_(seed), biases_(biases) {}

  Tensor values(const Dims& dims, double spread = 1) {
    std::normal_distribution<double> normal(0, spread);
    Tensor result = Tensor::full(DType::float64, dims, 0);
    for (double& value : result.mutable_values<double>()) value = normal(random_);
    return result;
  }
  Operand bias(std::int64_t count) {
    return biases_ ? Operand(graph_.constant(values({count}))) : Operand(0.0);
  }
  Expr to(Expr x, std::int64_t units) {
    return rulegrad::dense(x, graph_.constant(values({units, x.shape()[1].factor})), bias(units));
  }
  Expr window(Expr x, std::int64_t channels, std::int64_t k) {
    ConvAttributes attributes;
    attributes.pads_begin = attributes.pads_end = {k / 2, k / 2};
    return rulegrad::conv(x, graph_.constant(values({channels, x.shape()[1].factor, k, k})), bias(channels),
                          attributes);
  }

 private:
  Graph& graph_;
  std::mt19937_64 random_;
  bool biases_;
};

Layer to(std::int64_t units) {
  return {fmt::format("dense({})", units),
          [units](Builder& builder, Expr x) { return builder.to(x, units); }};
}
Layer window(std::int64_t channels, std::int64_t k) {
  return {fmt::format("conv({}, {}x{})", channels, k, k),
          [=](Builder& builder, Expr x) { return builder.window(x, channels, k); }};
}
Layer plain(const std::string& name, Expr (*apply)(Expr)) {
  return {name, [apply](Builder&, Expr x) { return apply(x); }};
}
Layer pool(bool largest) {
  return {largest ? "max_pool(2x2)" : "avg_pool(2x2)", [largest](Builder&, Expr x) {
            if (largest) return max_pool(x, {.kernel = {2, 2}, .strides = {2, 2}});
            AvgPoolAttributes attributes;
            attributes.kernel = attributes.strides = {2, 2};
            return avg_pool(x, attributes);
          }};
}
/// x + dense(x)
Layer residual() {
  return {"residual", [](Builder& builder, Expr x) { return x + builder.to(x, x.shape()[1].factor); }};
}

struct Net {
  Dims input;
  std::vector<Layer> layers;

  [[nodiscard]] std::string text(bool biases) const {
    std::string result = fmt::format("x [{}]", join(texts(input), ", "));
    for (const Layer& layer : layers) result += " -> " + layer.text;
    return result + (biases ? ", with biases" : ", without biases");
  }

 private:
  static std::vector<std::string> texts(const Dims& dims) {
    std::vector<std::string> result;
    for (const std::int64_t dim : dims) result.push_back(fmt::format("{}", dim));
    return result;
  }
};

/// From one layer with one unit to networks; the first that fails is the smallest.
std::vector<Net> nets() {
  const Layer rectify = plain("relu", &rulegrad::relu), bend = plain("tanh", &rulegrad::tanh),
              squash = plain("sigmoid", &rulegrad::sigmoid),
              flat = plain("flatten", [](Expr x) { return flatten(x); });
  std::vector<Net> result;
  for (const Layer& layer : {rectify, bend, squash, to(1), residual()}) result.push_back({{1, 1}, {layer}});
  for (const Layer& layer : {rectify, to(1), to(2), residual()}) result.push_back({{1, 2}, {layer}});
  for (const Layer& layer : {window(1, 1), window(1, 3), pool(true), pool(false), flat})
    result.push_back({{1, 1, 2, 2}, {layer}});
  for (const Layer& layer : {rectify, bend, squash}) {
    result.push_back({{1, 1}, {to(1), layer}});
    result.push_back({{1, 1}, {to(1), layer, to(1)}});
    result.push_back({{1, 2}, {to(2), layer, to(1)}});
    result.push_back({{1, 3}, {to(4), layer, residual(), layer, to(2)}});
  }
  result.push_back({{1, 1, 4, 4}, {window(2, 3), rectify, pool(true), flat, to(2)}});
  result.push_back(
      {{1, 2, 4, 4},
       {window(3, 3), rectify, window(2, 1), rectify, pool(false), flat, to(3), rectify, to(2)}});
  result.push_back({{1, 6}, {to(8), rectify, to(8), rectify, residual(), rectify, to(3)}});
  return result;
}

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

/// One network with an input, and the analyzer on it.
class Trial {
 public:
  /// `with_flow`: `conserves` will be asked.
  Trial(const RuleLibrary& library, const AnalyzerCall& call, const Net& net, std::uint64_t seed, bool biases,
        bool with_flow, const Operators& operators, const Samplers& samplers)
      : builder_(graph_, seed, biases) {
    const Expr x = graph_.input("x", {DType::float64, Shape::of(net.input)});
    Expr y = x;
    for (const Layer& layer : net.layers) y = layer.add(builder_, y);
    const std::int64_t scores = y.shape().count().factor;
    Question question;
    question.output = y;
    question.explained = {x};
    question.seed = Question::Seed::tensor;
    question.seed_tensor = graph_.input("seed", {DType::float64, Shape{1, scores}});
    const Analysis analysis = analyze(library, call, question, operators, samplers);
    std::vector<Expr> outputs;
    if (with_flow) outputs = flow_.emplace(analysis).expressions();
    outputs.push_back(analysis.attributions[0]);
    if (!analysis.totals.empty()) {
      const Expr total = analysis.totals[0].expected;
      total_.emplace(Program::compile(std::span(&total, 1)));
    }
    const std::vector<Expr> nodes = topological_order(analysis.attributions);
    has_loop_ = std::any_of(nodes.begin(), nodes.end(), [](Expr node) { return node.is("reduce_samples"); });
    program_.emplace(Program::compile(outputs));
    const Expr flat = flatten(y);
    forward_.emplace(Program::compile(std::span(&flat, 1)));
    value_ = builder_.values(net.input);
    one_ = builder_.values({1, scores});
    other_ = builder_.values({1, scores});
  }

  /// Does what reaches the input come near the score's difference?
  bool comes_near() {
    return total_ &&
           std::abs(total_->run({{"x", value_}, {"seed", one_}})[0].at(0) - sum_of(attribution(one_))) <=
               0.02 * (size_of(one_) + size_of(attribution(one_)));
  }

  /// What is wrong, or nothing.
  std::optional<std::string> broken(std::string_view property) {
    if (property == "linear") return linear();
    if (property == "positive") return positive();
    if (property == "adjoint") return adjoint();
    if (property == "completes") return completes();
    return conserves();
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
    if (size_of(mixed(1, expected, -1, found)) <= tolerance * (size_of(expected) + 1e-3)) return std::nullopt;
    return fmt::format("{}: 2 A(s) - 3 A(t) is {} but A(2 s - 3 t) is {}", on(seed), text_of(expected),
                       text_of(found));
  }

  std::optional<std::string> positive() {
    Tensor seed = one_;
    for (double& value : seed.mutable_values<double>()) value = std::abs(value);
    const Tensor found = attribution(seed);
    const double least = *std::min_element(found.values<double>().begin(), found.values<double>().end());
    if (least >= -tolerance * size_of(found)) return std::nullopt;
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
    if (std::abs(expected - found) <= tolerance * (std::abs(expected) + size_of(map) + 1e-3) * 10)
      return std::nullopt;
    return fmt::format("{}: along d = {} the score changes by {:.6g} but A . d is {:.6g}", on(one_),
                       text_of(direction), expected, found);
  }

  /// A sum over few steps is close at best.
  std::optional<std::string> completes() {
    if (!total_) return "it has neither a world `base` nor a parameter `baseline` that would say less what";
    const Tensor found = attribution(one_);
    const double expected = total_->run({{"x", value_}, {"seed", one_}})[0].at(0), reached = sum_of(found);
    if (std::abs(expected - reached) <= (has_loop_ ? 0.2 : tolerance) * (std::abs(expected) + size_of(found)))
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
    if (std::abs(rest) <= tolerance * scale) return std::nullopt;
    std::string text = fmt::format(
        "{}: {:.6g} comes in and {:.6g} reaches the input: biases take {:.4g}, stabilisers {:.4g}, units to "
        "which nothing contributes {:.4g}, and {:.4g} is lost beside them",
        on(one_), seed, reached, bias, stabiliser, empty, rest);
    return text;
  }

  Graph graph_{DType::float64};
  Builder builder_;
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

std::vector<PropertyTrial> try_properties(const RuleLibrary& library, std::string_view analyzer,
                                          const Operators& operators, const Samplers& samplers) {
  const AnalyzerDefinition& definition = library.analyzer(analyzer);
  std::vector<PropertyTrial> result;
  for (const std::string& property : definition.properties)
    result.push_back({.property = property, .holds = true, .networks = 0, .network = {}, .what = {}});
  if (result.empty()) return result;
  const bool with_flow = std::find(definition.properties.begin(), definition.properties.end(), "conserves") !=
                         definition.properties.end();
  const AnalyzerCall call{definition.name, {{"allow_unmatched", 1.0}}};
  const std::optional<AnalyzerCall> finer = refined(definition, call);
  for (const Net& net : nets())
    for (const bool biases : {false, true})
      for (const std::uint64_t seed : {1, 2, 3, 4, 5}) {
        std::optional<Trial> trial;
        try {
          trial.emplace(library, call, net, seed, biases, with_flow, operators, samplers);
          for (PropertyTrial& told : result) {
            if (!told.holds) continue;
            ++told.networks;
            if (auto what = trial->broken(told.property)) {
              // A sum over steps comes to an integral, the nearer the more there are.
              if (told.property == "completes" && finer &&
                  Trial(library, *finer, net, seed, biases, false, operators, samplers).comes_near())
                continue;
              told.holds = false;
              told.network = net.text(biases);
              told.what = std::move(*what);
            }
          }
        } catch (const Error&) {
          continue;  // a layer that the analyzer refuses
        }
      }
  return result;
}

}  // namespace rulegrad
