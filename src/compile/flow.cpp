#include "compile/flow.hpp"

#include <fmt/format.h>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/facts_check.hpp"
#include "compile/fast_contractions.hpp"
#include "compile/fold.hpp"

namespace rulegrad {
namespace {

class Flattening {
 public:
  Flattening(std::span<const Expr> outputs, const CompileOptions& options,
             std::span<const std::pair<Expr, Expr>> renewed, Intervals intervals,
             const ContractionPrecisions* decided)
      : outputs_(outputs),
        options_(options),
        kernels_(options.kernels ? *options.kernels : Kernels::best()),
        store_(outputs.empty() ? nullptr : store_of(outputs[0].graph())),
        intervals_(std::move(intervals)),
        decided_(decided) {
    for (const auto& [before, after] : renewed) known_as_.emplace(after, before);
  }

  Flow run() {
    if (outputs_.empty())
      throw Error(ErrorCode::invalid_argument, "[program] has no outputs; ask for at least one");
    for (const Expr output : outputs_)
      if (&output.graph() != &outputs_[0].graph())
        throw Error(ErrorCode::invalid_argument, fmt::format("[program] {} and {} belong to different graphs",
                                                             describe(outputs_[0]), describe(output)));
    for (const Expr input : outputs_[0].graph().inputs()) {
      input_index_.emplace(input, flow_.inputs.size());
      flow_.inputs.push_back({input.attributes<InputAttributes>().name, input.type()});
    }
    order_ = topological_order(outputs_);
    ids_.reserve(order_.size());
    classify();
    find_needed();
    folded_ = fold_constants(order_, wanted_folds_, kernels_,
                             {options_.check_finite, options_.flush_denormals}, *store_);
    if (options_.precision != Precision::exact && decided_ == nullptr)
      fast_.emplace(outputs_, kernels_, options_);
    check_facts_ = options_.check_facts || facts_check_wanted();
    for (const Expr expr : order_)
      if (needed_.contains(expr)) emit(expr);
    for (const Expr output : outputs_) flow_.outputs.push_back(ids_.at(output));
    return std::move(flow_);
  }

 private:
  static bool is_leaf(Expr expr) { return is_input(expr) || is_constant(expr); }

  const std::shared_ptr<const Kernel>& kernel_of(Expr expr) {
    auto& kernel = kernel_by_op_[&expr.op()];
    if (kernel) return kernel;
    kernel = kernels_.find(expr.op().name);
    if (kernel) return kernel;
    if (expr.is("grad") || expr.is("vjp"))
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[program] {} is an open gradient node: rewrite it with an analyzer or the derivatives "
                      "before it is compiled",
                      describe(expr)));
    (void)kernels_.at(expr.op().name);  // throws
    return kernel;
  }

  /// Finds what can be computed now: static shape, and nothing below that is not.
  void classify() {
    for (const Expr expr : order_) {
      if (is_input(expr)) continue;
      bool known = !expr.shape().sampled() && !expr.shape().has_batch() &&
                   (options_.fold_constants || is_constant(expr));
      if (known && !is_constant(expr)) {
        const auto& kernel = kernel_of(expr);
        for (const Expr operand : expr.operands()) {
          const ReadThrough read = read_through(*kernel, operand);
          known = known && (read.as_scalar || static_.contains(read.expr));
        }
      }
      if (known) static_.insert(expr);
    }
  }

  void find_needed() {
    for (const Expr output : outputs_) needed_.insert(output);
    for (auto it = order_.rbegin(); it != order_.rend(); ++it) {
      if (!needed_.contains(*it) || is_leaf(*it)) continue;
      if (static_.contains(*it)) {
        wanted_folds_.insert(*it);
        continue;
      }
      const auto& kernel = kernel_of(*it);
      for (const Expr operand : it->operands())
        if (const ReadThrough read = read_through(*kernel, operand); !read.as_scalar)
          needed_.insert(read.expr);
    }
  }

  ValueId add_value(Source source, std::size_t index, Type type) {
    flow_.values.push_back({source, static_cast<std::uint32_t>(index), std::move(type)});
    return static_cast<ValueId>(flow_.values.size() - 1);
  }

  ValueId add_constant(std::string name, const std::shared_ptr<Constant>& constant) {
    flow_.constants.push_back({std::move(name), constant});
    return add_value(Source::constant, flow_.constants.size() - 1,
                     {constant->dtype(), Shape::of(constant->dims())});
  }

