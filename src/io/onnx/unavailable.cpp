#include "rulegrad/error.hpp"
#include "rulegrad/model.hpp"

// What stands in for ONNX files where their message format was not found when rulegrad was built.
namespace rulegrad {
namespace {

[[noreturn]] void unavailable() {
  throw Error(ErrorCode::model,
              "this rulegrad was built without ONNX: install the packages libonnx-dev and libprotobuf-dev "
              "and build it again");
}

}  // namespace

Model load_onnx(const std::filesystem::path&, const LoadOptions&) {
  unavailable();
}
ModelSummary inspect_onnx(const std::filesystem::path&) {
  unavailable();
}
void save_onnx(const std::filesystem::path&, std::span<const Expr>, const SaveOptions&) {
  unavailable();
}

}  // namespace rulegrad
