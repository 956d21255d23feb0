#include "compile/facts_check.hpp"

#include <cmath>
#include <cstdlib>
#include <fmt/format.h>
#include <string_view>

#include "rulegrad/support/error.hpp"

#include "kernels/invoke.hpp"
#include "support/text.hpp"

namespace rulegrad {

bool facts_check_wanted() {
  const char* value = std::getenv("RULEGRAD_CHECK_FACTS");
  return value != nullptr && std::string_view(value) == "1";
}

void require_interval(const std::string& label, const Interval& interval, DType dtype, const Shape& shape,
                      const Extents& extents, std::int64_t block, const std::byte* data) {
  if (interval == Interval{}) return;
  const Dims dims = shape.at(extents);
  const std::int64_t count = element_count(dims);
  dispatch(dtype, [&]<class T>(T) {
    const T* values = reinterpret_cast<const T*>(data);
    for (std::int64_t i = 0; i < count; ++i) {
      const auto value = static_cast<double>(values[i]);
      if (interval.contains(value) || !std::isfinite(value)) continue;
      Dims index(dims.size());
      std::int64_t rest = row_major_place(shape, extents, block, i);
      for (std::size_t axis = dims.size(); axis-- > 0; rest /= dims[axis]) index[axis] = rest % dims[axis];
      throw Error(
          ErrorCode::internal,
          fmt::format(
              "[{}] gave {} at {}, but was inferred to lie in [{}, {}]; others rely on it: a kernel that "
              "does not keep "
              "it must restore it (Preparation::low and high), or what is inferred of the operator is wrong",
              label, shortest(value), to_string(std::span<const std::int64_t>(index)), shortest(interval.low),
              shortest(interval.high)));
    }
  });
}

}  // namespace rulegrad
