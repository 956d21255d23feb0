#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "rule/parser.hpp"
#include "rule/within.hpp"
#include "support/text.hpp"

/// Analyzers: statements in any order.
namespace rulegrad::syntax {
namespace {

bool at_statement(const Cursor& cursor) {
  return cursor.at_name() && is_one_of(cursor.peek().text, statement_words);
}

template <class Words>
std::vector<std::string> strings(const Words& words) {
  return {words.begin(), words.end()};
}

}  // namespace

void FileParser::analyzer(std::string doc) {
  constexpr std::string_view help = "write `analyzer lrp.z { use lrp.z }`";
  cursor_.next();
  AnalyzerDefinition result;
  result.doc = std::move(doc);
  const Token name = cursor_.peek();
  result.name = cursor_.expect_dotted_name("the name of the analyzer", help);
  result.where = cursor_.range(name);
  result.where.length = static_cast<int>(result.name.size());
  Scope scope;
  for (const std::string_view built_in : recipe_names)
    scope.bind(std::string(built_in), built_in == "relevance" ? Binding::callable : Binding::value);
  TermParser terms(cursor_, std::move(scope));
  block_head(terms, result.parameters);
  const Token open = cursor_.expect("{", "before the statements of the analyzer", help);
  while (!cursor_.at_end() && !cursor_.at("}") && !cursor_.too_many_problems()) {
    if (cursor_.peek().begins_line && is_one_of(cursor_.peek().text, item_words)) break;
    const std::size_t before = cursor_.position();
    try {
      statement(result, terms);
      expect_end_of("the statement", at_statement(cursor_));
    } catch (const SyntaxFailure&) {
      if (cursor_.position() == before && !cursor_.at("}")) cursor_.next();
      skip_to_statement();
    }
  }
  close_block(open, fmt::format("the analyzer `{}`", result.name));
  expect_end_of("the analyzer", false);
  result.terms = std::move(terms.terms);
  file_.analyzers.push_back(std::move(result));
}

void FileParser::skip_to_statement() {
  for (int open = 0; !cursor_.at_end(); cursor_.next()) {
    if (cursor_.at("{")) ++open;
    if (cursor_.at("}") && open-- == 0) return;
    if (!cursor_.peek().begins_line) continue;
    if (is_one_of(cursor_.peek().text, item_words) ||
        (open <= 0 && (at_statement(cursor_) || at_rule_start(cursor_))))
      return;
  }
}

void FileParser::once(bool given, const Token& word, const SourceRange& first) {
  if (!given) return;
  cursor_.fail({"R122",
                cursor_.range(word),
                fmt::format("this analyzer has two `{}` statements", word.text),
                {{"the first one is here", first}},
                fmt::format("an analyzer has at most one `{}`", word.text)});
}

void FileParser::statement(AnalyzerDefinition& result, TermParser& terms) {
  const Token word = cursor_.peek();
  const auto place = [&](TermId term) { return terms.terms[static_cast<std::size_t>(term)].where; };
  if (cursor_.at("use")) return use(result, terms);
  if (cursor_.at("let")) {
    result.lets.push_back(terms.let());
    return;
  }
  if (cursor_.accept("extends")) {
    once(result.extends != no_term, word, result.extends == no_term ? SourceRange() : place(result.extends));
    result.extends =
        terms.reference("the name of an analyzer behind `extends`", "write `extends lrp.epsilon(0.01)`");
  } else if (cursor_.accept("canonize")) {
    result.canonizers.push_back(
        terms.reference("the name of a rule set behind `canonize`", "write `canonize canonize.batch_norm`"));
  } else if (cursor_.accept("seed")) {
    once(result.seed != no_term, word, result.seed == no_term ? SourceRange() : place(result.seed));
    result.seed = terms.expression("what the analyzer starts from", "write `seed onehot(target)`");
  } else if (cursor_.accept("result")) {
    once(result.result != no_term, word, result.result == no_term ? SourceRange() : place(result.result));
    result.result = terms.expression("the result of the analyzer", "write `result relevance * input`");
  } else if (cursor_.accept("default")) {
    once(result.fallback.has_value(), word, default_place_);
    default_place_ = result.fallback_where = cursor_.range(word);
    const auto found = std::find(fallback_words.begin(), fallback_words.end(), cursor_.peek().text);
    if (!cursor_.at_name() || found == fallback_words.end())
      cursor_.fail_expected("`error`, `gradient`, `pass` or `zero`",
                            "`default gradient` differentiates what no rule claims; `default error` is what "
                            "holds without the statement");
    cursor_.next();
    result.fallback = static_cast<Fallback>(found - fallback_words.begin());
  } else if (cursor_.accept("for")) {
    result.loops.push_back(for_clause(terms));
  } else if (cursor_.accept("at")) {
    result.placements.push_back(placement(terms, false));
  } else if (cursor_.accept("point")) {
    result.placements.push_back(placement(terms, true));
  } else if (cursor_.accept("declare")) {
    properties(result);
  } else if (at_rule_start(cursor_)) {
    cursor_.fail({"R121",
                  cursor_.range(word),
                  "a rule stands in an analyzer, which uses sets of rules",
                  {},
                  "write `use { grad(relu(x), g) => g }`, or give the set a name"});
  } else {
    const std::string near =
        word.kind == TokenKind::name ? nearest_name(word.text, strings(statement_words)) : std::string();
    cursor_.fail({"R111",
                  cursor_.range(word),
                  fmt::format("expected a statement of an analyzer or `}}`, found {}{}", describe(word),
                              near.empty() ? "" : fmt::format("; did you mean `{}`?", near)),
                  {},
                  fmt::format("statements begin with one of {}", join(strings(statement_words)))});
  }
}

void FileParser::use(AnalyzerDefinition& result, TermParser& terms) {
  constexpr std::string_view help = "write `use lrp.epsilon(0.01) on dense`";
  Use next;
  next.where = cursor_.range(cursor_.next());
  if (cursor_.at("{")) {
    const Token open = cursor_.next();
    next.set = rules_in_place(result, terms, open);
  } else {
    next.set = terms.reference("the name of a rule set behind `use`", help);
  }
  if (cursor_.accept("on")) {
    // In a selector `node` is the node that is asked about.
    const Within<Scope> with_node(terms.scope, terms.scope);
    terms.scope.bind("node", Binding::value);
    next.selector =
        terms.expression("the nodes behind `on`",
                         "write `on conv`, `on first(affine) and not dense` or `on name(\"layer4.*\")`");
  }
  result.uses.push_back(std::move(next));
}

TermId FileParser::rules_in_place(const AnalyzerDefinition& owner, TermParser& terms, const Token& open) {
  // The names of the analyzer that its rules may read, in the order in which they become parameters.
  std::vector<Parameter> names;
  Scope scope;
  const auto add = [&](const std::string& name, const std::string& type) {
    if (std::none_of(names.begin(), names.end(), [&](const Parameter& other) { return other.name == name; }))
      names.push_back({name, type, no_term, std::nullopt, {}});
    scope.bind(name, type == "sampler" || type == "analyzer" || type == "rules" ? Binding::callable
                                                                                : Binding::value);
  };
  for (const Parameter& parameter : owner.parameters) add(parameter.name, parameter.type);
  for (const ForClause& loop : owner.loops)
    for (const std::string& variable : loop.variables) add(variable, {});
  for (const Let& let : owner.lets) add(let.name, {});

  RuleSet set;
  const std::string prefix = owner.name + ".rules_";
  const auto in_place = [&](const RuleSet& other) {
    return other.name.starts_with(prefix) && other.doc.empty();
  };
  set.name =
      prefix + std::to_string(std::count_if(file_.rule_sets.begin(), file_.rule_sets.end(), in_place) + 1);
  set.where = cursor_.range(open);
  rules(set, nullptr, scope);
  close_block(open, "the rules in place");

  std::set<std::string> read;
  for (const Rule& rule : set.rules) {
    std::set<std::string> bound{rule.cotangent, rule.wrt};
    std::vector<TermId> walk{rule.pattern};
    while (!walk.empty()) {
      const Term& term = rule.terms[static_cast<std::size_t>(walk.back())];
      walk.pop_back();
      if (term.kind == TermKind::variable || term.kind == TermKind::label) bound.insert(term.name);
      walk.insert(walk.end(), term.args.begin(), term.args.end());
    }
    for (const Term& term : rule.terms) {
      const bool reads = term.kind == TermKind::variable || term.kind == TermKind::replace ||
                         term.kind == TermKind::spread || term.kind == TermKind::call;
      if (reads && !bound.contains(term.name)) read.insert(term.name);
    }
  }
  Term use;
  use.kind = TermKind::variable;
  use.name = set.name;
  use.where = set.where;
  for (const Parameter& name : names) {
    if (!read.contains(name.name)) continue;
    set.parameters.push_back(name);
    use.kind = TermKind::call;
    Term read_name;
    read_name.kind = TermKind::variable;
    read_name.name = name.name;
    read_name.where = set.where;
    use.args.push_back(terms.add(std::move(read_name)));
  }
  file_.rule_sets.push_back(std::move(set));
  return terms.add(std::move(use));
}

ForClause FileParser::for_clause(TermParser& terms) {
  constexpr std::string_view help = "write `for t in samples(50)` or `for (t, q) in gauss_legendre(32)`";
  ForClause result;
  result.where = cursor_.range(cursor_.previous());
  if (cursor_.accept("(")) {
    do result.variables.push_back(cursor_.expect_name("a sample variable", help).text);
    while (cursor_.accept(","));
    cursor_.expect(")", "behind the sample variables", help);
  } else {
    result.variables.push_back(cursor_.expect_name("a sample variable behind `for`", help).text);
  }
  cursor_.expect("in", "before the sampler", help);
  result.sampler = terms.reference("the name of a sampler behind `in`", help);
  for (const std::string& variable : result.variables) terms.scope.bind(variable, Binding::value);
  return result;
}

Placement FileParser::placement(TermParser& terms, bool names_world) {
  const std::string_view help = names_world ? "write `point base: input = baseline`"
                                            : "write `at input = baseline + t * (input - baseline)`";
  Placement result;
  result.where = cursor_.range(cursor_.previous());
  if (names_world) {
    result.world = cursor_.expect_name("the name of the world", help).text;
    cursor_.expect(":", "behind the name of the world", help);
  }
  result.node = terms.expression("the node whose value is given", help);
  cursor_.expect("=", "before the value of the node", help);
  result.value = terms.expression("the value of the node", help);
  return result;
}

void FileParser::properties(AnalyzerDefinition& result) {
  constexpr std::string_view help = "write `declare conserves linear`";
  if (!cursor_.at_name() || cursor_.peek().begins_line)
    cursor_.fail_expected("a property behind `declare`", help);
  while (cursor_.at_name() && !cursor_.peek().begins_line && !at_statement(cursor_)) {
    const std::string& name = cursor_.expect_name("a property", help).text;
    if (std::find(result.properties.begin(), result.properties.end(), name) != result.properties.end())
      cursor_.fail({"R122",
                    cursor_.range(cursor_.previous()),
                    fmt::format("`{}` is declared twice", name),
                    {},
                    "leave one of them out"});
    result.properties.push_back(name);
    result.properties_where.push_back(cursor_.range(cursor_.previous()));
  }
}

}  // namespace rulegrad::syntax
