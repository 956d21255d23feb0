#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "check/items.hpp"
#include "check/terms.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

/// Analyzers: what they extend, use and canonize with, their samples, worlds and properties.
namespace rulegrad::checking {
namespace {

/// What an analyzer's expressions may name without binding it. `relevance` may be asked at a node too.
constexpr std::string_view recipe_names[] = {"input", "y", "target", "relevance", "score"};

class AnalyzerChecker {
 public:
  AnalyzerChecker(Checking& checking, const AnalyzerDefinition& analyzer)
      : checking_(checking),
        analyzer_(analyzer),
        names_(&given_),
        recipe_(checking, analyzer.terms, names_, Place::recipe) {
    for (const std::string_view name : recipe_names) given_.bind({std::string(name), BoundBy::recipe, {}});
    selector_names_.bind({"node", BoundBy::recipe, {}});
  }

  void run() {
    bind_parameters(checking_, analyzer_.terms, analyzer_.parameters, names_, analyzer_.name);
    loops();
    extends();
    // They may stand in any order.
    for (const Let& let : analyzer_.lets) {
      if (const Binding* other = names_.find(let.name))
        checking_
            .report("R215", let.where,
                    fmt::format("the name `{}` is taken{}", let.name,
                                other->by == BoundBy::recipe ? ": every analyzer has it" : ""),
                    "give the `let` another name")
            .notes.push_back({"names are not bound anew", {}});
      names_.bind({let.name, BoundBy::let, let.where, Sort::unknown});
    }
    for (const Let& let : analyzer_.lets) (void)recipe_.check(let.value);
    for (const Placement& placement : analyzer_.placements) {
      (void)recipe_.check(placement.node);
      (void)recipe_.check(placement.value);
    }
    if (analyzer_.seed != no_term) (void)recipe_.check(analyzer_.seed);
    if (analyzer_.result != no_term) (void)recipe_.check(analyzer_.result);
    uses();
    worlds();
    properties();
    default_pass();
    for (const Binding& entry : names_.entries()) {
      if (entry.read || entry.name == "_") continue;
      if (entry.by == BoundBy::let)
        checking_.report("R212", entry.where, fmt::format("`{}` is never used", entry.name),
                         "leave the `let` out");
      if (entry.by == BoundBy::sample)
        checking_.report("R211", entry.where,
                         fmt::format("the sample variable `{}` is never used", entry.name),
                         "write `_` for what does not matter");
    }
    report_unread_parameters(checking_, names_, fmt::format("the analyzer `{}`", analyzer_.name));
  }

 private:
  [[nodiscard]] const Term& at(TermId id) const { return analyzer_.terms[static_cast<std::size_t>(id)]; }

  /// The analyzer above, unless a parameter says which.
  [[nodiscard]] const AnalyzerDefinition* above(const AnalyzerDefinition& analyzer) const {
    if (analyzer.extends == no_term) return nullptr;
    return checking_.analyzer(analyzer.terms[static_cast<std::size_t>(analyzer.extends)].name);
  }

  void extends() {
    if (analyzer_.extends == no_term) return;
    const Term& base = at(analyzer_.extends);
    if (Binding* bound = names_.find(base.name); bound != nullptr && bound->by != BoundBy::recipe) {
      bound->read = true;
      if (bound->by != BoundBy::callable)
        checking_
            .report("R205", base.where,
                    fmt::format("`{}` is a parameter, but not one that stands for an analyzer", base.name),
                    fmt::format("declare it as `{}: analyzer`", base.name))
            .notes.push_back({"it is declared here", bound->where});
      return;
    }
    if (const AnalyzerDefinition* definition = checking_.analyzer(base.name))
      arguments(base, "analyzer", definition->parameters);
    else
      checking_.report("R205", base.where,
                       checking_.rule_set(base.name) != nullptr
                           ? fmt::format("there is no analyzer named `{}`, but a rule set", base.name)
                           : unknown_name_message("analyzer", base.name, checking_.analyzer_names()),
                       checking_.rule_set(base.name) != nullptr ? fmt::format("write `use {}`", base.name)
                                                                : std::string());
  }

