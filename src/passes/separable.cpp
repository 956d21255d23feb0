#include "rulegrad/separable.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include "rulegrad/index_attributes.hpp"
#include "rulegrad/op_attributes.hpp"

namespace rulegrad {
namespace {

using Place = BatchPlace;

/// An answer about one operation: mixing, or where its result has the batch (nowhere: it does not depend on it).
struct Answer {
  bool mixes = false;
  std::optional<Place> place;
};
const Answer mixing{true, std::nullopt};

bool contains(const Ints& axes, std::size_t axis) {
  return std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end();
}

std::size_t counted(std::int64_t axis, std::size_t rank) {
  return static_cast<std::size_t>(axis < 0 ? axis + static_cast<std::int64_t>(rank) : axis);
}

class Separating {
 public:
  std::optional<Expr> run(std::span<const Expr> outputs) {
    for (const Expr e : topological_order(outputs)) {
      const Answer answer = ask(e);
      if (answer.mixes) return e;
      if (answer.place) places_.emplace(e, *answer.place);
    }
    return std::nullopt;
  }

  std::optional<Place> place(Expr e) const {
    const auto found = places_.find(e);
    return found == places_.end() ? std::nullopt : std::optional(found->second);
  }

 private:

  static std::optional<Place> declared(Expr e) {
    for (std::size_t axis = 0; axis < e.shape().rank(); ++axis)
      if (e.shape()[axis].batch) return Place{axis, 1, e.shape()[axis].factor};
    return std::nullopt;
  }

  Answer ask(Expr e) const {
    if (e.operands().empty()) return {false, e.is("fill") ? std::nullopt : declared(e)};
    const bool touched = std::any_of(e.operands().begin(), e.operands().end(), [&](Expr operand) { return place(operand).has_value(); });
    if (!touched) return {};
    const std::string_view name = e.op().name;
    const Expr x = e.operand(0);
    static const std::set<std::string_view> front{"conv", "conv_transpose", "max_pool", "max_pool_vjp", "max_pool_jvp", "avg_pool", "avg_pool_vjp",
                                                  "resize", "resize_vjp", "lrn", "channel_window_sum", "quantile", "random_normal", "random_uniform", "random_index"};
    static const std::set<std::string_view> reductions{"sum", "mean", "amax", "amin", "prod", "first_max"};
    if (front.contains(name)) return in_front(e);
    if (reductions.contains(name)) return reduced(e, *place(x));
    if (name == "argmax" || name == "argmin") return along(*place(x), e.attributes<ArgAttributes>().axis, x, !e.attributes<ArgAttributes>().keep);
    if (name == "softmax" || name == "log_softmax") return along(*place(x), e.attributes<AxisAttributes>().axis, x, false);
    if (name == "dense") return place(e.operand(1)) || place(e.operand(2)) || place(x)->axis + 1 == x.shape().rank() ? mixing : Answer{false, place(x)};
    if (name == "matmul") return product(e);
    if (name == "batch_norm") return alone(e) && counted(e.attributes<BatchNormAttributes>().axis, x.shape().rank()) != place(x)->axis ? Answer{false, place(x)} : mixing;
    if (name == "layer_norm") return alone(e) && place(x)->axis < counted(e.attributes<LayerNormAttributes>().axis, x.shape().rank()) ? Answer{false, place(x)} : mixing;
    if (name == "transpose") return transposed(e, *place(x));
    if (name == "reshape") return reshaped(e, *place(x));
    if (name == "concat") return joined(e);
    if (name == "slice") return contains(e.attributes<SliceAttributes>().axes, place(x)->axis) ? mixing : Answer{false, place(x)};
    if (name == "slice_vjp") return contains(e.attributes<SliceVjpAttributes>().axes, place(x)->axis) ? mixing : Answer{false, place(x)};
    if (name == "pad") return padded(e.attributes<PadAttributes>().begin, e.attributes<PadAttributes>().end, *place(x));
    if (name == "pad_vjp") return padded(e.attributes<PadVjpAttributes>().begin, e.attributes<PadVjpAttributes>().end, *place(x));
    if (name == "gather") return gathered(e);
    if (name == "scatter_add") return scattered(e);
    if (name == "gather_rows") return by_rows(e, e.attributes<GatherRowsAttributes>().batch);
    if (name == "scatter_rows") return by_rows(e, e.attributes<ScatterRowsAttributes>().batch);
    if (name == "cumsum") return along(*place(x), e.attributes<CumsumAttributes>().axis, x, false);
    if (name == "top_index") return along(*place(x), e.attributes<TopAttributes>().axis, x, false);
    if (name == "one_hot") return {false, place(x)};
    if (name == "expand" || name == "sum_to" || e.op().is(OpClass::elementwise)) return aligned(e);
    if (name == "reduce_samples") {
      Place at = *place(x);
      at.axis += e.shape().rank() - x.shape().rank();
      return {false, at};
    }
    return e.shape().has_batch() ? aligned(e) : mixing;
  }

