#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#define ONNX_NAMESPACE onnx
#define ONNX_ML 1
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <onnx/onnx_pb.h>
#pragma GCC diagnostic pop

#include "rulegrad/tensor.hpp"

namespace rulegrad::onnx_io {

/// A model file: the parsed message without its large tensors, and the mapped bytes that those stay in.
struct File {
  std::string path;
  onnx::ModelProto proto;
  std::shared_ptr<const std::byte> bytes;  ///< the mapping
  std::size_t size = 0;
  /// Where the raw bytes of a large initializer stand, by its index in the graph.
  struct Extent {
    std::size_t offset, length;
  };
  std::unordered_map<int, Extent> large;
};

/// Maps and parses; Error(io) if it cannot be opened, Error(model) if it is no ONNX model or cut off.
[[nodiscard]] File open(const std::string& path);

/// An initializer or constant as an array; floating tensors come as `real`. Large ones share the mapping where dtype
/// and alignment allow it. Error(model) names tensor and what is wrong.
[[nodiscard]] Tensor read_tensor(const File& file, const onnx::TensorProto& tensor, DType real, int initializer = -1);

[[nodiscard]] std::int64_t opset_of(const File& file);
/// The dtype that values of an ONNX element type take here; throws for strings, complex and the like.
[[nodiscard]] DType dtype_of_onnx(int element_type, DType real);

}  // namespace rulegrad::onnx_io
