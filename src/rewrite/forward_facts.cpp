#include "rewrite/forward_facts.hpp"

#include <algorithm>
#include <limits>

#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/node_map.hpp"
#include "expr/walk.hpp"
#include "rewrite/classes.hpp"
#include "rewrite/language_words.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// The nodes between two, operands before users. Nodes older than `from` cannot depend on it.
std::vector<Expr> order_between(Expr to, Expr from) {
  std::vector<Expr> order;
  NodeMap<bool> seen;
  const auto known = [&](Expr e) { return (e != to && e->id < from->id) || seen.contains(e); };
  post_order(
      to, known, [&](Expr e) { return e == from; },
      [&](Expr e) {
        seen.emplace(e, true);
        order.push_back(e);
      });
  return order;
}

/// Whether a value is a number at all, NaN or infinite: masks decide that, and no change of what is explained.
bool asks_for_number(Expr e) {
  if (e.dtype() != DType::boolean || e.operands().size() != 2) return false;
  if (e.is("equal") || e.is("not_equal")) return e.operand(0) == e.operand(1);
  if (!(e.is("less") || e.is("greater") || e.is("greater_equal"))) return false;
  const double largest = e.operand(0).dtype() == DType::float64 ? std::numeric_limits<double>::max()
                                                                : std::numeric_limits<float>::max();
  const auto bound = number_everywhere(e.operand(1));
  return bound && (e.is("greater") ? *bound >= largest : *bound <= -largest);
}

/// `conv or dense` as its parts.
std::vector<std::string_view> class_names(std::string_view text) {
  std::vector<std::string_view> names;
  constexpr std::string_view joint = " or ";
  for (std::size_t at = text.find(joint); at != std::string_view::npos; at = text.find(joint)) {
    names.push_back(text.substr(0, at));
    text.remove_prefix(at + joint.size());
  }
  names.push_back(text);
  return names;
}

}  // namespace

/// The nearest node through which every way from the explained values leads, for each dependent node; with
/// jump pointers (Myers 1983), so that the nearest common dominator of two nodes takes logarithmic time.
struct ForwardFacts::Dominators {
  std::vector<std::uint32_t> parent, jump,
      level;  ///< by rank; the last entry is the root above the explained values

  [[nodiscard]] std::uint32_t root() const { return static_cast<std::uint32_t>(parent.size() - 1); }

  [[nodiscard]] std::uint32_t common(std::uint32_t a, std::uint32_t b) const {
    if (level[a] < level[b]) std::swap(a, b);
    while (level[a] > level[b]) a = level[jump[a]] >= level[b] ? jump[a] : parent[a];
    while (a != b) {
      const bool far = jump[a] != jump[b];
      a = far ? jump[a] : parent[a];
      b = far ? jump[b] : parent[b];
    }
    return a;
  }

  void attach(std::uint32_t node, std::uint32_t to) {
    parent[node] = to;
    level[node] = level[to] + 1;
    const bool same_step = level[to] - level[jump[to]] == level[jump[to]] - level[jump[jump[to]]];
    jump[node] = same_step ? jump[jump[to]] : to;
  }
};

ForwardFacts::ForwardFacts(std::span<const Expr> outputs, std::span<const Expr> explained)
    : ForwardFacts(InOrder{}, topological_order(outputs), explained) {
  for (const Expr output : outputs) ++uses_[ranks_.find(output)];
}

ForwardFacts ForwardFacts::between(Expr to, Expr from) {
  return ForwardFacts(InOrder{}, order_between(to, from), std::span(&from, 1));
}

ForwardFacts::ForwardFacts(InOrder, std::vector<Expr> order, std::span<const Expr> explained)
    : order_(std::move(order)),
      ranks_(order_),
      explained_(explained.begin(), explained.end()),
      dependent_(order_.size(), 0),
      changing_(order_.size(), 0),
      uses_(order_.size(), 0) {
  for (const Expr node : explained_)
    if (const std::size_t at = ranks_.find(node); at != NodeRanks::none) dependent_[at] = changing_[at] = 1;
  const OpSchema* const constant = &op("const");
  for (std::size_t i = 0; i < order_.size(); ++i) {
    // What is decided or counted carries nothing back, and neither does what is made of it.
    const bool carries = is_floating(order_[i].dtype());
    for (const Expr operand : order_[i].operands()) {
      const std::size_t at = ranks_.find(operand);
      if (at == NodeRanks::none) continue;
      ++uses_[at];
      if (&order_[i].op() == constant || asks_for_number(order_[i])) continue;
      if (dependent_[at] != 0 && carries) dependent_[i] = 1;
      if (changing_[at] != 0) changing_[i] = 1;
    }
  }
}

