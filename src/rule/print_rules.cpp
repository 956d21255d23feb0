#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/number_range.hpp"
#include "rule/print_term.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

using syntax::expression_text;
using syntax::line_width;
using syntax::loosest;
using syntax::reference_text;
using syntax::term_text;

std::string doc_text(const std::string& doc) {
  std::string result;
  if (doc.empty()) return result;
  for (std::size_t start = 0; start <= doc.size();) {
    const std::size_t end = std::min(doc.find('\n', start), doc.size());
    result += end == start ? "#\n" : fmt::format("# {}\n", doc.substr(start, end - start));
    start = end + 1;
  }
  return result;
}

std::string indented(const std::string& text, std::size_t indent) {
  std::string result(indent, ' ');
  for (const char c : text) {
    result += c;
    if (c == '\n') result.append(indent, ' ');
  }
  return result;
}

std::string parameters_text(const std::vector<Parameter>& parameters, const Terms& terms) {
  if (parameters.empty()) return {};
  std::vector<std::string> parts;
  for (const Parameter& parameter : parameters) {
    std::string text = parameter.name;
    if (!parameter.type.empty()) text += ": " + parameter.type;
    if (parameter.fallback != no_term) text += " = " + term_text(terms, parameter.fallback, loosest);
    if (parameter.range) text += " in " + range_text(*parameter.range);
    parts.push_back(std::move(text));
  }
  return fmt::format("({})", join(parts));
}

/// A final expression on a line of its own must not begin with `-`, which would continue the line above.
std::string own_line(const Terms& terms, TermId id, std::size_t indent) {
  std::string text = expression_text(terms, id, indent, indent);
  return text.starts_with('-') ? fmt::format("({})", text) : text;
}

std::string let_text(const Terms& terms, const Let& let, std::size_t indent) {
  const std::string start = fmt::format("let {} = ", let.name);
  return start + expression_text(terms, let.value, indent + start.size(), indent + 4);
}

/// ` EXPR` on the line of `head` if it fits and there are no lets, else every part on its own line.
std::string body_text(const std::string& head, const Terms& terms, const std::vector<Let>& lets,
                      TermId result, std::size_t outer) {
  constexpr std::size_t indent = 2;
  if (lets.empty())
    if (const std::string text = term_text(terms, result, loosest);
        outer + head.size() + 1 + text.size() <= line_width)
      return head + ' ' + text;
  std::string text = head;
  for (const Let& let : lets) text += fmt::format("\n{:{}}{}", "", indent, let_text(terms, let, indent));
  return text + fmt::format("\n{:{}}{}", "", indent, own_line(terms, result, indent));
}

std::string rule_text(const Rule& rule, std::size_t outer) {
  std::string head;
  if (!rule.name.empty()) head = fmt::format("rule {}: ", rule.name);
  const std::string pattern = term_text(rule.terms, rule.pattern, loosest);
  if (rule.level == RuleLevel::forward)
    head += "rewrite " + pattern;
  else
    head +=
        fmt::format("{}({}, {})", rule.level == RuleLevel::grad ? "grad" : "vjp", pattern, rule.cotangent);
  if (!rule.wrt.empty()) head += " wrt " + rule.wrt;
  if (rule.guard != no_term) head += " when " + term_text(rule.terms, rule.guard, loosest);
  return body_text(head + " =>", rule.terms, rule.lets, rule.result, outer);
}

constexpr std::string_view word_of(Fallback fallback) {
  return syntax::fallback_words[static_cast<std::size_t>(fallback)];
}

}  // namespace

std::string print(const Rule& rule) {
  return rule_text(rule, 0);
}

std::string print(const Function& function) {
  const std::string head = fmt::format("fn {}({}) =", function.name, join(function.parameters));
  return doc_text(function.doc) + body_text(head, function.terms, function.lets, function.result, 0) + '\n';
}

std::string print(const CompositeOp& op) {
  const std::string head = fmt::format("op {}({}){}{} =", op.name, join(op.parameters),
                                       op.op_class.empty() ? "" : ": ", op.op_class);
  return doc_text(op.doc) + body_text(head, op.terms, {}, op.result, 0) + '\n';
}

std::string print(const RuleSet& set) {
  std::string text = doc_text(set.doc) +
                     fmt::format("rules {}{} {{\n", set.name, parameters_text(set.parameters, set.terms));
  for (const Rule& rule : set.rules) text += indented(rule_text(rule, 2), 2) + '\n';
  for (const TermId use : set.uses) text += fmt::format("  use {}\n", reference_text(set.terms, use));
  return text + "}\n";
}

std::string print(const AnalyzerDefinition& analyzer) {
  const Terms& terms = analyzer.terms;
  std::string text = doc_text(analyzer.doc) + fmt::format("analyzer {}{} {{\n", analyzer.name,
                                                          parameters_text(analyzer.parameters, terms));
  const auto term = [&](TermId id) { return term_text(terms, id, loosest); };
  const auto statement = [&](std::string_view word, TermId id) {
    if (id != no_term) text += fmt::format("  {} {}\n", word, expression_text(terms, id, 3 + word.size(), 6));
  };
  if (analyzer.extends != no_term)
    text += fmt::format("  extends {}\n", reference_text(terms, analyzer.extends));
  for (const TermId canonizer : analyzer.canonizers)
    text += fmt::format("  canonize {}\n", reference_text(terms, canonizer));
  for (const ForClause& loop : analyzer.loops) {
    const std::string variables = join(loop.variables);
    text += fmt::format("  for {} in {}\n",
                        loop.variables.size() == 1 ? variables : fmt::format("({})", variables),
                        reference_text(terms, loop.sampler));
  }
  for (const Let& let : analyzer.lets) text += fmt::format("  {}\n", let_text(terms, let, 2));
  for (const Placement& placement : analyzer.placements)
    text += fmt::format("  {}{} = {}\n",
                        placement.world.empty() ? "at " : fmt::format("point {}: ", placement.world),
                        term(placement.node), term(placement.value));
  statement("seed", analyzer.seed);
  for (const Use& use : analyzer.uses) {
    text += fmt::format("  use {}", reference_text(terms, use.set));
    if (use.selector != no_term) text += fmt::format(" on {}", term(use.selector));
    text += '\n';
  }
  if (analyzer.fallback) text += fmt::format("  default {}\n", word_of(*analyzer.fallback));
  statement("result", analyzer.result);
  if (!analyzer.properties.empty()) text += fmt::format("  declare {}\n", join(analyzer.properties, " "));
  return text + "}\n";
}

std::string print(const RuleFile& file) {
  std::vector<std::pair<int, std::string>> items;
  const auto add = [&](const auto& all) {
    for (const auto& item : all) items.emplace_back(item.where.line, print(item));
  };
  add(file.functions);
  add(file.operators);
  add(file.rule_sets);
  add(file.analyzers);
  std::stable_sort(items.begin(), items.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::string text = "rulegrad 1\n";
  if (!file.includes.empty()) text += '\n';
  for (const std::string& include : file.includes)
    text += fmt::format("include {}\n", syntax::quoted(include));
  for (const auto& [line, item] : items) text += '\n' + item;
  return text;
}

}  // namespace rulegrad
