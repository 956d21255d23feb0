#include "runtime/fold.hpp"

#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"

#include "runtime/invoke.hpp"

namespace rulegrad {

ReadThrough read_through(const Kernel& user, Expr operand) {
  if (user.access != Access::broadcast) return {operand};
  while (operand.is("expand")) operand = operand.operand(0);
  return {operand, operand.is("fill")};
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
  Folder(const std::vector<Expr>& order, const std::unordered_set<Expr>& wanted, const Kernels& kernels, bool check_finite, ConstantStore& store)
      : order_(order), wanted_(wanted), kernels_(kernels), check_finite_(check_finite), store_(store) {}

  std::unordered_map<Expr, std::shared_ptr<Constant>> run(std::vector<std::shared_ptr<const Tensor>>& fresh) {
    count_users();
    for (const Expr expr : order_) {
      if (!users_.contains(expr)) continue;
      const auto& constant = constants_.emplace(expr, constant_of(expr)).first->second;
      if (constant->is_stored()) continue;
      if (!constant->computed_before()) values_.emplace(expr, constant->value());
      release_operands(expr);
    }
    std::unordered_map<Expr, std::shared_ptr<Constant>> folded;
    for (const Expr expr : wanted_) folded.emplace(expr, constants_.at(expr));
    for (auto& [expr, value] : values_) fresh.push_back(std::move(value));
    return folded;
  }

 private:
  /// How many folded operations still want a value; one more for those the caller wants.
  void count_users() {
    for (const Expr expr : wanted_) ++users_[expr];
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      if (!users_.contains(*it) || it->is("constant")) continue;
      const auto kernel = kernels_.at(it->op().name);
      for (const Expr operand : it->operands())
        if (const ReadThrough read = read_through(*kernel, operand); !read.as_scalar) ++users_[read.expr];
    }
  }

  void release_operands(Expr expr) {
    const auto kernel = kernels_.at(expr.op().name);
    for (const Expr operand : expr.operands()) {
      const ReadThrough read = read_through(*kernel, operand);
      if (!read.as_scalar && --users_.at(read.expr) == 0) values_.erase(read.expr);
    }
  }

  std::shared_ptr<Constant> constant_of(Expr expr) {
    if (expr.is("constant")) {
      auto constant = store_.stored(expr.attributes<ConstantAttributes>().value);
      if (check_finite_) constant->require_finite(describe(expr));
      return constant;
    }
    Derivation derivation{.kernel = kernels_.at(expr.op().name),
                          .attributes = expr.attributes(),
                          .dtype = expr.dtype(),
                          .dims = *expr.shape().static_dims(),
                          .check_finite = check_finite_};
    derivation.same_elements = keeps_elements(*derivation.kernel, expr);
    for (const Expr operand : expr.operands()) {
      const ReadThrough read = read_through(*derivation.kernel, operand);
      derivation.operands.push_back(read.as_scalar ? store_.stored(fill_scalar(read.expr)) : constants_.at(read.expr));
    }
    return store_.derived(std::move(derivation), describe(expr));
  }

  const std::vector<Expr>& order_;
  const std::unordered_set<Expr>& wanted_;
  const Kernels& kernels_;
  bool check_finite_;
  ConstantStore& store_;
  std::unordered_map<Expr, std::size_t> users_;
  std::unordered_map<Expr, std::shared_ptr<Constant>> constants_;
  std::unordered_map<Expr, std::shared_ptr<const Tensor>> values_;  ///< of those that were computed now, while they are wanted
};

}  // namespace

std::unordered_map<Expr, std::shared_ptr<Constant>> fold_constants(const std::vector<Expr>& order, const std::unordered_set<Expr>& wanted,
                                                                  const Kernels& kernels, bool check_finite, ConstantStore& store,
                                                                  std::vector<std::shared_ptr<const Tensor>>& fresh) {
  return Folder(order, wanted, kernels, check_finite, store).run(fresh);
}

}  // namespace rulegrad
