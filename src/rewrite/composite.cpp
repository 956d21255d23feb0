#include "rewrite/composite.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <functional>
#include <map>
#include <mutex>
#include <set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/rebuild.hpp"
#include "rewrite/match.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

Expr expand(const CompositeOp& definition, const CompositeScope& scope, std::span<const Expr> operands) {
  const EvaluationHooks no_hooks;
  const Vocabulary vocabulary(scope.operators, scope.functions);
  Evaluator evaluator(operands[0].graph(), vocabulary, no_hooks);
  Scope bound;
  for (std::size_t i = 0; i < operands.size(); ++i) bound.bind(definition.parameters[i], operands[i]);
  return evaluator.as_expr(evaluator.evaluate(definition.terms, definition.result, bound),
                           operands[0].dtype());
}

std::string key_of(std::span<const Type> types) {
  std::string key;
  for (const Type& type : types) key += to_string(type) + ";";
  return key;
}

/// Copies a term as a pattern, with functions written out; `place` is what their parameters stand for. What
/// the term says of attributes is asked afterwards, of the labels that the operations get for it.
class Inliner {
 public:
  Inliner(const Functions& functions, Rule& into) : functions_(functions), rule_(into) {}

  std::optional<TermId> copy(const Terms& from, TermId id, const std::map<std::string, TermId>& place,
                             int depth = 0) {
    const Term& term = from[static_cast<std::size_t>(id)];
    if (depth > max_depth) return std::nullopt;
    if (term.kind == TermKind::variable)
      if (const auto bound = place.find(term.name); bound != place.end()) return bound->second;
    if (term.kind == TermKind::number || term.kind == TermKind::variable) return add(term);
    if (term.kind != TermKind::call) return std::nullopt;
    Term result = term;
    result.named.clear();
    for (TermId& arg : result.args) {
      const auto copied = copy(from, arg, place, depth + 1);
      if (!copied) return std::nullopt;
      arg = *copied;
    }
    const auto function = functions_.find(term.name);
    if (function == functions_.end()) return labelled(from, term, add(std::move(result)), place, depth);
    const Function& fn = *function->second;
    if (!term.named.empty() || !fn.lets.empty() || fn.parameters.size() != result.args.size())
      return std::nullopt;
    std::map<std::string, TermId> inner;
    for (std::size_t i = 0; i < fn.parameters.size(); ++i) inner.emplace(fn.parameters[i], result.args[i]);
    return copy(fn.terms, fn.result, inner, depth + 1);
  }

 private:
  static constexpr int max_depth = 100;
  TermId add(Term term) {
    rule_.terms.push_back(std::move(term));
    return static_cast<TermId>(rule_.terms.size()) - 1;
  }
  TermId add(TermKind kind, std::string name, std::vector<TermId> args, const SourceRange& where) {
    Term term;
    term.kind = kind;
    term.name = std::move(name);
    term.args = std::move(args);
    term.where = where;
    return add(std::move(term));
  }

  /// A value of an attribute: numbers, lists and words about what the pattern binds.
  std::optional<TermId> value(const Terms& from, TermId id, const std::map<std::string, TermId>& place,
                              int depth) {
    const Term& term = from[static_cast<std::size_t>(id)];
    if (depth > max_depth || !term.named.empty()) return std::nullopt;
    if (term.kind == TermKind::variable)
      if (const auto bound = place.find(term.name); bound != place.end()) return bound->second;
    Term result = term;
    for (TermId& arg : result.args) {
      const auto copied = value(from, arg, place, depth + 1);
      if (!copied) return std::nullopt;
      arg = *copied;
    }
    return add(std::move(result));
  }

  std::optional<TermId> labelled(const Terms& from, const Term& term, TermId call,
                                 const std::map<std::string, TermId>& place, int depth) {
    if (term.named.empty()) return call;
    const std::string label = fmt::format("attributes of {} {}", term.name, labels_++);
    for (const auto& [name, id] : term.named) {
      const auto wanted = value(from, id, place, depth + 1);
      if (!wanted) return std::nullopt;
      const TermId asked = add(TermKind::variable, label, {}, term.where);
      const TermId same = add(TermKind::call, "equal",
                              {add(TermKind::member, name, {asked}, term.where), *wanted}, term.where);
      rule_.guard =
          rule_.guard == no_term ? same : add(TermKind::call, "and", {rule_.guard, same}, term.where);
    }
    return add(TermKind::label, label, {call}, term.where);
  }

  const Functions& functions_;
  Rule& rule_;
  int labels_ = 0;
};

bool is_pattern(const Terms& terms, TermId id, const Operators& operators) {
  const Term& term = terms[static_cast<std::size_t>(id)];
  if (term.kind == TermKind::label) return is_pattern(terms, term.args[0], operators);
  if (term.kind == TermKind::call && operators.find(term.name) == nullptr) return false;
  return std::all_of(term.args.begin(), term.args.end(),
                     [&](TermId arg) { return is_pattern(terms, arg, operators); });
}

/// Small operands that the expression takes. Nothing tells their shapes but trying; parameters are often one
/// number a channel, or one for all.
std::vector<OpExample> samples_of(const std::function<Type(std::span<const Type>, const Attributes&)>& infer,
                                  std::size_t count, std::size_t data) {
  const Dims data_shapes[] = {{2, 3}, {2, 3, 4, 4}}, parameter_shapes[] = {{2, 3}, {3}, {}, {4, 3}, {3, 4}};
  std::vector<OpExample> result;
  for (const Dims& shape : data_shapes)
    for (const Dims& parameter : parameter_shapes) {
      OpExample example;
      std::vector<Type> types;
      for (std::size_t i = 0; i < count; ++i) {
        example.operands.push_back({i < data ? shape : parameter});
        types.push_back({DType::float64, Shape::of(example.operands.back().dims)});
      }
      try {
        (void)infer(types, {});
        result.push_back(std::move(example));
      } catch (const Error&) {
        // Not these.
      }
      if (data == count) break;
    }
  return result;
}

}  // namespace

