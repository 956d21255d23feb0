#pragma once

#include <cstdint>

#include "rulegrad/expr/attributes.hpp"

/// The attribute structs of the operators that look up, sort and add up along an axis.
namespace [[gnu::visibility("default")]] rulegrad {

/// gather_rows(x, i): the first `batch` axes of x and i are the same ones; the next axis of x is looked up,
/// for each of them by itself.
struct GatherRowsAttributes {
  std::int64_t batch = 1;
};
/// scatter_rows(g, i): the adjoint; `extent` is that of the axis that gather_rows looks up.
struct ScatterRowsAttributes {
  std::int64_t batch = 1, extent = 0;
};
/// cumsum(x): sums along `axis` of everything before an element, itself included unless `exclusive`;
/// `reverse` counts from behind.
struct CumsumAttributes {
  std::int64_t axis = 0;
  bool exclusive = false, reverse = false;
};
/// top_index(x): the indices of the `count` largest (or smallest) along `axis`.
struct TopAttributes {
  std::int64_t axis = 0, count = 1;
  bool smallest = false;
};

// Their fields, which the source of their operator lists.
template <>
const AttrType& attr_type<GatherRowsAttributes>();
template <>
const AttrType& attr_type<ScatterRowsAttributes>();
template <>
const AttrType& attr_type<CumsumAttributes>();
template <>
const AttrType& attr_type<TopAttributes>();

}  // namespace rulegrad
