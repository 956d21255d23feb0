#include "rule/lexer.hpp"

#include <array>
#include <charconv>
#include <fmt/format.h>
#include <limits>

namespace rulegrad::syntax {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool begins_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
bool continues_name(char c) {
  return begins_name(c) || is_digit(c);
}
bool starts_code_point(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
}

/// Longest first.
constexpr std::array<std::string_view, 25> symbols{"...", "=>", "==", "!=", "<=", ">=", "..", "(", ")",
                                                   "[",   "]",  "{",  "}",  ",",  ":",  "=",  "<", ">",
                                                   "+",   "-",  "*",  "/",  "^",  ".",  "@"};

struct Foreign {
  std::string_view spelling;
  std::string_view ours;  ///< empty: left out
  std::string_view help;
};

constexpr std::array<Foreign, 8> foreign_spellings{{
    {"->", "=>", "a rule reads `grad(relu(x), g) => g`"},
    {"&&", "and", "conditions are joined by `and`, `or` and `not`"},
    {"||", "or", "conditions are joined by `and`, `or` and `not`"},
    {"**", "^", "powers are written `x ^ 2`"},
    {"//", "", "comments begin with `#`"},
    {":=", "=", "names are bound by `let s = r / y`"},
    {";", "", "a new line ends an expression; several `let`s may share a line"},
    {"!", "not", "conditions are negated by `not`, as in `when not depends(b)`"},
}};

class Lexer {
 public:
  Lexer(std::string_view text, const std::string& path, std::vector<Diagnostic>& problems)
      : text_(text), path_(path), problems_(problems) {
    if (text_.starts_with("\xEF\xBB\xBF")) text_.remove_prefix(3);
  }

  std::vector<Token> run() {
    while (true) {
      const bool spaced = skip_space();
      token_ = Token{};
      token_.line = line_;
      token_.column = column_;
      token_.begins_line = line_begins_;
      token_.touches = !spaced && !line_begins_;
      if (line_begins_) token_.doc = take_doc();
      if (at_ == text_.size()) break;
      const std::size_t before = tokens_.size();
      read_token();
      // A character that was left out must not hide that the next token begins the line.
      if (tokens_.size() != before) line_begins_ = false;
    }
    tokens_.push_back(std::move(token_));
    return std::move(tokens_);
  }

 private:
  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  /// Does a point here belong to what stands before it?
  [[nodiscard]] bool follows_operand() const {
    const char before = at_ == 0 ? ' ' : text_[at_ - 1];
    return continues_name(before) || before == ')' || before == ']' || before == '.';
  }

  void advance(std::size_t bytes = 1) {
    for (; bytes > 0 && at_ < text_.size(); --bytes, ++at_)
      if (at_ + 1 == text_.size() || starts_code_point(text_[at_ + 1])) ++column_;
  }

  void new_line() {
    ++at_;
    ++line_;
    column_ = 1;
    line_begins_ = true;
  }

  /// Spaces, line ends and comments; true if there was any.
  bool skip_space() {
    const std::size_t start = at_;
    bool blank = false;
    while (at_ < text_.size()) {
      const char c = peek();
      if (c == '\n') {
        if (blank && line_begins_) doc_.clear();
        blank = true;
        new_line();
      } else if (c == ' ' || c == '\t' || c == '\r') {
        advance();
      } else if (c == '#') {
        comment();
        blank = false;
      } else {
        break;
      }
    }
    return at_ != start;
  }

  void comment() {
    const std::size_t end = std::min(text_.find('\n', at_), text_.size());
    std::string_view line = text_.substr(at_ + 1, end - at_ - 1);
    if (line.starts_with(' ')) line.remove_prefix(1);
    while (line.ends_with(' ') || line.ends_with('\t') || line.ends_with('\r')) line.remove_suffix(1);
    // Comments behind code say something about that line, not about the next item.
    if (line_begins_) doc_.emplace_back(line);
    advance(end - at_);
  }

  std::string take_doc() {
    std::string doc;
    for (std::size_t i = 0; i < doc_.size(); ++i) doc += (i == 0 ? "" : "\n") + doc_[i];
    doc_.clear();
    return doc;
  }

  void finish(TokenKind kind, std::string text) {
    token_.kind = kind;
    token_.text = std::move(text);
    token_.length = line_ == token_.line ? column_ - token_.column : 1;
    tokens_.push_back(token_);
  }

  void report(std::string code, std::string message, std::string help) {
    problems_.push_back({std::move(code),
                         {path_, token_.line, token_.column, std::max(column_ - token_.column, 1)},
                         std::move(message),
                         {},
                         std::move(help)});
  }