bool ForwardFacts::is_explained(Expr node) const {
  return std::find(explained_.begin(), explained_.end(), node) != explained_.end();
}

bool ForwardFacts::depends(Expr node) const {
  const std::size_t at = ranks_.find(node);
  return at == NodeRanks::none ? is_explained(node) : depends_at(at);
}

bool ForwardFacts::changes(Expr node) const {
  const std::size_t at = ranks_.find(node);
  return at == NodeRanks::none ? is_explained(node) : changing_[at] != 0;
}

std::size_t ForwardFacts::uses(Expr node) const {
  const std::size_t at = ranks_.find(node);
  return at == NodeRanks::none ? 0 : uses_[at];
}

ForwardFacts::Flags ForwardFacts::members(const std::string& op_class) const {
  const std::vector<std::string_view> names = class_names(op_class);
  std::unordered_map<const OpSchema*, bool> known;
  Flags result(order_.size(), 0);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    const OpSchema& schema = order_[i].op();
    const auto [entry, fresh] = known.try_emplace(&schema, false);
    if (fresh)
      entry->second = std::any_of(names.begin(), names.end(),
                                  [&](std::string_view name) { return covers(name, schema); });
    const bool member = entry->second && std::any_of(names.begin(), names.end(), [&](std::string_view name) {
                          return covers_node(name, order_[i]);
                        });
    result[i] = static_cast<char>(member && depends_at(i));
  }
  return result;
}

ForwardFacts::Flags ForwardFacts::first_ones(const Flags& members, const Flags* through) const {
  Flags result(order_.size(), 0), hidden(order_.size(), 0);  // hidden: something else stands before it
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (!depends_at(i)) continue;
    if (!is_explained(order_[i]) || through == nullptr)
      for (const Expr operand : order_[i].operands()) {
        const std::size_t at = ranks_.find(operand);
        if (at == NodeRanks::none || !depends_at(at)) continue;
        const bool blocks =
            members[at] != 0 || (through != nullptr && (*through)[at] == 0 && !is_explained(operand));
        if (hidden[at] != 0 || blocks) hidden[i] = 1;
      }
    result[i] = static_cast<char>(members[i] != 0 && hidden[i] == 0);
  }
  return result;
}

ForwardFacts::Flags ForwardFacts::last_ones(const Flags& members, const Flags* through) const {
  Flags result(order_.size(), 0), hidden(order_.size(), 0);
  for (std::size_t i = order_.size(); i-- > 0;) {
    result[i] = static_cast<char>(members[i] != 0 && hidden[i] == 0);
    const bool blocks = members[i] != 0 || (through != nullptr && depends_at(i) && (*through)[i] == 0);
    if (hidden[i] == 0 && !blocks) continue;
    for (const Expr operand : order_[i].operands())
      if (const std::size_t at = ranks_.find(operand); at != NodeRanks::none) hidden[at] = 1;
  }
  return result;
}

const ForwardFacts::Flags& ForwardFacts::extremes(const std::string& op_class, const std::string& through,
                                                  bool first) const {
  for (const Extremes& known : extremes_)
    if (known.first == first && known.op_class == op_class && known.through == through) return known.flags;
  const Flags of_class = members(op_class);
  const Flags of_through = through.empty() ? Flags() : members(through);
  const Flags* narrowed = through.empty() ? nullptr : &of_through;
  return extremes_
      .emplace_back(Extremes{op_class, through, first,
                             first ? first_ones(of_class, narrowed) : last_ones(of_class, narrowed)})
      .flags;
}

bool ForwardFacts::is_first(Expr node, const std::string& op_class, const std::string& through) const {
  const std::size_t at = ranks_.find(node);
  return at != NodeRanks::none && extremes(op_class, through, true)[at] != 0;
}

