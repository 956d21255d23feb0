#include "onnx/raise.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/run/program.hpp"

#include "expr/rebuild.hpp"
#include "onnx/chain_probe.hpp"
#include "rewrite/canonize.hpp"
#include "rewrite/composite.hpp"
#include "rewrite/products.hpp"
#include "rewrite/value_functions.hpp"

namespace rulegrad::io {
namespace {

/// The rules as they are read once: operators of their own, the functions one by one, the forms in order.
struct RaisingRules {
  std::shared_ptr<const RuleFile> file;
  Operators operators;
  std::vector<const Rule*> functions;
  std::unique_ptr<RuleList> forms;
};

constexpr std::string_view function_rules = "raise.functions", step_rules = "raise.forms";

RaisingRules read_rules() {
  RaisingRules result;
  const auto& [path, text] = raising_rules()[0];
  result.file = std::make_shared<const RuleFile>(parse_rules(text, std::string(path)));
  result.operators = Operators::builtin();
  for (const CompositeOp* definition : simplest_first(*result.file)) {
    auto scope = std::make_shared<CompositeScope>();
    scope->operators = result.operators;
    result.operators.add(make_composite(*definition, std::move(scope)));
  }
  return result;
}

const RaisingRules& rules() {
  static const RaisingRules known = [] {
    RaisingRules result = read_rules();
    for (const RuleSet& set : result.file->rule_sets)
      if (set.name == function_rules)
        for (const Rule& rule : set.rules) result.functions.push_back(&rule);
    return result;
  }();
  return known;
}

/// What is more special stands first: a whole normalisation before the steps on the way to it.
const RuleList& step_forms() {
  static const RuleList list = [] {
    RuleList result(rules().operators);
    const auto no_parameters = std::make_shared<const Scope>();
    for (const bool steps : {false, true})
      for (const RuleSet& set : rules().file->rule_sets)
        if (set.name != function_rules && (set.name == step_rules) == steps)
          for (const Rule& rule : set.rules)
            result.add({std::shared_ptr<const Rule>(rules().file, &rule), set.name, no_parameters, {}});
    return result;
  }();
  return list;
}

/// Where functions are compared: closely around 0, where they bend, and far away, where they saturate.
std::vector<double> places() {
  std::vector<double> result;
  for (int i = -160; i <= 160; ++i) result.push_back(i * 0.05);
  for (int i = 0; i <= 12; ++i)
    for (const double sign : {-1.0, 1.0}) result.push_back(sign * std::pow(10.0, -i / 2.0));
  for (const double far : {-30.0, -20.0, -12.0, -10.0, 10.0, 12.0, 20.0, 30.0}) result.push_back(far);
  return result;
}

/// To what the rounding of constants to float32 changes: a function that is 0 at 0 stays so, unlike max(x, 1e-12), which is
/// divided by.
double allowed_difference(double x, double g) {
  return x == 0 && g == 0 ? 0 : 3e-7 * (std::abs(x) + std::abs(g)) + 1e-9;
}

bool same_function(std::span<const double> x, std::span<const double> f, std::span<const double> g) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::abs(f[i] - g[i]) <= allowed_difference(x[i], g[i]))) return false;
  return true;
}

/// The function over another value, in float64; nothing where it takes something that is not one number.
std::optional<Expr> rewritten_over(const ValueFunction& function, Expr x) {
  // A choice may be made of a comparison, which is no number.
  if (!is_floating(function.source.dtype())) return std::nullopt;
  Graph& graph = x.graph();
  NodeMap<bool> inside(function.inside.size());
  for (const Expr node : function.inside) inside.emplace(node, true);
  NodeMap<Expr> image;
  image.emplace(function.source, x);
  for (const Expr node : function.inside)
    for (const Expr operand : node.operands()) {
      if (inside.contains(operand) || image.contains(operand)) continue;
      const auto number = number_everywhere(operand);
      if (!number) return std::nullopt;
      image.emplace(operand,
                    graph.scalar(*number, is_floating(operand.dtype()) ? DType::float64 : operand.dtype()));
    }
  const Rebuild over{no_boundary, [&](Expr node, std::span<const Expr> operands) {
                       // A truth becomes 0 or 1; a number stays what it is.
                       if (node.is("cast") && is_floating(node.dtype()))
                         return is_floating(operands[0].dtype())
                                    ? operands[0]
                                    : graph.apply(node.op(), {operands[0]}, CastAttributes{DType::float64});
                       return graph.apply(node.op(), {operands.begin(), operands.end()}, node.attributes());
                     }};
  const Expr result = over(function.root, image);
  return result.type() == x.type() ? std::optional(result) : std::nullopt;
}

std::vector<Expr> inputs_below(std::span<const Expr> outputs) {
  std::vector<Expr> inputs;
  for (const Expr node : topological_order(outputs))
    if (is_input(node)) inputs.push_back(node);
  return inputs;
}

