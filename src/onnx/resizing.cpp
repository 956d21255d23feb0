#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "onnx/resampling.hpp"

namespace rulegrad::io {
namespace {

/// Extents and scales of every axis of x; scales are empty where the model gives extents.
struct Target {
  Ints extents;
  std::vector<double> scales;
};

std::vector<double> numbers_of(const NodeContext& c, std::size_t input, const char* meaning) {
  const Tensor tensor = c.required_constant(input, meaning);
  std::vector<double> numbers;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(tensor.size(), 64); ++i)
    numbers.push_back(tensor.at(i));
  return numbers;
}

/// -1 stands for the batch, which is not resized.
std::int64_t extent_of(Dim dim) {
  return dim.batch ? -1 : dim.factor;
}

void set_scale(const NodeContext& c, Target& target, const Shape& shape, std::size_t axis, double scale) {
  if (!(scale > 0) || scale > 65536) c.fail(fmt::format("scale {} is out of range", scale));
  if (shape[axis].batch && scale != 1)
    c.fail(fmt::format("axis {} of {} is the batch, which cannot be resized", axis, to_string(shape)));
  target.scales[axis] = scale;
  if (!shape[axis].batch)
    target.extents[axis] =
        static_cast<std::int64_t>(std::floor(static_cast<double>(shape[axis].factor) * scale));
}

Target from_sizes(NodeContext& c, const Shape& shape, const Ints& axes, const std::vector<Dim>& sizes) {
  if (sizes.size() != axes.size())
    c.fail(fmt::format("sizes has {} numbers for {} axes", sizes.size(), axes.size()));
  Target target;
  for (const Dim dim : shape.dims()) target.extents.push_back(extent_of(dim));
  const std::string policy = c.text("keep_aspect_ratio_policy", "stretch");
  if (policy == "stretch") {
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const auto axis = static_cast<std::size_t>(axes[i]);
      const bool kept =
          shape[axis].batch &&
          (sizes[i].batch || (c.importer().promoted() && sizes[i].is(c.importer().samples_in_file())));
      target.extents[axis] = kept ? -1 : extent_of(sizes[i]);
    }
    return target;
  }
  const bool smaller = policy == "not_larger";
  if (!smaller && policy != "not_smaller")
    c.fail(fmt::format(
        "attribute 'keep_aspect_ratio_policy' is '{}' but must be stretch, not_larger or not_smaller",
        policy));
  std::optional<double> scale;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const double ratio = static_cast<double>(sizes[i].factor) /
                         static_cast<double>(shape[static_cast<std::size_t>(axes[i])].factor);
    scale = !scale ? ratio : smaller ? std::min(*scale, ratio) : std::max(*scale, ratio);
  }
  target.scales.assign(shape.rank(), 1);
  for (const std::int64_t a : axes) {
    const auto axis = static_cast<std::size_t>(a);
    set_scale(c, target, shape, axis, *scale);
    if (!shape[axis].batch)
      target.extents[axis] =
          static_cast<std::int64_t>(std::floor(*scale * static_cast<double>(shape[axis].factor) + 0.5));
  }
  return target;
}

Target from_scales(NodeContext& c, const Shape& shape, const Ints& axes, const std::vector<double>& scales) {
  if (scales.size() != axes.size())
    c.fail(fmt::format("scales has {} numbers for {} axes", scales.size(), axes.size()));
  Target target;
  for (const Dim dim : shape.dims()) target.extents.push_back(extent_of(dim));
  target.scales.assign(shape.rank(), 1);
  for (std::size_t i = 0; i < axes.size(); ++i)
    set_scale(c, target, shape, static_cast<std::size_t>(axes[i]), scales[i]);
  return target;
}

