#include "rulegrad/analyzer.hpp"

#include <fmt/format.h>

#include <charconv>

#include "analysis/recipe.hpp"
#include "analysis/unclaimed.hpp"
#include "autodiff/derivatives.hpp"
#include "autodiff/reverse_walk.hpp"
#include "ops/families.hpp"
#include "rewrite/canonize.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/op_attributes.hpp"
#include "support/text.hpp"

namespace rulegrad {

AnalyzerCall AnalyzerCall::parse(std::string_view text) {
  AnalyzerCall call;
  const std::size_t colon = text.find(':');
  call.name = std::string(text.substr(0, colon));
  std::string_view rest = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view part = rest.substr(0, comma);
    const std::size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == part.size())
      throw Error(ErrorCode::invalid_argument, fmt::format("method '{}': '{}' should read key=value, as in {}:epsilon=0.1", text, part, call.name));
    const std::string_view value = part.substr(equals + 1);
    double number = 0;
    const auto [end, problem] = std::from_chars(value.data(), value.data() + value.size(), number);
    AnalyzerCall::Argument argument = std::string(value);
    if (problem == std::errc() && end == value.data() + value.size()) argument = number;
    call.arguments.emplace_back(std::string(part.substr(0, equals)), std::move(argument));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return call;
}

namespace {

/// Runs one recipe on one graph.
class Analyzing {
 public:
  Analyzing(const RuleLibrary& library, const AnalyzerCall& call, const Question& question, const Operators& operators)
      : library_(library),
        question_(question),
        operators_(operators),
        graph_(question.output.graph()),
        recipe_(resolve_recipe(graph_, operators, library, call)),
        canonized_(canonize(graph_, std::span(&question.output, 1), recipe_.canonizers, operators, library.functions())),
        explained_(images(question.explained)),
        output_(flattened(canonized_.outputs[0])),
        facts_(std::span(&output_, 1), explained_),
        derivatives_(graph_, operators) {}

  Analysis run() {
    Analysis analysis;
    analysis.output = output_;
    for (const auto& rewrite : canonized_.rewrites)
      analysis.canonized.push_back(fmt::format("{} -> {}  ({})", describe(rewrite.before), describe(rewrite.after), rewrite.rule_set));
    analysis.seed = seed();

    const RewriteContext context{graph_, operators_, library_.functions(), facts_};
    EvaluationHooks hooks;
    hooks.vjp = [&](Expr operation, std::size_t slot, Expr g) { return derivatives_.make(operation, slot, g); };
    hooks.diff = [&](Expr e, Expr x, Expr g) { return differentiate(e, x, g); };
    const GradientRules rules(context, recipe_.rules, hooks);
    Unclaimed unclaimed;
    const CloseGradient close = [&](Expr node, std::size_t slot, Expr cotangent) -> std::optional<Expr> {
      if (is_zero(cotangent)) return std::nullopt;
      Step step = start_step(node, slot, cotangent);
      const Type& type = node.operand(slot).type();
      std::optional<Expr> rewritten;
      if (const auto applied = rules.apply(node, slot, cotangent)) {
        const ActiveRule& active = recipe_.rules.rules()[applied->index];
        step.rule_set = active.set;
        step.rule = active.rule->name;
        step.where = active.rule->where;
        rewritten = conform(context, applied->value, type, fmt::format("{}this rule for {}", at_place(step.where), describe(node)), node);
      } else if (recipe_.fallback == Fallback::error) {
        // The walk goes on as the gradient would, so that one error names every such node.
        unclaimed.add(node, slot, rules.nearest(node, slot));
        return derivatives_.close(node, slot, cotangent);
      } else {
        rewritten = fall_back(step, node, slot, cotangent);
      }
      if (rewritten) {
        step.rewritten = *rewritten;
        if (const auto lowered = derivatives_.lower(*rewritten)) step.result = *lowered;
      }
      analysis.steps.push_back(step);
      return step.result ? std::optional(step.result) : std::nullopt;
    };
    const std::pair<Expr, Expr> start{output_, analysis.seed};
    const auto totals = reverse_walk(facts_, operators_, std::span(&start, 1), close);
    if (!unclaimed.empty()) throw Error(ErrorCode::unclaimed, unclaimed.message(recipe_.name, recipe_.rules));
    for (const Expr node : explained_) {
      const auto found = totals.find(node);
      analysis.relevance.push_back(found != totals.end() ? found->second : zeros(node.type()));
      analysis.attributions.push_back(result(node, analysis.relevance.back()));
    }
    return analysis;
  }

 private:
  std::vector<Expr> images(std::span<const Expr> nodes) const {
    std::vector<Expr> result;
    for (const Expr node : nodes) {
      const auto found = canonized_.image.find(node);
      if (found == canonized_.image.end())
        throw Error(ErrorCode::invalid_argument, fmt::format("{} is not below the explained output", describe(node)));
      result.push_back(found->second);
    }
    return result;
  }

  Expr flattened(Expr output) const {
    const Shape& shape = output.shape();
    if (shape.rank() == 2) return output;
    if (shape.rank() == 0)
      throw Error(ErrorCode::shape, fmt::format("the output {} has no batch axis; explain an output of shape [B, ...]", describe(output)));
    Dim scores{1};
    for (std::size_t axis = 1; axis < shape.rank(); ++axis) scores = Dim(scores.factor * shape[axis].factor, scores.batch || shape[axis].batch);
    if (scores.batch)
      throw Error(ErrorCode::shape, fmt::format("the output {} holds the batch outside its first axis", describe(output)));
    return graph_.apply(operators_.at("reshape"), {output}, ShapeAttributes{Shape{shape[0], scores}});
  }

