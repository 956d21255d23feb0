#pragma once

#include <pybind11/pybind11.h>

#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"

namespace rulegrad::python {

/// Pixels uint8 [height, width, channels]. Throws Error(shape) for others.
[[nodiscard]] io::Picture picture_of(const pybind11::handle& array);

/// How pictures become inputs, from a dict with name, scale, mean, std, layout, color and short_side.
[[nodiscard]] io::Preprocessing recipe_of(const pybind11::dict& recipe);

}  // namespace rulegrad::python
