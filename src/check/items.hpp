#pragma once

#include "check/checking.hpp"

/// One function for each kind of item in a file.
namespace rulegrad::checking {

void check_function(Checking& checking, const Function& function);
void check_composite(Checking& checking, const CompositeOp& op);
void check_rule_set(Checking& checking, const RuleSet& set);
void check_analyzer(Checking& checking, const AnalyzerDefinition& analyzer);

/// Parameters as names that the item's terms can read.
void bind_parameters(Checking& checking, const Terms& terms, const std::vector<Parameter>& parameters,
                     Names& names, std::string_view owner);
/// An error for each name that was bound and never read.
void report_unread_parameters(Checking& checking, const Names& names, std::string_view owner);

/// Items of one name, in the file or between the file and what it may refer to.
void check_duplicates(Checking& checking);
/// fns, rule sets and analyzers that reach themselves.
void check_circles(Checking& checking);
/// Rules that an earlier one of the same set, or of a set that is used above theirs, keeps from every node.
void check_reach(Checking& checking);

/// Applies the rule to examples of the operators it matches. `names` are the parameters of its set.
void check_on_examples(Checking& checking, const RuleSet& set, const Rule& rule);

}  // namespace rulegrad::checking