  void arguments(const Term& reference, std::string_view kind, const std::vector<Parameter>& parameters) {
    TermChecker(checking_, analyzer_.terms, names_, Place::argument)
        .check_arguments(reference, kind, parameters);
  }

  void loops() {
    for (const ForClause& loop : analyzer_.loops) {
      const Term& sampler = at(loop.sampler);
      Binding* bound = names_.find(sampler.name);
      if (bound != nullptr && bound->by == BoundBy::callable) {
        bound->read = true;
      } else {
        checking_.check_sampler(sampler);
      }
      for (const TermId arg : sampler.args) (void)recipe_.check(arg);
      for (const auto& [name, value] : sampler.named) (void)recipe_.check(value);
      for (const std::string& variable : loop.variables) names_.bind({variable, BoundBy::sample, loop.where});
    }
  }

  void uses() {
    for (const TermId id : analyzer_.canonizers) {
      const RuleSet* set = reference(id);
      if (set != nullptr && !holds(*set, true))
        checking_.report(
            "R254", at(id).where,
            fmt::format("`{}` holds no forward rules, so there is nothing to canonize with", set->name),
            holds(*set, false) ? fmt::format("its rules are for gradients: `use {}`", set->name)
                               : std::string());
    }
    for (const Use& use : analyzer_.uses) {
      // A set that a parameter names is known when the analyzer runs.
      const bool chosen =
          std::any_of(analyzer_.parameters.begin(), analyzer_.parameters.end(),
                      [&](const Parameter& p) { return p.type == "rules" && p.name == at(use.set).name; });
      if (Binding* bound = chosen ? names_.find(at(use.set).name) : nullptr; bound != nullptr)
        bound->read = true;
      const RuleSet* set = chosen ? nullptr : reference(use.set);
      if (set != nullptr && !holds(*set, false))
        checking_.report(
            "R254", at(use.set).where,
            fmt::format("`{}` holds no rules for gradients, so this `use` does nothing", set->name),
            holds(*set, true) ? fmt::format("its rules rewrite the network itself: `canonize {}`", set->name)
                              : std::string());
      if (use.selector != no_term)
        TermChecker(checking_, analyzer_.terms, selector_names_, Place::selector)
            .check_condition(use.selector);
    }
  }

  const RuleSet* reference(TermId id) {
    const Term& term = at(id);
    const RuleSet* set = checking_.rule_set(term.name);
    if (set != nullptr)
      arguments(term, "rule set", set->parameters);
    else
      checking_.report("R204", term.where,
                       checking_.analyzer(term.name) != nullptr
                           ? fmt::format("there is no rule set named `{}`, but an analyzer", term.name)
                           : unknown_name_message("rule set", term.name, checking_.rule_set_names()),
                       checking_.analyzer(term.name) != nullptr ? fmt::format("write `extends {}`", term.name)
                                                                : std::string());
    return set;
  }

  bool holds(const RuleSet& set, bool forward, int depth = 0) const {
    if (depth > 16) return true;
    if (std::any_of(set.rules.begin(), set.rules.end(),
                    [&](const Rule& rule) { return (rule.level == RuleLevel::forward) == forward; }))
      return true;
    return std::any_of(set.uses.begin(), set.uses.end(), [&](TermId id) {
      const RuleSet* used = checking_.rule_set(set.terms[static_cast<std::size_t>(id)].name);
      return used == nullptr || holds(*used, forward, depth + 1);
    });
  }

  /// Every rule set that the analyzer and those above it use.
  template <class Visit>
  void visit_sets(const RuleSet& set, const Visit& visit, int depth = 0) const {
    if (depth > 16) return;
    visit(set);
    for (const TermId id : set.uses)
      if (const RuleSet* used = checking_.rule_set(set.terms[static_cast<std::size_t>(id)].name))
        visit_sets(*used, visit, depth + 1);
  }

