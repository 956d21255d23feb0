#include "check/rule_examples.hpp"

#include <algorithm>
#include <optional>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/match.hpp"

namespace rulegrad {
namespace {

constexpr std::size_t most_results = 8;
constexpr int deepest = 4, most_assembled = 3000;

/// Operators that stand for leaves or for gradients are no examples of a forward operation.
bool is_forward(const OpSchema& op) {
  return op.examples && op.name != "input" && op.name != "constant" && op.name != "grad" && op.name != "vjp";
}

std::vector<Type> types_of(const OpExample& example, DType real) {
  std::vector<Type> types;
  for (const ExampleOperand& operand : example.operands)
    types.push_back({is_floating(operand.dtype) ? real : operand.dtype, Shape::of(operand.dims)});
  return types;
}

std::int64_t size_of(Expr expr) {
  std::int64_t size = expr.shape().count().factor;
  for (const Expr operand : expr.operands()) size += operand.shape().count().factor;
  return size;
}

/// Extents of `from` become those of `to` where they stand at the same axes; nothing if one would become two.
std::optional<std::map<std::int64_t, std::int64_t>> extents_between(const Shape& from, const Shape& to) {
  if (from.rank() != to.rank()) return std::nullopt;
  std::map<std::int64_t, std::int64_t> result;
  for (std::size_t axis = 0; axis < from.rank(); ++axis) {
    // The batch is no extent of a parameter.
    if (axis == 0 && from.rank() > 1) continue;
    result.try_emplace(from[axis].factor, to[axis].factor);
  }
  return result;
}

}  // namespace

Type RuleExamples::usual_type() const {
  return {graph_.real(), Shape{2, 3}};
}

Expr RuleExamples::input(const Type& type) {
  return graph_.input("example" + std::to_string(inputs_++), type);
}

bool RuleExamples::is_operation(const Term& term) const {
  return term.kind == TermKind::call ||
         (term.kind == TermKind::variable &&
          (operators_.find(term.name) != nullptr || op_class_from_name(term.name)));
}

std::vector<Expr> RuleExamples::of(const OpSchema& root) {
  const Term* call = root_call(rule_.terms, rule_.pattern);
  std::vector<Expr> result;
  if (!is_forward(root)) return result;
  for (Grown& grown : grow_operation(root, call, nullptr, {}, 0)) result.push_back(grown.expr);
  std::stable_sort(result.begin(), result.end(), [](Expr a, Expr b) { return size_of(a) < size_of(b); });
  return result;
}

std::vector<RuleExamples::Grown> RuleExamples::grow(TermId pattern, const Type* type, const Bound& bound,
                                                    int depth) {
  const Term& term = at(pattern);
  if (depth > deepest) return {};
  if (is_operation(term)) {
    std::vector<Grown> result;
    for (const auto& op : operators_.all()) {
      if (!covers(term.name, *op) || !is_forward(*op)) continue;
      for (Grown& grown :
           grow_operation(*op, term.kind == TermKind::call ? &term : nullptr, type, bound, depth + 1)) {
        result.push_back(std::move(grown));
        if (result.size() >= most_results) return result;
      }
    }
    return result;
  }
  switch (term.kind) {
    case TermKind::label: {
      std::vector<Grown> result = grow(term.args[0], type, bound, depth);
      for (Grown& grown : result) grown.bound.emplace(term.name, grown.expr);
      return result;
    }
    case TermKind::number: {
      if (type == nullptr) return {{graph_.scalar(term.number), bound}};
      if (!is_floating(type->dtype)) return {};
      std::vector<double> values(static_cast<std::size_t>(type->shape.count().factor), term.number);
      Dims dims;
      for (const Dim dim : type->shape.dims()) dims.push_back(dim.factor);
      return {
          {graph_.constant(Tensor({static_cast<std::int64_t>(values.size())}, std::span<const double>(values))
                               .cast(type->dtype)
                               .reshaped(dims)),
           bound}};
    }
    case TermKind::variable:
      if (const auto found = bound.find(term.name); found != bound.end()) {
        if (type != nullptr && found->second.type() != *type) return {};
        return {{found->second, bound}};
      } else {
        const Expr leaf = input(type != nullptr ? *type : usual_type());
        Grown grown{leaf, bound};
        grown.bound.emplace(term.name, leaf);
        return {std::move(grown)};
      }
    default:
      return {{input(type != nullptr ? *type : usual_type()), bound}};
  }
}

Attributes RuleExamples::with_pattern(const OpSchema& op, const Term* call,
                                      const Attributes& attributes) const {
  Attributes plain = &attributes.type() == op.attributes ? attributes : Attributes::make(*op.attributes, {});
  if (call == nullptr || call->named.empty()) return plain;
  std::vector<NamedValue> values = plain.values();
  for (const auto& [name, id] : call->named) {
    const Term& wanted = at(id);
    for (auto& [field, value] : values)
      if (field == name)
        value = wanted.kind == TermKind::text ? AttrValue(wanted.name) : AttrValue(wanted.number);
  }
  return Attributes::make(*op.attributes, values);
}

std::vector<RuleExamples::Grown> RuleExamples::grow_operation(const OpSchema& op, const Term* call,
                                                              const Type* type, const Bound& bound,
                                                              int depth) {
  RandomEngine random(7);
  std::vector<Grown> result;
  const auto keep = [&](std::vector<Grown> more) {
    for (Grown& grown : more)
      if (type == nullptr || grown.expr.type() == *type) result.push_back(std::move(grown));
  };
  for (const OpExample& example : op.examples(random)) {
    if (depth > 0 && result.size() >= most_results) break;
    Attributes attributes;
    try {
      attributes = with_pattern(op, call, example.attributes);
    } catch (const Error&) {
      continue;
    }
    const std::vector<Type> types = types_of(example, graph_.real());
    keep(assemble(op, call, types, attributes, bound, depth));
    // An operator that works element by element takes operands of whatever shape its result is to have.
    if (type != nullptr && result.empty() && op.is(OpClass::elementwise))
      keep(assemble(op, call, std::vector<Type>(types.size(), *type), attributes, bound, depth));
  }
  return result;
}

std::vector<RuleExamples::Grown> RuleExamples::assemble(const OpSchema& op, const Term* call,
                                                        std::vector<Type> types, const Attributes& attributes,
                                                        const Bound& bound, int depth) {
  if (++assembled_ > most_assembled) return {};
  const bool named =
      call != nullptr && !(call->args.size() == 1 && at(call->args[0]).kind == TermKind::ellipsis);
  const std::size_t patterns = named ? call->args.size() : 0;
  // A pattern may name an operand that the example leaves out.
  while (types.size() < patterns && types.size() < op.operands.size())
    types.push_back({graph_.real(), Shape()});
  if (patterns > types.size()) return {};

  // Operands that are operations themselves first, in the shapes of the example, or the example in theirs.
  struct Partial {
    std::vector<Type> types;
    std::vector<Expr> operands;
    Bound bound;
  };
  std::vector<Partial> partials{{types, std::vector<Expr>(types.size()), bound}};
  const auto below_labels = [&](TermId id) {
    while (at(id).kind == TermKind::label) id = at(id).args[0];
    return id;
  };
  for (const bool operations : {true, false})
    for (std::size_t i = 0; i < patterns; ++i) {
      if (is_operation(at(below_labels(call->args[i]))) != operations) continue;
      std::vector<Partial> next;
      for (const Partial& partial : partials) {
        // Exporters write a number beside an operation as one number.
        const bool scalar =
            at(below_labels(call->args[i])).kind == TermKind::number && op.is(OpClass::elementwise);
        std::vector<Grown> fitting =
            grow(call->args[i], scalar ? nullptr : &partial.types[i], partial.bound, depth);
        const bool adapt = fitting.empty() && operations;
        if (adapt) fitting = grow(call->args[i], nullptr, partial.bound, depth);
        for (Grown& grown : fitting) {
          Partial extended = partial;
          if (adapt) {
            const auto extents = extents_between(partial.types[i].shape, grown.expr.shape());
            if (!extents) continue;
            for (std::size_t other = 0; other < extended.types.size(); ++other) {
              if (other == i || extended.operands[other]) continue;
              std::vector<Dim> dims = extended.types[other].shape.dims();
              for (Dim& dim : dims)
                if (const auto found = extents->find(dim.factor); found != extents->end())
                  dim = Dim(found->second);
              extended.types[other].shape = Shape(std::move(dims));
            }
          }
          extended.operands[i] = grown.expr;
          extended.bound = std::move(grown.bound);
          next.push_back(std::move(extended));
          if (next.size() >= most_results) break;
        }
      }
      partials = std::move(next);
    }

  std::vector<Grown> result;
  for (Partial& partial : partials) {
    for (std::size_t i = 0; i < partial.operands.size(); ++i)
      if (!partial.operands[i]) partial.operands[i] = input(partial.types[i]);
    try {
      result.push_back({graph_.make(op, partial.operands, attributes), std::move(partial.bound)});
    } catch (const Error&) {
      // The adapted shapes need not fit.
    }
  }
  return result;
}

}  // namespace rulegrad
