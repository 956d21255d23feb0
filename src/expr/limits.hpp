#pragma once

#include <cstdint>
#include <limits>

#include "rulegrad/expr/schema.hpp"

/// How large anything in a graph may be. Inference and planning rely on it: a product of two extents, or of
/// an extent and an attribute, fits into 64 bits, and so does the number of bytes of any value.
namespace rulegrad::limits {

/// Of one axis, and of each number of an attribute: BLAS counts in 32 bits.
inline constexpr std::int64_t extent = std::numeric_limits<std::int32_t>::max();
/// Of one value, with the batch and extents of 0 counted as 1: more than a machine addresses.
inline constexpr std::int64_t bytes = std::int64_t{1} << 46;

/// Of one graph, some twelve gigabytes of them: rules and loops that never end stop here.
inline constexpr std::size_t nodes = std::size_t{1} << 25;

/// Throws Error(invalid_argument) where a graph that holds `size` nodes takes no more.
void require_room(const OpSchema& op, std::size_t size);
/// Throws Error(shape) that names the operation for a type beyond these bounds, or with a negative extent.
void require_storable(const OpSchema& op, const Type& type);
/// Throws Error(invalid_argument) that names operation and attribute for a number beyond `extent`.
void require_in_range(const OpSchema& op, const Attributes& attributes);

}  // namespace rulegrad::limits
