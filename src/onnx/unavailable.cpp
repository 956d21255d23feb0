#include <fmt/format.h>

#include "rulegrad/onnx/model.hpp"

#include "support/missing_feature.hpp"

// What stands in for ONNX files where their message format was not found when rulegrad was built.
namespace rulegrad {

Model load_onnx(const std::string& path, const LoadOptions&) {
  fail_missing_feature(fmt::format("load_onnx '{}'", path), "onnx");
}
ModelSummary inspect_onnx(const std::string& path) {
  fail_missing_feature(fmt::format("inspect_onnx '{}'", path), "onnx");
}
void save_onnx(const std::string& path, std::span<const Expr>, const SaveOptions&) {
  fail_missing_feature(fmt::format("save_onnx '{}'", path), "onnx");
}

}  // namespace rulegrad
