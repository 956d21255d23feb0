#pragma once

#include <string>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// A rule of a rule file of the user's, or a `use ... on` of an analyzer there, that had no part in an
/// analysis.
struct UnappliedRule {
  SourceRange where;
  std::string message;    ///< without the place
  std::string help;       ///< the nearest names of nodes, where it asks for names that none has; may be empty
  bool selector = false;  ///< a `use ... on`
};

/// Those of an analyzer and of what it extends, in the order of its `use`s. What ships is left out: it holds
/// rules for other networks too. Nothing where the analyzer asked for no relevance.
[[nodiscard]] std::vector<UnappliedRule> unapplied_rules(const RuleLibrary& library, const AnalyzerCall& call,
                                                         const Analysis& analysis);

/// `mine.rules:5:3: this rule of ...`
[[nodiscard]] std::string to_string(const UnappliedRule& rule);

}  // namespace rulegrad
