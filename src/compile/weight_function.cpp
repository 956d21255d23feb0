#include "compile/weight_function.hpp"

#include <algorithm>
#include <array>

#include "kernels/product/matmul.hpp"

namespace rulegrad {
namespace {

/// Longer ones cost more than reading the result would.
constexpr std::size_t most_steps = 8;

bool is_number(const Constant& constant) {
  return element_count(constant.dims()) == 1;
}

/// Element by element, over its operands if need be, with numbers at most beside operands of its own shape.
bool is_elementwise(const Constant& constant) {
  if (constant.is_stored()) return false;
  const Derivation& derivation = constant.derivation();
  const Kernel& kernel = *derivation.kernel;
  if (kernel.access == Access::any || !kernel.in_place || kernel.scratch || derivation.block != 0)
    return false;
  return std::ranges::all_of(derivation.operands, [&](const auto& operand) {
    return operand->dims() == constant.dims() || (kernel.access == Access::broadcast && is_number(*operand));
  });
}

}  // namespace

WeightFunction::WeightFunction(const std::shared_ptr<Constant>& constant) {
  // What all paths lead to is on the first of them; the deepest constant from which all of it follows.
  std::shared_ptr<Constant> best = constant;
  std::vector<Step> steps;
  const bool taken = kernels::sweeps_functions() && kernels::multiplies_functions();
  for (base_ = constant; taken && is_elementwise(*base_);) {
    const auto& operands = base_->derivation().operands;
    const auto next = std::ranges::find_if(
        operands, [&](const auto& operand) { return operand->dims() == constant->dims(); });
    if (next == operands.end()) break;
    base_ = *next;
    steps_.clear();
    if (base_->dtype() != constant->dtype() || !add(constant) || steps_.size() > most_steps) continue;
    best = base_;
    steps = std::move(steps_);
  }
  base_ = std::move(best);
  steps_ = std::move(steps);
}

std::optional<std::size_t> WeightFunction::add(const std::shared_ptr<Constant>& constant) {
  if (constant == base_) return 0;
  for (std::size_t i = 0; i < steps_.size(); ++i)
    if (steps_[i].constant == constant) return i + 1;
  if (!is_elementwise(*constant) || steps_.size() > most_steps) return std::nullopt;
  Step step{constant, {}};
  for (const auto& operand : constant->derivation().operands) {
    if (operand->dims() != base_->dims()) {
      step.operands.push_back({0, operand->value()});
      continue;
    }
    const auto position = add(operand);
    if (!position) return std::nullopt;
    step.operands.push_back({*position, nullptr});
  }
  steps_.push_back(std::move(step));
  return steps_.size();
}

void WeightFunction::apply(std::int64_t count, const std::byte* in, std::byte* out) const {
  // Results of the steps but the last, one behind the other.
  thread_local std::vector<std::byte> room;
  constexpr std::size_t widest = 8, alignment = 64;
  const std::size_t each = (static_cast<std::size_t>(count) * widest + alignment - 1) / alignment * alignment;
  if (room.size() < each * steps_.size()) room.resize(each * steps_.size());
  const std::array<std::int64_t, 1> dims{count}, one{1};
  std::vector<ConstView> views;
  for (std::size_t i = 0; i < steps_.size(); ++i) {
    const Derivation& derivation = steps_[i].constant->derivation();
    views.clear();
    for (const Step::Operand& operand : steps_[i].operands) {
      if (operand.number)
        views.push_back({operand.number->dtype(), one, operand.number->data()});
      else if (operand.value == 0)
        views.push_back({base_->dtype(), dims, in});
      else
        views.push_back(
            {steps_[operand.value - 1].constant->dtype(), dims, room.data() + (operand.value - 1) * each});
    }
    std::byte* const result = i + 1 == steps_.size() ? out : room.data() + i * each;
    derivation.kernel->run({views, {derivation.dtype, dims, result}, derivation.attributes, {}});
  }
}

}  // namespace rulegrad
