#include "run/stage_list.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/constants.hpp"
#include "expr/rebuild.hpp"
#include "run/staged_program.hpp"

namespace rulegrad {
namespace {

/// Builds a part of one graph as a graph of its own, with some of its values as inputs.
class Excerpt {
 public:
  Excerpt(Graph& whole, const ContractionPrecisions& precisions)
      : graph_(whole.real()), of_whole_(precisions) {
    share_store(graph_, whole);
    (void)graph_.input(batch_input, {DType::int64, Shape{B}});
  }

  void add_input(Expr value, const std::string& name, const Shape& shape) {
    const Expr input = graph_.input(name, {value.dtype(), shape});
    copy_.emplace(value, input);
  }

  Expr copy(Expr expr) {
    const Rebuild into{
        no_boundary, [&](Expr node, std::span<const Expr> operands) {
          const Expr made = graph_.make(node.op(), {operands.begin(), operands.end()}, node.attributes());
          for (const std::string& name : node.graph().names(node)) graph_.add_name(made, name);
          if (const auto found = of_whole_.find(node); found != of_whole_.end())
            precisions_.emplace(made, found->second);
          return made;
        }};
    return into(expr, copy_);
  }

  [[nodiscard]] Program compile(std::span<const Expr> copies, const CompileOptions& options) const {
    return StagedProgram::stage(copies, options, precisions_);
  }

 private:
  Graph graph_;
  std::unordered_map<Expr, Expr> copy_;
  const ContractionPrecisions& of_whole_;
  ContractionPrecisions precisions_;
};

const ReduceSamplesAttributes& reduction_of(Expr reduce) {
  return reduce.attributes<ReduceSamplesAttributes>();
}

class Staging {
 public:
  Staging(std::span<const Expr> outputs, std::span<const Expr> given, std::uint32_t fixed,
          const CompileOptions& options, const ContractionPrecisions& precisions)
      : outputs_(outputs.begin(), outputs.end()), fixed_(fixed), options_(options), precisions_(precisions) {
    options_.check_inputs = false;
    for (const Expr value : given) list_.given.push_back(slot_of(value));
    for (const Expr value : given) given_.insert(value);
    order_ = order_until(outputs_, [&](Expr e) { return given_.contains(e); });
    classify();
  }

  StageList run() {
    for (const Expr output : outputs_) want(output);
    std::vector<std::variant<StraightStage, LoopStage>> last_first;
    for (std::size_t stage = wanted_.size(); stage-- > 0;) {
      if (auto straight = make_straight(stage)) last_first.emplace_back(std::move(*straight));
      for (LoopStage& loop : make_loops(stage)) last_first.emplace_back(std::move(loop));
    }
    std::reverse(last_first.begin(), last_first.end());
    list_.stages = std::move(last_first);
    for (const Expr output : outputs_) list_.outputs.push_back(slot_of(output));
    list_.slots = next_slot_;
    find_deaths();
    return std::move(list_);
  }

 private:
  [[nodiscard]] std::uint32_t open_loops(Expr e) const {
    return given_.contains(e) ? 0 : e.loops() & ~fixed_;
  }
  [[nodiscard]] bool is_reduction(Expr e) const {
    return e.is("reduce_samples") && !given_.contains(e) && open_loops(e) == 0;
  }

  void classify() {
    std::size_t most = 0;
    for (const Expr e : order_) {
      bool dynamic = given_.contains(e);
      std::size_t stage = 0;
      if (!dynamic)
        for (const Expr operand : e.operands()) {
          dynamic = dynamic || dynamic_.contains(operand);
          stage = std::max(stage, stage_.at(operand));
        }
      if (is_reduction(e)) {
        ++stage;
        dynamic = true;
      }
      if (e.is("sample_index")) dynamic = true;
      if (dynamic) dynamic_.insert(e);
      stage_.emplace(e, stage);
      most = std::max(most, stage);
    }
    wanted_.resize(most + 1);
    reductions_.resize(most + 1);
  }

  /// Values that are computed once and read later, by their slot. What depends on constants alone is built
  /// again where it is used, so that it is folded there.
  [[nodiscard]] bool handed_on(Expr e, std::size_t stage) const {
    return given_.contains(e) || is_reduction(e) ||
           (open_loops(e) == 0 && dynamic_.contains(e) && stage_.at(e) < stage);
  }

  SlotId slot_of(Expr e) {
    const auto [entry, fresh] = slot_.try_emplace(e, next_slot_);
    if (fresh) ++next_slot_;
    return entry->second;
  }

  void want(Expr e) {
    if (given_.contains(e)) return;
    auto& list = is_reduction(e) ? reductions_[stage_.at(e)] : wanted_[stage_.at(e)];
    if (std::find(list.begin(), list.end(), e) == list.end()) list.push_back(e);
  }

  std::string name_of_input(Expr e) const {
    return is_input(e) ? e.attributes<InputAttributes>().name : fmt::format("%{}", e->id);
  }

