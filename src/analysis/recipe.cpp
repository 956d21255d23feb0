#include "analysis/recipe.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "rulegrad/error.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

using Arguments = std::vector<std::pair<std::string, Value>>;

std::string range_text(const NumberRange& range) {
  return fmt::format("{}{}, {}{}", range.low_open ? '(' : '[', shortest(range.low), shortest(range.high), range.high_open ? ')' : ']');
}

bool contains(const NumberRange& range, double v) {
  return (range.low_open ? v > range.low : v >= range.low) && (range.high_open ? v < range.high : v <= range.high);
}

class Resolver {
 public:
  Resolver(Graph& graph, const Operators& operators, const RuleLibrary& library)
      : library_(library), evaluator_(graph, operators, library.functions(), no_hooks_) {}

  /// The parameters of `owner`, from arguments by name or position and from defaults.
  std::shared_ptr<const Scope> bind(const std::string& owner, const std::vector<Parameter>& parameters, const Terms& terms,
                                    const Arguments& given) {
    std::vector<std::string> known;
    for (const Parameter& parameter : parameters) known.push_back(parameter.name);
    for (const auto& [name, value] : given)
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw Error(ErrorCode::unknown_name,
                    fmt::format("{}: {}", owner, known.empty() ? fmt::format("it takes no parameters, but '{}' was given", name)
                                                               : unknown_name_message("parameter", name, known)));
    auto scope = std::make_shared<Scope>();
    for (const Parameter& parameter : parameters) {
      const auto found = std::find_if(given.begin(), given.end(), [&](const auto& argument) { return argument.first == parameter.name; });
      if (found == given.end() && parameter.fallback == no_term)
        throw Error(ErrorCode::invalid_argument, fmt::format("{}: its parameter '{}' has no default; give {}:{}=...", owner,
                                                             parameter.name, owner, parameter.name));
      Value value = found != given.end() ? found->second : default_of(terms, parameter, *scope);
      if (parameter.range) check_range(owner, parameter, value);
      scope->bind(parameter.name, std::move(value));
    }
    return scope;
  }

  /// Adds the rules of `use SET(arguments)` and of the sets it uses, restricted by the selectors.
  void add_use(const Terms& terms, TermId set, const std::shared_ptr<const Scope>& scope,
               const std::vector<ActiveRule::Selector>& selectors, RuleLevel level, RuleList& into, int depth = 0) {
    const Term& term = terms[static_cast<std::size_t>(set)];
    if (depth > 32) throw Error(ErrorCode::rule, at_place(term.where) + "rule sets use each other in a circle");
    const RuleSet& rules = library_.rule_set(term.name);
    const auto parameters = bind(rules.name, rules.parameters, rules.terms, arguments_of(terms, term, rules.parameters, *scope));
    for (const Rule& rule : rules.rules) {
      if ((rule.level == RuleLevel::forward) != (level == RuleLevel::forward)) continue;
      into.add({std::make_shared<const Rule>(rule), rules.name, parameters, selectors});
    }
    for (const TermId nested : rules.uses) add_use(rules.terms, nested, parameters, selectors, level, into, depth + 1);
  }

  Arguments arguments_of(const Terms& terms, const Term& call, const std::vector<Parameter>& parameters, const Scope& scope) {
    Arguments result;
    Scope inner = scope;
    if (call.args.size() > parameters.size())
      throw Error(ErrorCode::rule, fmt::format("{}'{}' takes {} parameters but {} arguments were given", at_place(call.where), call.name,
                                               parameters.size(), call.args.size()));
    for (std::size_t i = 0; i < call.args.size(); ++i)
      result.emplace_back(parameters[i].name, evaluator_.evaluate(terms, call.args[i], inner));
    for (const auto& [name, id] : call.named) result.emplace_back(name, evaluator_.evaluate(terms, id, inner));
    return result;
  }

