#include "recipe/feature_map.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Is it an affine operation whose result has its channels at that axis, from the back where negative?
bool counts_channels_at(Expr node, std::int64_t axis) {
  return node.op().channels && node.op().channels->result == axis;
}

/// The nodes on the ways from one value to the output, operands before users.
class Ways {
 public:
  Ways(const ForwardFacts& facts, Expr output, Expr explained)
      : order_(facts.order()), from_(explained), ranks_(order_.size(), 0) {
    const std::size_t last = facts.rank(output);
    if (last >= order_.size()) return;
    std::vector<char> reaches(order_.size(), 0), depends(order_.size(), 0), others(order_.size(), 0),
        map(order_.size(), 0);
    std::vector<Expr> origin(
        order_.size());  // the map that a value was made from, to know one that gets its shape back
    // What an inner node is made from is no other input.
    const std::vector<Expr> below = topological_order(std::span(&explained, 1));
    reaches[last] = 1;
    for (std::size_t i = last + 1; i-- > 0;)
      if (reaches[i] != 0)
        for (const Expr operand : order_[i].operands())
          if (const std::size_t at = facts.rank(operand); at < i) reaches[at] = 1;
    for (std::size_t i = 0; i <= last; ++i) {
      const Expr node = order_[i];
      depends[i] = node == explained ? 1 : 0;
      others[i] = is_input(node) && std::find(below.begin(), below.end(), node) == below.end() ? 1 : 0;
      const bool convolution = counts_channels_at(node, 1);
      if (node != explained)
        for (const Expr operand : node.operands()) {
          const std::size_t at = facts.rank(operand);
          if (at >= i) continue;
          depends[i] |= depends[at];
          others[i] |= others[at];
          if (const Expr before = map[at] != 0 ? operand : origin[at]; before && !origin[i])
            origin[i] = before;
          map[i] |= static_cast<char>(
              map[at] != 0 && operand.shape().rank() == node.shape().rank() && keeps_places(node) ? 1 : 0);
        }
      const bool back =
          (node.is("reshape") || node.is("transpose")) && origin[i] && origin[i].shape() == node.shape();
      map[i] |= static_cast<char>(depends[i] != 0 && (convolution || back) ? 1 : 0);
      if (depends[i] == 0 || reaches[i] == 0) continue;
      nodes_.push_back({node, others[i] != 0, map[i] != 0});
      ranks_[i] = nodes_.size();
    }
    std::size_t farthest = 0;  // the last node that an edge from one of those before reaches
    std::vector<std::size_t> reach(nodes_.size(), 0);
    for (std::size_t k = 0; k < nodes_.size(); ++k)
      if (nodes_[k].expr != from_)
        for (const Expr operand : nodes_[k].expr.operands())
          if (const std::size_t at = ranks_[facts.rank(operand)]; at != 0)
            reach[at - 1] = std::max(reach[at - 1], k);
    for (std::size_t k = 0; k < nodes_.size(); ++k) {
      nodes_[k].passage = farthest <= k;
      farthest = std::max(farthest, reach[k]);
    }
  }

  struct Node {
    Expr expr;
    bool mixed = false;    ///< depends on other inputs than the explained value does
    bool map = false;      ///< [B, C, spatial...] behind a convolution
    bool passage = false;  ///< every way leads through it
  };
  [[nodiscard]] const std::vector<Node>& nodes() const { return nodes_; }
  [[nodiscard]] std::size_t dependent_operands(Expr node, const ForwardFacts& facts) const {
    return static_cast<std::size_t>(
        std::count_if(node.operands().begin(), node.operands().end(),
                      [&](Expr operand) { return ranks_[facts.rank(operand)] != 0; }));
  }

 private:
  /// Where the axes of the result are those of the operand.
  static bool keeps_places(Expr node) {
    const OpSchema& op = node.op();
    if (op.is(OpClass::activation) || op.is(OpClass::elementwise) || op.is(OpClass::pool)) return true;
    for (const char* name : {"batch_norm", "lrn", "concat", "resize", "pad", "slice"})
      if (op.name == name) return true;
    return false;
  }

  const std::vector<Expr>& order_;
  Expr from_;
  std::vector<std::size_t> ranks_;  ///< one more than the place in nodes_, by rank of the facts
  std::vector<Node> nodes_;
};

bool spacious(Expr node) {
  const Shape& shape = node.shape();
  if (shape.rank() < 3 || shape.rank() > 5) return false;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    if (shape[axis].batch) return false;
  for (std::size_t axis = 2; axis < shape.rank(); ++axis)
    if (shape[axis].factor > 1) return true;
  return false;
}

/// Pooling and what moves numbers only shows again what came before it.
bool shows_again(Expr node) {
  return node.op().is(OpClass::pool) || (node.op().is(OpClass::routing) && node.operands().size() == 1);
}

bool makes_more(Expr node) {
  const OpSchema& op = node.op();
  return op.is(OpClass::affine) || op.is(OpClass::pool) || op.reduces || op.name == "matmul";
}

std::string named(Expr node) {
  const std::vector<std::string> names = node.graph().names(node);
  return names.empty() ? describe(node) : fmt::format("'{}'", names.front());
}

}  // namespace

Expr last_feature_map(const ForwardFacts& facts, Expr output, Expr explained, const std::string& what) {
  const Ways ways(facts, output, explained);
  const std::vector<Ways::Node>& nodes = ways.nodes();
  bool used = false;
  Expr attending, mixed;
  for (std::size_t k = nodes.size(); k-- > 0;) {
    const Ways::Node& node = nodes[k];
    if (used && node.passage && node.map && spacious(node.expr) && !shows_again(node.expr) &&
        node.expr != explained) {
      if (!node.mixed) return node.expr;
      if (!mixed) mixed = node.expr;
    }
    used = used || makes_more(node.expr);
    const bool positions = counts_channels_at(node.expr, -1) && node.expr.operand(0).shape().rank() == 3 &&
                           !node.expr.operand(0).shape()[1].is(1);
    if (positions || (node.expr.is("matmul") && ways.dependent_operands(node.expr, facts) > 1)) {
      attending = node.expr;
      break;
    }
  }
  std::string why;
  if (attending)
    why = fmt::format("its positions go on in {}, so that no map of features is the last", named(attending));
  else if (mixed)
    why = fmt::format("{} and all before it that is a map depends on other inputs than {} too", named(mixed),
                      named(explained));
  else if (std::none_of(nodes.begin(), nodes.end(),
                        [](const auto& node) { return node.map && spacious(node.expr); }))
    why = fmt::format("this one has none that depends on {}", named(explained));
  else
    why = "this one has no map of features that every way to the score passes";
  std::vector<std::string> maps;
  for (auto it = nodes.rbegin(); it != nodes.rend() && maps.size() < 4; ++it)
    if (it->map && spacious(it->expr) && !shows_again(it->expr) && !it->expr.graph().names(it->expr).empty())
      maps.push_back(named(it->expr));
  throw Error(ErrorCode::unknown_name,
              fmt::format("{} is the last convolutional feature map, but {}; name a node{}{}", what, why,
                          maps.empty() ? "" : ", the last maps are ", join(maps)));
}

}  // namespace rulegrad
