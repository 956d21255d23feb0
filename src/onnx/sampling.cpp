#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/index_attributes.hpp"

#include "onnx/applied.hpp"
#include "onnx/node_context.hpp"

/// GridSample: pictures at places that are computed. Weights of neighbours are functions of the places, so
/// that gradients reach both.
namespace rulegrad::io {
namespace {

enum class Padding : std::uint8_t { zeros, border, reflection };

class Sampler {
 public:
  Sampler(NodeContext& c, Expr x, Expr grid) : c_(c), x_(x), grid_(grid) {
    const Shape &image = x.shape(), &places = grid.shape();
    axes_ = image.rank() - std::min<std::size_t>(image.rank(), 2);
    if (axes_ < 1 || axes_ > 3 || places.rank() != image.rank() ||
        !places[places.rank() - 1].is(static_cast<std::int64_t>(axes_)) || places[0] != image[0])
      c.fail(fmt::format(
          "x must be [N, C, spatial...] and the grid [N, spatial'..., axes] but they are {} and {}",
          to_string(x.type()), to_string(grid.type())));
    for (std::size_t axis = 1; axis < places.rank(); ++axis)
      if (image[axis].batch || places[axis].batch)
        c.fail(fmt::format("axis {} of {} is the batch", axis, to_string(x.type())));
    align_ = c.integer("align_corners", 0) != 0;
    const std::string padding = c.text("padding_mode", "zeros");
    padding_ = padding == "border"       ? Padding::border
               : padding == "reflection" ? Padding::reflection
                                         : Padding::zeros;
    if (padding != "zeros" && padding_ == Padding::zeros)
      c.fail(
          fmt::format("attribute 'padding_mode' is '{}' but must be zeros, border or reflection", padding));
    for (std::size_t axis = 1; axis + 1 < places.rank(); ++axis) count_ = count_ * places[axis].factor;
    // The picture as [N, all places, C].
    std::int64_t size = 1;
    Ints perm{0};
    for (std::size_t axis = 2; axis < image.rank(); ++axis) {
      perm.push_back(static_cast<std::int64_t>(axis));
      extents_.push_back(image[axis].factor);
      size *= image[axis].factor;
    }
    perm.push_back(1);
    pixels_ =
        reshaped(c, c.apply("transpose", {x}, TransposeAttributes{perm}), {image[0], Dim{size}, image[1]});
  }

  Expr run(const std::string& mode) {
    std::vector<Expr> places;
    // The grid names the last axis first.
    for (std::size_t axis = 0; axis < axes_; ++axis)
      places.push_back(place(axis, mode == "cubic" || mode == "bicubic"));
    Expr total;
    if (mode == "nearest") {
      std::vector<Expr> at;
      for (const Expr place : places) at.push_back(c_.apply("round", {place}));
      total = pixel(at);
    } else if (mode == "linear" || mode == "bilinear") {
      total = weighted(places, 0, 1);
    } else if (mode == "cubic" || mode == "bicubic") {
      total = weighted(places, -1, 2);
    } else {
      c_.fail(fmt::format("attribute 'mode' is '{}' but must be linear, nearest or cubic", mode));
    }
    // [N, places, C] to [N, C, spatial'...]
    std::vector<Dim> dims{x_.shape()[0], x_.shape()[1]};
    for (std::size_t axis = 1; axis + 1 < grid_.shape().rank(); ++axis) dims.push_back(grid_.shape()[axis]);
    return reshaped(c_, c_.apply("transpose", {total}, TransposeAttributes{{0, 2, 1}}), dims);
  }

 private:
  [[nodiscard]] Expr number(double value) const { return c_.scalar(value, x_); }
  /// Between the borders by mirroring at them: distances from the lower one, in a period of twice the extent.
  [[nodiscard]] Expr reflected(Expr at, double low, double high) const {
    const double span = high - low;
    if (span <= 0) return binary(c_, "mul", at, number(0));
    const Expr rest =
        binary(c_, "mod", c_.apply("abs", {binary(c_, "sub", at, number(low))}), number(2 * span));
    return binary(c_, "add", number(low), binary(c_, "min", rest, binary(c_, "sub", number(2 * span), rest)));
  }

  [[nodiscard]] Expr into(Expr at, std::size_t axis) const {
    const auto extent = static_cast<double>(extents_[axis]);
    if (padding_ == Padding::reflection)
      at = align_ ? reflected(at, 0, extent - 1) : reflected(at, -0.5, extent - 0.5);
    if (padding_ == Padding::zeros) return at;
    return c_.apply("clip", {at}, ClipAttributes{0, extent - 1});
  }

