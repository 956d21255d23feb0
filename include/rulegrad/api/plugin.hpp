#pragma once

#include <cstdint>
#include <string>

#include "rulegrad/api/registry.hpp"

/// Plugins are shared libraries that add operators, kernels and rules to a registry: `rulegrad --plugin
/// FILE.so`, or `load_plugin`. A plugin links the shared library rulegrad and defines two names:
///
///     extern "C" {
///     extern const std::uint32_t rulegrad_plugin_interface;
///     const std::uint32_t rulegrad_plugin_interface = rulegrad::plugin_interface;
///     void rulegrad_plugin(rulegrad::Registry& registry) { registry.operators.add(...); }
///     }
namespace [[gnu::visibility("default")]] rulegrad {

/// Changes whenever plugins must be compiled again.
inline constexpr std::uint32_t plugin_interface = 4;

/// Loads the shared library and lets it add to `registry`; it stays loaded until the program ends. Throws
/// Error(io) for files that are no shared libraries, Error(invalid_argument) for those that are no plugins,
/// were compiled against another interface, or carry a copy of rulegrad of their own, and whatever the plugin
/// throws.
void load_plugin(Registry& registry, const std::string& file);

}  // namespace rulegrad
