#pragma once

#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

/// The notation of docs/rule-language-grammar.md, and sentences drawn from it.
namespace rulegrad::test {

struct EbnfNode {
  enum class Kind { word, terminal, rule, sequence, choice, optional, repeat } kind = Kind::sequence;
  std::string text;
  std::vector<EbnfNode> parts;
};

class Ebnf {
 public:
  explicit Ebnf(std::string_view text);

  /// A random sentence of `file`; deeper than `depth` the shortest alternatives are taken.
  [[nodiscard]] std::string sentence(std::mt19937_64& random, int depth) const;
  /// The words between quotes.
  [[nodiscard]] const std::set<std::string>& words() const { return words_; }
  /// Names that are used but not defined, or defined but not used.
  [[nodiscard]] std::set<std::string> loose_ends() const;

 private:
  struct Writer;
  EbnfNode choice();
  EbnfNode sequence();
  EbnfNode atom();
  [[nodiscard]] int height(const EbnfNode& node) const;
  void write(const EbnfNode& node, int depth, Writer& writer) const;
  std::string next();
  [[nodiscard]] std::string peek() const { return at_ < tokens_.size() ? tokens_[at_] : std::string(); }

  std::vector<std::string> tokens_;
  std::size_t at_ = 0;
  std::map<std::string, EbnfNode> rules_;
  std::map<std::string, int> heights_;
  std::set<std::string> words_, used_;
};

}  // namespace rulegrad::test
