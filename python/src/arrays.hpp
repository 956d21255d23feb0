#pragma once

#include <map>
#include <pybind11/pybind11.h>
#include <string>
#include <vector>

#include "rulegrad/run/program.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// Arrays cross the border by Python's buffer protocol and nothing else, so that the extension knows no
/// version of NumPy.
namespace rulegrad::python {

namespace py = pybind11;

/// The memory of a C-contiguous array as a tensor, without a copy; the tensor keeps the array. Throws
/// Error(dtype) for elements that rulegrad does not have and Error(invalid_argument) for what is no buffer.
[[nodiscard]] Tensor tensor_of(const py::handle& array);

/// Inputs by name, each as `tensor_of`.
[[nodiscard]] Inputs inputs_of(const py::dict& arrays);

/// What a run gave: an array that Python may write to, in the memory that the library wrote it to.
class Result {
 public:
  /// Shares the tensor's memory, which nothing else may be using any more once Python sees it.
  explicit Result(Tensor tensor) : tensor_(std::move(tensor)) {}
  /// Copies what others hold as well: a network's output may be its input, a weight, or another output.
  [[nodiscard]] static Result alone(Tensor tensor) {
    static_cast<void>(tensor.mutable_data());
    return Result(std::move(tensor));
  }
  [[nodiscard]] const Tensor& tensor() const { return tensor_; }

 private:
  Tensor tensor_;
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
