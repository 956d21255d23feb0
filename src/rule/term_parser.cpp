#include "rule/term_parser.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/within.hpp"

namespace rulegrad::syntax {

namespace {

const Infix* infix_at(const Cursor& cursor) {
  for (const Infix& op : infix_operators)
    if (cursor.at(op.symbol)) return &op;
  return nullptr;
}

}  // namespace

const Binding* Scope::find(std::string_view name) const {
  for (auto entry = names_.rbegin(); entry != names_.rend(); ++entry)
    if (entry->first == name) return &entry->second;
  return nullptr;
}

bool at_rule_start(const Cursor& cursor) {
  if (cursor.at("rewrite")) return true;
  if (cursor.at("rule") && cursor.at_name(1)) {
    std::size_t i = 2;
    while (cursor.at(".", i) && cursor.at_name(i + 1)) i += 2;
    return cursor.at(":", i);
  }
  if (!(cursor.at("grad") || cursor.at("vjp")) || !cursor.at("(", 1)) return false;
  int depth = 0;
  for (std::size_t i = 1; cursor.peek(i).kind != TokenKind::end; ++i) {
    if (cursor.at("{", i) || cursor.at("}", i)) return false;
    if (cursor.at("(", i) || cursor.at("[", i)) ++depth;
    if ((cursor.at(")", i) || cursor.at("]", i)) && --depth == 0)
      return cursor.at("=>", i + 1) || cursor.at("wrt", i + 1) || cursor.at("when", i + 1);
  }
  return false;
}

TermId TermParser::expression(std::string_view what, std::string_view help) {
  Within<std::string> for_messages(what_, std::string(what)), for_help(help_, std::string(help));
  Within<bool> as_value(in_pattern_, false);
  return infix(loosest);
}

TermId TermParser::pattern(std::string_view help) {
  Within<std::string> for_messages(what_, "a pattern"), for_help(help_, std::string(help));
  Within<bool> as_pattern(in_pattern_, true);
  const TermId result = infix(loosest);
  bind_pattern(result);
  return result;
}

void TermParser::bind_pattern(TermId id) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  if (term.kind == TermKind::label) scope.bind(term.name, Binding::label);
  if (term.kind == TermKind::variable) scope.bind(term.name, Binding::value);
  for (const TermId arg : term.args) bind_pattern(arg);
}

TermId TermParser::reference(std::string_view what, std::string_view help) {
  const Token& start = cursor_.peek();
  Term term;
  term.where = cursor_.range(start);
  term.name = cursor_.expect_dotted_name(what, help);
  term.where.length = static_cast<int>(term.name.size());
  if (cursor_.at("(") && !cursor_.peek().begins_line) {
    term.kind = TermKind::call;
    arguments(term);
  } else {
    term.kind = TermKind::variable;
  }
  return add(std::move(term));
}

Let TermParser::let() {
  constexpr std::string_view help = "write `let s = r / stabilize(y, epsilon)`";
  cursor_.next();
  Let result;
  result.name = cursor_.expect_name("the name that `let` binds", help).text;
  result.where = cursor_.range(cursor_.previous());
  cursor_.expect("=", fmt::format("after `let {}`", result.name), help);
  result.value = expression(fmt::format("the value of `{}`", result.name), help);
  scope.bind(result.name, Binding::value);
  return result;
}

void TermParser::body(std::vector<Let>& lets, TermId& result, std::string_view owner, std::string_view help) {
  minus_at_line_start_.reset();
  while (cursor_.at("let")) {
    minus_at_line_start_.reset();
    lets.push_back(let());
  }
  const Token& token = cursor_.peek();
  const bool none = token.kind == TokenKind::end || cursor_.at("}") || cursor_.at("=>") ||
                    at_rule_start(cursor_) ||
                    (token.kind == TokenKind::name && token.begins_line &&
                     is_one_of(token.text, reserved_words) && token.text != "not" && token.text != "inf");
  if (none && !lets.empty()) {
    Diagnostic problem{
        "R114", cursor_.here(), fmt::format("{} has `let`s but no final expression", owner), {}, {}};
    if (minus_at_line_start_) {
      problem.where = cursor_.range(*minus_at_line_start_);
      problem.notes.push_back(
          {fmt::format("a line that begins with `-` continues the line above it, here the value of `{}`",
                       lets.back().name),
           {}});
      problem.help = "if this line is the final expression, put it in parentheses: `(-x)`";
    } else {
      problem.help =
          "a body is `let`s and then one expression, which is its value: `let s = r / y` and below it `x * "
          "s`";
    }
    cursor_.fail(std::move(problem));
  }
  if (none) cursor_.fail_expected(fmt::format("the expression of {}", owner), help, "R113");
  if (!lets.empty() && !token.begins_line)
    cursor_.fail(
        {"R115",
         cursor_.range(token),
         fmt::format("{} cannot follow the value of `{}` on its line", describe(token), lets.back().name),
         {},
         "write the final expression of a body on a line of its own, or an operator if one is missing"});
  result = expression(fmt::format("the expression of {}", owner), help);
}

