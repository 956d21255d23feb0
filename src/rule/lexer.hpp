#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/rule/diagnostic.hpp"

namespace rulegrad::syntax {

enum class TokenKind { name, number, text, symbol, end };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string text;  ///< the name, the symbol, the value of a text, or a number as written
  double number = 0;
  int line = 1;
  int column = 1;
  int length = 0;
  bool begins_line = false;  ///< the first token of its line
  bool touches = false;      ///< no space between it and the token before
  std::string doc;           ///< of a token that begins a line: the comment block right above
};

/// Splits a rule file into tokens; the last one is `end`. Characters that belong to no token are reported and
/// left out, spellings of other languages (`->`, `&&`, ...) are reported and read as what they mean.
[[nodiscard]] std::vector<Token> tokenize(std::string_view text, const std::string& path,
                                          std::vector<Diagnostic>& problems);

}  // namespace rulegrad::syntax
