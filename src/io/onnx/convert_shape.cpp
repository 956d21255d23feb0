#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/onnx/importer.hpp"
#include "rulegrad/error.hpp"

/// What moves numbers, and the arithmetic of shapes.
namespace rulegrad::onnx_io {
namespace {

std::int64_t from_front(std::int64_t axis, std::size_t rank) {
  const auto r = static_cast<std::int64_t>(rank);
  if (axis < -r || axis >= r) throw Error(ErrorCode::model, fmt::format("axis {} of a value with {} axes", axis, rank));
  return axis < 0 ? axis + r : axis;
}

Ints axes_from_front(Ints axes, std::size_t rank) {
  for (std::int64_t& axis : axes) axis = from_front(axis, rank);
  std::sort(axes.begin(), axes.end());
  return axes;
}

Expr reshaped(const NodeReader& n, Expr x, std::vector<Dim> dims) { return n.apply("reshape", {x}, ShapeAttributes{Shape(std::move(dims))}); }

Dim product(std::span<const Dim> dims) {
  Dim total{1};
  for (const Dim dim : dims) total = Dim(total.factor * dim.factor, total.batch || dim.batch);
  return total;
}

/// Target extents with 0 (as in x) and -1 (the rest) resolved, and a leading 1 read as the batch where x has one and
/// the target would otherwise lack it: models exported for one sample write that 1 as a number.
std::vector<Dim> resolved(const NodeReader& n, const Shape& x, std::vector<Dim> target, bool zero_copies) {
  std::size_t open = target.size();
  for (std::size_t i = 0; i < target.size(); ++i) {
    if (target[i].is(0) && zero_copies) {
      if (i >= x.rank()) throw Error(ErrorCode::model, fmt::format("0 at axis {} copies an extent that x {} does not have", i, to_string(x)));
      target[i] = x[i];
    } else if (target[i].is(-1)) {
      if (open != target.size()) throw Error(ErrorCode::model, "two extents of -1 in a reshape");
      open = i;
    }
  }
  const Dim total = x.count();
  if (open != target.size()) {
    target[open] = Dim{1};
    const bool batch_named = product(target).batch;
    if (total.batch && !batch_named && open != 0 && !target.empty() && target[0].is(1) && n.importer().free_batch()) target[0] = B;
    const Dim rest = product(target);
    if (rest.factor == 0 || total.factor % rest.factor != 0 || (rest.batch && !total.batch))
      throw Error(ErrorCode::model, fmt::format("x {} cannot take the extents {}", to_string(x), to_string(Shape(target))));
    target[open] = Dim(total.factor / rest.factor, total.batch && !rest.batch);
  } else if (total.batch && !product(target).batch && !target.empty() && target[0].is(1) && n.importer().free_batch()) {
    target[0] = B;
  }
  return target;
}

void reshape(const NodeReader& n) {
  std::vector<Dim> target = n.has(1) ? n.dims(1) : std::vector<Dim>{};
  if (!n.has(1))
    for (const std::int64_t extent : n.list("shape")) target.emplace_back(extent);
  if (n.value(0).dims) {
    // A shape that is reshaped stays a list of extents.
    return n.result(Value{Expr(), *n.value(0).dims, target.empty()});
  }
  const Expr x = n.expr(0);
  n.result(reshaped(n, x, resolved(n, x.shape(), std::move(target), n.integer("allowzero", 0) == 0)));
}

void flatten(const NodeReader& n) {
  const Expr x = n.expr(0);
  const std::int64_t axis = n.integer("axis", 1);
  const auto rank = static_cast<std::int64_t>(x.shape().rank());
  const std::int64_t cut = axis < 0 ? axis + rank : axis;
  if (cut < 0 || cut > rank) throw Error(ErrorCode::model, fmt::format("axis {} of x {}", axis, to_string(x.shape())));
  const std::span<const Dim> dims = x.shape().dims();
  n.result(reshaped(n, x, {product(dims.first(static_cast<std::size_t>(cut))), product(dims.subspan(static_cast<std::size_t>(cut)))}));
}

void squeeze(const NodeReader& n) {
  if (n.value(0).dims) {
    const std::vector<Dim>& extents = *n.value(0).dims;
    return n.result(Value{Expr(), extents, extents.size() == 1});
  }
  const Expr x = n.expr(0);
  const Ints axes = axes_from_front(n.has(1) ? n.ints(1) : n.list("axes"), x.shape().rank());
  std::vector<Dim> dims;
  for (std::size_t axis = 0; axis < x.shape().rank(); ++axis) {
    const bool named = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
    if (named && !x.shape()[axis].is(1)) throw Error(ErrorCode::model, fmt::format("axis {} of x {} is not 1 and cannot be squeezed", axis, to_string(x.shape())));
    if (!(named || (axes.empty() && x.shape()[axis].is(1)))) dims.push_back(x.shape()[axis]);
  }
  n.result(reshaped(n, x, std::move(dims)));
}

void unsqueeze(const NodeReader& n) {
  const Ints given = n.has(1) ? n.ints(1) : n.list("axes");
  if (n.value(0).dims) {
    return n.result(Value{Expr(), *n.value(0).dims, false});
  }
  const Expr x = n.expr(0);
  const std::size_t rank = x.shape().rank() + given.size();
  const Ints axes = axes_from_front(given, rank);
  std::vector<Dim> dims;
  std::size_t next = 0;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const bool added = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
    dims.push_back(added ? Dim{1} : x.shape()[next++]);
  }
  n.result(reshaped(n, x, std::move(dims)));
}

void transpose(const NodeReader& n) {
  const Expr x = n.expr(0);
  Ints perm = n.list("perm");
  if (perm.empty())
    for (std::size_t axis = x.shape().rank(); axis-- > 0;) perm.push_back(static_cast<std::int64_t>(axis));
  n.result(n.apply("transpose", {x}, TransposeAttributes{perm}));
}

void concat(const NodeReader& n) {
  bool shapes = false;
  for (std::size_t i = 0; i < n.operands(); ++i) shapes = shapes || n.value(i).dims.has_value();
  if (shapes) {
    Value v{Expr(), std::vector<Dim>{}, false};
    for (std::size_t i = 0; i < n.operands(); ++i)
      for (const Dim dim : n.dims(i)) v.dims->push_back(dim);
    return n.result(v);
  }
  std::vector<Expr> parts;
  for (std::size_t i = 0; i < n.operands(); ++i) parts.push_back(n.expr(i));
  n.result(n.apply("concat", parts, AxisAttributes{from_front(n.integer("axis", 1), parts[0].shape().rank())}));
}

/// Start, stop and step of one axis in the form of SliceAttributes: clamped, stop -1 for "past the front".
void clamp_slice(std::int64_t extent, std::int64_t& start, std::int64_t& stop, std::int64_t step) {
  if (step == 0) throw Error(ErrorCode::model, "a slice with step 0");
  if (start < 0) start += extent;
  if (stop < 0 && stop > -extent - 1) stop += extent;
  if (step > 0) {
    start = std::clamp<std::int64_t>(start, 0, extent);
    stop = std::clamp<std::int64_t>(stop, 0, extent);
    stop = std::max(stop, start);
  } else {
    start = std::clamp<std::int64_t>(start, 0, extent - 1);
    stop = std::clamp<std::int64_t>(stop, -1, extent - 1);
    stop = std::min(stop, start);
  }
}

void slice(const NodeReader& n) {
  Ints starts = n.has(1) ? n.ints(1) : n.list("starts"), stops = n.has(2) ? n.ints(2) : n.list("ends");
  Ints axes = n.has(3) ? n.ints(3) : n.list("axes");
  const Ints steps = n.has(4) ? n.ints(4) : Ints(starts.size(), 1);
  if (axes.empty())
    for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
  if (n.value(0).dims) {
    const std::vector<Dim>& all = *n.value(0).dims;
    clamp_slice(static_cast<std::int64_t>(all.size()), starts.at(0), stops.at(0), steps.at(0));
    Value v{Expr(), std::vector<Dim>{}, false};
    for (std::int64_t i = starts[0]; steps[0] > 0 ? i < stops[0] : i > stops[0]; i += steps[0]) v.dims->push_back(all[static_cast<std::size_t>(i)]);
    return n.result(v);
  }
  const Expr x = n.expr(0);
  SliceAttributes a;
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::int64_t axis = from_front(axes.at(i), x.shape().rank());
    const Dim dim = x.shape()[static_cast<std::size_t>(axis)];
    // The whole of the batch is no slice.
    if (dim.batch && starts[i] == 0 && stops.at(i) >= std::numeric_limits<std::int32_t>::max() && steps.at(i) == 1) continue;
    if (dim.batch) throw Error(ErrorCode::model, fmt::format("x {} is cut along the batch", to_string(x.shape())));
    clamp_slice(dim.factor, starts[i], stops.at(i), steps.at(i));
    a.axes.push_back(axis);
    a.starts.push_back(starts[i]);
    a.stops.push_back(stops[i]);
    a.steps.push_back(steps[i]);
  }
  n.result(a.axes.empty() ? x : n.apply("slice", {x}, a));
}

