#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/argument_values.hpp"
#include "recipe/recipe_run.hpp"
#include "recipe/rule_gathering.hpp"
#include "rewrite/match.hpp"
#include "rewrite/products.hpp"
#include "rewrite/value_functions.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::size_t most_levels = 16;
constexpr int most_passes = 8;

/// Gives arguments the names of the parameters they are for.
LazyArguments named(const AnalyzerDefinition& definition, LazyArguments given) {
  std::vector<std::string> names;
  for (const auto& [name, value] : given) names.push_back(name);
  names = names_of_arguments(definition.name, definition.parameters, names);
  for (std::size_t i = 0; i < given.size(); ++i) given[i].first = names[i];
  return given;
}

/// Does the set fold things into layers, so that it must not see what is part of a function of one value?
bool folds_into_layers(std::string_view set) {
  return set == "canonical" || set.starts_with("canonical.");
}

}  // namespace

LazyArguments lazy_arguments(Graph& graph, const AnalyzerCall& call) {
  LazyArguments result;
  for (const auto& [name, argument] : call.arguments)
    result.emplace_back(name, [&graph, argument = argument]() -> Value {
      return std::visit(
          [&]<class T>(const T& value) -> Value {
            if constexpr (std::is_same_v<T, Tensor>)
              return graph.constant(is_floating(value.dtype()) ? value.cast(graph.real()) : value);
            else if constexpr (std::is_same_v<T, std::string>)
              return AttrValue(value);
            else
              return value;
          },
          argument);
    });
  return result;
}

void RecipeRun::build_chain(const std::string& method, LazyArguments given) {
  std::string name = method;
  // Every method takes this beside its own.
  std::erase_if(given, [&](const auto& argument) {
    if (argument.first != "allow_unmatched") return false;
    const Value value = argument.second();
    const double* flag = std::get_if<double>(&value);
    if (flag == nullptr || (*flag != 0 && *flag != 1))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: allow_unmatched takes 0 or 1, not {}", method, describe(value)));
    task_.allow_unmatched = *flag == 1;
    return true;
  });
  // What is meant for one input alone is bound once the inputs are known.
  std::erase_if(given, [&](const auto& argument) {
    if (argument.first.find('@') == std::string::npos) return false;
    given_for_inputs_.push_back(argument);
    return true;
  });
  for (;;) {
    const AnalyzerDefinition& definition = engine_.library.analyzer(name);
    if (levels_.size() == most_levels)
      throw Error(ErrorCode::rule, at_place(definition.where) + "analyzers extend each other in a circle");
    Level& level = levels_.emplace_back();
    level.definition = &definition;
    level.given = named(definition, std::move(given));
    for (const Parameter& parameter : definition.parameters)
      if (parameter.type == "analyzer" || parameter.type == "rules")
        level.methods.emplace(parameter.name, method_text(level, parameter));
    if (definition.extends == no_term) break;

    const Term& base = definition.terms[static_cast<std::size_t>(definition.extends)];
    const std::size_t here = levels_.size() - 1;
    if (const auto chosen = level.methods.find(base.name); chosen != level.methods.end()) {
      const AnalyzerCall call = AnalyzerCall::parse(chosen->second);
      name = call.name;
      given = lazy_arguments(graph_, call);
    } else {
      if (parameter_named(definition, base.name) != nullptr)
        throw Error(ErrorCode::rule,
                    fmt::format("{}'{}' is no analyzer; declare the parameter as `{}: analyzer`",
                                at_place(base.where), base.name, base.name));
      name = base.name;
      given.clear();
      for (const TermId id : base.args)
        given.emplace_back(std::string(), [this, here, id] {
          return evaluate({.level = here, .original = {}, .focus = {}}, id);
        });
      for (const auto& [parameter, id] : base.named)
        given.emplace_back(parameter, [this, here, id = id] {
          return evaluate({.level = here, .original = {}, .focus = {}}, id);
        });
    }
  }
  for (const Level& level : levels_)
    if (level.definition->fallback) {
      fallback_ = *level.definition->fallback;
      break;
    }
}

