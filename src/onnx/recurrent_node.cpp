#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/operators.hpp"

#include "onnx/recurrent.hpp"
#include "onnx/steps.hpp"

namespace rulegrad::io {
namespace {

/// Unrolling makes some twenty nodes a step.
constexpr std::int64_t most_steps = 1 << 16;

}  // namespace

RecurrentNode::RecurrentNode(NodeContext& context, std::int64_t gates,
                             const std::vector<std::string>& functions)
    : context_(context), gates_(gates), x_(context.operand(0)) {
  batch_first_ = context.integer("layout", 0) != 0;
  direction_ = context.text("direction", "forward");
  if (direction_ != "forward" && direction_ != "reverse" && direction_ != "bidirectional")
    context.fail(
        fmt::format("direction is '{}', which is none of forward, reverse and bidirectional", direction_));
  directions_ = direction_ == "bidirectional" ? 2 : 1;
  functions_ = read_activations(context, directions_, functions);
  if (context.has_attribute("clip"))
    if (const double bound = context.real("clip", 0); bound > 0) clip_ = bound;
  const Shape &x = x_.shape(), r = context.shape(2);
  const char* const layout = batch_first_ ? "[batch, steps, inputs]" : "[steps, batch, inputs]";
  if (x.rank() != 3) context.fail(fmt::format("X must be {} but is {}", layout, to_string(x_.type())));
  const Dim steps = x[batch_first_ ? 1 : 0];
  batch_ = x[batch_first_ ? 0 : 1];
  if (steps.batch)
    context.importer().fail_steps(
        fmt::format("X is {}, where {} is expected: the free axis that is read as the batch holds the steps",
                    to_string(x_.type()), layout));
  if (steps.factor > most_steps)
    context.fail(fmt::format("it has {} steps; up to {} are unrolled", steps.factor, most_steps));
  steps_ = static_cast<std::size_t>(steps.factor);
  if (r.rank() != 3 || r[2].batch)
    context.fail(fmt::format("R must be [directions, gates * hidden, hidden] but is {}", to_string(r)));
  hidden_ = context.integer("hidden_size", r[2].factor);
  const Shape w = context.shape(1);
  const Dim rows{gates_ * hidden_}, ways{static_cast<std::int64_t>(directions_)};
  if (hidden_ < 1 || w != Shape{ways, rows, x[2]})
    context.fail(fmt::format("W must be {} for X {} and hidden_size {} but is {}",
                             to_string(Shape{ways, rows, x[2]}), to_string(x_.type()), hidden_,
                             to_string(w)));
  if (r != Shape{ways, rows, Dim{hidden_}})
    context.fail(fmt::format("R must be {} for hidden_size {} but is {}",
                             to_string(Shape{ways, rows, Dim{hidden_}}), hidden_, to_string(r)));
  if (context.has(3) && context.shape(3) != Shape{ways, Dim{2 * gates_ * hidden_}})
    context.fail(fmt::format("B must be {} but is {}", to_string(Shape{ways, Dim{2 * gates_ * hidden_}}),
                             to_string(context.shape(3))));
  zero_ = context.graph().apply(op("fill"), {}, FillAttributes{0, x_.dtype(), Shape{batch_, Dim{hidden_}}});
  read_lengths();
  hidden_states_.assign(directions_, std::vector<Expr>(steps_));
  last_.assign(directions_, {});
}

/// Beyond its length a sample keeps its state, and its outputs are 0.
void RecurrentNode::read_lengths() {
  if (!context_.has(4)) return;
  const Expr lengths = context_.operand(4);
  if (is_floating(lengths.dtype()) || lengths.shape().rank() != 1 ||
      !(lengths.shape()[0] == batch_ || lengths.shape()[0].is(1)))
    context_.fail(fmt::format("sequence_lens must hold an integer for each of {} samples but is {}",
                              to_string(batch_), to_string(lengths.type())));
  if (const auto values = context_.constant(4)) {
    bool all = true;
    for (std::int64_t i = 0; i < values->size(); ++i) {
      if (values->at(i) < 0 || values->at(i) > static_cast<double>(steps_))
        context_.fail(fmt::format("sequence_lens holds {}, and there are {} steps", values->at(i), steps_));
      all = all && values->at(i) == static_cast<double>(steps_);
    }
    if (all) return;
  }
  const Expr column = reshaped(context_, lengths, {lengths.shape()[0], Dim{1}});
  for (std::size_t step = 0; step < steps_; ++step)
    running_.push_back(
        context_.apply("greater", {column, context_.scalar(static_cast<double>(step), column)}));
}

Expr RecurrentNode::part(Expr whole, std::size_t direction, std::vector<Dim> dims) const {
  const auto d = static_cast<std::int64_t>(direction);
  const Expr one =
      directions_ == 1 ? whole : context_.apply("slice", {whole}, SliceAttributes{{0}, {d}, {d + 1}, {1}});
  return reshaped(context_, one, std::move(dims));
}

CellWeights RecurrentNode::weights(std::size_t direction) const {
  const std::int64_t rows = gates_ * hidden_;
  CellWeights cell;
  cell.w = part(context_.operand(1), direction, {Dim{rows}, x_.shape()[2]});
  cell.r = part(context_.operand(2), direction, {Dim{rows}, Dim{hidden_}});
  cell.bias = cell.recurrent = context_.scalar(0, x_);
  if (context_.has(3)) {
    const Expr both = part(context_.operand(3), direction, {Dim{2 * rows}});
    const auto half = [&](std::int64_t from) {
      return context_.apply("slice", {both}, SliceAttributes{{0}, {from}, {from + rows}, {1}});
    };
    cell.bias = half(0);
    cell.recurrent = half(rows);
  }
  const std::size_t each = functions_.size() / directions_;
  const auto first = functions_.begin() + static_cast<std::ptrdiff_t>(direction * each);
  cell.functions.assign(first, first + static_cast<std::ptrdiff_t>(each));
  return cell;
}

Expr RecurrentNode::initial(std::size_t input, std::size_t direction) const {
  if (!context_.has(input)) return zero_;
  Expr state = context_.operand(input);
  const std::size_t way = batch_first_ ? 1 : 0, samples = 1 - way;
  const Shape& shape = state.shape();
  const Shape whole = batch_first_ ? Shape{batch_, Dim{static_cast<std::int64_t>(directions_)}, Dim{hidden_}}
                                   : Shape{Dim{static_cast<std::int64_t>(directions_)}, batch_, Dim{hidden_}};
  // One state for a sample of a file that knows one sample only is that of each of them.
  const bool fits = shape.rank() == 3 && shape[way] == whole[way] && shape[2] == whole[2] &&
                    (shape[samples] == batch_ || shape[samples].is(1));
  if (!fits)
    context_.fail(fmt::format("the initial state '{}' must be {} but is {}", context_.input_name(input),
                              to_string(whole), to_string(state.type())));
  if (directions_ > 1) {
    const auto d = static_cast<std::int64_t>(direction);
    state = context_.apply("slice", {state},
                           SliceAttributes{{static_cast<std::int64_t>(way)}, {d}, {d + 1}, {1}});
  }
  state = reshaped(context_, state, {shape[samples], Dim{hidden_}});
  return shape[samples] == batch_
             ? state
             : context_.apply("expand", {state}, ShapeAttributes{Shape{batch_, Dim{hidden_}}});
}

std::vector<Expr> RecurrentNode::projections(Expr w, Expr b) const {
  return cut_steps(context_, context_.apply("dense", {x_, w, b}), batch_first_ ? 1 : 0);
}

std::vector<std::size_t> RecurrentNode::order(std::size_t direction) const {
  std::vector<std::size_t> steps(steps_);
  for (std::size_t i = 0; i < steps_; ++i) steps[i] = i;
  if (direction == 1 || direction_ == "reverse") std::reverse(steps.begin(), steps.end());
  return steps;
}

Expr RecurrentNode::kept(std::size_t step, Expr next, Expr previous) const {
  return running_.empty() ? next : make("where", {running_[step], next, previous});
}

Expr RecurrentNode::named(std::size_t direction, std::size_t step, const char* part, Expr value) const {
  const char* const way = directions_ == 1 ? "" : direction == 0 ? ".forward" : ".reverse";
  context_.graph().add_name(value, fmt::format("{}{}.t{}.{}", context_.plain_name(), way, step, part));
  return value;
}

Expr RecurrentNode::activate(const CellActivation& f, Expr x) const {
  return activated(context_, f, clip_ ? context_.apply("clip", {x}, ClipAttributes{-*clip_, *clip_}) : x);
}

Expr RecurrentNode::make(std::string_view op_name, std::vector<Expr> operands, Attributes attributes) const {
  return context_.graph().make(op(op_name), std::move(operands), std::move(attributes));
}

Expr RecurrentNode::columns(Expr x, std::int64_t from, std::int64_t to) const {
  if (from == 0 && x.shape()[1].is(to)) return x;
  return make("slice", {x}, SliceAttributes{{1}, {from}, {to}, {1}});
}

void RecurrentNode::put(std::size_t direction, std::size_t step, Expr hidden) {
  hidden_states_[direction][step] =
      running_.empty() ? hidden : make("where", {running_[step], hidden, context_.scalar(0, hidden)});
}

void RecurrentNode::finish(std::size_t direction, const CellState& last) {
  last_[direction] = last;
}

void RecurrentNode::results(bool with_cell) const {
  const std::size_t way = batch_first_ ? 1 : 0;
  if (context_.wanted(0)) {
    // [steps, directions, N, hidden], or [N, steps, directions, hidden].
    std::vector<Expr> ways;
    for (const std::vector<Expr>& states : hidden_states_) ways.push_back(join_steps(context_, states, way));
    context_.result(join_steps(context_, ways, way + 1));
  }
  std::vector<Expr> hidden, cell;
  for (const CellState& state : last_) {
    hidden.push_back(state.hidden);
    cell.push_back(state.cell);
  }
  if (context_.wanted(1)) context_.result(join_steps(context_, hidden, way), 1);
  if (with_cell && context_.wanted(2)) context_.result(join_steps(context_, cell, way), 2);
}

}  // namespace rulegrad::io
