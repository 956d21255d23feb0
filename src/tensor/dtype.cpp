#include "rulegrad/tensor/dtype.hpp"

#include <array>
#include <utility>

#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::array<std::pair<DType, std::string_view>, 7> names{{
    {DType::float32, "float32"},
    {DType::float64, "float64"},
    {DType::int32, "int32"},
    {DType::int64, "int64"},
    {DType::uint8, "uint8"},
    {DType::int8, "int8"},
    {DType::boolean, "boolean"},
}};

}  // namespace

std::string_view name_of(DType dtype) {
  for (const auto& [candidate, name] : names)
    if (candidate == dtype) return name;
  return "?";
}

std::optional<DType> find_dtype(std::string_view name) {
  for (const auto& [candidate, text] : names)
    if (text == name) return candidate;
  return std::nullopt;
}

DType dtype_from_name(std::string_view name) {
  if (const auto found = find_dtype(name)) return *found;
  std::vector<std::string> known;
  for (const auto& [candidate, text] : names) known.emplace_back(text);
  throw Error(ErrorCode::dtype, unknown_name_message("dtype", name, known));
}

}  // namespace rulegrad
