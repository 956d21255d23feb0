#pragma once

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/recipe/sampler.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Everything that is looked up by name while a model is loaded, explained and run. A value: it begins as
/// what ships, and a program adds operators, kernels, rules and samplers of its own to a copy. Whatever is
/// built with a registry keeps what it uses, except graphs: the operators of a Graph that a program makes
/// itself must outlive it.
struct Registry {
  Registry();
  Registry(const Registry& other);
  Registry(Registry&& other) noexcept;
  Registry& operator=(const Registry& other);
  Registry& operator=(Registry&& other) noexcept;
  ~Registry();

  Operators operators;
  Kernels kernels;
  RuleLibrary rules;
  Samplers samplers;
};

}  // namespace rulegrad
