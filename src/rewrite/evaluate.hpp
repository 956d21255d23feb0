#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "rewrite/value.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/operators.hpp"
#include "rulegrad/rule.hpp"

namespace rulegrad {

struct Word;

/// Where a term stands, for the errors of evaluating it.
[[nodiscard]] std::string at_place(const SourceRange& where);

/// A term that cannot be evaluated; what() begins with its place.
class TermError : public Error {
 public:
  TermError(ErrorCode code, const std::string& what, SourceRange where, bool refused = false)
      : Error(code, at_place(where) + what), what_(what), where_(std::move(where)), refused_(refused) {}
  /// The text without the place.
  [[nodiscard]] const std::string& message() const noexcept { return what_; }
  [[nodiscard]] const SourceRange& where() const noexcept { return where_; }
  /// Does a word of the language refuse what it was given, rather than shapes disagree?
  [[nodiscard]] bool refused() const noexcept { return refused_; }

 private:
  std::string what_;
  SourceRange where_;
  bool refused_;
};

using Functions = std::map<std::string, const Function*, std::less<>>;

/// What a rule's right-hand side may ask of the engine around it.
struct EvaluationHooks {
  /// vjp(E, g) for the operand `slot` of E.
  std::function<Expr(Expr operation, std::size_t slot, Expr cotangent)> vjp;
  /// next(g): what the rules below the current one make of another cotangent; nothing: zero.
  std::function<Value(Expr cotangent)> next;
  /// diff(e, x, g): the derivative of a composite expression.
  std::function<Value(Expr e, Expr x, Expr cotangent)> diff;
  /// Facts about nodes that guards and selectors ask for, by name: depends(b), first(affine), name("conv*"), ...
  std::function<std::optional<Value>(const Term& call, std::span<const Value> arguments)> fact;
  /// x@world: what `value` gives in the world that the term names.
  std::function<Value(const Term& world, const std::function<Value()>& value)> world;
  /// sum over t (x): the reduction that the term names.
  std::function<Value(const Term& reduce, const Value& x)> reduce;
};

/// Evaluates terms: numbers stay numbers while they can, everything else becomes expressions of the graph.
class Evaluator {
 public:
  Evaluator(Graph& graph, const Operators& operators, const Functions& functions, const EvaluationHooks& hooks)
      : graph_(graph), operators_(operators), functions_(functions), hooks_(hooks) {}

  /// The operation that a gradient rule matched, and for which operand.
  void set_match(Expr node, std::size_t slot) {
    matched_ = node;
    slot_ = slot;
  }

  /// Binds the lets in order, then evaluates the result.
  [[nodiscard]] Value evaluate_body(const Terms& terms, std::span<const Let> lets, TermId result, Scope& scope);
  [[nodiscard]] Value evaluate(const Terms& terms, TermId id, Scope& scope);
  [[nodiscard]] bool evaluate_condition(const Terms& terms, TermId id, Scope& scope);

  /// As an expression; numbers become scalars of dtype `dtype` (default: the graph's).
  [[nodiscard]] Expr as_expr(const Value& value, std::optional<DType> dtype = std::nullopt);

 private:
  Value call(const Terms& terms, const Term& term, Scope& scope);
  Value call_operator(const OpSchema& op, const Terms& terms, const Term& term, std::vector<Value> arguments, Scope& scope);
  Value call_function(const Function& function, const Term& term, std::vector<Value> arguments);
  Value call_word(const Word& word, const Term& term, std::span<const Value> arguments);
  Value call_vjp(const Term& term, std::span<const Value> arguments);
  Value replace(const Terms& terms, const Term& term, Scope& scope);
  Value member(const Term& term, const Value& owner);
  [[nodiscard]] Expr expand_to(Expr value, const Shape& shape);
  [[noreturn]] void fail(const Term& term, const std::string& what) const;

  Graph& graph_;
  const Operators& operators_;
  const Functions& functions_;
  const EvaluationHooks& hooks_;
  Expr matched_;
  std::size_t slot_ = 0;
  int depth_ = 0;
};

}  // namespace rulegrad
