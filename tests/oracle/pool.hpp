#pragma once

#include "oracle/arrays.hpp"

namespace oracle {

/// Pooling windows over any number of spatial axes; `out` is given, so that it holds for every rounding of
/// extents.
struct Pool {
  Dims in, out, kernel, strides, pads_begin, pads_end, dilations;

  /// Calls f(kernel index, input index or nothing, in the padded input?) for the positions of the window at
  /// `o`.
  template <class F>
  void for_each_position(const Dims& o, F&& f) const {
    for_each_index(kernel, [&](const Dims& k) {
      Dims at;
      bool inside = true, padded = true;
      for (std::size_t i = 0; i < in.size(); ++i) {
        at.push_back(o[i] * strides[i] + k[i] * dilations[i] - pads_begin[i]);
        inside = inside && at[i] >= 0 && at[i] < in[i];
        padded = padded && at[i] >= -pads_begin[i] && at[i] < in[i] + pads_end[i];
      }
      f(inside ? static_cast<std::int64_t>(flat(in, at)) : -1, padded);
    });
  }
};

/// For each window the first maximum, -1 for none.
inline Dims first_maxima(const Pool& p, const Values& x, std::int64_t planes) {
  Dims where;
  for (std::int64_t plane = 0; plane < planes; ++plane)
    for_each_index(p.out, [&](const Dims& o) {
      std::int64_t best = -1;
      p.for_each_position(o, [&](std::int64_t at, bool) {
        if (at < 0) return;
        at += plane * count(p.in);
        const double value = x[static_cast<std::size_t>(at)];
        if (best < 0) best = at;
        const double top = x[static_cast<std::size_t>(best)];
        if (value > top || (std::isnan(value) && !std::isnan(top))) best = at;
      });
      where.push_back(best);
    });
  return where;
}

/// The matrix of averaging of one plane, [windows][inputs].
inline std::vector<Values> averaging(const Pool& p, bool count_padding) {
  std::vector<Values> rows;
  for_each_index(p.out, [&](const Dims& o) {
    double members = 0;
    p.for_each_position(
        o, [&](std::int64_t at, bool padded) { members += (count_padding ? padded : at >= 0) ? 1 : 0; });
    Values row(static_cast<std::size_t>(count(p.in)));
    p.for_each_position(o, [&](std::int64_t at, bool) {
      if (at >= 0) row[static_cast<std::size_t>(at)] += 1 / members;
    });
    rows.push_back(row);
  });
  return rows;
}

}  // namespace oracle
