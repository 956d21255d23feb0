#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/expr/attributes.hpp"
#include "rulegrad/expr/interval.hpp"
#include "rulegrad/rule/rule.hpp"
#include "rulegrad/tensor/shape.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

class Expr;
class RandomEngine;

/// Element type and symbolic shape of an expression.
struct Type {
  DType dtype = DType::float32;
  Shape shape;
  friend bool operator==(const Type&, const Type&) = default;
};

/// `float32[B, 3, 224, 224]`
[[nodiscard]] std::string to_string(const Type& type);

/// What an operand is to its operator: relevance flows to data; parameters are what training changes.
enum class Role : std::uint8_t { data, parameter };

/// What an operator says of one of its operands.
struct OperandSpec {
  std::string name;
  Role role = Role::data;
  bool optional = false;  ///< left out means the interned scalar 0
  bool variadic = false;  ///< one or more of this operand; must be the last
};

/// Families of operators with the same roles, as patterns name them.
enum class OpClass : std::uint8_t { affine, activation, pool, routing, elementwise, linear };
/// As rules write them, in the order of OpClass.
inline constexpr std::string_view op_class_names[] = {"affine",  "activation",  "pool",
                                                      "routing", "elementwise", "linear"};

/// One operand of an example: a shape for the batch it stands for, and the range its values are drawn from.
struct ExampleOperand {
  Dims dims;
  double low = -2;
  double high = 2;
  /// Values at least this far from each other and from 0, so that kinks and ties are not met by differences.
  double gap = 0;
  DType dtype = DType::float64;  ///< integers are drawn from [low, high]
};

/// A valid instance of an operator; feeds shape tests, finite differences, kernel tests and benchmarks.
struct OpExample {
  std::vector<ExampleOperand> operands;
  Attributes attributes;
};

/// Where the batch lies in a value: the extent of `axis` is outer * B * inner, entries of the batch `inner`
/// apart. Steps of a sequence merged behind the batch have an inner extent, in front of it an outer one.
struct BatchPlace {
  std::size_t axis = 0;
  std::int64_t outer = 1, inner = 1;
  friend bool operator==(const BatchPlace&, const BatchPlace&) = default;
};

/// What an operation does to the batch: it lets entries act on each other (`mixes`), or its result has them
/// at `place` (nowhere: it does not depend on the batch).
struct BatchFlow {
  bool mixes = false;
  std::optional<BatchPlace> place;
};

/// How an operation jumps when one of its operands moves by a rounding: what it finds out beyond the
/// operand's value.
enum class Asks : std::uint8_t {
  nothing,     ///< a small change of the operand is a small change of the result
  sign,        ///< on which side of 0 it lies, 0 counting as positive
  zero,        ///< whether it is 0, or on which side of 0 or of some other number it lies
  order,       ///< whether it is less than, equal to or larger than the other operand
  divisor,     ///< that it is not 0, where the result is not finite
  dividend,    ///< that it is 0 as exactly as the divisor is, which nothing keeps off 0
  everything,  ///< not known: all of these
};

/// Of which numbers in the place of an operand an operation makes numbers: where a logarithm has its pole, and
/// a root its end.
enum class FiniteFor : std::uint8_t {
  all,           ///< of all; what is finite may overflow where an operation only adds or multiplies
  not_large,     ///< of all but large ones, where the result overflows: of those up to 0 surely
  not_zero,      ///< of all but 0
  not_negative,  ///< of those from 0 on
  positive,      ///< of those above 0
  within_one,    ///< of those from -1 to 1
  inside_one,    ///< of those between -1 and 1
  from_one,      ///< of those from 1 on
  none,          ///< not known of any
};

/// What may stand among the elements of a value that is no number: bits.
using NonFinite = std::uint8_t;
namespace non_finite {
/// Its bits: infinities of either sign, what is not a number, and all of these.
inline constexpr NonFinite low = 1, high = 2, nan = 4, any = 7;
}  // namespace non_finite

/// Element by element, in which of its operands an operation is linear where the others are given: a factor
/// of the operand is one of the result there.
enum class LinearIn : std::uint8_t {
  nothing,
  first,  ///< in the first one: a quotient
  each,   ///< in each by itself: a product
  all,    ///< in all of them together: a sum
};

/// Where the channels of an affine operation are counted.
struct ChannelAxes {
  std::int64_t result = 1;  ///< the axis of the result, from the back where negative
  /// The axis of the weights; where it is not the first, each of `groups` groups has its own of them.
  std::size_t weight = 0;
};