std::shared_ptr<const OpSchema> make_composite(const CompositeOp& definition,
                                               std::shared_ptr<const CompositeScope> scope) {
  auto schema = std::make_shared<OpSchema>();
  schema->name = definition.name;
  schema->doc = definition.doc;
  std::size_t data = definition.parameters.size();
  if (!definition.op_class.empty()) {
    const auto op_class = op_class_from_name(definition.op_class);
    if (!op_class) {
      const std::vector<std::string> known(std::begin(op_class_names), std::end(op_class_names));
      throw Error(ErrorCode::unknown_name,
                  unknown_name_message("class of operators", definition.op_class, known));
    }
    schema->classes.push_back(*op_class);
    if (*op_class == OpClass::activation || *op_class == OpClass::pool || *op_class == OpClass::affine)
      data = 1;
  }
  if (definition.parameters.empty())
    throw Error(ErrorCode::rule, fmt::format("the operator '{}' has no operands", definition.name));
  for (std::size_t i = 0; i < definition.parameters.size(); ++i)
    schema->operands.push_back({definition.parameters[i], i < data ? Role::data : Role::parameter});
  schema->expansion = [definition, scope](std::span<const Expr> operands) {
    return expand(definition, *scope, operands);
  };

  struct Known {
    std::mutex mutex;
    std::map<std::string, Type> types;
  };
  schema->infer = [known = std::make_shared<Known>(), definition, scope](std::span<const Type> operands,
                                                                         const Attributes&) {
    const std::lock_guard lock(known->mutex);
    const std::string key = key_of(operands);
    if (const auto found = known->types.find(key); found != known->types.end()) return found->second;
    try {
      Graph scratch(is_floating(operands[0].dtype) ? operands[0].dtype : DType::float32);
      std::vector<Expr> inputs;
      for (std::size_t i = 0; i < operands.size(); ++i)
        inputs.push_back(scratch.input(definition.parameters[i], operands[i]));
      return known->types.emplace(key, expand(definition, *scope, inputs).type()).first->second;
    } catch (const Error& error) {
      throw Error(error.code(), fmt::format("[{}] {}", definition.name, error.what()));
    }
  };
  schema->examples = [infer = schema->infer, count = definition.parameters.size(), data](RandomEngine&) {
    return samples_of(infer, count, data);
  };
  return schema;
}

std::optional<Rule> raising_rule(const CompositeOp& definition, const CompositeScope& scope) {
  Rule rule;
  rule.level = RuleLevel::forward;
  rule.where = definition.where;
  const auto pattern = Inliner(scope.functions, rule).copy(definition.terms, definition.result, {});
  if (!pattern || !is_pattern(rule.terms, *pattern, scope.operators)) return std::nullopt;
  const TermKind root = rule.terms[static_cast<std::size_t>(*pattern)].kind;
  if (root != TermKind::call && root != TermKind::label) return std::nullopt;
  rule.pattern = *pattern;
  Term call;
  call.kind = TermKind::call;
  call.name = definition.name;
  call.where = definition.where;
  for (const std::string& parameter : definition.parameters) {
    const auto names_it = [&](const Term& term) {
      return term.kind == TermKind::variable && term.name == parameter;
    };
    const auto named = std::find_if(rule.terms.begin(), rule.terms.end(), names_it);
    if (named == rule.terms.end()) return std::nullopt;
    call.args.push_back(static_cast<TermId>(named - rule.terms.begin()));
  }
  rule.terms.push_back(std::move(call));
  rule.result = static_cast<TermId>(rule.terms.size()) - 1;
  return rule;
}

std::vector<const CompositeOp*> simplest_first(const RuleFile& file) {
  std::vector<const CompositeOp*> result;
  std::set<std::string> seen;
  const std::function<void(const Terms&)> visit = [&](const Terms& terms) {
    for (const Term& term : terms) {
      if (term.kind != TermKind::call) continue;
      for (const CompositeOp& op : file.operators)
        if (op.name == term.name && seen.insert("op " + op.name).second) {
          visit(op.terms);
          result.push_back(&op);
        }
      for (const Function& function : file.functions)
        if (function.name == term.name && seen.insert("fn " + function.name).second) visit(function.terms);
    }
  };
  for (const CompositeOp& op : file.operators) {
    if (!seen.insert("op " + op.name).second) continue;
    visit(op.terms);
    result.push_back(&op);
  }
  return result;
}

Standalone expand_alone(const OpSchema& op, std::span<const Type> operands) {
  Standalone result;
  result.graph = std::make_unique<Graph>(is_floating(operands[0].dtype) ? operands[0].dtype : DType::float32);
  for (std::size_t i = 0; i < operands.size(); ++i)
    result.inputs.push_back(result.graph->input(fmt::format("{}", i),
                                                {operands[i].dtype, operands[i].shape.with_samples(false)}));
  result.root = op.expansion(result.inputs);
  return result;
}

Expr transplant(Expr root, const std::unordered_map<Expr, Expr>& inputs, Graph& into) {
  std::unordered_map<Expr, Expr> images = inputs;
  const Rebuild copy{no_boundary, [&](Expr node, std::span<const Expr> operands) {
                       if (is_constant(node))
                         return into.constant(node.attributes<ConstantAttributes>().value);
                       return into.apply(node.op(), {operands.begin(), operands.end()}, node.attributes());
                     }};
  return copy(root, images);
}

}  // namespace rulegrad
