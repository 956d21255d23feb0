#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "rulegrad/support/error.hpp"

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

inline constexpr std::size_t max_rank = 8;

/// How `n` arrays are read along one iteration space: extents with neighbouring axes merged where every array
/// steps through them evenly, and a stride per array and axis, 0 where it is broadcast. The innermost axis
/// comes last.
template <std::size_t n>
struct Walk {
  std::size_t rank = 0;
  std::array<std::int64_t, max_rank> extent{};
  std::array<std::array<std::int64_t, max_rank>, n> stride{};

  /// Adds an axis inside the others; merges it with the one before when that changes nothing.
  void push(std::int64_t size, const std::array<std::int64_t, n>& strides) {
    if (size == 1) return;
    if (rank > 0) {
      bool even = true;
      for (std::size_t k = 0; k < n; ++k) even = even && stride[k][rank - 1] == strides[k] * size;
      if (even) {
        extent[rank - 1] *= size;
        for (std::size_t k = 0; k < n; ++k) stride[k][rank - 1] = strides[k];
        return;
      }
    }
    if (rank == max_rank) throw Error(ErrorCode::shape, "[kernels] more than 8 axes that cannot be merged");
    extent[rank] = size;
    for (std::size_t k = 0; k < n; ++k) stride[k][rank] = strides[k];
    ++rank;
  }

  /// One axis of extent 1 where there would be none.
  void finish() {
    if (rank > 0) return;
    extent[0] = 1;
    for (auto& s : stride) s[0] = 0;
    rank = 1;
  }
};

/// Arrays `dims[k]`, each broadcast (NumPy) to `out`.
template <std::size_t n>
[[nodiscard]] Walk<n> broadcast_walk(DimsView out, const std::array<DimsView, n>& dims) {
  std::array<std::array<std::int64_t, max_rank>, n> strides{};
  if (out.size() > max_rank) throw Error(ErrorCode::shape, "[kernels] arrays have at most 8 axes");
  for (std::size_t k = 0; k < n; ++k) {
    if (dims[k].size() > out.size())
      throw Error(ErrorCode::shape, "[kernels] an operand has more axes than the result");
    std::int64_t step = 1;
    for (std::size_t i = 0; i < dims[k].size(); ++i) {
      const std::size_t from = dims[k].size() - 1 - i, to = out.size() - 1 - i;
      if (dims[k][from] != 1 && dims[k][from] != out[to])
        throw Error(ErrorCode::shape, "[kernels] an operand does not broadcast to the result");
      strides[k][to] = dims[k][from] == 1 ? 0 : step;
      step *= dims[k][from];
    }
  }
  Walk<n> walk;
  for (std::size_t i = 0; i < out.size(); ++i) {
    std::array<std::int64_t, n> at{};
    for (std::size_t k = 0; k < n; ++k) at[k] = strides[k][i];
    walk.push(out[i], at);
  }
  walk.finish();
  return walk;
}

/// Calls row(first, length, offsets) for the innermost pieces of the flat positions [begin, end) of the
/// space; offsets[k] is where array k stands at `first`.
template <std::size_t n, class Row>
void for_each_row(const Walk<n>& walk, std::int64_t begin, std::int64_t end, Row&& row) {
  if (begin >= end) return;
  const std::size_t last = walk.rank - 1;
  std::array<std::int64_t, max_rank> index{};
  std::array<std::int64_t, n> offset{};
  std::int64_t rest = begin;
  for (std::size_t i = walk.rank; i-- > 0;) {
    index[i] = rest % walk.extent[i];
    rest /= walk.extent[i];
    for (std::size_t k = 0; k < n; ++k) offset[k] += index[i] * walk.stride[k][i];
  }
  std::int64_t at = begin;
  while (at < end) {
    const std::int64_t left = walk.extent[last] - index[last], length = left < end - at ? left : end - at;
    row(at, length, static_cast<const std::array<std::int64_t, n>&>(offset));
    at += length;
    for (std::size_t k = 0; k < n; ++k) offset[k] -= index[last] * walk.stride[k][last];
    index[last] = 0;
    for (std::size_t i = last; i-- > 0;) {
      for (std::size_t k = 0; k < n; ++k) offset[k] += walk.stride[k][i];
      if (++index[i] < walk.extent[i]) break;
      for (std::size_t k = 0; k < n; ++k) offset[k] -= walk.extent[i] * walk.stride[k][i];
      index[i] = 0;
    }
  }
}

}  // namespace rulegrad::kernels
