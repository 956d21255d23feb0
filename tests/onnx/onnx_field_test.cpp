// Models as people export them, from the shared data: what they answer and what moves the answer, by torch in
// float64.
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <map>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "shared_data.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

struct Case {
  const char* folder;
  std::vector<std::pair<const char*, const char*>> inputs;  ///< by name, and the files they are in
  const char* node;                                         ///< what is explained
  std::map<std::string, std::int64_t> extents = {};
  const char* gradient = "expected_gradient_0.npy";
  double tolerance = 5e-8;  ///< files hold float32 constants
};

const Case cases[] = {
    {"isnan_vit", {{"x", "x.npy"}}, "x"},
    {"isnan_legacy_two_inputs_free_seq",
     {{"input_ids", "input_ids.npy"}, {"attention_mask", "attention_mask.npy"}},
     "/m/distilbert/embeddings/word_embeddings/Gather_output_0",
     {{"seq", 9}}},
    {"gathernd_mask",
     {{"input_ids", "input_ids.npy"}, {"attention_mask", "attention_mask.npy"}},
     "embedding",
     {{"s53", 9}}},
    {"cumsum_gpt2", {{"input_ids", "input_ids.npy"}}, "embedding"},
    {"gatherelements_bert",
     {{"input_ids", "input_ids.npy"}},
     "/m/bert/embeddings/word_embeddings/Gather_output_0"},
    {"safe_softmax_nan",
     {{"input_ids", "input_ids.npy"}, {"attention_mask", "attention_mask.npy"}},
     "/m/model/embeddings/tok_embeddings/Gather_output_0"},
    {"neg_inf_mask_causal",
     {{"input", "input.npy"}},
     "/m/e/Gather_output_0",
     {},
     "expected_gradient_0.npy",
     1e-12},
    {"free_seq_axis", {{"input", "input.npy"}}, "input", {{"seq", 12}}, "expected_gradient_0.npy", 1e-12},
    {"einsum", {{"input", "input.npy"}}, "input", {}, "expected_gradient_0.npy", 1e-12},
    {"gridsample_stn", {{"input", "input.npy"}}, "input"},
    {"two_inputs_tabular",
     {{"cat", "cat.npy"}, {"num", "num.npy"}},
     "num",
     {},
     "expected_gradient_0.npy",
     1e-12},
};

double distance(const Tensor& actual, const Tensor& expected) {
  REQUIRE(actual.dims() == expected.dims());
  double most = 0, largest = 0;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    most = std::isfinite(actual.at(i)) ? std::max(most, std::abs(actual.at(i) - expected.at(i))) : INFINITY;
    largest = std::max(largest, std::abs(expected.at(i)));
  }
  return most / largest;
}

}  // namespace

TEST_CASE("exported transformers, masks and samplers answer as in torch, and so do their gradients") {
  const auto data = shared_data();
  if (!data || !fs::exists(*data / "field" / "isnan_vit")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  for (const Case& c : cases) {
    INFO(c.folder);
    const fs::path folder = *data / "field" / c.folder;
    LoadOptions options;
    options.dtype = DType::float64;
    options.extents = c.extents;
    const Model model = load_onnx((folder / "model.onnx").string(), options);
    Inputs inputs;
    for (const auto& [name, file] : c.inputs) {
      const Tensor x = io::read_npy((folder / file).string());
      inputs[name] = is_floating(x.dtype()) ? x.cast(DType::float64) : x;
    }
    const Tensor expected = io::read_npy((folder / "expected_output.npy").string());
    const Tensor target = io::read_npy((folder / "target.npy").string());
    Tensor seed(DType::float64, expected.dims());
    const std::int64_t size = expected.size() / expected.dims()[0];
    for (std::int64_t n = 0; n < target.size(); ++n)
      seed.mutable_values<double>()[static_cast<std::size_t>(n * size) +
                                    static_cast<std::size_t>(target.at(n))] = 1;
    const Expr y = model.outputs()[0].expr;
    const Expr x = model.graph().find(c.node).at(0);
    const Expr seeds = model.graph().input("seed", y.type());
    inputs["seed"] = seed;
    std::vector<Expr> wanted{y};
    for (const Expr g : gradient(y, std::span(&x, 1), seeds)) wanted.push_back(g);
    const std::vector<Tensor> results = evaluate(wanted, inputs);
    CHECK(distance(results[0], expected) < c.tolerance);
    CHECK(distance(results[1], io::read_npy((folder / c.gradient).string())) < c.tolerance);
  }
}
