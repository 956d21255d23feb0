#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_run.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Analyzers whose relevance others ask for, one within the other.
constexpr std::size_t most_askers = 16;

}  // namespace

Value RecipeRun::evaluate(Context context, TermId id) {
  // What a rule file itself says is a file lies beside it; what the caller says lies where the caller says.
  if (const Term& text = term(context.level, id); text.kind == TermKind::text && text.name.ends_with(".npy"))
    return read_array(text.name, &text.where);
  EvaluationHooks hooks;
  hooks.fact = [&](const Term& asked, const Meaning&, std::span<const Value> arguments) {
    return answer(context, asked, arguments);
  };
  hooks.world = [&](const Term& at, const std::function<Value()>& value) {
    World* const before = std::exchange(context.world, &world_named(context.level, at));
    const Value result = value();
    context.world = before;
    return result;
  };
  hooks.reduce = [&](const Term& reduce, const Value& value) { return reduced(context, reduce, value); };
  Evaluator evaluator(graph_, vocabulary_, hooks);
  Scope scope = scope_for(context.level, context.original);
  return evaluator.evaluate(terms(context.level), id, scope);
}

/// What names mean where `input` is this one.
Scope RecipeRun::scope_for(std::size_t k, Expr original) const {
  Scope scope = levels_[k].scope;
  for (const ForInput& own : levels_[k].for_inputs)
    if (original == own.input) scope.bind_copied(own.parameter, own.value);
  return scope;
}

std::optional<Value> RecipeRun::answer(const Context& context, const Term& asked,
                                       std::span<const Value> arguments) {
  if (asked.kind == TermKind::variable) return name_value(context, asked);
  if (asked.name == "onehot" && arguments.size() == 1) {
    if (const auto* index = std::get_if<double>(&arguments[0])) return onehot(constant_index(*index));
    return onehot(std::get<Expr>(arguments[0]));
  }
  if (asked.name == "relevance") return relevance_word(context, asked, arguments);
  if (asked.name == "normal" || asked.name == "uniform" || asked.name == "pick")
    return random_value(context, asked, arguments);
  return std::nullopt;
}

std::optional<Value> RecipeRun::name_value(const Context& context, const Term& asked) {
  Level& level = levels_[context.level];
  World& here = context.world != nullptr ? *context.world : level.moved;
  const std::string& name = asked.name;
  if (name == "input") return input_of(context);
  if (name == "relevance") return relevance_word(context, asked, {});
  if (name == "score") return score(context);
  if (name == "y" || name == "target") {
    asks_output_ |= !in_seed_;
    return name == "y" ? here.image(output_) : target();
  }
  if (const auto node = level.nodes.find(name); node != level.nodes.end()) return here.image(node->second);
  if (const auto method = level.methods.find(name); method != level.methods.end())
    return Value(AttrValue(method->second));
  for (const Let& let : level.definition->lets) {
    if (let.name != name) continue;
    if (++let_depth_ > 100)
      throw Error(ErrorCode::rule,
                  fmt::format("{}`let {}` is defined by itself, or by others more than 100 deep",
                              at_place(asked.where), name));
    // Each is worked out where it is asked for: one that asks for another twice, and so on, doubles the work.
    if (++lets_ > most_lets)
      throw Error(ErrorCode::rule,
                  fmt::format("{}`let`s are asked for more than {} times, `let {}` the last of them",
                              at_place(asked.where), most_lets, name));
    struct Leave {
      int& depth;
      ~Leave() { --depth; }
    } leave{let_depth_};
    return evaluate(context, let.value);
  }
  // Canonizers ask for parameters before all of them are bound.
  for (const Parameter& parameter : level.definition->parameters)
    if (parameter.name == name && parameter.type != "node") return parameter_value(context.level, parameter);
  return std::nullopt;
}

Expr RecipeRun::input_of(const Context& context) {
  World& world = context.world != nullptr ? *context.world : levels_[context.level].user;
  if (context.original) return world.image(context.original);
  if (context.focus) return translation(*final_, world)(context.focus);
  return world.image(explained_.at(0));
}

