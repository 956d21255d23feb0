#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/parser.hpp"
#include "support/text.hpp"

namespace rulegrad {

RuleFile parse_rules(std::string_view text, std::string path) {
  return syntax::FileParser(text, std::move(path)).run();
}

namespace syntax {
namespace {

constexpr std::string_view item_help =
    "a file holds `include \"FILE\"`, `fn NAME(v) = ...`, `op NAME(x): CLASS = ...`, `rules NAME { ... }` "
    "and "
    "`analyzer NAME { ... }`";

bool begins_item(const Cursor& cursor) {
  return cursor.at_name() && cursor.peek().begins_line && is_one_of(cursor.peek().text, item_words);
}

}  // namespace

RuleFile FileParser::run() {
  file_.path = cursor_.path();
  header();
  while (!cursor_.at_end() && !cursor_.too_many_problems()) {
    const std::size_t before = cursor_.position();
    try {
      item();
    } catch (const SyntaxFailure&) {
      if (cursor_.position() == before) cursor_.next();
      skip_to_item();
    }
  }
  if (auto problems = cursor_.take_problems(); !problems.empty())
    throw RuleError(std::move(problems), source_);
  return std::move(file_);
}

void FileParser::header() {
  constexpr std::string_view help =
      "begin the file with the line `rulegrad 1`, which says what version of the rule language it is in";
  if (!cursor_.at("rulegrad")) {
    const std::string found =
        cursor_.at_end() ? "is empty" : fmt::format("with {}", describe(cursor_.peek()));
    cursor_.report({"R110",
                    cursor_.range(cursor_.peek()),
                    fmt::format("a rule file begins with `rulegrad 1`, this one {}", found),
                    {},
                    std::string(help)});
    return;
  }
  cursor_.next();
  const Token version = cursor_.peek();
  if (version.kind != TokenKind::number || version.begins_line) {
    cursor_.report({"R110",
                    cursor_.here(),
                    "expected the version of the rule language behind `rulegrad`",
                    {},
                    std::string(help)});
    return;
  }
  cursor_.next();
  if (version.text != "1")
    cursor_.report(
        {"R110",
         cursor_.range(version),
         fmt::format("this file is in version {} of the rule language; this rulegrad reads version 1",
                     version.text),
         {},
         "install a newer rulegrad, or write `rulegrad 1` if the file is in version 1"});
}

void FileParser::skip_to_item() {
  while (!cursor_.at_end() && !begins_item(cursor_)) cursor_.next();
}

void FileParser::item() {
  const Token& word = cursor_.peek();
  std::string doc = word.doc;
  if (word.kind == TokenKind::name && !word.begins_line && is_one_of(word.text, item_words))
    cursor_.fail({"R115",
                  cursor_.range(word),
                  fmt::format("`{}` must begin a line", word.text),
                  {},
                  "write every item of a file on lines of its own"});
  if (cursor_.at("include")) return include();
  if (cursor_.at("fn")) return function(std::move(doc));
  if (cursor_.at("op")) return composite(std::move(doc));
  if (cursor_.at("rules")) return rule_set(std::move(doc));
  if (cursor_.at("analyzer")) return analyzer(std::move(doc));
  if (at_rule_start(cursor_))
    cursor_.fail({"R121",
                  cursor_.range(word),
                  fmt::format("`{}` stands outside of a rule set", word.text),
                  {},
                  "put rules into a set: `rules NAME { grad(relu(x), g) => g }`"});
  if (word.kind == TokenKind::name)
    if (const std::string near =
            nearest_name(word.text, std::vector<std::string>(item_words.begin(), item_words.end()));
        !near.empty())
      cursor_.fail(
          {"R111",
           cursor_.range(word),
           fmt::format("expected an item of the file, found `{}`; did you mean `{}`?", word.text, near),
           {},
           std::string(item_help)});
  cursor_.fail({"R111",
                cursor_.range(word),
                fmt::format("expected an item of the file, found {}", describe(word)),
                {},
                std::string(item_help)});
}

void FileParser::include() {
  cursor_.next();
  if (cursor_.peek().kind != TokenKind::text || cursor_.peek().begins_line)
    cursor_.fail_expected("the file to include, in double quotes", "write `include \"common.rules\"`");
  file_.includes.push_back(cursor_.next().text);
  expect_end_of("the included file", false);
}

std::vector<std::string> FileParser::names_in_parentheses(std::string_view what, std::string_view help,
                                                          std::vector<SourceRange>& where) {
  std::vector<std::string> names;
  cursor_.expect("(", "before the parameters", help);
  if (cursor_.accept(")")) return names;
  do {
    const Token& name = cursor_.expect_name(what, help);
    if (std::find(names.begin(), names.end(), name.text) != names.end())
      cursor_.fail({"R122",
                    cursor_.range(name),
                    fmt::format("the parameter `{}` is there twice", name.text),
                    {},
                    "give one of them another name"});
    names.push_back(name.text);
    where.push_back(cursor_.range(name));
  } while (cursor_.accept(","));
  cursor_.expect(")", "or `,` behind a parameter", help);
  return names;
}

void FileParser::function(std::string doc) {
  constexpr std::string_view help = "write `fn clip_pos(v) = max(v, 0)`";
  cursor_.next();
  Function result;
  result.doc = std::move(doc);
  const Token name = cursor_.peek();
  result.name = cursor_.expect_dotted_name("the name of the function", help);
  result.where = cursor_.range(name);
  result.where.length = static_cast<int>(result.name.size());
  result.parameters = names_in_parentheses("a parameter of the function", help, result.parameters_where);
  cursor_.expect("=", "before the body of the function", help);
  Scope scope;
  for (const std::string& parameter : result.parameters) scope.bind(parameter, Binding::value);
  TermParser parser(cursor_, std::move(scope));
  parser.body(result.lets, result.result, fmt::format("the function `{}`", result.name), help);
  expect_end_of("the body of the function", false);
  result.terms = std::move(parser.terms);
  file_.functions.push_back(std::move(result));
}

void FileParser::composite(std::string doc) {
  constexpr std::string_view help = "write `op silu(x): activation = x * sigmoid(x)`";
  cursor_.next();
  CompositeOp result;
  result.doc = std::move(doc);
  const Token name = cursor_.peek();
  result.name = cursor_.expect_dotted_name("the name of the operator", help);
  result.where = cursor_.range(name);
  result.where.length = static_cast<int>(result.name.size());
  result.parameters = names_in_parentheses("an operand of the operator", help, result.parameters_where);
  if (cursor_.accept(":")) {
    result.op_class = cursor_.expect_name("the class of the operator", help).text;
    result.op_class_where = cursor_.range(cursor_.previous());
  }
  cursor_.expect("=", "before what the operator stands for", help);
  if (cursor_.at("let"))
    cursor_.fail({"R121",
                  cursor_.range(cursor_.peek()),
                  "an operator is one expression, without `let`s",
                  {},
                  "write a `fn` for the parts: `fn` bodies may hold `let`s"});
  Scope scope;
  for (const std::string& parameter : result.parameters) scope.bind(parameter, Binding::value);
  TermParser parser(cursor_, std::move(scope));
  result.result = parser.expression("what the operator stands for", help);
  expect_end_of("the operator", false);
  result.terms = std::move(parser.terms);
  file_.operators.push_back(std::move(result));
}

void FileParser::expect_end_of(std::string_view what, bool next_begins_with_word) {
  const Token& next = cursor_.peek();
  if (next.begins_line || next.kind == TokenKind::end || cursor_.at("}") || next_begins_with_word) return;
  cursor_.fail({"R115",
                cursor_.range(next),
                fmt::format("{} ends before {}, which cannot continue it", what, describe(next)),
                {},
                "if an operator or a comma is missing, write it; otherwise begin a new line"});
}

void FileParser::block_head(TermParser& terms, std::vector<Parameter>& into) {
  try {
    into = parameters(terms);
  } catch (const SyntaxFailure&) {
    // What stands in the block is worth reading all the same.
    while (!cursor_.at_end() && !cursor_.at("{") && !begins_item(cursor_)) cursor_.next();
  }
}

void FileParser::close_block(const Token& open, std::string_view what) {
  if (cursor_.accept("}")) return;
  cursor_.report({"R118",
                  cursor_.here(),
                  fmt::format("expected `}}` at the end of {}, found {}", what, describe(cursor_.peek())),
                  {{"its `{` is here", cursor_.range(open)}},
                  "close the block with `}`"});
}

}  // namespace syntax
}  // namespace rulegrad
