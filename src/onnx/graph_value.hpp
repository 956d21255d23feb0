#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad::io {

/// An integer array of which some elements are multiples of the batch extent: what shape arithmetic gives.
struct Symbolic {
  Dims dims;
  std::vector<Dim> elements;
  DType dtype = DType::int64;

  [[nodiscard]] bool has_batch() const;
};

/// A list of arrays: what exporters collect the steps of a loop in.
using Sequence = std::vector<Expr>;

/// What a value name of an ONNX graph stands for: an expression, or, where that would need the batch extent
/// as a number, its symbols, or a sequence.
struct Value {
  Expr expr{};
  std::optional<Symbolic> symbolic{};
  std::string absent = {};  ///< why there is neither
  std::shared_ptr<const Sequence> sequence{};
  bool told = false;  ///< `absent` names the node that failed: who reads this has nothing to add
};

/// The number that a constant holds everywhere, whatever its type; constants of many elements are not looked
/// through.
[[nodiscard]] std::optional<double> uniform_value(Expr expr);

/// a * b, a / b, a + b, a - b where the result is a number or a multiple of the batch extent.
[[nodiscard]] std::optional<Dim> multiplied(Dim a, Dim b);
[[nodiscard]] std::optional<Dim> divided(Dim a, Dim b);
[[nodiscard]] std::optional<Dim> added(Dim a, Dim b, std::int64_t sign = 1);

}  // namespace rulegrad::io