Expr RecipeRun::score(const Context& context) {
  World& world = context.world != nullptr ? *context.world : levels_[context.level].moved;
  const Expr y = world.image(output_), like = input_of(context);
  const auto& operators = engine_.operators;
  const Expr chosen = graph_.apply(operators.at("mul"), {score_seed(), y});
  const Expr sum = graph_.apply(operators.at("sum"), {chosen}, ReduceAttributes{{1}, false});
  std::vector<Dim> dims{sum.shape()[0]};
  dims.resize(std::max<std::size_t>(like.shape().rank(), 1), Dim{1});
  return graph_.apply(operators.at("reshape"), {sum}, ShapeAttributes{Shape(std::move(dims))});
}

/// What the output is multiplied with to give the score: the seed, taken once, on the user's own input, as
/// the target is.
Expr RecipeRun::score_seed() {
  if (in_seed_) return onehot(target());
  asks_seed_ = true;
  if (!score_seed_) score_seed_ = seed_in(levels_[0].user);
  return score_seed_;
}

/// A seed of the analyzer's own is taken in the given world, what the person says instead on the user's own
/// input.
Expr RecipeRun::seed_in(World& world) {
  in_seed_ = true;
  Value value;
  switch (task_.seed) {
    case Question::Seed::one:
      value = onehot(target());
      break;
    case Question::Seed::value:
      value = graph_.apply(engine_.operators.at("mul"), {onehot(target()), levels_[0].user.image(output_)});
      break;
    case Question::Seed::tensor:
      value = task_.seed_tensor;
      break;
    case Question::Seed::own:
      value = onehot(target());
      for (std::size_t k = 0; k < levels_.size(); ++k)
        if (const TermId own = levels_[k].definition->seed; own != no_term) {
          value = evaluate({.level = k, .original = explained_[0], .focus = {}, .world = &world}, own);
          break;
        }
  }
  in_seed_ = false;
  const auto conformed = conform(rewriting_by_user(), value, output_.type(),
                                 [&] { return fmt::format("the seed of {}", levels_[0].definition->name); });
  return conformed ? *conformed : zeros(output_.type());
}

Expr RecipeRun::target() {
  // Resolved once, on the user's own input, whatever worlds there are.
  if (!target_)
    target_ = task_.target ? task_.target
                           : graph_.apply(engine_.operators.at("argmax"), {output_}, ArgAttributes{1, false});
  return target_;
}

Expr RecipeRun::onehot(Expr index) {
  const Dim scores = output_.shape()[1];
  return graph_.apply(engine_.operators.at("one_hot"), {index},
                      OneHotAttributes{scores.factor, output_.dtype()});
}

Expr RecipeRun::constant_index(double index) {
  const double scores = static_cast<double>(output_.shape()[1].factor);
  if (!(index >= 0 && index < scores))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("onehot({}) names no score: the output has {} of them", index, scores));
  return graph_.constant(Tensor::scalar(DType::int64, index).reshaped({1}));
}

Value RecipeRun::reduced(const Context& context, const Term& reduce, const Value& value) {
  const Level& level = levels_[context.level];
  const Loop* loop = nullptr;
  std::vector<std::string> known;
  for (const Loop& one : level.loops)
    for (const std::string& variable : one.variables) {
      known.push_back(variable);
      if (variable == reduce.key) loop = &one;
    }
  if (loop == nullptr)
    throw Error(ErrorCode::unknown_name,
                at_place(reduce.where) +
                    (known.empty()
                         ? fmt::format("`over {}`: {} has no `for` loop", reduce.key, level.definition->name)
                         : unknown_name_message("sample variable", reduce.key, known)));
  const auto count = static_cast<double>(loop->count);
  const std::vector<std::string> kinds{"sum", "mean", "var", "max", "stack"};
  const auto kind =
      static_cast<SampleReduction>(std::find(kinds.begin(), kinds.end(), reduce.name) - kinds.begin());
  if (const auto* number = std::get_if<double>(&value)) {
    if (kind == SampleReduction::sum) return *number * count;
    if (kind == SampleReduction::var) return 0.0;
    if (kind != SampleReduction::stack) return *number;
  }
  Expr x;
  if (const auto* expr = std::get_if<Expr>(&value))
    x = *expr;
  else if (const auto* number = std::get_if<double>(&value))
    x = graph_.scalar(*number);
  else
    throw Error(ErrorCode::rule, fmt::format("{}`{} over {}` takes a value, not {}", at_place(reduce.where),
                                             reduce.name, reduce.key, describe(value)));
  if (!is_floating(x.dtype()))
    x = graph_.apply(engine_.operators.at("cast"), {x}, CastAttributes{graph_.real()});
  if ((x.loops() >> loop->depth & 1) != 0)
    return graph_.make(reduce_samples_schema(), {x}, ReduceSamplesAttributes{kind, loop->depth, loop->count});
  // It is the same for every sample.
  if (kind == SampleReduction::sum)
    return graph_.apply(engine_.operators.at("mul"), {x, graph_.scalar(count, x.dtype())});
  if (kind == SampleReduction::var) return zeros(x.type());
  if (kind != SampleReduction::stack) return x;
  std::vector<Dim> dims = x.shape().dims();
  dims.insert(dims.begin(), Dim{loop->count});
  return graph_.apply(engine_.operators.at("expand"), {x}, ShapeAttributes{Shape(std::move(dims))});
}

