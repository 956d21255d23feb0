#include "recipe/advice.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rulegrad {
namespace {

bool calls(const Rule& rule, std::string_view name) {
  return std::any_of(rule.terms.begin(), rule.terms.end(),
                     [&](const Term& term) { return term.kind == TermKind::call && term.name == name; });
}

/// One operator whose nodes no rule claims.
class Proposing {
 public:
  Proposing(Currency currency, std::span<const Expr> nodes, std::span<const std::size_t> slots,
            const ForwardFacts& facts)
      : currency_(currency), op_(nodes.front().op()), nodes_(nodes), slots_(slots), facts_(facts) {
    // The rules stand before all others: where some of the operator's nodes have a rule, these are for the
    // others, by name.
    const bool others = std::any_of(facts.order().begin(), facts.order().end(), [&](Expr node) {
      return &node.op() == &op_ && facts.depends(node) &&
             std::find(nodes.begin(), nodes.end(), node) == nodes.end();
    });
    if (!others) return;
    for (const Expr node : nodes) {
      const std::vector<std::string> names = node.graph().names(node);
      if (!names.empty())
        names_ += fmt::format("{}name(\"{}\")", names_.empty() ? "" : " or ", names.front());
    }
  }

  std::vector<std::string> rules() {
    switch (currency_) {
      case Currency::relevance:
        relevance();
        break;
      case Currency::multipliers:
        multipliers();
        break;
      case Currency::gradient:
        add("grad(y: {op}, g) wrt v => vjp(y, g)");
        break;
    }
    return std::move(rules_);
  }

 private:
  /// `guard`: whether nodes of the operator that other rules claim must be left to these.
  void add(std::string_view form, bool guard = true) {
    std::string text(form);
    if (guard && !names_.empty()) {
      const std::size_t arrow = text.find(" =>");
      text.insert(arrow,
                  text.find(" when ") == std::string::npos ? " when " + names_ : " and (" + names_ + ")");
    }
    for (std::size_t at = text.find("{op}"); at != std::string::npos; at = text.find("{op}"))
      text.replace(at, 4, op_.name);
    if (std::find(rules_.begin(), rules_.end(), text) == rules_.end()) rules_.push_back(std::move(text));
  }