void split(const NodeReader& n) {
  const Expr x = n.expr(0);
  const std::int64_t axis = from_front(n.integer("axis", 0), x.shape().rank());
  const Dim extent = x.shape()[static_cast<std::size_t>(axis)];
  if (extent.batch) throw Error(ErrorCode::model, fmt::format("x {} is split along the batch", to_string(x.shape())));
  Ints sizes = n.has(1) ? n.ints(1) : n.list("split");
  const auto parts = static_cast<std::int64_t>(n.proto().output_size());
  if (sizes.empty()) {
    const std::int64_t each = (extent.factor + parts - 1) / parts;
    for (std::int64_t i = 0; i < parts; ++i) sizes.push_back(std::min(each, extent.factor - i * each));
  }
  std::int64_t start = 0;
  for (int i = 0; i < n.proto().output_size(); ++i) {
    const std::int64_t stop = start + sizes.at(static_cast<std::size_t>(i));
    n.result(n.apply("slice", {x}, SliceAttributes{{axis}, {start}, {stop}, {1}}), i);
    start = stop;
  }
}

void gather(const NodeReader& n) {
  if (n.value(0).dims) {
    const std::vector<Dim>& all = *n.value(0).dims;
    Value v{Expr(), std::vector<Dim>{}, n.value(1).rank0 || (n.value(1).expr && n.value(1).expr.shape().rank() == 0)};
    for (std::int64_t index : n.ints(1)) v.dims->push_back(all.at(static_cast<std::size_t>(from_front(index, all.size()))));
    return n.result(v);
  }
  const Expr x = n.expr(0);
  n.result(n.apply("gather", {x, n.apply("cast", {n.expr(1)}, CastAttributes{DType::int64})}, AxisAttributes{from_front(n.integer("axis", 0), x.shape().rank())}));
}