Value RecipeRun::random_value(const Context& context, const Term& call, std::span<const Value> arguments) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ErrorCode::rule, fmt::format("{}{}: {}", at_place(call.where), call.name, what));
  };
  const Value& given_key = arguments[arguments.size() - 2];
  const auto* number = std::get_if<double>(&given_key);
  if (number == nullptr || *number != std::floor(*number) || std::abs(*number) > 4294967295.0)
    refuse(fmt::format("the key must be a whole number of 32 bits, not {}", describe(given_key)));
  const auto key = static_cast<std::int64_t>(*number);

  Expr sample;
  if (const auto* index = std::get_if<double>(&arguments.back())) {
    sample = graph_.constant(Tensor::scalar(DType::int64, *index));
  } else {
    const auto* expr = std::get_if<Expr>(&arguments.back());
    if (expr == nullptr || expr->shape().rank() != 0)
      refuse(fmt::format("the last argument must be a sample's number, not {}", describe(arguments.back())));
    const bool counts = expr->is("cast") && expr->operand(0).dtype() == DType::int64;
    sample = counts ? expr->operand(0)
                    : graph_.apply(engine_.operators.at("cast"), {*expr}, CastAttributes{DType::int64});
  }

  const Expr input = input_of(context);
  if (input.shape().rank() == 0) refuse(fmt::format("{} has no batch axis", describe(input)));
  const Expr row = graph_.make(batch_index_schema(), {}, BatchIndexAttributes{Shape{input.shape()[0]}});
  if (call.name == "pick") {
    const auto* values = std::get_if<Expr>(&arguments[0]);
    if (values == nullptr || values->shape().rank() == 0 || values->shape()[0].batch)
      refuse(fmt::format("picks an entry of an array [n, ...], not of {}", describe(arguments[0])));
    const Expr index = graph_.apply(engine_.operators.at("random_index"), {row, sample},
                                    RandomIndexAttributes{key, 0, values->shape()[0].factor});
    return graph_.apply(engine_.operators.at("gather"), {*values, index}, AxisAttributes{0});
  }
  std::vector<Dim> dims = input.shape().dims();
  if (arguments.size() == 3) {
    const auto* attribute = attribute_in(arguments[0]);
    const auto* axes = attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
    if (axes == nullptr || (*axes != "per_sample" && *axes != "spatial" && *axes != "channels"))
      refuse(fmt::format("the axes that share a number are `per sample`, `spatial` or `channels`, not {}",
                         describe(arguments[0])));
    for (std::size_t axis = *axes == "spatial" ? 2 : 1;
         axis < (*axes == "channels" ? std::min<std::size_t>(2, dims.size()) : dims.size()); ++axis)
      dims[axis] = Dim{1};
  }
  std::int64_t stream = task_.stream;
  for (std::size_t j = 0; j < explained_.size(); ++j)
    if (context.original == explained_[j] || (context.focus && final_->image(explained_[j]) == context.focus))
      stream += static_cast<std::int64_t>(j);
  const OpSchema& op = engine_.operators.at(call.name == "normal" ? "random_normal" : "random_uniform");
  const DType dtype = is_floating(input.dtype()) ? input.dtype() : graph_.real();
  return graph_.apply(op, {row, sample}, RandomAttributes{key, stream, dtype, Shape(std::move(dims))});
}

