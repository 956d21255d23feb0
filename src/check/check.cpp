#include "rulegrad/check/check.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "check/items.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace checking {
namespace {

template <class T>
void duplicates(Checking& checking, std::string_view kind, const std::vector<T>& items,
                const CheckContext::ByName<T>& others) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    const T* first = nullptr;
    for (std::size_t j = 0; j < i && first == nullptr; ++j)
      if (items[j].name == items[i].name) first = &items[j];
    if (first == nullptr)
      if (const auto found = others.find(items[i].name);
          found != others.end() && !equal(*found->second, items[i]))
        first = found->second;
    if (first == nullptr) continue;
    checking
        .report("R243", items[i].where, fmt::format("there is another {} named `{}`", kind, items[i].name),
                "give this one a name of its own, such as `my." + items[i].name + "`")
        .notes.push_back({"it is defined here", first->where});
  }
}

void names_of_operators(Checking& checking) {
  for (const CompositeOp& op : checking.file.operators)
    if (checking.op(op.name) != nullptr && !checking.context.composites.contains(op.name))
      checking.report("R243", op.where, fmt::format("there is an operator named `{}`", op.name),
                      "built-in operators cannot be defined again; give this one another name");
  for (const Function& function : checking.file.functions) {
    if (checking.op(function.name) != nullptr)
      checking.report("R243", function.where,
                      fmt::format("there is an operator named `{}`, which the fn would hide", function.name),
                      "give the fn another name");
    else if (find_word(function.name) != nullptr)
      checking.report("R243", function.where,
                      fmt::format("`{}` is a word of the language, so it cannot name a fn", function.name),
                      "give the fn another name");
  }
}

/// Follows references from item to item; a path that comes back to its start is a circle. Each circle is told
/// once, at its first item in the file; items that are `told` of already are in none. Returns these and those
/// of its own circles.
template <class T, class Next>
std::vector<std::string> circles(Checking& checking, const std::vector<T>& items, const Next& next,
                                 std::string_view code, std::string_view verb, std::string_view help,
                                 std::vector<std::string> told = {}) {
  std::unordered_set<std::string_view> clear;
  std::unordered_map<const T*, std::vector<const T*>> known;  // looking names up goes through all of them
  const auto referred = [&](const T& item) -> const std::vector<const T*>& {
    const auto [place, fresh] = known.try_emplace(&item);
    if (fresh) place->second = next(item);
    return place->second;
  };
  for (const T& start : items) {
    if (std::find(told.begin(), told.end(), start.name) != told.end()) continue;
    std::vector<const T*> path;
    std::unordered_set<std::string_view> seen;
    const auto walk = [&](const auto& self, const T& item) -> bool {
      path.push_back(&item);
      for (const T* other : referred(item)) {
        if (other->name == start.name) return true;
        // What has been a start and came back to nothing lies on no circle.
        if (clear.contains(other->name) || !seen.insert(other->name).second) continue;
        if (self(self, *other)) return true;
      }
      path.pop_back();
      return false;
    };
    if (!walk(walk, start)) {
      clear.insert(start.name);
      continue;
    }
    for (const T* item : path) told.push_back(item->name);
    std::string through;
    for (std::size_t i = 1; i < path.size(); ++i)
      through += fmt::format("{}`{}`", i == 1 ? ", through " : " and ", path[i]->name);
    Diagnostic& finding =
        checking.report(std::string(code), start.where,
                        fmt::format("`{}` {} itself{}", start.name, verb, through), std::string(help));
    for (std::size_t i = 1; i < path.size(); ++i)
      finding.notes.push_back({fmt::format("`{}` is defined here", path[i]->name), path[i]->where});
  }
  return told;
}

}  // namespace

void check_duplicates(Checking& checking) {
  const RuleFile& file = checking.file;
  const CheckContext& context = checking.context;
  duplicates(checking, "fn", file.functions, context.functions);
  duplicates(checking, "operator", file.operators, context.composites);
  duplicates(checking, "rule set", file.rule_sets, context.rule_sets);
  duplicates(checking, "analyzer", file.analyzers, context.analyzers);
  names_of_operators(checking);
}

