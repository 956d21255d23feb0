#include "compile/join_sweeps.hpp"

#include <algorithm>
#include <boost/dynamic_bitset.hpp>
#include <fmt/format.h>
#include <map>
#include <optional>
#include <queue>
#include <tuple>

#include "rulegrad/ops/op_attributes.hpp"

#include "compile/weight_function.hpp"
#include "kernels/product/bind_sweep.hpp"
#include "kernels/product/matmul.hpp"

namespace rulegrad {
namespace {

using Bits = boost::dynamic_bitset<>;

/// A product with a large constant.
struct Candidate {
  std::size_t instruction;
  WeightFunction function;
  bool transposed;  ///< the weight is [outputs, inputs]
  /// Samples are more rows; extents of the batch must then agree.
  std::optional<Dim> sampled_rows;
};

/// Products with one constant that are computed together.
struct Group {
  std::vector<std::size_t> candidates;
  Bits members, before;  ///< of candidates: its own, and those that any of them needs
};

class Sweeping {
 public:
  Sweeping(Flow flow, std::size_t least) : flow_(std::move(flow)), least_(least) {}

  Flow run() {
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      if (auto candidate = candidate_at(i)) candidates_.push_back(std::move(*candidate));
    if (candidates_.empty()) return std::move(flow_);
    find_dependencies();
    for (std::size_t c = 0; c < candidates_.size(); ++c) place(c);
    rebuild();
    return std::move(flow_);
  }

 private:
  const Type& type(ValueId value) const { return flow_.values[value].type; }

  /// Only products that the kernels which ship compute: those of a program's own stay what they are.
  static bool ships(const Instruction& instruction) {
    return instruction.kernel == Kernels::portable().find(instruction.op) ||
           instruction.kernel == Kernels::best().find(instruction.op);
  }

  std::optional<Candidate> candidate_at(std::size_t i) const {
    const Instruction& instruction = flow_.instructions[i];
    const bool dense = instruction.op == "dense";
    if ((!dense && instruction.op != "matmul") || !ships(instruction) || !kernels::multiplies())
      return std::nullopt;
    const FlowValue& w = flow_.values[flow_.root(instruction.operands[1])];
    const Shape& shape = type(instruction.operands[1]).shape;
    if (w.source != Source::constant || shape.rank() != 2 || w.type.shape != shape || w.block != 0)
      return std::nullopt;
    bool transposed = true;
    if (!dense) {
      const auto& attributes = instruction.attributes.as<MatmulAttributes>();
      if (attributes.transpose_a) return std::nullopt;
      transposed = attributes.transpose_b;
    }
    const auto& constant = flow_.constants[w.index].constant;
    if (constant->bytes() < least_ || !is_floating(constant->dtype())) return std::nullopt;
    // One sample alone has more rows than a sweep serves: arithmetic limits it.
    const Dims x = type(instruction.operands[0]).shape.with_samples(false).at({});
    if (x.empty() || element_count(std::span(x).first(x.size() - 1)) > kernels::thin_rows)
      return std::nullopt;
    Candidate candidate{i, WeightFunction(constant), transposed, std::nullopt};
    if (type(instruction.result()).shape.sampled()) {
      // The sample axis joins the rows, or the product stays as it is.
      if (!rows_are_samples(instruction)) return std::nullopt;
      candidate.sampled_rows = type(instruction.result()).shape[0];
    }
    return candidate;
  }

  bool rows_are_samples(const Instruction& instruction) const {
    const Type& result = type(instruction.result());
    std::vector<Type> types;
    for (const ValueId operand : instruction.operands) types.push_back(type(operand));
    if (result.shape.rank() == 0 || types[0].shape.rank() == 0 || types[0].shape[0] != result.shape[0])
      return false;
    for (std::size_t k = 0; k < types.size(); ++k)
      if (types[k].shape.sampled() != (k == 0)) return false;
    return instruction.kernel->rows &&
           instruction.kernel->rows(types, result, instruction.attributes) == std::vector<std::size_t>{0};
  }

  /// The instruction that makes a value; nothing for inputs and constants.
  std::optional<std::size_t> maker(ValueId value) const {
    const FlowValue& made = flow_.values[flow_.root(value)];
    return made.source == Source::instruction ? std::optional<std::size_t>(made.index) : std::nullopt;
  }

  /// By candidate, those whose results it needs.
  void find_dependencies() {
    std::vector<Bits> needs(flow_.instructions.size(), Bits(candidates_.size()));
    std::size_t next = 0;
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i) {
      for (const ValueId operand : flow_.instructions[i].operands)
        if (const auto from = maker(operand)) needs[i] |= needs[*from];
      if (next == candidates_.size() || candidates_[next].instruction != i) continue;
      before_.push_back(needs[i]);
      needs[i].set(next++);
    }
  }

  /// Into the first group of its constant where neither needs the other, counting what the groups so far need
  /// together: so the calls never wait for each other in a circle.
  void place(std::size_t c) {
    const Candidate& candidate = candidates_[c];
    const auto key = std::tuple(
        candidate.function.base().get(), candidate.transposed, candidate.sampled_rows.has_value(),
        candidate.sampled_rows.value_or(Dim(0)).factor, candidate.sampled_rows.value_or(Dim(0)).batch);
    Bits own(candidates_.size());
    own.set(c);
    Bits needed = closed(before_[c]);
    auto& known = groups_by_key_[key];
    for (const std::size_t g : known) {
      Group& group = groups_[g];
      if (needed.intersects(group.members) || group.before.test(c)) continue;
      group.candidates.push_back(c);
      group.members |= own;
      group.before |= needed;
      for (Group& other : groups_)
        if (other.before.intersects(group.members)) other.before |= group.members | group.before;
      return;
    }
    known.push_back(groups_.size());
    groups_.push_back({{c}, own, std::move(needed)});
  }

