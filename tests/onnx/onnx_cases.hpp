#pragma once

#include <filesystem>
#include <string>

#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad::testing {

/// The array in a file that holds one TensorProto; read apart from the library.
[[nodiscard]] Tensor read_tensor_proto(const std::filesystem::path& path);

/// Element by element: |actual - expected| <= absolute + relative |expected|, NaN like NaN. Empty if all are
/// near; otherwise the first that is not.
[[nodiscard]] std::string first_difference(const Tensor& actual, const Tensor& expected, double relative,
                                           double absolute);

struct CaseOutcome {
  enum class Kind { passed, refused, failed } kind;
  std::string reason;
};

/// Runs a folder of ONNX's conformance tests: model.onnx, input_<i>.pb, output_<i>.pb.
[[nodiscard]] CaseOutcome run_conformance_case(const std::filesystem::path& folder, DType dtype);

/// The operators of a model file, joined by `+`.
[[nodiscard]] std::string operators_of(const std::filesystem::path& model);

}  // namespace rulegrad::testing
