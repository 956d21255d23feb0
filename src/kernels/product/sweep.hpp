#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace rulegrad::kernels {

/// Up to so many rows a product is limited by reading its weight, which is then read once, from end to end.
inline constexpr std::int64_t thin_rows = 32;

/// `out` = f(`in`), element by element, of `count` contiguous ones; both may be the same.
template <class T>
using ElementFunction = std::function<void(std::int64_t count, const T* in, T* out)>;

/// y [rows, columns] = x [rows, depth] times f(w), all contiguous.
template <class T>
struct SweptProduct {
  std::int64_t rows;  ///< at most thin_rows
  const T* x;
  T* y;
};
/// Those with one function of the weight.
template <class T>
struct SweptForm {
  const ElementFunction<T>* function = nullptr;  ///< null: the weight as it is
  std::vector<SweptProduct<T>> products;
};

/// Whether the paths are open that a sweep of such a weight, of functions of one takes.
[[nodiscard]] bool sweeps(bool transposed);
[[nodiscard]] bool sweeps_functions();

/// All products with functions of one weight while it is read once, contiguous: [columns, depth] where it is
/// `transposed`, [depth, columns] otherwise. The functions are applied to pieces of the weight while they are
/// near. The bits of a product depend neither on the others nor on the number of threads, and are those of a
/// product with f(w).
template <class T>
void sweep(bool transposed, std::int64_t columns, std::int64_t depth, const T* w,
           std::span<const SweptForm<T>> forms);

}  // namespace rulegrad::kernels
