#include "runtime/finite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "rulegrad/error.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Values a thread looks at before it asks for more.
constexpr std::int64_t block = 1 << 16;

/// Written so that compilers vectorise it: no early exit, masks as wide as the values.
template <class T>
bool all_finite(const T* values, std::int64_t count) {
  using Mask = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  Mask bad = 0;
  for (std::int64_t i = 0; i < count; ++i) bad |= static_cast<Mask>(values[i] - values[i] != T(0));
  return bad == 0;
}

template <class T>
std::optional<std::int64_t> first_of(const T* values, std::int64_t count) {
  const std::int64_t blocks = (count + block - 1) / block;
  std::int64_t first = blocks;
  const auto look = [&](std::int64_t b) {
    return all_finite(values + b * block, std::min(block, count - b * block)) ? blocks : b;
  };
  if (blocks == 1) {
    first = look(0);
  } else {
#pragma omp parallel for reduction(min : first)
    for (std::int64_t b = 0; b < blocks; ++b) first = std::min(first, look(b));
  }
  if (first == blocks) return std::nullopt;
  std::int64_t position = first * block;
  while (std::isfinite(values[position])) ++position;
  return position;
}

}  // namespace

std::optional<std::int64_t> first_non_finite(DType dtype, const std::byte* data, std::int64_t count) {
  if (dtype == DType::float32) return first_of(reinterpret_cast<const float*>(data), count);
  if (dtype == DType::float64) return first_of(reinterpret_cast<const double*>(data), count);
  return std::nullopt;
}

std::string describe_element(DType dtype, const std::byte* data, std::span<const std::int64_t> dims,
                             std::int64_t position) {
  const double value = dispatch(dtype, [&]<class T>(T) {
    return static_cast<double>(reinterpret_cast<const T*>(data)[position]);
  });
  Dims index(dims.size());
  for (std::size_t axis = dims.size(); axis-- > 0; position /= dims[axis]) index[axis] = position % dims[axis];
  return fmt::format("{} at {}", shortest(value), to_string(std::span<const std::int64_t>(index)));
}

void require_finite(const std::string& who, const char* verb, const char* advice, DType dtype,
                    std::span<const std::int64_t> dims, const std::byte* data) {
  if (const auto position = first_non_finite(dtype, data, element_count(dims)))
    throw Error(ErrorCode::non_finite,
                fmt::format("[{}] {} {}; {}", who, verb, describe_element(dtype, data, dims, *position), advice));
}

}  // namespace rulegrad
