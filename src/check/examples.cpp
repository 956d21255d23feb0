#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "check/items.hpp"
#include "check/rule_examples.hpp"
#include "ops/families.hpp"
#include "rewrite/classes.hpp"
#include "rewrite/evaluate_term.hpp"
#include "rewrite/match.hpp"
#include "rewrite/rule_list.hpp"

/// Every rule is applied to examples of the operators that it matches: what it gives must fit the operand it
/// is for.
namespace rulegrad::checking {
namespace {

/// Stand in for all operators where a rule matches any.
constexpr std::string_view usual_operators[] = {"relu", "dense", "conv", "add", "reshape"};

struct Failure {
  std::string code;
  SourceRange where;
  std::string message;
  std::string help;
  std::string example;
};

/// `dense(x [3, 4], w [5, 4], b [5]) [3, 5]`
std::string text_of(Expr node) {
  std::string text = node.op().name + "(";
  for (std::size_t i = 0; i < node.operands().size(); ++i) {
    const Expr operand = node.operand(i);
    const bool leaf = operand.operands().empty();
    text += fmt::format("{}{}{} {}", i == 0 ? "" : ", ", node.op().operand(i).name,
                        leaf ? "" : fmt::format(" = {}(...)", operand.op().name), to_string(operand.shape()));
  }
  const std::string attributes = to_string(node.attributes());
  return fmt::format("{}){} {}", text, attributes.empty() ? "" : " " + attributes, to_string(node.shape()));
}

/// Samples have no names that anyone gave.
std::string without_sample_names(std::string text) {
  for (std::size_t at = text.find(" 'example"); at != std::string::npos; at = text.find(" 'example", at)) {
    const std::size_t end = text.find('\'', at + 2);
    text.erase(at, end == std::string::npos ? std::string::npos : end + 1 - at);
  }
  return text;
}

class SampleChecker {
 public:
  SampleChecker(Checking& checking, const RuleSet& set, const Rule& rule)
      : checking_(checking), set_(set), rule_(rule), vocabulary_(checking.trial_operators(), functions_) {
    functions_ = checking.context.functions;
    for (const Function& function : checking.file.functions) functions_[function.name] = &function;
  }

  void run() {
    if (!runs_alone()) return;
    std::vector<std::pair<const OpSchema*, Failure>> failures;
    for (const OpSchema* op : operators())
      if (auto failure = first_failure(*op)) failures.emplace_back(op, std::move(*failure));
    if (failures.empty()) return;
    const Failure& first = failures.front().second;
    // A rule may be meant for some of the shapes only, above all where it writes extents down.
    const bool broadcast_only = first.code == "R260" && rule_.level == RuleLevel::forward && fitting_ > 0 &&
                                failures.front().first->is(OpClass::elementwise);
    const bool special =
        broadcast_only ||
        (first.code == "R262" && (fitting_ > 0 || asked_ ||
                                  std::any_of(rule_.terms.begin(), rule_.terms.end(),
                                              [](const Term& term) { return term.kind == TermKind::list; })));
    Diagnostic& finding =
        checking_.report(first.code, first.where.line == 0 ? rule_.where : first.where, first.message,
                         first.help, special ? Severity::warning : Severity::error);
    finding.notes.push_back({fmt::format("tried on {}", first.example), {}});
    std::string others;
    for (std::size_t i = 1; i < failures.size(); ++i)
      others += (i == 1 ? "" : ", ") + failures[i].first->name;
    if (!others.empty()) finding.notes.push_back({"it fails for " + others + " too", {}});
  }

 private:
  /// Words that need an analyzer around the rule are tried where they run.
  bool runs_alone() {
    const auto needs_more = [](const Word& word) { return word.kind == WordKind::recipe; };
    for (const Term& term : rule_.terms) {
      if (term.kind != TermKind::call && term.kind != TermKind::variable) continue;
      if (const Word* word = find_word(term.name);
          word != nullptr && term.kind == TermKind::call && needs_more(*word))
        return false;
      if (const Function* function = checking_.function(term.name);
          function != nullptr && term.kind == TermKind::call)
        for (const Word* word : checking_.words_of(*function))
          if (needs_more(*word)) return false;
    }
    return std::none_of(set_.parameters.begin(), set_.parameters.end(), [](const Parameter& p) {
      return p.type == "node" || p.type == "analyzer" || p.type == "sampler";
    });
  }

  [[nodiscard]] std::vector<const OpSchema*> operators() const {
    const std::string root = root_name(rule_.terms, rule_.pattern);
    std::vector<const OpSchema*> result;
    for (const auto& schema : vocabulary_.operators().all())
      if (covers(root, *schema)) result.push_back(schema.get());
    if (result.empty())
      for (const std::string_view name : usual_operators)
        if (const OpSchema* op = vocabulary_.operators().find(name)) result.push_back(op);
    return result;
  }

