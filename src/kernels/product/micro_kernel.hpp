#pragma once

#include <cstdint>

// No standard header with inline functions may come in here: the files that include this one are compiled for
// other instruction sets, and a linker is free to keep their copy of such a function for the whole program.

namespace rulegrad::kernels {

/// c[rows, vectors * lanes] (+)= a[rows, depth] b[depth, vectors * lanes]: element (i, p) of a is a[i * a_row +
/// p * a_step], b and c are row-major with a stride between rows. Each element is summed from p = 0 up in one
/// accumulator, so it does not depend on how the matrix was cut into tiles.
template <class T>
using MicroKernel = void (*)(std::int64_t depth, const T* a, std::int64_t a_row, std::int64_t a_step,
                             const T* b, std::int64_t b_stride, T* c, std::int64_t c_stride, bool accumulate);

inline constexpr int max_micro_rows = 8;
inline constexpr int max_micro_vectors = 3;

/// out[i * out_stride + j] (+)= sum over p < depth of x[i * x_stride + p] * w[j * w_stride + p].
template <class T>
using DotKernel = void (*)(std::int64_t depth, const T* x, std::int64_t x_stride, const T* w,
                           std::int64_t w_stride, T* out, std::int64_t out_stride, bool accumulate);

inline constexpr int dot_block = 4;  ///< rows of x, and of w, that a DotKernel takes at most

/// out[i * pixel + j * output] = sum over t < taps, b < blocks and the lanes of g[t][b * block_stride + i *
/// lanes] * w[t][(b * outputs + j) * lanes], for i < groups times as many pixels as the kernel takes at once.
template <class T>
using NarrowKernel = void (*)(std::int64_t groups, std::int64_t taps, std::int64_t blocks, const T* const* g,
                              std::int64_t block_stride, const T* const* w, T* out, std::int64_t pixel,
                              std::int64_t output);

inline constexpr int narrow_outputs = 4, narrow_pixels = 4;

/// c[rows, vectors * lanes] (+)= sum over p < depth of a[i * a_stride + p] * b[offsets[p] + v * b_step +
/// lane]: a MicroKernel whose right operand lies where the image lies, shifted, and is not packed. The same
/// order of sums.
template <class T>
using ShiftedKernel = void (*)(std::int64_t depth, const T* a, std::int64_t a_stride, const T* b,
                               const std::int64_t* offsets, std::int64_t b_step, T* c, std::int64_t c_stride,
                               bool accumulate);

inline constexpr int shifted_sizes = 4;  ///< ShiftedKernels take 1, 2, 4 or 8 vectors

/// The kernels of one instruction set: at(rows, vectors) for 1 <= rows <= max_rows and 1 <= vectors <= 3.
template <class T>
struct MicroKernels {
  int lanes;     ///< elements of a vector
  int max_rows;  ///< of `a` at a time
  MicroKernel<T> table[max_micro_rows][max_micro_vectors];
  DotKernel<T> dot[dot_block][dot_block];                   ///< [rows of x - 1][rows of w - 1]
  NarrowKernel<T> narrow[narrow_outputs][2];                ///< [outputs - 1][0: one pixel, 1: narrow_pixels]
  ShiftedKernel<T> shifted[max_micro_rows][shifted_sizes];  ///< [rows - 1][log2 of vectors], null where
                                                            ///< registers would not do

  MicroKernel<T> at(std::int64_t rows, std::int64_t vectors) const { return table[rows - 1][vectors - 1]; }
  std::int64_t panel() const { return std::int64_t{lanes} * max_micro_vectors; }
};

/// Those for this machine.
template <class T>
const MicroKernels<T>& micro_kernels();

extern const MicroKernels<float> micro_kernels_f32_baseline;
extern const MicroKernels<double> micro_kernels_f64_baseline;
extern const MicroKernels<float> micro_kernels_f32_avx2;
extern const MicroKernels<double> micro_kernels_f64_avx2;
extern const MicroKernels<float> micro_kernels_f32_avx512;
extern const MicroKernels<double> micro_kernels_f64_avx512;

}  // namespace rulegrad::kernels
