#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rulegrad::io {

/// A number that ONNX and the operator have under these names, and what ONNX takes where a file says nothing.
struct RowNumber {
  const char* onnx;
  const char* ours;
  double otherwise;
};

/// A function of one value that ONNX has under another name: read and written by this row alone.
struct Row {
  const char* onnx;
  const char* op;
  std::int64_t since = 6;  ///< the operator set that it came with
  std::vector<RowNumber> numbers = {};
};
[[nodiscard]] std::span<const Row> rows();

}  // namespace rulegrad::io
