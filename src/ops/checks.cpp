#include "ops/checks.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "ops/infer.hpp"
#include "tensor/held.hpp"

namespace rulegrad::infer {
namespace {

bool allowed(DType dtype, Numbers numbers) {
  const bool index = dtype == DType::int32 || dtype == DType::int64;
  switch (numbers) {
    case Numbers::floating:
      return is_floating(dtype);
    case Numbers::arithmetic:
      return is_floating(dtype) || index;
    case Numbers::index:
      return index;
    case Numbers::boolean:
      break;
  }
  return dtype == DType::boolean;
}

std::string_view list_of(Numbers numbers) {
  switch (numbers) {
    case Numbers::floating:
      return "float32 or float64";
    case Numbers::arithmetic:
      return "float32, float64, int32 or int64";
    case Numbers::index:
      return "int32 or int64";
    case Numbers::boolean:
      break;
  }
  return "boolean";
}

}  // namespace

void require(const std::string& op, const std::string& operand, const Type& type, Numbers numbers) {
  if (allowed(type.dtype, numbers)) return;
  const char* const advice = numbers == Numbers::boolean ? "compare it with something" : "cast it";
  throw Error(ErrorCode::dtype, fmt::format("[{}] {} must be {} but is {}; {}", op, operand, list_of(numbers),
                                            to_string(type), advice));
}

void require_held(const std::string& op, const std::string& name, double value, DType dtype) {
  if (holds(dtype, value)) return;
  throw Error(ErrorCode::dtype, fmt::format("[{}] {} {} is no {}: give a number that the elements can be", op,
                                            name, value, name_of(dtype)));
}

Ints checked_axes(const std::string& op, const Ints& axes, std::size_t rank) {
  Ints result;
  for (const std::int64_t axis : axes)
    result.push_back(static_cast<std::int64_t>(checked_axis(op, axis, rank)));
  std::sort(result.begin(), result.end());
  if (const auto twice = std::adjacent_find(result.begin(), result.end()); twice != result.end())
    fail(op, fmt::format("axis {} is named twice in axes {}", *twice, to_string(AttrValue(axes))));
  if (axes.empty())
    for (std::size_t axis = 0; axis < rank; ++axis) result.push_back(static_cast<std::int64_t>(axis));
  return result;
}

void require_one_batch(const std::string& op, const Shape& shape, const std::string& operands) {
  if (std::count_if(shape.dims().begin(), shape.dims().end(), [](Dim dim) { return dim.batch; }) > 1)
    fail(op,
         fmt::format("the result {} of {} would hold the batch extent twice", to_string(shape), operands));
}

}  // namespace rulegrad::infer

namespace rulegrad {

Examples fixed_examples(std::vector<OpExample> examples) {
  return [examples = std::move(examples)](RandomEngine&) { return examples; };
}

std::int64_t random_extent(RandomEngine& random, std::int64_t low, std::int64_t high) {
  return std::uniform_int_distribution<std::int64_t>(low, high)(random);
}

}  // namespace rulegrad
