#include "rewrite/evaluate_term.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/classes.hpp"
#include "rewrite/language_words.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr int depth_limit = 200;
/// Functions that call others twice, and those again, would otherwise run for ages.
constexpr std::int64_t call_limit = 20'000;

/// Numbers that attributes hold take part in arithmetic as numbers.
Value from_attribute(AttrValue attribute) {
  if (const auto* integer = std::get_if<std::int64_t>(&attribute)) return static_cast<double>(*integer);
  if (const auto* number = std::get_if<double>(&attribute)) return *number;
  if (const auto* flag = std::get_if<bool>(&attribute)) return *flag ? 1.0 : 0.0;
  return attribute;
}

/// Shapes, lists and words are compared as a whole; nothing where either is a value of the network.
std::optional<bool> same_static(const Value& a, const Value& b) {
  const AttrValue *left = attribute_in(a), *right = attribute_in(b);
  if (left == nullptr || right == nullptr) return std::nullopt;
  const auto numbers = [](const AttrValue& value) -> std::optional<std::vector<double>> {
    if (const auto* doubles = std::get_if<std::vector<double>>(&value)) return *doubles;
    if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&value))
      return std::vector<double>(integers->begin(), integers->end());
    if (const auto* shape = std::get_if<Shape>(&value); shape != nullptr && !shape->has_batch()) {
      std::vector<double> extents;
      for (const Dim dim : shape->dims()) extents.push_back(static_cast<double>(dim.factor));
      return extents;
    }
    return std::nullopt;
  };
  const auto a_numbers = numbers(*left), b_numbers = numbers(*right);
  return a_numbers && b_numbers ? *a_numbers == *b_numbers : equal(*left, *right);
}

template <class Small>
std::span<const Value> spanned(const Small& values) {
  return {values.data(), values.size()};
}

/// One entry stands for all where the value is the same for all: also where steps are merged with the batch.
Shape without_batch(const Shape& shape, const Shape& value) {
  std::vector<Dim> dims;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    const std::size_t from_back = shape.rank() - axis;
    const bool differs = from_back <= value.rank() && !value[value.rank() - from_back].is(1);
    dims.emplace_back(shape[axis].batch && !differs ? 1 : shape[axis].factor);
  }
  return Shape(std::move(dims), false);
}

}  // namespace

std::string describe(const Value& value) {
  if (const auto* number = std::get_if<double>(&value))
    return fmt::format("the number {}", shortest(*number));
  if (const auto* expr = std::get_if<Expr>(&value)) return describe(*expr);
  return to_string(*attribute_in(value));
}

std::string at_place(const SourceRange& where) {
  return where.file.empty() ? std::string() : fmt::format("{}:{}:{}: ", where.file, where.line, where.column);
}

void Evaluator::fail(const Term& term, const std::string& what) const {
  throw TermError(ErrorCode::rule, what, term.where);
}

Value Evaluator::evaluate_body(const Terms& terms, std::span<const Let> lets, TermId result, Scope& scope) {
  for (const Let& let : lets) scope.bind(let.name, evaluate(terms, let.value, scope));
  return evaluate(terms, result, scope);
}

Value Evaluator::evaluate(const Terms& terms, TermId id, Scope& scope) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  switch (term.kind) {
    case TermKind::number:
      return term.number;
    case TermKind::text:
      return *vocabulary_.of(terms, term).text;
    case TermKind::variable: {
      if (const Value* bound = scope.find(term.name)) return *bound;
      if (hooks_.fact)
        if (const auto fact = hooks_.fact(term, vocabulary_.of(terms, term), {})) return *fact;
      if (const Word* word = vocabulary_.of(terms, term).word;
          word != nullptr && word->value != nullptr && word->least_arguments() == 0)
        return call_word(*word, term, {});
      fail(term, fmt::format("'{}' is not bound here", term.name));
    }
    case TermKind::list: {
      std::vector<double> numbers;
      for (const TermId arg : term.args) {
        const Value value = evaluate(terms, arg, scope);
        if (const auto* number = std::get_if<double>(&value))
          numbers.push_back(*number);
        else
          fail(term, fmt::format("lists hold numbers, not {}", describe(value)));
      }
      return AttrValue(std::move(numbers));
    }
    case TermKind::call:
      return call(terms, term, scope);
    case TermKind::replace:
      return replace(terms, term, scope);
    case TermKind::member:
      return member(term, evaluate(terms, term.args[0], scope));
    case TermKind::world:
      if (!hooks_.world)
        fail(term, fmt::format("'@{}' has no value here: worlds belong to analyzers", term.name));
      return hooks_.world(term, [&] { return evaluate(terms, term.args[0], scope); });
    case TermKind::reduce:
      if (!hooks_.reduce)
        fail(term,
             fmt::format("`{} over {}` has no value here: loops belong to analyzers", term.name, term.key));
      return hooks_.reduce(term, evaluate(terms, term.args[0], scope));
    default:
      fail(term, "this term has no value here");
  }
}

