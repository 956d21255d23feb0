#include "ops/windows.hpp"

#include <fmt/format.h>

#include "ops/infer.hpp"

namespace rulegrad::windows {

std::int64_t count(std::int64_t extent, const Axis& axis, bool ceil) {
  const std::int64_t room = extent + axis.pad_begin + axis.pad_end - span_of(axis);
  if (room < 0) return 0;
  std::int64_t windows = room / axis.stride + 1;
  if (ceil && room % axis.stride != 0 && windows * axis.stride < extent + axis.pad_begin) ++windows;
  return windows;
}

void fill_lists(const std::string& op, std::size_t axes, Ints& strides, Ints& pads_begin, Ints& pads_end,
                Ints& dilations) {
  const auto fill = [&](const char* name, Ints& list, std::int64_t neutral, std::int64_t least) {
    if (list.empty()) list.assign(axes, neutral);
    if (list.size() != axes)
      infer::fail(op, fmt::format("{} {} has {} numbers but x has {} spatial axes", name, to_string(list),
                                  list.size(), axes));
    for (const std::int64_t value : list)
      if (value < least)
        infer::fail(op, fmt::format("{} {} must not go below {}", name, to_string(list), least));
  };
  fill("strides", strides, 1, 1);
  fill("dilations", dilations, 1, 1);
  fill("pads_begin", pads_begin, 0, 0);
  fill("pads_end", pads_end, 0, 0);
}

Ints spatial_of(const std::string& op, const Shape& x) {
  Ints extents;
  for (std::size_t axis = 2; axis < x.rank(); ++axis) {
    if (x[axis].batch)
      infer::fail(op,
                  fmt::format("axis {} of {} holds the batch, where a number is needed", axis, to_string(x)));
    extents.push_back(x[axis].factor);
  }
  return extents;
}

Ints extents(const std::string& op, const Shape& x, const Ints& kernel, const Ints& strides,
             const Ints& pads_begin, const Ints& pads_end, const Ints& dilations, bool ceil) {
  const Ints in = spatial_of(op, x);
  Ints out;
  for (std::size_t axis = 0; axis < in.size(); ++axis) {
    const Axis window{kernel[axis], strides[axis], dilations[axis], pads_begin[axis], pads_end[axis]};
    out.push_back(count(in[axis], window, ceil));
    if (out.back() < 1)
      infer::fail(op, fmt::format("a window of {} does not fit into axis {} of x {} with padding {} and {}",
                                  span_of(window), axis + 2, to_string(x), window.pad_begin, window.pad_end));
  }
  return out;
}

}  // namespace rulegrad::windows
