#pragma once

#include <pybind11/pybind11.h>

#include "rulegrad/files/picture.hpp"

namespace rulegrad::python {

/// Pixels uint8 [height, width, channels]. Throws Error(shape) for others.
[[nodiscard]] io::Picture picture_of(const pybind11::handle& array);

}  // namespace rulegrad::python
