#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/argument_values.hpp"
#include "recipe/feature_map.hpp"
#include "recipe/node_lists.hpp"
#include "recipe/recipe_run.hpp"
#include "rewrite/value_functions.hpp"
#include "support/read_file.hpp"
#include "support/text.hpp"

namespace rulegrad {

void RecipeRun::bind_parameters(std::size_t k) {
  Level& level = levels_[k];
  for (const Parameter& parameter : level.definition->parameters) {
    if (parameter.type == "analyzer") continue;
    if (parameter.type == "rules") {
      level.scope.bind_copied(parameter.name, AttrValue(level.methods.at(parameter.name)));
      continue;
    }
    if (parameter.type == "node") {
      const Expr node = node_parameter(k, parameter);
      level.nodes.emplace(parameter.name, node);
      analysis_.notes.push_back(fmt::format("{} = {}", parameter.name, describe(node)));
    } else {
      level.scope.bind_copied(parameter.name, parameter_value(k, parameter));
    }
  }
}

/// Arguments of the outermost analyzer that are for one of several inputs: `baseline@mask=0`.
void RecipeRun::bind_for_inputs() {
  Level& level = levels_[0];
  const std::string& owner = level.definition->name;
  std::vector<std::string> inputs;
  for (const Expr input : graph_.inputs()) inputs.push_back(input.attributes<InputAttributes>().name);
  for (const auto& [key, given] : given_for_inputs_) {
    const std::string name = key.substr(0, key.find('@')), input = key.substr(key.find('@') + 1);
    const Parameter* parameter = parameter_named(*level.definition, name);
    if (parameter == nullptr ||
        !(parameter->type.empty() || parameter->type == "number" || parameter->type == "tensor"))
      throw Error(
          ErrorCode::unknown_name,
          fmt::format("{}: '{}' is not for one input: '{}' is no parameter that takes a number or an array",
                      owner, key, name));
    if (std::find(inputs.begin(), inputs.end(), input) == inputs.end())
      throw Error(ErrorCode::unknown_name,
                  fmt::format("{}: '{}': {}", owner, key, unknown_name_message("input", input, inputs)));
    for (const Expr node : explained_) {
      const auto names = graph_.names(node);
      if (std::find(names.begin(), names.end(), input) == names.end()) continue;
      Value value = converted(level, *parameter, given());
      check_range(owner, *parameter, value);
      level.for_inputs.push_back({name, node, std::move(value)});
    }
  }
}

Value RecipeRun::parameter_value(std::size_t k, const Parameter& parameter) {
  const Level& level = levels_[k];
  Value value;
  const auto given = std::find_if(level.given.begin(), level.given.end(),
                                  [&](const auto& a) { return a.first == parameter.name; });
  if (given != level.given.end()) {
    value = converted(level, parameter, given->second());
  } else {
    if (parameter.fallback == no_term) fail_missing(level.definition->name, parameter);
    const Term& fallback = term(k, parameter.fallback);
    value = parameter.type == "sampler" && fallback.kind == TermKind::variable
                ? Value(AttrValue(fallback.name))
                : evaluate({.level = k, .original = {}, .focus = {}}, parameter.fallback);
  }
  check_range(level.definition->name, parameter, value);
  return value;
}

Value RecipeRun::converted(const Level& level, const Parameter& parameter, Value value) {
  const auto refuse = [&](const std::string& wanted) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{}: parameter '{}' takes {}, not {}", level.definition->name, parameter.name,
                            wanted, describe(value)));
  };
  const std::string* word = word_of(value);
  if (parameter.type == "sampler") {
    if (word == nullptr) refuse("the name of a sampler");
    (void)engine_.samplers.at(*word);
    return value;
  }
  if (word == nullptr) {
    if (parameter.type == "number" && !std::holds_alternative<double>(value)) refuse("a number");
    return value;
  }
  if (word->ends_with(".npy") && parameter.type != "number") return read_array(*word);
  if (const auto list = list_from(*word); list && parameter.type.empty()) return *list;
  if (*word == "true" || *word == "false") return *word == "true" ? 1.0 : 0.0;
  const bool takes_words =
      parameter.fallback != no_term &&
      level.definition->terms[static_cast<std::size_t>(parameter.fallback)].kind == TermKind::text;
  if (!takes_words) refuse(parameter.type == "number" ? "a number" : "a number or an array (a .npy file)");
  return value;
}

Value RecipeRun::read_array(const std::string& named, const SourceRange* named_at) {
  std::string path = named;
  if (named_at != nullptr)
    path = path_inside(std::filesystem::path(named_at->file).parent_path(), named,
                       at_place(*named_at) + "a rule reads the array")
               .string();
  if (!task_.read_array)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "'{}' names a file, but this question does not say how arrays are read (Question::read_array)",
            path));
  const Tensor values = task_.read_array(path);
  return graph_.constant(is_floating(values.dtype()) ? values.cast(graph_.real()) : values);
}

/// `last(conv)`, unless a node is given.
bool RecipeRun::means_feature_map(const Level& level, const Parameter& parameter) {
  if (parameter.type != "node" || parameter.fallback == no_term) return false;
  if (std::any_of(level.given.begin(), level.given.end(),
                  [&](const auto& given) { return given.first == parameter.name; }))
    return false;
  const Terms& terms = level.definition->terms;
  const Term& fallback = terms[static_cast<std::size_t>(parameter.fallback)];
  return fallback.kind == TermKind::call && fallback.name == "last" && fallback.args.size() == 1 &&
         terms[static_cast<std::size_t>(fallback.args[0])].name == "conv";
}

bool RecipeRun::chooses_feature_map() const {
  return std::any_of(levels_.begin(), levels_.end(), [](const Level& level) {
    return std::any_of(level.definition->parameters.begin(), level.definition->parameters.end(),
                       [&](const Parameter& parameter) { return means_feature_map(level, parameter); });
  });
}

Expr RecipeRun::node_parameter(std::size_t k, const Parameter& parameter) {
  const Level& level = levels_[k];
  const std::string what = fmt::format("node for '{}' of {}", parameter.name, level.definition->name);
  const auto given = std::find_if(level.given.begin(), level.given.end(),
                                  [&](const auto& a) { return a.first == parameter.name; });
  if (given != level.given.end()) {
    const Value value = given->second();
    if (const std::string* name = word_of(value)) return node_named(*user_facts_, *name, what);
    const auto* node = std::get_if<Expr>(&value);
    if (node == nullptr)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} takes the name of a node, not {}", what, describe(value)));
    if (user_facts_->contains(*node)) return *node;
    if (const auto found = canonized_.image.find(*node);
        found != canonized_.image.end() && user_facts_->contains(found->second))
      return found->second;
    const std::vector<std::string> names = graph_.names(*node);
    return node_named(*user_facts_, names.empty() ? describe(*node) : names.front(), what);
  }
  if (parameter.fallback == no_term) fail_missing(level.definition->name, parameter);
  const Term& fallback = term(k, parameter.fallback);
  if (fallback.kind == TermKind::call && fallback.name == "last" && fallback.args.size() == 1) {
    const std::string default_of = fmt::format("'{}' of {}", parameter.name, level.definition->name);
    if (means_feature_map(level, parameter))
      return last_feature_map(*user_facts_, output_, explained_[0], default_of);
    return end_of_last(*user_facts_, term(k, fallback.args[0]).name, default_of);
  }
  if (fallback.kind == TermKind::variable && fallback.name == "input") return explained_[0];
  return node_named(*user_facts_, fallback.name, what);
}

}  // namespace rulegrad