TermId TermParser::add(Term term) {
  int depth = 0;
  for (const TermId arg : term.args) depth = std::max(depth, depths_[static_cast<std::size_t>(arg)]);
  for (const auto& [key, value] : term.named)
    depth = std::max(depth, depths_[static_cast<std::size_t>(value)]);
  if (depth >= max_term_depth)
    cursor_.fail({"R123",
                  term.where,
                  fmt::format("this expression is more than {} operations deep", max_term_depth),
                  {},
                  "bind parts of it by `let`"});
  terms.push_back(std::move(term));
  depths_.push_back(depth + 1);
  return static_cast<TermId>(terms.size()) - 1;
}

/// Brackets alone make no terms, but their recursion must end too. A bracket passes two functions that count.
void TermParser::check_nesting() {
  if (nesting_ <= 2 * max_term_depth) return;
  cursor_.fail({"R123",
                cursor_.range(cursor_.peek()),
                fmt::format("this expression nests more than {} deep", max_term_depth),
                {},
                "bind parts of it by `let`, or write a `fn` for what repeats"});
}

TermId TermParser::leaf(TermKind kind, const Token& token, std::string name) {
  Term term;
  term.kind = kind;
  term.name = std::move(name);
  term.number = token.number;
  term.where = cursor_.range(token);
  return add(std::move(term));
}

TermId TermParser::infix(int strength) {
  const Within<int> deeper(nesting_, nesting_ + 1);
  check_nesting();
  if (in_pattern_ && strength == loosest && cursor_.at_name() && cursor_.at(":", 1)) return label(false);
  TermId left = prefix(strength);
  while (const Infix* op = infix_at(cursor_)) {
    if (op->strength < strength) break;
    const Token token = cursor_.next();
    if (token.text == "-" && token.begins_line && brackets_ == 0) minus_at_line_start_ = token;
    Term term;
    term.kind = TermKind::call;
    term.name = op->name;
    term.where = cursor_.range(token);
    term.args = {left, infix(op->strength + 1)};
    left = add(std::move(term));
    const Infix* another = infix_at(cursor_);
    if (op->strength == comparison && another != nullptr && another->strength == comparison)
      cursor_.fail({"R119",
                    cursor_.range(cursor_.peek()),
                    fmt::format("comparisons do not chain: `{}` follows `{}`", another->symbol, op->symbol),
                    {},
                    "write `a < b and b < c`"});
  }
  return left;
}

TermId TermParser::prefix(int strength) {
  if (!cursor_.at("not")) return unary();
  const Token token = cursor_.next();
  if (strength > not_)
    cursor_.fail({"R113",
                  cursor_.range(token),
                  "`not` binds more loosely than the operator before it",
                  {},
                  "put it in parentheses: `a == (not b)`"});
  Term term;
  term.kind = TermKind::call;
  term.name = "not";
  term.where = cursor_.range(token);
  term.args = {infix(not_)};
  return add(std::move(term));
}

TermId TermParser::unary() {
  const Within<int> deeper(nesting_, nesting_ + 1);
  check_nesting();
  if (cursor_.at("-")) {
    const Token token = cursor_.next();
    const TermId operand = unary();
    Term& number = terms[static_cast<std::size_t>(operand)];
    if (number.kind == TermKind::number) {
      number.number = -number.number;
      number.where = cursor_.range(token);
      return operand;
    }
    Term term;
    term.kind = TermKind::call;
    term.name = "neg";
    term.where = cursor_.range(token);
    term.args = {operand};
    return add(std::move(term));
  }
  const TermId base = postfix(primary());
  if (!cursor_.at("^")) return base;
  Term term;
  term.kind = TermKind::call;
  term.name = "pow";
  term.where = cursor_.range(cursor_.next());
  term.args = {base, unary()};
  return add(std::move(term));
}

}  // namespace rulegrad::syntax