bool ForwardFacts::is_last(Expr node, const std::string& op_class, const std::string& through) const {
  const std::size_t at = ranks_.find(node);
  return at != NodeRanks::none && extremes(op_class, through, false)[at] != 0;
}

const ForwardFacts::Positions& ForwardFacts::positions(const std::string& op_class) const {
  const auto [entry, fresh] = positions_.try_emplace(op_class);
  Positions& result = entry->second;
  if (!fresh) return result;
  const Flags of_class = op_class.empty() ? dependent_ : members(op_class);
  result.of.assign(order_.size(), NodeRanks::none);
  for (std::size_t i = 0; i < order_.size(); ++i)
    if (of_class[i] != 0 && !order_[i].operands().empty()) result.of[i] = result.count++;
  return result;
}

std::optional<std::size_t> ForwardFacts::index(Expr node, const std::string& op_class) const {
  const std::size_t at = ranks_.find(node);
  const std::size_t found = at == NodeRanks::none ? NodeRanks::none : positions(op_class).of[at];
  return found == NodeRanks::none ? std::nullopt : std::optional(found);
}

std::size_t ForwardFacts::count(const std::string& op_class) const {
  return positions(op_class).count;
}

/// How many nodes of those counted lie on the longest way from an explained value to each node, itself
/// included.
std::vector<std::size_t> ForwardFacts::longest_ways(const Flags& counted) const {
  std::vector<std::size_t> result(order_.size(), 0);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (!depends_at(i) || is_explained(order_[i])) continue;
    for (const Expr operand : order_[i].operands())
      if (const std::size_t at = ranks_.find(operand); at != NodeRanks::none)
        result[i] = std::max(result[i], result[at]);
    result[i] += counted[i] != 0 ? 1 : 0;
  }
  return result;
}

std::size_t ForwardFacts::depth(Expr node) const {
  const std::size_t at = ranks_.find(node);
  if (at == NodeRanks::none) return 0;
  if (depths_.empty()) depths_ = longest_ways(dependent_);
  return depths_[at];
}

const ForwardFacts::Dominators& ForwardFacts::dominators() const {
  if (dominators_) return *dominators_;
  auto made = std::make_shared<Dominators>();
  const auto root = static_cast<std::uint32_t>(order_.size());
  made->parent.assign(order_.size() + 1, root);
  made->jump.assign(order_.size() + 1, root);
  made->level.assign(order_.size() + 1, 0);
  for (std::uint32_t i = 0; i < root; ++i) {
    if (!depends_at(i)) continue;
    std::optional<std::uint32_t> nearest;
    if (!is_explained(order_[i]))
      for (const Expr operand : order_[i].operands()) {
        const std::size_t at = ranks_.find(operand);
        if (at == NodeRanks::none || !depends_at(at)) continue;
        const auto above = static_cast<std::uint32_t>(at);
        nearest = nearest ? made->common(*nearest, above) : above;
      }
    made->attach(i, nearest.value_or(root));
  }
  dominators_ = std::move(made);
  return *dominators_;
}

bool ForwardFacts::is_skip(Expr a, Expr b) const {
  const std::size_t at_a = ranks_.find(a), at_b = ranks_.find(b);
  if (at_a == NodeRanks::none || at_b == NodeRanks::none || !depends_at(at_a) || !depends_at(at_b))
    return false;
  const Dominators& tree = dominators();
  if (tree.common(static_cast<std::uint32_t>(at_a), static_cast<std::uint32_t>(at_b)) == tree.root())
    return false;
  // The longest way to either branch leads through the dominator, so what lies before it cancels.
  if (affine_depths_.empty()) affine_depths_ = longest_ways(members("affine"));
  return affine_depths_[at_a] < affine_depths_[at_b];
}

bool ForwardFacts::is_ancestor(Expr a, Expr b) const {
  const std::size_t at_a = ranks_.find(a), at_b = ranks_.find(b);
  if (at_a == NodeRanks::none || at_b == NodeRanks::none || at_a >= at_b) return false;
  std::unordered_map<std::size_t, bool> seen;
  std::vector<std::size_t> stack{at_b};
  while (!stack.empty()) {
    const std::size_t at = stack.back();
    stack.pop_back();
    for (const Expr operand : order_[at].operands()) {
      const std::size_t below = ranks_.find(operand);
      if (below == at_a) return true;
      if (below != NodeRanks::none && below > at_a && seen.emplace(below, true).second)
        stack.push_back(below);
    }
  }
  return false;
}

