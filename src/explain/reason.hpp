#pragma once

#include <string>

#include "rulegrad/rewrite/provenance.hpp"

#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// A guard or a selector in plain words: `the first affine operator`, `c does not depend on the input`.
[[nodiscard]] std::string in_words(const Terms& terms, TermId condition);

/// Why the rule of this step was the one: selectors and guard, or what its pattern is for.
[[nodiscard]] std::string reason(const Step& step);

/// `lrp.crp, then lrp.epsilon` where `next` led further; `lrp.rest / name` for rules with names.
[[nodiscard]] std::string rule_label(const Step& step);
/// `rules/lrp.rules:12`; empty where no rule stands anywhere.
[[nodiscard]] std::string place_label(const SourceRange& where);

}  // namespace rulegrad
