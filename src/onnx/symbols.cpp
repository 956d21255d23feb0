#include <algorithm>
#include <functional>

#include "onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

using Fold = std::optional<Symbolic> (*)(NodeContext&);
using Combine = std::function<std::optional<Dim>(Dim, Dim)>;

/// Element by element where the shapes are equal or one operand is a single element.
std::optional<Symbolic> combined(const Symbolic& a, const Symbolic& b, const Combine& combine) {
  const bool one_a = a.elements.size() == 1, one_b = b.elements.size() == 1;
  if (a.dims != b.dims && !one_a && !one_b) return std::nullopt;
  Symbolic result = one_a && (!one_b || b.dims.size() > a.dims.size()) ? b : a;
  for (std::size_t i = 0; i < result.elements.size(); ++i) {
    const auto element = combine(a.elements[one_a ? 0 : i], b.elements[one_b ? 0 : i]);
    if (!element) return std::nullopt;
    result.elements[i] = *element;
  }
  return result;
}

template <class F>
std::optional<Symbolic> binary(NodeContext& c, F combine) {
  const auto a = c.symbols(0), b = c.symbols(1);
  return a && b ? combined(*a, *b, combine) : std::nullopt;
}

std::optional<Symbolic> arithmetic(NodeContext& c) {
  if (c.op_type() == "Mul") return binary(c, multiplied);
  if (c.op_type() == "Div") return binary(c, divided);
  return binary(c, [sign = c.op_type() == "Add" ? 1 : -1](Dim a, Dim b) { return added(a, b, sign); });
}

/// A multiple of the batch equals no number: what is 1 for some batch is not a constant.
std::optional<Symbolic> equality(NodeContext& c) {
  auto result = binary(c, [](Dim a, Dim b) { return std::optional(Dim{a == b ? 1 : 0}); });
  if (result) result->dtype = DType::boolean;
  return result;
}

std::optional<Symbolic> choice(NodeContext& c) {
  const auto condition = c.symbols(0), a = c.symbols(1), b = c.symbols(2);
  if (!condition || !a || !b || condition->has_batch()) return std::nullopt;
  const std::size_t count = condition->elements.size();
  if ((a->elements.size() != count && a->elements.size() != 1) ||
      (b->elements.size() != count && b->elements.size() != 1))
    return std::nullopt;
  Symbolic result{condition->dims, {}, a->dtype};
  for (std::size_t i = 0; i < count; ++i) {
    const Symbolic& source = condition->elements[i].factor != 0 ? *a : *b;
    result.elements.push_back(source.elements[source.elements.size() == 1 ? 0 : i]);
  }
  return result;
}

std::optional<Symbolic> gather(NodeContext& c) {
  const auto data = c.symbols(0), index = c.symbols(1);
  if (!data || !index || index->has_batch() || data->dims.size() != 1 || c.integer("axis", 0) > 0)
    return std::nullopt;
  Symbolic result{index->dims, {}, data->dtype};
  const auto extent = static_cast<std::int64_t>(data->elements.size());
  for (const Dim at : index->elements) {
    if (at.factor < -extent || at.factor >= extent) return std::nullopt;
    result.elements.push_back(
        data->elements[static_cast<std::size_t>(at.factor < 0 ? at.factor + extent : at.factor)]);
  }
  return result;
}

std::optional<Symbolic> concatenation(NodeContext& c) {
  Symbolic result{{0}, {}, DType::int64};
  for (std::size_t i = 0; i < c.input_count(); ++i) {
    const auto part = c.symbols(i);
    if (!part || part->dims.size() != 1) return std::nullopt;
    result.dtype = part->dtype;
    result.elements.insert(result.elements.end(), part->elements.begin(), part->elements.end());
  }
  result.dims[0] = static_cast<std::int64_t>(result.elements.size());
  return result;
}