  Expr zeros(const Type& type) const {
    return graph_.apply(operators_.at("fill"), {}, FillAttributes{0, type.dtype, type.shape.with_samples(false)});
  }

  Step start_step(Expr node, std::size_t slot, Expr cotangent) const {
    const Type& type = node.operand(slot).type();
    Step step;
    step.node = node;
    step.slot = slot;
    step.cotangent = cotangent;
    step.gradient = graph_.make(grad_schema(), {node, cotangent},
                                SlotAttributes{static_cast<std::int64_t>(slot), type.dtype, type.shape.with_samples(false)});
    return step;
  }

  std::optional<Expr> fall_back(Step& step, Expr node, std::size_t slot, Expr cotangent) const {
    switch (recipe_.fallback) {
      case Fallback::gradient: step.rule_set = "default gradient"; return derivatives_.make(node, slot, cotangent);
      case Fallback::zero: step.rule_set = "default zero"; return std::nullopt;
      default: break;
    }
    step.rule_set = "default pass";
    if (node.operands().size() != 1 || node.operand(0).shape() != node.shape())
      throw Error(ErrorCode::rule, fmt::format("`default pass` of {} cannot pass {}: passing needs one operand of the node's own shape",
                                               recipe_.name, describe(node)));
    return cotangent;
  }

  /// diff(e, x, g): ordinary reverse differentiation between two expressions.
  Value differentiate(Expr e, Expr x, Expr cotangent) {
    const ForwardFacts facts(std::span(&e, 1), std::span(&x, 1));
    const std::pair<Expr, Expr> start{e, cotangent};
    const auto totals = reverse_walk(facts, operators_, std::span(&start, 1), [&](Expr node, std::size_t slot, Expr g) {
      return derivatives_.close(node, slot, g);
    });
    const auto found = totals.find(x);
    return found == totals.end() ? Value(0.0) : Value(found->second);
  }

  Scope scope_of(const std::shared_ptr<const Scope>& parameters) {
    Scope scope;
    if (parameters)
      for (const auto& [name, value] : parameters->entries()) scope.bind(name, value);
    scope.bind("y", output_);
    scope.bind("target", target());
    return scope;
  }

  /// The index of the explained score of each sample, int64 [B].
  Expr target() {
    if (!target_) target_ = question_.target ? question_.target : graph_.apply(operators_.at("argmax"), {output_}, ArgAttributes{1, false});
    return target_;
  }

  Expr onehot(Expr index) {
    const Dim scores = output_.shape()[1];
    return graph_.apply(operators_.at("one_hot"), {index}, OneHotAttributes{scores.factor, output_.dtype()});
  }

  Value evaluate(const AnalyzerDefinition& definition, TermId term, Scope& scope) {
    EvaluationHooks hooks;
    hooks.fact = [&](const Term& asked, std::span<const Value> arguments) -> std::optional<Value> {
      if (asked.name != "onehot" || arguments.size() != 1) return std::nullopt;
      if (const auto* index = std::get_if<double>(&arguments[0])) return onehot(constant_index(*index));
      return onehot(std::get<Expr>(arguments[0]));
    };
    Evaluator evaluator(graph_, operators_, library_.functions(), hooks);
    return evaluator.evaluate_body(definition.terms, {}, term, scope);
  }

  Expr constant_index(double index) {
    const double scores = static_cast<double>(output_.shape()[1].factor);
    if (!(index >= 0 && index < scores))
      throw Error(ErrorCode::invalid_argument, fmt::format("onehot({}) names no score: the output has {} of them", index, scores));
    return graph_.constant(Tensor::scalar(DType::int64, index).reshaped({1}));
  }

  Expr seed() {
    Value value;
    switch (question_.seed) {
      case Question::Seed::one: value = onehot(target()); break;
      case Question::Seed::value:
        value = graph_.apply(operators_.at("mul"), {onehot(target()), output_});
        break;
      case Question::Seed::tensor: value = question_.seed_tensor; break;
      case Question::Seed::own:
        if (recipe_.seed == nullptr) {
          value = onehot(target());
        } else {
          Scope scope = scope_of(recipe_.seed_parameters);
          value = evaluate(*recipe_.seed, recipe_.seed->seed, scope);
        }
    }
    const RewriteContext context{graph_, operators_, library_.functions(), facts_};
    const auto conformed = conform(context, value, output_.type(), fmt::format("the seed of {}", recipe_.name));
    return conformed ? *conformed : zeros(output_.type());
  }

  Expr result(Expr node, Expr relevance) {
    if (recipe_.result == nullptr) return relevance;
    Scope scope = scope_of(recipe_.result_parameters);
    scope.bind("input", node);
    scope.bind("relevance", relevance);
    const RewriteContext context{graph_, operators_, library_.functions(), facts_};
    const auto value = conform(context, evaluate(*recipe_.result, recipe_.result->result, scope), node.type(),
                               fmt::format("the result of {}", recipe_.name));
    return value ? *value : zeros(node.type());
  }

  const RuleLibrary& library_;
  const Question& question_;
  const Operators& operators_;
  Graph& graph_;
  Recipe recipe_;
  Canonized canonized_;
  std::vector<Expr> explained_;
  Expr output_;
  ForwardFacts facts_;
  Derivatives derivatives_;
  Expr target_;
};

}  // namespace

Analysis analyze(const RuleLibrary& library, const AnalyzerCall& call, const Question& question, const Operators& operators) {
  return Analyzing(library, call, question, operators).run();
}

}  // namespace rulegrad