/// An operator, declared once. Its kernel is registered apart, under the same name (src/kernels). What an
/// operator does not say of `interval`, `batch`, `decides`, `finite` and `passes` is taken to be the worst: no
/// bounds, mixing, deciding by everything, finite for nothing. Those that ship say all of it
/// (operator_facts.hpp has the usual answers).
struct OpSchema {
  std::string name;
  std::string doc;  ///< one line: formula and shapes
  std::vector<OperandSpec> operands;
  const AttrType* attributes = &attr_type<NoAttributes>();
  std::vector<OpClass> classes;
  /// Where attributes decide which of these a node belongs to: a resize moves numbers when it takes the
  /// nearest, and averages when it is linear. Empty: to all of them, whatever its attributes.
  std::function<bool(OpClass op_class, const Attributes& attributes)> belongs;
  bool commutative = false;
  /// Result type; throws Error that shows both sides. Shapes come without their sample axis.
  std::function<Type(std::span<const Type> operands, const Attributes& attributes)> infer;
  /// Brings attributes to their one form before nodes are compared: neutral lists filled in, axes counted
  /// from the front. May throw like infer.
  std::function<Attributes(std::span<const Type> operands, const Attributes& attributes)> normalize;
  /// Rules that close `vjp` nodes of this operator, in the common form.
  std::vector<Rule> derivatives;
  /// An expression with the same bits that needs less work (a reshape to the same shape is its operand), or
  /// nothing.
  std::function<std::optional<Expr>(std::span<const Expr> operands, const Attributes& attributes)> simpler;
  std::function<std::vector<OpExample>(RandomEngine& random)> examples;  ///< random_engine.hpp
  /// What an operator without a kernel of its own stands for (`op` in rule files); programs compute that
  /// instead.
  std::function<Expr(std::span<const Expr> operands)> expansion;
  /// For the few nodes that open or close a sample loop (samples.hpp): the loops that a value depends on,
  /// from those of its operands. Empty: the same ones.
  std::function<std::uint32_t(std::uint32_t operands, const Attributes& attributes)> loops;
  /// Bounds of the value, from those of its operands; they hold for what kernels compute in the value's
  /// dtype.
  std::function<Interval(Expr value, std::span<const Interval> operands)> interval;
  /// What the operation does to the batch, from where its operands have it. Asked where one of them does, or
  /// where there are none.
  std::function<BatchFlow(Expr value, std::span<const std::optional<BatchPlace>> operands)> batch;
  /// What the operation asks of the operand at a position.
  std::function<Asks(Expr value, std::size_t position)> decides;
  /// For which numbers at a position the result is one, where all other operands are such numbers too.
  std::function<FiniteFor(Expr value, std::size_t position)> finite;
  /// What becomes of what is no number in the operands, of which bounds are known as well. What an operation
  /// makes of numbers, `finite` says.
  std::function<NonFinite(Expr value, std::span<const NonFinite> operands, std::span<const Interval> bounds)>
      passes;
  /// Over which axes the elements of the result depend on each other, for operators whose derivative is 0
  /// wherever the cotangents of all of these are: the rows of a softmax. Empty: none for elementwise
  /// operators, and not known for others.
  std::function<std::optional<std::vector<std::int64_t>>(Expr value)> couples;
  /// Element by element; for operators of class elementwise.
  std::optional<LinearIn> linear_in;
  /// Is each element of the result a sum, mean, product or extreme of many of the operand's?
  bool reduces = false;
  /// For operators of class affine.
  std::optional<ChannelAxes> channels;
  /// The value for numbers in place of operands, for operators that rules may use on numbers (`sqrt(2)`,
  /// `y.alpha * 2`).
  std::function<double(std::span<const double> operands)> fold;
  /// Which of `derivative` and `fold` there is none of, said aloud.
  std::vector<std::string> without;

  /// The answers of `interval`, `batch`, `decides`, `finite` and `passes`, or the worst.
  [[nodiscard]] Interval interval_of(Expr value, std::span<const Interval> of_operands) const;
  [[nodiscard]] BatchFlow batch_of(
      Expr value, std::span<const std::optional<BatchPlace>> of_operands) const;  ///< the same for `batch`
  [[nodiscard]] Asks asks_of(Expr value, std::size_t position) const;             ///< the same for `decides`
  [[nodiscard]] FiniteFor finite_for(Expr value, std::size_t position) const;     ///< the same for `finite`
  /// The same for `passes`.
  [[nodiscard]] NonFinite passed_on(Expr value, std::span<const NonFinite> of_operands,
                                    std::span<const Interval> bounds) const;
  /// The answer of `couples`.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> coupled_axes(Expr value) const;
  /// The axis of the operation's result that counts its channels; nothing where it is not known.
  [[nodiscard]] std::optional<std::size_t> channel_axis(Expr value) const;
  /// Which of the things that every operator should say this one does not: `doc`, `infer`, `interval`,
  /// `batch`, `decides`, `finite`, `passes`, `derivative`, `examples`; `fold` and `linear_in` of elementwise
  /// ones; `channels` of affine ones.
  [[nodiscard]] std::vector<std::string> unsaid() const;

  /// Does the operator list the class?
  [[nodiscard]] bool is(OpClass op_class) const;
  /// Does a node with these attributes belong to it?
  [[nodiscard]] bool is(OpClass op_class, const Attributes& node_attributes) const;
  /// Does every node?
  [[nodiscard]] bool is_always(OpClass op_class) const;
  /// May the last operand be repeated?
  [[nodiscard]] bool variadic() const { return !operands.empty() && operands.back().variadic; }
  /// How many operands may not be left out.
  [[nodiscard]] std::size_t required_operands() const;
  /// The spec of an operand by position; a variadic last one repeats.
  [[nodiscard]] const OperandSpec& operand(std::size_t position) const;
  /// Position of the operand of that name, or nothing.
  [[nodiscard]] std::optional<std::size_t> position_of(std::string_view operand_name) const;
};

}  // namespace rulegrad
