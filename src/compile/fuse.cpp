#include "compile/fuse.hpp"

#include <algorithm>
#include <boost/container/small_vector.hpp>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "compile/fused_call.hpp"

namespace rulegrad {
namespace {

/// So many operations and operands stay in the nearest cache together.
constexpr std::size_t most_operations = 24, most_operands = 12;

/// So many readers of a value are asked whether one more may join them.
constexpr std::ptrdiff_t most_readers = 64;

constexpr std::size_t none = ~std::size_t{0};

/// What the members of a group compute: values of these extents and, where some of them work on rows, values
/// with one element for each row, of the same extents up to that axis and 1 behind it.
struct Frame {
  Shape shape;
  std::int64_t block = 0;
  std::optional<std::size_t> row_axis = {};

  [[nodiscard]] bool has_value_per_row(const Shape& value) const {
    if (!row_axis || value == shape || value.sampled() != shape.sampled() || value.rank() < *row_axis ||
        value.rank() > shape.rank())
      return false;
    for (std::size_t i = 0; i < value.rank(); ++i)
      if (i < *row_axis ? value[i] != shape[i] : !value[i].is(1)) return false;
    return true;
  }
  [[nodiscard]] FusedGroup::Place place_of(const Shape& value) const {
    return value == shape ? FusedGroup::Place{} : FusedGroup::Place{true, value.rank()};
  }

  /// The frame of two groups that become one, if there is one.
  [[nodiscard]] static std::optional<Frame> of(const Frame& a, const Frame& b) {
    if (a.block != b.block) return std::nullopt;
    const auto holds = [](const Frame& frame, const Frame& other) {
      if (frame.shape == other.shape) return !other.row_axis || other.row_axis == frame.row_axis;
      return !other.row_axis && frame.has_value_per_row(other.shape);
    };
    return holds(a, b) ? std::optional(a) : holds(b, a) ? std::optional(b) : std::nullopt;
  }
};

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
      groups_.push_back({Members(1, i), fusible(i), frame_of(i)});
    }
    last_contraction_.resize(flow.instructions.size() + 1, none);
    for (std::size_t i = 0; i < flow.instructions.size(); ++i)
      last_contraction_[i + 1] = flow.instructions[i].kernel->contraction ? i : last_contraction_[i];
  }

  using Members = boost::container::small_vector<std::size_t, 4>;
  struct Group {
    Members members;  ///< in the order of the flow
    bool fusible;
    Frame frame;
  };

  /// Groups by the instruction that they take the place of; those of other members are empty.
  std::vector<Group> run() {
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
    const Frame frame{operand.type.shape, 0, axis};
    const bool by_rows = result.type.shape == frame.shape || frame.has_value_per_row(result.type.shape);
    return by_rows && length > 0 && length <= longest_fused_row ? axis : std::nullopt;
  }

  const FlowValue& result_of(std::size_t i) const { return flow_.values[flow_.instructions[i].result()]; }
  Frame frame_of(std::size_t i) const {
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
    const auto frame = Frame::of(groups_[g].frame, groups_[i].frame);
    return frame && reads_align(*frame, g, i) && operands_of(g, i) <= most_operands;
  }

  /// True if all that members of one of the groups read of the other lies over the same rows as what they
  /// compute.
  bool reads_align(const Frame& frame, std::size_t g, std::size_t i) const {
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
    groups_[to].frame = *Frame::of(groups_[from].frame, groups_[to].frame);
    groups_[from].members.clear();
  }

  const Flow& flow_;
  std::vector<std::size_t> first_use_;  // by root value: in uses_
  std::vector<Use> uses_;
  std::vector<std::size_t> group_of_;  // by instruction
  std::vector<Group> groups_;          // by the instruction whose place they take
  std::vector<std::optional<std::size_t>> row_axis_;
  std::vector<std::size_t> last_contraction_;
};

/// The flow with one instruction for each group.
class Fusing {
 public:
  Fusing(Flow flow, std::vector<Grouping::Group> groups, bool check_finite)
      : flow_(std::move(flow)),
        groups_(std::move(groups)),
        check_finite_(check_finite),
        leaves_(flow_.values.size()),
        looked_through_(flow_.values.size()) {}

