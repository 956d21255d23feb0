#pragma once

#include <array>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/diagnostic.hpp"
#include "rulegrad/rule/rule.hpp"

/// What can be said of rules before they run. docs/rule-checks.md lists the codes, R200 to R299.
namespace [[gnu::visibility("default")]] rulegrad {

/// What an analyzer may `declare`; rulegrad/prove/properties.hpp says how each is tested.
inline constexpr std::array<std::string_view, 5> property_names{"adjoint", "completes", "conserves", "linear",
                                                                "positive"};

/// What a file may refer to beside its own items. RuleLibrary::check_context makes one of what it holds.
struct CheckContext {
  template <class T>
  using ByName = std::map<std::string, const T*, std::less<>>;

  const Operators* operators = &Operators::builtin();
  ByName<Function> functions = {};
  ByName<CompositeOp> composites = {};
  ByName<RuleSet> rule_sets = {};
  ByName<AnalyzerDefinition> analyzers = {};
  /// Names of samplers; empty: what stands behind `for ... in` is not looked up.
  std::vector<std::string> samplers = {};
  /// Apply every rule to examples of the operators that it matches, and compare shapes.
  bool try_examples = true;
};

/// Everything found, in the order of the file: names, variables, operands, words in the wrong place, guards,
/// reachability, shapes on the operators' examples, recipes. An item that equals one of the context is that
/// item.
[[nodiscard]] std::vector<Diagnostic> check(const RuleFile& file, const CheckContext& context = {});

/// Throws RuleError with the errors among the findings, if there are any; `source` is the text for the
/// excerpts.
void require_no_errors(const std::vector<Diagnostic>& findings, std::string_view source);

}  // namespace rulegrad