  void worlds() {
    // `user` is the world of what the user gave, in which nothing is placed.
    std::set<std::string> known{"user"};
    int depth = 0;
    for (const AnalyzerDefinition* level = &analyzer_; level != nullptr && depth++ < 16;
         level = above(*level)) {
      for (const Placement& placement : level->placements)
        if (!placement.world.empty()) known.insert(placement.world);
      if (level->extends != no_term && above(*level) == nullptr) return;
    }
    const std::vector<std::string> names(known.begin(), known.end());
    for (const Term& term : analyzer_.terms)
      if (term.kind == TermKind::world && !known.contains(term.name))
        checking_.report("R253", term.where, unknown_name_message("world", term.name, names),
                         fmt::format("set it up in the analyzer: `point {}: input = 0`", term.name));
    for (const Use& use : analyzer_.uses)
      if (const RuleSet* set = checking_.rule_set(at(use.set).name))
        visit_sets(*set, [&](const RuleSet& used) {
          for (const Rule& rule : used.rules)
            for (const Term& term : rule.terms)
              if (term.kind == TermKind::world && !known.contains(term.name))
                checking_
                    .report(
                        "R253", at(use.set).where,
                        fmt::format(
                            "the rules of `{}` look into a world `{}`, which this analyzer does not set up",
                            used.name, term.name),
                        fmt::format("write `point {}: input = 0`, with the values of the input in that world",
                                    term.name))
                    .notes.push_back({"it is asked for here", term.where});
        });
  }

  void properties() {
    const std::vector<std::string> known(property_names.begin(), property_names.end());
    for (std::size_t i = 0; i < analyzer_.properties.size(); ++i)
      if (std::find(known.begin(), known.end(), analyzer_.properties[i]) == known.end())
        checking_.report(
            "R208", i < analyzer_.properties_where.size() ? analyzer_.properties_where[i] : analyzer_.where,
            unknown_name_message("property", analyzer_.properties[i], known));
  }

  /// Affine layers change the shape, so passing cannot be what they fall back on.
  void default_pass() {
    if (analyzer_.fallback != Fallback::pass) return;
    bool claimed = false;
    int depth = 0;
    for (const AnalyzerDefinition* level = &analyzer_; level != nullptr && depth++ < 16;
         level = above(*level)) {
      if (level->extends != no_term && above(*level) == nullptr) return;
      for (const Use& use : level->uses) {
        const RuleSet* set = checking_.rule_set(level->terms[static_cast<std::size_t>(use.set)].name);
        if (set == nullptr) return;
        visit_sets(*set, [&](const RuleSet& used) {
          for (const Rule& rule : used.rules) {
            const std::string root = root_name(rule.terms, rule.pattern);
            const auto covered = checking_.covered(root);
            claimed = claimed || (rule.level == RuleLevel::grad &&
                                  (covered.empty() ||
                                   std::any_of(covered.begin(), covered.end(),
                                               [](const OpSchema* op) { return op->is(OpClass::affine); })));
          }
        });
      }
    }
    if (claimed) return;
    const SourceRange& where =
        analyzer_.fallback_where.line == 0 ? analyzer_.where : analyzer_.fallback_where;
    checking_.report("R252", where,
                     "`default pass` would meet dense layers and convolutions, which no rule claims: what "
                     "reaches them does not have the shape of their operand",
                     "passing fits operations of one operand of their own shape, such as activations; claim "
                     "the affine layers (`grad(y: affine(x), r) => vjp(y, r)`), or write `default gradient`");
  }

  Checking& checking_;
  const AnalyzerDefinition& analyzer_;
  Names given_, names_, selector_names_{&names_};
  TermChecker recipe_;
};

}  // namespace

void check_analyzer(Checking& checking, const AnalyzerDefinition& analyzer) {
  AnalyzerChecker(checking, analyzer).run();
}

}  // namespace rulegrad::checking
