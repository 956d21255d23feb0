#include "compile/fusion_groups.hpp"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

namespace rulegrad {
namespace {

/// So many operations and operands stay in the nearest cache together.
constexpr std::size_t most_operations = 24, most_operands = 12;

/// So many readers of a value are asked whether one more may join them.
constexpr std::ptrdiff_t most_readers = 64;

constexpr std::size_t none = ~std::size_t{0};

/// Finds which instructions become one. A group runs in place of one of its members, which it is numbered by;
/// everything else stays where it was.
class Grouping {
 public:
  explicit Grouping(const Flow& flow) : flow_(flow), group_of_(flow.instructions.size()) {
    std::iota(group_of_.begin(), group_of_.end(), std::size_t{0});
    find_uses();
    row_axis_.reserve(flow.instructions.size());
    groups_.reserve(flow.instructions.size());
    for (std::size_t i = 0; i < flow.instructions.size(); ++i) {
      row_axis_.push_back(row_axis(flow.instructions[i]));
      groups_.push_back({FusionGroup::Members(1, i), fusible(i), frame_of(i)});
    }
    last_contraction_.resize(flow.instructions.size() + 1, none);
    for (std::size_t i = 0; i < flow.instructions.size(); ++i)
      last_contraction_[i + 1] = flow.instructions[i].kernel->contraction ? i : last_contraction_[i];
  }

  std::vector<FusionGroup> run() {
    for (std::size_t i = 0; i < groups_.size(); ++i)
      if (groups_[i].fusible) join(i);
    return std::move(groups_);
  }

 private:
  struct Use {
    std::size_t user;
    ValueId as;  ///< the value itself, or one that shares its elements
  };

  /// All uses in one array, those of a value side by side.
  void find_uses() {
    first_use_.assign(flow_.values.size() + 1, 0);
    for (const Instruction& instruction : flow_.instructions)
      for (const ValueId operand : instruction.operands) ++first_use_[flow_.root(operand) + 1];
    std::partial_sum(first_use_.begin(), first_use_.end(), first_use_.begin());
    uses_.resize(first_use_.back());
    std::vector<std::size_t> next(first_use_.begin(), first_use_.end() - 1);
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      for (const ValueId operand : flow_.instructions[i].operands)
        uses_[next[flow_.root(operand)]++] = {i, operand};
  }

  /// Of a root value, in the order of the flow.
  std::span<const Use> uses_of(ValueId value) const {
    return std::span(uses_).subspan(first_use_[value], first_use_[value + 1] - first_use_[value]);
  }

  static bool simple_dtype(DType dtype) { return is_floating(dtype) || dtype == DType::boolean; }

  bool fusible(std::size_t i) const {
    const Instruction& instruction = flow_.instructions[i];
    const Kernel& kernel = *instruction.kernel;
    return (kernel.access != Access::any || row_axis_[i]) && !kernel.prepare && !kernel.scratch &&
           instruction.results.size() == 1 && !too_wide(instruction) &&
           simple_dtype(result_of(i).type.dtype) &&
           std::all_of(instruction.operands.begin(), instruction.operands.end(),
                       [&](ValueId operand) { return simple_dtype(flow_.values[operand].type.dtype); });
  }

  /// True if it reads more values than a call may, even where as many others as can stand in one compute some of them:
  /// it is never asked for whom it might join, which for a sum of many terms is asked for each of them.
  bool too_wide(const Instruction& instruction) const {
    if (instruction.operands.size() <= most_operands + most_operations) return false;
    std::vector<ValueId> read;
    for (const ValueId operand : instruction.operands) read.push_back(flow_.root(operand));
    std::sort(read.begin(), read.end());
    return std::unique(read.begin(), read.end()) - read.begin() >
           static_cast<std::ptrdiff_t>(most_operands + most_operations);
  }