  ValueId scalar_of(Expr fill) {
    const auto found = fill_scalars_.find(fill);
    if (found != fill_scalars_.end()) return found->second;
    return fill_scalars_.emplace(fill, add_constant({}, store_->stored(fill_scalar(fill)))).first->second;
  }

  void emit(Expr expr) {
    if (is_input(expr)) {
      flow_.inputs[input_index_.at(expr)].needed = true;
      ids_[expr] = add_value(Source::input, input_index_.at(expr), expr.type());
    } else if (is_constant(expr)) {
      const auto constant = store_->stored(expr.attributes<ConstantAttributes>().value);
      if (options_.check_finite && constant->may_be_non_finite()) constant->require_finite(describe(expr));
      ids_[expr] = add_constant(name_of(expr), constant);
    } else if (const auto folded = folded_.find(expr); folded != folded_.end()) {
      if (check_facts_)
        require_interval(label_of(expr), intervals_.of(expr), expr.dtype(), Shape::of(folded->second->dims()),
                         {}, 0, folded->second->value()->data());
      ids_[expr] = add_constant(name_of(expr), folded->second);
    } else if (const auto& kernel = kernel_of(expr); keeps_elements(*kernel, expr)) {
      ids_[expr] = add_value(Source::same_elements, ids_.at(expr.operand(0)), expr.type());
    } else {
      std::vector<ValueId> operands;
      operands.reserve(expr.operands().size());
      for (const Expr operand : expr.operands()) {
        const ReadThrough read = read_through(*kernel, operand);
        operands.push_back(read.as_scalar ? scalar_of(read.expr) : ids_.at(read.expr));
      }
      const ValueId result = add_value(Source::instruction, flow_.instructions.size(), expr.type());
      flow_.instructions.push_back(
          {expr.op().name, label_of(expr), kernel, expr.attributes(), std::move(operands), {result}});
      if (kernel->contraction) flow_.instructions.back().precision = precision_of(expr);
      if (kernel->contraction || check_facts_) flow_.values[result].interval = intervals_.of(expr);
      ids_[expr] = result;
    }
  }

  Precision precision_of(Expr contraction) {
    if (options_.precision == Precision::exact) return Precision::exact;
    if (decided_ != nullptr) {
      const auto found = decided_->find(contraction);
      return found == decided_->end() ? Precision::exact : found->second;
    }
    if (options_.precision == Precision::bfloat16 && fast_->allowed_in_bfloat16(contraction))
      return Precision::bfloat16;
    return fast_->allowed(contraction) ? Precision::fast : Precision::exact;
  }

  static std::string name_of(Expr expr) {
    const std::vector<std::string>& names = expr.graph().names(expr);
    return names.empty() ? std::string() : names.front();
  }

  std::string label_of(Expr expr) const {
    const auto found = known_as_.find(expr);
    return describe(found == known_as_.end() ? expr : found->second);
  }

  std::span<const Expr> outputs_;
  const CompileOptions& options_;
  const Kernels& kernels_;
  std::shared_ptr<ConstantStore> store_;
  std::vector<Expr> order_;
  std::unordered_map<const OpSchema*, std::shared_ptr<const Kernel>> kernel_by_op_;
  NodeSet static_, needed_, wanted_folds_;
  NodeMap<std::size_t> input_index_;
  NodeMap<std::shared_ptr<Constant>> folded_;
  NodeMap<ValueId> ids_, fill_scalars_;
  NodeMap<Expr> known_as_;
  Intervals intervals_;
  const ContractionPrecisions* decided_;
  std::optional<FastContractions> fast_;
  bool check_facts_ = false;
  Flow flow_;
};

}  // namespace

std::vector<std::shared_ptr<Constant>> Flow::constants_read() const {
  std::vector<bool> read(constants.size());
  const auto note = [&](ValueId value) {
    if (const FlowValue& source = values[root(value)]; source.source == Source::constant)
      read[source.index] = true;
  };
  for (const Instruction& instruction : instructions)
    for (const ValueId operand : instruction.operands) note(operand);
  for (const ValueId output : outputs) note(output);
  std::vector<std::shared_ptr<Constant>> result;
  std::unordered_set<const Constant*> seen;
  for (std::size_t i = 0; i < constants.size(); ++i)
    if (read[i] && seen.insert(constants[i].constant.get()).second) result.push_back(constants[i].constant);
  return result;
}

Flow flow_of(std::span<const Expr> outputs, const CompileOptions& options,
             std::span<const std::pair<Expr, Expr>> renewed, Intervals intervals,
             const ContractionPrecisions* decided) {
  return Flattening(outputs, options, renewed, std::move(intervals), decided).run();
}

}  // namespace rulegrad
