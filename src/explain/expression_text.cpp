#include "explain/expression_text.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "expr/walk.hpp"
#include "rule/print_term.hpp"
#include "support/number.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::size_t comment_column = 60;

bool is_word(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto inner = [&](char c) { return letter(c) || (c >= '0' && c <= '9') || c == '.'; };
  return !name.empty() && letter(name[0]) && std::all_of(name.begin(), name.end(), inner);
}

/// Strides and dilations of 1 and paddings of 0 say nothing.
bool is_neutral(const std::string& field, const AttrValue& value) {
  const auto* numbers = std::get_if<Ints>(&value);
  if (numbers == nullptr) return false;
  const bool counts = field == "strides" || field == "dilations", pads = field.starts_with("pads");
  return (counts || pads) &&
         std::all_of(numbers->begin(), numbers->end(), [&](std::int64_t n) { return n == (counts ? 1 : 0); });
}

/// Operators that the language writes as its own words.
std::string word_of(const std::string& op) {
  if (op == "logical_and") return "and";
  if (op == "logical_or") return "or";
  if (op == "logical_not") return "not";
  return op;
}

}  // namespace

std::string number_text(Expr expr) {
  const auto number = number_everywhere(expr);
  if (!number) return {};
  return expr.dtype() == DType::float32 ? fmt::format("{}", static_cast<float>(*number)) : shortest(*number);
}

void ExpressionWriter::name(Expr expr, std::string name) {
  names_.emplace(expr, std::move(name));
}
void ExpressionWriter::suggest(Expr expr, std::string name) {
  suggested_.emplace(expr, std::move(name));
}
void ExpressionWriter::set_operation(Expr operation, std::string name) {
  operation_ = operation;
  operation_name_ = std::move(name);
}

class ExpressionWriting {
 public:
  ExpressionWriting(const ExpressionWriter& writer, Expr root) : writer_(writer) {
    count(root);
    for (const auto& [expr, name] : writer.names_) taken_.push_back(name);
  }

  std::string lines(Expr root, std::size_t indent) {
    const TermId result = whole(root);
    std::string text;
    const auto add = [&](const std::string& head, TermId term, Expr expr) {
      const std::string line = fmt::format("{:{}}{}", "", indent, head) +
                               syntax::expression_text(terms_, term, indent + head.size(), indent + 4);
      const std::size_t last =
          line.rfind('\n') == std::string::npos ? line.size() : line.size() - line.rfind('\n') - 1;
      text += line + std::string(last < comment_column ? comment_column - last : 2, ' ') + "# " +
              to_string(expr.type()) + '\n';
    };
    for (const auto& [name, term, expr] : lets_) add(fmt::format("let {} = ", name), term, expr);
    add("", result, root);
    return text;
  }

 private:
  struct LetLine {
    std::string name;
    TermId term;
    Expr expr;
  };

  bool is_leaf(Expr expr) const { return writer_.names_.contains(expr) || expr.operands().empty(); }

  void count(Expr root) {
    ++uses_[root];
    for_each_below(
        root, [](Expr) { return true; },
        [&](Expr expr) {
          if (is_leaf(expr)) return false;
          for (const Expr operand : expr.operands()) ++uses_[operand];
          return true;
        });
  }

  TermId add(Term term) {
    terms_.push_back(std::move(term));
    return static_cast<TermId>(terms_.size() - 1);
  }

  TermId variable(const std::string& name) {
    Term term;
    term.kind = is_word(name) ? TermKind::variable : TermKind::text;
    term.name = name;
    return add(std::move(term));
  }

  /// The expression as a reader meets it: by name, through a `let`, or in place.
  TermId term_of(Expr expr) {
    if (const auto found = writer_.names_.find(expr); found != writer_.names_.end())
      return variable(found->second);
    if (const std::string number = number_text(expr);
        !number.empty() && (expr.shape().rank() == 0 || fill_of(expr)))
      return number_term(expr);
    if (expr.operands().empty()) return leaf(expr);
    const auto suggested = writer_.suggested_.find(expr);
    if (uses_[expr] < 2 && suggested == writer_.suggested_.end()) return whole(expr);
    const auto known = let_names_.find(expr);
    if (known != let_names_.end()) return variable(known->second);
    const TermId value = whole(expr);
    std::string name = suggested != writer_.suggested_.end() ? suggested->second : std::string();
    while (name.empty() || std::find(taken_.begin(), taken_.end(), name) != taken_.end())
      name = fmt::format("t{}", ++made_);
    taken_.push_back(name);
    let_names_.emplace(expr, name);
    lets_.push_back({name, value, expr});
    return variable(name);
  }

  TermId number_term(Expr expr) {
    Term term;
    term.kind = TermKind::number;
    term.number = number_from(number_text(expr));  // float32 numbers in as few digits as they need
    return add(std::move(term));
  }

  TermId leaf(Expr expr) {
    const std::vector<std::string> names = expr.graph().names(expr);
    return variable(names.empty() ? expr.op().name : names.front());
  }

  /// The expression itself, operands as a reader meets them.
  TermId whole(Expr expr) {
    if (is_leaf(expr)) return term_of(expr);
    if (const TermId replaced = as_replacement(expr); replaced != no_term) return replaced;
    Term term;
    term.kind = TermKind::call;
    term.name = word_of(expr.op().name);
    const auto absent = [&](std::size_t i) {
      return expr.op().operand(i).optional && is_zero(expr.operand(i)) && i + 1 == expr.operands().size();
    };
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(i)) term.args.push_back(term_of(expr.operand(i)));
    if (!expr.is("vjp") && !expr.is("grad")) add_attributes(expr, term);
    return add(std::move(term));
  }

  TermId as_replacement(Expr expr) {
    const Expr base = writer_.operation_;
    if (!base || &expr.op() != &base.op() || expr.operands().size() != base.operands().size() ||
        !(expr.attributes() == base.attributes()) || expr.op().is(OpClass::elementwise) ||
        expr.op().variadic())
      return no_term;
    Term term;
    term.kind = TermKind::replace;
    term.name = writer_.operation_name_;
    for (std::size_t i = 0; i < expr.operands().size(); ++i) {
      if (expr.operand(i) == base.operand(i)) continue;
      term.named.emplace_back(expr.op().operand(i).name, term_of(expr.operand(i)));
    }
    return add(std::move(term));
  }

  void add_attributes(Expr expr, Term& term) {
    const AttrType& type = expr.attributes().type();
    for (std::size_t field = 0; field < type.fields.size(); ++field) {
      const AttrValue value = expr.attributes().get(type.fields[field]);
      if (equal(value, type.get(type.defaults.get(), field)) || is_neutral(type.fields[field], value))
        continue;
      // Attribute values are written as the graph's printer writes them, which is not always a term of the
      // language.
      Term text;
      text.kind = TermKind::variable;
      text.name = to_string(value);
      term.named.emplace_back(type.fields[field], add(std::move(text)));
    }
  }

  const ExpressionWriter& writer_;
  Terms terms_;
  std::unordered_map<Expr, std::size_t> uses_;
  std::unordered_map<Expr, std::string> let_names_;
  std::vector<LetLine> lets_;
  std::vector<std::string> taken_;
  int made_ = 0;
};

std::string ExpressionWriter::lines(Expr root, std::size_t indent) const {
  return ExpressionWriting(*this, root).lines(root, indent);
}

}  // namespace rulegrad
