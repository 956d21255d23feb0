#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"

#include "compile/constants.hpp"
#include "expr/node_map.hpp"
#include "expr/node_set.hpp"

namespace rulegrad {

/// What a kernel that broadcasts reads instead of an operand: an expanded value before it was expanded, one
/// number instead of a fill. The expression itself for other kernels.
struct ReadThrough {
  Expr expr;
  bool as_scalar = false;  ///< the number of the fill `expr`
};
[[nodiscard]] ReadThrough read_through(const Kernel& user, Expr operand);

/// True if the kernel leaves the elements of operand 0 as they are, so that no work is needed.
[[nodiscard]] bool keeps_elements(const Kernel& kernel, Expr expr);

/// The number of a fill.
[[nodiscard]] Tensor fill_scalar(Expr fill);

/// How constants are computed: those that differ in it are different ones.
struct FoldOptions {
  bool check_finite = true, flush_denormals = true;
};

/// `wanted`, which depend on constants and fills of static shape only, as constants of the store; nothing is
/// computed. `order` is topological and holds all that is needed.
[[nodiscard]] NodeMap<std::shared_ptr<Constant>> fold_constants(const std::vector<Expr>& order,
                                                                const NodeSet& wanted, const Kernels& kernels,
                                                                const FoldOptions& how, ConstantStore& store);

/// Computes those of `wanted` that nobody has computed yet, so that what fails does so early; intermediate
/// results go as soon as their last user is done.
[[nodiscard]] std::vector<std::shared_ptr<const Tensor>> compute_fresh(
    std::span<const std::shared_ptr<Constant>> wanted);

/// The values of `wanted` in a store of the graph that they are of; as above, with numbers that are none let
/// pass. For those who rebuild a graph (importers, exports) and want constants in place of operations.
[[nodiscard]] std::unordered_map<Expr, Tensor> folded_values(const std::vector<Expr>& order,
                                                             const NodeSet& wanted, const Kernels& kernels);
/// The value of one operation on constants and fills. Making it a constant of a store would cost more than
/// most of them do, so that it is only where the operator has no kernel of its own.
[[nodiscard]] Tensor folded_value(Expr operation, const Kernels& kernels);

}  // namespace rulegrad
