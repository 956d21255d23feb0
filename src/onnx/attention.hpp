#pragma once

#include <optional>

#include "onnx/node_context.hpp"

/// Attention as the operators of several sets have it.
namespace rulegrad::io {

/// [N, S, heads * D] as [N, heads, S, D], and back; what has four axes stays.
[[nodiscard]] Expr split_heads(NodeContext& c, Expr x, std::int64_t heads, const char* what);
[[nodiscard]] Expr join_heads(NodeContext& c, Expr y);

/// Scores where allowed, -inf elsewhere.
[[nodiscard]] Expr masked(NodeContext& c, Expr scores, Expr allowed);
/// softmax along the last axis; 0 in rows that are masked throughout.
[[nodiscard]] Expr masked_softmax(NodeContext& c, Expr scores);

/// softmax(cap(scale q k^T) + mask) v over [N, heads, S, D].
struct AttentionCase {
  Expr q, k, v;
  std::optional<Expr> mask;     ///< allowed keys, or what is added to the scores
  std::optional<Expr> lengths;  ///< how many keys each sample has
  double scale = 0;             ///< 0: 1 / sqrt(D)
  double softcap = 0;           ///< 0: none
  bool causal = false;
  std::int64_t before = 0;  ///< keys that stand before the first query
};
struct AttentionResult {
  Expr y, raw, capped, biased, weights;
};
[[nodiscard]] AttentionResult attend(NodeContext& c, const AttentionCase& a);

}  // namespace rulegrad::io
