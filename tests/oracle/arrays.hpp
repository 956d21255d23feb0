#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

/// Plain float64 helpers for tests: they share no code with what they check.
namespace oracle {

using Dims = std::vector<std::int64_t>;
using Values = std::vector<double>;

inline std::int64_t count(const Dims& dims) {
  std::int64_t n = 1;
  for (auto d : dims) n *= d;
  return n;
}

/// Normal values that float stores exactly, so that float32 and float64 kernels start from the same numbers.
inline Values normal(const Dims& dims, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> next;
  Values v(static_cast<std::size_t>(count(dims)));
  for (auto& x : v) x = static_cast<double>(next(random));
  return v;
}

template <class T>
std::vector<T> as(const Values& v) {
  std::vector<T> out;
  out.reserve(v.size());
  for (double x : v) out.push_back(static_cast<T>(x));
  return out;
}

/// Calls f(index) for every multi-index below `dims`, the last axis fastest.
template <class F>
void for_each_index(const Dims& dims, F&& f) {
  if (count(dims) == 0) return;
  Dims index(dims.size(), 0);
  while (true) {
    f(static_cast<const Dims&>(index));
    std::size_t axis = dims.size();
    while (axis > 0 && ++index[axis - 1] == dims[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

inline std::size_t flat(const Dims& dims, const Dims& index) {
  std::int64_t at = 0;
  for (std::size_t i = 0; i < dims.size(); ++i) at = at * dims[i] + index[i];
  return static_cast<std::size_t>(at);
}

/// The largest |got - want| in units of `epsilon(T) * scale`, where scale[i] bounds the terms summed into i.
template <class T>
double error_in_roundings(const std::vector<T>& got, const Values& want, const Values& scale) {
  if (got.size() != want.size() || got.size() != scale.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) * scale[i];
    const double error = std::abs(static_cast<double>(got[i]) - want[i]);
    if (std::isnan(error)) return std::numeric_limits<double>::infinity();
    if (error > 0) worst = std::max(worst, unit > 0 ? error / unit : std::numeric_limits<double>::infinity());
  }
  return worst;
}

inline Values magnitudes(const Values& v) {
  Values out;
  for (double x : v) out.push_back(std::abs(x));
  return out;
}

}  // namespace oracle
