// ONNX's own conformance tests, and models with constant weights and known outputs, from the shared data.
#include <algorithm>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <map>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/onnx_cases.hpp"
#include "shared_data.hpp"
#include "support/text.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

namespace fs = std::filesystem;

/// What is not mapped, as globs over the names of the cases; everything else must pass.
const std::vector<std::string> refused_cases{
    "test_maxpool_with_argmax_*",                          // the second output
    "test_not_*",                                          // operator set 1
    "test_resize_downsample_scales_linear_align_corners",  // fractional extents, which runtimes read
                                                           // differently
};

bool may_be_refused(const std::string& name) {
  return std::any_of(refused_cases.begin(), refused_cases.end(),
                     [&](const std::string& glob) { return glob_match(glob, name); });
}

struct Count {
  int passed = 0, refused = 0, failed = 0;
};

std::vector<fs::path> cases_in(const fs::path& folder) {
  std::vector<fs::path> cases;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.is_directory()) cases.push_back(entry.path());
  std::sort(cases.begin(), cases.end());
  return cases;
}

void print(const std::map<std::string, Count>& table) {
  for (const auto& [name, count] : table)
    fmt::print("  {:<28} passed {:>3}  not mapped {:>3}  failed {:>3}\n", name.substr(0, 28), count.passed,
               count.refused, count.failed);
}

}  // namespace

TEST_CASE("ONNX's conformance tests pass for every operator that is mapped") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  for (const DType dtype : {DType::float32, DType::float64}) {
    std::map<std::string, Count> table;
    Count total;
    for (const char* group : {"node", "pytorch-converted", "pytorch-operator"})
      for (const fs::path& folder : cases_in(*data / "onnx_backend" / group)) {
        const std::string name = folder.filename().string();
        const CaseOutcome outcome = run_conformance_case(folder, dtype);
        Count& count = table[operators_of(folder / "model.onnx")];
        INFO(group, "/", name, ": ", outcome.reason);
        switch (outcome.kind) {
          case CaseOutcome::Kind::passed:
            ++count.passed, ++total.passed;
            // A case that is listed as not mapped but passes must leave the list.
            CHECK_FALSE(may_be_refused(name));
            break;
          case CaseOutcome::Kind::refused:
            ++count.refused, ++total.refused;
            CHECK(may_be_refused(name));
            break;
          case CaseOutcome::Kind::failed:
            ++count.failed, ++total.failed;
            CHECK(outcome.reason == "");
            break;
        }
      }
    if (dtype == DType::float32) print(table);
    fmt::print("conformance in {}: {} passed, {} not mapped, {} failed\n", name_of(dtype), total.passed,
               total.refused, total.failed);
    CHECK(total.failed == 0);
  }
}

TEST_CASE("architectures with constant weights give their known outputs") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  int models = 0;
  for (const auto& entry : fs::directory_iterator(*data / "onnx_light")) {
    if (entry.path().extension() != ".onnx") continue;
    ++models;
    INFO(entry.path().string());
    const Model model = load_onnx(entry.path());
    REQUIRE(model.inputs().size() == 1);
    Tensor x(DType::float32, model.inputs()[0].expr.shape().at({}));
    const auto values = x.mutable_values<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(i) / static_cast<float>(values.size());
    const Expr output = model.outputs()[0].expr;
    const Tensor y = evaluate(std::span(&output, 1), {{model.inputs()[0].name, x}})[0];
    const Tensor expected =
        read_tensor_proto(entry.path().parent_path() / (entry.path().stem().string() + "_output_0.pb"));
    CHECK(first_difference(y, expected, 1e-3, 1e-6) == "");
  }
  CHECK(models == 9);
}
