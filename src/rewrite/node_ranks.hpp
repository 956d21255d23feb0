#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad {

/// Positions of nodes in an order: a table over their ids where these lie close together, a hash table
/// elsewhere.
class NodeRanks {
 public:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  explicit NodeRanks(std::span<const Expr> order) {
    if (order.empty()) return;
    const auto [least, most] =
        std::minmax_element(order.begin(), order.end(), [](Expr a, Expr b) { return a->id < b->id; });
    first_id_ = (*least)->id;
    const std::size_t span = (*most)->id - first_id_ + std::size_t{1};
    if (span > 16 * order.size()) {
      for (std::size_t i = 0; i < order.size(); ++i) sparse_.emplace(order[i]->id, i);
      return;
    }
    dense_.assign(span, unknown);
    for (std::size_t i = 0; i < order.size(); ++i)
      dense_[order[i]->id - first_id_] = static_cast<std::uint32_t>(i);
  }

  [[nodiscard]] std::size_t find(Expr node) const {
    if (!sparse_.empty()) {
      const auto found = sparse_.find(node->id);
      return found == sparse_.end() ? none : found->second;
    }
    const std::size_t at = static_cast<std::size_t>(node->id) - first_id_;  // ids below the first wrap around
    return at < dense_.size() && dense_[at] != unknown ? dense_[at] : none;
  }

 private:
  static constexpr std::uint32_t unknown = std::numeric_limits<std::uint32_t>::max();
  std::size_t first_id_ = 0;
  std::vector<std::uint32_t> dense_;
  std::unordered_map<std::uint32_t, std::size_t> sparse_;
};

}  // namespace rulegrad
