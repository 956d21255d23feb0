// One model of scripts/zoo.py: its answers, and the gradients of <seed, answer> by what they depend on.
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/rulegrad.hpp"

using namespace rulegrad;

namespace {

/// Float inputs, and what looks up integer ones, with the names under which their gradients are written.
std::vector<std::pair<std::string, Expr>> explained(const Model& model, Expr y) {
  std::vector<std::pair<std::string, Expr>> found;
  for (const ModelInput& input : model.inputs())
    if (is_floating(input.expr.dtype())) found.emplace_back("grad_" + input.name, input.expr);
  int lookups = 0;
  for (const Expr e : topological_order(std::span(&y, 1)))
    if (e.is("gather") && is_floating(e.dtype()) && e.operand(0).is("constant") && e.operand(1).is("input"))
      found.emplace_back(fmt::format("grad_lookup{}", lookups++), e);
  return found;
}

void run(const std::string& path, const std::string& folder) {
  LoadOptions options;
  options.dtype = DType::float64;
  const Model model = load_onnx(path, options);
  for (const std::string& note : model.notes()) fmt::print(stderr, "note: {}\n", note);
  std::map<std::string, Tensor> given;
  for (auto& [name, values] : io::read_npz(folder + "/in.npz")) given.emplace(name, values);
  std::vector<std::string> names;
  std::vector<Expr> wanted;
  for (std::size_t i = 0; i < model.outputs().size(); ++i) {
    names.push_back(fmt::format("output_{}", i));
    wanted.push_back(model.outputs()[i].expr);
  }
  const Expr y = wanted.at(0), seed = model.graph().input("rulegrad.seed", y.type());
  std::vector<Expr> xs;
  for (const auto& [name, x] : explained(model, y)) {
    names.push_back(name);
    xs.push_back(x);
  }
  for (const Expr g : gradient(y, xs, seed)) wanted.push_back(g);
  Inputs inputs{{"rulegrad.seed", given.at("seed").cast(DType::float64)}};
  for (const ModelInput& input : model.inputs())
    inputs[input.name] = given.at(input.name).cast(input.expr.dtype());
  CompileOptions compile;
  compile.check_outputs = false;
  const std::vector<Tensor> results = Program::compile(wanted, compile).run(inputs);
  std::vector<std::pair<std::string, Tensor>> written;
  for (std::size_t i = 0; i < results.size(); ++i) written.emplace_back(names[i], results[i]);
  io::write_npz(folder + "/out.npz", written);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: model_case MODEL.onnx FOLDER with in.npz; writes FOLDER/out.npz\n");
    return 2;
  }
  try {
    run(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
