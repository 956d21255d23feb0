#pragma once

#include "compile/flow.hpp"

namespace rulegrad {

/// Products of few rows with a large constant are limited by reading it. Such a constant is read once for all
/// products that need it and are ready together, whoever asked for them, and elementwise functions of it are
/// applied on the way instead of being computed ahead. Products meet where neither needs another's result,
/// directly or through products that have met; instructions are reordered for that as little as possible.
/// `least` is the size of a large constant in bytes; 0: nothing is changed.
[[nodiscard]] Flow with_sweeps(Flow flow, std::size_t least);

}  // namespace rulegrad
