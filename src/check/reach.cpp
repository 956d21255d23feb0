#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <set>

#include "rulegrad/rule/rule_text.hpp"

#include "check/items.hpp"
#include "check/pattern_checks.hpp"
#include "rewrite/classes.hpp"
#include "rewrite/match.hpp"

/// Which rules can never be reached because an earlier one claims all that they match. Structural: a rule
/// with a guard claims nothing for sure.
namespace rulegrad::checking {
namespace {

/// Does pattern `a` of one rule match whatever pattern `b` of another matches?
class Subsumption {
 public:
  Subsumption(const Checking& checking, const Rule& a, const Rule& b) : checking_(checking), a_(a), b_(b) {}

  bool patterns(TermId a, TermId b) {
    a = strip(a_.terms, a);
    b = strip(b_.terms, b);
    const Term& general = a_.terms[static_cast<std::size_t>(a)];
    const Term& special = b_.terms[static_cast<std::size_t>(b)];
    switch (general.kind) {
      case TermKind::wildcard:
        return true;
      case TermKind::variable: {
        if (checking_.names_operation(general.name))
          return names_operation(special) && covers_all(general.name, special.name);
        const auto [entry, fresh] = stands_for_.emplace(general.name, b);
        // Twice the same variable: the later pattern must ask for the same expression twice as well.
        return fresh || (entry->second != no_term && same_variable(entry->second, b));
      }
      case TermKind::number:
        return special.kind == TermKind::number && special.number == general.number;
      case TermKind::call:
        return call(general, special);
      default:
        return false;
    }
  }

  bool operands(const Term& general, const Term& special, bool swapped) {
    const bool anything = special.kind == TermKind::variable || ellipsis(b_.terms, special);
    const std::size_t named = ellipsis(a_.terms, general) ? 0 : general.args.size();
    const std::size_t given = anything ? 0 : special.args.size();
    for (std::size_t i = 0; i < named; ++i) {
      if (i < given) {
        if (!patterns(general.args[i], special.args[swapped ? 1 - i : i])) return false;
      } else if (!anything_goes(general.args[i]) || !always_has(special.name, named)) {
        return false;
      }
    }
    return std::all_of(general.named.begin(), general.named.end(), [&](const auto& attribute) {
      return std::any_of(special.named.begin(), special.named.end(), [&](const auto& other) {
        return other.first == attribute.first &&
               equal_term(a_.terms, attribute.second, b_.terms, other.second);
      });
    });
  }

  [[nodiscard]] bool covers_all(std::string_view general, std::string_view special) const {
    if (general == special) return true;
    const auto wide = checking_.covered(general), narrow = checking_.covered(special);
    return !narrow.empty() && std::all_of(narrow.begin(), narrow.end(), [&](const OpSchema* op) {
      return covers_always(general, *op) && std::find(wide.begin(), wide.end(), op) != wide.end();
    });
  }

  [[nodiscard]] bool commutative(std::string_view name) const {
    const OpSchema* op = checking_.op(name);
    return op != nullptr && op->commutative && op->operands.size() == 2;
  }

 private:
  static TermId strip(const Terms& terms, TermId id) {
    while (terms[static_cast<std::size_t>(id)].kind == TermKind::label)
      id = terms[static_cast<std::size_t>(id)].args[0];
    return id;
  }
  static bool ellipsis(const Terms& terms, const Term& call) {
    return call.args.size() == 1 && terms[static_cast<std::size_t>(call.args[0])].kind == TermKind::ellipsis;
  }
  [[nodiscard]] bool names_operation(const Term& term) const {
    return (term.kind == TermKind::call || term.kind == TermKind::variable) &&
           checking_.names_operation(term.name);
  }
  [[nodiscard]] bool same_variable(TermId a, TermId b) const {
    const Term &first = b_.terms[static_cast<std::size_t>(a)],
               &second = b_.terms[static_cast<std::size_t>(b)];
    return first.kind == TermKind::variable && second.kind == TermKind::variable &&
           first.name == second.name && !checking_.names_operation(first.name);
  }
  /// A wildcard, or a variable that the pattern has not named before.
  [[nodiscard]] bool anything_goes(TermId id) {
    const Term& term = a_.terms[static_cast<std::size_t>(strip(a_.terms, id))];
    if (term.kind == TermKind::wildcard) return true;
    return term.kind == TermKind::variable && !checking_.names_operation(term.name) &&
           stands_for_.emplace(term.name, no_term).second;
  }
  [[nodiscard]] bool always_has(std::string_view name, std::size_t operands) const {
    const auto covered = checking_.covered(name);
    return !covered.empty() && std::all_of(covered.begin(), covered.end(), [&](const OpSchema* op) {
      return !op->variadic() && op->operands.size() >= operands;
    });
  }

