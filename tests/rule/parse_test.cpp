#include <doctest/doctest.h>

#include "rulegrad/rule/rule_text.hpp"

using namespace rulegrad;

namespace {

RuleFile parse(const std::string& text) {
  return parse_rules("rulegrad 1\n" + text, "test.rules");
}

Rule rule_of(const std::string& text) {
  return parse("rules s {\n" + text + "\n}\n").rule_sets.at(0).rules.at(0);
}

const Term& root(const Rule& rule) {
  return rule.terms.at(static_cast<std::size_t>(rule.result));
}

/// The result of a rule over y: conv(x, w, b), with every operator spelled as a call.
std::string spelled(const Terms& terms, TermId id) {
  const Term& term = terms.at(static_cast<std::size_t>(id));
  if (term.args.empty()) return print_term(terms, id);
  std::string text = term.name + "(";
  for (const TermId arg : term.args) text += (text.ends_with("(") ? "" : " ") + spelled(terms, arg);
  return text + ")";
}

std::string spelled(const std::string& expression) {
  const Rule rule = rule_of("  grad(y: conv(x, w, b), r) => " + expression);
  return spelled(rule.terms, rule.result);
}

TermKind kind_of(const std::string& expression) {
  return root(rule_of("  grad(y: conv(x, w, b), r) => " + expression)).kind;
}

std::string code_of(const std::string& text) {
  try {
    (void)parse(text);
  } catch (const RuleError& error) {
    return error.diagnostics().at(0).code;
  }
  return "";
}

}  // namespace

TEST_CASE("operators bind in the order or, and, not, comparisons, sums, products, minus, powers") {
  CHECK(spelled("x or w and b") == "or(x and(w b))");
  CHECK(spelled("not x and w") == "and(not(x) w)");
  CHECK(spelled("not x == w") == "not(equal(x w))");
  CHECK(spelled("x + w < b * x") == "less(add(x w) mul(b x))");
  CHECK(spelled("x - w - b") == "sub(sub(x w) b)");
  CHECK(spelled("x / w * b") == "mul(div(x w) b)");
  CHECK(spelled("x + w * b") == "add(x mul(w b))");
  CHECK(spelled("-x * w") == "mul(neg(x) w)");
  CHECK(spelled("-x ^ w") == "neg(pow(x w))");
  CHECK(spelled("x ^ w ^ b") == "pow(x pow(w b))");
  CHECK(spelled("x ^ -w * b") == "mul(pow(x neg(w)) b)");
  CHECK(spelled("x - -w") == "sub(x neg(w))");
  CHECK(spelled("y is x and w != b") == "and(is(y x) not_equal(w b))");
}

TEST_CASE("a minus before a number makes a number") {
  const Rule rule = rule_of("  grad(relu(x), r) => -2.5");
  CHECK(root(rule).kind == TermKind::number);
  CHECK(root(rule).number == -2.5);
  CHECK(spelled("-2 ^ 3") == "neg(pow(2 3))");
  CHECK(root(rule_of("  grad(relu(x), r) => -inf")).number == -std::numeric_limits<double>::infinity());
  CHECK(root(rule_of("  grad(relu(x), r) => 1e-7")).number == 1e-7);
}

TEST_CASE("what a call means follows from what its name is bound to") {
  CHECK(kind_of("y(w = w * w)") == TermKind::replace);
  CHECK(kind_of("x(w = w * w)") == TermKind::replace);
  CHECK(kind_of("z(w = w * w)") == TermKind::call);
  CHECK(kind_of("y.axis") == TermKind::member);
  CHECK(kind_of("lrp.axis") == TermKind::variable);
  CHECK(kind_of("x@base") == TermKind::world);
  CHECK(kind_of("sum over t (x)") == TermKind::reduce);
  CHECK(kind_of("sum(x)") == TermKind::call);
  CHECK(kind_of("over(x, w)") == TermKind::call);
  CHECK(spelled("y.in_channels(r)") == "in_channels(y r)");
  CHECK(code_of("rules s {\n grad(y: conv(x), r) => y(x)\n}") == "R125");

  const RuleFile file = parse(
      "analyzer a(rule: sampler, layer: node) {\n let k = rule(n = 3)\n let l = layer(w = 1)\n}\n"
      "fn f(y) = y(w = 1)\n");
  const AnalyzerDefinition& a = file.analyzers.at(0);
  CHECK(a.terms.at(static_cast<std::size_t>(a.lets.at(0).value)).kind == TermKind::call);
  CHECK(a.terms.at(static_cast<std::size_t>(a.lets.at(1).value)).kind == TermKind::replace);
  CHECK(file.functions.at(0).terms.back().kind == TermKind::replace);
}

