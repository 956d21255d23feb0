#pragma once

#include <cstddef>

#include "rulegrad/expr/expr.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What programs of a graph have computed ahead of runs and share: functions of constants, their packed
/// forms. A program keeps what its plans read, also when the graph is gone. What no program keeps any more
/// stays with the graph, the latest 512 MB of it, so that the next program finds it. Constants themselves are
/// looked through for NaN and infinity once.
struct SharedConstants {
  std::size_t folds = 0;       ///< kernels that ran to compute such values, so far
  std::size_t packs = 0;       ///< forms that were made, so far
  std::size_t checks = 0;      ///< constants of more than 64 bytes that were looked through, so far
  std::size_t bytes = 0;       ///< of all that is there now
  std::size_t idle_bytes = 0;  ///< of that, what no program keeps
};
/// What the programs of this graph have computed and keep; all 0 before the first is compiled.
[[nodiscard]] SharedConstants shared_constants(const Graph& graph);
/// Frees what no program keeps. Safe beside runs of programs.
void drop_idle_constants(const Graph& graph);

}  // namespace rulegrad
