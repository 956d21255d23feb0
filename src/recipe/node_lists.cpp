#include "recipe/node_lists.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad {

Expr node_named(const ForwardFacts& facts, const std::string& name, const std::string& what) {
  const std::vector<Expr>& order = facts.order();
  std::vector<std::string> known;
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    for (const std::string& other : it->graph().names(*it)) {
      if (other == name) return *it;
      if (!is_constant(*it)) known.push_back(other);
    }
  }
  std::reverse(known.begin(), known.end());
  throw Error(ErrorCode::unknown_name, unknown_name_message(what, name, known));
}

Expr find_node(Expr output, const std::string& name) {
  return node_named(ForwardFacts(std::span(&output, 1), {}), name, "node");
}

Expr end_of_last(const ForwardFacts& facts, const std::string& op_class, const std::string& what) {
  Expr last;
  for (const Expr node : facts.order())
    if (facts.is_last(node, op_class)) last = node;
  if (!last)
    throw Error(ErrorCode::unknown_name, fmt::format("{} is the last {} of the network, and this one has "
                                                     "none that depends on what is explained; name a node",
                                                     what, op_class));
  const auto continues = [&](Expr user) {
    const OpSchema& op = user.op();
    return op.is(OpClass::activation) || op.is(OpClass::elementwise) || op.name == "batch_norm" ||
           op.name == "add";
  };
  for (;;) {
    Expr user;
    std::size_t users = 0;
    for (const Expr node : facts.order())
      if (std::find(node.operands().begin(), node.operands().end(), last) != node.operands().end()) {
        user = node;
        ++users;
      }
    if (users != 1 || facts.uses(last) != 1 || !continues(user) || user.shape() != last.shape()) return last;
    last = user;
  }
}

}  // namespace rulegrad
