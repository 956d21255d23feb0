#pragma once

// Opt-in: this header alone needs xtensor, and nothing else of rulegrad includes it. xtensor 0.24 or newer;
// with g++ the flag -fno-new-ttp-matching is needed for xtensor 0.24 in C++20.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#if __has_include(<xtensor/containers/xarray.hpp>)
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xarray.hpp>
#else
#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#endif

#include "rulegrad/tensor/tensor.hpp"

/// Arrays of xtensor as tensors and back, without a copy wherever the elements lie in row-major order.
namespace [[gnu::visibility("default")]] rulegrad {

/// A view of the tensor's elements as an xtensor expression; valid as long as the tensor lives and is not
/// written to. Throws Error(dtype) unless T is what is stored.
template <class T>
[[nodiscard]] auto as_xtensor(const Tensor& tensor) {
  const auto values = tensor.values<T>();
  const std::vector<std::size_t> shape(tensor.dims().begin(), tensor.dims().end());
  return xt::adapt(values.data(), values.size(), xt::no_ownership(), shape);
}

/// The same for writing; a tensor that shares its buffer gets one of its own first.
template <class T>
[[nodiscard]] auto as_xtensor(Tensor& tensor) {
  const auto values = tensor.mutable_values<T>();
  const std::vector<std::size_t> shape(tensor.dims().begin(), tensor.dims().end());
  return xt::adapt(values.data(), values.size(), xt::no_ownership(), shape);
}
template <class T>
auto as_xtensor(Tensor&& tensor) = delete;  // the view would outlive its memory

namespace detail {
template <class Shape>
[[nodiscard]] Dims dims_of(const Shape& shape) {
  Dims dims;
  for (const auto extent : shape) dims.push_back(static_cast<std::int64_t>(extent));
  return dims;
}
}  // namespace detail

/// The elements of any xtensor expression, copied in row-major order.
template <class E>
[[nodiscard]] Tensor to_tensor(const xt::xexpression<E>& expression) {
  using T = std::remove_cv_t<typename E::value_type>;
  const E& values = expression.derived_cast();
  Tensor result = Tensor::uninitialized(dtype_of<T>, detail::dims_of(values.shape()));
  const auto to = result.mutable_values<T>();
  std::copy(values.template cbegin<xt::layout_type::row_major>(),
            values.template cend<xt::layout_type::row_major>(), to.begin());
  return result;
}

/// Takes over the memory of a row-major array: no copy. Writing to the tensor copies first, as with any
/// shared buffer.
template <class T>
[[nodiscard]] Tensor to_tensor(xt::xarray<T, xt::layout_type::row_major>&& array) {
  auto owner = std::make_shared<const xt::xarray<T, xt::layout_type::row_major>>(std::move(array));
  return Tensor::borrow(dtype_of<T>, detail::dims_of(owner->shape()), owner->data(), owner);
}

}  // namespace rulegrad
