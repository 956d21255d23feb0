#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/mapped_file.hpp"
#include "onnx/proto.hpp"

namespace rulegrad::io {

/// A model that cannot be read: what is wrong with it, and where.
[[noreturn]] inline void fail(const std::string& what) {
  throw Error(ErrorCode::model, what);
}

/// Tensors from this size on stay in the file.
inline constexpr std::size_t mapped_from = std::size_t{1} << 20;

/// A parsed ONNX file. The bytes of its large tensors are not in the message: such a tensor is stored
/// "externally", at an offset of the file with the empty name, which is the model itself.
struct ModelFile {
  std::filesystem::path path;
  std::shared_ptr<const MappedFile> mapping;
  onnx::ModelProto proto;

  [[nodiscard]] const onnx::GraphProto& graph() const { return proto.graph(); }
  /// Version of ONNX's own operator set.
  [[nodiscard]] std::int64_t opset() const;
};

/// Throws Error(model) that says what is wrong with the bytes and where.
[[nodiscard]] ModelFile parse_model_file(const std::filesystem::path& path);

/// `float16[N, 3, 224, 224]`
[[nodiscard]] std::string declared_type(const onnx::ValueInfoProto& value);
/// `Relu`, `com.microsoft.FusedConv`
[[nodiscard]] std::string qualified_name(const onnx::NodeProto& node);
/// The node's name, or how it can be found: `Relu giving 'x'`.
[[nodiscard]] std::string name_of_node(const onnx::NodeProto& node);

/// What the file says about itself, with the operators that have no handler.
[[nodiscard]] ModelSummary describe_model(const ModelFile& file);

}  // namespace rulegrad::io
