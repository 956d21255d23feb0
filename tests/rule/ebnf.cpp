#include "rule/ebnf.hpp"

#include <algorithm>
#include <cctype>
#include <stdexcept>

namespace rulegrad::test {
namespace {

constexpr int unknown_height = 1000;

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> tokens;
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    std::size_t end = i + 1;
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      ++i;
      continue;
    }
    if (c == '"')
      end = text.find('"', i + 1) + 1;
    else if (std::isalpha(static_cast<unsigned char>(c)) != 0)
      while (end < text.size() &&
             (std::isalpha(static_cast<unsigned char>(text[end])) != 0 || text[end] == '_'))
        ++end;
    tokens.emplace_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

}  // namespace

struct Ebnf::Writer {
  std::mt19937_64& random;
  std::string text;
  int names = 0;

  int below(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); }

  /// Mostly names of their own: what bound names mean is not the grammar's business.
  std::string name() { return below(5) == 0 ? (below(2) == 0 ? "x" : "y") : "n" + std::to_string(++names); }

  void put(const std::string& word, bool touches = false) {
    if (!touches && !text.empty() && text.back() != '\n') text += ' ';
    text += word;
  }
};

Ebnf::Ebnf(std::string_view text) : tokens_(split(text)) {
  while (at_ < tokens_.size()) {
    const std::string name = next();
    if (next() != "=") throw std::runtime_error("grammar: expected = behind " + name);
    rules_[name] = choice();
    if (next() != ";") throw std::runtime_error("grammar: expected ; behind the rule of " + name);
  }
  for (const auto& [name, node] : rules_) heights_[name] = unknown_height;
  for (bool changed = true; changed;) {
    changed = false;
    for (const auto& [name, node] : rules_)
      if (const int now = 1 + height(node); now < heights_[name]) {
        heights_[name] = now;
        changed = true;
      }
  }
}

std::string Ebnf::next() {
  return at_ < tokens_.size() ? tokens_[at_++] : std::string();
}

EbnfNode Ebnf::choice() {
  EbnfNode result{EbnfNode::Kind::choice, {}, {sequence()}};
  while (peek() == "|") {
    next();
    result.parts.push_back(sequence());
  }
  return result;
}

EbnfNode Ebnf::sequence() {
  EbnfNode result{EbnfNode::Kind::sequence, {}, {}};
  static const std::set<std::string> ends{"|", ";", ")", "]", "}", ""};
  while (!ends.contains(peek())) result.parts.push_back(atom());
  return result;
}

EbnfNode Ebnf::atom() {
  using Kind = EbnfNode::Kind;
  const std::string token = next();
  if (token == "(" || token == "[" || token == "{") {
    EbnfNode inner = choice();
    if (next() != (token == "(" ? ")" : token == "[" ? "]" : "}"))
      throw std::runtime_error("grammar: unbalanced " + token);
    if (token == "(") return inner;
    return {token == "[" ? Kind::optional : Kind::repeat, {}, {std::move(inner)}};
  }
  if (token.front() == '"') {
    words_.insert(token.substr(1, token.size() - 2));
    return {Kind::word, token.substr(1, token.size() - 2), {}};
  }
  if (std::isupper(static_cast<unsigned char>(token.front())) != 0) return {Kind::terminal, token, {}};
  used_.insert(token);
  return {Kind::rule, token, {}};
}

std::set<std::string> Ebnf::loose_ends() const {
  std::set<std::string> result;
  for (const std::string& name : used_)
    if (!rules_.contains(name)) result.insert(name);
  for (const auto& [name, node] : rules_)
    if (!used_.contains(name) && name != "file") result.insert(name);
  return result;
}

int Ebnf::height(const EbnfNode& node) const {
  using Kind = EbnfNode::Kind;
  int result = 0;
  switch (node.kind) {
    case Kind::word:
    case Kind::terminal:
    case Kind::optional:
    case Kind::repeat:
      return 0;
    case Kind::rule: {
      const auto found = heights_.find(node.text);
      return found == heights_.end() ? unknown_height : found->second;
    }
    case Kind::sequence:
      for (const EbnfNode& part : node.parts) result = std::max(result, height(part));
      return result;
    case Kind::choice:
      result = unknown_height;
      for (const EbnfNode& part : node.parts) result = std::min(result, height(part));
      return result;
  }
  return result;
}

void Ebnf::write(const EbnfNode& node, int depth, Writer& writer) const {
  using Kind = EbnfNode::Kind;
  switch (node.kind) {
    case Kind::word:
      if (node.text == "(.") return writer.put("(", true);
      if (node.text.ends_with("NAME") && node.text.size() == 5)
        return writer.put(node.text[0] + writer.name(), true);
      return writer.put(node.text);
    case Kind::terminal:
      if (node.text == "NAME") return writer.put(writer.name());
      if (node.text == "TEXT") return writer.put("\"layer*\"");
      if (node.text == "NEWLINE") return writer.put("\n", true);
      if (node.text == "NUMBER") {
        static const std::vector<std::string> numbers{"0", "1", "0.25", "1e-7", "inf"};
        return writer.put(numbers[static_cast<std::size_t>(writer.below(5))]);
      }
      throw std::runtime_error("grammar: unknown terminal " + node.text);
    case Kind::rule:
      return write(rules_.at(node.text), depth - 1, writer);
    case Kind::sequence:
      for (const EbnfNode& part : node.parts) write(part, depth, writer);
      return;
    case Kind::choice: {
      std::vector<const EbnfNode*> open;
      const int least = height(node);
      for (const EbnfNode& part : node.parts)
        if (depth > height(part) || height(part) == least) open.push_back(&part);
      return write(*open[static_cast<std::size_t>(writer.below(static_cast<int>(open.size())))], depth,
                   writer);
    }
    case Kind::optional:
      if (depth > height(node.parts[0]) && writer.below(3) == 0) write(node.parts[0], depth, writer);
      return;
    case Kind::repeat:
      while (depth > height(node.parts[0]) && writer.below(3) == 0) write(node.parts[0], depth, writer);
      return;
  }
}

std::string Ebnf::sentence(std::mt19937_64& random, int depth) const {
  Writer writer{random, {}};
  // One item at least: an empty file says little.
  const EbnfNode& file = rules_.at("file").parts.at(0);
  for (const EbnfNode& part : file.parts) {
    write(part, depth, writer);
    if (part.kind == EbnfNode::Kind::repeat) write(part.parts[0], depth, writer);
  }
  return writer.text + '\n';
}

}  // namespace rulegrad::test
