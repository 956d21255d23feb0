#pragma once

#include "rulegrad/kernels/kernel.hpp"

/// Operators as the xtensor expressions that define them, products by xtensor-blas: one thread, no tiles, no
/// order of our own. They are what the other kernels are held against (tests/differential).
namespace rulegrad::kernels::plain {

void bind_broadcasting(Kernels& all);
void bind_movement(Kernels& all);
void bind_products(Kernels& all);
void bind_reductions(Kernels& all);

inline void bind_all(Kernels& all) {
  for (const auto bind : {bind_broadcasting, bind_movement, bind_products, bind_reductions}) bind(all);
}

/// The kernel of `name` with another body: what the planner is told of it (batch, rows, memory that may be
/// shared) stays.
template <class F>
void compute(Kernels& all, const char* name, F run) {
  Kernel kernel = *all.at(name);
  kernel.run = std::move(run);
  kernel.scratch = {};
  kernel.prepare = {};
  kernel.layouts = {};
  all.set(name, std::move(kernel));
}

}  // namespace rulegrad::kernels::plain
