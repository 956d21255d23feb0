#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/attributes.hpp"
#include "rulegrad/rule.hpp"
#include "rulegrad/shape.hpp"

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
inline constexpr std::string_view op_class_names[] = {"affine", "activation", "pool", "routing", "elementwise", "linear"};

/// One operand of a sample: a shape for the batch it stands for, and the range its values are drawn from.
struct SampleOperand {
  Dims dims;
  double low = -2;
  double high = 2;
  /// Values at least this far from each other and from 0, so that kinks and ties are not met by differences.
  double gap = 0;
  DType dtype = DType::float64;  ///< integers are drawn from [low, high]
};

/// A valid instance of an operator; feeds shape tests, finite differences, kernel tests and benchmarks.
struct OpSample {
  std::vector<SampleOperand> operands;
  Attributes attributes;
};

/// An operator, declared once. Its kernel is registered apart, under the same name (runtime/kernels).
struct OpSchema {
  std::string name;
  std::string doc;  ///< one line: formula and shapes
  std::vector<OperandSpec> operands;
  const AttrType* attributes = &attr_type<NoAttributes>();
  std::vector<OpClass> classes;
  bool commutative = false;
  /// Result type; throws Error that shows both sides. Shapes come without their sample axis.
  std::function<Type(std::span<const Type> operands, const Attributes& attributes)> infer;
  /// Brings attributes to their one form before nodes are compared: neutral lists filled in, axes counted from the
  /// front. May throw like infer.
  std::function<Attributes(std::span<const Type> operands, const Attributes& attributes)> normalize;
  /// Rules that close `vjp` nodes of this operator, in the common form.
  std::vector<Rule> derivatives;
  /// An expression with the same bits that needs less work (a reshape to the same shape is its operand), or nothing.
  std::function<std::optional<Expr>(std::span<const Expr> operands, const Attributes& attributes)> simpler;
  std::function<std::vector<OpSample>(RandomEngine& random)> samples;  ///< random_engine.hpp
  /// What an operator without a kernel of its own stands for (`op` in rule files); programs compute that instead.
  std::function<Expr(std::span<const Expr> operands)> expansion;
  /// For the few nodes that open or close a sample loop (samples.hpp): the loops that a value depends on, from those of
  /// its operands. Empty: the same ones.
  std::function<std::uint32_t(std::uint32_t operands, const Attributes& attributes)> loops;

  /// Does the operator belong to the family?
  [[nodiscard]] bool is(OpClass op_class) const;
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
