#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule.hpp"

namespace rulegrad {

/// What a method is made of.
struct GatheredMethod {
  RuleFile own;
  /// What it uses of other files.
  struct Elsewhere {
    std::string kind, name, file;  ///< `rules`, `function` or `method`
  };
  std::vector<Elsewhere> elsewhere;
};

/// Of the method's own file alone, so that a page made of it changes with that file and no other.
[[nodiscard]] GatheredMethod gather_own_file(const RuleLibrary& library, std::string_view method);

}  // namespace rulegrad
