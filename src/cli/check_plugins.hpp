#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "rulegrad/api/registry.hpp"
#include "rulegrad/rule/diagnostic.hpp"

namespace rulegrad::cli {

/// How much of a registry's own was tried.
struct PluginReport {
  std::size_t operators = 0, kernels = 0, analyzers = 0;
};

/// Tries the operators, kernels and analyzers that a registry has beside those that ship, as those that ship
/// are tried (prove/operator_trials.hpp, prove/properties.hpp). `tell` is told what holds as notes, and what does
/// not.
[[nodiscard]] PluginReport check_plugins(
    const Registry& registry, const std::function<void(Severity severity, const std::string& text)>& tell);

}  // namespace rulegrad::cli
