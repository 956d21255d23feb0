#include "rulegrad/passes/separable.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "expr/node_map.hpp"

namespace rulegrad {
namespace {

/// Follows the batch from the inputs to the roots, operation by operation.
class Following {
 public:
  /// The first operation that mixes, if there is one; `place` answers for what lies below it.
  std::optional<Expr> run(std::span<const Expr> roots) {
    std::vector<std::optional<BatchPlace>> operands;
    for (const Expr e : topological_order(roots)) {
      operands.clear();
      for (const Expr operand : e.operands()) operands.push_back(places_.at(operand));
      const bool touched = operands.empty() || std::any_of(operands.begin(), operands.end(),
                                                           [](const auto& at) { return at.has_value(); });
      const BatchFlow flow = touched ? e.op().batch_of(e, operands) : BatchFlow{};
      if (flow.mixes) return e;
      places_.emplace(e, flow.place);
    }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<BatchPlace> place(Expr e) const { return places_.at(e); }

 private:
  NodeMap<std::optional<BatchPlace>> places_;
};

}  // namespace

// Operators that stand for an expression mix where it does.
std::optional<Expr> first_mixing(std::span<const Expr> outputs) {
  return Following().run(written_out(outputs));
}

std::vector<std::optional<BatchPlace>> batch_places(std::span<const Expr> values) {
  std::vector<std::optional<BatchPlace>> result;
  for (const Expr value : written_out(values)) {
    // One after the other: what mixes the batch in one of them says nothing of the others.
    Following following;
    result.push_back(following.run(std::span(&value, 1)) ? std::nullopt : following.place(value));
  }
  return result;
}

}  // namespace rulegrad
