#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/writer.hpp"

// Resizing and its adjoint, an axis at a time: nearest elements are looked up, between neighbours a matrix is
// multiplied. Runtimes agree on that, in every operator set, which they do not on coordinates and roundings.
namespace rulegrad::io {
namespace {

/// The matrix [from, to] of a resize along one axis: what it makes of the rows of the identity.
Tensor resize_matrix(const ResizeAttributes& resize, std::size_t axis, std::int64_t from, std::int64_t to,
                     DType dtype) {
  Graph graph(dtype);
  Tensor identity = zeros(dtype, {from, 1, from});
  dispatch(dtype, [&]<class T>(T) {
    auto values = identity.mutable_values<T>();
    for (std::int64_t i = 0; i < from; ++i) values[static_cast<std::size_t>(i * from + i)] = T(1);
  });
  ResizeAttributes one = resize;
  one.spatial = {to};
  if (!resize.scales.empty()) one.scales = {resize.scales[axis]};
  const Expr rows = graph.apply(op("resize"), {graph.constant(identity)}, one);
  const Expr matrix = graph.apply(op("reshape"), {rows}, ShapeAttributes{Shape{from, to}});
  return evaluate(std::span(&matrix, 1), {})[0];
}

/// The least of a matrix's rows in which a column has a 1: nearest elements are moved as they are.
Ints chosen_rows(const Tensor& matrix) {
  Ints rows;
  for (std::int64_t c = 0; c < matrix.dims()[1]; ++c)
    for (std::int64_t r = 0; r < matrix.dims()[0]; ++r)
      if (matrix.at(r * matrix.dims()[1] + c) != 0) rows.push_back(r);
  return rows;
}

void write_resize(Writer& w, Expr e) {
  const auto& a = e.attributes<ResizeAttributes>();
  const Ints from = spatial_of(e.operand(0).shape());
  Steps s(w, e);
  std::string x = s.operand(0);
  for (std::size_t i = 0; i < from.size(); ++i) {
    const Tensor matrix = resize_matrix(a, i, from[i], a.spatial[i], e.dtype());
    x = a.mode == ResizeMode::nearest ? s.take(x, e.operand(0).shape(), i + 2, chosen_rows(matrix))
                                      : s.along(x, e.shape().rank(), i + 2, matrix);
  }
  s.last(x);
}

void write_resize_vjp(Writer& w, Expr e) {
  const auto& a = e.attributes<ResizeVjpAttributes>();
  const ResizeAttributes resize{a.spatial, a.scales, a.mode, a.coordinates, a.rounding};
  Steps s(w, e);
  std::string g = s.operand(0);
  for (std::size_t i = 0; i < a.spatial.size(); ++i) {
    const Tensor matrix = resize_matrix(resize, i, a.input_spatial[i], a.spatial[i], e.dtype());
    Tensor back = zeros(e.dtype(), {a.spatial[i], a.input_spatial[i]});
    dispatch(e.dtype(), [&]<class T>(T) {
      auto values = back.mutable_values<T>();
      for (std::int64_t r = 0; r < a.input_spatial[i]; ++r)
        for (std::int64_t c = 0; c < a.spatial[i]; ++c)
          values[static_cast<std::size_t>(c * a.input_spatial[i] + r)] =
              static_cast<T>(matrix.at(r * a.spatial[i] + c));
    });
    g = s.along(g, e.shape().rank(), i + 2, back);
  }
  s.last(g);
}

}  // namespace

void add_resize_forms(Forms& f) {
  f["resize"] = write_resize;
  f["resize_vjp"] = write_resize_vjp;
}

}  // namespace rulegrad::io
