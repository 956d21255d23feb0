#include "recipe/substitution.hpp"

#include <algorithm>

#include "expr/rebuild.hpp"

namespace rulegrad {

Expr Substitution::operator()(Expr root) {
  const Rebuild substituting{no_boundary, [](Expr node, std::span<const Expr> operands) {
                               const Expr image = again(node, operands);
                               hand_on_names(node, image);
                               return image;
                             }};
  return substituting(root, images_);
}

void World::place(Expr node, Expr value) {
  const auto known =
      std::find_if(placements_.begin(), placements_.end(), [&](const auto& p) { return p.first == node; });
  if (known != placements_.end())
    known->second = value;
  else
    placements_.emplace_back(node, value);
  substitution_.set(node, value);
}

Substitution translation(World& from, World& to) {
  Substitution result;
  for (World* world : {&from, &to})
    for (const auto& [node, value] : world->placements())
      if (const Expr here = from.image(node), there = to.image(node); here != there) result.set(here, there);
  return result;
}

}  // namespace rulegrad
