#pragma once

#include <cstdint>

#include "kernels/common/dims.hpp"
#include "kernels/product/sweep.hpp"

namespace rulegrad::kernels {

/// y = op(a) op(b) as numpy.matmul: the last two axes are matrices, those before broadcast; a one-axis
/// operand is a row (a) or a column (b) whose axis y lacks. The flags swap the last two axes of an operand
/// with at least two. y_dims are the caller's. T = float, double. With few rows of y the right operand
/// is streamed once, at memory bandwidth. Results do not depend on the number of threads.
template <class T>
void matmul(DimsView a_dims, const T* a, bool transpose_a, DimsView b_dims, const T* b, bool transpose_b,
            DimsView y_dims, T* y);

/// Whether product_of_function may be asked, and for functions: their paths are open.
[[nodiscard]] bool multiplies();
[[nodiscard]] bool multiplies_functions();
/// c [m, n] = a [m, k] f(op(b)), all contiguous: the function is applied to pieces of b as they are read;
/// null: there is none.
template <class T>
void product_of_function(bool transpose_b, std::int64_t m, std::int64_t n, std::int64_t k, const T* a,
                         const T* b, const ElementFunction<T>* f, T* c);

}  // namespace rulegrad::kernels
