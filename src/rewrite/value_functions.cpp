#include "rewrite/value_functions.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"

#include "expr/rebuild.hpp"

namespace rulegrad {
namespace {

/// Element by element, is it linear in those operands that change?
bool is_linear(const ForwardFacts& facts, Expr node) {
  switch (node.op().linear_in.value_or(LinearIn::nothing)) {
    case LinearIn::all:
      return true;
    case LinearIn::each:
      return std::ranges::count_if(node.operands(), [&](Expr e) { return facts.changes(e); }) < 2;
    case LinearIn::first:
      return std::ranges::none_of(node.operands().subspan(1), [&](Expr e) { return facts.changes(e); });
    case LinearIn::nothing:
      break;
  }
  return false;
}

class Finder {
 public:
  Finder(const ForwardFacts& facts, std::span<const Expr> kept, std::size_t reach)
      : facts_(facts), sources_(value_sources(facts, kept)), ends_(facts.order().size()), reach_(reach) {
    const std::vector<Expr>& order = facts_.order();
    // The end of a chain is used by something that computes no function of the same value, or by nothing.
    std::vector<std::size_t> within(order.size(), 0);
    for (const Expr user : order)
      for (const Expr operand : user.operands())
        if (const std::size_t at = facts_.rank(operand);
            sources_[at] && sources_[at] == sources_[facts_.rank(user)])
          ++within[at];
    for (std::size_t i = 0; i < order.size(); ++i)
      ends_[i] = sources_[i] && is_floating(order[i].dtype()) && within[i] < facts_.uses(order[i]);
    for (std::size_t i = 0; i < order.size(); ++i)
      if (ends_[i]) add_chains(order[i], sources_[i]);
  }

  std::vector<ValueChain> take() { return std::move(chains_); }

 private:
  /// Cuts what lies between the root and the source where every way leads through one value, and at the
  /// layers.
  void add_chains(Expr root, Expr source) {
    const auto later = [&](Expr a, Expr b) { return facts_.rank(a) > facts_.rank(b); };
    std::set<Expr, decltype(later)> open(later);
    open.insert(root);
    ValueChain chain;
    std::vector<ValueChain::Step> steps;
    std::size_t own = ~std::size_t{0};  // steps before the first that belong to another chain as well
    while (*open.begin() != source) {
      const Expr node = *open.begin();
      open.erase(open.begin());
      if (open.empty()) {
        if (node != root && own > steps.size() && ends_[facts_.rank(node)]) own = steps.size();
        if (own < steps.size() && steps.size() - own > reach_) {
          source = node;
          break;
        }
        steps.emplace_back();
      }
      steps.back().nodes.push_back(node);
      for (const Expr operand : node.operands())
        if (facts_.changes(operand)) open.insert(operand);
    }
    for (std::size_t i = 0; i < steps.size(); ++i) {
      ValueChain::Step& step = steps[i];
      step.kind = kind_of(step.nodes);
      if (step.kind != StepKind::layer) {
        chain.own += i < own ? 1 : 0;
        chain.steps.push_back(std::move(step));
        continue;
      }
      finish(chain, step.nodes.front());
    }
    finish(chain, source);
  }

  void finish(ValueChain& chain, Expr source) {
    chain.source = source;
    if (!chain.steps.empty()) chains_.push_back(std::move(chain));
    chain = {};
  }

  [[nodiscard]] static bool is_one_number(Expr expr) {
    return fill_of(expr) || expr.shape().rank() == 0 || constant_value(expr).has_value();
  }

  [[nodiscard]] StepKind kind_of(const std::vector<Expr>& nodes) const {
    const Expr node = nodes.front();
    // Sums of multiples of the value are no function of its own: each part goes back as it came.
    if (nodes.size() > 1)
      return std::all_of(nodes.begin(), nodes.end(), [&](Expr part) { return is_linear(facts_, part); })
                 ? StepKind::layer
                 : StepKind::nonlinear;
    std::size_t dependent = 0;
    bool one_number = true;
    for (const Expr operand : node.operands()) {
      if (facts_.changes(operand))
        ++dependent;
      else
        one_number = one_number && is_one_number(operand);
    }
    if (dependent > 1) return is_linear(facts_, node) ? StepKind::layer : StepKind::nonlinear;
    if (node.op().is(OpClass::activation)) return StepKind::activation;
    if (!one_number) return StepKind::layer;
    if (node.is("cast") && !is_floating(node.operand(0).dtype())) return StepKind::nonlinear;
    // A sum with a number is a shift.
    if (is_linear(facts_, node))
      return node.operands().size() > 1 && node.op().linear_in == LinearIn::all ? StepKind::shift
                                                                                : StepKind::scale;
    if (node.is("cast")) return StepKind::scale;
    return node.is("exp") ? StepKind::exponential : StepKind::nonlinear;
  }

