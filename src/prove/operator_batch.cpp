#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <map>

#include "rulegrad/support/error.hpp"

#include "prove/draw_example.hpp"
#include "prove/operator_case.hpp"

namespace rulegrad::proving {
namespace {

using Places = std::vector<std::optional<BatchPlace>>;

/// The types with an axis of some operands read as the batch; nothing where one of them has another extent
/// there.
std::optional<std::vector<Type>> with_batch(std::vector<Type> types, std::size_t subset, std::size_t axis,
                                            std::int64_t extent) {
  for (std::size_t k = 0; k < types.size(); ++k) {
    if ((subset >> k & 1) == 0) continue;
    std::vector<Dim> dims = types[k].shape.dims();
    if (axis >= dims.size() || !dims[axis].is(extent)) return std::nullopt;
    dims[axis] = B;
    types[k].shape = Shape(std::move(dims));
  }
  return types;
}

/// The attributes, and each way to read one extent of a shape in them as a multiple of the batch.
std::vector<Attributes> readings(const Attributes& attributes, std::int64_t extent) {
  std::vector<Attributes> result{attributes};
  const std::vector<NamedValue> values = attributes.values();
  for (std::size_t field = 0; field < values.size(); ++field) {
    const auto* shape = std::get_if<Shape>(&values[field].second);
    for (std::size_t axis = 0; shape != nullptr && axis < shape->rank(); ++axis) {
      if ((*shape)[axis].factor % extent != 0) continue;
      std::vector<Dim> dims = shape->dims();
      dims[axis] = Dim{dims[axis].factor / extent, true};
      std::vector<NamedValue> changed = values;
      changed[field].second = Shape(std::move(dims));
      result.push_back(Attributes::make(attributes.type(), changed));
    }
  }
  return result;
}

/// Which entry of the batch of `count` an element of a row-major array belongs to.
std::int64_t entry_of(std::int64_t flat, const Dims& dims, const BatchPlace& place, std::int64_t count) {
  const std::int64_t behind = element_count(std::span(dims).subspan(place.axis + 1));
  return flat / behind % dims[place.axis] / place.inner % count;
}

/// One entry of the batch changes: which elements of the result may?
std::string changed_beyond(const OperatorCase& c, const OperatorNode& node, const Places& places,
                           std::int64_t extent) {
  const BatchFlow flow = c.op.batch_of(node.expr, places);
  const std::vector<Tensor> operands = draw_example(c.example, c.random),
                            others = draw_example(c.example, c.random);
  constexpr std::int64_t entry = 1;
  std::vector<Tensor> changed = operands;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (!places[k]) continue;
    const std::size_t element = size_of(operands[k].dtype());
    for (std::int64_t i = 0; i < operands[k].size(); ++i)
      if (entry_of(i, operands[k].dims(), *places[k], extent) == entry)
        std::copy_n(others[k].data() + static_cast<std::size_t>(i) * element, element,
                    changed[k].mutable_data() + static_cast<std::size_t>(i) * element);
  }
  const Tensor before = computed(c, node, operands), after = computed(c, node, changed);
  if (flow.place) {
    const BatchPlace place = *flow.place;
    if (place.axis >= before.rank() || before.dims()[place.axis] != place.outer * place.inner * extent)
      return fmt::format("the batch of {} is said to be {} x B x {} along axis {} of the result, which is {}",
                         extent, place.outer, place.inner, place.axis, to_string(std::span(before.dims())));
  }
  for (std::int64_t i = 0; i < before.size(); ++i) {
    if (before.at(i) == after.at(i) || (std::isnan(before.at(i)) && std::isnan(after.at(i)))) continue;
    if (!flow.place)
      return fmt::format(
          "the result is said not to depend on the batch, but element {} does: {:.6g} becomes {:.6g}", i,
          before.at(i), after.at(i));
    if (const std::int64_t reached = entry_of(i, before.dims(), *flow.place, extent); reached != entry)
      return fmt::format(
          "entry {} of the batch acts on entry {}: element {} of the result was {:.6g} and becomes {:.6g}",
          entry, reached, i, before.at(i), after.at(i));
  }
  return {};
}

}  // namespace

Verdict try_batch(const OperatorCase& c) {
  if (!c.op.batch) return not_tried;
  Verdict verdict;
  const std::vector<Type> types = types_of(draw_example(c.example, c.random));
  std::size_t rank = 0;
  for (const Type& type : types) rank = std::max(rank, type.shape.rank());
  for (std::size_t axis = 0; axis < rank; ++axis)
    for (std::size_t subset = 1; subset < std::size_t{1} << std::min<std::size_t>(types.size(), 3);
         ++subset) {
      std::int64_t extent = 0;
      Places places(types.size());
      for (std::size_t k = 0; k < types.size(); ++k) {
        if ((subset >> k & 1) == 0) continue;
        places[k] = BatchPlace{axis, 1, 1};
        if (extent == 0 && axis < types[k].shape.rank()) extent = types[k].shape[axis].factor;
      }
      const auto symbolic = extent < 2 ? std::nullopt : with_batch(types, subset, axis, extent);
      if (!symbolic) continue;
      for (const Attributes& attributes : readings(c.example.attributes, extent)) {
        std::optional<OperatorNode> node;
        try {
          node.emplace(c.op, *symbolic, attributes);
        } catch (const Error&) {
          continue;  // it takes no batch there
        }
        if (c.op.batch_of(node->expr, places).mixes) continue;
        verdict.tried = true;
        verdict.failure = changed_beyond(c, *node, places, extent);
        if (!verdict.failure.empty()) return verdict;
      }
    }
  return verdict;
}

}  // namespace rulegrad::proving
