#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/classes.hpp"
#include "rewrite/evaluate_term.hpp"
#include "rewrite/language_words.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

// What calls in terms give: words of the language, functions of rule files, operators.
namespace rulegrad {
namespace {

/// What few operations make of constants of one number, as in `least = sqrt(e)`.
std::optional<double> known_number(Expr expr, int operations = 4) {
  const auto constant = constant_value(expr);
  if (constant || operations == 0 || !expr.op().fold) return constant;
  boost::container::small_vector<double, 2> numbers;
  for (const Expr operand : expr.operands()) {
    const auto number = known_number(operand, operations - 1);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  return expr.op().fold({numbers.data(), numbers.size()});
}

}  // namespace

Value Evaluator::call_word(const Word& word, const Term& term, std::span<const Value> arguments) {
  if (arguments.size() < word.least || arguments.size() > word.most)
    fail(term, wrong_argument_count(word, arguments.size()));
  if (word.value != nullptr) {
    try {
      return word.value({term, arguments, slot_, graph_, operators_});
    } catch (const Error& error) {
      throw TermError(error.code(), error.what(), term.where, true);
    }
  }
  if (word.name == "const") {
    if (const auto* held = std::get_if<Expr>(&arguments[0]))
      return graph_.apply(operators_.at("const"), {*held});
    return arguments[0];
  }
  if (word.name == "aux") return call_aux(term, arguments);
  if (word.name == "vjp" && hooks_.vjp) return call_vjp(term, arguments);
  if (word.name == "next" && next_) return next_(as_expr(arguments[0]));
  if (word.name == "diff" && hooks_.diff)
    return hooks_.diff(as_expr(arguments[0]), as_expr(arguments[1]), as_expr(arguments[2]));
  if (hooks_.fact)
    if (const auto fact =
            hooks_.fact(term, {.word = &word, .op = nullptr, .op_class = {}, .function = nullptr}, arguments))
      return *fact;
  fail(term, fmt::format("`{}` has no value here", word.usage()));
}

Value Evaluator::call_aux(const Term& term, std::span<const Value> arguments) {
  const auto* node = std::get_if<Expr>(&arguments[0]);
  const auto* attribute = attribute_in(arguments[1]);
  const auto* key = attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
  if (node == nullptr || key == nullptr)
    fail(term, "aux takes an operation and the name of what belongs to it: aux(y, \"pattern\")");
  const Expr* like = arguments.size() > 2 ? std::get_if<Expr>(&arguments[2]) : nullptr;
  const auto weights = node->op().position_of("w");
  if (like == nullptr && (arguments.size() > 2 || !weights))
    fail(term, fmt::format(
                   "{} has no weights whose shape aux could take; say what has its shape: aux(y, \"{}\", x)",
                   describe(*node), *key));
  const Expr wanted = like != nullptr ? *like : node->operand(*weights);
  if (!hooks_.aux)
    throw TermError(
        ErrorCode::invalid_argument,
        fmt::format("'{}' of {} is asked for, but no file of such arrays was given (--aux FILE.npz)", *key,
                    describe(*node)),
        term.where);
  try {
    return hooks_.aux(*node, *key, wanted);
  } catch (const Error& error) {
    throw TermError(error.code(), error.what(), term.where);
  }
}

Value Evaluator::call_vjp(const Term& term, std::span<const Value> arguments) {
  const Expr* operation = std::get_if<Expr>(&arguments[0]);
  if (operation == nullptr || operation->operands().empty())
    fail(term, fmt::format("vjp takes an operation, not {}", describe(arguments[0])));
  std::size_t slot = 0;
  if (matched_ && &operation->op() == &matched_.op())
    slot = slot_;
  else
    while (operation->op().operand(slot).role != Role::data) ++slot;
  return hooks_.vjp(*operation, slot, expand_to(as_expr(arguments[1]), operation->shape()));
}

Value Evaluator::call_function(const Function& function, const Term& term, std::span<Value> arguments) {
  if (arguments.size() != function.parameters.size())
    fail(term, fmt::format("fn {} takes {} arguments ({}) but {} were given", function.name,
                           function.parameters.size(), join(function.parameters), arguments.size()));
  Scope inner;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    inner.bind(function.parameters[i], std::move(arguments[i]));
  return evaluate_body(function.terms, function.lets, function.result, inner);
}

Value Evaluator::call_operator(const OpSchema& op, const Terms& terms, const Term& term,
                               std::span<const Value> arguments, Scope& scope) {
  std::optional<DType> dtype;
  for (const Value& argument : arguments)
    if (const auto* expr = std::get_if<Expr>(&argument); expr != nullptr && expr->dtype() != DType::boolean)
      if (!dtype || (is_floating(expr->dtype()) && !is_floating(*dtype))) dtype = expr->dtype();
  // Arguments behind the operands are attributes, in their order.
  const std::size_t taken = op.variadic() ? arguments.size() : std::min(arguments.size(), op.operands.size());
  std::vector<Expr> operands;
  operands.reserve(op.operands.size());
  for (std::size_t i = 0; i < taken; ++i) operands.push_back(as_expr(arguments[i], dtype));

  std::vector<NamedValue> named;
  for (const TermId arg : term.args) {
    const Term& spread = terms[static_cast<std::size_t>(arg)];
    if (spread.kind != TermKind::spread) continue;
    const Value* source = scope.find(spread.name);
    const Expr* operation = source == nullptr ? nullptr : std::get_if<Expr>(source);
    if (operation == nullptr)
      fail(spread, fmt::format("'..{}' must name an operation that the pattern bound", spread.name));
    for (auto& [field, value] : operation->attributes().values())
      if (op.attributes->has(field)) named.emplace_back(field, std::move(value));
  }
  for (std::size_t i = taken; i < arguments.size(); ++i) {
    const std::size_t field = i - taken;
    // `quantile(v, q, per sample)`: of each sample is what it computes.
    const auto* attribute = attribute_in(arguments[i]);
    const auto* word = attribute == nullptr ? nullptr : std::get_if<std::string>(attribute);
    if (field >= op.attributes->fields.size()) {
      if (word != nullptr && *word == "per_sample" && op.name == "quantile") continue;
      fail(term, fmt::format("{} takes {} operand{} and {} attribute{} but {} arguments are given", op.name,
                             taken, taken == 1 ? "" : "s", op.attributes->fields.size(),
                             op.attributes->fields.size() == 1 ? "" : "s", arguments.size()));
    }
    if (!add_attribute(named, op, operands, term, op.attributes->fields[field], arguments[i]))
      return operands[0];
  }
  for (const auto& [name, id] : term.named)
    if (!add_attribute(named, op, operands, term, name, evaluate(terms, id, scope))) return operands[0];
  try {
    if (named.empty()) return graph_.apply(op, std::move(operands));
    return graph_.apply(op, std::move(operands), Attributes::make(*op.attributes, named));
  } catch (const Error& error) {
    throw TermError(error.code(), error.what(), term.where);
  }
}

bool Evaluator::add_attribute(std::vector<NamedValue>& named, const OpSchema& op,
                              std::span<const Expr> operands, const Term& term, const std::string& name,
                              const Value& value) {
  const auto* expr = std::get_if<Expr>(&value);
  const auto constant = expr != nullptr ? known_number(*expr) : std::nullopt;
  if (expr != nullptr && !constant)
    throw UnknownAttribute(
        ErrorCode::rule,
        fmt::format("attribute '{}' of {} must be known when the rule is applied, but is {}", name, op.name,
                    describe(value)),
        term.where, true);
  const auto* number = std::get_if<double>(&value);
  AttrValue attribute = constant            ? AttrValue(*constant)
                        : number != nullptr ? AttrValue(*number)
                                            : *attribute_in(value);
  // The one axis of a reduction is the axis of a softmax.
  if (const auto* axes = std::get_if<std::vector<std::int64_t>>(&attribute);
      axes != nullptr && axes->size() == 1 && name == "axis")
    attribute = std::int64_t{axes->front()};
  if (name == "axes" && std::holds_alternative<double>(attribute))
    attribute = std::vector<double>{std::get<double>(attribute)};
  if (const auto* word = std::get_if<std::string>(&attribute); word != nullptr && !operands.empty())
    if (const auto axes = axes_of_set(*word, operands[0].shape().rank())) {
      if (name == "axis" && axes->size() == 1) {
        attribute = axes->front();
      } else if (name == "axes") {
        if (axes->empty()) return false;
        attribute = *axes;
        // What was reduced over an axis set keeps its axes, so that it lines up with what it was reduced
        // from.
        const auto keeps = [](const NamedValue& other) { return other.first == "keep"; };
        if (op.attributes->has("keep") && std::none_of(named.begin(), named.end(), keeps))
          named.emplace_back("keep", 1.0);
      }
    }
  const auto same =
      std::find_if(named.begin(), named.end(), [&](const NamedValue& other) { return other.first == name; });
  if (same != named.end())
    same->second = std::move(attribute);
  else
    named.emplace_back(name, std::move(attribute));
  return true;
}

Expr Evaluator::expand_to(Expr value, const Shape& shape) {
  if (value.shape().dims() == shape.dims()) return value;
  if (const auto number = constant_value(value); number && value.shape().rank() == 0)
    return graph_.apply(operators_.at("fill"), {},
                        FillAttributes{*number, value.dtype(), shape.with_samples(false)});
  return graph_.apply(operators_.at("expand"), {value}, ShapeAttributes{shape.with_samples(false)});
}

}  // namespace rulegrad
