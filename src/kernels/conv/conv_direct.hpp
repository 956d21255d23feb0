#pragma once

#include <cstdint>
#include <span>

#include "kernels/conv/conv_panels.hpp"

namespace rulegrad::kernels {

/// True where few rows are multiplied with a grid: packing its panels would take as long as the products.
template <class T>
[[nodiscard]] bool is_direct(const Grid& grid, std::int64_t rows, std::int64_t channels);

/// out[n, group rows, positions] = left[group] [rows, (channel, tap)] x grid of (channel, tap), bit for bit
/// what products of packed panels give; `bias` is empty or one value a row. Images are copied between zeros,
/// a band of rows at a time, so that every tap is the same distance away for all positions.
template <class T>
void direct_product(const Grid& grid, const Target& target, std::int64_t groups, std::int64_t rows,
                    std::int64_t channels, const T* left, const T* x, std::span<const T> bias, T* out);

}  // namespace rulegrad::kernels
