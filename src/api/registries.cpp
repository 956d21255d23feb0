#include "rulegrad/api/registry.hpp"

namespace rulegrad {

// Here, so that programs that include the header do not compile what copies and ends maps of four kinds.
Registry::Registry()
    : operators(Operators::builtin()),
      kernels(Kernels::best()),
      rules(RuleLibrary::builtin()),
      samplers(Samplers::builtin()) {}
Registry::Registry(const Registry& other) = default;
Registry::Registry(Registry&& other) noexcept = default;
Registry& Registry::operator=(const Registry& other) = default;
Registry& Registry::operator=(Registry&& other) noexcept = default;
Registry::~Registry() = default;

}  // namespace rulegrad
