#include <algorithm>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <map>
#include <set>

#include "rulegrad/explain/explain.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "explain/expression_text.hpp"
#include "explain/node_names.hpp"
#include "explain/reason.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::size_t label_width = 12;

std::string indented(const std::string& text, std::size_t indent) {
  std::string result;
  for (std::size_t start = 0; start < text.size();) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    result += fmt::format("{:{}}{}\n", "", indent, text.substr(start, end - start));
    start = end + 1;
  }
  return result;
}

/// `label     text`, and further lines below the text.
std::string block(std::string_view label, const std::string& text) {
  const std::string lines = indented(text, label_width);
  return fmt::format("{:<{}}{}", label, label_width, lines.substr(label_width));
}

class Deriving {
 public:
  Deriving(const Analysis& analysis, bool rounding)
      : analysis_(analysis), names_(analysis), rounding_(rounding) {}

  std::string run(std::string_view name) {
    std::string text;
    for (const Expr node : names_.find(name)) {
      for (const Step& step : analysis_.steps)
        if (step.node == node) text += (text.empty() ? "" : "\n") + derivation(step);
    }
    return text;
  }

 private:
  std::string derivation(const Step& step) {
    const std::vector<std::pair<std::string, Expr>> bound = bound_expressions(step);
    const std::string cotangent = cotangent_name(step);
    const std::string y = name_of(bound, step.node, "y");
    std::vector<std::pair<std::string, Expr>> known{{cotangent, step.cotangent}};
    known.insert(known.end(), bound.begin(), bound.end());
    for (std::size_t i = 0; i < step.node.operands().size(); ++i)
      known.emplace_back(operand_name(bound, step, i), step.node.operand(i));
    known.emplace_back(y, step.node);
    add_surroundings(step, known);
    const std::vector<std::pair<std::string, Expr>> lets = lets_of(step);
    ExpressionWriter writer = writer_of(known, lets);
    writer.set_operation(step.node, y);

    std::string text = block("node", heading(step.node));
    text += block("forward", forward(step, bound, y));
    const Expr operand = step.node.operand(step.slot);
    text += block("gradient",
                  with_type(fmt::format("grad({}, {}) for operand {}", y, cotangent,
                                        step.node.op().operand(step.slot).name),
                            operand.type()) +
                      with_type(fmt::format("{} = {}", cotangent, arrival(step)), step.cotangent.type()));
    text += block("rule", rule_text(step));
    text += block("rewritten",
                  step.rewritten ? writer.lines(step.rewritten, 0) : "nothing: the cotangent ends here\n");
    if (step.rewritten && step.result != step.rewritten)
      text += block("closed", step.result ? writer.lines(step.result, 0) : "0: its derivative is zero\n");
    return text + simplified(step, std::move(known), lets);
  }

  static ExpressionWriter writer_of(const std::vector<std::pair<std::string, Expr>>& known,
                                    const std::vector<std::pair<std::string, Expr>>& lets) {
    ExpressionWriter writer;
    for (const auto& [name, expr] : known) writer.name(expr, name);
    for (const auto& [name, expr] : lets) writer.suggest(expr, name);
    return writer;
  }

