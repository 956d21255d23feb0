#pragma once

#include <cstddef>

namespace [[gnu::visibility("default")]] rulegrad {

/// Bytes that one program may need: constants computed ahead, intermediate values and results, of one run. It
/// is looked at before anything is allocated: beyond it, compiling and running throw Error(invalid_argument)
/// that names the largest value. At first three quarters of the machine's memory, or of what the container
/// may use.
[[nodiscard]] std::size_t memory_limit();
/// For all programs of the process from now on; 0: as at first.
void set_memory_limit(std::size_t bytes);

}  // namespace rulegrad