/// A part of a chain that might be an operator.
struct Candidate {
  std::size_t chain, begin, end;
  std::size_t function;  ///< its place among the different ones
  bool spelt;  ///< of several operations, in no other chain; others only tell what is inside of these
  [[nodiscard]] bool around(const Candidate& other) const {
    return begin <= other.begin && other.end <= end && (begin != other.begin || end != other.end);
  }
};

class KnownFunctions {
 public:
  explicit KnownFunctions(std::span<const Expr> outputs) {
    chains_ = value_chains(ForwardFacts(outputs, inputs_below(outputs)), {}, longest);
  }

  /// What each root of a function that is known becomes: a rule, and the value it starts from.
  std::vector<std::pair<ValueFunction, const Rule*>> found() {
    std::vector<std::pair<ValueFunction, const Rule*>> result;
    collect();
    if (candidates_.empty()) return result;
    const std::vector<std::vector<double>> values = values_of(functions_);
    const std::size_t known = known_.size();
    std::vector<std::size_t> matches;
    for (std::size_t f = 0; f < functions_.size(); ++f) {
      std::size_t match = 0;
      while (match < known && !same_function(places_, values[f], known_[match])) ++match;
      matches.push_back(match);
    }
    for (std::size_t i = 0; i < candidates_.size();) {
      const Candidate& candidate = candidates_[i];
      const std::size_t match = matches[candidate.function];
      ++i;
      if (match == known || !candidate.spelt) continue;
      // What changes hardly anything is no part of the function: the 1e-8 that keeps a logarithm off 0.
      bool said_inside = false;
      for (std::size_t k = i; k < candidates_.size() && candidates_[k].chain == candidate.chain; ++k)
        said_inside =
            said_inside || (candidate.around(candidates_[k]) && matches[candidates_[k].function] == match);
      if (said_inside) continue;
      result.emplace_back(chains_[candidate.chain].part(candidate.begin, candidate.end),
                          rules().functions[match]);
      while (i < candidates_.size() && candidates_[i].chain == candidate.chain &&
             candidates_[i].begin < candidate.end)
        ++i;
    }
    return result;
  }

 private:
  /// Longer parts before shorter ones, from the end of the chain on.
  void collect() {
    for (std::size_t c = 0; c < chains_.size(); ++c) {
      const auto parts = possible_parts(chains_[c]);
      const auto spelt = [&](const auto& part) {
        const bool one =
            part.second == part.first + 1 && chains_[c].steps[part.first].kind != StepKind::nonlinear;
        return part.first < chains_[c].own && !one;
      };
      if (std::none_of(parts.begin(), parts.end(), spelt)) continue;
      for (const auto& [begin, end] : parts)
        if (const auto function = rewritten_over(chains_[c].part(begin, end), x_)) {
          // Networks repeat themselves: what is the same function is computed once.
          const auto [place, fresh] = place_of_.emplace(*function, functions_.size());
          if (fresh) functions_.push_back(*function);
          candidates_.push_back({c, begin, end, place->second, spelt(std::pair(begin, end))});
        }
    }
  }

  /// Where they begin and end: those that a few places do not tell from all functions that are known.
  [[nodiscard]] std::vector<std::pair<std::size_t, std::size_t>> possible_parts(
      const ValueChain& chain) const {
    std::vector<std::pair<std::size_t, std::size_t>> result;
    ChainProbe probe(chain);
    const auto& steps = chain.steps;
    for (std::size_t end = 1; end <= std::min(steps.size(), chain.own + longest); ++end) {
      probe.start(end, places_[probed[0]]);
      bool bends = false;
      for (std::size_t begin = end; begin-- > (end < longest ? 0 : end - longest);) {
        if (!probe.take(begin)) break;
        const StepKind kind = steps[begin].kind;
        bends = bends || kind == StepKind::nonlinear || kind == StepKind::activation ||
                kind == StepKind::exponential;
        if (!bends) continue;
        if (!may_be_known(probed[0], probe.value())) continue;
        const bool elsewhere = std::all_of(std::begin(probed) + 1, std::end(probed), [&](std::size_t place) {
          return may_be_known(place, probe.value_at(begin, end, places_[place]));
        });
        if (elsewhere) result.emplace_back(begin, end);
        (void)probe.value_at(begin, end, places_[probed[0]]);  // to go on from
      }
    }
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first < b.first : a.second > b.second;
    });
    return result;
  }

  /// Could a function that is known have that value at a place? Four times what is allowed: it is not computed by the
  /// same kernels, and may be the middle of bounds.
  [[nodiscard]] bool may_be_known(std::size_t place, std::optional<double> value) const {
    return !value || std::any_of(known_.begin(), known_.end(), [&](const std::vector<double>& function) {
      return std::abs(*value - function[place]) <= 4 * allowed_difference(places_[place], function[place]);
    });
  }

  [[nodiscard]] std::vector<std::vector<double>> values_of(const std::vector<Expr>& functions) const {
    CompileOptions options;
    options.check_finite = false;
    const Tensor at({static_cast<std::int64_t>(places_.size())}, std::span<const double>(places_));
    std::vector<std::vector<double>> result;
    for (const Tensor& values : Program::compile(functions, options).run({{"x", at}}))
      result.emplace_back(values.values<double>().begin(), values.values<double>().end());
    return result;
  }

  /// Those of the rules, computed once.
  [[nodiscard]] const std::vector<std::vector<double>>& known_values() {
    static const std::vector<std::vector<double>> known = [&] {
      std::vector<Expr> expressions;
      const EvaluationHooks no_hooks;
      static const Functions no_functions;
      const Vocabulary vocabulary(rules().operators, no_functions);
      Evaluator evaluator(scratch_, vocabulary, no_hooks);
      for (const Rule* rule : rules().functions) {
        Scope scope;
        scope.bind("x", x_);
        expressions.push_back(evaluator.as_expr(evaluator.evaluate(rule->terms, rule->pattern, scope)));
      }
      return values_of(expressions);
    }();
    return known;
  }

  static constexpr std::size_t longest = 12;
  /// Some of the places: on both sides of 0 and of where activations are cut off.
  static constexpr std::size_t zero = 160, probed[] = {zero + 7, zero - 34, zero + 52, zero - 3};
  std::vector<ValueChain> chains_;
  std::vector<double> places_ = places();
  Graph scratch_{DType::float64};
  Expr x_ = scratch_.input("x", {DType::float64, Shape{static_cast<std::int64_t>(places_.size())}});
  std::vector<Candidate> candidates_;
  std::vector<Expr> functions_;  ///< of the candidates, each once
  NodeMap<std::size_t> place_of_;
  const std::vector<std::vector<double>>& known_ = known_values();
};

