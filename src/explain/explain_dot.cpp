#include <algorithm>
#include <fmt/format.h>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/explain/explain.hpp"
#include "rulegrad/expr/leaves.hpp"

#include "explain/expression_text.hpp"
#include "explain/node_names.hpp"
#include "explain/reason.hpp"
#include "expr/walk.hpp"

namespace rulegrad {
namespace {

/// A text between double quotes; `\n` in it stays the line break of labels.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '\n') {
      result += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') result += '\\';
    result += c;
  }
  return result + '"';
}

class Drawing {
 public:
  explicit Drawing(const Analysis& analysis) : analysis_(analysis), names_(analysis) {
    for (const Expr node : names_.order()) place(node, forward);
  }

  std::string run() {
    std::string text =
        "digraph rulegrad {\n  rankdir=BT;\n  node [fontname=\"Helvetica\", fontsize=10];\n  edge "
        "[color=\"#666666\"];\n";
    text +=
        "  subgraph cluster_forward {\n    label=\"forward\"; color=\"#9aa7b5\"; fontname=\"Helvetica\";\n";
    for (const Expr node : names_.order()) text += "    " + forward_node(node);
    text += "  }\n";
    if (analysis_.seed) add_group(analysis_.seed, "seed", "seed", text);
    for (std::size_t i = 0; i < analysis_.steps.size(); ++i) {
      const Step& step = analysis_.steps[i];
      const std::string place = place_label(step.by->where);
      const std::string label = fmt::format(
          "{}{} by {}\n{}", names_.of(step.node),
          step.node.operands().size() > 1 ? ", operand " + step.node.op().operand(step.slot).name : "",
          rule_label(step), place);
      add_group(step.cotangent, fmt::format("sum_{}", i), "sum of what its users send", text);
      if (!step.result || !add_group(step.result, fmt::format("step_{}", i), label, text)) {
        // Nothing new was made: the cotangent is handed on as it is, or ends here.
        text += fmt::format("  step_{} [label={}, shape=note, color=\"#c0504d\", fontcolor=\"#8c2d2a\"];\n",
                            i, quoted(label + (step.result ? "" : "\nsends nothing")));
        edges_ += fmt::format("  {} -> step_{} [style=dotted];\n",
                              id(step.result ? step.result : step.cotangent), i);
      }
    }
    for (std::size_t i = 0; i < analysis_.attributions.size(); ++i) {
      add_group(analysis_.attributions[i], fmt::format("result_{}", i), "result", text);
      text += fmt::format("  answer_{} [label={}, shape=doubleoctagon];\n  {} -> answer_{};\n", i,
                          quoted("attribution of " + names_.of(analysis_.explained[i])),
                          id(analysis_.attributions[i]), i);
    }
    return text + edges_ + "}\n";
  }

 private:
  enum Part { forward, backward };

  void place(Expr expr, Part part) {
    if (!placed_.emplace(expr, placed_.size()).second) return;
    if (part == backward) drawn_.push_back(expr);
  }
  std::string id(Expr expr) const { return fmt::format("n{}", placed_.at(expr)); }

  std::string forward_node(Expr node) {
    const bool stored = is_constant(node);
    const std::vector<std::string> names = node.graph().names(node);
    const std::string number = number_text(node);
    std::string label = stored && !number.empty() ? number : names.empty() ? node.op().name : names.front();
    if (!names.empty() && !stored && node.op().name != "input")
      label = fmt::format("{}\n{}", node.op().name, names.front());
    if (stored && number.empty() && names.empty()) label = "constant";
    const bool explained =
        std::find(analysis_.explained.begin(), analysis_.explained.end(), node) != analysis_.explained.end();
    add_edges(node);
    return fmt::format("{} [label={}, shape={}, style=\"{}\", fillcolor=\"{}\"];\n", id(node),
                       quoted(label + "\n" + to_string(node.type())), stored ? "plaintext" : "box",
                       stored ? "" : "filled", explained || node == analysis_.output ? "#c9d8ea" : "#eef2f6");
  }

  void add_edges(Expr node) {
    for (const Expr operand : node.operands()) edges_ += fmt::format("  {} -> {};\n", id(operand), id(node));
  }

  /// The expressions below `root` that stand nowhere yet, in a frame of their own; false if there are none.
  bool add_group(Expr root, const std::string& name, const std::string& label, std::string& text) {
    drawn_.clear();
    post_order(
        root, [&](Expr e) { return placed_.contains(e); }, [](Expr) { return false; },
        [&](Expr e) { place(e, backward); });
    if (drawn_.empty()) return false;
    text += fmt::format(
        "  subgraph cluster_{} {{\n    label={}; color=\"#c0504d\"; fontcolor=\"#8c2d2a\"; "
        "fontname=\"Helvetica\";\n",
        name, quoted(label));
    for (const Expr expr : drawn_) {
      const std::string number = number_text(expr);
      text += fmt::format(
          "    {} [label={}, shape=ellipse, style=\"filled\", fillcolor=\"#f7e3e0\"];\n", id(expr),
          quoted(fmt::format("{}\n{}", is_constant(expr) && !number.empty() ? number : expr.op().name,
                             to_string(expr.type()))));
      add_edges(expr);
    }
    text += "  }\n";
    return true;
  }

  const Analysis& analysis_;
  NodeNames names_;
  std::unordered_map<Expr, std::size_t> placed_;
  std::vector<Expr> drawn_;
  std::string edges_;
};

}  // namespace

std::string explain_dot(const Analysis& analysis) {
  return Drawing(analysis).run();
}

}  // namespace rulegrad
