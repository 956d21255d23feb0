#include "rulegrad/rebuild.hpp"

#include <fmt/format.h>

#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"

namespace rulegrad {
namespace {

Expr image_of(Graph& into, Expr node, const std::unordered_map<Expr, Expr>& images) {
  if (node.is("input")) {
    const auto& input = node.attributes<InputAttributes>();
    for (const Expr existing : into.inputs())
      if (existing.attributes<InputAttributes>().name == input.name && existing.type() == node.type()) return existing;
    return into.input(input.name, node.type());
  }
  std::vector<Expr> operands;
  for (const Expr operand : node.operands()) operands.push_back(images.at(operand));
  return into.make(node.op(), std::move(operands), node.attributes());
}

}  // namespace

std::vector<Expr> rebuild(Graph& into, std::span<const Expr> roots, std::unordered_map<Expr, Expr>& images) {
  for (const auto& [node, image] : images)
    if (image.type() != node.type())
      throw Error(ErrorCode::shape, fmt::format("[rebuild] {} cannot stand for {}: their types differ", describe(image), describe(node)));
  for (const Expr node : topological_order(roots)) {
    if (!images.contains(node)) images.emplace(node, image_of(into, node, images));
    for (const std::string& name : node.graph().names(node)) into.add_name(images.at(node), name);
  }
  std::vector<Expr> result;
  for (const Expr root : roots) result.push_back(images.at(root));
  return result;
}

}  // namespace rulegrad
