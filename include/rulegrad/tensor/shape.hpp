#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace [[gnu::visibility("default")]] rulegrad {

/// Concrete extents, outermost first.
using Dims = std::vector<std::int64_t>;

/// The product of the extents; 1 where there are none.
[[nodiscard]] std::int64_t element_count(std::span<const std::int64_t> dims);
/// `[8, 3, 224, 224]`
[[nodiscard]] std::string to_string(std::span<const std::int64_t> dims);
[[nodiscard]] std::string to_string(const Dims& dims);

/// One extent of a symbolic shape: `factor`, times the batch extent B when `batch` is set. Merging batch with
/// time or heads in a reshape gives factors other than 1.
struct Dim {
  std::int64_t factor = 1;
  bool batch = false;

  constexpr Dim() = default;
  // NOLINTNEXTLINE(google-explicit-constructor): a number is a static extent, which is what a reader expects.
  constexpr Dim(std::int64_t static_extent) : factor(static_extent) {}
  constexpr Dim(std::int64_t times, bool is_batch) : factor(times), batch(is_batch) {}

  /// Is it that number, whatever the batch?
  [[nodiscard]] constexpr bool is(std::int64_t extent) const { return !batch && factor == extent; }
  /// The number it is with that batch.
  [[nodiscard]] constexpr std::int64_t at(std::int64_t batch_extent) const {
    return batch ? factor * batch_extent : factor;
  }
  friend constexpr bool operator==(Dim, Dim) = default;
};

/// The symbolic batch extent.
inline constexpr Dim B{1, true};

/// `64`, `B`, `12*B`
[[nodiscard]] std::string to_string(Dim dim);

/// What the symbols stand for in one run.
struct Extents {
  std::int64_t batch = 1;
  std::int64_t samples = 1;
  friend bool operator==(const Extents&, const Extents&) = default;
};

/// The shape of an expression: extents that may hold the symbolic batch, and, outermost and outside the axes
/// that operators count, an optional sample axis. Operators never see that axis: whoever runs them maps over
/// it.
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<Dim> dims);
  explicit Shape(std::vector<Dim> dims, bool sampled = false);
  /// Without batch and samples.
  [[nodiscard]] static Shape of(std::span<const std::int64_t> dims);

  /// How many axes there are; the sample axis is none of them.
  [[nodiscard]] std::size_t rank() const { return dims_ ? dims_->size() : 0; }
  /// Without the sample axis.
  [[nodiscard]] const std::vector<Dim>& dims() const;
  /// One extent. Throws Error(shape) where there is no such axis: whoever asks may have been told of it by a
  /// file.
  [[nodiscard]] Dim operator[](std::size_t axis) const {
    if (axis >= rank()) [[unlikely]]
      no_axis(axis);
    return (*dims_)[axis];
  }
  /// Does a sample axis stand outside?
  [[nodiscard]] bool sampled() const { return sampled_; }
  /// The same axes with or without a sample axis.
  [[nodiscard]] Shape with_samples(bool sampled) const {
    Shape result = *this;
    result.sampled_ = sampled;
    return result;
  }
  /// Does any extent hold the batch?
  [[nodiscard]] bool has_batch() const;
  /// The static extents; nothing when the batch or the sample axis takes part.
  [[nodiscard]] std::optional<Dims> static_dims() const;
  /// The product of all extents but the sample axis.
  [[nodiscard]] Dim count() const;
  /// Concrete extents, the sample axis in front if there is one.
  [[nodiscard]] Dims at(const Extents& extents) const;
  /// Equal shapes have equal hashes.
  [[nodiscard]] std::size_t hash() const;

  friend bool operator==(const Shape& a, const Shape& b) {
    return a.sampled_ == b.sampled_ && (a.dims_ == b.dims_ || a.dims() == b.dims());
  }

 private:
  [[noreturn]] void no_axis(std::size_t axis) const;

  /// Shared: a graph holds each shape many times, and most inferred shapes are an operand's. Null: no
  /// extents.
  std::shared_ptr<const std::vector<Dim>> dims_;
  bool sampled_ = false;
};

/// `[B, 64, 56, 56]`; with a sample axis `[S | B, 64, 56, 56]`.
[[nodiscard]] std::string to_string(const Shape& shape);

/// NumPy broadcasting of two shapes (the last axes align, 1 stretches; a sampled operand makes the result
/// sampled); nothing when they disagree.
[[nodiscard]] std::optional<Shape> broadcast(const Shape& a, const Shape& b);

}  // namespace rulegrad
