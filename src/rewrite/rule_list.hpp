#pragma once

#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "rulegrad/rewrite/provenance.hpp"

#include "rewrite/evaluate_term.hpp"
#include "rewrite/forward_facts.hpp"
#include "rewrite/match.hpp"

namespace rulegrad {

/// A rule with everything it needs to run: the parameters of its set and the selector of its `use`.
struct ActiveRule {
  std::shared_ptr<const Rule> rule;
  std::string set;
  std::shared_ptr<const Scope> parameters;
  /// Restrictions of the enclosing uses, all of which must hold; terms of the analyzer.
  struct Selector {
    std::shared_ptr<const Terms> terms;
    TermId term = no_term;
    std::shared_ptr<const Scope> parameters;
  };
  std::vector<Selector> selectors;
  bool leads_on = false;  ///< does its right-hand side say `next`? RuleList::add looks
  std::shared_ptr<const RuleOrigin> origin = {};  ///< RuleList::add fills it in
};

/// Why a rule did not apply, for the error about unclaimed nodes.
struct NearMiss {
  const ActiveRule* rule = nullptr;
  std::string why;
};

/// Rules in order; the first that matches wins.
class RuleList {
 public:
  /// Bare names in patterns are operators where `operators`, which must live on, has them.
  explicit RuleList(const Operators& operators = Operators::builtin()) : operators_(&operators) {}

  void add(ActiveRule rule);
  [[nodiscard]] std::size_t size() const { return rules_.size(); }
  [[nodiscard]] const ActiveRule& operator[](std::size_t index) const { return *rules_[index]; }
  /// The same for those who keep it longer than the list.
  [[nodiscard]] const std::shared_ptr<const ActiveRule>& shared(std::size_t index) const {
    return rules_[index];
  }

  /// Indices of the rules whose root can match this operator, in order.
  [[nodiscard]] std::vector<std::size_t> candidates(const OpSchema& op) const;

 private:
  /// What a pattern's root is, as far as it can be told without the operator.
  struct Root {
    std::string name;
    std::optional<OpClass> op_class;
    bool call = false;
  };
  const Operators* operators_;
  std::vector<std::shared_ptr<const ActiveRule>> rules_;
  std::vector<Root> roots_;  ///< by rule
};

/// The same, remembered by operator. For one thread, and for no longer than a graph keeps its operators:
/// lists are shared by threads and outlive operators, whose addresses are then given to others. Nothing may
/// be added to the list meanwhile.
class CandidateRules {
 public:
  explicit CandidateRules(const RuleList& rules) : rules_(rules) {}
  [[nodiscard]] const std::vector<std::size_t>& of(const OpSchema& op) const {
    const auto [entry, fresh] = known_.try_emplace(&op);
    if (fresh) entry->second = rules_.candidates(op);
    return entry->second;
  }

 private:
  const RuleList& rules_;
  mutable std::unordered_map<const OpSchema*, std::vector<std::size_t>> known_;
};

/// What everything that applies rules to one graph shares.
struct RewriteContext {
  Graph& graph;
  const Vocabulary& vocabulary;
  const ForwardFacts& facts;
};

/// A rule's answer.
struct RuleResult {
  std::size_t index = 0;                ///< in the list
  Value value;                          ///< the number 0: nothing flows
  Scope bindings;                       ///< of the pattern, the parameters, the cotangent and the lets
  std::vector<std::size_t> below = {};  ///< indices of the rules that `next` led to, in order
};

/// What provenance keeps of it (provenance.hpp).
struct RuleMatch {
  std::shared_ptr<const ActiveRule> active;
  Scope bindings;
  std::vector<std::shared_ptr<const ActiveRule>> below;
};

/// Applies gradient rules (level grad or vjp) to one slot of one node.
class GradientRules {
 public:
  /// `vjp` and `diff` of right-hand sides are answered by the hooks; `next` by the list itself.
  GradientRules(const RewriteContext& context, const RuleList& rules, EvaluationHooks hooks);
  GradientRules(const GradientRules&) = delete;
  GradientRules& operator=(const GradientRules&) = delete;

  /// The result of the first rule from index `from` on that matches; nothing if none does.
  [[nodiscard]] std::optional<RuleResult> apply(Expr node, std::size_t slot, Expr cotangent,
                                                std::size_t from = 0) const;
  /// The rule that came closest to claiming the slot, and what kept it from it.
  [[nodiscard]] NearMiss nearest(Expr node, std::size_t slot) const;

 private:
  [[nodiscard]] bool selected(const ActiveRule& rule, Expr node) const;
  [[nodiscard]] bool matches(const ActiveRule& rule, Expr node, std::size_t slot, Scope& scope,
                             std::string* why) const;

  RewriteContext context_;
  const RuleList& rules_;
  CandidateRules candidates_;
  EvaluationHooks hooks_;
  EvaluationHooks about_asked_;  ///< of guards and selectors, which ask about the node `asked_`
  mutable Expr asked_;
  /// What each `on` said of each node, by rank: 0 not asked yet, 1 no, 2 yes. The rules of a set share their
  /// selectors.
  mutable std::map<std::tuple<const Terms*, TermId, const Scope*>, std::vector<char>> selected_;
};

/// `value` as an expression of exactly this type: numbers and narrower values are spread, anything else is an
/// Error that begins with `what()` and names both shapes. Nothing for the number 0. Where `node` works
/// element by element and spread the operand over its own shape, what the rule gives in that shape is summed
/// over what the operand was spread to.
[[nodiscard]] std::optional<Expr> conform(const RewriteContext& context, const Value& value, const Type& type,
                                          const std::function<std::string()>& what, Expr node = {});

/// Is `given` the shape of an elementwise operation that spread an operand of the shape `operand` over it?
[[nodiscard]] bool spread_by(Expr node, const Shape& operand, const Shape& given);

}  // namespace rulegrad
