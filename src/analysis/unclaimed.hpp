#pragma once

#include <string>
#include <vector>

#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// The gradient nodes that no rule of an analyzer claims, collected over the whole walk so that one error names all.
class Unclaimed {
 public:
  void add(Expr node, std::size_t slot, NearMiss nearest);
  [[nodiscard]] bool empty() const { return groups_.empty(); }
  /// Operator, names and shapes of every node, the nearest rule and why it failed, and text that would close them.
  [[nodiscard]] std::string message(const std::string& analyzer, const RuleList& rules) const;

 private:
  struct Group {
    std::string op;
    std::string operand;
    std::vector<Expr> nodes;
    NearMiss nearest;
    bool routing = false;
    bool single = false;
  };
  std::vector<Group> groups_;
};

}  // namespace rulegrad