  std::optional<Failure> first_failure(const OpSchema& op) {
    Graph graph(DType::float64);
    RuleExamples examples(graph, vocabulary_.operators(), rule_);
    std::optional<Failure> first;
    const auto attempt = [&](Expr node, std::size_t slot) {
      if (first && first->code != "R262") return;
      auto failure = try_slot(graph, node, slot);
      if (failure && (!first || failure->code != "R262")) first = std::move(failure);
    };
    for (const Expr node : examples.of(op)) {
      if (rule_.level == RuleLevel::forward) {
        attempt(node, 0);
        continue;
      }
      if (!is_floating(node.dtype())) continue;
      for (std::size_t slot = 0; slot < node.operands().size(); ++slot)
        if (is_floating(node.operand(slot).dtype())) attempt(node, slot);
    }
    return first;
  }

  void bind_parameters(Graph& graph, Scope& scope) {
    const EvaluationHooks no_hooks;
    Evaluator evaluator(graph, vocabulary_, no_hooks);
    Scope values;
    for (const Parameter& parameter : set_.parameters) {
      Value value = 1.0;
      if (parameter.fallback != no_term) {
        value = evaluator.evaluate(set_.terms, parameter.fallback, values);
      } else if (parameter.range) {
        const NumberRange& range = *parameter.range;
        const bool low = std::isfinite(range.low), high = std::isfinite(range.high);
        value = low && high ? (range.low + range.high) / 2
                : low       ? range.low + 1
                : high      ? range.high - 1
                            : 1.0;
      }
      values.bind(parameter.name, value);
      scope.bind(parameter.name, value);
    }
  }

  /// Does the rule's pattern match here? Binds what it names, and the parameters of the set.
  bool match(const Rule& rule, Graph& graph, Expr node, std::size_t slot, Scope& scope) {
    Matcher matcher(vocabulary_, rule.terms, scope);
    if (rule.level == RuleLevel::forward ? !matcher.match(rule.pattern, node)
                                         : !matcher.match_slot(rule.pattern, node, rule.wrt, slot))
      return false;
    bind_parameters(graph, scope);
    return true;
  }

  /// The guard with this answer to every question about the graph around the example: only what the example
  /// itself says counts.
  bool guard_holds(const Rule& rule, Graph& graph, Expr node, std::size_t slot, Scope scope, double fact) {
    if (rule.guard == no_term) return true;
    EvaluationHooks hooks;
    bool asked = false;
    hooks.fact = [&](const Term& term, const Meaning&, std::span<const Value>) -> std::optional<Value> {
      if (term.kind == TermKind::variable && checking_.names_operation(term.name))
        return covers_node(term.name, node) ? 1.0 : 0.0;
      asked = asked_ = true;
      return fact;
    };
    Evaluator evaluator(graph, vocabulary_, hooks);
    evaluator.set_match(node, slot);
    try {
      return evaluator.evaluate_condition(rule.terms, rule.guard, scope);
    } catch (const Error&) {
      // Built upon such an answer (`producer(x) is add`) it can be either.
      if (asked) return fact != 0;
      throw;
    }
  }

  /// Is the example claimed by a rule above this one, wherever it stands?
  bool claimed_above(Graph& graph, Expr node, std::size_t slot) {
    for (const Rule& earlier : set_.rules) {
      if (&earlier == &rule_) return false;
      if (earlier.level != rule_.level) continue;
      try {
        Scope scope;
        if (match(earlier, graph, node, slot, scope) && guard_holds(earlier, graph, node, slot, scope, 1) &&
            guard_holds(earlier, graph, node, slot, scope, 0))
          return true;
      } catch (const Error&) {
        // That rule is told about where it stands.
      }
    }
    return false;
  }

