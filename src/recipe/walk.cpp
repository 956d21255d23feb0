#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "autodiff/reverse_walk.hpp"
#include "ops/families.hpp"
#include "recipe/recipe_run.hpp"
#include "recipe/rule_gathering.hpp"
#include "recipe/unclaimed.hpp"
#include "support/text.hpp"

namespace rulegrad {

RecipeRun::RecipeRun(const Engine& engine, const std::string& method, LazyArguments given, Task task)
    : engine_(engine),
      task_(std::move(task)),
      graph_(task_.output.graph()),
      vocabulary_(engine_.operators, engine_.library.functions()),
      rules_(engine.operators),
      canonizers_(engine.operators),
      next_depth_(task_.depth),
      samples_(task_.samples),
      derivatives_(graph_, engine.operators) {
  build_chain(method, std::move(given));
}

void RecipeRun::prepare() {
  if (prepared_) return;
  prepared_ = true;
  canonize_output();
  for (std::size_t k = 0; k < levels_.size(); ++k) {
    Level& level = levels_[k];
    if (k > 0) level.user = levels_[k - 1].moved;
    // Until `at` has moved it, names are about the user's world.
    level.moved = level.user;
    bind_parameters(k);
    if (k == 0) bind_for_inputs();
    open_loops(k);
    World moved = level.user;
    for (const Placement& placement : level.definition->placements) {
      if (placement.world.empty()) {
        place(k, placement, moved);
        continue;
      }
      const auto [entry, fresh] = level.points.try_emplace(placement.world, level.user);
      place(k, placement, entry->second);
    }
    level.moved = std::move(moved);
  }
  final_ = &levels_.back().moved;
  final_output_ = final_->image(output_);
}

void RecipeRun::gather() {
  for (std::size_t k = 0; k < levels_.size(); ++k) {
    const Level& level = levels_[k];
    auto visible = std::make_shared<Scope>(level.scope);
    for (const auto& [name, node] : level.nodes) visible->bind_copied(name, final_->image(node));
    const auto shared = std::make_shared<const Terms>(terms(k));
    for (const Use& use : level.definition->uses) {
      std::vector<ActiveRule::Selector> selectors;
      if (use.selector != no_term) selectors.push_back({shared, use.selector, visible});
      if (const auto chosen = level.methods.find(term(k, use.set).name); chosen != level.methods.end()) {
        gather_chosen(level, chosen->second, term(k, use.set).where, selectors);
        continue;
      }
      gather_rules(
          graph_, engine_.operators, engine_.library, terms(k), use.set,
          [&](TermId id) {
            return evaluate({.level = k, .original = explained_[0], .focus = {}, .world = final_}, id);
          },
          selectors, false, rules_);
    }
  }
}

/// The rules of a set that a parameter names, as `box(low = -3, high = 3)`.
void RecipeRun::gather_chosen(const Level& level, const std::string& chosen, const SourceRange& where,
                              const std::vector<ActiveRule::Selector>& selectors) {
  const AnalyzerCall call = AnalyzerCall::parse(chosen);
  const LazyArguments arguments = lazy_arguments(graph_, call);
  Terms synthetic;
  Term set;
  set.kind = TermKind::call;
  set.name = engine_.library.rule_set_near(call.name, level.definition->name);
  set.where = where;
  for (const auto& [name, value] : arguments) {
    const auto id = static_cast<TermId>(synthetic.size());
    if (name.empty())
      set.args.push_back(id);
    else
      set.named.emplace_back(name, id);
    synthetic.push_back({});
  }
  const auto root = static_cast<TermId>(synthetic.size());
  synthetic.push_back(std::move(set));
  gather_rules(
      graph_, engine_.operators, engine_.library, synthetic, root,
      [&](TermId id) -> Value {
        Value value = arguments[static_cast<std::size_t>(id)].second();
        const auto* attribute = attribute_in(value);
        const auto* word = attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
        return word != nullptr && word->ends_with(".npy") ? Value(read_array(*word)) : value;
      },
      selectors, false, rules_);
}

void RecipeRun::walk() {
  if (walked_) return;
  if (walking_)
    throw Error(ErrorCode::rule,
                fmt::format("{}: a rule's argument asks for the relevance that it takes part in",
                            levels_[0].definition->name));
  walking_ = true;
  std::optional<ForwardFacts> farther;
  const ForwardFacts& on_the_way = learn_facts(farther);
  gather();
  analysis_.seed = seed();
  derivatives_.leave_alone(*facts_);
  derivatives_.guard(on_the_way);
  const EvaluationHooks hooks = walking_hooks();
  const GradientRules rules(rewriting(), rules_, hooks);
  Unclaimed unclaimed;
  // Most operations have one operand that relevance flows to, sums two.
  analysis_.steps.reserve(analysis_.steps.size() + on_the_way.order().size() + on_the_way.order().size() / 4);
  const std::pair<Expr, Expr> start{final_output_, analysis_.seed};
  totals_ = reverse_walk(on_the_way, engine_.operators, std::span(&start, 1),
                         [&](Expr node, std::size_t slot, Expr cotangent) {
                           return close_gradient(rules, unclaimed, node, slot, cotangent);
                         });
  if (!unclaimed.empty()) refuse_unclaimed(unclaimed, hooks);
  refuse_unmatched();
  walked_ = true;
}

/// What depends on the explained values, and on the nodes of which rules may ask for the relevance: where
/// these are more, `farther` holds what the walk goes by.
const ForwardFacts& RecipeRun::learn_facts(std::optional<ForwardFacts>& farther) {
  std::vector<Expr> explained, based, reached;
  for (const Expr node : explained_) explained.push_back(final_->image(node));
  based = reached = explained;
  for (const Expr node : task_.inputs) based.push_back(final_->image(node));
  for (const Level& level : levels_)
    for (const auto& [name, node] : level.nodes) reached.push_back(final_->image(node));
  facts_ = std::make_unique<ForwardFacts>(std::span(&final_output_, 1), based);
  if (reached != based) farther.emplace(std::span(&final_output_, 1), reached);
  return farther ? *farther : *facts_;
}

/// What rules may ask for while they are applied.
EvaluationHooks RecipeRun::walking_hooks() {
  EvaluationHooks hooks;
  hooks.vjp = [this](Expr operation, std::size_t slot, Expr g) {
    return derivatives_.make(vjp_schema(), operation, slot, g);
  };
  hooks.diff = [this](Expr e, Expr x, Expr g) {
    const auto derivative = derivatives_.differentiate(e, x, g);
    return derivative ? Value(*derivative) : Value(0.0);
  };
  if (task_.aux)
    hooks.aux = [this](Expr node, const std::string& key, Expr like) {
      return graph_.constant(task_.aux->find(node, key, like));
    };
  hooks.world = [this](const Term& at, const std::function<Value()>& value) {
    return in_world_of_rules(at, value());
  };
  return hooks;
}

/// One gradient node: the first rule that matches closes it, or what the analyzer falls back to; what is sent
/// to the operand, if anything. Notes the step.
std::optional<Expr> RecipeRun::close_gradient(const GradientRules& rules, Unclaimed& unclaimed, Expr node,
                                              std::size_t slot, Expr cotangent) {
  if (is_zero(cotangent)) return std::nullopt;
  Step step;
  step.node = node;
  step.slot = slot;
  step.cotangent = cotangent;
  step.gradient = derivatives_.make(grad_schema(), node, slot, cotangent);
  std::optional<Expr> rewritten;
  if (auto applied = rules.apply(node, slot, cotangent)) {
    step.by = rules_[applied->index].origin;
    rule_applied_ = true;
    const Value value = std::move(applied->value);
    step.match = kept_match(std::move(*applied));
    rewritten = conform(
        rewriting(), value, node.operand(slot).type(),
        [&] { return fmt::format("{}this rule for {}", at_place(step.by->where), describe(node)); }, node);
  } else if (fallback_ == Fallback::error) {
    // The walk goes on as the gradient would, so that one error names every such node.
    unclaimed.add(node, slot, rules.nearest(node, slot));
    return derivatives_.close(node, slot, cotangent);
  } else {
    rewritten = fall_back(step, node, slot, cotangent);
  }
  if (rewritten) {
    step.rewritten = *rewritten;
    if (const auto lowered = derivatives_.lower(*rewritten)) step.result = *lowered;
  }
  const Expr sent = step.result;
  analysis_.steps.push_back(std::move(step));
  return sent ? std::optional(sent) : std::nullopt;
}

std::shared_ptr<const RuleMatch> RecipeRun::kept_match(RuleResult applied) const {
  auto match =
      std::make_shared<RuleMatch>(RuleMatch{rules_.shared(applied.index), std::move(applied.bindings), {}});
  for (const std::size_t index : applied.below) match->below.push_back(rules_.shared(index));
  return match;
}

Expr RecipeRun::seed() {
  asks_seed_ = true;
  return seed_in(*final_);
}

namespace {

std::shared_ptr<const RuleOrigin> by_default(const std::string& fallback) {
  return std::make_shared<const RuleOrigin>(RuleOrigin{"default " + fallback, {}, {}});
}

}  // namespace

std::optional<Expr> RecipeRun::fall_back(Step& step, Expr node, std::size_t slot, Expr cotangent) const {
  switch (fallback_) {
    case Fallback::gradient:
      step.by = by_default("gradient");
      return derivatives_.make(vjp_schema(), node, slot, cotangent);
    case Fallback::zero:
      step.by = by_default("zero");
      return std::nullopt;
    default:
      break;
  }
  step.by = by_default("pass");
  if (node.operands().size() != 1 || node.operand(0).shape() != node.shape())
    throw Error(
        ErrorCode::rule,
        fmt::format("`default pass` of {} cannot pass {}: passing needs one operand of the node's own shape",
                    levels_[0].definition->name, describe(node)));
  return cotangent;
}

Value RecipeRun::in_world_of_rules(const Term& at, const Value& value) {
  const auto* expr = std::get_if<Expr>(&value);
  if (expr == nullptr) return value;
  World& world = world_named(levels_.size() - 1, at);
  const auto [entry, fresh] = to_worlds_.try_emplace(at.name);
  if (fresh) entry->second = translation(*final_, world);
  return entry->second(*expr);
}

Expr RecipeRun::zeros(const Type& type) const {
  return graph_.apply(engine_.operators.at("fill"), {},
                      FillAttributes{0, type.dtype, type.shape.with_samples(false)});
}

Expr RecipeRun::total(Expr focus) {
  if (!is_floating(focus.dtype()))
    throw Error(
        ErrorCode::dtype,
        fmt::format(
            "{} holds integers, which have no relevance; explain the value that looks them up (--at NAME)",
            describe(focus)));
  walk();
  const auto found = totals_.find(focus);
  return found != totals_.end() ? found->second : zeros(focus.type());
}

Expr RecipeRun::relevance(std::size_t level, Expr focus, Expr original) {
  return level + 1 == levels_.size() ? total(focus) : result(level + 1, focus, original);
}

Expr RecipeRun::result(std::size_t k, Expr focus, Expr original) {
  Level& level = levels_[k];
  const AnalyzerDefinition& definition = *level.definition;
  Expr value;
  if (definition.result == no_term) {
    value = relevance(k, focus, original);
  } else {
    const Value found = evaluate({.level = k, .original = original, .focus = focus}, definition.result);
    const auto* expr = std::get_if<Expr>(&found);
    const bool stacked = expr != nullptr && expr->shape().rank() == focus.shape().rank() + 1 &&
                         std::equal(focus.shape().dims().begin(), focus.shape().dims().end(),
                                    expr->shape().dims().begin() + 1);
    if (stacked) {
      value = *expr;
    } else {
      const RewriteContext context{graph_, vocabulary_, *user_facts_};
      const auto conformed = conform(context, found, focus.type(),
                                     [&] { return fmt::format("the result of {}", definition.name); });
      value = conformed ? *conformed : zeros(focus.type());
    }
  }
  if (value.loops() >> level.first_depth != 0)
    for (const Loop& loop : level.loops)
      if ((value.loops() >> loop.depth & 1) != 0) {
        const std::string& variable = loop.variables[0];
        throw Error(ErrorCode::rule,
                    fmt::format("{}the result of {} has a value for each `{}`; reduce it, as in `result mean "
                                "over {} (relevance)`",
                                at_place(definition.where), definition.name, variable, variable));
      }
  return value;
}

Analysis& RecipeRun::run() {
  prepare();
  analysis_.output = output_;
  for (const Expr node : explained_) analysis_.attributions.push_back(result(0, final_->image(node), node));
  if (walked_)
    for (const Expr node : explained_) analysis_.relevance.push_back(total(final_->image(node)));
  require_seed_used();
  find_totals();
  return analysis_;
}

/// Maps of one class under the name of what the person asked for would be wrong without a word.
void RecipeRun::require_seed_used() const {
  if (task_.seed != Question::Seed::tensor || (asks_seed_ && !asks_output_)) return;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("{} cannot explain a seed of one's own: {}; leave the seed out, or take a method that "
                  "starts from it",
                  levels_[0].definition->name,
                  asks_seed_
                      ? "beside relevance or score it asks for `target` or `y`, which a seed does not name"
                      : "it asks for neither relevance nor score"));
}

}  // namespace rulegrad