  /// The values below the roots that are handed on to them, as inputs of the excerpt.
  std::vector<StageInput> connect(Excerpt& excerpt, std::span<const Expr> roots, std::size_t stage,
                                  bool roots_too) {
    std::vector<StageInput> inputs{{batch_input, batch_slot}};
    const auto stop = [&](Expr e) {
      if (!roots_too && std::find(roots.begin(), roots.end(), e) != roots.end()) return false;
      return handed_on(e, stage);
    };
    for (const Expr e : order_until(roots, stop)) {
      if (!stop(e)) continue;
      const std::string name = name_of_input(e);
      excerpt.add_input(e, name, e.shape().with_samples(false));
      inputs.push_back({name, slot_of(e)});
      want(e);
    }
    return inputs;
  }

  std::optional<StraightStage> make_straight(std::size_t stage) {
    const std::vector<Expr> roots = wanted_[stage];
    if (roots.empty()) return std::nullopt;
    Excerpt excerpt(roots[0].graph(), precisions_);
    std::vector<StageInput> inputs = connect(excerpt, roots, stage, false);
    std::vector<Expr> results;
    std::vector<SlotId> slots;
    for (const Expr root : roots) {
      results.push_back(excerpt.copy(root));
      slots.push_back(slot_of(root));
    }
    return StraightStage{excerpt.compile(results, options_), std::move(inputs), std::move(slots)};
  }

  std::vector<LoopStage> make_loops(std::size_t stage) {
    std::map<std::pair<std::int64_t, std::int64_t>, std::vector<Expr>> by_loop;
    for (const Expr reduce : reductions_[stage])
      by_loop[{reduction_of(reduce).depth, reduction_of(reduce).count}].push_back(reduce);
    std::vector<LoopStage> loops;
    for (const auto& [key, reductions] : by_loop) loops.push_back(make_loop(key.first, reductions, stage));
    return loops;
  }

  LoopStage make_loop(std::int64_t depth, const std::vector<Expr>& reductions, std::size_t stage) {
    LoopStage loop;
    loop.count = reduction_of(reductions[0]).count;
    std::vector<Expr> bodies;
    for (const Expr reduce : reductions) {
      bodies.push_back(reduce.operand(0));
      loop.reductions.push_back({reduction_of(reduce).kind, slot_of(reduce)});
    }
    const std::uint32_t bit = std::uint32_t{1} << depth;
    Expr index;
    bool nested = false;
    const std::vector<Expr> body = order_until(bodies, [&](Expr e) { return handed_on(e, stage); });
    for (const Expr e : body) {
      if (e.is("sample_index") && (open_loops(e) & bit) != 0) {
        if (index || e.attributes<SampleIndexAttributes>().count != loop.count)
          throw Error(ErrorCode::internal, fmt::format("[program] two loops at depth {} meet in {}", depth,
                                                       describe(reductions[0])));
        index = e;
      }
      nested = nested || (e.is("reduce_samples") && !handed_on(e, stage));
    }
    if (!index)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[program] {} does not depend on the loop that it reduces", describe(bodies[0])));
    if (nested) {
      std::vector<Expr> handed;
      for (const Expr e : body) {
        if (!handed_on(e, stage)) continue;
        handed.push_back(e);
        loop.inputs.push_back({{}, slot_of(e)});
        want(e);
      }
      handed.push_back(index);
      loop.body =
          std::make_shared<const StageList>(make_stages(bodies, handed, fixed_ | bit, options_, precisions_));
    } else {
      Excerpt excerpt(index.graph(), precisions_);
      excerpt.add_input(index, sample_input, Shape{}.with_samples(true));
      loop.inputs = connect(excerpt, bodies, stage, true);
      std::vector<Expr> results;
      for (const Expr e : bodies) results.push_back(excerpt.copy(e));
      loop.body = excerpt.compile(results, options_);
    }
    return loop;
  }

  void find_deaths() {
    std::vector<std::size_t> last(list_.slots, list_.stages.size());
    std::vector<bool> kept(list_.slots);
    kept[batch_slot] = true;
    for (const SlotId slot : list_.outputs) kept[slot] = true;
    list_.dies.resize(list_.stages.size());
    for (std::size_t i = list_.stages.size(); i-- > 0;) {
      const auto& inputs = std::visit(
          [](const auto& stage) -> const std::vector<StageInput>& { return stage.inputs; }, list_.stages[i]);
      for (const StageInput& input : inputs) {
        if (kept[input.slot]) continue;
        kept[input.slot] = true;
        list_.dies[i].push_back(input.slot);
      }
    }
  }

  std::vector<Expr> outputs_;
  std::uint32_t fixed_;
  CompileOptions options_;
  const ContractionPrecisions& precisions_;
  StageList list_;
  SlotId next_slot_ = batch_slot + 1;
  std::unordered_map<Expr, SlotId> slot_;
  std::unordered_set<Expr> given_, dynamic_;
  std::vector<Expr> order_;
  std::unordered_map<Expr, std::size_t> stage_;
  std::vector<std::vector<Expr>> wanted_, reductions_;  ///< by stage
};

}  // namespace

StageList make_stages(std::span<const Expr> outputs, std::span<const Expr> given, std::uint32_t fixed,
                      const CompileOptions& options, const ContractionPrecisions& precisions) {
  return Staging(outputs, given, fixed, options, precisions).run();
}

}  // namespace rulegrad
