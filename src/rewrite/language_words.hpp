#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

#include "rewrite/value.hpp"

/// The words of the rule language that can be called beside operators and `fn`s, in one table: the evaluator
/// asks it for answers, the checker for what there is, with how many arguments, and where it may stand.
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
  /// A name, or a class: `conv or dense` is the text of several.
  [[nodiscard]] const std::string& text(std::size_t position) const;
  /// First and last number of `0..3`; a number is a range of its own.
  [[nodiscard]] std::vector<double> range(std::size_t position) const;
};

enum class WordKind : std::uint8_t {
  gradient,    ///< grad, vjp, next, diff, const: what only right-hand sides hold
  value,       ///< known from shapes and attributes, anywhere
  fact,        ///< asked by guards and selectors
  recipe,      ///< said in an analyzer's `seed` and `result`
  simplifier,  ///< what inference finds out about values, for the rules of the simplifier alone
};
/// Where words of the kind may stand, for the reference of the language.
[[nodiscard]] std::string_view place_of(WordKind kind);

struct Word {
  std::string_view name;
  /// `v, axis, like`; what stands in brackets may be left out: `[node], glob`. The parameter `class` takes
  /// names of classes and operators; `[through = class]` may be given by name.
  std::string_view parameters;
  std::string_view doc;  ///< what it means, in a sentence
  WordKind kind = WordKind::value;
  Value (*value)(const ValueCall&) = nullptr;
  Value (*fact)(const FactCall&) = nullptr;
  bool gives_tensor = false;  ///< an expression of the graph rather than a number, list or shape

  std::size_t most =
      parameters.empty()
          ? 0
          : 1 + static_cast<std::size_t>(std::count(parameters.begin(), parameters.end(), ','));
  std::size_t least = most - static_cast<std::size_t>(std::count(parameters.begin(), parameters.end(), '['));

  [[nodiscard]] std::size_t least_arguments() const { return least; }
  [[nodiscard]] std::size_t most_arguments() const { return most; }
  /// The parameter that an argument is for; those in brackets at the front are the first to be left out.
  [[nodiscard]] std::string_view parameter(std::size_t position, std::size_t given) const;
  /// Where an argument given by name stands among the others, or nothing.
  [[nodiscard]] std::optional<std::size_t> position_of(std::string_view option) const;
  /// Does that argument take names of classes?
  [[nodiscard]] bool takes_class(std::size_t position, std::size_t given) const;
  /// Does the first one, when all are given?
  [[nodiscard]] bool takes_class() const { return takes_class(0, most_arguments()); }
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
Value count(const ValueCall&);
Value inverse(const ValueCall&);
Value offset(const ValueCall&);
Value along(const ValueCall&);
Value out_channels(const ValueCall&);
Value pads_space_only(const ValueCall&);
Value merge_padding(const ValueCall&);
Value one_number(const ValueCall&);
Value joins_maxima(const ValueCall&);
Value joined_maxima(const ValueCall&);
Value in_channels(const ValueCall&);
Value per_channel(const ValueCall&);
Value channel_vector(const ValueCall&);
Value moved(const ValueCall&);
Value before(const ValueCall&);
Value has_before(const ValueCall&);
Value range(const ValueCall&);
Value channels(const ValueCall&);
Value per_sample(const ValueCall&);
Value batch(const ValueCall&);

/// And of kind `fact` (forward_facts.cpp).
Value first(const FactCall&);
Value last(const FactCall&);
Value depends(const FactCall&);
Value only_use(const FactCall&);
Value decided(const FactCall&);
Value name(const FactCall&);
Value index(const FactCall&);
Value depth(const FactCall&);
Value skip(const FactCall&);
Value ancestor(const FactCall&);
Value producer(const FactCall&);
Value statistic(const FactCall&);
Value gate(const FactCall&);
Value layers(const FactCall&);
}  // namespace answers

/// Does any of the node's names match?
[[nodiscard]] bool is_named(Expr node, std::string_view glob);

/// Axis sets are words (`channels`, `spatial`, `per_sample`) until it is known whose axes they are: axis 1,
/// the axes from 2 on, all axes but the first. Nothing for other words.
[[nodiscard]] std::optional<std::vector<std::int64_t>> axes_of_set(std::string_view word, std::size_t rank);

}  // namespace rulegrad