  void read_token() {
    const char c = peek();
    if (begins_name(c)) {
      const std::size_t start = at_;
      while (continues_name(peek())) advance();
      return finish(TokenKind::name, std::string(text_.substr(start, at_ - start)));
    }
    if (is_digit(c) || (c == '.' && is_digit(peek(1)) && !follows_operand())) return number();
    if (c == '"') return text();
    for (const Foreign& foreign : foreign_spellings) {
      if (!text_.substr(at_).starts_with(foreign.spelling) || text_.substr(at_).starts_with("!=")) continue;
      advance(foreign.spelling.size());
      report("R101", fmt::format("`{}` does not belong to the rule language", foreign.spelling),
             std::string(foreign.help));
      if (foreign.spelling == "//") advance(std::min(text_.find('\n', at_), text_.size()) - at_);
      const bool word = !foreign.ours.empty() && begins_name(foreign.ours[0]);
      if (!foreign.ours.empty())
        finish(word ? TokenKind::name : TokenKind::symbol, std::string(foreign.ours));
      return;
    }
    for (const std::string_view symbol : symbols) {
      if (!text_.substr(at_).starts_with(symbol)) continue;
      advance(symbol.size());
      return finish(TokenKind::symbol, std::string(symbol));
    }
    unknown();
  }

  void number() {
    const std::size_t start = at_;
    const bool bare_point = peek() == '.';
    while (is_digit(peek())) advance();
    if (peek() == '.' && is_digit(peek(1))) {
      advance();
      while (is_digit(peek())) advance();
    }
    const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
    if ((peek() == 'e' || peek() == 'E') && is_digit(peek(sign))) {
      advance(sign);
      while (is_digit(peek())) advance();
    }
    const std::string written(text_.substr(start, at_ - start));
    if (bare_point)
      report("R102", fmt::format("the number `{}` begins with its point", written),
             fmt::format("write `0{}`", written));
    const auto [end, problem] =
        std::from_chars(written.data(), written.data() + written.size(), token_.number);
    if (problem == std::errc::result_out_of_range)
      report("R102", fmt::format("the number `{}` does not fit a double", written),
             "write `inf` for infinity");
    if (begins_name(peek())) {
      const std::size_t rest = at_;
      while (continues_name(peek())) advance();
      const std::string tail(text_.substr(rest, at_ - rest));
      report("R102", fmt::format("the number `{}` runs into the name `{}`", written, tail),
             fmt::format("write `{} * {}` for the product", written, tail));
    }
    finish(TokenKind::number, written);
  }

  void text() {
    std::string value;
    advance();
    while (at_ < text_.size() && peek() != '"' && peek() != '\n') {
      char c = peek();
      if (c == '\\') {
        advance();
        const std::string_view escaped = "\"\\nt", meant = "\"\\\n\t";
        const std::size_t which = at_ < text_.size() ? escaped.find(peek()) : std::string_view::npos;
        if (which == std::string_view::npos) {
          report("R103", "this text holds an unknown escape", R"(texts know \" \\ \n and \t)");
          continue;
        }
        c = meant[which];
      }
      value += c;
      advance();
    }
    if (peek() == '"')
      advance();
    else
      report("R103", "this text does not end on its line", R"(close it with `"`, as in `name("layer4.*")`)");
    finish(TokenKind::text, std::move(value));
  }

  void unknown() {
    const std::size_t start = at_;
    do advance();
    while (at_ < text_.size() && !starts_code_point(text_[at_]));
    const std::string_view written = text_.substr(start, at_ - start);
    const bool printable = written.size() > 1 || (written[0] > ' ' && written[0] < '\x7f');
    const bool quote = written == "'" || written == "`";
    report("R101",
           printable
               ? fmt::format("the character `{}` has no meaning in rules", written)
               : fmt::format("the byte {} has no meaning in rules", static_cast<unsigned char>(written[0])),
           quote
               ? R"(texts stand in double quotes: name("layer4.*"))"
               : "names are made of letters, digits and `_`; everything else belongs into comments or texts");
  }

  std::string_view text_;
  const std::string& path_;
  std::vector<Diagnostic>& problems_;
  std::size_t at_ = 0;
  int line_ = 1, column_ = 1;
  bool line_begins_ = true;
  std::vector<std::string> doc_;
  Token token_;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view text, const std::string& path,
                            std::vector<Diagnostic>& problems) {
  return Lexer(text, path, problems).run();
}

}  // namespace rulegrad::syntax
