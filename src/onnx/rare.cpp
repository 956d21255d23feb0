#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numbers>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/index_attributes.hpp"

#include "onnx/applied.hpp"
#include "onnx/windows.hpp"
#include "tensor/checked.hpp"

/// Operators that few models hold, in terms of others.
namespace rulegrad::io {
namespace {

/// |x|^p; squares as products, whose derivative at 0 is one.
Expr power_of_size(const NodeContext& c, Expr x, double p) {
  if (p == 2) return binary(c, "mul", x, x);
  const Expr size = c.apply("abs", {x});
  return p == 1 ? size : binary(c, "pow", size, c.scalar(p, x));
}

Expr root_of(const NodeContext& c, Expr x, double p) {
  if (p == 1) return x;
  return p == 2 ? c.apply("sqrt", {x}) : binary(c, "pow", x, c.scalar(1 / p, x));
}

/// x / |x|_p along an axis; 0 where all is 0.
void lp_normalization(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t axis = checked_axis(c, c.integer("axis", -1), x.shape().rank());
  c.keep_apart(x.shape()[axis].batch, "it normalises over the batch");
  const double p = c.real_or_integer("p", 2);
  const auto along = static_cast<std::int64_t>(axis);
  if (p == 1 || p == 2)
    return c.result(
        c.apply("lp_normalize", {x}, LpNormalizeAttributes{along, static_cast<std::int64_t>(p), 0, 0}));
  const Expr sum = c.apply("sum", {power_of_size(c, x, p)}, ReduceAttributes{{along}, true});
  c.result(binary(c, "over", x, root_of(c, sum, p)));
}

/// (sum of |x|^p over the window)^(1/p).
void lp_pool(NodeContext& c) {
  const Expr x = c.operand(0);
  const double p = c.real_or_integer("p", 2);
  const bool ceil = c.integer("ceil_mode", 0) != 0;
  Window w = read_window(c, x.shape(), {});
  resolve_auto_pad(c, x.shape(), w);
  double size = 1;
  for (const std::int64_t extent : w.kernel) size *= static_cast<double>(extent);
  const Expr mean = c.apply("avg_pool", {power_of_size(c, x, p)},
                            AvgPoolAttributes{w.kernel, w.strides, w.begin, w.end, w.dilations, ceil, true});
  c.result(root_of(c, binary(c, "mul", mean, c.scalar(size, x)), p));
}

void global_lp_pool(NodeContext& c) {
  const Expr x = c.operand(0);
  const double p = c.real_or_integer("p", 2);
  Ints axes;
  for (std::size_t axis = 2; axis < x.shape().rank(); ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  if (axes.empty()) c.fail(fmt::format("x must be [N, C, spatial...] but is {}", to_string(x.type())));
  c.result(root_of(c, c.apply("sum", {power_of_size(c, x, p)}, ReduceAttributes{axes, true}), p));
}

Expr steps(const NodeContext& c, std::int64_t count, std::vector<Dim> dims) {
  Tensor numbers = c.array(DType::int64, {count});
  const auto values = numbers.mutable_values<std::int64_t>();
  for (std::int64_t i = 0; i < count; ++i) values[static_cast<std::size_t>(i)] = i;
  return reshaped(c, c.graph().constant(numbers), std::move(dims));
}

/// The first len[b] steps of each sample from behind, the others as they are.
void reverse_sequence(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t rank = x.shape().rank(), time = checked_axis(c, c.integer("time_axis", 0), rank),
                    batch = checked_axis(c, c.integer("batch_axis", 1), rank);
  if (rank < 2 || time == batch || time > 1 || batch > 1 || x.shape()[time].batch)
    c.fail(fmt::format("time and batch must be the first two axes of {}", to_string(x.type())));
  const Expr front = batch == 0 ? x : c.apply("transpose", {x}, TransposeAttributes{[&] {
                                                Ints perm{1, 0};
                                                for (std::size_t a = 2; a < rank; ++a)
                                                  perm.push_back(static_cast<std::int64_t>(a));
                                                return perm;
                                              }()});
  const Dim samples = front.shape()[0], extent = front.shape()[1];
  const Expr given = c.apply("cast", {c.operand(1)}, CastAttributes{DType::int64});
  const Expr lengths =
      given.shape()[0] == samples ? given : c.apply("expand", {given}, ShapeAttributes{Shape{samples}});
  const Expr step = steps(c, extent.factor, {1, extent}), length = reshaped(c, lengths, {samples, 1});
  const Expr back = binary(c, "sub", binary(c, "sub", length, c.scalar(1, length)), step);
  const Expr at = c.apply("where", {binary(c, "less", step, length), back, step});
  const Expr y = c.apply("gather_rows", {front, at}, GatherRowsAttributes{1});
  if (batch == 0) return c.result(y);
  Ints perm{1, 0};
  for (std::size_t a = 2; a < rank; ++a) perm.push_back(static_cast<std::int64_t>(a));
  c.result(c.apply("transpose", {y}, TransposeAttributes{perm}));
}

/// 1 at the first largest along an axis; up to operator set 12 all axes from it on are one.
void hardmax(NodeContext& c) {
  const Expr x = c.operand(0);
  const bool joint = c.opset() < 13;
  const std::size_t axis = checked_axis(c, c.integer("axis", joint ? 1 : -1), x.shape().rank());
  Ints axes{static_cast<std::int64_t>(axis)};
  for (std::size_t a = axis + 1; joint && a < x.shape().rank(); ++a)
    axes.push_back(static_cast<std::int64_t>(a));
  for (const std::int64_t a : axes)
    c.keep_apart(x.shape()[static_cast<std::size_t>(a)].batch, "it runs over the batch");
  c.result(
      c.apply("cast", {c.apply("first_max", {x}, ReduceAttributes{axes, false})}, CastAttributes{x.dtype()}));
}

/// Places of what is not 0, [rank, count]: known only for constants.
void non_zero(NodeContext& c) {
  const Tensor x = c.required_constant(0, "what NonZero looks through");
  std::vector<std::int64_t> found;
  for (std::int64_t i = 0; i < x.size(); ++i)
    if (x.at(i) != 0) found.push_back(i);
  const auto rank = static_cast<std::int64_t>(x.rank()), count = static_cast<std::int64_t>(found.size());
  Tensor places = c.array(DType::int64, {rank, count});
  const auto to = places.mutable_values<std::int64_t>();
  for (std::int64_t k = 0; k < count; ++k) {
    std::int64_t rest = found[static_cast<std::size_t>(k)];
    for (std::int64_t axis = rank; axis-- > 0;) {
      to[static_cast<std::size_t>(axis * count + k)] = rest % x.dims()[static_cast<std::size_t>(axis)];
      rest /= x.dims()[static_cast<std::size_t>(axis)];
    }
  }
  c.result(c.graph().constant(places));
}

/// The slices whose flag is set; flags must be known.
void compress(NodeContext& c) {
  Expr x = c.operand(0);
  const Tensor flags = c.required_constant(1, "condition");
  if (!c.has_attribute("axis")) {
    c.keep_apart(x.shape().has_batch(), "it puts the batch among the elements");
    x = reshaped(c, x, {x.shape().count()});
  }
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), x.shape().rank());
  Ints kept;
  for (std::int64_t i = 0; i < flags.size(); ++i)
    if (flags.at(i) != 0) kept.push_back(i);
  const Expr index = c.graph().constant(
      Tensor({static_cast<std::int64_t>(kept.size())}, std::span<const std::int64_t>(kept)));
  c.result(c.apply("gather", {x, index}, AxisAttributes{static_cast<std::int64_t>(axis)}));
}

/// Ones beside the main diagonal.
void eye_like(NodeContext& c) {
  const Shape& shape = c.shape(0);
  if (shape.rank() != 2 || shape.has_batch())
    c.fail(fmt::format("x must be a matrix of fixed extents but is {}", to_string(shape)));
  const DType dtype = c.has_attribute("dtype") ? mapped_dtype(static_cast<int>(c.integer("dtype", 1)),
                                                              c.importer().real(), "attribute 'dtype'")
                                               : c.operand(0).dtype();
  const std::int64_t rows = shape[0].factor, columns = shape[1].factor, k = c.integer("k", 0);
  Tensor y = c.array(DType::float64, {rows, columns});
  for (std::int64_t i = 0; i < rows; ++i)
    if (i + k >= 0 && i + k < columns)
      y.mutable_values<double>()[static_cast<std::size_t>(i * columns + i + k)] = 1;
  c.result(c.graph().constant(y.cast(dtype)));
}

/// Of matrices up to 4 by 4, along the first row.
Expr determinant(const NodeContext& c, Expr x) {
  const std::size_t rank = x.shape().rank();
  const std::int64_t n = x.shape()[rank - 1].factor;
  const auto row = static_cast<std::int64_t>(rank) - 2, column = row + 1;
  const auto cut = [&](Expr e, std::int64_t axis, std::int64_t from, std::int64_t to) {
    return c.apply("slice", {e}, SliceAttributes{{axis}, {from}, {to}, {1}});
  };
  if (n == 1) {
    std::vector<Dim> dims(x.shape().dims().begin(), x.shape().dims().end() - 2);
    return reshaped(c, x, dims);
  }
  const Expr below = cut(x, row, 1, n);
  std::optional<Expr> total;
  for (std::int64_t j = 0; j < n; ++j) {
    std::vector<Expr> sides;
    if (j > 0) sides.push_back(cut(below, column, 0, j));
    if (j + 1 < n) sides.push_back(cut(below, column, j + 1, n));
    const Expr minor = sides.size() == 1 ? sides[0] : c.apply("concat", sides, AxisAttributes{column});
    const Expr first = determinant(c, cut(cut(x, row, 0, 1), column, j, j + 1));
    const Expr part = binary(c, "mul", first, determinant(c, minor));
    total = !total ? part : binary(c, j % 2 == 0 ? "add" : "sub", *total, part);
  }
  return *total;
}

void det(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t rank = x.shape().rank();
  if (rank < 2 || x.shape()[rank - 1] != x.shape()[rank - 2] || x.shape()[rank - 1].batch ||
      x.shape()[rank - 1].factor > 4)
    c.fail(
        fmt::format("determinants of matrices up to 4 by 4 are supported, not of {}", to_string(x.type())));
  c.result(determinant(c, x));
}

/// Whole extents cut or padded around the middle.
void center_crop_pad(NodeContext& c) {
  Expr x = c.operand(0);
  const Ints shape = c.integers_of(1, "the shape");
  Ints axes = c.integers("axes");
  if (axes.empty())
    for (std::size_t axis = 0; axis < x.shape().rank(); ++axis)
      axes.push_back(static_cast<std::int64_t>(axis));
  if (axes.size() != shape.size()) c.fail("the shape needs an extent for each of the axes");
  PadAttributes pad{Ints(x.shape().rank(), 0), Ints(x.shape().rank(), 0), PadMode::constant, 0};
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const std::size_t axis = checked_axis(c, axes[i], x.shape().rank());
    if (x.shape()[axis].batch) {
      c.keep_apart(shape[i] != c.importer().samples_in_file(), "it cuts the batch");
      continue;
    }
    const std::int64_t more = shape[i] - x.shape()[axis].factor;
    pad.begin[axis] = more >= 0 ? more / 2 : -((-more) / 2);
    pad.end[axis] = more - pad.begin[axis];
  }
  c.result(c.apply("pad", {x}, std::move(pad)));
}