void raise_functions(Raised& raised) {
  NodeMap<std::pair<Expr, const Rule*>> by_root;
  for (auto& [function, rule] : KnownFunctions(raised.outputs).found())
    by_root.emplace(function.root, std::pair(function.source, rule));
  if (by_root.size() == 0) return;
  Graph& graph = raised.outputs[0].graph();
  const EvaluationHooks no_hooks;
  static const Functions no_functions;
  const Vocabulary vocabulary(rules().operators, no_functions);
  Evaluator evaluator(graph, vocabulary, no_hooks);
  NodeMap<Expr> image;
  const Rebuild rebuild{
      no_boundary, [&](Expr node, std::span<const Expr> operands) {
        Expr renewed = again(node, operands);
        if (const auto known = by_root.find(node); known != by_root.end()) {
          const auto& [source, rule] = known->second;
          Scope scope;
          scope.bind("x", image.at(source));
          renewed = evaluator.as_expr(evaluator.evaluate(rule->terms, rule->result, scope));
          raised.rewrites.push_back({node, renewed, std::string(function_rules), rule->where});
        }
        hand_on_names(node, renewed);
        return renewed;
      }};
  for (Expr& output : raised.outputs) output = rebuild(output, image);
}

/// Takes back the steps that no normalisation came of.
std::vector<Expr> undone(const Canonized& canonized) {
  NodeMap<Expr> before;
  for (const ForwardRewrite& rewrite : canonized.rewrites)
    if (rewrite.rule_set == step_rules) before.emplace(rewrite.after, rewrite.before);
  // What stood there before may be made of such steps itself, so all of it is walked.
  const Rebuild undoing{no_boundary,
                        [](Expr node, std::span<const Expr> operands) {
                          const Expr renewed = again(node, operands);
                          hand_on_names(node, renewed);
                          return renewed;
                        },
                        [&](Expr node) -> const Expr* {
                          const auto found = before.find(node);
                          return found == before.end() || found->second == node ? nullptr : &found->second;
                        }};
  NodeMap<Expr> image;
  std::vector<Expr> roots;
  for (const Expr output : canonized.outputs) roots.push_back(undoing(output, image));
  return roots;
}

}  // namespace

Raised raise(std::span<const Expr> outputs) {
  Raised raised{{outputs.begin(), outputs.end()}, {}, {}};
  if (outputs.empty()) return raised;
  Canonized regrouped = regroup_products(outputs[0].graph(), outputs, inputs_below(outputs), {});
  raised.outputs = std::move(regrouped.outputs);
  raised.rewrites = std::move(regrouped.rewrites);
  raise_functions(raised);
  static const Functions no_functions;
  Graph& graph = outputs[0].graph();
  ForwardRewriting how;
  how.move_label_names = false;  // what is labelled has another value
  Canonized done = canonize(graph, raised.outputs, step_forms(), rules().operators, no_functions, how);
  if (done.rewrites.empty()) return raised;
  raised.outputs = undone(done);
  for (ForwardRewrite& rewrite : done.rewrites)
    (rewrite.rule_set == step_rules ? raised.steps : raised.rewrites).push_back(std::move(rewrite));
  return raised;
}

}  // namespace rulegrad::io
