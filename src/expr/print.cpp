#include <fmt/format.h>

#include "rulegrad/expr.hpp"
#include "rulegrad/leaves.hpp"
#include "support/text.hpp"

namespace rulegrad {

std::string print(std::span<const Expr> roots) {
  std::string text;
  std::unordered_map<Expr, std::size_t> number;
  for (const Expr expr : topological_order(roots)) {
    const std::size_t index = number.size();
    number.emplace(expr, index);
    std::vector<std::string> operands;
    for (const Expr operand : expr.operands()) operands.push_back(fmt::format("%{}", number.at(operand)));
    const std::string attributes = to_string(expr.attributes());
    text += fmt::format("%{} = {}({}){}{} : {}\n", index, expr.op().name, join(operands),
                        attributes.empty() ? "" : " ", attributes, to_string(expr.type()));
  }
  std::vector<std::string> results;
  for (const Expr root : roots) results.push_back(fmt::format("%{}", number.at(root)));
  return text + fmt::format("return {}\n", join(results));
}

}  // namespace rulegrad
