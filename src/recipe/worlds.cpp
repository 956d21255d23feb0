#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/samples.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/node_lists.hpp"
#include "recipe/recipe_run.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// The arguments of `for ... in sampler(...)` by position.
std::vector<TermId> by_position(const Term& call, const Sampler& sampler) {
  std::vector<TermId> result = call.args;
  std::vector<std::string> names = sampler.parameters;
  for (std::string& name : names)
    if (name.starts_with('[')) name = name.substr(1, name.size() - 2);
  for (const auto& [name, id] : call.named) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end())
      throw Error(ErrorCode::unknown_name,
                  at_place(call.where) + unknown_name_message("parameter of " + sampler.name, name, names));
    const auto position = static_cast<std::size_t>(found - names.begin());
    if (result.size() <= position) result.resize(position + 1, no_term);
    result[position] = id;
  }
  const auto needed =
      static_cast<std::size_t>(std::count_if(sampler.parameters.begin(), sampler.parameters.end(),
                                             [](const auto& name) { return !name.starts_with('['); }));
  if (result.size() < needed || result.size() > sampler.parameters.size() ||
      std::find(result.begin(), result.end(), no_term) != result.end())
    throw Error(ErrorCode::rule,
                fmt::format("{}the sampler {}({}) is given {} argument{}", at_place(call.where), sampler.name,
                            join(sampler.parameters), call.args.size() + call.named.size(),
                            call.args.size() + call.named.size() == 1 ? "" : "s"));
  return result;
}

}  // namespace

void RecipeRun::open_loops(std::size_t k) {
  Level& level = levels_[k];
  level.first_depth = next_depth_;
  for (const ForClause& clause : level.definition->loops) {
    const Term& call = term(k, clause.sampler);
    std::string name = call.name;
    if (const Value* chosen = level.scope.find(name))
      if (const auto* attribute = attribute_in(*chosen);
          attribute != nullptr && std::holds_alternative<std::string>(*attribute))
        name = std::get<std::string>(*attribute);
    const Sampler* sampler = nullptr;
    try {
      sampler = &engine_.samplers.at(name);
    } catch (const Error& error) {
      throw Error(error.code(), at_place(call.where) + error.what());
    }
    if (clause.variables.size() > sampler->variables.size())
      throw Error(ErrorCode::rule,
                  fmt::format("{}the sampler {} gives {} ({}) for each sample, not {}",
                              at_place(clause.where), sampler->name, sampler->variables.size(),
                              join(sampler->variables), clause.variables.size()));
    std::vector<SamplerArgument> arguments;
    for (const TermId id : by_position(call, *sampler)) {
      Value value = evaluate({.level = k, .original = explained_[0], .focus = {}, .world = &level.user}, id);
      if (const auto* attribute = attribute_in(value))
        if (const auto* path = std::get_if<std::string>(attribute);
            path != nullptr && path->ends_with(".npy"))
          value = read_array(*path);
      arguments.push_back(std::visit(
          [&]<class T>(const T& held) -> SamplerArgument {
            if constexpr (!std::is_same_v<T, StaticValue>)
              return held;
            else if (const auto* list = std::get_if<std::vector<double>>(&*held))
              return *list;
            else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&*held))
              return std::vector<double>(integers->begin(), integers->end());
            else
              return to_string(*held);
          },
          value));
    }
    if (next_depth_ >= most_loops)
      throw Error(ErrorCode::rule,
                  fmt::format("{}loops nest more than {} deep", at_place(clause.where), most_loops));
    const SamplerCall at{sampler->name, sampler->parameters, arguments, graph_, engine_.operators};
    try {
      const std::int64_t count = sampler->count(at);
      if (count > most_samples / samples_)
        throw Error(ErrorCode::rule, fmt::format("{} samples here, within loops of {}, are more than the {} "
                                                 "that an analyzer may take together",
                                                 count, samples_, most_samples));
      samples_ *= std::max<std::int64_t>(count, 1);
      const Expr index = graph_.make(sample_index_schema(), {}, SampleIndexAttributes{next_depth_, count});
      const std::vector<Expr> values = sampler->values(at, index);
      for (std::size_t v = 0; v < clause.variables.size(); ++v)
        level.scope.bind_copied(clause.variables[v], values.at(v));
      level.loops.push_back({clause.variables, next_depth_++, count});
    } catch (const Error& error) {
      throw Error(error.code(), at_place(call.where) + error.what());
    }
  }
}