void check_circles(Checking& checking) {
  circles(
      checking, checking.file.functions,
      [&](const Function& function) {
        std::vector<const Function*> result;
        for (const Term& term : function.terms)
          if (term.kind == TermKind::call && checking.op(term.name) == nullptr)
            if (const Function* called = checking.function(term.name)) result.push_back(called);
        return result;
      },
      "R244", "calls",
      "fns are written out where they stand, so they cannot repeat: the rule language has no loops");
  circles(
      checking, checking.file.operators,
      [&](const CompositeOp& op) {
        std::vector<const CompositeOp*> result;
        std::set<const Function*> seen;
        const std::function<void(const Terms&)> visit = [&](const Terms& terms) {
          for (const Term& term : terms) {
            if (term.kind != TermKind::call) continue;
            if (const CompositeOp* called = checking.composite(term.name)) result.push_back(called);
            if (const Function* function = checking.function(term.name);
                function != nullptr && seen.insert(function).second)
              visit(function->terms);
          }
        };
        visit(op.terms);
        return result;
      },
      "R244", "is made of", "an operator is defined by simpler ones");
  circles(
      checking, checking.file.rule_sets,
      [&](const RuleSet& set) {
        std::vector<const RuleSet*> result;
        for (const TermId id : set.uses)
          if (const RuleSet* used = checking.rule_set(set.terms[static_cast<std::size_t>(id)].name))
            result.push_back(used);
        return result;
      },
      "R245", "uses", "take one of the `use`s out");
  // A parameter may stand for an analyzer: then the caller says which.
  using Analyzers = std::vector<const AnalyzerDefinition*>;
  const auto add = [&](Analyzers& to, const AnalyzerDefinition& analyzer, TermId id) {
    const std::string& name = analyzer.terms[static_cast<std::size_t>(id)].name;
    const bool chosen =
        std::ranges::any_of(analyzer.parameters, [&](const Parameter& p) { return p.name == name; });
    if (const AnalyzerDefinition* asked = chosen ? nullptr : checking.analyzer(name)) to.push_back(asked);
  };
  const auto extended = [&](const AnalyzerDefinition& analyzer) {
    Analyzers result;
    if (analyzer.extends != no_term) add(result, analyzer, analyzer.extends);
    return result;
  };
  std::vector<std::string> told = circles(checking, checking.file.analyzers, extended, "R245", "extends",
                                          "take one of the `extends` out");
  circles(
      checking, checking.file.analyzers,
      [&](const AnalyzerDefinition& analyzer) {
        Analyzers result = extended(analyzer);
        for (const Term& term : analyzer.terms)
          for (const auto& [argument, id] : term.named)
            if (term.name == "relevance" && argument == "of") add(result, analyzer, id);
        return result;
      },
      "R245", "is made of", "take one of the `extends` or `relevance of` out", std::move(told));
}

}  // namespace checking

namespace {

/// Whether rules hide each other is asked of all pairs.
constexpr std::size_t most_items = 4096;

void require_few(const RuleFile& file) {
  std::size_t count =
      file.functions.size() + file.operators.size() + file.rule_sets.size() + file.analyzers.size();
  for (const RuleSet& set : file.rule_sets) count += set.rules.size();
  if (count > most_items)
    throw Error(ErrorCode::rule, fmt::format("{}: a file may define {} rules, sets, functions, operators and "
                                             "analyzers together, and this one defines {}",
                                             file.path, most_items, count));
}

}  // namespace

std::vector<Diagnostic> check(const RuleFile& file, const CheckContext& context) {
  require_few(file);
  checking::Checking checking(file, context);
  checking::check_duplicates(checking);
  checking::check_circles(checking);
  // What calls itself without end is not tried out.
  CheckContext careful = context;
  careful.try_examples = context.try_examples && checking.error_count() == 0;
  checking::Checking items(file, careful);
  for (const Function& function : file.functions) checking::check_function(items, function);
  for (const CompositeOp& op : file.operators) checking::check_composite(items, op);
  for (const RuleSet& set : file.rule_sets) checking::check_rule_set(items, set);
  for (const AnalyzerDefinition& analyzer : file.analyzers) checking::check_analyzer(items, analyzer);
  checking::check_reach(items);
  for (Diagnostic& finding : items.take()) checking.add(std::move(finding));
  return checking.take();
}

void require_no_errors(const std::vector<Diagnostic>& findings, std::string_view source) {
  std::vector<Diagnostic> errors;
  std::copy_if(findings.begin(), findings.end(), std::back_inserter(errors),
               [](const Diagnostic& d) { return d.severity == Severity::error; });
  if (!errors.empty()) throw RuleError(std::move(errors), source);
}

}  // namespace rulegrad
