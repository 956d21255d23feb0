#include "rulegrad/passes/simplify.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/node_map.hpp"
#include "expr/rebuild.hpp"
#include "expr/walk.hpp"
#include "passes/simplifier_rules.hpp"
#include "passes/simplify_knowing.hpp"
#include "passes/support.hpp"
#include "rewrite/canonize.hpp"
#include "rewrite/language_words.hpp"

namespace rulegrad {
namespace {

/// The rules of one of the simplifier's sets, in the order of the file.
RuleList rules_of(std::string_view wanted) {
  RuleList list;
  const auto no_parameters = std::make_shared<const Scope>();
  for (const auto& [path, text] : simplifier_rules()) {
    const auto file = std::make_shared<const RuleFile>(parse_rules(text, std::string(path)));
    for (const RuleSet& set : file->rule_sets)
      if (set.name == wanted)
        for (const Rule& rule : set.rules)
          list.add({std::shared_ptr<const Rule>(file, &rule), set.name, no_parameters, {}});
  }
  return list;
}

const RuleList& exact_rules() {
  static const RuleList list = rules_of("simplify.exact");
  return list;
}
const RuleList& rounding_rules() {
  static const RuleList list = rules_of("simplify.rounding");
  return list;
}

/// Does the user decide something by the operand: by its sign, its order, or whether it is 0? A divisor that
/// is not 0 stays so.
bool decides(Expr user, std::size_t position) {
  const Asks asks = user.op().asks_of(user, position);
  return asks != Asks::nothing && asks != Asks::divisor;
}

/// Nodes below the outputs that no decision depends on.
NodeMap<bool> undecided_below(std::span<const Expr> outputs) {
  const std::vector<Expr> order = topological_order(outputs);
  NodeMap<bool> undecided(order.size());
  for (const Expr e : order) undecided.emplace(e, true);
  for (auto user = order.rbegin(); user != order.rend(); ++user)
    for (std::size_t i = 0; i < user->operands().size(); ++i)
      if (!undecided.at(*user) || decides(*user, i)) undecided[user->operand(i)] = false;
  return undecided;
}

/// Constants of the program: static, and no input or sample below them.
class Fixed {
 public:
  bool of(Expr root) {
    // Asked at every sum: what is below one that is known is not walked again.
    post_order(
        root, [&](Expr e) { return known_.contains(e); }, [](Expr) { return false; },
        [&](Expr e) {
          const bool leaf = is_input(e) || e.is("sample_index") || e.is("batch_index");
          bool fixed = !leaf && e.shape().static_dims().has_value();
          for (const Expr operand : e.operands()) fixed = fixed && known_.at(operand);
          known_.emplace(e, fixed);
        });
    return known_.at(root);
  }

 private:
  NodeMap<bool> known_;
};

bool same_form(Expr u, Expr v) {
  if (u.op().name != v.op().name || u.attributes() != v.attributes() ||
      u.operands().size() != v.operands().size())
    return false;
  return u.type() == v.type() && u.operand(1).type() == v.operand(1).type();
}

class Facts {
 public:
  /// What is known of a node holds for good, whatever is made of the others.
  explicit Facts(Intervals& intervals) : intervals_(intervals) {}

  /// From now on rules are applied to these outputs: what is undecided, and what has been made since, may be
  /// another one.
  void begin(std::span<const Expr> outputs) {
    outputs_.assign(outputs.begin(), outputs.end());
    undecided_.reset();
  }

  std::optional<Value> answer(const Meaning& meaning, std::span<const Value> arguments) {
    if (meaning.word == nullptr || meaning.word->kind != WordKind::simplifier) return std::nullopt;
    const std::string_view name = meaning.word->name;
    const auto node = [&](std::size_t i) { return std::get<Expr>(arguments[i]); };
    if (name == "vanishes") return truth(vanishes_below(node(0), node(1)));
    if (name == "same_form") return truth(same_form(node(0), node(1)));
    if (name == "fixed") return truth(!std::holds_alternative<Expr>(arguments[0]) || fixed_.of(node(0)));
    // What was made since then has users that are not known yet.
    if (name == "undecided") {
      if (!undecided_) undecided_ = undecided_below(outputs_);
      return truth(undecided_->contains(node(0)) && undecided_->at(node(0)));
    }
    return truth(interval(arguments[0]).low >= interval(arguments[1]).high);
  }

 private:
  static Value truth(bool condition) { return condition ? 1.0 : 0.0; }
  Interval interval(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) return {*number, *number};
    return intervals_.of(std::get<Expr>(value));
  }

