#pragma once

#include <pybind11/pybind11.h>

#include <map>
#include <string>
#include <vector>

#include "rulegrad/program.hpp"
#include "rulegrad/tensor.hpp"

/// Arrays cross the border by Python's buffer protocol and nothing else, so that the extension knows no version of NumPy.
namespace rulegrad::python {

namespace py = pybind11;

/// The memory of a C-contiguous array as a tensor, without a copy; the tensor keeps the array. Throws Error(dtype) for elements
/// that rulegrad does not have and Error(invalid_argument) for what is no buffer.
[[nodiscard]] Tensor tensor_of(const py::handle& array);

/// Inputs by name, each as `tensor_of`.
[[nodiscard]] Inputs inputs_of(const py::dict& arrays);

/// Memory of a writable array, and what keeps it.
class Target {
 public:
  /// Throws as tensor_of does, and Error(invalid_argument) for an array that is read-only.
  explicit Target(const py::handle& array);
  [[nodiscard]] const OutputBuffer& buffer() const { return buffer_; }

 private:
  std::shared_ptr<Py_buffer> view_;
  OutputBuffer buffer_;
};

/// The name NumPy has for a dtype.
[[nodiscard]] std::string numpy_name(DType dtype);
/// The inverse; Error(dtype).
[[nodiscard]] DType dtype_of_numpy(const std::string& name);

/// A shape as Python sees it: ints, and `"B"` or `"4*B"` where the batch takes part.
[[nodiscard]] py::tuple shape_tuple(const Shape& shape);

/// Makes Tensor a class that NumPy takes as an array without copying.
void bind_arrays(py::module_& module);

}  // namespace rulegrad::python