std::optional<Symbolic> slice(NodeContext& c) {
  const auto data = c.symbols(0);
  if (!data || data->dims.size() != 1) return std::nullopt;
  const auto list = [&](const char* name, std::size_t input) {
    return c.attribute_or_input(name, input, Beyond::clamp).value_or(Ints{});
  };
  for (const std::size_t input : {1U, 2U})
    if (c.has(input) && c.value(input).symbolic) return std::nullopt;
  const Ints starts = list("starts", 1), stops = list("ends", 2),
             steps = c.has(4) ? c.integers_of(4, "steps", Beyond::clamp) : Ints{1};
  if (starts.size() != 1 || stops.size() != 1 || steps.size() != 1 || steps[0] != 1) return std::nullopt;
  const std::int64_t extent = data->dims[0];
  const auto place = [&](std::int64_t at) {
    return std::clamp<std::int64_t>(at < 0 ? at + extent : at, 0, extent);
  };
  const std::int64_t start = place(starts[0]), stop = std::max(start, place(stops[0]));
  return Symbolic{
      {stop - start}, {data->elements.begin() + start, data->elements.begin() + stop}, data->dtype};
}

std::optional<Symbolic> unchanged(NodeContext& c) {
  return c.symbols(0);
}

std::optional<Symbolic> cast(NodeContext& c) {
  auto data = c.symbols(0);
  const DType dtype =
      mapped_dtype(static_cast<int>(c.integer("to", 0)), c.importer().real(), "attribute 'to'");
  if (!data || (dtype != DType::int64 && dtype != DType::int32 && dtype != DType::boolean))
    return std::nullopt;
  // A batch is never empty, so its extent is true.
  if (dtype == DType::boolean)
    for (Dim& element : data->elements) element = Dim{element.factor != 0 ? 1 : 0};
  data->dtype = dtype;
  return data;
}

/// Shapes of lists: [n] to [] and back, for at most one axis that is not 1.
std::optional<Symbolic> relist(NodeContext& c) {
  auto data = c.symbols(0);
  if (!data) return std::nullopt;
  const auto count = static_cast<std::int64_t>(data->elements.size());
  if (c.op_type() == "Unsqueeze") {
    const Ints axes = c.attribute_or_input("axes", 1).value_or(Ints{});
    const Ints front = axes_from_front(c, axes, data->dims.size() + axes.size());
    for (const std::int64_t axis : front) data->dims.insert(data->dims.begin() + axis, 1);
  } else if (c.op_type() == "Squeeze") {
    if (count != 1 && data->dims.size() != 1) return std::nullopt;
    if (count == 1) data->dims.clear();
  } else {
    const Ints target = c.has_attribute("shape") ? c.integers("shape") : c.integers_of(1, "the shape");
    if (target.size() > 1 || (target.size() == 1 && target[0] != -1 && target[0] != count) ||
        (target.empty() && count != 1))
      return std::nullopt;
    data->dims = target.empty() ? Dims{} : Dims{count};
  }
  return data;
}

std::optional<Symbolic> product(NodeContext& c) {
  const auto data = c.symbols(0);
  if (!data || data->dims.size() != 1) return std::nullopt;
  const bool keep = c.integer("keepdims", 1) != 0;
  const Ints axes = c.attribute_or_input("axes", 1).value_or(Ints{0});
  if (axes.size() != 1 || (axes[0] != 0 && axes[0] != -1)) return std::nullopt;
  std::optional<Dim> total = Dim{1};
  for (const Dim element : data->elements)
    if (total) total = multiplied(*total, element);
  if (!total) return std::nullopt;
  return Symbolic{keep ? Dims{1} : Dims{}, {*total}, data->dtype};
}

const std::map<std::string, Fold, std::less<>> folds{
    {"Mul", arithmetic}, {"Div", arithmetic},     {"Add", arithmetic},    {"Sub", arithmetic},
    {"Equal", equality}, {"Where", choice},       {"Gather", gather},     {"Concat", concatenation},
    {"Slice", slice},    {"Identity", unchanged}, {"Cast", cast},         {"Unsqueeze", relist},
    {"Squeeze", relist}, {"Reshape", relist},     {"ReduceProd", product}};

}  // namespace

bool fold_symbols(NodeContext& context) {
  const auto found = folds.find(context.op_type());
  if (found == folds.end()) return false;
  // Reshape of an array to a symbolic shape is no arithmetic on symbols.
  if (!context.symbols(0) && context.op_type() != "Concat") return false;
  auto result = found->second(context);
  if (!result) return false;
  context.result(std::move(*result));
  return true;
}

}  // namespace rulegrad::io