  std::optional<Failure> try_slot(Graph& graph, Expr node, std::size_t slot) {
    EvaluationHooks hooks;
    const Type& operand = rule_.level == RuleLevel::forward ? node.type() : node.operand(slot).type();
    const auto leaf = [&](const Type& type) {
      return graph.input(fmt::format("sample_{}", leaves_++), type);
    };
    hooks.vjp = [&](Expr operation, std::size_t at, Expr cotangent) {
      const Type& type = operation.operand(at).type();
      return graph.make(vjp_schema(), {operation, cotangent},
                        SlotAttributes{static_cast<std::int64_t>(at), type.dtype, type.shape});
    };
    hooks.aux = [&](Expr, const std::string&, Expr like) { return leaf(like.type()); };
    // Another world has the same operations.
    hooks.world = [](const Term&, const std::function<Value()>& value) { return value(); };
    hooks.diff = [&](Expr, Expr x, Expr) -> Value { return leaf(x.type()); };
    Evaluator evaluator(graph, vocabulary_, hooks);
    evaluator.set_match(node, slot);
    evaluator.set_next([&](Expr) -> Value { return leaf(operand); });
    SourceRange where;
    const SourceRange& result_where = rule_.terms[static_cast<std::size_t>(rule_.result)].where;
    try {
      Scope scope;
      if (!match(rule_, graph, node, slot, scope) || claimed_above(graph, node, slot)) return std::nullopt;
      if (rule_.guard != no_term) where = rule_.terms[static_cast<std::size_t>(rule_.guard)].where;
      if (!guard_holds(rule_, graph, node, slot, scope, 1) &&
          !guard_holds(rule_, graph, node, slot, scope, 0))
        return std::nullopt;
      where = result_where;
      if (rule_.level != RuleLevel::forward && rule_.cotangent != "_")
        scope.bind(rule_.cotangent, leaf(node.type()));
      const Value value = evaluator.evaluate_body(rule_.terms, rule_.lets, rule_.result, scope);
      auto failure = judge(value, node, slot, operand, result_where);
      fitting_ += failure ? 0 : 1;
      return failure;
    } catch (const TermError& error) {
      if (error.refused()) return std::nullopt;
      return Failure{"R262",
                     error.where(),
                     fmt::format("this cannot be computed: {}", without_sample_names(error.message())),
                     {},
                     text_of(node)};
    } catch (const Error& error) {
      return Failure{"R262",
                     where,
                     fmt::format("this cannot be computed: {}", without_sample_names(error.what())),
                     {},
                     text_of(node)};
    }
  }

  std::optional<Failure> judge(const Value& value, Expr node, std::size_t slot, const Type& wanted,
                               const SourceRange& where) const {
    const bool forward = rule_.level == RuleLevel::forward;
    const std::string target = forward ? fmt::format("{}, which it replaces, is", node.op().name)
                                       : fmt::format("the operand `{}` of {}, which it is for, is",
                                                     node.op().operand(slot).name, node.op().name);
    if (std::holds_alternative<double>(value)) return std::nullopt;
    const auto* expr = std::get_if<Expr>(&value);
    if (expr == nullptr)
      return Failure{"R262",
                     where,
                     fmt::format("the result is {}, which is no value of the network", describe(value)),
                     {},
                     text_of(node)};
    if (constant_value(*expr) == 0.0) return std::nullopt;
    if (expr->dtype() != wanted.dtype)
      return Failure{
          "R261", where,
          fmt::format("the result is {} but {} {}", to_string(expr->type()), target, to_string(wanted)),
          expr->dtype() == DType::boolean ? "choose by a condition with `where(condition, a, b)`"
                                          : std::string(),
          text_of(node)};
    const auto wide = broadcast(expr->shape(), wanted.shape);
    if (forward ? expr->shape() == wanted.shape : wide && wide->dims() == wanted.shape.dims())
      return std::nullopt;
    if (!forward && rule_.level == RuleLevel::grad && spread_by(node, wanted.shape, expr->shape()))
      return std::nullopt;
    std::string help;
    if (forward && node.op().is(OpClass::elementwise))
      help =
          "guard it by `when shape(x) == shape(y)`, with `y:` before the pattern, if it is meant for "
          "operands that are not spread";
    if (!forward)
      help = expr->shape() == node.shape()
                 ? fmt::format(
                       "this is the shape of the operation itself: `vjp(y, ...)`, with `y:` before the "
                       "pattern, takes it back to `{}`",
                       node.op().operand(slot).name)
                 : "what a gradient rule gives must have the shape of the operand, or spread to it";
    return Failure{"R260", where,
                   fmt::format("the result has the shape {} but {} {}", to_string(expr->shape()), target,
                               to_string(wanted.shape)),
                   std::move(help), text_of(node)};
  }

  Checking& checking_;
  const RuleSet& set_;
  const Rule& rule_;
  Functions functions_;
  Vocabulary vocabulary_;
  int leaves_ = 0;
  bool asked_ = false;  ///< does its guard ask for facts about the graph?
  int fitting_ = 0;     ///< examples on which the rule gave what it must
};

}  // namespace

void check_on_examples(Checking& checking, const RuleSet& set, const Rule& rule) {
  SampleChecker(checking, set, rule).run();
}

}  // namespace rulegrad::checking