  /// With what the groups of those need.
  Bits closed(Bits needed) const {
    Bits all = needed;
    for (const Group& group : groups_)
      if (needed.intersects(group.members)) all |= group.members | group.before;
    return all;
  }

  void rebuild() {
    std::vector<std::size_t> unit_of(flow_.instructions.size());
    std::vector<std::vector<std::size_t>> units;
    std::vector<const Group*> group_of_unit;
    std::vector<const Group*> group_at(flow_.instructions.size(), nullptr);
    for (const Group& group : groups_) group_at[candidates_[group.candidates.front()].instruction] = &group;
    std::vector<bool> grouped(flow_.instructions.size());
    for (const Candidate& candidate : candidates_) grouped[candidate.instruction] = true;
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i) {
      if (grouped[i] && group_at[i] == nullptr) continue;
      units.push_back({});
      group_of_unit.push_back(group_at[i]);
      if (group_at[i] == nullptr)
        units.back().push_back(i);
      else
        for (const std::size_t c : group_at[i]->candidates)
          units.back().push_back(candidates_[c].instruction);
      for (const std::size_t member : units.back()) unit_of[member] = units.size() - 1;
    }
    std::vector<Instruction> ordered;
    for (const std::size_t unit : order(units, unit_of))
      ordered.push_back(group_of_unit[unit] ? together(*group_of_unit[unit])
                                            : std::move(flow_.instructions[units[unit].front()]));
    flow_.instructions = std::move(ordered);
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      for (const ValueId result : flow_.instructions[i].results)
        flow_.values[result].index = static_cast<std::uint32_t>(i);
  }

  /// Of those whose operands are there, the one that came first.
  std::vector<std::size_t> order(const std::vector<std::vector<std::size_t>>& units,
                                 const std::vector<std::size_t>& unit_of) const {
    std::vector<std::vector<std::size_t>> users(units.size());
    std::vector<std::size_t> missing(units.size());
    for (std::size_t u = 0; u < units.size(); ++u)
      for (const std::size_t i : units[u])
        for (const ValueId operand : flow_.instructions[i].operands)
          if (const auto from = maker(operand)) {
            users[unit_of[*from]].push_back(u);
            ++missing[u];
          }
    std::priority_queue<std::size_t, std::vector<std::size_t>, std::greater<>> ready;
    for (std::size_t u = 0; u < units.size(); ++u)
      if (missing[u] == 0) ready.push(u);
    std::vector<std::size_t> result;
    while (!ready.empty()) {
      const std::size_t unit = ready.top();
      ready.pop();
      result.push_back(unit);
      for (const std::size_t user : users[unit])
        if (--missing[user] == 0) ready.push(user);
    }
    return result;
  }

  Instruction together(const Group& group) {
    const Candidate& first = candidates_[group.candidates.front()];
    Instruction sweep{.op = "sweep",
                      .label = flow_.instructions[first.instruction].label,
                      .kernel = nullptr,
                      .attributes = {},
                      .operands = {value_of(first.function.base())},
                      .results = {}};
    kernels::SweepDescription description{first.transposed, {}, {}};
    std::map<const Constant*, std::size_t> functions;  // by the constant that they give
    for (const std::size_t c : group.candidates) {
      const Candidate& candidate = candidates_[c];
      const Instruction& product = flow_.instructions[candidate.instruction];
      const auto& constant = flow_.constants[flow_.values[flow_.root(product.operands[1])].index].constant;
      const auto [function, fresh] = functions.emplace(constant.get(), description.functions.size());
      if (fresh) {
        description.functions.emplace_back();
        if (!candidate.function.is_identity())
          description.functions.back() = [f = candidate.function](std::int64_t count, const std::byte* in,
                                                                  std::byte* out) {
            f.apply(count, in, out);
          };
      }
      const std::size_t x = sweep.operands.size();
      sweep.operands.push_back(product.operands[0]);
      if (product.operands.size() > 2) sweep.operands.push_back(product.operands[2]);
      description.products.push_back({x, product.operands.size() > 2 ? x + 1 : 0, function->second});
      sweep.results.push_back(product.result());
      sweep.result_labels.push_back(product.label);
    }
    if (group.candidates.size() > 1)
      sweep.label += fmt::format(" and {} more products with its weight", group.candidates.size() - 1);
    sweep.kernel = std::make_shared<const Kernel>(kernels::sweep_kernel(std::move(description)));
    return sweep;
  }

  ValueId value_of(const std::shared_ptr<Constant>& constant) {
    for (ValueId v = 0; v < flow_.values.size(); ++v)
      if (const FlowValue& value = flow_.values[v];
          value.source == Source::constant && flow_.constants[value.index].constant == constant)
        return v;
    flow_.constants.push_back({"", constant});
    flow_.values.push_back({Source::constant,
                            static_cast<std::uint32_t>(flow_.constants.size() - 1),
                            {constant->dtype(), Shape::of(constant->dims())}});
    return static_cast<ValueId>(flow_.values.size() - 1);
  }

  Flow flow_;
  std::size_t least_;
  std::vector<Candidate> candidates_;
  std::vector<Bits> before_;
  std::vector<Group> groups_;
  std::map<std::tuple<const Constant*, bool, bool, std::int64_t, bool>, std::vector<std::size_t>>
      groups_by_key_;
};

}  // namespace

Flow with_sweeps(Flow flow, std::size_t least) {
  return least == 0 ? std::move(flow) : Sweeping(std::move(flow), least).run();
}

}  // namespace rulegrad