/// a0 - a1 cos(2 pi i / n) + a2 cos(4 pi i / n).
Handler window(double a0, double a1, double a2) {
  return [=](NodeContext& c) {
    const Ints size = c.integers_of(0, "size");
    if (size.size() != 1 || size[0] < 0 || size[0] > (1 << 24)) c.fail("size must be one number");
    const bool periodic = c.integer("periodic", 1) != 0;
    const DType dtype = mapped_dtype(static_cast<int>(c.integer("output_datatype", 1)), c.importer().real(),
                                     "attribute 'output_datatype'");
    Tensor y = c.array(DType::float64, {size[0]});
    const auto n = static_cast<double>(periodic ? size[0] : size[0] - 1);
    for (std::int64_t i = 0; i < size[0]; ++i) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(i) / n;
      y.mutable_values<double>()[static_cast<std::size_t>(i)] =
          a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle);
    }
    c.result(c.graph().constant(y.cast(dtype)));
  };
}

/// theta [N, axes, axes + 1] applied to places between -1 and 1: [N, spatial..., axes].
void affine_grid(NodeContext& c) {
  const Expr theta = c.operand(0);
  const std::vector<Dim> size = c.dims_of(1, "size");
  const bool align = c.integer("align_corners", 0) != 0;
  const std::size_t axes = size.size() < 2 ? 0 : size.size() - 2;
  if (axes < 1 || theta.shape().rank() != 3 || !theta.shape()[1].is(static_cast<std::int64_t>(axes)))
    c.fail(fmt::format("theta {} does not fit {} axes", to_string(theta.type()), axes));
  std::int64_t count = 1;
  std::vector<Dim> dims{theta.shape()[0]};
  for (std::size_t axis = 2; axis < size.size(); ++axis) {
    if (size[axis].batch || size[axis].factor < 0)
      c.fail(fmt::format("axis {} of the size is {}", axis, to_string(size[axis])));
    count = checked::product(count, size[axis].factor);
    dims.push_back(size[axis]);
  }
  dims.emplace_back(static_cast<std::int64_t>(axes));
  Tensor base = c.array(DType::float64, {count, static_cast<std::int64_t>(axes) + 1});
  const auto to = base.mutable_values<double>();
  for (std::int64_t k = 0; k < count; ++k) {
    std::int64_t rest = k;
    for (std::size_t axis = axes; axis-- > 0;) {
      const std::int64_t extent = size[axis + 2].factor, i = rest % extent;
      rest /= extent;
      const double at =
          align ? (extent == 1 ? 0 : 2.0 * static_cast<double>(i) / static_cast<double>(extent - 1) - 1)
                : (2.0 * static_cast<double>(i) + 1) / static_cast<double>(extent) - 1;
      to[static_cast<std::size_t>(k) * (axes + 1) + (axes - 1 - axis)] = at;
    }
    to[static_cast<std::size_t>(k) * (axes + 1) + axes] = 1;
  }
  const Expr places = c.graph().constant(base.cast(theta.dtype()));
  c.result(reshaped(c, c.apply("matmul", {places, theta}, MatmulAttributes{false, true}), dims));
}

}  // namespace

void add_rare(Handlers& h) {
  h["LpNormalization"] = lp_normalization;
  h["LpPool"] = lp_pool;
  h["GlobalLpPool"] = global_lp_pool;
  h["ReverseSequence"] = reverse_sequence;
  h["Hardmax"] = hardmax;
  h["NonZero"] = non_zero;
  h["Compress"] = compress;
  h["EyeLike"] = eye_like;
  h["Det"] = det;
  h["CenterCropPad"] = center_crop_pad;
  h["HannWindow"] = window(0.5, 0.5, 0);
  h["HammingWindow"] = window(25.0 / 46, 21.0 / 46, 0);
  h["BlackmanWindow"] = window(0.42, 0.5, 0.08);
  h["AffineGrid"] = affine_grid;
}

}  // namespace rulegrad::io
