#include "onnx/windows.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace rulegrad::io {
namespace {

/// Beyond these, extents computed from them could overflow; no model has them.
constexpr std::int64_t most = std::int64_t{1} << 24;

void check_list(const NodeContext& c, const char* name, const Ints& list, std::size_t axes,
                std::int64_t least) {
  if (list.size() != axes)
    c.fail(fmt::format("{} {} needs {} numbers, one for each spatial axis", name, to_string(list), axes));
  for (const std::int64_t value : list)
    if (value < least || value > most)
      c.fail(fmt::format("{} {} must lie between {} and {}", name, to_string(list), least, most));
}

void max_pool(NodeContext& c) {
  const Expr x = c.operand(0);
  const bool ceil = c.integer("ceil_mode", 0) != 0;
  c.ignore({"storage_order"});  // of the indices, which are not supported
  Window w = read_window(c, x.shape(), {});
  resolve_auto_pad(c, x.shape(), w);
  // Integers are pooled as the real numbers they are.
  const Expr real = is_floating(x.dtype()) ? x : c.apply("cast", {x}, CastAttributes{c.importer().real()});
  const Expr y =
      c.apply("max_pool", {real}, PoolAttributes{w.kernel, w.strides, w.begin, w.end, w.dilations, ceil});
  c.result(c.apply("cast", {y}, CastAttributes{x.dtype()}));
}

void average_pool(NodeContext& c) {
  const Expr x = c.operand(0);
  const bool ceil = c.integer("ceil_mode", 0) != 0, counted = c.integer("count_include_pad", 0) != 0;
  Window w = read_window(c, x.shape(), {});
  resolve_auto_pad(c, x.shape(), w);
  c.result(c.apply("avg_pool", {x},
                   AvgPoolAttributes{w.kernel, w.strides, w.begin, w.end, w.dilations, ceil, counted}));
}

/// A window over everything where windows exist, so that rules for pooling see it.
Handler global_pool(bool maximum) {
  return [maximum](NodeContext& c) {
    const Expr x = c.operand(0);
    const std::size_t rank = x.shape().rank();
    if (rank < 3) c.fail(fmt::format("x must be [N, C, spatial...] but is {}", to_string(x.type())));
    if (rank > 5) {
      Ints axes;
      for (std::size_t axis = 2; axis < rank; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
      return c.result(c.apply(maximum ? "amax" : "mean", {x}, ReduceAttributes{axes, true}));
    }
    const Ints kernel = spatial_extents(c, x.shape());
    const Ints ones(kernel.size(), 1), none(kernel.size(), 0);
    if (maximum)
      return c.result(c.apply("max_pool", {x}, PoolAttributes{kernel, ones, none, none, ones, false}));
    c.result(c.apply("avg_pool", {x}, AvgPoolAttributes{kernel, ones, none, none, ones, false, false}));
  };
}

}  // namespace

Ints spatial_extents(const NodeContext& c, const Shape& x) {
  Ints extents;
  for (std::size_t axis = 2; axis < x.rank(); ++axis) {
    if (x[axis].batch)
      c.fail(fmt::format("axis {} of {} is the batch, where a number is needed", axis, to_string(x)));
    extents.push_back(x[axis].factor);
  }
  return extents;
}

Window read_window(NodeContext& c, const Shape& x, const Ints& kernel) {
  if (x.rank() < 3) c.fail(fmt::format("x must be [N, C, spatial...] but is {}", to_string(x)));
  const std::size_t axes = x.rank() - 2;
  Window w;
  w.kernel = c.integers("kernel_shape", kernel);
  w.strides = c.integers("strides", Ints(axes, 1));
  w.dilations = c.integers("dilations", Ints(axes, 1));
  const Ints pads = c.integers("pads", Ints(2 * axes, 0));
  w.auto_pad = c.text("auto_pad", "NOTSET");
  check_list(c, "kernel_shape", w.kernel, axes, 1);
  check_list(c, "strides", w.strides, axes, 1);
  check_list(c, "dilations", w.dilations, axes, 1);
  check_list(c, "pads", pads, 2 * axes, 0);
  w.begin.assign(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(axes));
  w.end.assign(pads.begin() + static_cast<std::ptrdiff_t>(axes), pads.end());
  const std::string known[] = {"NOTSET", "", "VALID", "SAME_UPPER", "SAME_LOWER"};
  if (std::find(std::begin(known), std::end(known), w.auto_pad) == std::end(known))
    c.fail(fmt::format("attribute 'auto_pad' is '{}' but must be NOTSET, VALID, SAME_UPPER or SAME_LOWER",
                       w.auto_pad));
  return w;
}

void resolve_auto_pad(NodeContext& c, const Shape& x, Window& w) {
  if (w.auto_pad == "VALID") {
    std::fill(w.begin.begin(), w.begin.end(), 0);
    std::fill(w.end.begin(), w.end.end(), 0);
  }
  if (!w.auto_pad.starts_with("SAME")) return;
  const Ints extents = spatial_extents(c, x);
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const std::int64_t span = w.dilations[axis] * (w.kernel[axis] - 1) + 1;
    const std::int64_t windows = (extents[axis] + w.strides[axis] - 1) / w.strides[axis];
    const std::int64_t padding =
        std::max<std::int64_t>(0, (windows - 1) * w.strides[axis] + span - extents[axis]);
    const std::int64_t less = padding / 2;
    w.begin[axis] = w.auto_pad == "SAME_UPPER" ? less : padding - less;
    w.end[axis] = padding - w.begin[axis];
  }
}

void add_windows(Handlers& h) {
  h["MaxPool"] = max_pool;
  h["AveragePool"] = average_pool;
  h["GlobalMaxPool"] = global_pool(true);
  h["GlobalAveragePool"] = global_pool(false);
}

}  // namespace rulegrad::io
