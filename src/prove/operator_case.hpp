#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

/// The parts of `try_operator`.
namespace rulegrad::proving {

/// The operator on one of its examples.
struct OperatorCase {
  const OpSchema& op;
  const OpExample& example;
  const Kernels& kernels;
  const Operators& operators;
  RandomEngine& random;

  [[nodiscard]] bool is_data(std::size_t position) const { return op.operand(position).role == Role::data; }
};

/// What a trial found on an example: nothing to try, that it holds, or what came out instead.
struct Verdict {
  bool tried = false;
  std::string failure = {};
};
inline const Verdict not_tried{}, fine{true, {}};

/// A node of the operator, one input an operand (`x0`, `x1`, ...).
struct OperatorNode {
  Graph graph{DType::float64};
  std::vector<Expr> inputs;
  Expr expr;
  /// Throws what inference does.
  OperatorNode(const OpSchema& op, std::span<const Type> operands, const Attributes& attributes);
};

[[nodiscard]] std::vector<Type> types_of(std::span<const Tensor> operands);
/// Values for the inputs of an OperatorNode.
[[nodiscard]] Inputs inputs_of(std::span<const Tensor> operands);
/// What the kernel gives, as it is: values that are not finite pass.
[[nodiscard]] Tensor computed(const OperatorCase& c, const OperatorNode& node,
                              std::span<const Tensor> operands);
[[nodiscard]] Tensor computed(const OperatorCase& c, std::span<const Tensor> operands);
/// The least and the largest element.
[[nodiscard]] Interval extremes(const Tensor& values);
/// `element 3 is 0.5 ... but 0.25 ...`: of the first difference beyond `tolerance` of the larger value or of
/// 1; nothing where there is none.
[[nodiscard]] std::optional<std::string> difference(const Tensor& expected, std::string_view expected_by,
                                                    const Tensor& found, std::string_view found_by,
                                                    double tolerance);

[[nodiscard]] Verdict try_batch(const OperatorCase& c);
[[nodiscard]] Verdict try_classes(const OperatorCase& c);
[[nodiscard]] Verdict try_finite(const OperatorCase& c);
[[nodiscard]] Verdict try_passes(const OperatorCase& c);
[[nodiscard]] Verdict try_linear_in(const OperatorCase& c);
[[nodiscard]] Verdict try_couples(const OperatorCase& c);

}  // namespace rulegrad::proving