  /// Only operand 0 depends on the batch.
  bool alone(Expr e) const {
    for (std::size_t i = 1; i < e.operands().size(); ++i)
      if (place(e.operand(i))) return false;
    return place(e.operand(0)).has_value();
  }

  /// Data operands have the batch in front, parameters do not have it.
  Answer in_front(Expr e) const {
    std::optional<Place> result;
    for (std::size_t i = 0; i < e.operands().size(); ++i) {
      const auto at = place(e.operand(i));
      if (!at) continue;
      if (at->axis != 0 || (result && *result != *at) || (e.op().is(OpClass::affine) && i > 0)) return mixing;
      result = at;
    }
    return {false, result};
  }

  static Answer reduced(Expr e, Place at) {
    const auto& reduce = e.attributes<ReduceAttributes>();
    if (reduce.axes.empty() || contains(reduce.axes, at.axis)) return mixing;
    if (e.is("first_max") || reduce.keep) return {false, at};
    const auto gone = std::count_if(reduce.axes.begin(), reduce.axes.end(), [&](std::int64_t axis) { return axis < static_cast<std::int64_t>(at.axis); });
    at.axis -= static_cast<std::size_t>(gone);
    return {false, at};
  }

  static Answer along(Place at, std::int64_t axis, Expr x, bool goes) {
    const std::size_t along_axis = counted(axis, x.shape().rank());
    if (along_axis == at.axis) return mixing;
    if (goes && along_axis < at.axis) --at.axis;
    return {false, at};
  }

  /// Operands aligned at the last axis, as NumPy broadcasts them.
  Answer aligned(Expr e) const {
    std::optional<Place> result;
    for (const Expr operand : e.operands()) {
      auto at = place(operand);
      if (!at) continue;
      if (e.shape().rank() < operand.shape().rank() && at->axis < operand.shape().rank() - e.shape().rank()) return mixing;
      at->axis = at->axis + e.shape().rank() - operand.shape().rank();
      if (!e.shape()[at->axis].batch && operand.shape()[at->axis + operand.shape().rank() - e.shape().rank()].batch) return mixing;
      if (result && *result != *at) return mixing;
      result = at;
    }
    return {false, result};
  }

  Answer product(Expr e) const {
    const auto& attributes = e.attributes<MatmulAttributes>();
    std::optional<Place> result;
    for (std::size_t i = 0; i < 2; ++i) {
      auto at = place(e.operand(i));
      if (!at) continue;
      const std::size_t rank = e.operand(i).shape().rank();
      const std::size_t from_back = rank - 1 - at->axis;
      const bool swapped = i == 0 ? attributes.transpose_a : attributes.transpose_b;
      const std::size_t contracted = (i == 0) != swapped ? 0 : 1;
      if (rank < 2 || from_back == contracted) return mixing;
      if (from_back < 2) at->axis = e.shape().rank() - (i == 0 ? 2 : 1);
      else at->axis = e.shape().rank() - 1 - from_back;
      if (result && *result != *at) return mixing;
      result = at;
    }
    return {false, result};
  }

