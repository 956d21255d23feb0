#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>

#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/shape.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// A dense row-major array. A value: copies share their buffer until one of them is written to. Buffers that
/// the library allocates are aligned to 64 bytes.
class Tensor {
 public:
  /// A float32 array of shape [0].
  Tensor();
  /// Zeros.
  Tensor(DType dtype, Dims dims);
  /// A copy of `values`; throws Error(shape) unless there is exactly one for each element.
  template <class T>
  Tensor(Dims dims, std::span<const T> values)
      : Tensor(dtype_of<T>, std::move(dims), values.data(), values.size()) {}
  template <class T>
  Tensor(Dims dims, std::initializer_list<T> values)
      : Tensor(dtype_of<T>, std::move(dims), values.begin(), values.size()) {}

  /// Memory that is not initialised: write every element before reading one.
  [[nodiscard]] static Tensor uninitialized(DType dtype, Dims dims);
  /// A rank-0 array of a floating or integer dtype.
  [[nodiscard]] static Tensor scalar(DType dtype, double value);
  /// The same number everywhere, converted as `static_cast` does.
  [[nodiscard]] static Tensor full(DType dtype, Dims dims, double value);
  /// Shares memory that `owner` keeps alive (a mapped file, a caller's buffer); it must be aligned to the
  /// element.
  [[nodiscard]] static Tensor borrow(DType dtype, Dims dims, const void* data,
                                     std::shared_ptr<const void> owner);

  [[nodiscard]] DType dtype() const { return dtype_; }             ///< of the elements
  [[nodiscard]] const Dims& dims() const { return dims_; }         ///< extents, outermost first
  [[nodiscard]] std::size_t rank() const { return dims_.size(); }  ///< how many axes
  [[nodiscard]] std::int64_t size() const { return size_; }        ///< how many elements
  /// Of all elements.
  [[nodiscard]] std::size_t bytes() const { return static_cast<std::size_t>(size_) * size_of(dtype_); }
  /// The elements in row-major order.
  [[nodiscard]] const std::byte* data() const { return data_; }
  /// Memory of this tensor alone; copies the buffer first if it is shared or borrowed.
  [[nodiscard]] std::byte* mutable_data();

  /// The elements in row-major order; throws Error(dtype) unless T is the stored type.
  template <class T>
  [[nodiscard]] std::span<const T> values() const {
    expect(dtype_of<T>);
    return {reinterpret_cast<const T*>(data_), static_cast<std::size_t>(size_)};
  }
  /// The same to write to, as mutable_data.
  template <class T>
  [[nodiscard]] std::span<T> mutable_values() {
    expect(dtype_of<T>);
    return {reinterpret_cast<T*>(mutable_data()), static_cast<std::size_t>(size_)};
  }
  /// Has it been looked through, and neither NaN nor infinity found? Copies know it too, until one of them is
  /// written to.
  [[nodiscard]] bool known_finite() const { return known_finite_ || !is_floating(dtype_); }
  /// Notes that this has been done.
  void note_finite() { known_finite_ = true; }

  /// One element as a double, whatever the dtype. Throws Error(invalid_argument) for an index out of range.
  [[nodiscard]] double at(std::int64_t flat_index) const;

  /// The same elements under another shape; throws Error(shape) unless the counts agree. Shares the buffer.
  [[nodiscard]] Tensor reshaped(Dims dims) const;
  /// Entries [first, first + count) of the first axis. Shares the buffer; throws Error(shape) for a scalar
  /// and for what lies outside.
  [[nodiscard]] Tensor rows(std::int64_t first, std::int64_t count) const;
  /// Each element converted as `static_cast` does. Shares the buffer where the dtype is already that.
  [[nodiscard]] Tensor cast(DType dtype) const;

 private:
  struct Unallocated {};
  explicit Tensor(Unallocated) {}
  Tensor(DType dtype, Dims dims, const void* values, std::size_t count);
  void expect(DType asked) const;

  DType dtype_ = DType::float32;
  Dims dims_;
  std::int64_t size_ = 0;
  std::byte* data_ = nullptr;
  std::shared_ptr<const void> owner_;
  bool borrowed_ = false;
  bool known_finite_ = false;
};

/// Same dtype, dims and bytes (so -0 and 0 differ, and a NaN equals itself).
[[nodiscard]] bool identical(const Tensor& a, const Tensor& b);

}  // namespace rulegrad