  /// Where the rows of an instruction begin that works on each for itself, if they are known and short.
  std::optional<std::size_t> row_axis(const Instruction& instruction) const {
    if (!fuses_rows() || !instruction.kernel->row_axis || instruction.results.size() != 1)
      return std::nullopt;
    const FlowValue& operand = flow_.values[instruction.operands[0]];
    const FlowValue& result = flow_.values[instruction.result()];
    const auto axis =
        instruction.kernel->row_axis(std::span(&operand.type, 1), result.type, instruction.attributes);
    if (!axis || operand.block != 0 || result.block != 0) return std::nullopt;
    std::int64_t length = 1;
    for (std::size_t i = *axis; i < operand.type.shape.rank(); ++i) {
      if (operand.type.shape[i].batch) return std::nullopt;
      length *= operand.type.shape[i].factor;
    }
    const FusionFrame frame{operand.type.shape, 0, axis};
    const bool by_rows = result.type.shape == frame.shape || frame.has_value_per_row(result.type.shape);
    return by_rows && length > 0 && length <= longest_fused_row ? axis : std::nullopt;
  }

  const FlowValue& result_of(std::size_t i) const { return flow_.values[flow_.instructions[i].result()]; }
  FusionFrame frame_of(std::size_t i) const {
    const FlowValue& value = row_axis_[i] ? flow_.values[flow_.instructions[i].operands[0]] : result_of(i);
    return {value.type.shape, value.block, row_axis_[i]};
  }

  /// The instruction that computes a value; none for inputs and constants.
  std::size_t producer(ValueId value) const {
    value = flow_.root(value);
    return flow_.values[value].source == Source::instruction ? flow_.values[value].index : none;
  }

  /// Lets what i reads wait for it; where nothing can, i itself joins what runs shortly before.
  void join(std::size_t i) {
    for (const ValueId operand : flow_.instructions[i].operands)
      if (const std::size_t p = producer(operand); p != none)
        if (const std::size_t g = group_of_[p]; g != i && may_merge(g, i) && nobody_else_waits(g, i))
          merge(g, i);
    if (groups_[i].members.size() > 1) return;
    for (const std::size_t g : neighbours(i))
      if (may_merge(g, i) && ready_at(i, g)) return merge(i, g);
  }

  bool may_merge(std::size_t g, std::size_t i) const {
    if (!groups_[g].fusible || groups_[g].members.empty() ||
        groups_[g].members.size() + groups_[i].members.size() > most_operations)
      return false;
    const auto frame = FusionFrame::of(groups_[g].frame, groups_[i].frame);
    return frame && reads_align(*frame, g, i) && operands_of(g, i) <= most_operands;
  }

  /// True if all that members of one of the groups read of the other lies over the same rows as what they
  /// compute.
  bool reads_align(const FusionFrame& frame, std::size_t g, std::size_t i) const {
    if (!frame.row_axis) return true;
    for (const std::size_t group : {g, i})
      for (const std::size_t member : groups_[group].members)
        for (const ValueId operand : flow_.instructions[member].operands) {
          const std::size_t p = producer(operand);
          if (p == none || (group_of_[p] != g && group_of_[p] != i)) continue;
          const Shape &read = result_of(p).type.shape, &made = result_of(member).type.shape;
          if (read == frame.shape) continue;
          // A value for each row: what computes for rows reads it as it is, what computes for elements sees
          // it spread over the row.
          const bool spread = !row_axis_[member] && made == frame.shape &&
                              (read.rank() == frame.shape.rank() || read.rank() == 0);
          const bool as_it_is = !row_axis_[member] && made == read;
          if (!spread && !as_it_is) return false;
        }
    return true;
  }

  /// How many values two groups read that neither computes.
  std::size_t operands_of(std::size_t g, std::size_t i) const {
    boost::container::small_vector<ValueId, 4 * most_operands> read;
    for (const std::size_t group : {g, i})
      for (const std::size_t member : groups_[group].members)
        for (const ValueId operand : flow_.instructions[member].operands) {
          const std::size_t p = producer(operand);
          if (p == none || (group_of_[p] != g && group_of_[p] != i)) read.push_back(operand);
        }
    std::sort(read.begin(), read.end());
    return static_cast<std::size_t>(std::unique(read.begin(), read.end()) - read.begin());
  }

