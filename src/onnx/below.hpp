#pragma once

#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad::io {

/// Whether something holds of a node or of any node below it. Asked for every value of a file, so each node
/// is looked at once; without recursion, for files are as deep as they are long.
class SomewhereBelow {
 public:
  explicit SomewhereBelow(std::function<bool(Expr)> holds) : holds_(std::move(holds)) {}
  /// Nor is looked below what `ends` holds of.
  SomewhereBelow(std::function<bool(Expr)> holds, std::function<bool(Expr)> ends)
      : holds_(std::move(holds)), ends_(std::move(ends)) {}

  [[nodiscard]] bool of(Expr root) {
    if (const auto known = known_.find(root); known != known_.end()) return known->second;
    std::vector<Expr> open{root};
    while (!open.empty()) {
      const Expr node = open.back();
      const std::size_t depth = open.size();
      bool found = holds_(node);
      for (const Expr operand : ends_&& ends_(node) ? std::span<const Expr>() : node.operands()) {
        const auto known = known_.find(operand);
        if (known == known_.end())
          open.push_back(operand);
        else
          found = found || known->second;
      }
      if (open.size() > depth) continue;
      known_.insert_or_assign(node, found);
      open.pop_back();
    }
    return known_.at(root);
  }

 private:
  std::function<bool(Expr)> holds_, ends_;
  std::unordered_map<Expr, bool> known_;
};

}  // namespace rulegrad::io