  /// What a program computes of it, and by which rules of the simplifier; nothing where that is the same.
  std::string simplified(const Step& step, std::vector<std::pair<std::string, Expr>> known,
                         std::vector<std::pair<std::string, Expr>> lets) const {
    if (!step.result) return {};
    std::vector<Expr> together{step.result};
    for (const auto& [name, expr] : known) together.push_back(expr);
    const Simplified surroundings = simplify(std::span(together).subspan(1), rounding_);
    for (const auto& [name, expr] : lets) together.push_back(expr);
    const Simplified simple = simplify(together, rounding_);
    for (std::size_t i = 0; i < known.size(); ++i) known[i].second = simple.outputs[1 + i];
    for (std::size_t i = 0; i < lets.size(); ++i) lets[i].second = simple.outputs[1 + known.size() + i];
    std::map<std::string, std::set<int>> rules;  // lines by set and file
    for (const ForwardRewrite& rewrite : simple.rewrites) {
      const bool elsewhere =
          std::any_of(surroundings.rewrites.begin(), surroundings.rewrites.end(),
                      [&](const ForwardRewrite& other) { return other.before == rewrite.before; });
      if (!elsewhere)
        rules[fmt::format("{} at {}:", rewrite.rule_set, rewrite.where.file)].insert(rewrite.where.line);
    }
    if (rules.empty()) return {};
    std::string text = writer_of(known, lets).lines(simple.outputs[0], 0);
    for (const auto& [place, lines] : rules) text += fmt::format("by {}{}\n", place, fmt::join(lines, ", "));
    return block("simplified", text);
  }

  static std::string with_type(const std::string& text, const Type& type) {
    return fmt::format("{:<60}# {}\n", text + (text.size() >= 60 ? "  " : ""), to_string(type));
  }

  std::string heading(Expr node) const {
    std::vector<std::string> names = node.graph().names(node);
    if (names.empty()) names.push_back(names_.of(node));
    std::string text = fmt::format("{} '{}'", node.op().name, names.front());
    if (names.size() > 1)
      text += fmt::format(", also called '{}'", join(std::span(names).subspan(1), "', '"));
    return text + '\n';
  }

  /// The operation and what its operands are.
  std::string forward(const Step& step, const std::vector<std::pair<std::string, Expr>>& bound,
                      const std::string& y) const {
    const Expr node = step.node;
    ExpressionWriter writer;
    std::vector<std::pair<std::string, Expr>> shown;
    for (std::size_t i = 0; i < node.operands().size(); ++i) {
      const Expr operand = node.operand(i);
      if (node.op().operand(i).optional && is_zero(operand)) continue;
      const std::string name = operand_name(bound, step, i);
      writer.name(operand, name);
      if (std::none_of(shown.begin(), shown.end(),
                       [&](const auto& entry) { return entry.second == operand; }))
        shown.emplace_back(name, operand);
    }
    std::string text = writer.lines(node, 0);
    text = fmt::format("{} = {}", y, text);
    if (const std::size_t comment = text.find("# "); comment != std::string::npos) {
      // The name in front moved the type; put it back into its column.
      const std::string type = text.substr(comment);
      text.resize(text.find_last_not_of(' ', comment - 1) + 1);
      text = fmt::format("{:<60}{}", text + (text.size() >= 60 ? "  " : ""), type);
    }
    for (const auto& [name, operand] : shown)
      text += with_type(fmt::format("{} = {}", name, short_name(operand)), operand.type());
    return text;
  }

  std::string short_name(Expr expr) const {
    const std::string number = number_text(expr);
    if (!number.empty()) return number;
    const std::vector<std::string> names = expr.graph().names(expr);
    const bool plain = names.empty() && expr.operands().empty();
    return plain ? expr.op().name : fmt::format("{} '{}'", expr.op().name, names_.of(expr));
  }

  std::string arrival(const Step& step) const {
    if (step.cotangent == analysis_.seed) return "the seed";
    std::vector<std::string> senders;
    for (const Step& other : analysis_.steps) {
      if (other.node.operand(other.slot) != step.node || !other.result) continue;
      senders.push_back(fmt::format("{} '{}'", other.node.op().name, names_.of(other.node)));
    }
    return senders.empty() ? "what reached it"
                           : fmt::format("{} {} sent back", senders.size() > 1 ? "the sum of what" : "what",
                                         join(senders, " and "));
  }

