#pragma once

#include <boost/container/small_vector.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"
#include "rulegrad/support/error.hpp"

#include "rewrite/value.hpp"
#include "rewrite/vocabulary.hpp"

namespace rulegrad {

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

/// An attribute is to have the value of an expression that is no constant: a forward rule does not apply
/// there.
class UnknownAttribute : public TermError {
 public:
  using TermError::TermError;
};

/// What a rule's right-hand side may ask of the engine around it.
struct EvaluationHooks {
  /// vjp(E, g) for the operand `slot` of E.
  std::function<Expr(Expr operation, std::size_t slot, Expr cotangent)> vjp;
  /// diff(e, x, g): the derivative of a composite expression.
  std::function<Value(Expr e, Expr x, Expr cotangent)> diff;
  /// aux(y, "pattern"): the tensor of that key for a node, which must have the type of `like`.
  std::function<Expr(Expr node, const std::string& key, Expr like)> aux;
  /// Facts about nodes that guards and selectors ask for, by name: depends(b), first(affine), name("conv*"),
  /// ...
  std::function<std::optional<Value>(const Term& call, const Meaning& meaning,
                                     std::span<const Value> arguments)>
      fact;
  /// x@world: what `value` gives in the world that the term names.
  std::function<Value(const Term& world, const std::function<Value()>& value)> world;
  /// sum over t (x): the reduction that the term names.
  std::function<Value(const Term& reduce, const Value& x)> reduce;
};

/// Evaluates terms: numbers stay numbers while they can, everything else becomes expressions of the graph.
class Evaluator {
 public:
  Evaluator(Graph& graph, const Vocabulary& vocabulary, const EvaluationHooks& hooks)
      : graph_(graph), vocabulary_(vocabulary), operators_(vocabulary.operators()), hooks_(hooks) {}

  /// The operation that a gradient rule matched, and for which operand.
  void set_match(Expr node, std::size_t slot) {
    matched_ = node;
    slot_ = slot;
  }
  /// next(g): what the rules below the current one make of another cotangent; nothing: zero.
  void set_next(std::function<Value(Expr cotangent)> next) { next_ = std::move(next); }

  /// Binds the lets in order, then evaluates the result.
  [[nodiscard]] Value evaluate_body(const Terms& terms, std::span<const Let> lets, TermId result,
                                    Scope& scope);
  [[nodiscard]] Value evaluate(const Terms& terms, TermId id, Scope& scope);
  [[nodiscard]] bool evaluate_condition(const Terms& terms, TermId id, Scope& scope);

  /// As an expression; numbers become scalars of dtype `dtype` (default: the graph's).
  [[nodiscard]] Expr as_expr(const Value& value, std::optional<DType> dtype = std::nullopt);

 private:
  Value call(const Terms& terms, const Term& term, Scope& scope);
  /// Nearly all calls have at most three; they are made at every node.
  using Arguments = boost::container::small_vector<Value, 3>;
  /// The arguments of a word, those given by name in their places.
  Arguments word_arguments(const Word& word, const Terms& terms, const Term& term, Scope& scope);
  /// `conv`, or `conv or dense`, as a text.
  std::string class_text(const Terms& terms, TermId id, const Scope& scope) const;
  Value class_value(const Terms& terms, TermId id, const Scope& scope) const;
  [[nodiscard]] bool names_class(std::string_view name) const;
  /// `v is sigmoid`, `y is layer`.
  bool is(const Terms& terms, const Term& term, Scope& scope);
  Value call_aux(const Term& term, std::span<const Value> arguments);
  /// An attribute as its operator takes it: axis sets become the axes of the first operand; false if it has
  /// none of them, so that there is nothing to reduce.
  bool add_attribute(std::vector<NamedValue>& named, const OpSchema& op, std::span<const Expr> operands,
                     const Term& term, const std::string& name, const Value& value);
  Value call_operator(const OpSchema& op, const Terms& terms, const Term& term,
                      std::span<const Value> arguments, Scope& scope);
  Value call_function(const Function& function, const Term& term, std::span<Value> arguments);
  Value call_word(const Word& word, const Term& term, std::span<const Value> arguments);
  Value call_vjp(const Term& term, std::span<const Value> arguments);
  Value replace(const Terms& terms, const Term& term, Scope& scope);
  Value member(const Term& term, const Value& owner);
  [[nodiscard]] Expr expand_to(Expr value, const Shape& shape);
  [[noreturn]] void fail(const Term& term, const std::string& what) const;

  Graph& graph_;
  const Vocabulary& vocabulary_;
  const Operators& operators_;
  const EvaluationHooks& hooks_;
  std::function<Value(Expr cotangent)> next_;
  Expr matched_;
  std::size_t slot_ = 0;
  int depth_ = 0;
  std::int64_t calls_ = 0;  ///< within the outermost call that is open
};

}  // namespace rulegrad