  [[nodiscard]] bool named(std::initializer_list<std::string_view> names) const {
    return std::find(names.begin(), names.end(), op_.name) != names.end();
  }
  [[nodiscard]] bool all_belong(OpClass op_class) const {
    return std::all_of(nodes_.begin(), nodes_.end(),
                       [&](Expr node) { return op_.is(op_class, node.attributes()); });
  }
  [[nodiscard]] bool is_data(std::size_t slot) const { return op_.operand(slot).role == Role::data; }
  [[nodiscard]] std::size_t data_operands() const {
    return static_cast<std::size_t>(
        std::count_if(op_.operands.begin(), op_.operands.end(),
                      [](const OperandSpec& spec) { return spec.role == Role::data; }));
  }
  /// How many data operands of the node depend on what is explained.
  [[nodiscard]] std::size_t dependent(Expr node) const {
    std::size_t count = 0;
    for (std::size_t slot = 0; slot < node.operands().size(); ++slot)
      count += is_data(slot) && facts_.depends(node.operand(slot)) ? 1 : 0;
    return count;
  }
  [[nodiscard]] bool some_alone() const {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](Expr node) { return dependent(node) < 2; });
  }
  [[nodiscard]] bool some_together() const {
    return std::any_of(nodes_.begin(), nodes_.end(), [&](Expr node) { return dependent(node) > 1; });
  }
  [[nodiscard]] bool same_shape() const {
    return std::all_of(nodes_.begin(), nodes_.end(), [&](Expr node) {
      for (std::size_t slot = 0; slot < node.operands().size(); ++slot)
        if (is_data(slot)) return node.operand(slot).shape() == node.shape();
      return false;
    });
  }

  void relevance() {
    std::vector<std::string_view> roles;
    bool data = false;
    for (const std::size_t slot : slots_) {
      if (is_data(slot))
        data = true;
      else if (const std::string& role = op_.operand(slot).name;
               std::find(roles.begin(), roles.end(), role) == roles.end())
        roles.push_back(role);
    }
    for (const std::string_view role : roles) parameter(role);
    if (data) shares();
  }

  /// A computed weight beside data that take all of the relevance gets none of it.
  void parameter(std::string_view role) {
    const bool all_in_data =
        std::all_of(nodes_.begin(), nodes_.end(), [&](Expr node) { return dependent(node) > 0; });
    add(all_in_data ? fmt::format("grad({{op}}, _) wrt {} => 0", role)
                    : fmt::format("grad(y: {{op}}, r) wrt {0} => {0} * vjp(y, over(r, y))", role));
  }

  void shares() {
    if (all_belong(OpClass::affine)) return add("grad(y: {op}(x), r) => x * vjp(y, r / stabilize(y, 1e-6))");
    if (all_belong(OpClass::routing) || named({"where", "max", "min", "max_pool", "amax", "amin"}))
      return add("grad(y: {op}, r) => vjp(y, r)");
    if (named({"add", "sub"})) return add("grad(y: {op}, r) wrt v => v * vjp(y, over(r, y))");
    if (op_.name == "mul") {
      if (some_alone()) add("grad(a * c, r) wrt a when not depends(c) => r", false);
      if (some_together()) add("grad(a * b, r) wrt a when depends(b) => r / 2", false);
      return;
    }
    if (all_belong(OpClass::linear) && data_operands() == 1 && !op_.variadic())
      return add("grad(y: {op}(x), r) => x * vjp(y, over(r, y))");
    if (all_belong(OpClass::linear) && data_operands() == 2 && op_.operands.size() == 2 && !op_.variadic()) {
      if (some_alone()) {
        add("grad(y: {op}(a, b), r) wrt a when not depends(b) => a * vjp(y, over(r, y))", false);
        add("grad(y: {op}(a, b), r) wrt b when not depends(a) => b * vjp(y, over(r, y))", false);
      }
      if (some_together()) {
        add("grad(y: {op}(a, b), r) wrt a when depends(b) => a * vjp(y, over(r, y)) / 2", false);
        add("grad(y: {op}(a, b), r) wrt b when depends(a) => b * vjp(y, over(r, y)) / 2", false);
      }
      return;
    }
    if (all_belong(OpClass::linear)) return add("grad(y: {op}, r) wrt v => v * vjp(y, over(r, y))");
    if (op_.is(OpClass::elementwise) && data_operands() == 2 && op_.operands.size() == 2) {
      // The second operand counts as a measure of the first: it has relevance only where the first depends on
      // nothing.
      if (some_alone()) add("grad({op}(a, c), r) wrt c when not depends(a) => r");
      add("grad({op}(a, _), r) wrt a => r");
      return add("grad({op}(_, c), _) wrt c => 0");
    }
    if (data_operands() == 1 && same_shape()) return add("grad({op}(x), r) => r");
    add("grad(y: {op}, r) => vjp(y, r)  # a gradient: relevance is not kept");
  }

  void multipliers() {
    if (decision_below(nodes_, facts_))
      return add(
          "grad(y: {op}, m) wrt v => vjp(y, m)  # without what the decision changes: differences are not "
          "kept");
    if (op_.name == "mul") return add("grad(a * b, m) wrt a => m * (b + b@base) / 2");
    if (op_.name == "div") {
      add("grad(a / c, m) wrt a => m * (1 / c + 1 / c@base) / 2");
      return add("grad(a / c, m) wrt c => -(m * (a + a@base) / (2 * c * c@base))");
    }
    if (all_belong(OpClass::linear) && data_operands() == 2 && op_.operands.size() == 2 && !op_.variadic() &&
        !named({"add", "sub"})) {
      add("grad(y: {op}(a, b), m) wrt a => vjp(y(b = (b + b@base) / 2), m)");
      return add("grad(y: {op}(a, b), m) wrt b => vjp(y(a = (a + a@base) / 2), m)");
    }
    if (all_belong(OpClass::routing) || all_belong(OpClass::linear) || named({"add", "sub"}))
      return add("grad(y: {op}, m) wrt v => vjp(y, m)");
    if (op_.is(OpClass::elementwise) && op_.operands.size() == 1)
      return add("grad(y: {op}(x), m) => where(x == x@base, vjp(y, m), m * over(y - y@base, x - x@base))");
    add("grad(y: {op}, m) wrt v => vjp(y, m)  # a gradient: differences are not kept");
  }

  Currency currency_;
  const OpSchema& op_;
  std::span<const Expr> nodes_;
  std::span<const std::size_t> slots_;
  const ForwardFacts& facts_;
  std::string names_;  ///< a condition; empty where the rules are for all nodes of the operator
  std::vector<std::string> rules_;
};

}  // namespace

Expr decision_below(std::span<const Expr> nodes, const ForwardFacts& facts) {
  for (const Expr node : nodes)
    for (const Expr operand : node.operands())
      if (facts.changes(operand) && !facts.depends(operand)) return operand;
  return {};
}

Currency currency_of(const RuleList& rules) {
  bool relevance = false, multipliers = false, divides = false;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const Rule& rule = *rules[i].rule;
    if (rule.level == RuleLevel::forward) continue;
    const std::string& set = rules[i].set;
    relevance = relevance || set.starts_with("lrp.") || set.find(".lrp.") != std::string::npos ||
                calls(rule, "stabilize");
    const bool worlds = std::any_of(rule.terms.begin(), rule.terms.end(),
                                    [](const Term& term) { return term.kind == TermKind::world; });
    multipliers = multipliers || set.starts_with("deeplift.") || (worlds && calls(rule, "over"));
    divides = divides || calls(rule, "over");
  }
  if (relevance) return Currency::relevance;
  if (multipliers) return Currency::multipliers;
  return divides ? Currency::relevance : Currency::gradient;
}

std::vector<std::string> proposed_rules(Currency currency, std::span<const Expr> nodes,
                                        std::span<const std::size_t> slots, const ForwardFacts& facts) {
  return Proposing(currency, nodes, slots, facts).rules();
}

}  // namespace rulegrad
