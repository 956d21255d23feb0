#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rule/lexer.hpp"

namespace rulegrad::syntax {

/// Thrown once a problem is recorded; caught where parsing can go on, at the next item or statement.
struct SyntaxFailure {};

/// `the name` for messages: `x`, the number 3, the end of the file.
[[nodiscard]] std::string describe(const Token& token);

/// The tokens of a file and the problems found in it so far.
class Cursor {
 public:
  Cursor(std::string_view text, std::string path);

  [[nodiscard]] const Token& peek(std::size_t ahead = 0) const;
  [[nodiscard]] const Token& previous() const { return tokens_[at_ == 0 ? 0 : at_ - 1]; }
  /// Is the token a symbol or a name of this spelling?
  [[nodiscard]] bool at(std::string_view spelling, std::size_t ahead = 0) const;
  [[nodiscard]] bool at_name(std::size_t ahead = 0) const { return peek(ahead).kind == TokenKind::name; }
  [[nodiscard]] bool at_end() const { return peek().kind == TokenKind::end; }
  [[nodiscard]] std::size_t position() const { return at_; }

  const Token& next();
  bool accept(std::string_view spelling);
  /// The next token, which must have this spelling; `context` ends "expected `x` ...", `help` shows the right
  /// form.
  const Token& expect(std::string_view spelling, std::string_view context, std::string_view help);
  /// A name that is not a reserved word; `what` says whose: "the name of the rule set".
  const Token& expect_name(std::string_view what, std::string_view help);
  /// `name` or `lrp.epsilon`, without spaces.
  std::string expect_dotted_name(std::string_view what, std::string_view help);

  [[nodiscard]] SourceRange range(const Token& token) const;
  /// Just behind the last token that was read: where something is missing.
  [[nodiscard]] SourceRange here() const;

  /// Records a problem unless its line has one already: what follows from a mistake is no second mistake.
  void report(Diagnostic problem);
  [[noreturn]] void fail(Diagnostic problem);
  /// "expected ..., found ..." at the next token.
  [[noreturn]] void fail_expected(std::string_view expected, std::string_view help,
                                  std::string_view code = "R112");

  [[nodiscard]] bool too_many_problems() const { return problems_.size() >= 20; }
  [[nodiscard]] std::vector<Diagnostic> take_problems();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::vector<Diagnostic> problems_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
};

}  // namespace rulegrad::syntax
