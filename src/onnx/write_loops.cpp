#include <algorithm>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/samples.hpp"

#include "expr/walk.hpp"
#include "onnx/writer.hpp"

// Sample loops (samples.hpp) as ONNX's Loop, and what their index selects.
namespace rulegrad::io {
namespace {

constexpr std::uint32_t bit(std::int64_t depth) {
  return std::uint32_t{1} << depth;
}

const ReduceSamplesAttributes& loop_of(Expr reduction) {
  return reduction.attributes<ReduceSamplesAttributes>();
}

/// Sums are carried from run to run; all else is made of the values of all runs.
bool carried(Expr reduction) {
  return loop_of(reduction).kind == SampleReduction::sum || loop_of(reduction).kind == SampleReduction::mean;
}

/// Everything below a reduction that the loops `around` do not give.
std::unordered_set<Expr> body_of(Expr reduction, std::uint32_t around) {
  std::unordered_set<Expr> body;
  const auto belongs = [&](Expr e) { return (e.loops() & ~around) != 0; };
  if (belongs(reduction.operand(0)))
    for_each_below(reduction.operand(0), belongs, [&](Expr e) { body.insert(e); });
  return body;
}

void describe(onnx::ValueInfoProto& info, const std::string& name, int type) {
  info.set_name(name);
  info.mutable_type()->mutable_tensor_type()->set_elem_type(type);
  info.mutable_type()->mutable_tensor_type()->mutable_shape();
}

/// Window i of the mask, along each axis: where the index, counted row-major, begins.
void write_window_mask(Writer& w, Expr e) {
  const auto& mask = e.attributes<WindowMaskAttributes>();
  const std::size_t rank = mask.extents.size();
  Steps s(w, e);
  const auto integer = [&](std::int64_t value) { return w.number(static_cast<double>(value), DType::int64); };
  std::string index = s.cast(s.operand(0), DType::int64), inside;
  for (std::size_t axis = rank; axis-- > 0;) {
    const std::int64_t extent = mask.extents[axis], window = mask.window[axis], stride = mask.strides[axis];
    const std::int64_t count = mask.wrap          ? (extent + stride - 1) / stride
                               : extent <= window ? 1
                                                  : (extent - window + stride - 1) / stride + 1;
    Ints places(static_cast<std::size_t>(extent)), dims(rank, 1);
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
    dims[axis] = extent;
    const std::string begin = s("Mul", {s("Mod", {index, integer(count)}), integer(stride)});
    if (axis > 0) index = s("Div", {index, integer(count)});
    std::string from = s("Sub", {s.shared(Tensor(dims, std::span<const std::int64_t>(places))), begin});
    if (mask.wrap) from = s("Mod", {from, integer(extent)});
    const std::string here =
        s("And", {s("GreaterOrEqual", {from, integer(0)}), s("Less", {from, integer(window)})});
    inside = inside.empty() ? here : s("And", {here, inside});
  }
  s.last(inside);
}

}  // namespace

void add_loop_forms(Forms& f) {
  f["window_mask"] = write_window_mask;
}

std::vector<Expr> Writer::of_same_loop(Expr reduction) const {
  const auto& loop = loop_of(reduction);
  std::vector<Expr> members{reduction};
  for (const Expr other : order_) {
    if (other == reduction || !other.is("reduce_samples") || written_.contains(other)) continue;
    if (loop_of(other).depth != loop.depth || loop_of(other).count != loop.count ||
        other.loops() != reduction.loops())
      continue;
    // It may run now if all that it reads from outside is there.
    const auto body = body_of(other, loops_);
    const auto there = [&](Expr e) {
      return is_constant(e) || is_input(e) || written_.contains(e) || body.contains(e);
    };
    const bool ready = there(other.operand(0)) && std::all_of(body.begin(), body.end(), [&](Expr e) {
                         return std::all_of(e.operands().begin(), e.operands().end(), there);
                       });
    if (ready) members.push_back(other);
  }
  return members;
}

void Writer::write_loop(Expr reduction) {
  const std::int64_t depth = loop_of(reduction).depth, count = loop_of(reduction).count;
  const std::vector<Expr> members = of_same_loop(reduction);
  const std::string base = unused(name(reduction) + ".loop");
  const std::string index = unused(base + ".index"), going = unused(base + ".going"),
                    on = unused(base + ".on");
  std::unordered_set<Expr> inside;
  for (const Expr member : members) inside.merge(body_of(member, loops_));

  onnx::GraphProto body;
  body.set_name(base);
  onnx::GraphProto* const around = graph_;
  const std::uint32_t loops_around = loops_;
  graph_ = &body;
  loops_ |= bit(depth);
  describe(*body.add_input(), index, onnx::TensorProto::INT64);
  describe(*body.add_input(), going, onnx::TensorProto::BOOL);
  // What stands in several bodies has a name of its own in each.
  for (const Expr e : order_)
    if (inside.contains(e) && (e.loops() & ~loops_) == 0 && written_.erase(e) > 0)
      names_[e] = unused(names_[e] + fmt::format("_{}", order_.size() + again_++));
  for (const Expr e : order_) {
    if (!inside.contains(e)) continue;
    if (e.is("sample_index") && e.attributes<SampleIndexAttributes>().depth == depth) {
      names_[e] = index;
      written_.insert(e);
    } else {
      write_expr(e);
    }
  }
  node("Identity", {going}, on);
  describe(*body.add_output(), on, onnx::TensorProto::BOOL);
  std::vector<std::string> inputs{number(static_cast<double>(count), DType::int64),
                                  shared(Tensor::scalar(DType::boolean, 1))};
  std::vector<std::string> results;
  std::unordered_map<Expr, std::string> gathered;
  for (const bool sums : {true, false})
    for (const Expr member : members) {
      if (carried(member) != sums) continue;
      const Expr value = member.operand(0);
      const std::string own = unused(name(member) + ".each"), so_far = unused(name(member) + ".so_far");
      if (sums) {
        describe_value(*body.add_input(), so_far, value.type());
        node("Add", {so_far, name(value)}, own);
        graph_ = around;
        inputs.push_back(unused(name(member) + ".zero"));
        node("Expand", {number(0, value.dtype()), extents(member, value.shape())}, inputs.back());
        graph_ = &body;
      } else {
        node("Identity", {name(value)}, own);
      }
      describe_value(*body.add_output(), own, value.type());
      const SampleReduction kind = loop_of(member).kind;
      const bool as_it_is = kind == SampleReduction::sum || kind == SampleReduction::stack;
      gathered.emplace(member, as_it_is ? name(member) : unused(name(member) + ".all"));
      results.push_back(gathered.at(member));
    }
  graph_ = around;
  loops_ = loops_around;

  NodeWriter loop = node("Loop", std::move(inputs), results.front());
  for (std::size_t i = 1; i < results.size(); ++i) loop.output(results[i]);
  loop.set("body", std::move(body));
  for (const Expr member : members) {
    const std::string& all = gathered.at(member);
    Steps s(*this, member);
    const SampleReduction kind = loop_of(member).kind;
    if (kind == SampleReduction::mean) s.last("Div", {all, s.number(static_cast<double>(count))});
    if (kind == SampleReduction::max) s.last(s.reduce("ReduceMax", all, {0}, false));
    if (kind == SampleReduction::var) {
      const std::string distance = s("Sub", {all, s.reduce("ReduceMean", all, {0}, true)});
      s.last(s.reduce("ReduceMean", s("Mul", {distance, distance}), {0}, false));
    }
    if (member == reduction) continue;
    written_.insert(member);
    if (std::find(outputs_.begin(), outputs_.end(), member) == outputs_.end())
      describe_value(*graph_->add_value_info(), name(member), member.type());
  }
}

}  // namespace rulegrad::io
