#include "expr/limits.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

namespace rulegrad::limits {
namespace {

bool in_range(std::int64_t number) {
  return -extent <= number && number <= extent;
}

/// Null, or what is wrong with a shape of elements of so many bytes.
const char* fault(const Shape& shape, std::size_t element) {
  auto count = static_cast<std::int64_t>(element);
  for (const Dim dim : shape.dims()) {
    if (dim.factor < 0) return "with a negative extent";
    if (dim.factor > extent) return "with an extent of more than 2147483647";
    count *= std::max<std::int64_t>(dim.factor, 1);
    if (count > bytes) return "of more than 2^46 bytes";
  }
  return nullptr;
}

}  // namespace

void require_storable(const OpSchema& op, const Type& type) {
  if (const char* const what = fault(type.shape, size_of(type.dtype)))
    throw Error(ErrorCode::shape,
                fmt::format("[{}] the result would be {}, a value {}, which cannot be computed", op.name,
                            to_string(type), what));
}

void require_in_range(const OpSchema& op, const Attributes& attributes) {
  const AttrType& type = attributes.type();
  for (const std::string& field : type.fields) {
    // Keys of random numbers are no extents: any 64 bits will do.
    if (field == "key" || field == "stream") continue;
    const AttrValue value = attributes.get(field);
    bool good = true;
    if (const auto* number = std::get_if<std::int64_t>(&value))
      good = in_range(*number);
    else if (const auto* list = std::get_if<std::vector<std::int64_t>>(&value))
      good = std::all_of(list->begin(), list->end(), in_range);
    else if (const auto* shape = std::get_if<Shape>(&value))
      good = fault(*shape, 1) == nullptr;
    if (!good)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[{}] attribute '{}' is {}, which is out of range: extents and what counts "
                              "them go to 2147483647",
                              op.name, field, to_string(value)));
  }
}

}  // namespace rulegrad::limits
