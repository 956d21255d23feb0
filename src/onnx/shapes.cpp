#include <algorithm>
#include <fmt/format.h>

#include "onnx/node_context.hpp"

namespace rulegrad::io {
namespace {

std::string text(const std::vector<Dim>& dims) {
  return to_string(Shape(dims));
}

Dim product(const NodeContext& context, const std::vector<Dim>& dims) {
  Dim total{1};
  for (const Dim dim : dims) {
    const auto next = multiplied(total, dim);
    if (!next)
      context.fail(fmt::format("the product of {} is no number or multiple of the batch", text(dims)));
    total = *next;
  }
  return total;
}

/// Where the batch of `from` stands among `target`, which does not speak of it: after as many elements as
/// there.
void keep_batch(const NodeContext& context, const Shape& from, std::vector<Dim>& target) {
  const std::int64_t samples = context.importer().promoted() ? context.importer().samples_in_file() : 1;
  std::int64_t before = 1;
  for (const Dim dim : from.dims()) {
    if (dim.batch) break;
    before *= dim.factor;
  }
  std::int64_t passed = 1;
  for (Dim& dim : target) {
    if (passed == before && dim.factor % samples == 0) {
      dim = Dim(dim.factor / samples, true);
      return;
    }
    passed *= dim.factor;
  }
  context.fail(fmt::format("the batch of {} has no place in {}", to_string(from), text(target)));
}

}  // namespace

Shape resolved_shape(const NodeContext& context, const Shape& from, std::vector<Dim> target,
                     bool allow_zero) {
  const std::vector<Dim> asked = target;
  std::optional<std::size_t> rest;
  for (std::size_t axis = 0; axis < target.size(); ++axis) {
    if (target[axis].is(0) && !allow_zero) {
      if (axis >= from.rank())
        context.fail(fmt::format("the target {} copies axis {} of {}, which is not there", text(asked), axis,
                                 to_string(from)));
      target[axis] = from[axis];
    } else if (target[axis].is(-1)) {
      if (rest) context.fail(fmt::format("the target {} leaves two extents open", text(asked)));
      rest = axis;
      target[axis] = Dim{1};
    } else if (target[axis].factor < 0) {
      context.fail(fmt::format("the target {} has a negative extent", text(asked)));
    }
  }
  Dim total = product(context, from.dims());
  Dim given = product(context, target);
  // A model that was exported for one sample speaks of one sample, whichever extent it leaves open.
  const bool unspoken = total.batch && !given.batch;
  if (rest) {
    const bool per_sample = unspoken && context.importer().promoted();
    const Dim spoken = per_sample ? Dim{total.factor * context.importer().samples_in_file()} : total;
    const auto open = given.factor == 0 ? std::nullopt : divided(spoken, given);
    const auto back = open ? multiplied(*open, given) : std::nullopt;
    if (!back || *back != spoken)
      context.fail(fmt::format("{} cannot take the shape {}: {} elements are not a multiple of {}",
                               to_string(from), text(asked), to_string(total), to_string(given)));
    target[*rest] = *open;
    given = *back;
  }
  if (total.batch && !given.batch) keep_batch(context, from, target);
  return Shape(std::move(target));
}

}  // namespace rulegrad::io
