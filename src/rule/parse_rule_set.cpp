#include <fmt/format.h>
#include <limits>
#include <optional>

#include "rule/parser.hpp"
#include "support/text.hpp"

/// Rule sets: parameters, rules, and the sets they use.
namespace rulegrad::syntax {
namespace {

constexpr std::string_view parameter_help =
    "write `(alpha = 2, epsilon = 1e-7 in (0, inf), low, layer: node = last(conv))`";

Binding binding_of(const Parameter& parameter) {
  return parameter.type == "sampler" || parameter.type == "analyzer" || parameter.type == "rules"
             ? Binding::callable
             : Binding::value;
}

}  // namespace

std::vector<Parameter> FileParser::parameters(TermParser& terms) {
  std::vector<Parameter> result;
  if (!cursor_.accept("(") || cursor_.accept(")")) return result;
  do {
    Parameter next = parameter(terms);
    for (const Parameter& other : result)
      if (other.name == next.name)
        cursor_.fail({"R122",
                      next.where,
                      fmt::format("the parameter `{}` is there twice", next.name),
                      {{"the first one is here", other.where}},
                      "give one of them another name"});
    terms.scope.bind(next.name, binding_of(next));
    result.push_back(std::move(next));
  } while (cursor_.accept(","));
  cursor_.expect(")", "or `,` behind a parameter", parameter_help);
  return result;
}

Parameter FileParser::parameter(TermParser& terms) {
  Parameter result;
  const Token& name = cursor_.expect_name("the name of a parameter", parameter_help);
  result.name = name.text;
  result.where = cursor_.range(name);
  if (cursor_.accept(":")) {
    const Token& type = cursor_.peek();
    if (type.kind != TokenKind::name) cursor_.fail_expected("the type of the parameter", parameter_help);
    if (!is_one_of(type.text, parameter_types))
      cursor_.fail(
          {"R120",
           cursor_.range(type),
           unknown_name_message("type of a parameter", type.text,
                                std::vector<std::string>(parameter_types.begin(), parameter_types.end())),
           {},
           std::string(parameter_help)});
    result.type = cursor_.next().text;
    if (result.type == "number") result.type.clear();
  }
  if (cursor_.accept("="))
    result.fallback = terms.expression(fmt::format("the default of `{}`", result.name), parameter_help);
  if (cursor_.accept("in")) result.range = number_range();
  return result;
}

NumberRange FileParser::number_range() {
  constexpr std::string_view help = "`(` and `)` leave an end out, `[` and `]` hold it: `(0, inf)`, `[0, 1]`";
  NumberRange result;
  const Token open = cursor_.peek();
  if (!cursor_.at("(") && !cursor_.at("["))
    cursor_.fail_expected("the range of the parameter behind `in`", help);
  result.low_open = cursor_.next().text == "(";
  result.low = bound();
  cursor_.expect(",", "between the ends of the range", help);
  result.high = bound();
  if (!cursor_.at(")") && !cursor_.at("]")) cursor_.fail_expected("`)` or `]` behind the range", help);
  result.high_open = cursor_.next().text == ")";
  const bool empty =
      result.low > result.high || (result.low == result.high && (result.low_open || result.high_open));
  if (empty)
    cursor_.fail(
        {"R120",
         cursor_.range(open),
         fmt::format("no number lies between {} and {}", shortest(result.low), shortest(result.high)),
         {},
         std::string(help)});
  return result;
}

double FileParser::bound() {
  const bool negative = cursor_.accept("-");
  const Token& token = cursor_.peek();
  if (token.kind != TokenKind::number && token.text != "inf")
    cursor_.fail_expected("a number, `inf` or `-inf`", "write `in (0, inf)`");
  cursor_.next();
  const double size =
      token.kind == TokenKind::number ? token.number : std::numeric_limits<double>::infinity();
  return negative ? -size : size;
}

void FileParser::rule_set(std::string doc) {
  constexpr std::string_view help = "write `rules lrp.epsilon(epsilon = 1e-7) { ... }`";
  cursor_.next();
  RuleSet result;
  result.doc = std::move(doc);
  const Token name = cursor_.peek();
  result.name = cursor_.expect_dotted_name("the name of the rule set", help);
  result.where = cursor_.range(name);
  result.where.length = static_cast<int>(result.name.size());
  TermParser terms(cursor_, Scope());
  block_head(terms, result.parameters);
  const Token open = cursor_.expect("{", "before the rules of the set", help);
  rules(result, &terms, terms.scope);
  close_block(open, fmt::format("the rule set `{}`", result.name));
  expect_end_of("the rule set", false);
  result.terms = std::move(terms.terms);
  file_.rule_sets.push_back(std::move(result));
}

void FileParser::skip_in_set() {
  for (int open = 0; !cursor_.at_end(); cursor_.next()) {
    if (cursor_.at("{")) ++open;
    if (cursor_.at("}") && open-- == 0) return;
    if (!cursor_.peek().begins_line) continue;
    if (is_one_of(cursor_.peek().text, item_words)) return;
    if (open <= 0 && (cursor_.at("use") || at_rule_start(cursor_))) return;
  }
}

void FileParser::rules(RuleSet& set, TermParser* of_set, const Scope& scope) {
  std::optional<SourceRange> first_use;
  while (!cursor_.at_end() && !cursor_.at("}") && !cursor_.too_many_problems()) {
    const Token word = cursor_.peek();
    if (word.begins_line && is_one_of(word.text, item_words)) return;
    const std::size_t before = cursor_.position();
    try {
      if (cursor_.at("use")) {
        if (of_set == nullptr)
          cursor_.fail({"R121",
                        cursor_.range(word),
                        "`use` stands inside of another `use`",
                        {},
                        "write it beside: `use routing`"});
        if (!first_use) first_use = cursor_.range(word);
        cursor_.next();
        set.uses.push_back(
            of_set->reference("the name of a rule set behind `use`", "write `use lrp.epsilon(0.01)`"));
        if (cursor_.at("on"))
          cursor_.fail({"R121",
                        cursor_.range(cursor_.peek()),
                        "`on` selects nodes for an analyzer; a rule set has no selectors",
                        {},
                        "move this `use` into the analyzer, or guard its rules by `when`"});
        expect_end_of("this `use`", cursor_.at("use") || at_rule_start(cursor_));
      } else {
        if (first_use && at_rule_start(cursor_))
          cursor_.fail({"R121",
                        cursor_.range(word),
                        "this rule stands below a `use`, but the rules of a set come before the sets it uses",
                        {{"the `use` is here", *first_use}},
                        "move the `use` to the end of the set; if its rules are meant to come first, use "
                        "both sets in the analyzer"});
        Rule next = rule(scope);
        expect_end_of("the rule", cursor_.at("use") || at_rule_start(cursor_));
        set.rules.push_back(std::move(next));
      }
    } catch (const SyntaxFailure&) {
      if (cursor_.position() == before && !cursor_.at("}")) cursor_.next();
      skip_in_set();
    }
  }
}

Rule FileParser::rule(const Scope& outer) {
  constexpr std::string_view help =
      "a rule reads `grad(relu(x), g) => g * (x > 0)` or `rewrite identity(x) => x`";
  Rule result;
  if (cursor_.at("rule")) {
    cursor_.next();
    result.name =
        cursor_.expect_dotted_name("the name of the rule", "write `rule pass: grad(relu(x), g) => g`");
    cursor_.expect(":", "behind the name of the rule", "write `rule pass: grad(relu(x), g) => g`");
  }
  const Token word = cursor_.peek();
  result.where = cursor_.range(word);
  TermParser parser(cursor_, outer);
  if (cursor_.at("grad") || cursor_.at("vjp")) {
    result.level = cursor_.at("grad") ? RuleLevel::grad : RuleLevel::vjp;
    cursor_.next();
    gradient_pattern(result, parser, word);
  } else if (cursor_.accept("rewrite")) {
    result.level = RuleLevel::forward;
    result.pattern = parser.pattern("write `rewrite y: identity(x) => x`");
  } else if (cursor_.at("default") || cursor_.at("seed") || cursor_.at("let")) {
    cursor_.fail({"R121",
                  cursor_.range(word),
                  fmt::format("`{}` stands in a rule set, outside of a rule", word.text),
                  {},
                  cursor_.at("let") ? "`let` follows the `=>` of a rule; what several rules share is a `fn`"
                                    : "rule sets hold rules only; what an analyzer starts from and falls "
                                      "back on is said in the analyzer"});
  } else if (!result.name.empty()) {
    cursor_.fail_expected("`grad`, `vjp` or `rewrite`", help, "R111");
  } else {
    cursor_.fail({"R111",
                  cursor_.range(word),
                  fmt::format("expected a rule, a `use` or `}}`, found {}", describe(word)),
                  {},
                  fmt::format("{}; its body is `let`s and then one expression", help)});
  }
  if (cursor_.at("wrt") && result.level == RuleLevel::forward)
    cursor_.fail({"R121",
                  cursor_.range(cursor_.peek()),
                  "`wrt` names the operand of a gradient; `rewrite` has none",
                  {},
                  std::string(help)});
  if (cursor_.accept("wrt")) {
    result.wrt = cursor_
                     .expect_name("the operand that the rule is for, behind `wrt`",
                                  "write `grad(y: a + b, r) wrt a => a * r / y`")
                     .text;
    result.wrt_where = cursor_.range(cursor_.previous());
    parser.scope.bind(result.wrt, Binding::value);
  }
  if (cursor_.accept("when"))
    result.guard = parser.expression("the condition behind `when`",
                                     "write `grad(a * b, r) wrt a when depends(b) => r / 2`");
  if (cursor_.at("wrt"))
    cursor_.fail({"R112",
                  cursor_.range(cursor_.peek()),
                  "`wrt` stands behind `when`",
                  {},
                  "write `wrt` first: `grad(a * b, r) wrt a when depends(b) => r / 2`"});
  cursor_.expect(
      "=>", "between the pattern and the body of the rule",
      cursor_.at("=") ? "`=>` begins the body of a rule; `==` compares, `=` only gives names" : help);
  parser.body(result.lets, result.result, "the rule", help);
  if (cursor_.at("when") || cursor_.at("wrt") || cursor_.at("=>")) {
    const bool arrow = cursor_.at("=>");
    cursor_.fail({"R112",
                  cursor_.range(cursor_.peek()),
                  arrow ? "a second `=>`"
                        : fmt::format("`{}` stands behind the body of the rule", cursor_.peek().text),
                  {{"the rule begins here", result.where}},
                  arrow ? "the body of the rule above is missing, or this rule lacks its `grad(...)`"
                        : "write it before `=>`: `grad(a * b, r) wrt a when depends(b) => r / 2`"});
  }
  result.terms = std::move(parser.terms);
  return result;
}

void FileParser::gradient_pattern(Rule& rule, TermParser& parser, const Token& word) {
  const std::string help =
      fmt::format("write `{0}(PATTERN, COTANGENT) => ...`: `{0}(relu(x), g) => g`", word.text);
  cursor_.expect("(", fmt::format("behind `{}`", word.text), help);
  rule.pattern = parser.pattern(help);
  if (cursor_.at(")"))
    cursor_.fail(
        {"R116",
         cursor_.range(cursor_.peek()),
         fmt::format("`{}` lacks the name of the cotangent, which comes behind the pattern", word.text),
         {},
         help + "; `_` if the rule does not read it"});
  cursor_.expect(",", "between the pattern and the name of the cotangent", help);
  rule.cotangent = cursor_.expect_name("the name of the cotangent", help).text;
  rule.cotangent_where = cursor_.range(cursor_.previous());
  parser.scope.bind(rule.cotangent, Binding::value);
  if (cursor_.at(","))
    cursor_.fail({"R116",
                  cursor_.range(cursor_.peek()),
                  fmt::format("`{}` takes a pattern and the name of the cotangent, no more", word.text),
                  {},
                  help});
  cursor_.expect(")", fmt::format("behind the cotangent of `{}`", word.text), help);
}

}  // namespace rulegrad::syntax