void pad(const NodeReader& n) {
  const Expr x = n.expr(0);
  const std::size_t rank = x.shape().rank();
  const Ints pads = n.has(1) ? n.ints(1) : n.list("pads");
  if (pads.size() != 2 * rank) throw Error(ErrorCode::model, fmt::format("pads {} should hold {} numbers for x {}", to_string(pads), 2 * rank, to_string(x.shape())));
  const std::string mode = n.word("mode", "constant");
  PadAttributes a{Ints(pads.begin(), pads.begin() + static_cast<std::ptrdiff_t>(rank)), Ints(pads.begin() + static_cast<std::ptrdiff_t>(rank), pads.end()), PadMode::constant,
                  n.has(2) ? n.numbers(2).at(0) : n.number("value", 0)};
  if (mode == "reflect") a.mode = PadMode::reflect;
  else if (mode == "edge") a.mode = PadMode::edge;
  else if (mode != "constant") throw Error(ErrorCode::model, fmt::format("mode '{}' is not supported", mode));
  if (a.mode != PadMode::constant) a.value = 0;
  n.result(n.apply("pad", {x}, a));
}

void expand(const NodeReader& n) {
  const Expr x = n.expr(0);
  const Shape target(n.dims(1));
  const auto wide = broadcast(x.shape(), target);
  if (!wide) throw Error(ErrorCode::model, fmt::format("x {} does not broadcast to {}", to_string(x.shape()), to_string(target)));
  n.result(n.apply("expand", {x}, ShapeAttributes{*wide}));
}

void tile(const NodeReader& n) {
  const Expr x = n.expr(0);
  const Ints repeats = n.ints(1);
  Expr y = x;
  for (std::size_t axis = 0; axis < repeats.size(); ++axis)
    if (repeats[axis] != 1) y = n.apply("concat", std::vector<Expr>(static_cast<std::size_t>(repeats[axis]), y), AxisAttributes{static_cast<std::int64_t>(axis)});
  n.result(y);
}

void resize(const NodeReader& n) {
  const Expr x = n.expr(0);
  const std::size_t rank = x.shape().rank();
  const bool old = n.proto().op_type() == "Upsample" || n.opset() < 11;
  const std::size_t scales_at = old ? 1 : 2;
  const std::string mode = n.word("mode", "nearest");
  ResizeAttributes a;
  if (mode != "nearest" && mode != "linear" && mode != "bilinear") throw Error(ErrorCode::model, fmt::format("mode '{}' is not supported", mode));
  a.mode = mode == "nearest" ? ResizeMode::nearest : ResizeMode::linear;
  const std::string coordinates = old ? "asymmetric" : n.word("coordinate_transformation_mode", "half_pixel");
  const std::string rounding = old ? "floor" : n.word("nearest_mode", "round_prefer_floor");
  const std::vector<std::string> coordinate_words{"half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"}, rounding_words{"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"};
  const auto index = [](const std::vector<std::string>& words, const std::string& word) {
    const auto found = std::find(words.begin(), words.end(), word);
    if (found == words.end()) throw Error(ErrorCode::model, fmt::format("'{}' is not supported", word));
    return found - words.begin();
  };
  a.coordinates = static_cast<ResizeCoordinates>(index(coordinate_words, coordinates));
  a.rounding = static_cast<NearestRounding>(index(rounding_words, rounding));
  const bool by_size = !old && n.has(3);
  if (n.has_attribute("axes") || n.has_attribute("antialias")) throw Error(ErrorCode::model, "axes and antialias are not supported");
  std::vector<double> scales = by_size ? std::vector<double>{} : n.has(scales_at) ? n.numbers(scales_at) : std::vector<double>{};
  const Ints sizes = by_size ? n.ints(3) : Ints{};
  if ((by_size ? sizes.size() : scales.size()) != rank) throw Error(ErrorCode::model, fmt::format("needs a scale or a size for each axis of x {}", to_string(x.shape())));
  for (std::size_t axis = 0; axis < rank; ++axis) {
    if (axis < 2) {
      if (by_size ? !(x.shape()[axis].batch ? sizes[axis] == 1 : x.shape()[axis].is(sizes[axis])) : scales[axis] != 1)
        throw Error(ErrorCode::model, "only spatial axes can be resized");
      continue;
    }
    a.spatial.push_back(by_size ? sizes[axis] : static_cast<std::int64_t>(static_cast<double>(x.shape()[axis].factor) * scales[axis]));
    if (!by_size) a.scales.push_back(scales[axis]);
  }
  n.result(n.apply("resize", {x}, a));
}