  /// True if no one needs a result of g before i runs but i's own group.
  bool nobody_else_waits(std::size_t g, std::size_t i) const {
    for (const std::size_t member : groups_[g].members) {
      const ValueId result = flow_.instructions[member].result();
      for (const Use& use : uses_of(result)) {
        const bool within = group_of_[use.user] == g || group_of_[use.user] == i;
        if (within ? use.as != result : group_of_[use.user] <= i) return false;
      }
    }
    return true;
  }

  /// Groups that compute or read what i reads, with no contraction between them and i: results of i live
  /// longer there.
  std::vector<std::size_t> neighbours(std::size_t i) const {
    std::vector<std::size_t> result;
    const auto add = [&](std::size_t g) {
      const std::size_t contraction = last_contraction_[i];
      if (g < i && (contraction == none || contraction < g) &&
          std::find(result.begin(), result.end(), g) == result.end())
        result.push_back(g);
    };
    for (const ValueId operand : flow_.instructions[i].operands) {
      if (const std::size_t p = producer(operand); p != none && flow_.root(operand) == operand)
        add(group_of_[p]);
      if (flow_.values[operand].type.shape != result_of(i).type.shape) continue;
      // In the order of the flow. Of a number that everything reads, the nearest readers will do.
      const std::span<const Use> uses = uses_of(flow_.root(operand));
      const auto end = std::ranges::lower_bound(uses, i, {}, &Use::user);
      for (auto use = end - std::min<std::ptrdiff_t>(end - uses.begin(), most_readers); use != end; ++use)
        if (use->as == operand) add(group_of_[use->user]);
    }
    return result;
  }

  /// True if all that i reads is there when g runs, or made by g.
  bool ready_at(std::size_t i, std::size_t g) const {
    const auto& operands = flow_.instructions[i].operands;
    return std::all_of(operands.begin(), operands.end(), [&](ValueId operand) {
      const std::size_t p = producer(operand);
      if (p == none) return true;
      return group_of_[p] < g || (group_of_[p] == g && flow_.root(operand) == operand);
    });
  }

  void merge(std::size_t from, std::size_t to) {
    auto& members = groups_[to].members;
    for (const std::size_t member : groups_[from].members) group_of_[member] = to;
    members.insert(members.end(), groups_[from].members.begin(), groups_[from].members.end());
    std::sort(members.begin(), members.end());
    groups_[to].frame = *FusionFrame::of(groups_[from].frame, groups_[to].frame);
    groups_[from].members.clear();
  }

  const Flow& flow_;
  std::vector<std::size_t> first_use_;  // by root value: in uses_
  std::vector<Use> uses_;
  std::vector<std::size_t> group_of_;  // by instruction
  std::vector<FusionGroup> groups_;    // by the instruction whose place they take
  std::vector<std::optional<std::size_t>> row_axis_;
  std::vector<std::size_t> last_contraction_;
};

}  // namespace

bool FusionFrame::has_value_per_row(const Shape& value) const {
  if (!row_axis || value == shape || value.sampled() != shape.sampled() || value.rank() < *row_axis ||
      value.rank() > shape.rank())
    return false;
  for (std::size_t i = 0; i < value.rank(); ++i)
    if (i < *row_axis ? value[i] != shape[i] : !value[i].is(1)) return false;
  return true;
}

FusedGroup::Place FusionFrame::place_of(const Shape& value) const {
  return value == shape ? FusedGroup::Place{} : FusedGroup::Place{true, value.rank()};
}

std::optional<FusionFrame> FusionFrame::of(const FusionFrame& a, const FusionFrame& b) {
  if (a.block != b.block) return std::nullopt;
  const auto holds = [](const FusionFrame& frame, const FusionFrame& other) {
    if (frame.shape == other.shape) return !other.row_axis || other.row_axis == frame.row_axis;
    return !other.row_axis && frame.has_value_per_row(other.shape);
  };
  return holds(a, b) ? std::optional(a) : holds(b, a) ? std::optional(b) : std::nullopt;
}

std::vector<FusionGroup> fusion_groups(const Flow& flow) {
  return Grouping(flow).run();
}

}  // namespace rulegrad