bool Evaluator::evaluate_condition(const Terms& terms, TermId id, Scope& scope) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  if (term.kind == TermKind::call) switch (vocabulary_.of(terms, term).form) {
      case Form::conjunction:
        return evaluate_condition(terms, term.args[0], scope) &&
               evaluate_condition(terms, term.args[1], scope);
      case Form::disjunction:
        return evaluate_condition(terms, term.args[0], scope) ||
               evaluate_condition(terms, term.args[1], scope);
      case Form::negation:
        return !evaluate_condition(terms, term.args[0], scope);
      default:
        break;
    }
  const Value value = evaluate(terms, id, scope);
  if (const auto* number = std::get_if<double>(&value)) return *number != 0;
  fail(term,
       fmt::format("a condition must be known when the rule is applied, but this is {}", describe(value)));
}

Expr Evaluator::as_expr(const Value& value, std::optional<DType> dtype) {
  if (const auto* expr = std::get_if<Expr>(&value)) return *expr;
  if (const auto* number = std::get_if<double>(&value))
    return graph_.scalar(*number, dtype.value_or(graph_.real()));
  if (const auto* tensor = std::get_if<Tensor>(attribute_in(value)))
    return graph_.constant(tensor->cast(dtype.value_or(graph_.real())));
  throw Error(ErrorCode::rule, fmt::format("{} cannot be used as an expression", describe(value)));
}

Value Evaluator::call(const Terms& terms, const Term& term, Scope& scope) {
  if (++depth_ > depth_limit) fail(term, fmt::format("'{}' calls itself without end", term.name));
  if (depth_ == 1) calls_ = 0;
  if (++calls_ > call_limit)
    fail(term, fmt::format("this takes more than {} calls; bind what is used twice with `let`", call_limit));
  struct Leave {
    int& depth;
    ~Leave() { --depth; }
  } leave{depth_};

  const Meaning& meaning = vocabulary_.of(terms, term);
  const Form form = meaning.form;
  if (form == Form::conjunction || form == Form::disjunction || form == Form::negation) {
    // Conditions are asked for as such; elsewhere these are the elementwise operators.
    Arguments arguments;
    for (const TermId arg : term.args) arguments.push_back(evaluate(terms, arg, scope));
    const OpSchema& op = operators_.at("logical_" + term.name);
    return call_operator(op, terms, term, spanned(arguments), scope);
  }
  if (form == Form::comparison) return is(terms, term, scope) ? 1.0 : 0.0;
  if (const Word* word = meaning.word)
    return call_word(*word, term, spanned(word_arguments(*word, terms, term, scope)));
  const OpSchema* op = meaning.op;
  const Function* function = meaning.function;  // evaluating arguments may look other terms up
  Arguments arguments;
  for (const TermId arg : term.args) {
    const Term& argument = terms[static_cast<std::size_t>(arg)];
    if (argument.kind == TermKind::spread) continue;
    // Behind the operands stand attributes; one that is a yes or no may be said by its name: `sum(v, axes,
    // keep)`.
    const bool flag = op != nullptr && !op->variadic() && arguments.size() >= op->operands.size() &&
                      argument.kind == TermKind::variable && op->attributes->has(argument.name) &&
                      scope.find(argument.name) == nullptr;
    arguments.push_back(flag ? Value(1.0) : evaluate(terms, arg, scope));
  }

  // A choice that is known now is no operation.
  if (form == Form::choice && arguments.size() == 3)
    if (const auto* chosen = std::get_if<double>(&arguments[0]))
      return *chosen != 0 ? arguments[1] : arguments[2];
  if (arguments.size() == 2 && (term.name == "equal" || term.name == "not_equal"))
    if (const auto same = same_static(arguments[0], arguments[1]))
      return *same == (term.name == "equal") ? 1.0 : 0.0;
  if (op != nullptr && op->fold && arguments.size() == op->operands.size() &&
      std::all_of(arguments.begin(), arguments.end(),
                  [](const Value& v) { return std::holds_alternative<double>(v); })) {
    boost::container::small_vector<double, 2> numbers;
    for (const Value& argument : arguments) numbers.push_back(std::get<double>(argument));
    return op->fold({numbers.data(), numbers.size()});
  }

  if (op != nullptr) return call_operator(*op, terms, term, spanned(arguments), scope);
  if (function != nullptr)
    return call_function(*function, term, std::span(arguments.data(), arguments.size()));
  std::vector<std::string> known = operators_.names();
  for (const auto& [name, known_function] : vocabulary_.functions()) known.push_back(name);
  for (const Word& other : words()) known.emplace_back(other.name);
  fail(term, unknown_name_message("operator or function", term.name, known));
}

Evaluator::Arguments Evaluator::word_arguments(const Word& word, const Terms& terms, const Term& term,
                                               Scope& scope) {
  const std::size_t given = term.args.size() + term.named.size();
  Arguments arguments;
  const auto add = [&](TermId id) {
    if (word.takes_class(arguments.size(), given))
      arguments.push_back(class_value(terms, id, scope));
    else
      arguments.push_back(evaluate(terms, id, scope));
  };
  for (const TermId arg : term.args) add(arg);
  for (const auto& [name, id] : term.named) {
    // What a recipe is told by name it reads itself: a method is no value.
    const auto position = word.position_of(name);
    const bool own = word.kind == WordKind::recipe;
    if (!position || (!own && position != arguments.size()))
      fail(term, fmt::format("`{}` has no argument '{}' here", word.usage(), name));
    if (!own) add(id);
  }
  return arguments;
}

