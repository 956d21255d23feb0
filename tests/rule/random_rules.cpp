#include "rule/random_rules.hpp"

#include <algorithm>
#include <limits>

namespace rulegrad::test {
namespace {

using Names = std::vector<std::string>;

const Names variables{"x",  "y",     "w",    "b",    "a_1",     "rule", "seed",
                      "at", "point", "over", "grad", "default", "in"};
const Names functions{"f_max",     "f_where", "f.dotted", "stabilize", "range", "per",
                      "relevance", "add",     "neg",      "pow",       "less"};
const Names free_names{"alpha", "channels", "lrp.epsilon", "per_sample"};
const Names operators{"relu", "conv", "affine", "concat", "add", "mul", "neg", "pow", "equal", "and", "not"};
const Names sets{"routing", "lrp.flat", "add", "range"};
const Names keys{"axis", "w", "through", "on", "let"};
const Names infix{"add",     "sub",           "mul",   "div",       "pow", "less", "less_equal",
                  "greater", "greater_equal", "equal", "not_equal", "is",  "and",  "or"};

TermId add(Terms& terms, Term term) {
  terms.push_back(std::move(term));
  return static_cast<TermId>(terms.size()) - 1;
}

Term make(TermKind kind, std::string name = {}) {
  Term term;
  term.kind = kind;
  term.name = std::move(name);
  return term;
}

bool only_infix(const std::string& name) {
  return name == "and" || name == "not";
}

}  // namespace

double RandomRules::constant() {
  static const std::vector<double> some{0,      1,  2,    0.25, 1e-7,
                                        3.5e20, -1, -0.5, 255,  std::numeric_limits<double>::infinity()};
  return chance(80) ? pick(some) : std::uniform_real_distribution<double>(-10, 10)(random_);
}

std::string RandomRules::text() {
  static const Names some{"layer4.*",   "",          "a \"quoted\" word", "back\\slash",
                          "two\nlines", "tab\there", "#no comment",       "\xC3\xA9"};
  return pick(some);
}

std::string RandomRules::doc() {
  static const Names some{
      "",       "",         "One line.", "Two lines:\nthe second.", "\n  indented after an empty line",
      "# hash", "rules x {"};
  return pick(some);
}

TermId RandomRules::call(Terms& terms, const Names& bound, int depth) {
  Term term = make(TermKind::call, pick(functions));
  for (int i = below(4); i > 0; --i) {
    if (!bound.empty() && chance(8))
      term.args.push_back(add(terms, make(TermKind::spread, pick(bound))));
    else
      term.args.push_back(value(terms, bound, depth - 1));
  }
  for (int i = chance(25) ? 1 + below(2) : 0; i > 0; --i) {
    const std::string& key = pick(keys);
    if (std::none_of(term.named.begin(), term.named.end(),
                     [&](const auto& other) { return other.first == key; }))
      term.named.emplace_back(key, value(terms, bound, depth - 1));
  }
  if (term.name == "relevance" && term.named.empty() && chance(50))
    term.named.emplace_back("of", reference(terms, bound));
  return add(terms, std::move(term));
}

TermId RandomRules::value(Terms& terms, const Names& bound, int depth) {
  const int kind = below(depth <= 0 ? 4 : 20);
  if (kind == 0) {
    Term term = make(TermKind::number);
    term.number = constant();
    return add(terms, std::move(term));
  }
  if (kind == 1) return add(terms, make(TermKind::variable, pick(free_names)));
  if (kind == 2 && chance(30)) return add(terms, make(TermKind::text, text()));
  if (kind <= 3 || depth <= 0)
    return add(terms, make(TermKind::variable, bound.empty() ? pick(free_names) : pick(bound)));
  if (kind <= 5) return call(terms, bound, depth);
  Term term;
  if (kind <= 13) {
    term = make(TermKind::call, pick(infix));
    term.args = {value(terms, bound, depth - 1), value(terms, bound, depth - 1)};
  } else if (kind == 14) {
    term = make(TermKind::call, chance(70) ? "neg" : "not");
    term.args = {value(terms, bound, depth - 1)};
  } else if (kind == 15) {
    term = make(TermKind::list);
    for (int i = below(4); i > 0; --i) term.args.push_back(value(terms, bound, depth - 1));
  } else if (kind == 16) {
    term = make(chance(50) ? TermKind::member : TermKind::world, chance(50) ? "axis" : "base");
    // A point behind a free name would be part of the name.
    TermId owner = value(terms, bound, depth - 1);
    const Term& of = terms[static_cast<std::size_t>(owner)];
    if (of.kind == TermKind::variable && std::find(bound.begin(), bound.end(), of.name) == bound.end())
      owner = call(terms, bound, depth - 1);
    term.args = {owner};
  } else if (kind == 17 && !bound.empty()) {
    term = make(TermKind::replace, pick(bound));
    term.named.emplace_back("w", value(terms, bound, depth - 1));
    if (chance(50)) term.named.emplace_back("on", value(terms, bound, depth - 1));
  } else if (kind == 18) {
    term = make(TermKind::reduce, chance(50) ? "sum" : "stack");
    term.key = "t";
    term.args = {value(terms, bound, depth - 1)};
  } else {
    return call(terms, bound, depth);
  }
  return add(terms, std::move(term));
}

TermId RandomRules::pattern_call(Terms& terms, Names& bound, int depth) {
  Term term = make(TermKind::call, pick(operators));
  const bool infix_form = only_infix(term.name) || term.name == "add" || term.name == "mul" ||
                          term.name == "pow" || term.name == "equal";
  const int arity = term.name == "neg" || term.name == "not" ? 1 : infix_form ? 2 : below(4);
  for (int i = 0; i < arity; ++i) term.args.push_back(pattern(terms, bound, depth - 1));
  if (!infix_form && arity == 0 && chance(50)) term.args.push_back(add(terms, make(TermKind::ellipsis)));
  if (!only_infix(term.name) && chance(15)) term.named.emplace_back("axis", value(terms, {}, 1));
  return add(terms, std::move(term));
}

TermId RandomRules::pattern(Terms& terms, Names& bound, int depth) {
  const int kind = below(10);
  if (depth <= 0 || kind <= 2) {
    if (kind == 0) return add(terms, make(TermKind::wildcard));
    if (kind == 1 && chance(30)) {
      Term term = make(TermKind::number);
      term.number = constant();
      return add(terms, std::move(term));
    }
    bound.push_back(pick(variables));
    return add(terms, make(TermKind::variable, bound.back()));
  }
  if (kind <= 4) {
    Term term = make(TermKind::label, pick(variables));
    bound.push_back(term.name);
    term.args = {pattern(terms, bound, depth - 1)};
    return add(terms, std::move(term));
  }
  return pattern_call(terms, bound, depth);
}

TermId RandomRules::reference(Terms& terms, const Names& bound) {
  Term term = make(chance(50) ? TermKind::variable : TermKind::call, pick(sets));
  if (term.kind == TermKind::call) {
    for (int i = below(3); i > 0; --i) term.args.push_back(value(terms, bound, 2));
    if (chance(30)) term.named.emplace_back("key", value(terms, bound, 2));
  }
  return add(terms, std::move(term));
}

std::vector<Let> RandomRules::lets(Terms& terms, Names& bound) {
  std::vector<Let> result;
  for (int i = chance(40) ? 1 + below(3) : 0; i > 0; --i) {
    const TermId bound_value = value(terms, bound, 3);
    result.push_back({"let_" + std::to_string(i), bound_value});
    bound.push_back(result.back().name);
  }
  return result;
}

Rule RandomRules::rule(Names outer) {
  Rule result;
  result.level = static_cast<RuleLevel>(below(3));
  if (chance(15)) result.name = chance(50) ? "pass" : "lrp.pass";
  Names bound;
  result.pattern = pattern(result.terms, bound, 3);
  bound.insert(bound.end(), outer.begin(), outer.end());
  if (result.level != RuleLevel::forward) {
    result.cotangent = chance(80) ? "r" : "_";
    if (result.cotangent == "r") bound.push_back("r");
    if (chance(30)) {
      result.wrt = pick(variables);
      bound.push_back(result.wrt);
    }
  }
  if (chance(25)) result.guard = value(result.terms, bound, 3);
  result.lets = lets(result.terms, bound);
  result.result = value(result.terms, bound, 5);
  return result;
}

std::vector<Parameter> RandomRules::parameters(Terms& terms, Names& bound) {
  static const Names types{"", "", "", "tensor", "node", "sampler", "analyzer", "rules"};
  std::vector<Parameter> result;
  for (int i = chance(60) ? below(4) : 0; i > 0; --i) {
    Parameter next;
    next.name = "p_" + std::to_string(i);
    next.type = pick(types);
    if (chance(70)) next.fallback = value(terms, bound, 2);
    if (chance(30))
      next.range = NumberRange{chance(50) ? 0.0 : -std::numeric_limits<double>::infinity(),
                               1 + std::abs(constant()), chance(50), chance(50)};
    // Samplers and analyzers are called, never replaced.
    if (next.type != "sampler" && next.type != "analyzer" && next.type != "rules") bound.push_back(next.name);
    result.push_back(std::move(next));
  }
  return result;
}

RuleSet RandomRules::rule_set() {
  RuleSet result;
  result.name = chance(50) ? "lrp.set" : "set";
  result.doc = doc();
  Names bound;
  result.parameters = parameters(result.terms, bound);
  for (int i = below(5); i > 0; --i) result.rules.push_back(rule(bound));
  for (int i = chance(30) ? 1 + below(2) : 0; i > 0; --i)
    result.uses.push_back(reference(result.terms, bound));
  return result;
}

Function RandomRules::function() {
  Function result;
  result.name = chance(50) ? "clip_pos" : "my.fn";
  result.doc = doc();
  for (int i = below(3); i > 0; --i) result.parameters.push_back("v_" + std::to_string(i));
  Names bound = result.parameters;
  result.lets = lets(result.terms, bound);
  result.result = value(result.terms, bound, 5);
  return result;
}

CompositeOp RandomRules::composite() {
  CompositeOp result;
  result.name = "silu";
  result.doc = doc();
  result.parameters = {"v"};
  if (chance(70)) result.op_class = "activation";
  result.result = value(result.terms, result.parameters, 5);
  return result;
}

AnalyzerDefinition RandomRules::analyzer() {
  AnalyzerDefinition result;
  Terms& terms = result.terms;
  result.name = chance(50) ? "lrp.analyzer" : "saliency";
  result.doc = doc();
  Names bound{"input", "y", "target", "score"};
  result.parameters = parameters(terms, bound);
  for (int i = chance(30) ? 1 + below(2) : 0; i > 0; --i) {
    ForClause loop;
    loop.variables = chance(50) ? Names{"t"} : Names{"t", "q"};
    loop.sampler = reference(terms, bound);
    bound.insert(bound.end(), loop.variables.begin(), loop.variables.end());
    result.loops.push_back(std::move(loop));
  }
  result.lets = lets(terms, bound);
  const auto maybe = [&](int percent) { return chance(percent) ? value(terms, bound, 4) : no_term; };
  if (chance(40)) result.extends = reference(terms, {});
  if (chance(30)) result.canonizers.push_back(reference(terms, {}));
  result.seed = maybe(40);
  for (int i = below(4); i > 0; --i) {
    Use use;
    use.set = reference(terms, bound);
    use.selector = maybe(50);
    result.uses.push_back(std::move(use));
  }
  if (chance(50)) result.fallback = static_cast<Fallback>(below(4));
  for (int i = chance(30) ? 1 + below(2) : 0; i > 0; --i) {
    Placement placement;
    if (chance(50)) placement.world = "base";
    placement.node = value(terms, bound, 1);
    placement.value = value(terms, bound, 4);
    result.placements.push_back(std::move(placement));
  }
  result.result = maybe(50);
  if (chance(30)) result.properties = chance(50) ? Names{"linear"} : Names{"conserves", "linear"};
  return result;
}

RuleFile RandomRules::file() {
  RuleFile result;
  if (chance(20)) result.includes.push_back(text());
  for (int i = below(3); i > 0; --i) result.functions.push_back(function());
  for (int i = below(2); i > 0; --i) result.operators.push_back(composite());
  for (int i = below(4); i > 0; --i) result.rule_sets.push_back(rule_set());
  for (int i = below(3); i > 0; --i) result.analyzers.push_back(analyzer());
  return result;
}

}  // namespace rulegrad::test
