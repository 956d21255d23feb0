#include <algorithm>
#include <cmath>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"

#include "onnx/writer.hpp"

// Choosing, looking up and adding up along an axis.
namespace rulegrad::io {
namespace {

Form arg(const char* op_type) {
  return [op_type](Writer& w, Expr e) {
    const auto& a = e.attributes<ArgAttributes>();
    w.node(op_type, e).set("axis", a.axis).set("keepdims", std::int64_t{a.keep});
  };
}

/// 1 at the index along a new last axis, in a dtype that every runtime has it for.
std::string hot(Steps& s, const std::string& index, DType index_dtype, std::int64_t depth) {
  const std::string i = index_dtype == DType::int64 ? index : s.cast(index, DType::int64);
  const float values[] = {0, 1};
  return s("OneHot",
           {i, s.shared(Tensor::scalar(DType::int64, static_cast<double>(depth))),
            s.shared(Tensor({2}, std::span<const float>(values)))},
           [](NodeWriter& n) { n.set("axis", std::int64_t{-1}); });
}

std::string as(Steps& s, const std::string& value, DType from, DType to) {
  return from == to ? value : s.cast(value, to);
}

void write_one_hot(Writer& w, Expr e) {
  const auto& a = e.attributes<OneHotAttributes>();
  Steps s(w, e);
  s.last(as(s, hot(s, s.operand(0), e.operand(0).dtype(), a.depth), DType::float32, e.dtype()));
}

/// Along the axes as if they were one.
void write_first_max(Writer& w, Expr e) {
  const Ints& axes = e.attributes<ReduceAttributes>().axes;
  const Shape& x = e.shape();
  Ints perm;
  std::vector<Dim> others;
  std::int64_t elements = 1;
  for (std::size_t axis = 0; axis < x.rank(); ++axis) {
    if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end()) continue;
    perm.push_back(static_cast<std::int64_t>(axis));
    others.push_back(x[axis]);
  }
  std::vector<Dim> moved = others;
  for (const std::int64_t axis : axes) {
    const Dim dim = x[static_cast<std::size_t>(axis)];
    if (dim.batch) Writer::refuse(e, "it looks for one maximum of the whole batch");
    perm.push_back(axis);
    moved.push_back(dim);
    elements *= dim.factor;
  }
  others.emplace_back(elements);
  Steps s(w, e);
  const bool in_order = std::is_sorted(perm.begin(), perm.end());
  std::string value = s.reshape(in_order ? s.operand(0) : s.transpose(s.operand(0), perm), Shape(others));
  const auto last = static_cast<std::int64_t>(others.size()) - 1;
  value = s("ArgMax", {value}, [&](NodeWriter& n) { n.set("axis", last).set("keepdims", std::int64_t{1}); });
  Ints places(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
  value = s.reshape(s("Equal", {value, s.ints(places)}), Shape(moved));
  if (in_order) {
    s.last(value);
    return;
  }
  Ints back(perm.size());
  for (std::size_t i = 0; i < perm.size(); ++i)
    back[static_cast<std::size_t>(perm[i])] = static_cast<std::int64_t>(i);
  s.last("Transpose", {value}, [&](NodeWriter& n) { n.set("perm", back); });
}

Tensor number_matrix(DType dtype, std::int64_t rows, std::int64_t columns,
                     const std::vector<std::pair<std::int64_t, std::int64_t>>& ones) {
  Tensor matrix = zeros(dtype, {rows, columns});
  dispatch(dtype, [&]<class T>(T) {
    auto values = matrix.mutable_values<T>();
    for (const auto& [r, c] : ones) values[static_cast<std::size_t>(r * columns + c)] = T(1);
  });
  return matrix;
}

/// Indices that are known: where each comes from if no two are the same, else a product with zeros and ones.
std::string add_at_known(Steps& s, const std::string& g, const Shape& flat, std::size_t axis,
                         const Tensor& index, std::int64_t extent, DType dtype) {
  Ints places(static_cast<std::size_t>(extent), -1);
  std::vector<std::pair<std::int64_t, std::int64_t>> ones;
  bool apart = true;
  for (std::int64_t k = 0; k < index.size(); ++k) {
    auto at = static_cast<std::int64_t>(index.at(k));
    if (at < 0) at += extent;
    std::int64_t& place = places.at(static_cast<std::size_t>(at));
    apart = apart && place == -1;
    place = k;
    ones.emplace_back(k, at);
  }
  if (apart) return s.take(g, flat, axis, places);
  return s.along(g, flat.rank(), axis, number_matrix(dtype, index.size(), extent, ones));
}

void write_scatter_add(Writer& w, Expr e) {
  const auto& a = e.attributes<ScatterAttributes>();
  const Shape &g = e.operand(0).shape(), &i = e.operand(1).shape();
  const auto axis = static_cast<std::size_t>(a.axis);
  Steps s(w, e);
  // The axes of the indices as one.
  std::vector<Dim> dims(g.dims().begin(), g.dims().begin() + a.axis);
  dims.push_back(i.count());
  dims.insert(dims.end(), g.dims().begin() + a.axis + static_cast<std::ptrdiff_t>(i.rank()), g.dims().end());
  const Shape flat(dims);
  const std::string value = i.rank() == 1 ? s.operand(0) : s.reshape(s.operand(0), flat);
  if (const Tensor* places = array_of(e.operand(1))) {
    s.last(add_at_known(s, value, flat, axis, *places, a.extent, e.dtype()));
    return;
  }
  w.need(e, 16);
  Ints perm;
  for (std::size_t k = 0; k < flat.rank(); ++k) perm.push_back(static_cast<std::int64_t>(k));
  std::swap(perm[0], perm[axis]);
  std::vector<Dim> target = e.shape().dims();
  std::swap(target[0], target[axis]);
  const std::string zeros = s("Expand", {s.number(0), w.extents(e, Shape(target))});
  const std::string index =
      s("Reshape", {as(s, s.operand(1), e.operand(1).dtype(), DType::int64), s.ints({-1, 1})});
  const std::string sums = s("ScatterND", {zeros, index, axis == 0 ? value : s.transpose(value, perm)},
                             [](NodeWriter& n) { n.set("reduction", std::string("add")); });
  s.last(axis == 0 ? sums : s.transpose(sums, perm));
}

void write_gather_rows(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string index =
      s("Unsqueeze", {as(s, s.operand(1), e.operand(1).dtype(), DType::int64), s.ints({-1})});
  s.last("GatherND", {s.operand(0), index},
         [&](NodeWriter& n) { n.set("batch_dims", e.attributes<GatherRowsAttributes>().batch); });
}

/// A product with what says which row goes where.
void write_scatter_rows(Writer& w, Expr e) {
  const auto& a = e.attributes<ScatterRowsAttributes>();
  const Shape &g = e.operand(0).shape(), &i = e.operand(1).shape();
  const auto shared = static_cast<std::size_t>(a.batch);
  const std::vector<Dim> rows(g.dims().begin(), g.dims().begin() + a.batch);
  std::int64_t count = 1, width = 1;
  for (std::size_t axis = shared; axis < i.rank(); ++axis) count *= i[axis].factor;
  for (std::size_t axis = i.rank(); axis < g.rank(); ++axis) {
    if (g[axis].batch) Writer::refuse(e, "the batch lies behind what is added up");
    width *= g[axis].factor;
  }
  const auto with = [&](std::vector<Dim> more) {
    std::vector<Dim> dims = rows;
    dims.insert(dims.end(), more.begin(), more.end());
    return Shape(dims);
  };
  Steps s(w, e);
  const std::string index = s.reshape(s.operand(1), with({Dim(count)}));
  const std::string where = as(s, hot(s, index, e.operand(1).dtype(), a.extent), DType::float32, e.dtype());
  Ints perm;
  for (std::size_t axis = 0; axis < shared + 2; ++axis) perm.push_back(static_cast<std::int64_t>(axis));
  std::swap(perm[shared], perm[shared + 1]);
  const std::string sums =
      s("MatMul", {s.transpose(where, perm), s.reshape(s.operand(0), with({Dim(count), Dim(width)}))});
  s.last(s.reshape(sums, e.shape()));
}

void write_top_index(Writer& w, Expr e) {
  const auto& a = e.attributes<TopAttributes>();
  Steps s(w, e);
  (void)s("TopK", {s.operand(0), s.ints({a.count})}, [&](NodeWriter& n) {
    n.set("axis", a.axis)
        .set("largest", std::int64_t{!a.smallest})
        .set("sorted", std::int64_t{1})
        .output(w.name(e));
  });
}

/// Linear between the two values whose ranks are nearest.
void write_quantile(Writer& w, Expr e) {
  const Shape& x = e.operand(0).shape();
  Steps s(w, e);
  std::int64_t count = 1;
  for (std::size_t axis = 1; axis < x.rank(); ++axis) count *= x[axis].factor;
  const double rank = e.attributes<QuantileAttributes>().q * static_cast<double>(count - 1),
               below = std::floor(rank);
  const std::string rows = s.reshape(s.operand(0), Shape{x[0], Dim(count)});
  const std::string sorted = s("TopK", {rows, s.ints({count})}, [&](NodeWriter& n) {
    n.set("axis", std::int64_t{1})
        .set("largest", std::int64_t{0})
        .set("sorted", std::int64_t{1})
        .output(w.unused(w.name(e) + ".ranks"));
  });
  const auto at = [&](std::int64_t place) {
    return s("Gather", {sorted, s.ints({std::min(place, count - 1)})},
             [](NodeWriter& n) { n.set("axis", std::int64_t{1}); });
  };
  const auto low = static_cast<std::int64_t>(below);
  const std::string first = at(low);
  const std::string step = s("Mul", {s("Sub", {at(low + 1), first}), s.number(rank - below)});
  s.last(s.reshape(s("Add", {first, step}), e.shape()));
}

void write_batch_index(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string batch = s("Reshape", {w.extents(e, e.shape()), s.ints({})});
  s.last("Range", {s.number(0), batch, s.number(1)});
}

}  // namespace

void add_index_forms(Forms& f) {
  f["argmax"] = arg("ArgMax");
  f["argmin"] = arg("ArgMin");
  f["one_hot"] = write_one_hot;
  f["first_max"] = write_first_max;
  f["gather"] = [](Writer& w, Expr e) {
    w.node("Gather", e).set("axis", e.attributes<AxisAttributes>().axis);
  };
  f["scatter_add"] = write_scatter_add;
  f["gather_rows"] = write_gather_rows;
  f["scatter_rows"] = write_scatter_rows;
  f["top_index"] = write_top_index;
  f["quantile"] = write_quantile;
  f["batch_index"] = write_batch_index;
}

}  // namespace rulegrad::io