/// The node that a placement is about, in the user's own world; nothing for `input`.
Expr RecipeRun::placed_node(std::size_t k, const Placement& placement) {
  const Term& node = term(k, placement.node);
  const bool by_name = node.kind == TermKind::call && node.name == "name" && node.args.size() == 1;
  if (node.kind == TermKind::variable && node.name == "input") return {};
  if (node.kind == TermKind::variable)
    if (const auto found = levels_[k].nodes.find(node.name); found != levels_[k].nodes.end())
      return found->second;
  if (node.kind == TermKind::text || by_name)
    return node_named(*user_facts_, by_name ? term(k, node.args[0]).name : node.name, "node");
  throw Error(
      ErrorCode::rule,
      fmt::format(
          "{}a world gives values to `input`, to a parameter `layer: node`, or to \"a name\", not to this",
          at_place(node.where)));
}

void RecipeRun::place(std::size_t k, const Placement& placement, World& world) {
  const Expr named = placed_node(k, placement);
  std::vector<Expr> nodes;
  if (named)
    nodes.push_back(named);
  else
    nodes = explained_;
  for (const Expr node : nodes) {
    // A value that is named takes other numbers of its kind: the ids of another sentence.
    if (!is_floating(node.dtype()) && !named) {
      // Token ids and the like are not perturbed; alone they cannot be explained by a world at all.
      if (nodes.size() > 1) continue;
      throw Error(ErrorCode::dtype,
                  fmt::format("{} of {} cannot move {}, which holds integers; explain the value that looks "
                              "them up (--at NAME)",
                              at_place(placement.where), levels_[k].definition->name, describe(node)));
    }
    World& user = levels_[k].user;
    const Value value = [&] {
      try {
        return evaluate({.level = k, .original = node, .focus = {}, .world = &user}, placement.value);
      } catch (const Error& error) {
        // What fits one input need not fit the others.
        if (nodes.size() == 1) throw;
        throw Error(error.code(), fmt::format("{} (the value of {}, one of {} inputs that move together)",
                                              error.what(), describe(node), nodes.size()));
      }
    }();
    const std::string what = fmt::format(
        "{}the value of {} in {} of {}", at_place(placement.where), describe(node),
        placement.world.empty() ? std::string("`at`") : fmt::format("`point {}`", placement.world),
        levels_[k].definition->name);
    const RewriteContext context{graph_, vocabulary_, *user_facts_};
    const auto conformed = conform(context, value, node.type(), [&] { return what; });
    world.place(node, conformed ? *conformed : zeros(node.type()));
  }
}

World& RecipeRun::world_named(std::size_t k, const Term& at) {
  if (at.name == "user") return levels_[k].user;
  std::vector<std::string> known{"user"};
  for (std::size_t level = k + 1; level-- > 0;)
    for (auto& [name, world] : levels_[level].points) {
      if (name == at.name) return world;
      known.push_back(name);
    }
  throw Error(ErrorCode::unknown_name, at_place(at.where) + unknown_name_message("world", at.name, known));
}

bool RecipeRun::moves_input() const {
  for (std::size_t k = 0; k < levels_.size(); ++k)
    for (const Placement& placement : levels_[k].definition->placements)
      if (const Term& node = term(k, placement.node); node.kind == TermKind::variable && node.name == "input")
        return true;
  return slides_over_input();
}

bool RecipeRun::slides_over_input() const {
  for (std::size_t k = 0; k < levels_.size(); ++k)
    for (const ForClause& clause : levels_[k].definition->loops)
      for (const TermId id : term(k, clause.sampler).args)
        if (const Term& argument = term(k, id);
            argument.kind == TermKind::variable && argument.name == "input")
          return true;
  return false;
}

}  // namespace rulegrad