  static std::string rule_text(const Step& step) {
    if (!step.match) return fmt::format("none claims it: {}\n", step.by->rule_set);
    const RuleMatch& match = *step.match;
    std::string text =
        fmt::format("{} at {}:{}: {}\n{}\n", rule_label(step), place_label(step.by->where),
                    step.by->where.column, reason(step), indented(print(*match.active->rule), 2));
    text.pop_back();
    std::vector<std::string> parameters;
    for (const auto& [name, value] : match.active->parameters->entries())
      parameters.push_back(fmt::format("{} = {}", name, value_text(value)));
    if (!parameters.empty()) text += fmt::format("with {}\n", join(parameters));
    for (const auto& below : match.below)
      text += fmt::format("next: {} at {}\n{}", below->set, place_label(below->rule->where),
                          indented(print(*below->rule), 2));
    return text;
  }

  static std::string value_text(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) return shortest(*number);
    if (const auto* expr = std::get_if<Expr>(&value)) return describe(*expr);
    return to_string(*attribute_in(value));
  }

  static std::string cotangent_name(const Step& step) {
    return !step.match || step.match->active->rule->cotangent == "_" ? "g"
                                                                     : step.match->active->rule->cotangent;
  }

  static bool is_let(const Rule& rule, std::string_view name) {
    return std::any_of(rule.lets.begin(), rule.lets.end(), [&](const Let& let) { return let.name == name; });
  }

  /// Pattern variables with what they stand for.
  static std::vector<std::pair<std::string, Expr>> bound_expressions(const Step& step) {
    std::vector<std::pair<std::string, Expr>> result;
    if (!step.match) return result;
    const RuleMatch& match = *step.match;
    for (const auto& [name, value] : match.bindings.entries())
      if (const auto* expr = std::get_if<Expr>(&value);
          expr != nullptr && !is_let(*match.active->rule, name) && name != match.active->rule->cotangent)
        result.emplace_back(std::string(name), *expr);
    return result;
  }

  static std::vector<std::pair<std::string, Expr>> lets_of(const Step& step) {
    std::vector<std::pair<std::string, Expr>> result;
    if (!step.match) return result;
    for (const auto& [name, value] : step.match->bindings.entries())
      if (const auto* expr = std::get_if<Expr>(&value);
          expr != nullptr && is_let(*step.match->active->rule, name))
        result.emplace_back(std::string(name), *expr);
    return result;
  }

  static std::string name_of(const std::vector<std::pair<std::string, Expr>>& bound, Expr expr,
                             const std::string& otherwise) {
    const auto found =
        std::find_if(bound.begin(), bound.end(), [&](const auto& entry) { return entry.second == expr; });
    return found == bound.end() ? otherwise : found->first;
  }

  /// As the rule calls it, or by its role.
  static std::string operand_name(const std::vector<std::pair<std::string, Expr>>& bound, const Step& step,
                                  std::size_t position) {
    const OperandSpec& spec = step.node.op().operand(position);
    const std::string role = spec.variadic ? fmt::format("{}{}", spec.name, position) : spec.name;
    const auto taken =
        std::any_of(bound.begin(), bound.end(), [&](const auto& entry) { return entry.first == role; });
    return name_of(bound, step.node.operand(position), taken ? role + "_" : role);
  }

  /// Everything else of the network, and what other gradient nodes sent, is written by name.
  void add_surroundings(const Step& step, std::vector<std::pair<std::string, Expr>>& known) const {
    for (const Expr node : names_.order())
      if (node != step.node && (!is_constant(node) || !node.graph().names(node).empty()) && !fill_of(node))
        known.emplace_back(names_.of(node), node);
    for (const Step& other : analysis_.steps) {
      if (&other == &step) break;
      known.emplace_back("reached_" + names_.of(other.node), other.cotangent);
      if (other.result && other.result != step.result)
        known.emplace_back("sent_by_" + names_.of(other.node), other.result);
    }
  }

  const Analysis& analysis_;
  NodeNames names_;
  bool rounding_;
};

}  // namespace

std::string explain_node(const Analysis& analysis, std::string_view name, bool rounding) {
  return Deriving(analysis, rounding).run(name);
}

}  // namespace rulegrad
