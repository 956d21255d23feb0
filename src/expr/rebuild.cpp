#include "rulegrad/expr/rebuild.hpp"

#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/rebuild.hpp"

namespace rulegrad {
namespace {

Expr image_of(Graph& into, Expr node, std::span<const Expr> operands) {
  if (is_input(node)) {
    const auto& input = node.attributes<InputAttributes>();
    for (const Expr existing : into.inputs())
      if (existing.attributes<InputAttributes>().name == input.name && existing.type() == node.type())
        return existing;
    return into.input(input.name, node.type());
  }
  return into.make(node.op(), {operands.begin(), operands.end()}, node.attributes());
}

}  // namespace

std::vector<Expr> rebuild(Graph& into, std::span<const Expr> roots, std::unordered_map<Expr, Expr>& images) {
  for (const auto& [node, image] : images)
    if (image.type() != node.type())
      throw Error(ErrorCode::shape, fmt::format("[rebuild] {} cannot stand for {}: their types differ",
                                                describe(image), describe(node)));
  const Rebuild copy{
      no_boundary, [&](Expr node, std::span<const Expr> operands) { return image_of(into, node, operands); }};
  // What stands below an exchanged node is built too: another may stand for it elsewhere.
  for (const Expr node : topological_order(roots)) {
    (void)copy(node, images);
    for (const std::string& name : node.graph().names(node)) into.add_name(images.at(node), name);
  }
  std::vector<Expr> result;
  for (const Expr root : roots) result.push_back(images.at(root));
  return result;
}

}  // namespace rulegrad