  bool call(const Term& general, const Term& special) {
    if (!names_operation(special) || !covers_all(general.name, special.name)) return false;
    const auto before = stands_for_;
    if (operands(general, special, false)) return true;
    stands_for_ = before;
    if (commutative(special.name) && general.args.size() == 2 && special.args.size() == 2 &&
        operands(general, special, true))
      return true;
    stands_for_ = before;
    return false;
  }

  const Checking& checking_;
  const Rule &a_, &b_;
  std::map<std::string, TermId> stands_for_;
};

/// Which operands a rule is for, of an operator that it matches: a position in its pattern, a slot, or all
/// data.
struct Slots {
  enum class Kind { first_data, all_data, every, position, role } kind;
  std::size_t position = 0;
};

Slots slots_of(const Rule& rule) {
  const auto operands = root_operands(rule);
  if (rule.wrt.empty()) return {operands.empty() ? Slots::Kind::all_data : Slots::Kind::first_data};
  for (std::size_t i = 0; i < operands.size(); ++i)
    if (std::find(operands[i].begin(), operands[i].end(), rule.wrt) != operands[i].end())
      return {Slots::Kind::position, i};
  return {Slots::Kind::every};
}

/// Are the slots of `later` among those of `earlier` for this operator? `swapped` where a commutative
/// operator's operands stand the other way round in the two patterns.
bool slots_included(const OpSchema& op, const Rule& earlier, const Rule& later, bool& needs_swap) {
  const Slots a = slots_of(earlier), b = slots_of(later);
  needs_swap = false;
  const auto first_data = [&] {
    std::size_t slot = 0;
    while (slot + 1 < op.operands.size() && op.operand(slot).role != Role::data) ++slot;
    return slot;
  };
  const auto data_only = [&](const Slots& s) {
    return s.kind != Slots::Kind::every &&
           (s.kind != Slots::Kind::position ||
            op.operand(std::min(s.position, op.operands.size() - 1)).role == Role::data);
  };
  // A role's name behind `wrt` asks for that role; any other name stands for whichever operand it is.
  const auto role = [&](const Rule& rule) {
    return root_operands(rule).empty() && !rule.wrt.empty() ? op.position_of(rule.wrt) : std::nullopt;
  };
  if (const auto wanted = role(earlier)) {
    const auto other = role(later);
    return other ? *other == *wanted
                 : b.kind == Slots::Kind::position && b.position == *wanted && !op.commutative;
  }
  switch (a.kind) {
    case Slots::Kind::every:
      return true;
    case Slots::Kind::all_data:
      return role(later) ? op.operand(*role(later)).role == Role::data : data_only(b);
    case Slots::Kind::first_data:
      if (b.kind == Slots::Kind::first_data) return true;
      return b.kind == Slots::Kind::position && b.position == first_data() && !op.commutative;
    default:
      break;
  }
  if (b.kind == Slots::Kind::first_data) return a.position == first_data();
  if (b.kind != Slots::Kind::position) return false;
  if (a.position == b.position) return true;
  needs_swap = op.commutative && op.operands.size() == 2;
  return needs_swap;
}

}  // namespace

bool shadows(const Checking& checking, const Rule& earlier, const Rule& later) {
  if (earlier.level != later.level || earlier.guard != no_term) return false;
  Subsumption subsumption(checking, earlier, later);
  if (later.level == RuleLevel::forward) return subsumption.patterns(earlier.pattern, later.pattern);
  const std::string root = root_name(later.terms, later.pattern);
  const Term* general = root_call(earlier.terms, earlier.pattern);
  const Term* special = root_call(later.terms, later.pattern);
  const auto covered = checking.covered(root);
  if (covered.empty()) {
    // Everything, or a composite operator: only a rule for every operand of everything shadows it.
    return !checking.names_operation(root) && general == nullptr &&
           slots_of(earlier).kind == Slots::Kind::all_data && slots_of(later).kind != Slots::Kind::every &&
           subsumption.patterns(earlier.pattern, later.pattern);
  }
  for (const OpSchema* op : covered) {
    bool swapped = false;
    if (!slots_included(*op, earlier, later, swapped)) return false;
    Subsumption pair(checking, earlier, later);
    const bool aligned = general != nullptr && special != nullptr && !later.wrt.empty() && op->commutative &&
                         general->args.size() == 2 && special->args.size() == 2;
    if (aligned
            ? !(pair.covers_all(general->name, special->name) && pair.operands(*general, *special, swapped))
            : swapped || !pair.patterns(earlier.pattern, later.pattern))
      return false;
  }
  return true;
}

namespace {

struct Placed {
  const Rule* rule;
  const RuleSet* set;
};

/// The rules of a set and of the sets it uses, in the order in which they are tried.
/// A set that is used again adds nothing: its rules stand above already.
void flatten(const Checking& checking, const RuleSet& set, std::vector<Placed>& into,
             std::set<const RuleSet*>& seen) {
  if (!seen.insert(&set).second) return;
  for (const Rule& rule : set.rules) into.push_back({&rule, &set});
  for (const TermId id : set.uses)
    if (const RuleSet* used = checking.rule_set(set.terms[static_cast<std::size_t>(id)].name))
      flatten(checking, *used, into, seen);
}

void note_across_sets(Checking& checking, const std::vector<Placed>& rules, std::string_view in,
                      std::map<const Rule*, bool>& said) {
  for (std::size_t later = 0; later < rules.size(); ++later) {
    const bool own = std::any_of(checking.file.rule_sets.begin(), checking.file.rule_sets.end(),
                                 [&](const RuleSet& set) { return &set == rules[later].set; });
    if (!own || said[rules[later].rule]) continue;
    for (std::size_t earlier = 0; earlier < later; ++earlier) {
      if (rules[earlier].set == rules[later].set ||
          !shadows(checking, *rules[earlier].rule, *rules[later].rule))
        continue;
      said[rules[later].rule] = true;
      checking
          .report("R242", rules[later].rule->where,
                  fmt::format("in {} this rule of `{}` never applies: `{}` stands above it and claims all "
                              "that it matches",
                              in, rules[later].set->name, rules[earlier].set->name),
                  "if the rules of this set shall win, `use` it first", Severity::note)
          .notes.push_back({"this rule claims them", rules[earlier].rule->where});
      break;
    }
  }
}

}  // namespace

void check_reach(Checking& checking) {
  for (const RuleSet& set : checking.file.rule_sets)
    for (std::size_t later = 0; later < set.rules.size(); ++later)
      for (std::size_t earlier = 0; earlier < later; ++earlier) {
        if (checking.broken.contains(&set.rules[earlier]) ||
            !shadows(checking, set.rules[earlier], set.rules[later]))
          continue;
        checking
            .report("R240", set.rules[later].where,
                    "this rule can never be reached: a rule above it claims all that it matches",
                    "the first rule that matches wins: move the more special rule up, guard the one above by "
                    "`when`, or leave one of them out")
            .notes.push_back({"this rule claims them", set.rules[earlier].where});
        break;
      }
  std::map<const Rule*, bool> said;
  for (const AnalyzerDefinition& analyzer : checking.file.analyzers) {
    std::vector<Placed> rules;
    std::set<const RuleSet*> seen;
    for (const Use& use : analyzer.uses)
      if (use.selector == no_term)
        if (const RuleSet* set = checking.rule_set(analyzer.terms[static_cast<std::size_t>(use.set)].name))
          flatten(checking, *set, rules, seen);
    note_across_sets(checking, rules, fmt::format("the analyzer `{}`", analyzer.name), said);
  }
  for (const RuleSet& set : checking.file.rule_sets) {
    std::vector<Placed> rules;
    std::set<const RuleSet*> seen;
    flatten(checking, set, rules, seen);
    note_across_sets(checking, rules, fmt::format("the rule set `{}`", set.name), said);
  }
}

}  // namespace rulegrad::checking