  const ForwardFacts& facts_;
  std::vector<Expr> sources_;  ///< by rank
  std::vector<bool> ends_;     ///< by rank: ends a chain
  std::size_t reach_;
  std::vector<ValueChain> chains_;
};

/// The operand of a step that neither a constant nor a movement changes into something else, or nothing.
Expr below_step(const ForwardFacts& facts, Expr node) {
  if (node.is("batch_norm") || node.is("transpose") || node.is("reshape")) return node.operand(0);
  if (!is_linear(facts, node)) return {};
  Expr below;
  for (const Expr operand : node.operands())
    if (facts.changes(operand)) {
      if (below) return {};
      below = operand;
    }
  return below;
}

/// Is the value what a layer gives, by factors, shifts and movements, to this place alone?
bool stands_on_layer(const ForwardFacts& facts, Expr value, std::span<const Expr> kept) {
  while (value && facts.uses(value) == 1 && std::find(kept.begin(), kept.end(), value) == kept.end()) {
    if (value.op().is(OpClass::affine)) return true;
    value = below_step(facts, value);
  }
  return false;
}

/// Is it the same on both sides of its value at 0, as a hard sigmoid is?
bool is_symmetric(const ValueFunction& function) {
  const auto middle = value_for(function.root, function.source, 0);
  if (!middle) return false;
  for (const double x : {0.3, 1.0, 2.0, 2.9, 4.5, 11.0}) {
    const auto right = value_for(function.root, function.source, x),
               left = value_for(function.root, function.source, -x);
    if (!right || !left || std::abs(*right + *left - 2 * *middle) > 1e-4 * (1 + std::abs(*right)))
      return false;
  }
  return true;
}

/// Is what a step gives used by the steps behind it alone?
bool used_within(const ForwardFacts& facts, const ValueChain& chain, std::size_t step) {
  std::size_t uses = 0;
  for (std::size_t i = 0; i < step; ++i)
    for (const Expr node : chain.steps[i].nodes)
      uses += static_cast<std::size_t>(
          std::count(node.operands().begin(), node.operands().end(), chain.steps[step].nodes.front()));
  return uses == facts.uses(chain.steps[step].nodes.front());
}

/// Is it what the operator relu computes? Rules speak of that one by its name.
bool is_relu(const ValueFunction& function) {
  for (const double x : {-20.0, -3.0, -0.5, -1e-3, 0.0, 1e-3, 0.7, 2.0, 6.5, 40.0}) {
    const auto value = value_for(function.root, function.source, x);
    if (!value || *value != std::max(x, 0.0)) return false;
  }
  return true;
}

/// Is it less far above 0 than far below?
bool falls(const ValueFunction& function) {
  const auto right = value_for(function.root, function.source, 3),
             left = value_for(function.root, function.source, -3);
  return right && left && *right < *left;
}

/// The part of a chain that is one function; nothing where operators of class `activation` say all there is.
/// On a layer (`layer`), a shift in front of the function is the layer's bias, written apart, unless the
/// function has its symmetry from it: a hard sigmoid is clip(x + 3, 0, 6) / 6.
std::optional<ValueFunction> function_of(const ForwardFacts& facts, const ValueChain& chain, bool layer) {
  std::size_t begin = 0, end = chain.steps.size();
  while (begin < end && chain.steps[begin].kind == StepKind::scale) ++begin;
  while (begin < end && chain.steps[end - 1].kind == StepKind::scale) --end;
  if (layer && begin < end) {
    const std::size_t whole = chain.steps.size();
    std::size_t front = whole, cut = end;
    bool shifted = false;
    while (begin < front && chain.steps[front - 1].nodes.size() == 1 &&
           used_within(facts, chain, front - 1) &&
           (chain.steps[front - 1].kind == StepKind::scale || chain.steps[front - 1].kind == StepKind::shift))
      shifted = chain.steps[--front].kind == StepKind::shift || shifted;
    if (shifted && begin < front)
      cut = is_symmetric(chain.part(begin, whole)) && !is_symmetric(chain.part(begin, front)) ? whole : front;
    // The sign is the layer's too, unless the function falls without it: 1 / (1 + exp(-x)) is a sigmoid.
    if (falls(chain.part(begin, cut)))
      while (cut < whole && falls(chain.part(begin, cut))) ++cut;
    end = cut;
  }
  const auto has = [&](StepKind kind) {
    return std::any_of(chain.steps.begin() + static_cast<std::ptrdiff_t>(begin),
                       chain.steps.begin() + static_cast<std::ptrdiff_t>(end),
                       [&](const auto& step) { return step.kind == kind; });
  };
  const bool bends = has(StepKind::nonlinear) || has(StepKind::activation) ||
                     (has(StepKind::exponential) && end - begin > 1);
  const bool spelt = has(StepKind::nonlinear) || has(StepKind::shift) || has(StepKind::exponential);
  if (!bends || !spelt) return std::nullopt;
  return chain.part(begin, end);
}

/// The function as an operator: its operands are the source and the constants that it takes.
struct Joined {
  std::shared_ptr<const OpSchema> op;
  std::vector<Expr> operands;
};

Joined joined(const ValueFunction& function) {
  Joined result;
  result.operands.push_back(function.source);
  NodeMap<std::size_t> place;
  place.emplace(function.source, 0);
  // Each node as its operands' places: those of the operands first, then those of the nodes before it.
  struct Made {
    const OpSchema* op;
    Attributes attributes;
    std::vector<std::pair<bool, std::size_t>> operands;  ///< whether made inside, and where
  };
  std::vector<Made> steps;
  NodeMap<std::size_t> made;
  for (const Expr node : function.inside) {
    Made step{&node.op(), node.attributes(), {}};
    for (const Expr operand : node.operands()) {
      if (made.contains(operand)) {
        step.operands.emplace_back(true, made.at(operand));
        continue;
      }
      if (!place.contains(operand)) {
        place.emplace(operand, result.operands.size());
        result.operands.push_back(operand);
      }
      step.operands.emplace_back(false, place.at(operand));
    }
    made.emplace(node, steps.size());
    steps.push_back(std::move(step));
  }
  auto schema = std::make_shared<OpSchema>();
  schema->name = "value_function";
  schema->doc = "A function of one value, element by element, as the model writes it out.";
  schema->classes = {OpClass::activation};
  for (std::size_t i = 0; i < result.operands.size(); ++i)
    schema->operands.push_back(
        {i == 0 ? std::string("x") : fmt::format("p{}", i), i == 0 ? Role::data : Role::parameter});
  schema->infer = [](std::span<const Type> operands, const Attributes&) { return operands[0]; };
  schema->expansion = [steps = std::move(steps)](std::span<const Expr> operands) {
    std::vector<Expr> values;
    for (const Made& step : steps) {
      std::vector<Expr> taken;
      for (const auto& [own, at] : step.operands) taken.push_back(own ? values[at] : operands[at]);
      values.push_back(operands[0].graph().apply(*step.op, std::move(taken), step.attributes));
    }
    return values.back();
  };
  result.op = std::move(schema);
  return result;
}

}  // namespace

ValueFunction ValueChain::part(std::size_t begin, std::size_t end) const {
  ValueFunction result{
      steps[begin].nodes.front(), end < steps.size() ? steps[end].nodes.front() : source, {}};
  for (std::size_t i = end; i-- > begin;)
    result.inside.insert(result.inside.end(), steps[i].nodes.rbegin(), steps[i].nodes.rend());
  return result;
}

std::vector<Expr> value_sources(const ForwardFacts& facts, std::span<const Expr> kept) {
  const std::vector<Expr>& order = facts.order();
  const std::unordered_set<Expr> outside(kept.begin(), kept.end());
  std::vector<Expr> sources(order.size());
  const auto inside = [&](Expr node) {
    return facts.changes(node) && !node.operands().empty() && node.op().is(OpClass::elementwise) &&
           !outside.contains(node);
  };
  for (std::size_t i = 0; i < order.size(); ++i) {
    const Expr node = order[i];
    if (!inside(node)) continue;
    Expr source;
    bool several = false;
    for (const Expr operand : node.operands()) {
      if (!facts.changes(operand)) continue;
      const Expr below = sources[facts.rank(operand)];
      const Expr from = below ? below : operand;
      several = several || (source && source != from);
      source = from;
    }
    if (!several && source && source.shape() == node.shape() && is_floating(source.dtype()))
      sources[i] = source;
  }
  return sources;
}

std::vector<ValueChain> value_chains(const ForwardFacts& facts, std::span<const Expr> kept,
                                     std::size_t reach) {
  return Finder(facts, kept, reach).take();
}

void join_value_functions(Graph& graph, Canonized& canonized, std::span<const Expr> explained,
                          std::span<const Expr> kept) {
  const ForwardFacts facts(canonized.outputs, explained);
  std::vector<Expr> stay(kept.begin(), kept.end());
  stay.insert(stay.end(), explained.begin(), explained.end());
  NodeMap<ValueFunction> by_root;
  for (const ValueChain& chain : value_chains(facts, stay))
    if (auto function = function_of(facts, chain, stands_on_layer(facts, chain.source, stay)))
      by_root.emplace(function->root, std::move(*function));
  if (by_root.size() == 0) return;
  NodeMap<Expr> image;
  const Rebuild joining{no_boundary, [&](Expr node, std::span<const Expr> operands) {
                          Expr renewed = again(node, operands);
                          if (const auto found = by_root.find(node); found != by_root.end()) {
                            const Expr before = renewed;
                            if (is_relu(found->second)) {
                              renewed = graph.apply(op("relu"), {image.at(found->second.source)});
                            } else {
                              Joined join = joined(found->second);
                              for (Expr& operand : join.operands) operand = image.at(operand);
                              graph.keep_alive(join.op);
                              renewed = graph.make(*join.op, std::move(join.operands));
                            }
                            canonized.rewrites.push_back({before, renewed, "functions of one value", {}});
                          }
                          hand_on_names(node, renewed);
                          return renewed;
                        }};
  for (Expr& output : canonized.outputs) output = joining(output, image);
  NodeMap<Expr> images;
  for (const auto& [before, after] : canonized.image) {
    const auto found = image.find(after);
    images.emplace(before, found != image.end() ? found->second : after);
  }
  canonized.image = std::move(images);
}

}  // namespace rulegrad
