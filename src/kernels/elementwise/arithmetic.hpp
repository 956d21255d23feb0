#pragma once

#include "kernels/common/dims.hpp"

/// What other kernels add, multiply and bound their results by: y = a op b with a and b broadcast (NumPy) to
/// y_dims, in float and double. y may be an operand of the same dims. The bits are those of the operators.
namespace rulegrad::kernels {

template <class T>
void add(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y);
template <class T>
void multiply(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y);
template <class T>
void larger(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y);
template <class T>
void smaller(DimsView a_dims, const T* a, DimsView b_dims, const T* b, DimsView y_dims, T* y);

}  // namespace rulegrad::kernels
