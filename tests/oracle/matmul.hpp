#pragma once

#include "oracle/arrays.hpp"

namespace oracle {

/// x with its last two axes swapped.
inline Values swapped(const Dims& dims, const Values& x) {
  const auto rows = static_cast<std::size_t>(dims[dims.size() - 2]),
             columns = static_cast<std::size_t>(dims.back());
  Values y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t block = i / (rows * columns), r = i / columns % rows, c = i % columns;
    y[block * rows * columns + c * rows + r] = x[i];
  }
  return y;
}

/// a [.., m, k] times b [.., k, n], the axes before the last two broadcast to those of y.
inline Values matmul(const Dims& a_dims, const Values& a, const Dims& b_dims, const Values& b,
                     const Dims& y_dims) {
  const std::int64_t k = a_dims.back();
  const auto read = [](const Dims& dims, const Values& v, const Dims& index) {
    Dims at(index.end() - static_cast<std::ptrdiff_t>(dims.size()), index.end());
    for (std::size_t i = 0; i + 2 < dims.size(); ++i)
      if (dims[i] == 1) at[i] = 0;
    return v[flat(dims, at)];
  };
  Values y(static_cast<std::size_t>(count(y_dims)));
  for_each_index(y_dims, [&](const Dims& index) {
    double sum = 0;
    for (std::int64_t p = 0; p < k; ++p) {
      Dims left = index, right = index;
      left.back() = p;
      right[right.size() - 2] = p;
      sum += read(a_dims, a, left) * read(b_dims, b, right);
    }
    y[flat(y_dims, index)] = sum;
  });
  return y;
}

}  // namespace oracle
