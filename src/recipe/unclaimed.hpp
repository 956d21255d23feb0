#pragma once

#include <functional>
#include <string>
#include <vector>

#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// The gradient nodes that no rule of an analyzer claims, collected over the whole walk so that one error
/// names all.
class Unclaimed {
 public:
  void add(Expr node, std::size_t slot, NearMiss nearest);
  [[nodiscard]] bool empty() const { return groups_.empty(); }

  /// What the advice is made from.
  struct Setting {
    std::string analyzer;
    std::string name;  ///< of the proposed rule set and analyzer: one that is not taken
    std::string base;  ///< what an analyzer of the person's own can extend: the analyzer, or one below it
                       ///< that needs no arguments
    const RuleList& rules;
    const ForwardFacts& facts;
    std::vector<std::string> sets;  ///< rule sets that may claim such nodes, the usual ones first
    std::size_t usual;              ///< how many of them are: others are for what these leave
    std::function<bool(const std::string& set, Expr node, std::size_t slot)> claims;
  };
  /// Operator, names and shapes of every node, the nearest rule and why it failed; the rule sets that would
  /// claim them, and a file that does.
  [[nodiscard]] std::string message(const Setting& setting) const;

 private:
  struct Group {
    std::string op;
    std::string operand;
    std::size_t slot = 0;
    std::vector<Expr> nodes;
    NearMiss nearest;
  };
  [[nodiscard]] std::string found(const Setting& setting) const;
  [[nodiscard]] std::string advice(const Setting& setting) const;

  std::vector<Group> groups_;
};

}  // namespace rulegrad