std::string RecipeRun::method_text(const Level& level, const Parameter& parameter) {
  for (const auto& [name, value] : level.given) {
    if (name != parameter.name) continue;
    const Value given = value();
    if (const std::string* text = word_of(given)) return *text;
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("{}: parameter '{}' takes the name of {}, not {}", level.definition->name, parameter.name,
                    parameter.type == "rules" ? "a rule set" : "an analyzer", describe(given)));
  }
  if (parameter.fallback == no_term) fail_missing(level.definition->name, parameter);
  return print_term(level.definition->terms, parameter.fallback);
}

/// Are there gradient rules for operations of that name?
bool RecipeRun::speaks_of(std::string_view operation) const {
  std::set<std::string> seen;
  const std::function<bool(const std::string&)> speaks = [&](const std::string& name) {
    if (!seen.insert(name).second) return false;
    const RuleSet& set = engine_.library.rule_set(name);
    return std::any_of(set.rules.begin(), set.rules.end(),
                       [&](const Rule& rule) {
                         return rule.level == RuleLevel::grad &&
                                root_name(rule.terms, rule.pattern) == operation;
                       }) ||
           std::any_of(set.uses.begin(), set.uses.end(),
                       [&](TermId used) { return speaks(set.terms[static_cast<std::size_t>(used)].name); });
  };
  for (std::size_t k = 0; k < levels_.size(); ++k)
    for (const Use& use : levels_[k].definition->uses) {
      const std::string& name = term(k, use.set).name;
      const auto chosen = levels_[k].methods.find(name);
      if (speaks(chosen == levels_[k].methods.end()
                     ? name
                     : engine_.library.rule_set_near(AnalyzerCall::parse(chosen->second).name,
                                                     levels_[k].definition->name)))
        return true;
    }
  return false;
}

void RecipeRun::canonize_output() {
  // What the analyzer's files define by `op` is found before anything else is rewritten.
  const auto no_parameters = std::make_shared<const Scope>();
  for (const Level& level : levels_)
    for (auto& rule : engine_.library.raising_rules(*level.definition)) {
      const std::string& op_name = rule->terms[static_cast<std::size_t>(rule->result)].name;
      canonizers_.add({rule, "op " + op_name, no_parameters, {}});
    }
  RuleList of_layers(engine_.operators);
  for (std::size_t k = levels_.size(); k-- > 0;)
    for (const TermId set : levels_[k].definition->canonizers)
      gather_rules(
          graph_, engine_.operators, engine_.library, terms(k), set,
          [&](TermId id) { return evaluate({.level = k, .original = {}, .focus = {}}, id); }, {}, true,
          folds_into_layers(term(k, set).name) ? of_layers : canonizers_);
  std::vector<Expr> outputs{task_.output}, explained = task_.explained;
  outputs.insert(outputs.end(), task_.keep.begin(), task_.keep.end());
  explained.insert(explained.end(), task_.inputs.begin(), task_.inputs.end());
  const auto rewrite = [&](const RuleList& rules, std::span<const Expr> from) {
    return canonize(graph_, from, rules, engine_.operators, engine_.library.functions());
  };
  // A function of one value is one, however the model writes it out, and so are factors.
  if (speaks_of("activation")) {
    const bool products = speaks_of("product3");
    const ProductOperators of_factors{products ? engine_.operators.find("product3") : nullptr,
                                      products ? engine_.operators.find("product4") : nullptr};
    const Canonized regrouped = regroup_products(graph_, outputs, explained, task_.keep, of_factors);
    canonized_ = one_after_another(regrouped, rewrite(canonizers_, regrouped.outputs));
    std::vector<Expr> based, kept;
    for (const Expr node : explained)
      if (const auto found = canonized_.image.find(node); found != canonized_.image.end())
        based.push_back(found->second);
    for (const Expr node : task_.keep) kept.push_back(canonized_.image.at(node));
    const std::size_t before = canonized_.rewrites.size();
    join_value_functions(graph_, canonized_, based, kept);
    // A ReLU that was written out may be part of an operator.
    if (canonized_.rewrites.size() > before && canonizers_.size() > 0)
      canonized_ = one_after_another(canonized_, rewrite(canonizers_, canonized_.outputs));
  } else {
    canonized_ = rewrite(canonizers_, outputs);
  }
  // What one rewrite leaves may be for another, further down.
  for (int pass = 0; pass < most_passes && of_layers.size() > 0; ++pass) {
    Canonized next = rewrite(of_layers, canonized_.outputs);
    if (next.rewrites.empty()) break;
    canonized_ = one_after_another(canonized_, std::move(next));
    // Layers that are whole now may be part of an operator.
    if (canonizers_.size() > 0)
      canonized_ = one_after_another(canonized_, rewrite(canonizers_, canonized_.outputs));
  }
  output_ = flattened(canonized_.outputs[0]);
  analysis_.rewrites = canonized_.rewrites;
  std::vector<Expr> based;
  for (const Expr node : task_.explained)
    if (const auto found = canonized_.image.find(node); found != canonized_.image.end())
      based.push_back(found->second);
  user_facts_ = std::make_unique<ForwardFacts>(std::span(&output_, 1), based);  // what `image` asks
  for (const Expr node : task_.explained) explained_.push_back(image(node));
  analysis_.explained = explained_;
  for (Expr& node : task_.inputs) node = image(node);
  if (task_.inputs.empty()) return;
  based.insert(based.end(), task_.inputs.begin(), task_.inputs.end());
  user_facts_ = std::make_unique<ForwardFacts>(std::span(&output_, 1), based);
}

