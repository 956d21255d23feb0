#include "rulegrad/tensor/tensor.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <new>

#include "rulegrad/support/error.hpp"

#include "tensor/held.hpp"

namespace rulegrad {
namespace {

constexpr std::align_val_t alignment{64};

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  auto* memory = static_cast<std::byte*>(::operator new(std::max<std::size_t>(bytes, 1), alignment));
  return {memory, [](std::byte* p) { ::operator delete(p, alignment); }};
}

/// As element_count, of what memory may hold.
std::int64_t storable_count(const Dims& dims) {
  std::int64_t count = 1;
  for (const std::int64_t extent : dims) {
    if (extent < 0 || (extent != 0 && count > INT64_MAX / 16 / extent))
      throw Error(ErrorCode::shape,
                  fmt::format("[tensor] {} is not a shape that can be stored", to_string(dims)));
    count *= extent;
  }
  return count;
}

}  // namespace

Tensor::Tensor() : Tensor(DType::float32, Dims{0}) {}

Tensor::Tensor(DType dtype, Dims dims) {
  *this = uninitialized(dtype, std::move(dims));
  std::memset(data_, 0, bytes());
}

Tensor::Tensor(DType dtype, Dims dims, const void* values, std::size_t count) {
  *this = uninitialized(dtype, std::move(dims));
  if (static_cast<std::int64_t>(count) != size_)
    throw Error(ErrorCode::shape, fmt::format("[tensor] shape {} holds {} elements but {} values were given",
                                              to_string(dims_), size_, count));
  if (count != 0) std::memcpy(data_, values, bytes());
}

Tensor Tensor::uninitialized(DType dtype, Dims dims) {
  Tensor result = borrow(dtype, std::move(dims), nullptr, nullptr);
  auto memory = allocate(result.bytes());
  result.data_ = memory.get();
  result.owner_ = std::move(memory);
  result.borrowed_ = false;
  return result;
}

Tensor Tensor::scalar(DType dtype, double value) {
  return full(dtype, {}, value);
}

Tensor Tensor::full(DType dtype, Dims dims, double value) {
  if (!holds(dtype, value))
    throw Error(ErrorCode::dtype, fmt::format("[tensor] {} is no {}", value, name_of(dtype)));
  Tensor result = uninitialized(dtype, std::move(dims));
  dispatch(dtype, [&]<class T>(T) {
    auto values = result.mutable_values<T>();
    std::fill(values.begin(), values.end(), static_cast<T>(value));
  });
  return result;
}

Tensor Tensor::borrow(DType dtype, Dims dims, const void* data, std::shared_ptr<const void> owner) {
  if (reinterpret_cast<std::uintptr_t>(data) % size_of(dtype) != 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[tensor] borrowed memory is not aligned to the {} bytes of a {}", size_of(dtype),
                            name_of(dtype)));
  Tensor result{Unallocated{}};
  result.dtype_ = dtype;
  result.size_ = storable_count(dims);
  result.dims_ = std::move(dims);
  // Never written through: mutable_data() copies borrowed memory first.
  result.data_ = static_cast<std::byte*>(const_cast<void*>(data));
  result.owner_ = std::move(owner);
  result.borrowed_ = true;
  return result;
}

std::byte* Tensor::mutable_data() {
  if (borrowed_ || owner_.use_count() != 1) {
    Tensor copy = uninitialized(dtype_, dims_);
    if (bytes() != 0) std::memcpy(copy.data_, data_, bytes());
    *this = std::move(copy);
  }
  known_finite_ = false;
  return data_;
}

void Tensor::expect(DType asked) const {
  if (asked != dtype_)
    throw Error(ErrorCode::dtype, fmt::format("[tensor] {} values were asked of a {} tensor of shape {}",
                                              name_of(asked), name_of(dtype_), to_string(dims_)));
}

double Tensor::at(std::int64_t flat_index) const {
  if (flat_index < 0 || flat_index >= size_)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[tensor] index {} is outside shape {} ({} elements)", flat_index,
                            to_string(dims_), size_));
  return dispatch(dtype_, [&]<class T>(T) {
    return static_cast<double>(values<T>()[static_cast<std::size_t>(flat_index)]);
  });
}

Tensor Tensor::reshaped(Dims dims) const {
  if (storable_count(dims) != size_)
    throw Error(ErrorCode::shape, fmt::format("[tensor] {} with {} elements cannot take shape {} with {}",
                                              to_string(dims_), size_, to_string(dims), element_count(dims)));
  Tensor result = *this;
  result.dims_ = std::move(dims);
  return result;
}

Tensor Tensor::rows(std::int64_t first, std::int64_t count) const {
  if (dims_.empty() || first < 0 || count < 0 || first + count > dims_[0])
    throw Error(ErrorCode::shape, fmt::format("[tensor] {} has no entries {} to {} of its first axis",
                                              to_string(dims_), first, first + count));
  const std::size_t row = dims_[0] == 0 ? 0 : bytes() / static_cast<std::size_t>(dims_[0]);
  Dims dims = dims_;
  dims[0] = count;
  return borrow(dtype_, std::move(dims), data_ + static_cast<std::size_t>(first) * row,
                std::make_shared<Tensor>(*this));
}

Tensor Tensor::cast(DType dtype) const {
  if (dtype == dtype_) return *this;
  Tensor result = uninitialized(dtype, dims_);
  dispatch(dtype_, [&]<class From>(From) {
    dispatch(dtype, [&]<class To>(To) {
      const auto from = values<From>();
      const auto to = result.mutable_values<To>();
      std::transform(from.begin(), from.end(), to.begin(), [](From v) { return static_cast<To>(v); });
    });
  });
  return result;
}

bool identical(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() &&
         (a.data() == b.data() || a.bytes() == 0 || std::memcmp(a.data(), b.data(), a.bytes()) == 0);
}

}  // namespace rulegrad
