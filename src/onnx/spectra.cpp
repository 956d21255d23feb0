#include <cmath>
#include <fmt/format.h>
#include <numbers>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"
#include "onnx/lookup.hpp"

/// Discrete Fourier transforms as products with constant matrices.
namespace rulegrad::io {
namespace {

/// cos and -sin (+sin for the inverse) of 2 pi k n / length, [bins, length]; the inverse is divided by the
/// length.
struct Waves {
  Expr real, imaginary;
};
Waves waves(const NodeContext& c, std::int64_t bins, std::int64_t length, bool inverse, DType dtype) {
  if (static_cast<double>(bins) * static_cast<double>(length) > 0x1p26)
    c.fail(fmt::format("a transform of {} elements is too large for a matrix", length));
  Tensor real = c.array(DType::float64, {bins, length}), imaginary = c.array(DType::float64, {bins, length});
  const double scale = inverse ? 1.0 / static_cast<double>(length) : 1;
  for (std::int64_t k = 0; k < bins; ++k)
    for (std::int64_t n = 0; n < length; ++n) {
      // The product is taken round the circle first, so that large angles lose nothing.
      const double angle =
          2 * std::numbers::pi * static_cast<double>(k * n % length) / static_cast<double>(length);
      const auto at = static_cast<std::size_t>(k * length + n);
      real.mutable_values<double>()[at] = scale * std::cos(angle);
      imaginary.mutable_values<double>()[at] = scale * (inverse ? std::sin(angle) : -std::sin(angle));
    }
  return {c.graph().constant(real.cast(dtype)), c.graph().constant(imaginary.cast(dtype))};
}

/// x [..., length, 1 or 2] to [..., bins, 2] along the axis before the last one.
Expr transformed(const NodeContext& c, Expr x, std::int64_t bins, bool inverse) {
  const Shape shape = x.shape();
  const std::size_t last = shape.rank() - 1;
  const Waves w = waves(c, bins, shape[last - 1].factor, inverse, x.dtype());
  std::vector<Dim> flat(shape.dims().begin(), shape.dims().end() - 1);
  const auto times = [&](Expr values, Expr matrix) {
    std::vector<Dim> rows = flat;
    if (rows.size() == 1) rows.insert(rows.begin(), Dim{1});
    return c.apply("matmul", {reshaped(c, values, rows), matrix}, MatmulAttributes{false, true});
  };
  const Expr re = part(c, x, last, 0, 1);
  Expr real = times(re, w.real), imaginary = times(re, w.imaginary);
  if (shape[last].is(2)) {
    const Expr im = part(c, x, last, 1, 2);
    real = binary(c, "sub", real, times(im, w.imaginary));
    imaginary = binary(c, "add", imaginary, times(im, w.real));
  }
  flat.back() = Dim{bins};
  flat.emplace_back(1);
  return c.apply("concat", {reshaped(c, real, flat), reshaped(c, imaginary, flat)},
                 AxisAttributes{static_cast<std::int64_t>(last)});
}

void dft(NodeContext& c) {
  Expr x = c.operand(0);
  const std::size_t rank = x.shape().rank();
  std::int64_t given = c.opset() < 20 ? c.integer("axis", 1) : -2;
  if (c.has(2)) given = c.integer_of(2, "axis");
  const std::size_t axis = checked_axis(c, given, rank);
  const Dim parts = rank < 2 ? Dim{0} : x.shape()[rank - 1];
  if (axis + 1 >= rank || x.shape()[axis].batch || !(parts.is(1) || parts.is(2)))
    c.fail(fmt::format("x must end in 1 or 2 parts of numbers, behind the axis {}, but is {}", axis,
                       to_string(x.type())));
  const bool inverse = c.integer("inverse", 0) != 0, onesided = c.integer("onesided", 0) != 0;
  if (inverse && onesided) c.fail("one-sided inverses are not supported");
  const std::int64_t extent = x.shape()[axis].factor,
                     length = c.has(1) ? c.integer_of(1, "dft_length") : extent;
  if (length < 1) c.fail(fmt::format("dft_length is {}", length));
  if (length < extent) x = part(c, x, axis, 0, length);
  if (length > extent) {
    PadAttributes pad{Ints(rank, 0), Ints(rank, 0), PadMode::constant, 0};
    pad.end[axis] = length - extent;
    x = c.apply("pad", {x}, std::move(pad));
  }
  const Expr y =
      transformed(c, moved_axis(c, x, axis, rank - 2), onesided ? length / 2 + 1 : length, inverse);
  c.result(moved_axis(c, y, rank - 2, axis));
}

/// Transforms of windows that slide over a signal [N, length, 1] or [N, length].
void stft(NodeContext& c) {
  Expr x = c.operand(0);
  if (x.shape().rank() == 2) x = reshaped(c, x, {x.shape()[0], x.shape()[1], 1});
  const std::int64_t step = c.integer_of(1, "frame_step");
  std::optional<Expr> window = c.optional_operand(2);
  const std::int64_t length = c.has(3) ? c.integer_of(3, "frame_length")
                              : window ? window->shape()[0].factor
                                       : 0;
  const bool onesided = c.integer("onesided", 1) != 0;
  if (x.shape().rank() != 3 || x.shape()[1].batch || step < 1 || length < 1 || length > x.shape()[1].factor)
    c.fail(fmt::format("windows of {} by steps of {} do not fit {}", length, step, to_string(x.type())));
  const std::int64_t frames = 1 + (x.shape()[1].factor - length) / step;
  Tensor at = c.array(DType::int64, {frames, length});
  for (std::int64_t f = 0; f < frames; ++f)
    for (std::int64_t i = 0; i < length; ++i)
      at.mutable_values<std::int64_t>()[static_cast<std::size_t>(f * length + i)] = f * step + i;
  Expr y = c.apply("gather", {x, c.graph().constant(at)}, AxisAttributes{1});  // [N, frames, length, parts]
  if (window) y = binary(c, "mul", y, reshaped(c, *window, {length, 1}));
  c.result(transformed(c, y, onesided ? length / 2 + 1 : length, false));
}

}  // namespace

void add_spectra(Handlers& h) {
  h["DFT"] = dft;
  h["STFT"] = stft;
}

}  // namespace rulegrad::io
