#include "check/checking.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "rulegrad/support/error.hpp"

#include "rewrite/composite.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad::checking {
namespace {

template <class T>
const T* find_item(const std::vector<T>& own, const CheckContext::ByName<T>& others, std::string_view name) {
  for (const T& item : own)
    if (item.name == name) return &item;
  const auto found = others.find(name);
  return found == others.end() ? nullptr : found->second;
}

template <class T>
std::vector<std::string> item_names(const std::vector<T>& own, const CheckContext::ByName<T>& others) {
  std::vector<std::string> names;
  for (const T& item : own) names.push_back(item.name);
  for (const auto& [name, item] : others) names.push_back(name);
  return names;
}

template <class Into>
void append(Into& into, std::vector<std::string> more) {
  into.insert(into.end(), more.begin(), more.end());
}

}  // namespace

Binding* Names::find(std::string_view name) {
  for (auto entry = entries_.rbegin(); entry != entries_.rend(); ++entry)
    if (entry->name == name) return &*entry;
  return outer_ == nullptr ? nullptr : outer_->find(name);
}

std::vector<std::string> Names::all() const {
  std::vector<std::string> names = outer_ == nullptr ? std::vector<std::string>() : outer_->all();
  for (const Binding& entry : entries_) names.push_back(entry.name);
  return names;
}

Diagnostic& Checking::report(std::string code, const SourceRange& where, std::string message,
                             std::string help, Severity severity) {
  // What nobody reads does no harm.
  if (code == "R211" || code == "R212" || code == "R213") severity = Severity::warning;
  if (severity == Severity::error) ++errors_;
  Diagnostic& finding = findings_.emplace_back();
  finding.code = std::move(code);
  finding.where = where;
  if (finding.where.file.empty()) finding.where.file = file.path;
  finding.message = std::move(message);
  finding.help = std::move(help);
  finding.severity = severity;
  return finding;
}

std::vector<Diagnostic> Checking::take() {
  const auto place = [](const Diagnostic& d) { return std::tie(d.where.line, d.where.column); };
  std::stable_sort(findings_.begin(), findings_.end(),
                   [&](const Diagnostic& a, const Diagnostic& b) { return place(a) < place(b); });
  std::vector<Diagnostic> result;
  for (Diagnostic& finding : findings_) {
    const bool repeated = std::any_of(result.begin(), result.end(), [&](const Diagnostic& other) {
      return place(other) == place(finding) && other.code == finding.code && other.message == finding.message;
    });
    if (!repeated) result.push_back(std::move(finding));
  }
  return result;
}

const CompositeOp* Checking::composite(std::string_view name) const {
  return find_item(file.operators, context.composites, name);
}
const Function* Checking::function(std::string_view name) const {
  return find_item(file.functions, context.functions, name);
}
const RuleSet* Checking::rule_set(std::string_view name) const {
  return find_item(file.rule_sets, context.rule_sets, name);
}
const RuleSet* Checking::rule_set_near(const std::string& name, std::string_view owner) const {
  while (!owner.empty()) {
    if (const RuleSet* inner = rule_set(fmt::format("{}.{}", owner, name))) return inner;
    const std::size_t dot = owner.rfind('.');
    owner = owner.substr(0, dot == std::string_view::npos ? 0 : dot);
  }
  return rule_set(name);
}
const AnalyzerDefinition* Checking::analyzer(std::string_view name) const {
  return find_item(file.analyzers, context.analyzers, name);
}

bool Checking::names_operation(std::string_view name) const {
  return op(name) != nullptr || composite(name) != nullptr || op_class_from_name(name).has_value();
}

std::vector<const OpSchema*> Checking::covered(std::string_view name) const {
  std::vector<const OpSchema*> result;
  for (const auto& schema : context.operators->all())
    if (covers(name, *schema)) result.push_back(schema.get());
  return result;
}

void Checking::check_sampler(const Term& term) {
  const auto& known = context.samplers;
  if (known.empty() || std::find(known.begin(), known.end(), term.name) != known.end()) return;
  report("R209", term.where, unknown_name_message("sampler", term.name, known));
}

std::vector<std::string> Checking::operation_names() const {
  std::vector<std::string> names = context.operators->names();
  append(names, item_names(file.operators, context.composites));
  names.insert(names.end(), std::begin(op_class_names), std::end(op_class_names));
  return names;
}

std::vector<std::string> Checking::callable_names() const {
  std::vector<std::string> names = context.operators->names();
  append(names, item_names(file.operators, context.composites));
  append(names, item_names(file.functions, context.functions));
  for (const Word& word : words()) names.emplace_back(word.name);
  return names;
}

std::vector<std::string> Checking::rule_set_names() const {
  return item_names(file.rule_sets, context.rule_sets);
}
std::vector<std::string> Checking::analyzer_names() const {
  return item_names(file.analyzers, context.analyzers);
}

const std::set<const Word*>& Checking::words_of(const Function& asked) {
  const auto [entry, fresh] = words_.try_emplace(&asked);
  if (!fresh) return entry->second;  // a fn that calls itself is told apart
  std::set<const Word*> result;
  for (const Term& term : asked.terms) {
    if (term.kind != TermKind::call) continue;
    if (const Word* word = find_word(term.name))
      result.insert(word);
    else if (const Function* called = function(term.name))
      result.merge(std::set<const Word*>(words_of(*called)));
  }
  return words_[&asked] = std::move(result);
}

const Operators& Checking::trial_operators() {
  if (file.operators.empty()) return *context.operators;
  if (trial_operators_) return *trial_operators_;
  trial_operators_ = *context.operators;
  Functions functions = context.functions;
  for (const Function& own : file.functions) functions[own.name] = &own;
  for (const CompositeOp* definition : simplest_first(file)) {
    if (trial_operators_->find(definition->name) != nullptr) continue;
    auto scope = std::make_shared<CompositeScope>();
    scope->operators = *trial_operators_;
    scope->functions = functions;
    try {
      trial_operators_->add(make_composite(*definition, scope));
    } catch (const Error&) {
      // What is wrong with it is told where it stands.
    }
  }
  return *trial_operators_;
}

std::string quoted(std::string_view name) {
  return fmt::format("`{}`", name);
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace rulegrad::checking