void constant(const NodeReader& n) {
  const File& file = n.importer().file();
  const DType real = n.importer().real();
  Tensor value;
  if (const auto* a = n.find("value")) value = read_tensor(file, a->t(), real);
  else if (const auto* f = n.find("value_float")) value = Tensor::scalar(real, static_cast<double>(f->f()));
  else if (const auto* i = n.find("value_int")) value = Tensor::scalar(DType::int64, static_cast<double>(i->i()));
  else if (const auto* list = n.find("value_floats")) {
    const std::vector<float> numbers(list->floats().begin(), list->floats().end());
    value = Tensor({static_cast<std::int64_t>(numbers.size())}, std::span<const float>(numbers)).cast(real);
  } else if (const auto* whole = n.find("value_ints")) {
    const Ints numbers(whole->ints().begin(), whole->ints().end());
    value = Tensor({static_cast<std::int64_t>(numbers.size())}, std::span<const std::int64_t>(numbers));
  } else {
    throw Error(ErrorCode::model, "a constant without a value that is supported");
  }
  n.result(n.graph().constant(value));
}

void constant_of_shape(const NodeReader& n) {
  const std::vector<Dim> dims = n.dims(0);
  Tensor value = Tensor::scalar(n.importer().real(), 0);
  if (const auto* a = n.find("value")) value = read_tensor(n.importer().file(), a->t(), n.importer().real());
  n.result(n.apply("fill", {}, FillAttributes{value.at(0), value.dtype(), Shape(dims)}));
}

void shape(const NodeReader& n) {
  std::vector<Dim> dims = n.value(0).dims ? std::vector<Dim>{static_cast<std::int64_t>(n.value(0).dims->size())} : n.expr(0).shape().dims();
  const auto rank = static_cast<std::int64_t>(dims.size());
  std::int64_t start = n.integer("start", 0), end = n.integer("end", rank);
  start = std::clamp<std::int64_t>(start < 0 ? start + rank : start, 0, rank);
  end = std::clamp<std::int64_t>(end < 0 ? end + rank : end, start, rank);
  n.result(Value{Expr(), std::vector<Dim>(dims.begin() + start, dims.begin() + end), false});
}

}  // namespace

void add_shape_converters(Converters& table) {
  table["Reshape"] = reshape;
  table["Flatten"] = flatten;
  table["Squeeze"] = squeeze;
  table["Unsqueeze"] = unsqueeze;
  table["Transpose"] = transpose;
  table["Concat"] = concat;
  table["Slice"] = slice;
  table["Split"] = split;
  table["Gather"] = gather;
  table["Pad"] = pad;
  table["Expand"] = expand;
  table["Tile"] = tile;
  table["Resize"] = resize;
  table["Upsample"] = resize;
  table["Constant"] = constant;
  table["ConstantOfShape"] = constant_of_shape;
  table["Shape"] = shape;
  table["Size"] = [](const NodeReader& n) { n.result(Value{Expr(), std::vector<Dim>{n.expr(0).shape().count()}, true}); };
  table["Identity"] = [](const NodeReader& n) { n.result(n.value(0)); };
  table["OneHot"] = [](const NodeReader& n) {
    const std::vector<double> values = n.numbers(2);
    if (values != std::vector<double>{0, 1} || n.integer("axis", -1) != -1) throw Error(ErrorCode::model, "only values [0, 1] along the last axis are supported");
    n.result(n.apply("one_hot", {n.apply("cast", {n.expr(0)}, CastAttributes{DType::int64})}, OneHotAttributes{n.ints(1).at(0), n.expr(2).dtype()}));
  };
}

}  // namespace rulegrad::onnx_io