  Flow run() {
    for (const FlowValue& value : flow_.values) old_index_.push_back(value.index);
    for (const Instruction& instruction : flow_.instructions)
      contracts_.push_back(instruction.kernel->contraction && instruction.results.size() == 1);
    find_leaves();
    std::vector<Instruction> instructions;
    instructions.reserve(flow_.instructions.size());
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      if (groups_[g].members.empty()) continue;
      for (const std::size_t member : groups_[g].members)
        for (const ValueId result : flow_.instructions[member].results)
          flow_.values[result].index = static_cast<std::uint32_t>(instructions.size());
      instructions.push_back(instruction_of(g));
      flow_.fused += groups_[g].members.size() - 1;
    }
    for (ValueId value = 0; value < looked_through_.size(); ++value)
      if (looked_through_[value]) instructions[flow_.values[value].index].checked_by_reader = true;
    flow_.instructions = std::move(instructions);
    return std::move(flow_);
  }

 private:
  /// What leaves the group that computes it.
  void find_leaves() {
    for (const ValueId output : flow_.outputs) leaves_[flow_.root(output)] = true;
    std::vector<std::size_t> group_of(flow_.instructions.size());
    for (std::size_t g = 0; g < groups_.size(); ++g)
      for (const std::size_t member : groups_[g].members) group_of[member] = g;
    for (std::size_t i = 0; i < flow_.instructions.size(); ++i)
      for (const ValueId operand : flow_.instructions[i].operands) {
        const ValueId root = flow_.root(operand);
        const FlowValue& value = flow_.values[root];
        if (value.source == Source::instruction && group_of[value.index] != group_of[i]) leaves_[root] = true;
      }
  }

  /// A contraction's result, whole and as it is: its reader can look through it.
  bool can_look_through(std::size_t g, ValueId operand) const {
    const FlowValue& value = flow_.values[operand];
    if (!check_finite_ || value.source != Source::instruction) return false;
    const Frame& frame = groups_[g].frame;
    return contracts_[old_index_[operand]] && value.block == frame.block && value.type.shape == frame.shape;
  }

  /// Of a group whose instructions nobody asks for afterwards.
  Instruction instruction_of(std::size_t g) {
    const auto& members = groups_[g].members;
    Instruction& last = flow_.instructions[members.back()];
    const auto reads_contraction = [&] {
      return std::any_of(last.operands.begin(), last.operands.end(),
                         [&](ValueId operand) { return can_look_through(g, operand); });
    };
    if (members.size() == 1 && (!groups_[g].fusible || !reads_contraction())) return std::move(last);

    Instruction made{{}, last.label, nullptr, {}, {}, {}};
    const Frame& frame = groups_[g].frame;
    FusedGroup group;
    if (frame.row_axis) {
      group.rows = {*frame.row_axis, {}};
      for (std::size_t i = *frame.row_axis; i < frame.shape.rank(); ++i)
        group.rows->extents.push_back(frame.shape[i].factor);
    }
    // An operand that both elements and rows are computed from is two.
    const auto place_of = [&](ValueId value) { return frame.place_of(flow_.values[value].type.shape); };
    const auto place_for = [&](const Instruction& instruction) {
      return instruction.kernel->access == Access::any ? FusedGroup::Place{} : place_of(instruction.result());
    };
    // Groups are small: what they read and compute is looked for one after the other.
    const auto computed = [&](ValueId value) {
      return std::find_if(members.begin(), members.end(),
                          [&](std::size_t member) { return flow_.instructions[member].result() == value; }) -
             members.begin();
    };
    const auto inside = static_cast<std::ptrdiff_t>(members.size());
    const auto operand_at = [&](ValueId value, const FusedGroup::Place& place) {
      std::size_t at = 0;
      while (at < made.operands.size() && (made.operands[at] != value || group.operands[at] != place)) ++at;
      return at;
    };
    for (const std::size_t member : members) {
      const Instruction& instruction = flow_.instructions[member];
      for (const ValueId operand : instruction.operands)
        if (const auto place = place_for(instruction);
            computed(operand) == inside && operand_at(operand, place) == made.operands.size()) {
          made.operands.push_back(operand);
          group.operands.push_back(place);
        }
    }
    const std::size_t outside = made.operands.size();
    for (const std::size_t member : members) {
      Instruction& instruction = flow_.instructions[member];
      FusedGroup::Reads reads;
      for (const ValueId operand : instruction.operands) {
        const std::ptrdiff_t made_by = computed(operand);
        reads.push_back(static_cast<std::uint32_t>(made_by == inside
                                                       ? operand_at(operand, place_for(instruction))
                                                       : outside + static_cast<std::size_t>(made_by)));
      }
      const ValueId result = instruction.result();
      group.operations.push_back({instruction.kernel, instruction.attributes, flow_.values[result].type.dtype,
                                  std::move(reads), place_of(result)});
      if (!made.op.empty()) made.op += '+';
      made.op += instruction.op;
      if (leaves_[result]) {
        group.results.push_back(static_cast<std::uint32_t>(group.operations.size() - 1));
        made.results.push_back(result);
        made.result_labels.push_back(std::move(instruction.label));
      }
    }
    for (std::uint32_t k = 0; k < made.operands.size(); ++k)
      if (can_look_through(g, made.operands[k]) && !looked_through_[made.operands[k]]) {
        group.looked_through.push_back(k);
        looked_through_[made.operands[k]] = true;
      }
    made.kernel = std::make_shared<const Kernel>(fused_kernel(std::move(group)));
    return made;
  }

  Flow flow_;
  std::vector<Grouping::Group> groups_;
  bool check_finite_;
  std::vector<bool> leaves_;              // by root value: an output, or read by another group
  std::vector<bool> contracts_;           // by instruction, before fusion
  std::vector<std::uint32_t> old_index_;  // by value: of the instruction that computes it, before fusion
  std::vector<bool> looked_through_;      // by value
};

}  // namespace

Flow with_fusion(Flow flow, bool check_finite) {
  if (!fuses()) return flow;
  std::vector<Grouping::Group> groups = Grouping(flow).run();
  return Fusing(std::move(flow), std::move(groups), check_finite).run();
}

}  // namespace rulegrad
