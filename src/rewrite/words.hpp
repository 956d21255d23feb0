#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rewrite/value.hpp"
#include "rulegrad/operators.hpp"
#include "rulegrad/rule.hpp"

/// The words of the rule language that can be called beside operators and `fn`s, in one table: the evaluator asks it
/// for answers, the checker for what there is, with how many arguments, and where it may stand.
namespace rulegrad {

class ForwardFacts;

/// A call of a word that is answered from shapes and attributes while a rule is applied.
struct ValueCall {
  const Term& term;
  std::span<const Value> arguments;
  std::size_t slot;  ///< of the matched operation
  Graph& graph;
  const Operators& operators;

  /// The arguments as what they must be; throw Error(rule) that says which is not.
  [[nodiscard]] Expr expr(std::size_t position) const;
  [[nodiscard]] double number(std::size_t position) const;
  [[nodiscard]] std::vector<double> numbers(std::size_t position) const;
};

/// A question of a guard or a selector about `node` in its forward graph.
struct FactCall {
  const Term& term;
  std::span<const Value> arguments;
  Expr node;
  const ForwardFacts& facts;

  [[nodiscard]] Expr expr(std::size_t position) const;
  [[nodiscard]] std::string text(std::size_t position) const;
};

enum class WordKind : std::uint8_t {
  gradient,  ///< grad, vjp, next, diff, const: what only right-hand sides hold
  value,     ///< known from shapes and attributes, anywhere
  fact,      ///< asked by guards and selectors
  recipe,    ///< said in an analyzer's `seed` and `result`
  planned,   ///< of the language, but not run by this version
};

struct Word {
  std::string_view name;
  /// `v, axis, like`; what stands in brackets may be left out: `[node], glob`. The parameter `class` takes a name.
  std::string_view parameters;
  WordKind kind = WordKind::value;
  Value (*value)(const ValueCall&) = nullptr;
  bool (*fact)(const FactCall&) = nullptr;
  bool gives_tensor = false;  ///< an expression of the graph rather than a number, list or shape

  [[nodiscard]] std::size_t least_arguments() const;
  [[nodiscard]] std::size_t most_arguments() const;
  [[nodiscard]] bool takes_class() const { return parameters == "class"; }
  /// `along(v, axis, like)`; the name alone where there are no parameters.
  [[nodiscard]] std::string usage() const;
};

[[nodiscard]] std::span<const Word> words();
/// Null if there is no such word.
[[nodiscard]] const Word* find_word(std::string_view name);
/// `along(v, axis, like) takes 3 arguments but 2 are given`, or nothing where the number fits.
[[nodiscard]] std::string wrong_argument_count(const Word& word, std::size_t given);

/// Answers of the words of kind `value`, beside which they are implemented (static_functions.cpp).
namespace answers {
Value shape(const ValueCall&);
Value spatial(const ValueCall&);
Value rank(const ValueCall&);
Value dtype(const ValueCall&);
Value dim(const ValueCall&);
Value axes_but(const ValueCall&);
Value axes_from(const ValueCall&);
Value inverse(const ValueCall&);
Value offset(const ValueCall&);
Value along(const ValueCall&);
Value out_channels(const ValueCall&);
Value pads_space_only(const ValueCall&);
Value merge_padding(const ValueCall&);

/// And of kind `fact` (forward_facts.cpp).
bool first(const FactCall&);
bool last(const FactCall&);
bool depends(const FactCall&);
bool only_use(const FactCall&);
bool name(const FactCall&);
}  // namespace answers

}  // namespace rulegrad
