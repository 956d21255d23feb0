#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <span>

#include "rulegrad/support/error.hpp"

namespace rulegrad::kernels {

/// Working memory of one thread, aligned to 64 bytes, that grows and stays. A kernel takes what it needs once
/// and does not call another kernel that takes some while it uses it.
[[nodiscard]] std::byte* thread_scratch(std::size_t bytes);

/// The front of a caller's scratch as `count` values of T; throws Error(internal) when it is too small.
template <class T>
[[nodiscard]] T* scratch_values(std::span<std::byte> scratch, std::size_t count) {
  void* start = scratch.data();
  std::size_t room = scratch.size();
  if (count == 0) return nullptr;
  if (std::align(alignof(T), count * sizeof(T), start, room) == nullptr)
    throw Error(ErrorCode::internal, "a kernel got less scratch memory than it asked for");
  return static_cast<T*>(start);
}

}  // namespace rulegrad::kernels
