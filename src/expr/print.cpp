#include <fmt/format.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"

#include "support/text.hpp"

namespace rulegrad {

PrintedGraph print_with_constants(std::span<const Expr> roots) {
  PrintedGraph printed;
  std::unordered_map<Expr, std::size_t> number;
  for (const Expr expr : topological_order(roots)) {
    const std::size_t index = number.size();
    number.emplace(expr, index);
    std::vector<std::string> operands;
    for (const Expr operand : expr.operands()) operands.push_back(fmt::format("%{}", number.at(operand)));
    std::string attributes;
    if (is_constant(expr) && expr.attributes<ConstantAttributes>().value.size() > inline_constant_limit) {
      attributes = fmt::format("{{value = @c{}}}", printed.constants.size());
      printed.constants.push_back(expr.attributes<ConstantAttributes>().value);
    } else {
      attributes = to_string(expr.attributes());
    }
    printed.text += fmt::format("%{} = {}({}){}{} : {}\n", index, expr.op().name, join(operands),
                                attributes.empty() ? "" : " ", attributes, to_string(expr.type()));
  }
  std::vector<std::string> results;
  for (const Expr root : roots) results.push_back(fmt::format("%{}", number.at(root)));
  printed.text += fmt::format("return {}\n", join(results));
  return printed;
}

std::string print(std::span<const Expr> roots) {
  return print_with_constants(roots).text;
}

}  // namespace rulegrad
