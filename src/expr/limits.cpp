#include "expr/limits.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

namespace rulegrad::limits {
namespace {

/// Null, or what is wrong with a shape of elements of so many bytes.
const char* fault(const Shape& shape, std::size_t element) {
  auto count = static_cast<std::int64_t>(element);
  for (const Dim dim : shape.dims()) {
    if (dim.factor < 0) return "with a negative extent";
    if (dim.batch && dim.factor == 0) return "with an extent of no times the batch";
    if (dim.factor > extent) return "with an extent of more than 2147483647";
    // Asked before it is multiplied: 2^40 times 2^24 would be 0.
    const std::int64_t factor = std::max<std::int64_t>(dim.factor, 1);
    if (count > bytes / factor) return "of more than 2^46 bytes";
    count *= factor;
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

void require_room(const OpSchema& op, std::size_t size) {
  if (size >= nodes)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] the graph would hold more than {} operations", op.name, nodes));
}
void require_in_range(const OpSchema& op, const Attributes& attributes) {
  const std::vector<std::string>& fields = attributes.type().fields;
  for (std::size_t at = attributes.beyond(0); at < fields.size(); at = attributes.beyond(at + 1)) {
    // Keys of random numbers are no extents: any 64 bits will do.
    if (fields[at] == "key" || fields[at] == "stream") continue;
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[{}] attribute '{}' is {}, which is out of range: extents and what counts "
                            "them go to 2147483647",
                            op.name, fields[at], to_string(attributes.get(fields[at]))));
  }
}

}  // namespace rulegrad::limits

namespace rulegrad {

bool within_extents(std::int64_t number) {
  return -limits::extent <= number && number <= limits::extent;
}

bool within_extents(const std::vector<std::int64_t>& list) {
  return std::ranges::all_of(list, [](std::int64_t number) { return within_extents(number); });
}

bool within_extents(const Shape& shape) {
  return limits::fault(shape, 1) == nullptr;
}

}  // namespace rulegrad
