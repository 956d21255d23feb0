#pragma once

#include <optional>
#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// The first operation below the outputs that lets entries of the batch act on each other (a mean over the
/// batch, a softmax along it, an interleaved slice), or of which it is not known that it does not; nothing if
/// every entry of the batch is computed by itself. Only then may a batch be cut into several runs.
[[nodiscard]] std::optional<Expr> first_mixing(std::span<const Expr> outputs);

/// Where the batch lies in each of these values; nothing for those that do not depend on the batch, or that
/// mix its entries.
[[nodiscard]] std::vector<std::optional<BatchPlace>> batch_places(std::span<const Expr> values);

}  // namespace rulegrad
