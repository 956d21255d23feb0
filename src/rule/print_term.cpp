#include "rule/print_term.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "support/text.hpp"

namespace rulegrad {
namespace syntax {
namespace {

/// A call of `count` operands that an operator could take: no names, no `..y`, no `...`.
bool has_operands(const Terms& terms, const Term& term, std::size_t count) {
  if (term.kind != TermKind::call || term.args.size() != count || !term.named.empty()) return false;
  return std::none_of(term.args.begin(), term.args.end(), [&](TermId arg) {
    const TermKind kind = terms[static_cast<std::size_t>(arg)].kind;
    return kind == TermKind::spread || kind == TermKind::ellipsis;
  });
}

const Infix* infix_of(const Terms& terms, const Term& term) {
  if (!has_operands(terms, term, 2)) return nullptr;
  for (const Infix& op : infix_operators)
    if (op.name == term.name) return &op;
  return nullptr;
}

class TermPrinter {
 public:
  explicit TermPrinter(const Terms& terms) : terms_(terms) {}

  /// Text that an operator of this strength may take as an operand.
  std::string operand(TermId id, int strength) const {
    const auto [text, own] = plain(id);
    return own >= strength ? text : fmt::format("({})", text);
  }

  std::string reference(TermId id) const {
    const Term& term = at(id);
    return term.kind == TermKind::call ? fmt::format("{}({})", term.name, arguments(term))
                                       : operand(id, postfix);
  }

  std::string argument(TermId id) const {
    const Term& term = at(id);
    const bool range = term.name == "range" && has_operands(terms_, term, 2);
    return range ? fmt::format("{}..{}", operand(term.args[0], loosest), operand(term.args[1], loosest))
                 : operand(id, loosest);
  }

 private:
  struct Printed {
    std::string text;
    int strength;
  };

  const Term& at(TermId id) const { return terms_[static_cast<std::size_t>(id)]; }

  std::string arguments(const Term& term) const {
    std::string result;
    const auto comma = [&] { return result.empty() ? "" : ", "; };
    for (const TermId arg : term.args) {
      const std::string separator = comma();
      result += separator + argument(arg);
    }
    for (const auto& [key, value] : term.named) {
      const std::string separator = comma();
      result += fmt::format("{}{} = {}", separator, key, argument(value));
    }
    return result;
  }

  Printed plain(TermId id) const {
    const Term& term = at(id);
    switch (term.kind) {
      case TermKind::variable:
        return {term.name == "per_sample" ? "per sample" : term.name, postfix};
      case TermKind::wildcard:
        return {"_", postfix};
      case TermKind::ellipsis:
        return {"...", postfix};
      // A point behind a number would belong to it.
      case TermKind::number:
        return {shortest(term.number), shortest(term.number)[0] == '-' ? minus : power};
      case TermKind::text:
        return {quoted(term.name), postfix};
      case TermKind::list:
        return {fmt::format("[{}]", arguments(term)), postfix};
      case TermKind::call:
        return call(term);
      case TermKind::label:
        return {fmt::format("{}: {}", term.name, operand(term.args[0], loosest)), loosest};
      case TermKind::member:
        return {fmt::format("{}.{}", operand(term.args[0], postfix), term.name), postfix};
      case TermKind::replace:
        return {fmt::format("{}({})", term.name, arguments(term)), postfix};
      case TermKind::spread:
        return {".." + term.name, postfix};
      case TermKind::world:
        return {fmt::format("{}@{}", operand(term.args[0], postfix), term.name), postfix};
      // In parentheses beside operators: readers should not have to know where it ends.
      case TermKind::reduce:
        return {fmt::format("{} over {} ({})", term.name, term.key, operand(term.args[0], loosest)), or_};
    }
    return {};
  }

  Printed call(const Term& term) const {
    if (const Infix* op = infix_of(terms_, term)) {
      const int left = op->strength == comparison ? op->strength + 1 : static_cast<int>(op->strength);
      return {fmt::format("{} {} {}", operand(term.args[0], left), op->symbol,
                          right_operand(term.args[1], op->strength + 1)),
              op->strength};
    }
    if (has_operands(terms_, term, 1)) {
      if (term.name == "not") return {"not " + operand(term.args[0], not_), not_};
      // `-2` is the number.
      if (term.name == "neg" && at(term.args[0]).kind != TermKind::number)
        return {"-" + operand(term.args[0], minus), minus};
    }
    if (term.name == "pow" && has_operands(terms_, term, 2))
      return {fmt::format("{} ^ {}", power_base(term.args[0]), operand(term.args[1], minus)), power};
    if (term.name == "relevance" && term.named.size() == 1 && term.named[0].first == "of") {
      const Term& method = at(term.named[0].second);
      Term without_method = term;
      without_method.named.clear();
      const std::string node = term.args.empty() ? "" : fmt::format("({})", arguments(without_method));
      if (method.kind == TermKind::variable || method.kind == TermKind::call)
        return {fmt::format("relevance{} of {}", node, reference(term.named[0].second)), or_};
    }
    return {fmt::format("{}({})", term.name, arguments(term)), postfix};
  }

  std::string power_base(TermId id) const {
    const Term& term = at(id);
    return term.kind == TermKind::number ? operand(id, power) : operand(id, postfix);
  }

  /// A label may stand behind an operator when it names one operand.
  std::string right_operand(TermId id, int strength) const {
    const Term& term = at(id);
    if (term.kind == TermKind::label) {
      const auto [text, own] = plain(term.args[0]);
      if (own == postfix) return fmt::format("{}: {}", term.name, text);
    }
    return operand(id, strength);
  }

  const Terms& terms_;
};

/// The operands of the sum or condition that `id` is the last operator of, from left to right.
void flatten(const Terms& terms, TermId id, Strength strength,
             std::vector<std::pair<std::string_view, TermId>>& parts) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  const Infix* op = infix_of(terms, term);
  if (op == nullptr || op->strength != strength) {
    parts.emplace_back("", id);
    return;
  }
  flatten(terms, term.args[0], strength, parts);
  parts.emplace_back(op->symbol, term.args[1]);
}

}  // namespace

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n')
      result += "\\n";
    else if (c == '\t')
      result += "\\t";
    else
      result += c;
  }
  return result + '"';
}

std::string term_text(const Terms& terms, TermId id, int strength) {
  return TermPrinter(terms).operand(id, strength);
}

std::string reference_text(const Terms& terms, TermId id) {
  return TermPrinter(terms).reference(id);
}

std::string expression_text(const Terms& terms, TermId id, std::size_t column, std::size_t indent) {
  std::string text = term_text(terms, id, loosest);
  const Infix* op = infix_of(terms, terms[static_cast<std::size_t>(id)]);
  if (column + text.size() <= line_width || op == nullptr ||
      (op->strength != sum && op->strength != or_ && op->strength != and_))
    return text;
  std::vector<std::pair<std::string_view, TermId>> parts;
  flatten(terms, id, op->strength, parts);
  text.clear();
  for (const auto& [symbol, part] : parts) {
    if (!symbol.empty()) text += fmt::format(" {}\n{:{}}", symbol, "", indent);
    text += term_text(terms, part, symbol.empty() ? static_cast<int>(op->strength) : op->strength + 1);
  }
  return text;
}

}  // namespace syntax

std::string print_term(const Terms& terms, TermId term) {
  return syntax::TermPrinter(terms).argument(term);
}

}  // namespace rulegrad
