#pragma once

#include <cstdint>

#include "kernels/move/window.hpp"

namespace rulegrad::kernels::blocked {

/// The pooling of portable/pool.hpp over vectors of `Block` channels: the same results, bit for bit. `groups`
/// is batch x channels / Block; arrays are [groups, positions, Block].
template <class T, int Block>
void max_pool(const Window& window, std::int64_t groups, const T* x, T* y);
template <class T, int Block>
void max_pool_input_grad(const Window& window, std::int64_t groups, const T* x, const T* g, T* gx);
template <class T, int Block>
void max_pool_select(const Window& window, std::int64_t groups, const T* x, const T* t, T* y);
template <class T, int Block>
void avg_pool(const Window& window, bool count_padding, std::int64_t groups, const T* x, T* y);
template <class T, int Block>
void avg_pool_input_grad(const Window& window, bool count_padding, std::int64_t groups, const T* g, T* gx);

}  // namespace rulegrad::kernels::blocked
