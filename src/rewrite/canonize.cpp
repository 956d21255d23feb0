#include "rewrite/canonize.hpp"

#include <boost/container/small_vector.hpp>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/rebuild.hpp"
#include "rewrite/language_words.hpp"

namespace rulegrad {
namespace {

/// A chain of rewrites longer than this at one node is a rule set that does not end.
constexpr int rewrite_limit = 64;

class Canonizer {
 public:
  Canonizer(Graph& graph, const RuleList& rules, const Operators& operators, const Functions& functions,
            const ForwardRewriting& how)
      : graph_(graph), rules_(rules), candidates_(rules), vocabulary_(operators, functions), how_(how) {
    hooks_.fact = [this](const Term& term, const Meaning& meaning, std::span<const Value> arguments) {
      return answer(term, meaning, arguments);
    };
  }

  Canonized run(std::span<const Expr> outputs) {
    if (rules_.size() == 0) {
      for (const Expr node : topological_order(outputs)) result_.image.emplace(node, node);
      result_.outputs.assign(outputs.begin(), outputs.end());
      return std::move(result_);
    }
    const ForwardFacts before(outputs, {});
    uses_.reserve(before.order().size());
    result_.image.reserve(before.order().size());
    std::vector<Expr> images;  // by rank
    images.reserve(before.order().size());
    boost::container::small_vector<Expr, 4> operands;
    for (const Expr node : before.order()) {
      operands.clear();
      for (const Expr operand : node.operands()) operands.push_back(images[before.rank(operand)]);
      images.push_back(rewritten(node, again(node, {operands.data(), operands.size()}), before.uses(node)));
      result_.image.emplace(node, images.back());
    }
    for (const Expr output : outputs) result_.outputs.push_back(images[before.rank(output)]);
    return std::move(result_);
  }

 private:
  /// What the rules make of `image`, which stands for a node that is used so often.
  Expr rewritten(Expr node, Expr image, std::size_t uses) {
    // Merged nodes keep the uses of all they stand for, so that only_use never says too much.
    uses_[image] += uses;
    copy_names(node, image);
    for (int count = 0; auto next = rewrite_once(image); ++count) {
      if (count == rewrite_limit)
        throw Error(ErrorCode::rule, fmt::format("the canonizers rewrite {} without end", describe(node)));
      uses_[*next] += uses;
      copy_names(image, *next);
      image = *next;
    }
    return image;
  }

  void copy_names(Expr from, Expr to) {
    if (from == to || !how_.move_names) return;
    for (const std::string& name : graph_.names(from)) graph_.add_name(to, name);
  }

  std::optional<Expr> rewrite_once(Expr node) {
    Scope& scope = scope_;
    for (const std::size_t index : candidates_.of(node.op())) {
      const ActiveRule& active = rules_[index];
      const Rule& rule = *active.rule;
      scope.shrink(0);
      Matcher matcher(vocabulary_, rule.terms, scope);
      if (!matcher.match(rule.pattern, node)) continue;
      const std::size_t bound = scope.size();
      for (const auto& [name, value] : active.parameters->entries()) scope.bind(name, value);
      asked_ = node;
      Evaluator evaluator(graph_, vocabulary_, hooks_);
      if (rule.guard != no_term && !evaluator.evaluate_condition(rule.terms, rule.guard, scope)) continue;
      std::vector<Expr> replaced;
      for (std::size_t i = 0; i < bound; ++i)
        if (is_label(rule, scope.entries()[i].first))
          replaced.push_back(std::get<Expr>(scope.entries()[i].second));
      Expr result;
      try {
        result = spread(evaluator, evaluator.evaluate_body(rule.terms, rule.lets, rule.result, scope), node);
      } catch (const UnknownAttribute&) {
        continue;
      }
      if (result == node) continue;
      // A constant has no samples; what sums them needs them.
      if (node.shape().sampled() && !result.shape().sampled()) continue;
      if (result.type() != node.type())
        throw Error(ErrorCode::rule,
                    fmt::format("{}this rewrite of {} gives {} instead of {}", at_place(rule.where),
                                describe(node), to_string(result.type()), to_string(node.type())));
      if (how_.move_label_names)
        for (const Expr operation : replaced) copy_names(operation, result);
      result_.rewrites.push_back({node, result, active.set, rule.where});
      return result;
    }
    return std::nullopt;
  }

  Expr spread(Evaluator& evaluator, const Value& value, Expr node) {
    if (const auto* number = std::get_if<double>(&value); number != nullptr && node.shape().rank() > 0)
      return graph_.apply(vocabulary_.operators().at("fill"), {},
                          FillAttributes{*number, node.dtype(), node.shape().with_samples(false)});
    return evaluator.as_expr(value, node.dtype());
  }

  std::optional<Value> answer(const Term& term, const Meaning& meaning, std::span<const Value> arguments) {
    if (term.name == "only_use" && arguments.size() == 1) {
      const Expr* used = std::get_if<Expr>(&arguments[0]);
      return used != nullptr && uses_[*used] <= 1 ? 1.0 : 0.0;
    }
    if (how_.fact)
      if (auto found = how_.fact(term, meaning, arguments)) return found;
    if (term.name == "depends" && arguments.size() == 1) {
      const Expr* asked = std::get_if<Expr>(&arguments[0]);
      return asked != nullptr && depends(*asked) ? 1.0 : 0.0;
    }
    const Word* word = meaning.word;
    if (word != nullptr && word->fact != nullptr && word->name != "name")
      throw TermError(
          ErrorCode::rule,
          fmt::format("`{}` is not known while the forward graph is still being rewritten", word->usage()),
          term.where, true);
    return no_facts_.answer(term, meaning, arguments, asked_);
  }

  /// On an input of the model: which of them is explained does not matter while the graph is rewritten.
  bool depends(Expr asked) {
    post_order(
        asked, [&](Expr e) { return depends_.contains(e); }, no_leaf,
        [&](Expr e) {
          const bool found = is_input(e) || std::ranges::any_of(e.operands(), [&](Expr operand) {
                               return depends_.at(operand);
                             });
          depends_.emplace(e, found && !e.is("const"));
        });
    return depends_.at(asked);
  }

  /// One that a person wrote: those that composite.cpp puts where attributes are asked hold a space.
  static bool is_label(const Rule& rule, std::string_view name) {
    if (name.find(' ') != std::string_view::npos) return false;
    for (const Term& term : rule.terms)
      if (term.kind == TermKind::label && term.name == name) return true;
    return false;
  }

  Graph& graph_;
  const RuleList& rules_;
  const CandidateRules candidates_;
  const Vocabulary vocabulary_;
  const ForwardFacts no_facts_{{}, {}};
  const ForwardRewriting& how_;
  EvaluationHooks hooks_;
  Expr asked_;
  Scope scope_;  // of the rule that is tried
  NodeMap<std::size_t> uses_;
  NodeMap<bool> depends_;
  Canonized result_;
};

}  // namespace

Canonized canonize(Graph& graph, std::span<const Expr> outputs, const RuleList& rules,
                   const Operators& operators, const Functions& functions, const ForwardRewriting& how) {
  return Canonizer(graph, rules, operators, functions, how).run(outputs);
}

}  // namespace rulegrad