 private:
  Value default_of(const Terms& terms, const Parameter& parameter, const Scope& earlier) {
    // Defaults that name analyzers, nodes or samplers are words.
    const Term& term = terms[static_cast<std::size_t>(parameter.fallback)];
    if (!parameter.type.empty() && parameter.type != "tensor" && term.kind == TermKind::variable) return AttrValue(term.name);
    Scope scope = earlier;
    return evaluator_.evaluate(terms, parameter.fallback, scope);
  }

  static void check_range(const std::string& owner, const Parameter& parameter, const Value& value) {
    const auto* number = std::get_if<double>(&value);
    if (number != nullptr && contains(*parameter.range, *number)) return;
    throw Error(ErrorCode::invalid_argument, fmt::format("{}: parameter '{}' must lie in {} but is {}", owner, parameter.name,
                                                         range_text(*parameter.range), number != nullptr ? shortest(*number) : describe(value)));
  }

  const RuleLibrary& library_;
  EvaluationHooks no_hooks_;
  Evaluator evaluator_;
};

}  // namespace

Recipe resolve_recipe(Graph& graph, const Operators& operators, const RuleLibrary& library, const AnalyzerCall& call) {
  Resolver resolver(graph, operators, library);
  Recipe recipe;
  recipe.name = call.name;
  Arguments given;
  for (const auto& [name, argument] : call.arguments)
    given.emplace_back(name, std::visit(
                                 [&]<class T>(const T& value) -> Value {
                                   if constexpr (std::is_same_v<T, Tensor>) return graph.constant(value.cast(graph.real()));
                                   else if constexpr (std::is_same_v<T, std::string>) return AttrValue(value);
                                   else return value;
                                 },
                                 argument));

  // The derived analyzer first: its own words win, its rules stand above those of what it extends.
  const AnalyzerDefinition* definition = &library.analyzer(call.name);
  std::optional<Fallback> fallback;
  struct Level {
    const AnalyzerDefinition* definition;
    std::shared_ptr<const Scope> parameters;
  };
  std::vector<Level> levels;
  while (definition != nullptr) {
    if (levels.size() > 16) throw Error(ErrorCode::rule, at_place(definition->where) + "analyzers extend each other in a circle");
    if (!definition->loops.empty() || !definition->placements.empty())
      throw Error(ErrorCode::rule, at_place(definition->where) + "`for`, `at` and `point` are not run by this version");
    const auto parameters = resolver.bind(definition->name, definition->parameters, definition->terms, given);
    levels.push_back({definition, parameters});
    if (recipe.seed == nullptr && definition->seed != no_term) {
      recipe.seed = definition;
      recipe.seed_parameters = parameters;
    }
    if (recipe.result == nullptr && definition->result != no_term) {
      recipe.result = definition;
      recipe.result_parameters = parameters;
    }
    if (!fallback) fallback = definition->fallback;
    const auto terms = std::make_shared<const Terms>(definition->terms);
    for (const Use& use : definition->uses) {
      std::vector<ActiveRule::Selector> selectors;
      if (use.selector != no_term) selectors.push_back({terms, use.selector, parameters});
      resolver.add_use(definition->terms, use.set, parameters, selectors, RuleLevel::grad, recipe.rules);
    }
    if (definition->extends == no_term) break;
    const Term& base = definition->terms[static_cast<std::size_t>(definition->extends)];
    // A parameter of analyzer type names the base at run time.
    std::string base_name = base.name;
    if (const Value* value = parameters->find(base.name))
      if (const auto* attribute = std::get_if<AttrValue>(value))
        if (const auto* word = std::get_if<std::string>(attribute)) base_name = *word;
    const AnalyzerDefinition& next = library.analyzer(base_name);
    given = resolver.arguments_of(definition->terms, base, next.parameters, *parameters);
    definition = &next;
  }
  recipe.parameters = levels.front().parameters;
  recipe.fallback = fallback.value_or(Fallback::error);
  for (auto level = levels.rbegin(); level != levels.rend(); ++level)
    for (const TermId set : level->definition->canonizers)
      resolver.add_use(level->definition->terms, set, level->parameters, {}, RuleLevel::forward, recipe.canonizers);
  return recipe;
}

}  // namespace rulegrad