/// The axes from the third on, or, where the first ones change too, an error; one or two axes are taken as
/// a signal's or a picture's.
void apply_resize(NodeContext& c, const Target& target, ResizeAttributes attributes) {
  const Expr x = c.operand(0);
  const Shape& shape = x.shape();
  const std::size_t first = shape.rank() < 3 ? 0 : 2;
  for (std::size_t axis = 0; axis < first; ++axis)
    if (target.extents[axis] != extent_of(shape[axis]))
      c.fail(fmt::format("it resizes axis {} of {}; only those from 2 on can be", axis, to_string(x.type())));
  for (std::size_t axis = first; axis < shape.rank(); ++axis) {
    if (target.extents[axis] < 1 || target.extents[axis] > (std::int64_t{1} << 24))
      c.fail(fmt::format("axis {} of {} would get the extent {}", axis, to_string(x.type()),
                         target.extents[axis]));
    attributes.spatial.push_back(target.extents[axis]);
    if (!target.scales.empty()) attributes.scales.push_back(target.scales[axis]);
  }
  if (shape.rank() == 0) return c.result(x);
  if (shape.rank() > 2) return c.result(c.apply("resize", {x}, std::move(attributes)));
  std::vector<Dim> dims = shape.dims();
  dims.insert(dims.begin(), 2, Dim{1});
  const Expr y = c.apply("resize", {reshaped(c, x, std::move(dims))}, std::move(attributes));
  c.result(reshaped(c, y, {y.shape().dims().begin() + 2, y.shape().dims().end()}));
}

template <class T>
T choice(NodeContext& c, const char* name, const std::string& otherwise,
         std::initializer_list<std::pair<const char*, T>> choices) {
  const std::string word = c.text(name, otherwise);
  std::string known;
  for (const auto& [candidate, value] : choices) {
    if (word == candidate) return value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", candidate);
  }
  c.fail(fmt::format("attribute '{}' is '{}', which is not supported; supported: {}", name, word, known));
}

ResizeMode resize_mode(NodeContext& c) {
  return choice<ResizeMode>(
      c, "mode", "nearest",
      {{"nearest", ResizeMode::nearest}, {"linear", ResizeMode::linear}, {"bilinear", ResizeMode::linear}});
}

Ints all_axes(const Shape& shape) {
  Ints axes;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  return axes;
}

/// Upsample, and Resize of opset 10: x_in = x_out / scale, rounded down for the nearest element.
void old_resize(NodeContext& c, const std::vector<double>& scales) {
  const Shape& shape = c.shape(0);
  const ResizeAttributes attributes{
      {}, {}, resize_mode(c), ResizeCoordinates::asymmetric, NearestRounding::floor};
  apply_resize(c, from_scales(c, shape, all_axes(shape), scales), attributes);
}

void upsample(NodeContext& c) {
  old_resize(c, c.has_attribute("scales") ? c.reals("scales") : numbers_of(c, 1, "scales"));
}

/// Where a scale gives no whole extent, ONNX aligns to the fraction and its runtimes to the whole number.
void require_whole_extents(const NodeContext& c, const Target& target, const Shape& shape) {
  for (std::size_t axis = 0; axis < target.scales.size(); ++axis)
    if (const double exact = target.scales[axis] * static_cast<double>(shape[axis].factor);
        !shape[axis].batch && std::abs(exact - std::round(exact)) > 1e-4 * exact)
      c.fail(fmt::format(
          "align_corners with scale {} makes {} of {} elements, which is no whole number; give sizes instead",
          target.scales[axis], exact, shape[axis].factor));
}

