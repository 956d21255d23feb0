#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/check/check.hpp"

#include "rewrite/language_words.hpp"

/// What the parts of the checker share: the names a file may refer to, and the findings.
namespace rulegrad::checking {

/// What a term is known to be before any rule is applied.
enum class Sort : std::uint8_t { unknown, number, fixed, tensor };

/// Who gave a name its meaning.
enum class BoundBy : std::uint8_t {
  variable,
  label,
  cotangent,
  slot,
  let,
  parameter,
  callable,
  recipe,
  sample
};

struct Binding {
  std::string name;
  BoundBy by = BoundBy::variable;
  SourceRange where;
  Sort sort = Sort::tensor;
  std::string operation = {};  ///< the operator or class whose operation a label names
  bool read = false;
  int times = 1;  ///< how often a pattern names it
};

/// Names and what reads them; inner names are looked up first.
class Names {
 public:
  explicit Names(Names* outer = nullptr) : outer_(outer) {}

  Binding& bind(Binding binding) { return entries_.emplace_back(std::move(binding)); }
  [[nodiscard]] Binding* find(std::string_view name);
  [[nodiscard]] const std::deque<Binding>& entries() const { return entries_; }
  [[nodiscard]] std::vector<std::string> all() const;

  /// Operators and classes that stand where a pattern could have named an operand: they bind nothing.
  std::map<std::string, SourceRange, std::less<>> matched_operators;

 private:
  Names* outer_;
  std::deque<Binding> entries_;
};

/// Where a term stands: it decides which words it may hold.
enum class Place : std::uint8_t {
  guard,
  gradient,
  derivative,
  forward,
  function,
  composite,
  selector,
  recipe,
  argument
};

class Checking {
 public:
  Checking(const RuleFile& checked_file, const CheckContext& check_context)
      : file(checked_file), context(check_context) {}

  const RuleFile& file;
  const CheckContext& context;

  /// The reference is good until the next report.
  Diagnostic& report(std::string code, const SourceRange& where, std::string message, std::string help = {},
                     Severity severity = Severity::error);
  void add(Diagnostic finding) { findings_.push_back(std::move(finding)); }
  [[nodiscard]] std::size_t error_count() const { return errors_; }
  /// In the order of the file, each said once.
  [[nodiscard]] std::vector<Diagnostic> take();

  [[nodiscard]] const OpSchema* op(std::string_view name) const { return context.operators->find(name); }
  [[nodiscard]] const CompositeOp* composite(std::string_view name) const;
  [[nodiscard]] const Function* function(std::string_view name) const;
  [[nodiscard]] const RuleSet* rule_set(std::string_view name) const;
  /// As RuleLibrary::rule_set_near: `flat` for `zennit.lrp` is `zennit.flat` where there is one.
  [[nodiscard]] const RuleSet* rule_set_near(const std::string& name, std::string_view owner) const;
  [[nodiscard]] const AnalyzerDefinition* analyzer(std::string_view name) const;
  /// An operator, a composite one or a class.
  [[nodiscard]] bool names_operation(std::string_view name) const;
  /// The operators that the name of an operator or class covers.
  [[nodiscard]] std::vector<const OpSchema*> covered(std::string_view name) const;

  [[nodiscard]] std::vector<std::string> operation_names() const;
  [[nodiscard]] std::vector<std::string> callable_names() const;
  [[nodiscard]] std::vector<std::string> rule_set_names() const;
  [[nodiscard]] std::vector<std::string> analyzer_names() const;

  /// Rules with errors of their own say nothing about others.
  std::set<const Rule*> broken;

  /// Reports a name that is no sampler.
  void check_sampler(const Term& term);

  /// The operators of the context and those that the file defines, as far as they can be made: what trials
  /// run on.
  [[nodiscard]] const Operators& trial_operators();

  /// The words that a fn says, itself or through the fns it calls.
  [[nodiscard]] const std::set<const Word*>& words_of(const Function& function);

 private:
  std::vector<Diagnostic> findings_;
  std::size_t errors_ = 0;
  std::map<const Function*, std::set<const Word*>> words_;
  std::optional<Operators> trial_operators_;
};

/// `node`, `x`: in the back quotes that messages put around what stands in the file.
[[nodiscard]] std::string quoted(std::string_view name);
/// `1 operand`, `2 operands`
[[nodiscard]] std::string counted(std::size_t count, std::string_view noun);

}  // namespace rulegrad::checking
