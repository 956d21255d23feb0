#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/expr/schema.hpp"
#include "rulegrad/ops/op_attributes.hpp"

/// What the core families check of their operands, the wording of the refusals, and how they write examples.
namespace rulegrad::infer {

/// The element types an operand may have. Arithmetic runs in float32, float64, int32 and int64.
enum class Numbers : std::uint8_t { floating, arithmetic, index, boolean };

/// Throws Error(dtype): `[log] x must be float32 or float64 but is int64[B, 3]; cast it`.
void require(const std::string& op, const std::string& operand, const Type& type, Numbers numbers);

/// Throws Error(dtype) unless elements of `dtype` can be `value`: `[pad] value 0.5 is no int64`.
void require_held(const std::string& op, const std::string& name, double value, DType dtype);

/// The axes counted from the front in ascending order, all of them for an empty list; throws if one is
/// missing or named twice.
[[nodiscard]] Ints checked_axes(const std::string& op, const Ints& axes, std::size_t rank);

/// Throws unless `shape` holds the batch extent at most once.
void require_one_batch(const std::string& op, const Shape& shape, const std::string& operands);

}  // namespace rulegrad::infer

namespace rulegrad {

using Examples = std::function<std::vector<OpExample>(RandomEngine&)>;

/// The same instances whatever the generator.
[[nodiscard]] Examples fixed_examples(std::vector<OpExample> examples);
/// An operand of whole numbers from `low` to `high`.
[[nodiscard]] inline ExampleOperand indices(Dims dims, double low, double high, DType dtype = DType::int64) {
  return {.dims = std::move(dims), .low = low, .high = high, .dtype = dtype};
}
[[nodiscard]] std::int64_t random_extent(RandomEngine& random, std::int64_t low, std::int64_t high);

/// Are the extents equal, sample axes aside?
[[nodiscard]] inline bool same_dims(const Shape& a, const Shape& b) {
  return a.dims() == b.dims();
}

}  // namespace rulegrad
