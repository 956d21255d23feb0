#include <algorithm>
#include <vector>

#include "onnx/writer.hpp"

// What forms are put together from.
namespace rulegrad::io {

std::string Steps::reshape(const std::string& x, const Shape& shape) {
  Ints target;
  for (const Dim dim : shape.dims()) target.push_back(dim.batch ? -1 : dim.factor);
  return (*this)("Reshape", {x, ints(target)});
}

std::string Steps::transpose(const std::string& x, const Ints& perm) {
  return (*this)("Transpose", {x}, [&](NodeWriter& n) { n.set("perm", perm); });
}

std::string Steps::reduce(const char* op_type, const std::string& x, const Ints& axes, bool keep) {
  const std::int64_t since = std::string_view(op_type) == "ReduceSum" ? 13 : 18;
  std::vector<std::string> inputs{x};
  if (writer_.opset() >= since) inputs.push_back(ints(axes));
  return (*this)(op_type, std::move(inputs), [&](NodeWriter& n) {
    if (writer_.opset() < since) n.set("axes", axes);
    n.set("keepdims", std::int64_t{keep});
  });
}

namespace {

template <class T>
Tensor transposed(const Tensor& matrix) {
  const std::int64_t rows = matrix.dims()[0], columns = matrix.dims()[1];
  std::vector<T> values(static_cast<std::size_t>(rows * columns));
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t c = 0; c < columns; ++c)
      values[static_cast<std::size_t>(c * rows + r)] = static_cast<T>(matrix.at(r * columns + c));
  return Tensor({columns, rows}, std::span<const T>(values));
}

}  // namespace

std::string Steps::along(const std::string& x, std::size_t rank, std::size_t axis, const Tensor& matrix) {
  if (axis + 1 == rank) return (*this)("MatMul", {x, shared(matrix)});
  if (axis + 2 == rank) {
    const Tensor turned =
        matrix.dtype() == DType::float64 ? transposed<double>(matrix) : transposed<float>(matrix);
    return (*this)("MatMul", {shared(turned), x});
  }
  Ints perm;
  for (std::size_t i = 0; i < rank; ++i) perm.push_back(static_cast<std::int64_t>(i));
  std::swap(perm[axis], perm[rank - 1]);
  return transpose((*this)("MatMul", {transpose(x, perm), shared(matrix)}), perm);
}

std::string Steps::take(const std::string& x, const Shape& shape, std::size_t axis, Ints places) {
  std::string from = x;
  if (std::find(places.begin(), places.end(), -1) != places.end()) {
    Ints pads(2 * shape.rank(), 0);
    pads[shape.rank() + axis] = 1;
    std::replace(places.begin(), places.end(), std::int64_t{-1}, shape[axis].factor);
    from = (*this)("Pad", {x, ints(pads), number(0)});
  }
  return (*this)("Gather", {from, ints(places)},
                 [&](NodeWriter& n) { n.set("axis", static_cast<std::int64_t>(axis)); });
}

}  // namespace rulegrad::io
