#pragma once

#include "check/checking.hpp"

namespace rulegrad::checking {

/// Binds what a pattern names and reports what is wrong with it.
void check_pattern(Checking& checking, const Rule& rule, Names& names);

/// Variables and labels that stand for whole operands at the root; empty where the pattern names no operands.
[[nodiscard]] std::vector<std::vector<std::string>> root_operands(const Rule& rule);

/// Is everything that the earlier rule's pattern lets through decided by it: would the later rule of the same
/// set never see a node that it matches?
[[nodiscard]] bool shadows(const Checking& checking, const Rule& earlier, const Rule& later);

}  // namespace rulegrad::checking
