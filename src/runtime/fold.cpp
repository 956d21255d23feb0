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
  Folder(const std::vector<Expr>& order, const std::unordered_set<Expr>& wanted, const Kernels& kernels,
         bool check_finite)
      : order_(order), wanted_(wanted), kernels_(kernels), check_finite_(check_finite) {}

  std::unordered_map<Expr, Tensor> run() {
    count_users();
    for (const Expr expr : order_) {
      if (!users_.contains(expr) || expr.is("constant")) continue;
      values_.insert_or_assign(expr, value_of(expr));
      release_operands(expr);
    }
    return std::move(values_);
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

  Tensor value_of(Expr expr) {
    const auto kernel = kernels_.at(expr.op().name);
    std::vector<Tensor> operands;
    for (const Expr operand : expr.operands()) {
      const ReadThrough read = read_through(*kernel, operand);
      if (read.as_scalar)
        operands.push_back(fill_scalar(read.expr));
      else if (read.expr.is("constant"))
        operands.push_back(read.expr.attributes<ConstantAttributes>().value);
      else
        operands.push_back(values_.at(read.expr));
    }
    const Dims dims = *expr.shape().static_dims();
    if (keeps_elements(*kernel, expr)) return operands[0].reshaped(dims);
    return compute(*kernel, describe(expr), operands, {expr.dtype(), Shape::of(dims)}, expr.attributes(),
                   check_finite_);
  }

  const std::vector<Expr>& order_;
  const std::unordered_set<Expr>& wanted_;
  const Kernels& kernels_;
  bool check_finite_;
  std::unordered_map<Expr, std::size_t> users_;
  std::unordered_map<Expr, Tensor> values_;
};

}  // namespace

std::unordered_map<Expr, Tensor> fold_constants(const std::vector<Expr>& order,
                                                const std::unordered_set<Expr>& wanted,
                                                const Kernels& kernels, bool check_finite) {
  return Folder(order, wanted, kernels, check_finite).run();
}

}  // namespace rulegrad
