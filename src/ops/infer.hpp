#pragma once

#include <functional>
#include <span>
#include <string>

#include "rulegrad/expr/schema.hpp"

/// Shape and dtype inference that operators share, and the wording of its errors.
namespace rulegrad::infer {

using Inference = std::function<Type(std::span<const Type>, const Attributes&)>;

/// `[conv] what`
[[noreturn]] void fail(const std::string& op, const std::string& what);

/// The one dtype of the operands from position `first` on.
[[nodiscard]] DType common_dtype(const std::string& op, std::span<const Type> operands,
                                 std::size_t first = 0);
/// The shape that the operands broadcast to.
[[nodiscard]] Shape broadcast_all(const std::string& op, std::span<const Type> operands);
/// `axis` counted from the front; throws unless it names one of `rank` axes.
[[nodiscard]] std::size_t checked_axis(const std::string& op, std::int64_t axis, std::size_t rank);

/// Result types of elementwise operators.
[[nodiscard]] Inference same_as_first(std::string op);
[[nodiscard]] Inference floating_same_as_first(std::string op);
[[nodiscard]] Inference broadcasting(std::string op);
[[nodiscard]] Inference comparing(std::string op);

}  // namespace rulegrad::infer
