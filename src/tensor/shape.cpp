#include "rulegrad/tensor/shape.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "support/hash.hpp"
#include "tensor/checked.hpp"

namespace rulegrad {

std::int64_t element_count(std::span<const std::int64_t> dims) {
  std::int64_t count = 1;
  for (const std::int64_t extent : dims) count = checked::product(count, extent);
  return count;
}

std::string to_string(std::span<const std::int64_t> dims) {
  return fmt::format("[{}]", fmt::join(dims.begin(), dims.end(), ", "));
}

std::string to_string(const Dims& dims) {
  return to_string(std::span<const std::int64_t>(dims));
}

std::string to_string(Dim dim) {
  if (!dim.batch) return fmt::format_int(dim.factor).str();
  return dim.factor == 1 ? "B" : fmt::format("{}*B", dim.factor);
}

Shape::Shape(std::initializer_list<Dim> dims) : Shape(std::vector<Dim>(dims)) {}

Shape::Shape(std::vector<Dim> dims, bool sampled)
    : dims_(dims.empty() ? nullptr : std::make_shared<const std::vector<Dim>>(std::move(dims))),
      sampled_(sampled) {}

void Shape::no_axis(std::size_t axis) const {
  throw Error(ErrorCode::shape, fmt::format("[shape] axis {} does not exist in {}, which has {} axes", axis,
                                            to_string(*this), rank()));
}

Shape Shape::of(std::span<const std::int64_t> dims) {
  return Shape(std::vector<Dim>(dims.begin(), dims.end()));
}

const std::vector<Dim>& Shape::dims() const {
  static const std::vector<Dim> none;
  return dims_ ? *dims_ : none;
}

bool Shape::has_batch() const {
  return std::any_of(dims().begin(), dims().end(), [](Dim dim) { return dim.batch; });
}

std::optional<Dims> Shape::static_dims() const {
  if (sampled_ || has_batch()) return std::nullopt;
  return at({});
}

Dim Shape::count() const {
  Dim total{1};
  for (const Dim dim : dims()) {
    if (dim.batch && total.batch)
      throw Error(ErrorCode::shape, fmt::format("shape {} holds the batch extent twice", to_string(*this)));
    total.factor = checked::product(total.factor, dim.factor);
    total.batch = total.batch || dim.batch;
  }
  return total;
}

Dims Shape::at(const Extents& extents) const {
  Dims result;
  result.reserve(rank() + (sampled_ ? 1 : 0));
  if (sampled_) result.push_back(extents.samples);
  for (const Dim dim : dims())
    result.push_back(dim.batch ? checked::product(dim.factor, extents.batch, "an extent that holds the batch")
                               : dim.factor);
  return result;
}

std::size_t Shape::hash() const {
  std::size_t seed = sampled_ ? 1 : 0;
  for (const Dim dim : dims())
    seed = hash_combine(seed, static_cast<std::size_t>(dim.factor) * 2 + (dim.batch ? 1 : 0));
  return seed;
}

std::string to_string(const Shape& shape) {
  std::string result = shape.sampled() ? "[S | " : "[";
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    if (axis > 0) result += ", ";
    result += to_string(shape[axis]);
  }
  return result += "]";
}

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
  if (a.dims() == b.dims()) return a.with_samples(a.sampled() || b.sampled());
  const std::size_t rank = std::max(a.rank(), b.rank());
  std::vector<Dim> dims(rank);
  for (std::size_t back = 1; back <= rank; ++back) {
    const Dim left = back <= a.rank() ? a[a.rank() - back] : Dim{1};
    const Dim right = back <= b.rank() ? b[b.rank() - back] : Dim{1};
    if (left != right && !left.is(1) && !right.is(1)) return std::nullopt;
    dims[rank - back] = left.is(1) ? right : left;
  }
  return Shape(std::move(dims), a.sampled() || b.sampled());
}

}  // namespace rulegrad
