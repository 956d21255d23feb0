#pragma once

#include <boost/container/small_vector.hpp>
#include <cstdint>
#include <optional>
#include <vector>

#include "compile/flow.hpp"
#include "compile/fused_call.hpp"

namespace rulegrad {

/// What the members of a group compute: values of these extents and, where some of them work on rows, values
/// with one element for each row, of the same extents up to that axis and 1 behind it.
struct FusionFrame {
  Shape shape;
  std::int64_t block = 0;
  std::optional<std::size_t> row_axis = {};

  [[nodiscard]] bool has_value_per_row(const Shape& value) const;
  [[nodiscard]] FusedGroup::Place place_of(const Shape& value) const;

  /// The frame of two groups that become one, if there is one.
  [[nodiscard]] static std::optional<FusionFrame> of(const FusionFrame& a, const FusionFrame& b);
};

/// Instructions of a flow that become one, in place of one of them.
struct FusionGroup {
  using Members = boost::container::small_vector<std::size_t, 4>;
  Members members;  ///< in the order of the flow
  bool fusible;
  FusionFrame frame;
};

/// Groups by the instruction that they take the place of; those of other members are empty. What each reads is there
/// when it runs, and no call reads more values, or takes more operations, than stay in the nearest cache together.
[[nodiscard]] std::vector<FusionGroup> fusion_groups(const Flow& flow);

}  // namespace rulegrad
