#include "rule/cursor.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <tuple>

#include "rule/syntax_words.hpp"

namespace rulegrad::syntax {

std::string describe(const Token& token) {
  switch (token.kind) {
    case TokenKind::name:
      return fmt::format("`{}`", token.text);
    case TokenKind::number:
      return fmt::format("the number `{}`", token.text);
    case TokenKind::text:
      return fmt::format("the text \"{}\"", token.text);
    case TokenKind::symbol:
      return fmt::format("`{}`", token.text);
    case TokenKind::end:
      break;
  }
  return "the end of the file";
}

Cursor::Cursor(std::string_view text, std::string path)
    : path_(std::move(path)), tokens_(tokenize(text, path_, problems_)) {}

const Token& Cursor::peek(std::size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

bool Cursor::at(std::string_view spelling, std::size_t ahead) const {
  const Token& token = peek(ahead);
  return (token.kind == TokenKind::symbol || token.kind == TokenKind::name) && token.text == spelling;
}

const Token& Cursor::next() {
  const Token& token = peek();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool Cursor::accept(std::string_view spelling) {
  if (!at(spelling)) return false;
  next();
  return true;
}

const Token& Cursor::expect(std::string_view spelling, std::string_view context, std::string_view help) {
  if (!at(spelling)) fail_expected(fmt::format("`{}` {}", spelling, context), help);
  return next();
}

const Token& Cursor::expect_name(std::string_view what, std::string_view help) {
  if (!at_name()) fail_expected(what, help);
  const bool reserved = is_one_of(peek().text, reserved_words);
  if (reserved && peek().begins_line) fail_expected(what, help);
  if (reserved)
    fail({"R124",
          range(peek()),
          fmt::format("expected {}, found `{}`, which is a word of the rule language", what, peek().text),
          {},
          std::string(help)});
  return next();
}

std::string Cursor::expect_dotted_name(std::string_view what, std::string_view help) {
  std::string name = expect_name(what, help).text;
  while (at(".") && peek().touches && at_name(1) && peek(1).touches) {
    next();
    name += "." + next().text;
  }
  return name;
}

SourceRange Cursor::range(const Token& token) const {
  return {path_, token.line, token.column, token.length};
}

SourceRange Cursor::here() const {
  const Token& last = previous();
  return {path_, last.line, last.column + last.length, 1};
}

void Cursor::report(Diagnostic problem) {
  for (const Diagnostic& other : problems_)
    if (other.where.line == problem.where.line) return;
  problems_.push_back(std::move(problem));
}

void Cursor::fail(Diagnostic problem) {
  report(std::move(problem));
  throw SyntaxFailure{};
}

void Cursor::fail_expected(std::string_view expected, std::string_view help, std::string_view code) {
  const Token& found = peek();
  // What is missing at the end of a line is missing there, not at whatever comes lines later.
  const bool later = found.begins_line && at_ > 0;
  fail({std::string(code),
        later ? here() : range(found),
        fmt::format("expected {}, found {}", expected,
                    later && found.kind != TokenKind::end
                        ? fmt::format("the end of the line and then {}", describe(found))
                        : describe(found)),
        {},
        std::string(help)});
}

std::vector<Diagnostic> Cursor::take_problems() {
  const auto place = [](const Diagnostic& d) { return std::tuple(d.where.line, d.where.column); };
  std::stable_sort(problems_.begin(), problems_.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });
  return std::move(problems_);
}

}  // namespace rulegrad::syntax
