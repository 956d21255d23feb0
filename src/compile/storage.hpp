#pragma once

#include <cstdint>
#include <vector>

#include "compile/flow.hpp"

namespace rulegrad {

using StorageId = std::uint32_t;

/// Who owns a piece of memory.
enum class Home : std::uint8_t { arena, input, constant, output };

/// Memory that one value, its aliases, and the values computed in place over it live in, one after the other.
struct Storage {
  Home home;
  std::uint32_t index;      ///< in the program's inputs, constants or outputs
  ValueId value;            ///< one that fills it: its type gives the bytes
  std::size_t first, last;  ///< instructions from the one that writes it to the last that reads it
};

struct StorageMap {
  std::vector<Storage> storages;
  std::vector<StorageId> of;  ///< by value
  std::size_t in_place = 0;   ///< results that took over an operand's memory
};

/// Decides which values share memory, whatever the extents of a run will be. Inputs and constants are never
/// written to; an operand's memory is taken over where it dies and the kernel allows it.
[[nodiscard]] StorageMap assign_storage(const Flow& flow, bool reuse);

}  // namespace rulegrad