std::size_t ForwardFacts::layers(const std::string& op_class, Expr v) const {
  const std::size_t at = ranks_.find(v);
  if (at == NodeRanks::none) return 0;
  const auto [entry, fresh] = layers_.try_emplace(op_class);
  if (fresh) entry->second = longest_ways(members(op_class));
  return entry->second[at];
}

std::optional<Value> ForwardFacts::answer(const Term& term, const Meaning& meaning,
                                          std::span<const Value> arguments, Expr node) const {
  const Word* word = meaning.word;
  if (term.kind == TermKind::variable) {
    if (word != nullptr && word->fact != nullptr && word->least_arguments() == 0)
      return word->fact({term, {}, node, *this});
    if (meaning.operators()) return covers_node(term.name, node) ? 1.0 : 0.0;
    return std::nullopt;
  }
  if (word == nullptr || word->fact == nullptr) return std::nullopt;
  return word->fact({term, arguments, node, *this});
}

namespace answers {
namespace {

Value truth(bool condition) {
  return condition ? 1.0 : 0.0;
}

/// A position as rules count: from 0, or from -1 backwards.
double counted(double position, std::size_t count) {
  return position < 0 ? position + static_cast<double>(count) : position;
}

}  // namespace

Value first(const FactCall& call) {
  return truth(
      call.facts.is_first(call.node, call.text(0), call.arguments.size() > 1 ? call.text(1) : std::string()));
}
Value last(const FactCall& call) {
  return truth(
      call.facts.is_last(call.node, call.text(0), call.arguments.size() > 1 ? call.text(1) : std::string()));
}
Value depends(const FactCall& call) {
  return truth(call.facts.depends(call.expr(0)));
}
Value only_use(const FactCall& call) {
  return truth(call.facts.uses(call.expr(0)) <= 1);
}
Value decided(const FactCall& call) {
  const auto operands = (call.arguments.empty() ? call.node : call.expr(0)).operands();
  return truth(std::any_of(operands.begin(), operands.end(), [&](Expr operand) {
    return call.facts.changes(operand) && !call.facts.depends(operand);
  }));
}
Value depth(const FactCall& call) {
  return static_cast<double>(call.facts.depth(call.arguments.empty() ? call.node : call.expr(0)));
}
Value skip(const FactCall& call) {
  return truth(call.facts.is_skip(call.expr(0), call.expr(1)));
}
Value ancestor(const FactCall& call) {
  return truth(call.facts.is_ancestor(call.expr(0), call.expr(1)));
}
Value statistic(const FactCall& call) {
  return truth(call.facts.is_statistic(call.expr(0), call.expr(1)));
}
Value gate(const FactCall& call) {
  return truth(call.facts.is_gate(call.expr(0)));
}
Value layers(const FactCall& call) {
  return static_cast<double>(call.facts.layers(call.text(0), call.expr(1)));
}
Value producer(const FactCall& call) {
  return call.facts.producer(call.expr(0));
}

Value index(const FactCall& call) {
  const std::string op_class = call.arguments.size() == 2 ? call.text(0) : std::string();
  const std::vector<double> range = call.range(call.arguments.size() - 1);
  const auto found = call.facts.index(call.node, op_class);
  if (!found) return 0.0;
  const std::size_t count = call.facts.count(op_class);
  const auto position = static_cast<double>(*found);
  return truth(counted(range[0], count) <= position && position <= counted(range[1], count));
}

Value name(const FactCall& call) {
  const Expr named = call.arguments.size() == 2 ? call.expr(0) : call.node;
  return truth(is_named(named, call.text(call.arguments.size() - 1)));
}

}  // namespace answers

bool is_named(Expr node, std::string_view glob) {
  const std::vector<std::string>& names = node.graph().names(node);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& one) { return glob_match(glob, one); });
}

}  // namespace rulegrad
