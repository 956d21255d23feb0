#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/index_attributes.hpp"

#include "onnx/lookup.hpp"

namespace rulegrad::io {
namespace {

/// For every index how many of the same stand before it (or behind it, counted from the end), each line by
/// itself.
std::vector<std::int64_t> repetitions(const Tensor& index, std::int64_t lines, std::int64_t extent,
                                      bool from_end) {
  const std::int64_t count = lines == 0 ? 0 : index.size() / lines;
  std::vector<std::int64_t> result(static_cast<std::size_t>(index.size()));
  for (std::int64_t line = 0; line < lines; ++line) {
    std::unordered_map<std::int64_t, std::int64_t> seen;  // the axis may be much longer than the line
    for (std::int64_t k = 0; k < count; ++k) {
      const std::int64_t i = line * count + (from_end ? count - 1 - k : k);
      auto at = static_cast<std::int64_t>(index.at(i));
      if (at < 0) at += extent;
      result[static_cast<std::size_t>(i)] = seen[at]++;
    }
  }
  return result;
}

}  // namespace

Expr scattered_into(NodeContext& c, Expr data, Expr at, Expr updates, std::size_t shared, Scatter how) {
  const DType dtype = data.dtype();
  const bool exact = is_floating(dtype);
  // Scattering adds up, in float64 for integers.
  const auto real = [&](Expr e) { return exact ? e : c.apply("cast", {e}, CastAttributes{DType::float64}); };
  const Dim extent = data.shape()[shared];
  const ScatterRowsAttributes attributes{static_cast<std::int64_t>(shared), extent.factor};
  const auto placed = [&](Expr values) { return c.apply("scatter_rows", {values, at}, attributes); };
  const Expr base = real(data), given = real(updates);
  const auto finished = [&](Expr y) { return exact ? y : c.apply("cast", {y}, CastAttributes{dtype}); };
  if (how == Scatter::add) return finished(c.apply("add", {base, placed(given)}));

  // The places as ones, in the rank of data.
  const auto ones = [&](Expr kept) {
    std::vector<Dim> dims = placed(kept).shape().dims();
    dims.resize(data.shape().rank(), Dim{1});
    const Expr hits = reshaped(c, placed(kept), std::move(dims));
    return c.apply("greater", {hits, c.scalar(0, hits)});
  };
  const auto where_kept = [&](Expr kept) {
    std::vector<Dim> dims = kept.shape().dims();
    dims.resize(given.shape().rank(), Dim{1});
    return c.apply("where", {reshaped(c, kept, dims), given, c.scalar(0, given)});
  };
  const auto as_real = [&](Expr flag) { return c.apply("cast", {flag}, CastAttributes{given.dtype()}); };
  const bool known = is_constant(at) && !at.shape().has_batch();
  if (!known) {
    if (how != Scatter::set)
      c.fail("reductions other than 'add' need indices that are known when the model is read");
    // ONNX forbids an index twice where nothing says what then holds.
    const Expr all = c.apply("fill", {}, FillAttributes{1, given.dtype(), at.shape()});
    return finished(c.apply("where", {ones(all), placed(given), base}));
  }
  const Tensor& indices = at.attributes<ConstantAttributes>().value;
  std::int64_t lines = 1;
  for (std::size_t axis = 0; axis < shared; ++axis) lines *= at.shape()[axis].factor;
  for (std::int64_t i = 0; i < indices.size(); ++i)
    if (const double k = indices.at(i);
        k < -static_cast<double>(extent.factor) || k >= static_cast<double>(extent.factor))
      c.fail(fmt::format("index {} lies outside of an axis of {} elements", k, extent.factor));
  // Of several for one place the last one holds; reductions take them one after another.
  const auto turns = repetitions(indices, lines, extent.factor, how == Scatter::set);
  const std::int64_t rounds =
      how == Scatter::set || turns.empty() ? 1 : 1 + *std::max_element(turns.begin(), turns.end());
  const char* const names[] = {"", "add", "mul", "max", "min"};
  Expr y = base;
  for (std::int64_t round = 0; round < rounds; ++round) {
    Tensor mask = c.array(DType::boolean, indices.dims());
    const auto flags = mask.mutable_values<bool>();
    for (std::size_t i = 0; i < turns.size(); ++i) flags[i] = turns[i] == round;
    const Expr kept = c.graph().constant(mask);
    const Expr values = placed(where_kept(kept)), hit = ones(as_real(kept));
    const Expr joined =
        how == Scatter::set ? values : c.apply(names[static_cast<std::size_t>(how)], {y, values});
    y = c.apply("where", {hit, joined, y});
  }
  return finished(y);
}

}  // namespace rulegrad::io