  Intervals& intervals_;
  Fixed fixed_;
  std::vector<Expr> outputs_;
  std::optional<NodeMap<bool>> undecided_;  ///< of the outputs, once it is asked for
};

/// Named nodes that were built anew.
void follow(const NodeMap<Expr>& image, Simplified& result) {
  std::unordered_map<Expr, Expr> stood_for;
  for (const auto& [before, after] : result.renewed) stood_for.emplace(after, before);
  for (const auto& [before, after] : image) {
    if (before == after || after->named) continue;
    if (before->named)
      result.renewed.emplace_back(before, after);
    else if (const auto found = stood_for.find(before); found != stood_for.end())
      result.renewed.emplace_back(found->second, after);
  }
}

void apply(const RuleList& rules, Facts& facts, Simplified& result) {
  facts.begin(result.outputs);
  static const Functions no_functions;
  ForwardRewriting how;
  how.move_names = false;
  how.fact = [&](const Term&, const Meaning& meaning, std::span<const Value> arguments) {
    return facts.answer(meaning, arguments);
  };
  Canonized done =
      canonize(result.outputs[0].graph(), result.outputs, rules, Operators::builtin(), no_functions, how);
  result.outputs = std::move(done.outputs);
  result.rewrites.insert(result.rewrites.end(), done.rewrites.begin(), done.rewrites.end());
  follow(done.image, result);
}

/// From so many parts on: a model that takes a value apart one by one.
constexpr std::size_t least_parts = 8;

/// Where a part begins along the axis that it is cut from, if it is cut from one alone, without steps.
struct Part {
  Expr value;
  std::int64_t begin = 0, end = 0;
};
std::optional<Part> part_of(Expr e, std::size_t& axis, Shape& whole) {
  if (!e.is("slice_vjp")) return std::nullopt;
  const auto& a = e.attributes<SliceVjpAttributes>();
  if (a.axes.size() != 1 || a.steps[0] != 1 || a.axes[0] < 0 || a.starts[0] < 0) return std::nullopt;
  if (whole.rank() == 0) {
    axis = static_cast<std::size_t>(a.axes[0]);
    whole = a.shape;
  }
  const Expr value = e.operand(0);
  if (static_cast<std::size_t>(a.axes[0]) != axis || a.shape != whole ||
      value.shape().rank() != whole.rank() || value.shape()[axis].batch)
    return std::nullopt;
  return Part{value, a.starts[0], a.starts[0] + value.shape()[axis].factor};
}

/// A sum of values that are each 0 but for a part of their own is these parts side by side: as written, n parts
/// of n elements would be n arrays of all of them. One value beside them stays a summand; the order in which more of
/// them are added is not to be changed.
std::optional<Expr> side_by_side(Expr sum, std::span<const Expr> operands) {
  if (!sum.is("accum") || operands.size() < least_parts) return std::nullopt;
  std::size_t axis = 0;
  Shape whole;
  std::vector<Part> parts;
  std::optional<Expr> beside;
  for (const Expr operand : operands) {
    if (auto part = part_of(operand, axis, whole))
      parts.push_back(std::move(*part));
    else if (std::exchange(beside, operand))
      return std::nullopt;
  }
  if (parts.size() < least_parts) return std::nullopt;
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
  Graph& graph = sum.graph();
  std::vector<Expr> pieces;
  std::int64_t at = 0;
  const auto zeros_to = [&](std::int64_t end) {
    if (end == at) return;
    std::vector<Dim> dims = whole.dims();
    dims[axis] = Dim{end - at};
    pieces.push_back(graph.apply(op("fill"), {}, FillAttributes{0, sum.dtype(), Shape(std::move(dims))}));
  };
  for (const Part& part : parts) {
    if (part.begin < at) return std::nullopt;
    zeros_to(part.begin);
    pieces.push_back(part.value);
    at = part.end;
  }
  if (whole[axis].batch || at > whole[axis].factor) return std::nullopt;
  zeros_to(whole[axis].factor);
  const Expr joined =
      graph.apply(op("concat"), std::move(pieces), AxisAttributes{static_cast<std::int64_t>(axis)});
  if (joined.type() != sum.type()) return std::nullopt;
  return beside ? graph.apply(op("accum"), {*beside, joined}) : joined;
}

/// The outputs with such sums as what they are.
void join_parts(Simplified& result) {
  const std::vector<Expr> order = topological_order(result.outputs);
  const auto wide = [](Expr e) { return e.is("accum") && e.operands().size() >= least_parts; };
  if (std::none_of(order.begin(), order.end(), wide)) return;
  NodeMap<Expr> image(order.size());
  const Rebuild rebuild{no_boundary, [](Expr node, std::span<const Expr> operands) {
                          const auto joined = side_by_side(node, operands);
                          return joined ? *joined : again(node, operands);
                        }};
  for (Expr& output : result.outputs) output = rebuild(output, image);
  follow(image, result);
}

}  // namespace

Simplified simplify(std::span<const Expr> outputs, bool rounding) {
  Intervals intervals;
  return simplify(outputs, rounding, intervals);
}

Simplified simplify(std::span<const Expr> outputs, bool rounding, Intervals& intervals) {
  if (outputs.empty()) return {};
  Simplified result{{outputs.begin(), outputs.end()}, {}, {}};
  Facts facts(intervals);
  // What one turn takes from the users of an expression, another may find used once.
  apply(exact_rules(), facts, result);
  if (!result.rewrites.empty()) apply(exact_rules(), facts, result);
  join_parts(result);
  if (!rounding) return result;
  // A sum of three takes two turns.
  for (std::size_t before = result.rewrites.size() + 1; before != result.rewrites.size();) {
    before = result.rewrites.size();
    apply(rounding_rules(), facts, result);
  }
  return result;
}

}  // namespace rulegrad
