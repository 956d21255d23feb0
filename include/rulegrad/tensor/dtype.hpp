#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace [[gnu::visibility("default")]] rulegrad {

/// Element types. Arithmetic runs in float32 or float64; integers index and count; boolean is one byte, 0
/// or 1.
enum class DType : std::uint8_t { float32, float64, int32, int64, uint8, int8, boolean };

/// Is it float32 or float64?
[[nodiscard]] constexpr bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64;
}

/// Bytes of one element.
[[nodiscard]] constexpr std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::int64:
      return 8;
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::uint8:
    case DType::int8:
    case DType::boolean:
      return 1;
  }
  return 0;
}

/// `float32`, `int64`, `boolean`, ...
[[nodiscard]] std::string_view name_of(DType dtype);
/// The dtype of that name; throws Error(dtype) that lists the names.
[[nodiscard]] DType dtype_from_name(std::string_view name);
/// The dtype of that name, or nothing.
[[nodiscard]] std::optional<DType> find_dtype(std::string_view name);

/// The dtype that stores a C++ type.
template <class T>
inline constexpr DType dtype_of = [] {
  static_assert(sizeof(T) == 0,
                "rulegrad stores float, double, std::int32_t, std::int64_t, std::uint8_t, "
                "std::int8_t and bool only");
  return DType::float32;
}();
template <>
inline constexpr DType dtype_of<float> = DType::float32;
template <>
inline constexpr DType dtype_of<double> = DType::float64;
template <>
inline constexpr DType dtype_of<std::int32_t> = DType::int32;
template <>
inline constexpr DType dtype_of<std::int64_t> = DType::int64;
template <>
inline constexpr DType dtype_of<std::uint8_t> = DType::uint8;
template <>
inline constexpr DType dtype_of<std::int8_t> = DType::int8;
template <>
inline constexpr DType dtype_of<bool> = DType::boolean;

/// Calls `f` with a value-initialised element of the C++ type behind `dtype` and returns its result.
template <class F>
decltype(auto) dispatch(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int8:
      return f(std::int8_t{});
    case DType::boolean:
      break;
  }
  return f(bool{});
}

}  // namespace rulegrad
