// Small models that scripts/zoo.py exported and keeps in tests/zoo, with torch's answers and gradients in
// float64.
#include <cmath>
#include <doctest/doctest.h>
#include <filesystem>
#include <map>
#include <set>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "places.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

double distance(const Tensor& actual, const Tensor& expected) {
  REQUIRE(actual.dims() == expected.dims());
  double most = 0, largest = 1e-12;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    most = std::isfinite(actual.at(i)) ? std::max(most, std::abs(actual.at(i) - expected.at(i))) : INFINITY;
    largest = std::max(largest, std::abs(expected.at(i)));
  }
  return most / largest;
}

std::map<std::string, Tensor> arrays(const fs::path& path) {
  std::map<std::string, Tensor> result;
  for (auto& [name, values] : io::read_npz(path.string())) result.emplace(name, values);
  return result;
}

}  // namespace

TEST_CASE("models of both exporters answer as torch does, and so do their gradients") {
  std::set<fs::path> folders;
  for (const auto& entry : fs::directory_iterator(source_root() / "tests" / "zoo"))
    if (fs::exists(entry.path() / "model.onnx")) folders.insert(entry.path());
  CHECK(folders.size() >= 10);
  for (const fs::path& folder : folders) {
    INFO(folder.filename().string());
    LoadOptions options;
    options.dtype = DType::float64;
    const Model model = load_onnx((folder / "model.onnx").string(), options);
    const auto given = arrays(folder / "in.npz"), expected = arrays(folder / "expected.npz");
    const Expr y = model.outputs()[0].expr, seed = model.graph().input("seed", y.type());
    Inputs inputs{{"seed", given.at("seed")}};
    std::vector<Expr> xs;
    std::vector<std::string> names;
    for (const ModelInput& input : model.inputs()) {
      inputs[input.name] = given.at(input.name).cast(input.expr.dtype());
      if (!is_floating(input.expr.dtype())) continue;
      xs.push_back(input.expr);
      names.push_back("grad_" + input.name);
    }
    for (const Expr e : topological_order(std::span(&y, 1)))
      if (xs.empty() && e.is("gather") && e.operand(0).is("constant") && e.operand(1).is("input") &&
          is_floating(e.dtype())) {
        xs.push_back(e);
        names.emplace_back("grad_" + e.operand(1).attributes<InputAttributes>().name + ".0");
      }
    std::vector<Expr> wanted{y};
    for (const Expr g : gradient(y, xs, seed)) wanted.push_back(g);
    const std::vector<Tensor> results = evaluate(wanted, inputs);
    // What was exported as float32 is right to the rounding of its weights.
    const bool exact = folder.filename().string().ends_with("_float64");
    CHECK(distance(results[0], expected.at("output")) < (exact ? 1e-9 : 1e-5));
    for (std::size_t i = 0; i < names.size(); ++i)
      CHECK(distance(results[i + 1], expected.at(names[i])) < (exact ? 1e-7 : 1e-5));
  }
}