bool Evaluator::names_class(std::string_view name) const {
  return op_class_from_name(name).has_value() || operators_.find(name) != nullptr;
}

Value Evaluator::class_value(const Terms& terms, TermId id, const Scope& scope) const {
  const Term& term = terms[static_cast<std::size_t>(id)];
  if (term.kind != TermKind::variable || scope.find(term.name) != nullptr)
    return AttrValue(class_text(terms, id, scope));
  const Meaning& meaning = vocabulary_.of(terms, term);
  if (!meaning.text) meaning.text = StaticValue(AttrValue(class_text(terms, id, scope)));
  return *meaning.text;
}

std::string Evaluator::class_text(const Terms& terms, TermId id, const Scope& scope) const {
  const Term& term = terms[static_cast<std::size_t>(id)];
  if (term.kind == TermKind::call && term.name == "or")
    return class_text(terms, term.args[0], scope) + " or " + class_text(terms, term.args[1], scope);
  std::string name = term.name;
  if (term.kind == TermKind::variable) {
    if (vocabulary_.of(terms, term).operators() && scope.find(term.name) == nullptr) return name;
    if (const Value* bound = scope.find(term.name))
      if (const auto* attribute = attribute_in(*bound))
        if (const auto* text = std::get_if<std::string>(attribute)) name = *text;
  }
  if ((term.kind == TermKind::variable || term.kind == TermKind::text) && names_class(name)) return name;
  std::vector<std::string> known = operators_.names();
  known.insert(known.end(), std::begin(op_class_names), std::end(op_class_names));
  fail(term, unknown_name_message("class or operator", name, known));
}

bool Evaluator::is(const Terms& terms, const Term& term, Scope& scope) {
  const Value left = evaluate(terms, term.args[0], scope);
  const Expr* node = std::get_if<Expr>(&left);
  if (node == nullptr) fail(term, fmt::format("`is` asks about an operation, not {}", describe(left)));
  const Term& what = terms[static_cast<std::size_t>(term.args[1])];
  if (what.kind == TermKind::variable && scope.find(what.name) == nullptr)
    return covers_node(class_text(terms, term.args[1], scope), *node);
  const Value right = evaluate(terms, term.args[1], scope);
  if (const auto* other = std::get_if<Expr>(&right)) return *node == *other;
  if (const auto* attribute = attribute_in(right))
    if (const auto* text = std::get_if<std::string>(attribute)) return is_named(*node, *text);
  fail(term,
       fmt::format("`is` compares with a node, its name, an operator or a class, not {}", describe(right)));
}

Value Evaluator::replace(const Terms& terms, const Term& term, Scope& scope) {
  const Value* bound = scope.find(term.name);
  const Expr* operation = bound == nullptr ? nullptr : std::get_if<Expr>(bound);
  if (operation == nullptr)
    fail(term, fmt::format("'{}(...)' must name an operation that the pattern bound", term.name));
  const OpSchema& op = operation->op();
  std::vector<Expr> operands(operation->operands().begin(), operation->operands().end());
  for (const auto& [role, id] : term.named) {
    const auto position = op.position_of(role);
    if (!position) {
      std::vector<std::string> roles;
      for (const OperandSpec& spec : op.operands) roles.push_back(spec.name);
      fail(term, unknown_name_message("operand of " + op.name, role, roles));
    }
    Expr& operand = operands[*position];
    const Expr value = as_expr(evaluate(terms, id, scope), operand.dtype());
    // Absent operands have one form, the scalar 0; others take the shape of their role, free of the batch
    // where the value is, so that what depends on constants alone is folded once.
    const bool keeps = op.operand(*position).optional;
    operand =
        keeps ? value
              : expand_to(value, value.shape().has_batch() ? operand.shape()
                                                           : without_batch(operand.shape(), value.shape()));
  }
  try {
    return graph_.make(op, std::move(operands), operation->attributes());
  } catch (const Error& error) {
    throw TermError(error.code(), error.what(), term.where);
  }
}

Value Evaluator::member(const Term& term, const Value& owner) {
  const Expr* operation = std::get_if<Expr>(&owner);
  if (operation == nullptr)
    fail(term,
         fmt::format("'.{}' asks an attribute of {}, which is no operation", term.name, describe(owner)));
  if (operation->attributes().type().has(term.name))
    return from_attribute(operation->attributes().get(term.name));
  if (const auto position = operation->op().position_of(term.name)) return operation->operand(*position);
  std::vector<std::string> known = operation->attributes().type().fields;
  for (const OperandSpec& spec : operation->op().operands) known.push_back(spec.name);
  fail(term, unknown_name_message("attribute or operand of " + operation->op().name, term.name, known));
}

}  // namespace rulegrad
