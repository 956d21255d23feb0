#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

#include "files/npy_header.hpp"

namespace rulegrad::io {

/// The array in the bytes of an .npy file. `where` names the file in errors. The tensor shares the bytes
/// where they are stored as rulegrad stores them.
[[nodiscard]] Tensor decode_npy(std::shared_ptr<const std::vector<std::byte>> file, std::string_view where);

/// What stands in front of the elements, and where they begin.
struct NpyStart {
  NpyHeader header;
  std::size_t data_begins = 0;
};
/// Of a file that begins with `text`. Throws Error(io) that names `where`.
[[nodiscard]] NpyStart npy_start(std::string_view text, std::string_view where);

/// What precedes the elements of such an array in an .npy file.
[[nodiscard]] std::string encode_npy_preamble(const Tensor& tensor);

}  // namespace rulegrad::io
