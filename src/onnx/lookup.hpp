#pragma once

#include <optional>
#include <vector>

#include "onnx/node_context.hpp"

/// Looking up and writing at indices, where the place of a sample in its batch may be one of them.
namespace rulegrad::io {

/// An integer array as multiples of the place in the batch: place * scale + rest. Exporters write "each
/// sample looks into itself" as indices that hold the numbers of the samples.
struct RowIndex {
  std::int64_t scale = 0;
  std::optional<Expr> rest;  ///< broadcasts to the array; nothing is 0
};
/// Nothing if the place in the batch takes part otherwise.
[[nodiscard]] std::optional<RowIndex> row_index(const NodeContext& c, Expr index);
/// 0, 1, 2, ... over the batch.
[[nodiscard]] Expr place_in_batch(const NodeContext& c);

/// Gather along an axis that is the batch, or a multiple of it, where the indices stay within their sample.
[[nodiscard]] std::optional<Expr> gather_within_samples(const NodeContext& c, Expr x, Expr index,
                                                        std::size_t axis);

/// Where the last axis of a GatherND or ScatterND index points: x as [shared..., E, rest...] and the indices
/// into E.
struct Pointed {
  Expr x;                  ///< [p..., E, rest...]
  Expr at;                 ///< [p..., q...]
  std::size_t shared = 0;  ///< how many axes p has
  /// Where the batch, the only shared axis, belongs in the result, if it is not in front already.
  std::optional<std::size_t> batch_place;
};
[[nodiscard]] Pointed pointed_at(NodeContext& c, Expr x, Expr index, std::int64_t batch_dims);

/// The axis moved to another place.
[[nodiscard]] Expr moved_axis(const NodeContext& c, Expr x, std::size_t from, std::size_t to);

/// What a scatter does where an element is there already.
enum class Scatter : std::uint8_t { set, add, mul, max, min };
/// data [p..., E, rest...] with updates [p..., k..., rest...] at [p..., k...].
[[nodiscard]] Expr scattered_into(NodeContext& c, Expr data, Expr at, Expr updates, std::size_t shared,
                                  Scatter how);

}  // namespace rulegrad::io
