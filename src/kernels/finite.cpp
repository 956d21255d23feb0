#include "kernels/finite.hpp"

#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "kernels/reduce/statistics.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

template <class T>
std::optional<std::int64_t> first_of(const std::byte* data, std::int64_t count) {
  const std::span values(reinterpret_cast<const T*>(data), static_cast<std::size_t>(count));
  const std::int64_t position = kernels::first_non_finite(values);
  return position < 0 ? std::nullopt : std::optional(position);
}

}  // namespace

std::optional<std::int64_t> first_non_finite(DType dtype, const std::byte* data, std::int64_t count) {
  if (dtype == DType::float32) return first_of<float>(data, count);
  if (dtype == DType::float64) return first_of<double>(data, count);
  return std::nullopt;
}

void fail_non_finite(const std::string& who, const char* verb, const char* advice, DType dtype,
                     std::span<const std::int64_t> dims, const std::byte* data, std::int64_t position,
                     std::optional<std::int64_t> place) {
  const double value = dispatch(
      dtype, [&]<class T>(T) { return static_cast<double>(reinterpret_cast<const T*>(data)[position]); });
  fail_non_finite(who, verb, advice, dims, value, place.value_or(position));
}

void fail_non_finite(const std::string& who, const char* verb, const char* advice,
                     std::span<const std::int64_t> dims, double value, std::int64_t place) {
  Dims index(dims.size());
  std::int64_t rest = place;
  for (std::size_t axis = dims.size(); axis-- > 0; rest /= dims[axis]) index[axis] = rest % dims[axis];
  throw Error(ErrorCode::non_finite, fmt::format("[{}] {} {} at {}; {}", who, verb, shortest(value),
                                                 to_string(std::span<const std::int64_t>(index)), advice));
}

}  // namespace rulegrad