TEST_CASE("a label behind an operator names one operand, at the start of a pattern the whole of it") {
  const auto pattern = [](const std::string& text) {
    const Rule rule = rule_of("  grad(" + text + ", r) => r");
    return spelled(rule.terms, rule.pattern);
  };
  CHECK(pattern("y: a + b") == "y(add(a b))");
  CHECK(pattern("a * s: sigmoid(_)") == "mul(a s(sigmoid(_)))");
  CHECK(pattern("(s: a) * b") == "mul(s(a) b)");
  CHECK(pattern("conv(y: relu(x), w)") == "conv(y(relu(x)) w)");
  const Rule rule = rule_of("  grad(y: concat(...), _) wrt v when depends(v) => 0");
  CHECK(rule.cotangent == "_");
  CHECK(rule.wrt == "v");
  CHECK(rule.guard != no_term);
}

TEST_CASE("a new line ends an expression unless an operator stands on either side of it") {
  const RuleFile file = parse(
      "rules s {\n"
      "  grad(relu(x), r) => r *\n    x\n"
      "  grad(tanh(x), r) => r\n    / x\n"
      "  grad(gelu(x), r)\n    when depends(x)\n    => max(\n      r\n      ,\n      0)\n"
      "  grad(silu(x), r) => let a = r let b = a\n    - x\n    (-b)\n"
      "}\n"
      "analyzer a {\n  use s\n    on conv\n    or dense\n  seed y  default zero\n}\n");
  const auto& rules = file.rule_sets.at(0).rules;
  REQUIRE(rules.size() == 4);
  CHECK(spelled(rules[0].terms, rules[0].result) == "mul(r x)");
  CHECK(spelled(rules[1].terms, rules[1].result) == "div(r x)");
  CHECK(rules[2].guard != no_term);
  CHECK(rules[3].lets.size() == 2);
  CHECK(spelled(rules[3].terms, rules[3].lets[1].value) == "sub(a x)");
  CHECK(spelled(rules[3].terms, rules[3].result) == "neg(b)");
  CHECK(file.analyzers.at(0).fallback == Fallback::zero);
  CHECK(spelled(file.analyzers[0].terms, file.analyzers[0].uses.at(0).selector) == "or(conv dense)");
}

TEST_CASE("the comment block right above an item is its documentation") {
  const RuleFile file = parse(
      "# Of the file.\n\n"
      "# First line,  \r\n#   second line.\r\nfn f(v) = v # not this\n"
      "rules a {\n  # Inside.\n}\n\n# Lost.\n\nrules b {\n}\n");
  CHECK(file.functions.at(0).doc == "First line,\n  second line.");
  CHECK(file.rule_sets.at(0).doc.empty());
  CHECK(file.rule_sets.at(1).doc.empty());
}

TEST_CASE("places are those of the names, counted in characters") {
  const RuleFile file = parse("# ü\nrules s { grad(relu(x), r) when name(x, \"ü\") => clip(r) }\n");
  const Rule& rule = file.rule_sets.at(0).rules.at(0);
  CHECK(root(rule).where.file == "test.rules");
  CHECK(root(rule).where.line == 3);
  CHECK(root(rule).where.column == 49);
  CHECK(root(rule).where.length == 4);
  CHECK(rule.where.column == 11);
}

TEST_CASE("parameters carry types, defaults and ranges") {
  const RuleFile file = parse(
      "rules s(a, b = 1 in (0, inf), c: node = last(conv), d: number = -1 in [-2, -1], e: analyzer = lrp.z) "
      "{\n}\n");
  const auto& p = file.rule_sets.at(0).parameters;
  REQUIRE(p.size() == 5);
  CHECK(p[0].fallback == no_term);
  CHECK(p[1].range->low_open);
  CHECK(p[1].range->high == std::numeric_limits<double>::infinity());
  CHECK(p[2].type == "node");
  CHECK(p[3].type.empty());
  CHECK(p[3].range->low == -2);
  CHECK_FALSE(p[3].range->high_open);
  CHECK(print_term(file.rule_sets[0].terms, p[4].fallback) == "lrp.z");
}