/// What has no operator of its own, as products with matrices along each axis.
void resize_by_matrices(NodeContext& c, const Target& target) {
  Resampling how;
  how.mode = c.text("mode", "nearest");
  if (how.mode == "bilinear") how.mode = "linear";
  how.coordinates = c.text("coordinate_transformation_mode", "half_pixel");
  how.rounding = c.text("nearest_mode", "round_prefer_floor");
  how.cubic_a = c.real("cubic_coeff_a", -0.75);
  how.extrapolation = c.real("extrapolation_value", 0);
  how.antialias = c.integer("antialias", 0) != 0;
  how.exclude_outside = c.integer("exclude_outside", 0) != 0;
  Expr x = c.operand(0);
  const Shape shape = x.shape();
  std::vector<double> roi;
  if (how.coordinates == "tf_crop_and_resize") {
    const std::vector<double> given = numbers_of(c, 1, "roi");
    const Ints axes = c.integers("axes", all_axes(shape));
    if (given.size() != 2 * axes.size())
      c.fail(fmt::format("roi has {} numbers for {} axes", given.size(), axes.size()));
    roi.assign(2 * shape.rank(), 0);
    std::fill(roi.begin() + static_cast<std::ptrdiff_t>(shape.rank()), roi.end(), 1);
    for (std::size_t i = 0; i < axes.size(); ++i) {
      const std::size_t axis = checked_axis(c, axes[i], shape.rank());
      roi[axis] = given[i];
      roi[shape.rank() + axis] = given[i + axes.size()];
    }
  }
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (shape[axis].batch) {
      if (target.extents[axis] != -1)
        c.fail(fmt::format("axis {} of {} is the batch, which cannot be resized", axis, to_string(shape)));
      continue;
    }
    const std::int64_t before = shape[axis].factor, after = target.extents[axis];
    const double scale = target.scales.empty() ? static_cast<double>(after) / static_cast<double>(before)
                                               : target.scales[axis];
    const double start = roi.empty() ? 0 : roi[axis], stop = roi.empty() ? 1 : roi[shape.rank() + axis];
    if (before == after && scale == 1 && start == 0 && stop == 1) continue;
    x = resampled(c, x, axis, after, scale, how, start, stop);
  }
  c.result(x);
}

/// Is there an operator for it?
bool has_operator(NodeContext& c, const Target& target) {
  const Shape& shape = c.shape(0);
  if (c.text("mode", "nearest") == "cubic" || c.integer("antialias", 0) != 0 ||
      c.integer("exclude_outside", 0) != 0)
    return false;
  const std::string coordinates = c.text("coordinate_transformation_mode", "half_pixel");
  if (coordinates == "half_pixel_symmetric" || coordinates == "tf_crop_and_resize") return false;
  if (shape.rank() < 2 || shape.rank() == 2) return shape.rank() == 2 && !shape.has_batch();
  for (std::size_t axis = 0; axis < 2; ++axis)
    if (target.extents[axis] != extent_of(shape[axis])) return false;
  return shape.rank() <= 5;
}

void resize(NodeContext& c) {
  if (c.opset() < 11) return old_resize(c, numbers_of(c, 1, "scales"));
  const Shape& shape = c.shape(0);
  Ints axes = c.integers("axes", all_axes(shape));
  for (std::int64_t& axis : axes) axis = static_cast<std::int64_t>(checked_axis(c, axis, shape.rank()));
  // An input that is there but empty says that the other one holds.
  const bool by_size = c.has(3) && !c.dims_of(3, "sizes").empty();
  if (!by_size && c.has_attribute("keep_aspect_ratio_policy")) c.ignore({"keep_aspect_ratio_policy"});
  if (!by_size && !c.has(2)) c.fail("it has neither scales nor sizes");
  const Target target = by_size ? from_sizes(c, shape, axes, c.dims_of(3, "sizes"))
                                : from_scales(c, shape, axes, numbers_of(c, 2, "scales"));
  if (!has_operator(c, target)) return resize_by_matrices(c, target);
  ResizeAttributes attributes;
  attributes.mode = resize_mode(c);
  attributes.coordinates =
      choice<ResizeCoordinates>(c, "coordinate_transformation_mode", "half_pixel",
                                {{"half_pixel", ResizeCoordinates::half_pixel},
                                 {"pytorch_half_pixel", ResizeCoordinates::pytorch_half_pixel},
                                 {"align_corners", ResizeCoordinates::align_corners},
                                 {"asymmetric", ResizeCoordinates::asymmetric}});
  attributes.rounding = choice<NearestRounding>(c, "nearest_mode", "round_prefer_floor",
                                                {{"round_prefer_floor", NearestRounding::round_prefer_floor},
                                                 {"round_prefer_ceil", NearestRounding::round_prefer_ceil},
                                                 {"floor", NearestRounding::floor},
                                                 {"ceil", NearestRounding::ceil}});
  c.ignore({"cubic_coeff_a", "extrapolation_value"});
  if (attributes.coordinates == ResizeCoordinates::align_corners) require_whole_extents(c, target, shape);
  apply_resize(c, target, attributes);
}

}  // namespace

void add_resizing(Handlers& h) {
  h["Resize"] = resize;
  h["Upsample"] = upsample;
}

}  // namespace rulegrad::io
