#include "arrays.hpp"

#include <string_view>

#include "rulegrad/support/error.hpp"

namespace rulegrad::python {
namespace {

/// Python's letters for elements, in the machine's own order.
DType dtype_of_format(std::string_view format, Py_ssize_t size) {
  if (!format.empty() && (format[0] == '@' || format[0] == '=' || format[0] == '<')) format.remove_prefix(1);
  if (format == "f") return DType::float32;
  if (format == "d") return DType::float64;
  if (format == "?") return DType::boolean;
  if (format == "B") return DType::uint8;
  if (format == "b") return DType::int8;
  if (format == "i" || format == "l" || format == "q") return size == 4 ? DType::int32 : DType::int64;
  throw Error(ErrorCode::dtype, "[array] elements of format '" + std::string(format) +
                                    "'; rulegrad takes float32, float64, int32, int64, uint8, int8 and bool");
}

std::string format_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "f";
    case DType::float64:
      return "d";
    case DType::int32:
      return "i";
    case DType::int64:
      return "q";
    case DType::uint8:
      return "B";
    case DType::int8:
      return "b";
    case DType::boolean:
      return "?";
  }
  return "?";
}

std::shared_ptr<Py_buffer> view_of(const py::handle& array, int flags) {
  auto* raw = new Py_buffer{};
  if (PyObject_GetBuffer(array.ptr(), raw, flags | PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
    delete raw;
    py::error_already_set problem;
    throw Error(ErrorCode::invalid_argument,
                std::string("[array] a C-contiguous array is needed: ") + problem.what());
  }
  // Runs let go of arrays on whatever thread they end, and after the interpreter they cannot.
  return {raw, [](Py_buffer* view) {
            if (Py_IsInitialized() != 0) {
              const py::gil_scoped_acquire hold;
              PyBuffer_Release(view);
            }
            delete view;
          }};
}

py::buffer_info buffer_of(const Tensor& tensor, bool read_only) {
  std::vector<py::ssize_t> strides(tensor.rank());
  auto step = static_cast<py::ssize_t>(size_of(tensor.dtype()));
  for (std::size_t axis = tensor.rank(); axis-- > 0;) {
    strides[axis] = step;
    step *= static_cast<py::ssize_t>(tensor.dims()[axis]);
  }
  std::vector<py::ssize_t> dims(tensor.dims().begin(), tensor.dims().end());
  return py::buffer_info(const_cast<std::byte*>(tensor.data()),
                         static_cast<py::ssize_t>(size_of(tensor.dtype())), format_of(tensor.dtype()),
                         static_cast<py::ssize_t>(tensor.rank()), std::move(dims), std::move(strides),
                         read_only);
}

Dims dims_of(const Py_buffer& view) {
  return Dims(view.shape, view.shape + view.ndim);
}

}  // namespace

std::string numpy_name(DType dtype) {
  return dtype == DType::boolean ? "bool" : std::string(name_of(dtype));
}

DType dtype_of_numpy(const std::string& name) {
  return name == "bool" ? DType::boolean : dtype_from_name(name);
}

Tensor tensor_of(const py::handle& array) {
  if (py::isinstance<Tensor>(array)) return array.cast<Tensor>();
  std::shared_ptr<Py_buffer> view = view_of(array, 0);
  const DType dtype = dtype_of_format(view->format == nullptr ? "B" : view->format, view->itemsize);
  return Tensor::borrow(dtype, dims_of(*view), view->buf, view);
}

Inputs inputs_of(const py::dict& arrays) {
  Inputs inputs;
  for (const auto& [name, array] : arrays) inputs.emplace(name.cast<std::string>(), tensor_of(array));
  return inputs;
}

py::tuple shape_tuple(const Shape& shape) {
  py::tuple result(shape.rank());
  for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
    const Dim dim = shape[axis];
    if (dim.batch)
      result[axis] = py::str(to_string(dim));
    else
      result[axis] = py::int_(dim.factor);
  }
  return result;
}

void bind_arrays(py::module_& module) {
  py::class_<Tensor>(module, "Tensor", py::buffer_protocol(),
                     "An array of the library; numpy.asarray takes it without a copy.")
      .def(py::init([](const py::handle& array) { return tensor_of(array); }))
      .def_property_readonly("shape",
                             [](const Tensor& tensor) {
                               py::tuple dims(tensor.rank());
                               for (std::size_t axis = 0; axis < tensor.rank(); ++axis)
                                 dims[axis] = tensor.dims()[axis];
                               return dims;
                             })
      .def_property_readonly("dtype", [](const Tensor& tensor) { return numpy_name(tensor.dtype()); })
      .def_buffer([](const Tensor& tensor) { return buffer_of(tensor, true); });
  py::class_<Result>(module, "Result", py::buffer_protocol(),
                     "An array that a run gave; numpy.asarray takes it without a copy, to write to as well.")
      .def_buffer([](const Result& result) { return buffer_of(result.tensor(), false); });
}

}  // namespace rulegrad::python
