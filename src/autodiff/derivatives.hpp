#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"

#include "autodiff/guarded.hpp"
#include "expr/node_map.hpp"
#include "rewrite/composite.hpp"
#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// Closes vjp nodes by the derivative rules that operators carry: ordinary differentiation as the last rule
/// set.
class Derivatives {
 public:
  Derivatives(Graph& graph, const Operators& operators);

  /// The nodes of this forward graph, which must live on, hold no vjp nodes: lowering leaves them as they
  /// are.
  void leave_alone(const ForwardFacts& forward) { forward_ = &forward; }
  /// What a choice of this graph does not take sends nothing back, whatever its value (guarded.hpp).
  void guard(const ForwardFacts& forward) { guarded_ = guarded_nodes(forward); }

  /// The explicit node of that level, grad or vjp, of (operation, cotangent) for one operand.
  [[nodiscard]] Expr make(const OpSchema& level, Expr operation, std::size_t slot, Expr cotangent) const;
  /// The derivative of one operation for one operand; nothing when it is zero. Throws Error(rule) for an
  /// operator without a derivative, naming it.
  [[nodiscard]] std::optional<Expr> close(Expr operation, std::size_t slot, Expr cotangent) const;
  /// The expression with every vjp node in it closed and every const(e) that a rule wrote taken for e;
  /// nothing when it is zero.
  [[nodiscard]] std::optional<Expr> lower(Expr root);
  /// diff(e, x, g): ordinary reverse differentiation between two expressions, over what lies between them;
  /// const(...) in e is not looked into. Nothing when it is zero.
  [[nodiscard]] std::optional<Expr> differentiate(Expr e, Expr x, Expr cotangent);

 private:
  /// By number of node, null where it was not asked for: nearly every node of a rewritten graph is, in about
  /// that order.
  class Lowered {
   public:
    [[nodiscard]] bool contains(Expr node) const { return node->id < images_.size() && images_[node->id]; }
    [[nodiscard]] Expr at(Expr node) const { return images_[node->id]; }
    void emplace(Expr node, Expr image) {
      if (node->id >= images_.size())
        images_.resize(std::max<std::size_t>(node->graph->size(), node->id + std::size_t{1}));
      images_[node->id] = image;
    }

   private:
    std::vector<Expr> images_;
  };
  /// The derivative of a composite operator over stand-ins for its operands.
  struct Template {
    Standalone alone;
    Expr cotangent;
    std::optional<Expr> derivative;
  };
  std::optional<Expr> close_composite(Expr operation, std::size_t slot, Expr cotangent) const;
  std::optional<Expr> close_guarded(Expr operation, std::size_t slot, Expr cotangent,
                                    std::span<const std::int64_t> coupled) const;
  std::optional<Expr> close_plain(Expr operation, std::size_t slot, Expr cotangent) const;
  Expr lower_into(Lowered& lowered, Expr root, bool keep_const);

  Graph& graph_;
  const Operators& operators_;
  const OpSchema& const_;
  const ForwardFacts* forward_ = nullptr;
  NodeMap<char> guarded_;
  mutable Attributes last_slot_ = SlotAttributes{};  ///< neighbours mostly share them
  Vocabulary vocabulary_;
  ForwardFacts no_facts_;
  RuleList rules_;
  GradientRules closing_;
  Lowered lowered_, lowered_but_const_;
  mutable std::map<std::string, Template> templates_;
};

}  // namespace rulegrad
