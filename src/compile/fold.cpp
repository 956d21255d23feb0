#include "compile/fold.hpp"

#include <unordered_set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/memory_limit.hpp"
#include "kernels/invoke.hpp"

namespace rulegrad {

ReadThrough read_through(const Kernel& user, Expr operand) {
  if (user.access != Access::broadcast) return {operand};
  while (operand.is("expand")) operand = operand.operand(0);
  return {operand, fill_of(operand) != nullptr};
}

bool keeps_elements(const Kernel& kernel, Expr expr) {
  if (!kernel.same_elements || expr.operands().empty()) return false;
  const Type& from = expr.operand(0).type();
  const Type& to = expr.type();
  if (from.dtype != to.dtype || from.shape.sampled() != to.shape.sampled() ||
      from.shape.count() != to.shape.count())
    return false;
  std::vector<Type> types;
  for (const Expr operand : expr.operands()) types.push_back(operand.type());
  return kernel.same_elements(types, to, expr.attributes());
}

Tensor fill_scalar(Expr fill) {
  return Tensor::scalar(fill.dtype(), std::get<double>(fill.attributes().get("value")));
}

namespace {

class Folder {
 public:
  Folder(const std::vector<Expr>& order, const NodeSet& wanted, const Kernels& kernels,
         const FoldOptions& how, ConstantStore& store)
      : order_(order), wanted_(wanted), kernels_(kernels), how_(how), store_(store) {}

  NodeMap<std::shared_ptr<Constant>> run() {
    if (wanted_.empty()) return {};
    find_needed();
    NodeMap<std::shared_ptr<Constant>> result;
    for (const Expr expr : order_)
      if (needed_.contains(expr)) {
        const auto made = constants_.emplace(expr, constant_of(expr)).first;
        if (wanted_.contains(expr)) result.emplace(expr, made->second);
      }
    return result;
  }

 private:
  void find_needed() {
    needed_ = wanted_;
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      if (!needed_.contains(*it) || is_constant(*it)) continue;
      const auto kernel = kernels_.at(it->op().name);
      for (const Expr operand : it->operands())
        if (const ReadThrough read = read_through(*kernel, operand); !read.as_scalar)
          needed_.insert(read.expr);
    }
  }

  std::shared_ptr<Constant> constant_of(Expr expr) {
    if (is_constant(expr)) {
      auto constant = store_.stored(expr.attributes<ConstantAttributes>().value);
      if (how_.check_finite && constant->may_be_non_finite()) constant->require_finite(describe(expr));
      return constant;
    }
    Derivation derivation{.kernel = kernels_.at(expr.op().name),
                          .attributes = expr.attributes(),
                          .dtype = expr.dtype(),
                          .dims = *expr.shape().static_dims(),
                          .check_finite = how_.check_finite,
                          .flush_denormals = how_.flush_denormals};
    derivation.same_elements = keeps_elements(*derivation.kernel, expr);
    for (const Expr operand : expr.operands()) {
      const ReadThrough read = read_through(*derivation.kernel, operand);
      derivation.operands.push_back(read.as_scalar ? store_.stored(fill_scalar(read.expr))
                                                   : constants_.at(read.expr));
    }
    return store_.derived(std::move(derivation), describe(expr));
  }

  const std::vector<Expr>& order_;
  const NodeSet& wanted_;
  const Kernels& kernels_;
  FoldOptions how_;
  ConstantStore& store_;
  NodeSet needed_;
  NodeMap<std::shared_ptr<Constant>> constants_;
};

using Constants = std::vector<std::shared_ptr<Constant>>;

/// The constants below that have never been computed, operands before users.
void collect(const std::shared_ptr<Constant>& constant, std::unordered_set<const Constant*>& seen,
             Constants& order) {
  // Chains of constants are as long as a graph is deep: no recursion.
  std::vector<std::pair<std::shared_ptr<Constant>, std::size_t>> stack;
  const auto visit = [&](const std::shared_ptr<Constant>& c) {
    if (!c->computed_before() && seen.insert(c.get()).second) stack.emplace_back(c, 0);
  };
  visit(constant);
  while (!stack.empty()) {
    auto& [top, next] = stack.back();
    const auto& operands = top->derivation().operands;
    if (next < operands.size()) {
      visit(operands[next++]);
    } else {
      order.push_back(top);
      stack.pop_back();
    }
  }
}

}  // namespace

NodeMap<std::shared_ptr<Constant>> fold_constants(const std::vector<Expr>& order, const NodeSet& wanted,
                                                  const Kernels& kernels, const FoldOptions& how,
                                                  ConstantStore& store) {
  return Folder(order, wanted, kernels, how, store).run();
}

std::vector<std::shared_ptr<const Tensor>> compute_fresh(std::span<const std::shared_ptr<Constant>> wanted) {
  std::unordered_set<const Constant*> seen;
  Constants order;
  for (const auto& constant : wanted) collect(constant, seen, order);
  MemoryBudget budget;
  for (const auto& constant : order)
    if (!constant->owns_nothing()) budget.add(constant->bytes(), constant->label());
  std::size_t kept = 0;
  for (const auto& constant : wanted)
    if (!constant->owns_nothing()) kept += constant->bytes();
  budget.require(kept);
  std::unordered_map<const Constant*, std::size_t> users;
  for (const auto& constant : wanted) ++users[constant.get()];
  for (const auto& constant : order)
    for (const auto& operand : constant->derivation().operands) ++users[operand.get()];
  std::unordered_map<const Constant*, std::shared_ptr<const Tensor>> values;
  for (const auto& constant : order) {
    values.emplace(constant.get(), constant->value());
    for (const auto& operand : constant->derivation().operands)
      if (--users.at(operand.get()) == 0) values.erase(operand.get());
  }
  std::vector<std::shared_ptr<const Tensor>> fresh;
  for (auto& [constant, value] : values) fresh.push_back(std::move(value));
  return fresh;
}

std::unordered_map<Expr, Tensor> folded_values(const std::vector<Expr>& order, const NodeSet& wanted,
                                               const Kernels& kernels) {
  if (wanted.empty()) return {};
  const auto constants =
      fold_constants(order, wanted, kernels, {.check_finite = false}, *store_of(order[0].graph()));
  Constants list;
  for (const Expr expr : order)
    if (wanted.contains(expr)) list.push_back(constants.at(expr));
  const auto fresh = compute_fresh(list);  // held until all are read
  std::unordered_map<Expr, Tensor> values;
  for (const auto& [expr, constant] : constants) values.emplace(expr, *constant->value());
  return values;
}

namespace {

Tensor value_of(Expr constant_or_fill) {
  if (const Tensor* array = array_of(constant_or_fill)) return *array;
  return Tensor::full(constant_or_fill.dtype(), *constant_or_fill.shape().static_dims(),
                      fill_of(constant_or_fill)->value);
}

}  // namespace

Tensor folded_value(Expr operation, const Kernels& kernels) {
  if (const auto kernel = kernels.find(operation.op().name)) {
    std::vector<Tensor> operands;
    for (const Expr operand : operation.operands()) operands.push_back(value_of(operand));
    return compute(*kernel, describe(operation), operands, operation.type(), operation.attributes(), false);
  }
  const Expr root = written_out(std::span(&operation, 1))[0];
  NodeSet wanted;
  wanted.insert(root);
  return folded_values(topological_order(std::span(&root, 1)), wanted, kernels).at(root);
}

}  // namespace rulegrad
