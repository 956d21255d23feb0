#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/shape.hpp"

namespace rulegrad::io {

/// The dictionary at the start of an .npy file: `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3),
/// }`.
struct NpyHeader {
  std::string descr;
  bool fortran_order = false;
  Dims shape;
};

/// NumPy's name for elements as they lie in memory: `<f4`, `|u1`.
[[nodiscard]] std::string descr_of(DType dtype);

/// Parses the dictionary; `problem` receives what is wrong and where when the result is empty.
[[nodiscard]] std::optional<NpyHeader> parse_npy_header(std::string_view text, std::string& problem);

/// Magic string, version 1.0, length and dictionary, padded with spaces so that the data begin at a multiple
/// of 64.
[[nodiscard]] std::string npy_preamble(const NpyHeader& header);

}  // namespace rulegrad::io