  /// Of one axis, in pixels, [N, places].
  [[nodiscard]] Expr place(std::size_t axis, bool cubic) const {
    const auto last = static_cast<std::int64_t>(grid_.shape().rank()) - 1,
               k = static_cast<std::int64_t>(axes_ - 1 - axis);
    const Expr slice = c_.apply("slice", {grid_}, SliceAttributes{{last}, {k}, {k + 1}, {1}});
    const Expr at = reshaped(c_, slice, {grid_.shape()[0], Dim{count_}});
    const auto extent = static_cast<double>(extents_[axis]);
    const Expr shifted = binary(c_, "add", at, number(1));
    const Expr pixels = align_
                            ? binary(c_, "mul", shifted, number((extent - 1) / 2))
                            : binary(c_, "sub", binary(c_, "mul", shifted, number(extent / 2)), number(0.5));
    return cubic ? pixels : into(pixels, axis);
  }

  /// The picture at whole places, 0 outside of it.
  [[nodiscard]] Expr pixel(const std::vector<Expr>& at) const {
    std::optional<Expr> index, inside;
    for (std::size_t axis = 0; axis < axes_; ++axis) {
      const auto most = static_cast<double>(extents_[axis] - 1);
      const Expr within = c_.apply("clip", {at[axis]}, ClipAttributes{0, most});
      const Expr here = c_.apply("equal", {within, at[axis]});
      inside = inside ? binary(c_, "logical_and", *inside, here) : here;
      const Expr step = c_.apply("cast", {within}, CastAttributes{DType::int64});
      index = index ? binary(c_, "add",
                             binary(c_, "mul", *index, c_.scalar(static_cast<double>(extents_[axis]), step)),
                             step)
                    : step;
    }
    const Expr values = c_.apply("gather_rows", {pixels_, *index}, GatherRowsAttributes{1});
    return padding_ == Padding::zeros
               ? c_.apply("where",
                          {reshaped(c_, *inside, {x_.shape()[0], Dim{count_}, Dim{1}}), values, number(0)})
               : values;
  }

  /// Of the neighbour at `offset` from the whole place below, `t` beyond it: hats, or Keys' cubic with a =
  /// -3/4.
  [[nodiscard]] Expr weight(Expr t, int offset, bool cubic) const {
    if (!cubic) return offset == 0 ? binary(c_, "sub", number(1), t) : t;
    constexpr double a = -0.75;
    // |distance| of the neighbours -1, 0, 1, 2.
    const Expr d = offset <= 0 ? binary(c_, "add", t, number(-offset)) : binary(c_, "sub", number(offset), t);
    const bool near = offset == 0 || offset == 1;
    const auto horner = [&](double p3, double p2, double p1, double p0) {
      const Expr first = binary(c_, "add", binary(c_, "mul", d, number(p3)), number(p2));
      return binary(c_, "add",
                    binary(c_, "mul", binary(c_, "add", binary(c_, "mul", first, d), number(p1)), d),
                    number(p0));
    };
    return near ? horner(a + 2, -(a + 3), 0, 1) : horner(a, -5 * a, 8 * a, -4 * a);
  }

  [[nodiscard]] Expr weighted(const std::vector<Expr>& places, int from, int to) const {
    const bool cubic = from < 0;
    std::vector<Expr> whole, beyond;
    for (const Expr place : places) {
      whole.push_back(c_.apply("floor", {place}));
      beyond.push_back(binary(c_, "sub", place, whole.back()));
    }
    std::optional<Expr> total;
    std::vector<int> offset(axes_, from);
    while (true) {
      std::optional<Expr> factor;
      std::vector<Expr> at;
      for (std::size_t axis = 0; axis < axes_; ++axis) {
        Expr here = binary(c_, "add", whole[axis], number(offset[axis]));
        // Cubic weights are those of the unbounded place; neighbours are brought inside one by one.
        if (cubic)
          here = into(here, axis);
        else if (padding_ != Padding::zeros)
          here = c_.apply("clip", {here}, ClipAttributes{0, static_cast<double>(extents_[axis] - 1)});
        at.push_back(here);
        const Expr w = weight(beyond[axis], offset[axis], cubic);
        factor = factor ? binary(c_, "mul", *factor, w) : w;
      }
      const Expr part =
          binary(c_, "mul", pixel(at), reshaped(c_, *factor, {x_.shape()[0], Dim{count_}, Dim{1}}));
      total = total ? binary(c_, "add", *total, part) : part;
      std::size_t axis = 0;
      while (axis < axes_ && offset[axis] == to) offset[axis++] = from;
      if (axis == axes_) return *total;
      ++offset[axis];
    }
  }

  NodeContext& c_;
  Expr x_, grid_, pixels_;
  std::size_t axes_ = 0;
  bool align_ = false;
  Padding padding_ = Padding::zeros;
  std::int64_t count_ = 1;
  Ints extents_;
};

void grid_sample(NodeContext& c) {
  Sampler sampler(c, c.operand(0), c.operand(1));
  c.result(sampler.run(c.text("mode", "linear")));
}

}  // namespace

void add_sampling(Handlers& h) {
  h["GridSample"] = grid_sample;
}

}  // namespace rulegrad::io