/// The node after canonizing; throws if it is not there any more.
Expr RecipeRun::image(Expr node) const {
  const auto found = canonized_.image.find(node);
  if (found == canonized_.image.end())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is not below the explained output", describe(node)));
  if (node.operands().empty() || user_facts_->contains(found->second)) return found->second;
  const std::vector<std::string> names = graph_.names(node);
  for (const auto& rewrite : canonized_.rewrites) {
    const std::vector<std::string> taken = graph_.names(rewrite.after);
    const auto same = std::find_if(names.begin(), names.end(), [&](const auto& name) {
      return std::find(taken.begin(), taken.end(), name) != taken.end();
    });
    if (same == names.end()) continue;
    const std::vector<std::string> kept = graph_.names(rewrite.before);
    throw Error(ErrorCode::invalid_argument,
                fmt::format("{} is folded into {} by {}: {}keep it apart with --keep {}", describe(node),
                            describe(rewrite.before), rewrite.rule_set,
                            kept.empty() ? "" : fmt::format("explain '{}', or ", kept.front()), *same));
  }
  throw Error(ErrorCode::invalid_argument, fmt::format("{} is gone after the canonizers of {}",
                                                       describe(node), levels_[0].definition->name));
}

Expr RecipeRun::flattened(Expr output) const {
  const Shape& shape = output.shape();
  if (!is_floating(output.dtype()))
    throw Error(ErrorCode::dtype,
                fmt::format("the output {} holds integers, which change in jumps or not at all, so there is "
                            "nothing to explain them by; explain the scores that they are chosen by",
                            describe(output)));
  if (shape.rank() == 2) return output;
  if (shape.rank() == 0)
    throw Error(ErrorCode::shape,
                fmt::format("the output {} has no batch axis; explain an output of shape [B, ...]",
                            describe(output)));
  Dim scores{1};
  for (std::size_t axis = 1; axis < shape.rank(); ++axis)
    scores = Dim(scores.factor * shape[axis].factor, scores.batch || shape[axis].batch);
  if (scores.batch)
    throw Error(ErrorCode::shape,
                fmt::format("the output {} holds the batch outside its first axis", describe(output)));
  return graph_.apply(engine_.operators.at("reshape"), {output}, ShapeAttributes{Shape{shape[0], scores}});
}

}  // namespace rulegrad
