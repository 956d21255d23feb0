#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "rulegrad/tensor/tensor.hpp"

#include "onnx/mapped_file.hpp"
#include "onnx/model_file.hpp"

namespace rulegrad::io {

/// What an element type of ONNX becomes; Error(model), which speaks of `what`, for those that have no
/// counterpart.
[[nodiscard]] DType mapped_dtype(int onnx_type, DType real, const std::string& what);

/// Turns the tensors of a model file into arrays.
class TensorReader {
 public:
  TensorReader(const ModelFile& file, const LoadOptions& options) : file_(file), options_(options) {}

  /// Error(model) for missing, surplus or unknown data. Borrows mapped memory where it can.
  [[nodiscard]] Tensor read(const onnx::TensorProto& tensor, const std::string& name);
  /// What is to be said of an array that was read and holds NaN or infinity, unless that is allowed.
  [[nodiscard]] std::optional<std::string> problem(const Tensor& tensor) const;
  /// The files beside the model that were read so far.
  [[nodiscard]] std::vector<std::string> external_files() const;

 private:
  [[nodiscard]] Tensor looked_through(Tensor tensor, const std::string& what);
  struct Source {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;  ///< null: bytes of the parsed message, to be copied
  };
  [[nodiscard]] Source source_of(const onnx::TensorProto& tensor, const std::string& name);
  /// Where external data lie: beside the model or below its folder, never elsewhere.
  [[nodiscard]] std::filesystem::path beside_model(const std::string& location) const;
  [[nodiscard]] Source external(const onnx::TensorProto& tensor, const std::string& name);

  const ModelFile& file_;
  const LoadOptions& options_;
  std::map<std::string, std::shared_ptr<const MappedFile>> external_;
  std::map<const std::byte*, std::string> problems_;
};

}  // namespace rulegrad::io