TEST_CASE("rules in place become a set of their own whose parameters are what they read of the analyzer") {
  const RuleFile file = parse(
      "analyzer a(method: analyzer, layer: node, unread = 1) {\n"
      "  for k in rows(3)\n"
      "  use { grad(y: _, k2) when y is layer => next(k2 * k) }\n"
      "  use { grad(relu(k), r) => r } on conv\n"
      "}\n");
  REQUIRE(file.rule_sets.size() == 2);
  CHECK(file.rule_sets[0].name == "a.rules_1");
  REQUIRE(file.rule_sets[0].parameters.size() == 2);
  CHECK(file.rule_sets[0].parameters[0].name == "layer");
  CHECK(file.rule_sets[0].parameters[0].type == "node");
  CHECK(file.rule_sets[0].parameters[1].name == "k");
  CHECK(file.rule_sets[1].parameters.empty());
  const AnalyzerDefinition& a = file.analyzers.at(0);
  CHECK(print_term(a.terms, a.uses.at(0).set) == "a.rules_1(layer, k)");
  CHECK(print_term(a.terms, a.uses.at(1).set) == "a.rules_2");
  CHECK(a.uses[1].selector != no_term);
}

TEST_CASE("terms stand behind their operands in the pool") {
  const Rule rule =
      rule_of("  grad(y: conv(x, w), r) => sum over t (y(w = [1, x@base]) ^ 2) + f(y.axis, k = -x)");
  for (std::size_t i = 0; i < rule.terms.size(); ++i) {
    for (const TermId arg : rule.terms[i].args) CHECK(arg < static_cast<TermId>(i));
    for (const auto& [key, value] : rule.terms[i].named) CHECK(value < static_cast<TermId>(i));
  }
}

TEST_CASE("every mistake of a file is reported, one for each line, at most twenty") {
  std::string text =
      "rules s {\n  grad(relu(x)) => 1\n  grad(tanh(x), r) => r\n  grad(gelu(x), r) = r +\n}\nfn f = "
      "1\nanalyzer a {\n  sed y\n}\n";
  try {
    (void)parse(text);
    FAIL("no error");
  } catch (const RuleError& error) {
    CHECK(error.code() == ErrorCode::rule);
    REQUIRE(error.diagnostics().size() == 4);
    CHECK(error.diagnostics()[0].where.line == 3);
    CHECK(error.diagnostics()[1].where.line == 5);
    CHECK(error.diagnostics()[2].where.line == 7);
    CHECK(error.diagnostics()[3].where.line == 9);
  }
  text.clear();
  for (int i = 0; i < 100; ++i) text += "fn f = 1\n";
  try {
    (void)parse(text);
    FAIL("no error");
  } catch (const RuleError& error) {
    CHECK(error.diagnostics().size() == 20);
  }
}

TEST_CASE("deep nesting is an error, not a crash") {
  const auto nested = [](int depth, const std::string& open, const std::string& close) {
    std::string text = "fn f(v) = ";
    for (int i = 0; i < depth; ++i) text += open;
    text += "v";
    for (int i = 0; i < depth; ++i) text += close;
    return text + "\n";
  };
  CHECK(code_of(nested(150, "(", ")")).empty());
  // What opens, and what closes it.
  const std::vector<std::pair<std::string, std::string>> brackets{
      {"(", ")"},   {"[", "]"},   {"f(", ")"},           {"f(a = ", ")"}, {"-", ""},  {"not ", ""},
      {"v ^ ", ""}, {"v + ", ""}, {"sum over t (", ")"}, {"", ".m"},      {"", "@w"}, {"", ".m()"}};
  for (const auto& pair : brackets)
    for (const int depth : {201, 50000}) {
      INFO(pair.first, " ", pair.second);
      CHECK(code_of(nested(depth, pair.first, pair.second)) == "R123");
    }
  std::string labels;
  for (int i = 0; i < 50000; ++i) labels += "y: ";
  CHECK(code_of("rules s {\n grad(" + labels + "x, r) => r\n}") == "R123");
  CHECK(code_of("rules s {\n grad(a + " + labels + "x, r) => r\n}") == "R123");
}

TEST_CASE("printing breaks sums that are too long behind their operators") {
  const std::string part =
      "where(x > 0, clip_pos(some_rather_long_name), clip_neg(another_rather_long_name))";
  const std::string text = "grad(relu(x), r) =>\n  " + part + " +\n  " + part + " -\n  (" + part + " - r)";
  const Rule rule = rule_of(text);
  CHECK(print(rule) == text);
}
