#include <fmt/format.h>
#include <limits>

#include "rule/term_parser.hpp"
#include "rule/within.hpp"

/// The smallest parts of terms: names, calls, lists, and what follows a name without a space.
namespace rulegrad::syntax {
namespace {

void close(Cursor& cursor, std::string_view bracket, const Token& open, std::string_view what) {
  if (cursor.accept(bracket)) return;
  const Token& found = cursor.peek();
  const std::string help =
      cursor.at("=")
          ? "compare with `==`"
          : fmt::format("close the bracket with `{}`, or put an operator or a comma between two operands",
                        bracket);
  cursor.fail({"R118",
               found.begins_line ? cursor.here() : cursor.range(found),
               fmt::format("expected `,` or `{}` {}, found {}", bracket, what, describe(found)),
               {{fmt::format("the `{}` is here", open.text), cursor.range(open)}},
               help});
}

}  // namespace

void TermParser::fail_missing_expression() {
  const Token& token = cursor_.peek();
  if (cursor_.at("="))
    cursor_.fail({"R113",
                  cursor_.range(token),
                  fmt::format("expected {}, found `=`", what_),
                  {},
                  "compare with `==`"});
  if (cursor_.at("..."))
    cursor_.fail({"R117",
                  cursor_.range(token),
                  "`...` can only be the one operand of a pattern",
                  {},
                  "write `concat(...)` for any operands"});
  if (token.kind == TokenKind::name)
    cursor_.fail(
        {"R124",
         cursor_.range(token),
         fmt::format("expected {}, found `{}`, which is a word of the rule language", what_, token.text),
         {},
         help_});
  cursor_.fail_expected(what_, help_, "R113");
}

void TermParser::forbid_in_pattern(const Token& token, std::string_view what) {
  if (!in_pattern_) return;
  cursor_.fail({"R117",
                cursor_.range(token),
                fmt::format("{} cannot stand in a pattern", what),
                {},
                "patterns are made of operators, classes, variables, labels, numbers, `_` and `...`; "
                "conditions follow in `when`, as in `grad(y: relu(x), g) when depends(x) => g`"});
}

TermId TermParser::primary() {
  const Token token = cursor_.peek();
  switch (token.kind) {
    case TokenKind::number:
      cursor_.next();
      return leaf(TermKind::number, token, {});
    case TokenKind::text:
      forbid_in_pattern(token, "a text");
      cursor_.next();
      return leaf(TermKind::text, token, token.text);
    case TokenKind::name:
      if (token.text == "inf") {
        Token infinity = cursor_.next();
        infinity.number = std::numeric_limits<double>::infinity();
        return leaf(TermKind::number, infinity, {});
      }
      if (is_one_of(token.text, reserved_words)) fail_missing_expression();
      return named(token);
    case TokenKind::symbol:
      if (token.text == "(") {
        cursor_.next();
        const Within<int> inside(brackets_, brackets_ + 1);
        const TermId inner = infix(loosest);
        close(cursor_, ")", token, "here");
        return inner;
      }
      if (token.text == "[") return list();
      fail_missing_expression();
    case TokenKind::end:
      fail_missing_expression();
  }
  fail_missing_expression();
}

TermId TermParser::named(const Token& name) {
  if (in_pattern_ && cursor_.at(":", 1)) return label(true);
  if (name.text == "_") {
    cursor_.next();
    if (!in_pattern_)
      cursor_.fail({"R117",
                    cursor_.range(name),
                    "`_` matches anything in a pattern; it has no value",
                    {},
                    "name the operand in the pattern to use it"});
    return leaf(TermKind::wildcard, name, {});
  }
  const bool same_line = !cursor_.peek(1).begins_line;
  if (same_line && cursor_.at("over", 1) && (cursor_.at_name(2) || is_one_of(name.text, reduction_words)))
    return reduction();
  if (name.text == "per" && same_line && cursor_.at("sample", 1)) {
    cursor_.next();
    cursor_.next();
    return leaf(TermKind::variable, name, "per_sample");
  }
  cursor_.next();
  std::string callee = name.text;
  // A bound name has members; any other point is part of the name, as in patterns, which bind names anew.
  if (in_pattern_ || scope.find(name.text) == nullptr)
    while (cursor_.at(".") && cursor_.peek().touches && cursor_.at_name(1) && cursor_.peek(1).touches) {
      cursor_.next();
      callee += "." + cursor_.next().text;
    }
  const bool opens = cursor_.at("(") && !cursor_.peek().begins_line;
  if (opens && !cursor_.peek().touches)
    cursor_.fail({"R116",
                  cursor_.range(cursor_.peek()),
                  fmt::format("the `(` of a call touches its name; here a space stands behind `{}`", callee),
                  {},
                  fmt::format("write `{}(...)`; if an operator is missing, write it", callee)});
  if (!opens && callee != name.text) forbid_in_pattern(cursor_.previous(), "an attribute");
  TermId result = no_term;
  if (opens) {
    result = call(name, callee, {});
  } else {
    result = leaf(TermKind::variable, name, callee);
    terms[static_cast<std::size_t>(result)].where.length = static_cast<int>(callee.size());
  }
  if (callee == "relevance" && cursor_.at("of") && !cursor_.peek().begins_line) {
    forbid_in_pattern(cursor_.peek(), "`relevance of`");
    cursor_.next();
    const TermId method =
        reference("the name of an analyzer behind `of`", "write `relevance of guided_backprop`");
    Term term = terms[static_cast<std::size_t>(result)];
    term.kind = TermKind::call;
    term.named.emplace_back("of", method);
    result = add(std::move(term));
  }
  return result;
}

TermId TermParser::label(bool operand) {
  const Within<int> deeper(nesting_, nesting_ + 1);
  check_nesting();
  Term term;
  term.kind = TermKind::label;
  const Token token = cursor_.next();
  term.name = token.text;
  term.where = cursor_.range(token);
  if (term.name == "_" || is_one_of(term.name, reserved_words))
    cursor_.fail({"R124",
                  cursor_.range(token),
                  fmt::format("`{}` cannot name an operation", term.name),
                  {},
                  "a label is a name of your own: `y: affine(x)`"});
  cursor_.next();
  term.args = {operand ? postfix(primary()) : infix(loosest)};
  return add(std::move(term));
}

TermId TermParser::reduction() {
  constexpr std::string_view help = "write `sum over t (q * relevance)`";
  const Token name = cursor_.peek();
  forbid_in_pattern(name, "a reduction over samples");
  if (!is_one_of(name.text, reduction_words))
    cursor_.fail(
        {"R126",
         cursor_.range(name),
         fmt::format("`{}` is no reduction over samples; these are sum, mean, var, max and stack", name.text),
         {},
         std::string(help)});
  Term term;
  term.kind = TermKind::reduce;
  term.name = name.text;
  term.where = cursor_.range(name);
  cursor_.next();
  cursor_.next();
  term.key = cursor_.expect_name("the sample variable behind `over`", help).text;
  const Token open = cursor_.expect("(", fmt::format("behind `{} over {}`", term.name, term.key), help);
  const Within<int> inside(brackets_, brackets_ + 1);
  term.args = {infix(loosest)};
  close(cursor_, ")", open, "here");
  return add(std::move(term));
}

TermId TermParser::list() {
  forbid_in_pattern(cursor_.peek(), "a list");
  Term term;
  term.kind = TermKind::list;
  const Token open = cursor_.next();
  term.where = cursor_.range(open);
  const Within<int> inside(brackets_, brackets_ + 1);
  if (cursor_.accept("]")) return add(std::move(term));
  do term.args.push_back(argument());
  while (cursor_.accept(","));
  close(cursor_, "]", open, "in the list");
  return add(std::move(term));
}

TermId TermParser::argument() {
  const TermId first = infix(loosest);
  if (!cursor_.at("..")) return first;
  forbid_in_pattern(cursor_.peek(), "a range");
  Term term;
  term.kind = TermKind::call;
  term.name = "range";
  term.where = cursor_.range(cursor_.next());
  term.args = {first, infix(loosest)};
  return add(std::move(term));
}

void TermParser::arguments(Term& call) {
  const Token open = cursor_.next();
  const Within<int> inside(brackets_, brackets_ + 1);
  if (cursor_.accept(")")) return;
  const Within<std::string> for_messages(what_, fmt::format("an argument of `{}`", call.name)),
      for_help(help_, "arguments are separated by single commas: `max(g, 0)`");
  do {
    const Token token = cursor_.peek();
    if (cursor_.at("...") && call.args.empty() && call.named.empty()) {
      if (!in_pattern_)
        cursor_.fail({"R117",
                      cursor_.range(token),
                      "`...` stands for any operands of a pattern; it has no value",
                      {},
                      "to pass on all attributes of `y`, write `..y`"});
      cursor_.next();
      call.args.push_back(leaf(TermKind::ellipsis, token, {}));
    } else if (cursor_.at("..")) {
      forbid_in_pattern(token, "`..`");
      cursor_.next();
      const Token& name = cursor_.expect_name("the name of an operation behind `..`",
                                              "write `conv(x, w, b, ..y)`: all attributes of `y`");
      call.args.push_back(leaf(TermKind::spread, name, name.text));
    } else if (cursor_.at_name() && cursor_.at("=", 1)) {
      cursor_.next();
      cursor_.next();
      for (const auto& [key, value] : call.named)
        if (key == token.text)
          cursor_.fail({"R122",
                        cursor_.range(token),
                        fmt::format("`{}` is given twice", key),
                        {},
                        "leave one of them out"});
      const Within<bool> as_value(in_pattern_, false);
      const TermId value = argument();
      call.named.emplace_back(token.text, value);
    } else {
      if (!call.args.empty() && terms[static_cast<std::size_t>(call.args[0])].kind == TermKind::ellipsis)
        cursor_.fail({"R117",
                      cursor_.range(token),
                      "`...` stands for all operands, but another one follows it",
                      {},
                      "leave the operands at the end out: `conv(x)` matches whatever its weights are"});
      if (!call.named.empty())
        cursor_.fail(
            {"R125",
             cursor_.range(token),
             fmt::format("an argument without a name stands behind `{} = ...`", call.named.back().first),
             {},
             "arguments with names stand last: `softmax(x, axis = 1)`"});
      call.args.push_back(argument());
    }
  } while (cursor_.accept(","));
  close(cursor_, ")", open, fmt::format("in the arguments of `{}`", call.name));
}

TermId TermParser::call(const Token& name, std::string callee, std::vector<TermId> receiver) {
  Term term;
  term.kind = TermKind::call;
  term.name = std::move(callee);
  term.where = cursor_.range(name);
  term.where.length = static_cast<int>(term.name.size());
  arguments(term);
  term.args.insert(term.args.begin(), receiver.begin(), receiver.end());
  if (const Binding* bound = in_pattern_ ? nullptr : scope.find(term.name);
      bound != nullptr && *bound != Binding::callable) {
    check_callee(name, term);
    if (term.args.empty()) term.kind = TermKind::replace;
  }
  return add(std::move(term));
}

void TermParser::check_callee(const Token& name, const Term& call) {
  const bool mixed = !call.args.empty() && (*scope.find(call.name) == Binding::label || !call.named.empty());
  if (!mixed && !(call.args.empty() && call.named.empty())) return;
  cursor_.fail(
      {"R125",
       cursor_.range(name),
       fmt::format("`{}` names an operation, so the operands it gets instead are given by name", call.name),
       {},
       fmt::format("write `{}(x = clip_pos(x), w = clip_pos(w))`", call.name)});
}

TermId TermParser::postfix(TermId base) {
  while (!cursor_.peek().begins_line && cursor_.peek().touches) {
    const Token token = cursor_.peek();
    if (token.text == "@" && token.kind == TokenKind::symbol) {
      forbid_in_pattern(token, "a value in another world");
      cursor_.next();
      Term term;
      term.kind = TermKind::world;
      const Token& world = cursor_.expect_name(
          "the name of a world behind `@`", "write `x@base`, with `point base: input = 0` in the analyzer");
      term.name = world.text;
      term.where = cursor_.range(world);
      term.args = {base};
      base = add(std::move(term));
    } else if (token.text == "." && token.kind == TokenKind::symbol) {
      forbid_in_pattern(token, "an attribute");
      cursor_.next();
      if (!cursor_.at_name() || !cursor_.peek().touches)
        cursor_.fail_expected("the name of an attribute or an operand right behind `.`",
                              "write `y.axis` or `y.w`");
      const Token name = cursor_.next();
      if (cursor_.at("(") && cursor_.peek().touches) {
        if (scope.find(name.text) != nullptr)
          cursor_.fail({"R125",
                        cursor_.range(name),
                        fmt::format("`{}` is bound here, so it is no function of `.`", name.text),
                        {},
                        "rename the binding"});
        base = call(name, name.text, {base});
        continue;
      }
      const Term& of = terms[static_cast<std::size_t>(base)];
      if (of.kind == TermKind::variable && scope.find(of.name) == nullptr)
        cursor_.fail({"R127",
                      cursor_.range(name),
                      fmt::format("`{}` is not bound here, so it has no attribute `{}`", of.name, name.text),
                      {},
                      "attributes belong to operations that the pattern names: `grad(y: softmax(x), g) => "
                      "sum(g, y.axis)`"});
      Term term;
      term.kind = TermKind::member;
      term.name = name.text;
      term.where = cursor_.range(name);
      term.args = {base};
      base = add(std::move(term));
    } else {
      break;
    }
  }
  return base;
}

}  // namespace rulegrad::syntax
