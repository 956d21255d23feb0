#include "rulegrad/passes/simplify.hpp"

#include <unordered_map>

#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/node_map.hpp"
#include "expr/walk.hpp"
#include "passes/intervals.hpp"
#include "passes/simplifier_rules.hpp"
#include "passes/support.hpp"
#include "rewrite/canonize.hpp"
#include "rewrite/language_words.hpp"

namespace rulegrad {
namespace {

/// The rules of one of the simplifier's sets, in the order of the file.
RuleList rules_of(std::string_view wanted) {
  RuleList list;
  const auto no_parameters = std::make_shared<const Scope>();
  for (const auto& [path, text] : simplifier_rules()) {
    const auto file = std::make_shared<const RuleFile>(parse_rules(text, std::string(path)));
    for (const RuleSet& set : file->rule_sets)
      if (set.name == wanted)
        for (const Rule& rule : set.rules)
          list.add({std::shared_ptr<const Rule>(file, &rule), set.name, no_parameters, {}});
  }
  return list;
}

const RuleList& exact_rules() {
  static const RuleList list = rules_of("simplify.exact");
  return list;
}
const RuleList& rounding_rules() {
  static const RuleList list = rules_of("simplify.rounding");
  return list;
}

/// Does the user decide something by the operand: by its sign, its order, or whether it is 0? A divisor that
/// is not 0 stays so.
bool decides(Expr user, std::size_t position) {
  const Asks asks = user.op().asks_of(user, position);
  return asks != Asks::nothing && asks != Asks::divisor;
}

/// Nodes below the outputs that no decision depends on.
NodeMap<bool> undecided_below(std::span<const Expr> outputs) {
  const std::vector<Expr> order = topological_order(outputs);
  NodeMap<bool> undecided(order.size());
  for (const Expr e : order) undecided.emplace(e, true);
  for (auto user = order.rbegin(); user != order.rend(); ++user)
    for (std::size_t i = 0; i < user->operands().size(); ++i)
      if (!undecided.at(*user) || decides(*user, i)) undecided[user->operand(i)] = false;
  return undecided;
}

/// Constants of the program: static, and no input or sample below them.
class Fixed {
 public:
  bool of(Expr root) {
    // Asked at every sum: what is below one that is known is not walked again.
    post_order(
        root, [&](Expr e) { return known_.contains(e); }, [](Expr) { return false; },
        [&](Expr e) {
          const bool leaf = is_input(e) || e.is("sample_index") || e.is("batch_index");
          bool fixed = !leaf && e.shape().static_dims().has_value();
          for (const Expr operand : e.operands()) fixed = fixed && known_.at(operand);
          known_.emplace(e, fixed);
        });
    return known_.at(root);
  }

 private:
  NodeMap<bool> known_;
};

bool same_form(Expr u, Expr v) {
  if (u.op().name != v.op().name || u.attributes() != v.attributes() ||
      u.operands().size() != v.operands().size())
    return false;
  return u.type() == v.type() && u.operand(1).type() == v.operand(1).type();
}

class Facts {
 public:
  /// For rules that ask what is undecided: the outputs that they are applied to.
  explicit Facts(std::span<const Expr> outputs = {}) {
    if (!outputs.empty()) undecided_ = undecided_below(outputs);
  }

  std::optional<Value> answer(const Meaning& meaning, std::span<const Value> arguments) {
    if (meaning.word == nullptr || meaning.word->kind != WordKind::simplifier) return std::nullopt;
    const std::string_view name = meaning.word->name;
    const auto node = [&](std::size_t i) { return std::get<Expr>(arguments[i]); };
    if (name == "vanishes") return truth(vanishes_below(node(0), node(1)));
    if (name == "same_form") return truth(same_form(node(0), node(1)));
    if (name == "fixed") return truth(!std::holds_alternative<Expr>(arguments[0]) || fixed_.of(node(0)));
    // What was made since then has users that are not known yet.
    if (name == "undecided") return truth(undecided_.contains(node(0)) && undecided_.at(node(0)));
    return truth(interval(arguments[0]).low >= interval(arguments[1]).high);
  }

 private:
  static Value truth(bool condition) { return condition ? 1.0 : 0.0; }
  Interval interval(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) return {*number, *number};
    return intervals_.of(std::get<Expr>(value));
  }

  Intervals intervals_;
  Fixed fixed_;
  NodeMap<bool> undecided_;
};

void apply(const RuleList& rules, Facts facts, Simplified& result) {
  static const Functions no_functions;
  ForwardRewriting how;
  how.move_names = false;
  how.fact = [&](const Term&, const Meaning& meaning, std::span<const Value> arguments) {
    return facts.answer(meaning, arguments);
  };
  Canonized done =
      canonize(result.outputs[0].graph(), result.outputs, rules, Operators::builtin(), no_functions, how);
  result.outputs = std::move(done.outputs);
  result.rewrites.insert(result.rewrites.end(), done.rewrites.begin(), done.rewrites.end());
  std::unordered_map<Expr, Expr> stood_for;
  for (const auto& [before, after] : result.renewed) stood_for.emplace(after, before);
  for (const auto& [before, after] : done.image) {
    if (before == after || after->named) continue;
    if (before->named)
      result.renewed.emplace_back(before, after);
    else if (const auto found = stood_for.find(before); found != stood_for.end())
      result.renewed.emplace_back(found->second, after);
  }
}

}  // namespace

Simplified simplify(std::span<const Expr> outputs, bool rounding) {
  if (outputs.empty()) return {};
  Simplified result{{outputs.begin(), outputs.end()}, {}, {}};
  // What one turn takes from the users of an expression, another may find used once.
  apply(exact_rules(), Facts(), result);
  if (!result.rewrites.empty()) apply(exact_rules(), Facts(), result);
  if (!rounding) return result;
  // A sum of three takes two turns.
  for (std::size_t before = result.rewrites.size() + 1; before != result.rewrites.size();) {
    before = result.rewrites.size();
    apply(rounding_rules(), Facts(result.outputs), result);
  }
  return result;
}

}  // namespace rulegrad