  static Answer transposed(Expr e, Place at) {
    const Ints& perm = e.attributes<TransposeAttributes>().perm;
    at.axis = static_cast<std::size_t>(std::find(perm.begin(), perm.end(), static_cast<std::int64_t>(at.axis)) - perm.begin());
    return {false, at};
  }

  static std::int64_t extents(const Shape& shape, std::size_t from, std::size_t to) {
    std::int64_t product = 1;
    for (std::size_t axis = from; axis < to; ++axis) product *= shape[axis].factor;
    return product;
  }

  static Answer reshaped(Expr e, const Place& at) {
    const Shape &before = e.operand(0).shape(), &after = e.shape();
    std::size_t axis = 0;
    while (axis < after.rank() && !after[axis].batch) ++axis;
    if (axis == after.rank()) return mixing;
    const std::int64_t outer = extents(before, 0, at.axis) * at.outer, inner = at.inner * extents(before, at.axis + 1, before.rank());
    const std::int64_t in_front = extents(after, 0, axis), behind = extents(after, axis + 1, after.rank());
    if (in_front == 0 || behind == 0 || outer % in_front != 0 || inner % behind != 0) return mixing;
    return {false, Place{axis, outer / in_front, inner / behind}};
  }

  Answer joined(Expr e) const {
    const std::size_t axis = counted(e.attributes<AxisAttributes>().axis, e.shape().rank());
    std::optional<Place> result;
    for (const Expr operand : e.operands()) {
      const auto at = place(operand);
      if (at && (at->axis == axis || (result && *result != *at))) return mixing;
      if (at) result = at;
    }
    return {false, result};
  }

  static Answer padded(const Ints& begin, const Ints& end, const Place& at) {
    return begin[at.axis] != 0 || end[at.axis] != 0 ? mixing : Answer{false, at};
  }

  Answer gathered(Expr e) const {
    const std::size_t axis = counted(e.attributes<AxisAttributes>().axis, e.operand(0).shape().rank());
    auto table = place(e.operand(0)), index = place(e.operand(1));
    if (table && index) return mixing;
    if (index) {
      index->axis += axis;
      return {false, index};
    }
    if (table->axis == axis) return mixing;
    if (table->axis > axis) table->axis = table->axis + e.operand(1).shape().rank() - 1;
    return {false, table};
  }

  /// Both operands begin with the shared axes; the batch must be one of them.
  Answer by_rows(Expr e, std::int64_t shared) const {
    std::optional<Place> result;
    for (const Expr operand : e.operands()) {
      const auto at = place(operand);
      if (!at) continue;
      if (static_cast<std::int64_t>(at->axis) >= shared || (result && *result != *at)) return mixing;
      result = at;
    }
    return {false, result};
  }

  Answer scattered(Expr e) const {
    const std::size_t axis = counted(e.attributes<ScatterAttributes>().axis, e.shape().rank());
    auto at = place(e.operand(0));
    if (!at || place(e.operand(1)) || (at->axis >= axis && at->axis < axis + e.operand(1).shape().rank())) return mixing;
    if (at->axis >= axis) at->axis = at->axis + 1 - e.operand(1).shape().rank();
    return {false, at};
  }

  std::unordered_map<Expr, Place> places_;
};

}  // namespace

std::optional<Expr> first_mixing(std::span<const Expr> outputs) { return Separating().run(outputs); }

std::vector<std::optional<BatchPlace>> batch_places(std::span<const Expr> values) {
  std::vector<std::optional<BatchPlace>> result;
  for (const Expr value : values) {
    // One after the other: what mixes the batch in one of them says nothing of the others.
    Separating separating;
    result.push_back(separating.run(std::span(&value, 1)) ? std::nullopt : separating.place(value));
  }
  return result;
}

}  // namespace rulegrad
