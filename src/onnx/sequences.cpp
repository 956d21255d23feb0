#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "onnx/node_context.hpp"
#include "onnx/steps.hpp"

// Sequences, which exporters write around loops: lists of arrays while a model is read, and gone afterwards.
namespace rulegrad::io {
namespace {

const Sequence& sequence_of(const NodeContext& c, std::size_t input) {
  const Value& value = c.value(input);
  if (!value.sequence)
    c.fail(fmt::format("'{}' is an array where a sequence is expected", c.input_name(input)));
  return *value.sequence;
}

void give(NodeContext& c, Sequence sequence) {
  c.result(Value{.sequence = std::make_shared<const Sequence>(std::move(sequence))}, 0);
}

/// The place that an input names; `places` is how many there are.
std::size_t place_of(const NodeContext& c, std::size_t input, std::size_t places) {
  const Ints list = c.integers_of(input, "the position");
  const auto extent = static_cast<std::int64_t>(places);
  if (list.size() != 1 || list[0] < -extent || list[0] >= extent)
    c.fail(fmt::format("position {} does not exist in a sequence of {}", list.empty() ? 0 : list[0], places));
  return static_cast<std::size_t>(list[0] < 0 ? list[0] + extent : list[0]);
}

void empty(NodeContext& c) {
  c.ignore({"dtype"});
  give(c, {});
}

void construct(NodeContext& c) {
  Sequence sequence;
  for (std::size_t i = 0; i < c.input_count(); ++i) sequence.push_back(c.operand(i));
  give(c, std::move(sequence));
}

void insert(NodeContext& c) {
  Sequence sequence = sequence_of(c, 0);
  std::size_t place = sequence.size();
  if (c.has(2)) {
    const Ints list = c.integers_of(2, "the position");
    const auto extent = static_cast<std::int64_t>(sequence.size());
    if (list.size() != 1 || list[0] < -extent || list[0] > extent)
      c.fail(fmt::format("the position lies outside of a sequence of {}", extent));
    place = static_cast<std::size_t>(list[0] < 0 ? list[0] + extent : list[0]);
  }
  sequence.insert(sequence.begin() + static_cast<std::ptrdiff_t>(place), c.operand(1));
  give(c, std::move(sequence));
}

void erase(NodeContext& c) {
  Sequence sequence = sequence_of(c, 0);
  const std::size_t place = c.has(1)           ? place_of(c, 1, sequence.size())
                            : sequence.empty() ? 0
                                               : sequence.size() - 1;
  if (sequence.empty()) c.fail("the sequence is empty");
  sequence.erase(sequence.begin() + static_cast<std::ptrdiff_t>(place));
  give(c, std::move(sequence));
}

void at(NodeContext& c) {
  const Sequence& sequence = sequence_of(c, 0);
  c.result(sequence[place_of(c, 1, sequence.size())]);
}

void length(NodeContext& c) {
  c.result(c.graph().constant(Tensor::scalar(DType::int64, static_cast<double>(sequence_of(c, 0).size()))));
}

void concat_sequence(NodeContext& c) {
  const Sequence& sequence = sequence_of(c, 0);
  if (sequence.empty()) c.fail("the sequence is empty");
  const bool fresh = c.integer("new_axis", 0) != 0;
  const std::size_t axis =
      checked_axis(c, c.integer("axis", 0), sequence[0].shape().rank() + (fresh ? 1 : 0));
  if (fresh) return c.result(join_steps(c, sequence, axis));
  c.result(sequence.size() == 1
               ? sequence[0]
               : c.apply("concat", sequence, AxisAttributes{static_cast<std::int64_t>(axis)}));
}

void split(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), x.shape().rank());
  const Dim extent = x.shape()[axis];
  if (extent.batch)
    c.fail(fmt::format("it splits axis {} of {}, which is the batch", axis, to_string(x.type())));
  const bool keep = c.integer("keepdims", 1) != 0;
  if (!c.has(1) && !keep) return give(c, cut_steps(c, x, axis));
  Ints sizes = c.has(1) ? c.integers_of(1, "split") : Ints{1};
  if (!c.has(1) || c.shape(1).rank() == 0) {
    const std::int64_t each = sizes.at(0);
    if (each < 1) c.fail(fmt::format("it splits into parts of {}", each));
    sizes.clear();
    c.spend_list(64 * (extent.factor / each + 1));  // each part is an operation
    for (std::int64_t start = 0; start < extent.factor; start += each)
      sizes.push_back(std::min(each, extent.factor - start));
  }
  Sequence parts;
  std::int64_t start = 0;
  for (const std::int64_t size : sizes) {
    if (size < 0 || size > extent.factor - start)
      c.fail(fmt::format("split {} does not add up to the {} elements of axis {}", to_string(sizes),
                         extent.factor, axis));
    parts.push_back(c.apply(
        "slice", {x}, SliceAttributes{{static_cast<std::int64_t>(axis)}, {start}, {start + size}, {1}}));
    start += size;
  }
  if (start != extent.factor)
    c.fail(fmt::format("split {} does not add up to the {} elements of axis {}", to_string(sizes),
                       extent.factor, axis));
  give(c, std::move(parts));
}

}  // namespace

void add_sequences(Handlers& h) {
  h["SequenceEmpty"] = empty;
  h["SequenceConstruct"] = construct;
  h["SequenceInsert"] = insert;
  h["SequenceErase"] = erase;
  h["SequenceAt"] = at;
  h["SequenceLength"] = length;
  h["ConcatFromSequence"] = concat_sequence;
  h["SplitToSequence"] = split;
}

}  // namespace rulegrad::io