Value RecipeRun::relevance_word(const Context& context, const Term& call, std::span<const Value> arguments) {
  if (!context.focus)
    throw Error(ErrorCode::rule,
                fmt::format("{}`relevance` is known in a `result` only", at_place(call.where)));
  for (const auto& [name, id] : call.named)
    if (name == "of") return relevance_of(context, term(context.level, id));
  Expr value;
  if (arguments.empty()) {
    value = relevance(context.level, context.focus, context.original);
  } else {
    const Level& level = levels_[context.level];
    const Term& node = term(context.level, call.args.at(0));
    Expr original;
    if (const auto found = level.nodes.find(node.name);
        node.kind == TermKind::variable && found != level.nodes.end())
      original = found->second;
    if (!original)
      throw Error(
          ErrorCode::rule,
          fmt::format("{}relevance(...) takes a parameter that is a node, as in `layer: node = last(conv)`",
                      at_place(call.where)));
    if (const Expr of = context.original;
        of && of != original && !ForwardFacts(std::span(&original, 1), std::span(&of, 1)).depends(original))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{}: {} = {} does not depend on {}, so that it says nothing of it; explain "
                              "what it depends on, or name a node that does",
                              level.definition->name, node.name, describe(original), describe(of)));
    value = relevance(context.level, final_->image(original), original);
  }
  return context.world == nullptr || context.world == &levels_[context.level].moved
             ? value
             : translation(*final_, *context.world)(value);
}

/// What another analyzer gives in the world that this level runs in.
Value RecipeRun::relevance_of(const Context& context, const Term& method) {
  Level& level = levels_[context.level];
  World& world = context.world != nullptr ? *context.world : level.moved;
  std::size_t position = 0;
  while (position < explained_.size() && final_->image(explained_[position]) != context.focus) ++position;
  if (position == explained_.size())
    throw Error(ErrorCode::rule, fmt::format("{}`relevance of {}` at an inner node is not defined",
                                             at_place(method.where), method.name));

  std::string key = fmt::format("{}/{}/{}", context.level, static_cast<const void*>(&world), method.name);
  for (const TermId id : method.args) key += "/" + print_term(terms(context.level), id);
  for (const auto& [name, id] : method.named)
    key += fmt::format("/{}={}", name, print_term(terms(context.level), id));
  std::unique_ptr<RecipeRun>& other = others_[key];
  if (!other) {
    std::string name = method.name;
    LazyArguments given;
    Context at = context;
    at.world = &world;
    if (const auto chosen = level.methods.find(name); chosen != level.methods.end()) {
      const AnalyzerCall call = AnalyzerCall::parse(chosen->second);
      name = call.name;
      given = lazy_arguments(graph_, call);
    } else {
      for (const TermId id : method.args)
        given.emplace_back(std::string(), [this, at, id] { return evaluate(at, id); });
      for (const auto& [parameter, id] : method.named)
        given.emplace_back(parameter, [this, at, id = id] { return evaluate(at, id); });
    }
    Substitution moved;
    for (const auto& [node, value] : world.placements()) {
      Expr original = node;
      for (std::size_t j = 0; j < explained_.size(); ++j)
        if (explained_[j] == node) original = task_.explained[j];
      moved.set(original, value);
    }
    Task task = task_;
    task.output = moved(task_.output);
    for (Expr& node : task.explained) node = moved(node);
    for (Expr& node : task.inputs) node = moved(node);
    task.keep.clear();
    task.target = target();
    task.depth = next_depth_;
    task.samples = samples_;
    task.askers.push_back(levels_[context.level].definition->name);
    if (task.askers.size() > most_askers)
      throw Error(ErrorCode::rule,
                  fmt::format("{}analyzers ask for each other's relevance without end: {} -> {}",
                              at_place(method.where), fmt::join(task.askers, " -> "), name));
    other = std::make_unique<RecipeRun>(engine_, name, std::move(given), std::move(task));
    const Analysis& found = other->run();
    asks_seed_ |= other->asks_seed_;
    asks_output_ |= other->asks_output_;
    analysis_.steps.insert(analysis_.steps.end(), found.steps.begin(), found.steps.end());
    analysis_.notes.insert(analysis_.notes.end(), found.notes.begin(), found.notes.end());
  }
  return other->analysis_.attributions.at(position);
}

}  // namespace rulegrad
