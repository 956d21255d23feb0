#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad::io {

/// The array in the bytes of an .npy file. `where` names the file in errors. The tensor shares the bytes
/// where they are stored as rulegrad stores them.
[[nodiscard]] Tensor decode_npy(std::shared_ptr<const std::vector<std::byte>> file, std::string_view where);

/// What precedes the elements of such an array in an .npy file.
[[nodiscard]] std::string encode_npy_preamble(const Tensor& tensor);

}  // namespace rulegrad::io
