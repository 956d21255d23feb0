// One model of scripts/zoo.py: its answers, and the gradients of <seed, answer> by what they depend on.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <vector>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/rulegrad.hpp"

using namespace rulegrad;

namespace {

/// Float inputs, and what looks up integer ones, with the names under which their gradients are written.
std::vector<std::pair<std::string, Expr>> explained(const Model& model, Expr y) {
  std::vector<std::pair<std::string, Expr>> found;
  for (const ModelInput& input : model.inputs())
    if (is_floating(input.expr.dtype())) found.emplace_back("grad_" + input.name, input.expr);
  std::map<std::string, int> lookups;
  for (const Expr e : topological_order(std::span(&y, 1)))
    if (e.is("gather") && is_floating(e.dtype()) && e.operand(0).is("constant") && e.operand(1).is("input")) {
      const std::string& ids = e.operand(1).attributes<InputAttributes>().name;
      found.emplace_back(fmt::format("grad_{}.{}", ids, lookups[ids]++), e);
    }
  return found;
}

/// Axes that the file leaves free are as long as in the arrays, the batch too where it stands elsewhere as well.
Model loaded(const std::string& path, const std::map<std::string, Tensor>& given) {
  LoadOptions options;
  options.dtype = DType::float64;
  const auto extents_from = [&](std::size_t first) {
    for (const auto& [name, values] : given)
      for (std::size_t axis = first; axis < values.dims().size(); ++axis)
        options.extents.emplace(fmt::format("{}.{}", name, axis), values.dims()[axis]);
  };
  try {
    return load_onnx(path, options);
  } catch (const Error& error) {
    if (std::string_view(error.what()).find("is free") == std::string_view::npos) throw;
  }
  extents_from(1);
  try {
    return load_onnx(path, options);
  } catch (const Error&) {
    extents_from(0);
  }
  return load_onnx(path, options);
}

/// How many samples the arrays hold where the model takes one; else 1.
std::int64_t samples_beyond(const Model& model, const std::map<std::string, Tensor>& given) {
  std::int64_t most = 1;
  for (const ModelInput& input : model.inputs()) {
    const Dims& dims = given.at(input.name).dims();
    if (dims.empty() || input.expr.shape().rank() == 0 || !input.expr.shape()[0].is(1)) return 1;
    most = std::max(most, dims[0]);
  }
  return most;
}

Tensor sample(const Tensor& all, std::int64_t at) {
  Dims dims = all.dims();
  const std::int64_t size = all.size() / dims[0];
  dims[0] = 1;
  Tensor one = Tensor::uninitialized(all.dtype(), dims);
  const auto bytes = static_cast<std::size_t>(size) * size_of(all.dtype());
  std::memcpy(one.mutable_data(), all.data() + static_cast<std::size_t>(at) * bytes, bytes);
  return one;
}

/// What the runs give for an output, along the first axis.
Tensor joined(const std::vector<std::vector<Tensor>>& parts, std::size_t output) {
  const Tensor& first = parts[0][output];
  if (parts.size() == 1) return first;
  Dims dims = first.dims();
  dims[0] *= static_cast<std::int64_t>(parts.size());
  Tensor all = Tensor::uninitialized(first.dtype(), dims);
  for (std::size_t i = 0; i < parts.size(); ++i)
    std::memcpy(all.mutable_data() + i * first.bytes(), parts[i][output].data(), first.bytes());
  return all;
}

/// Of the output of that name, or of the first; `derived`: with its gradients.
void run(const std::string& path, const std::string& folder, const std::string& output, bool derived) {
  std::map<std::string, Tensor> given;
  for (auto& [name, values] : io::read_npz(folder + "/in.npz")) given.emplace(name, values);
  const Model model = loaded(path, given);
  for (const std::string& note : model.notes()) fmt::print(stderr, "note: {}\n", note);
  std::vector<std::string> names;
  std::vector<Expr> wanted;
  for (const ModelOutput& one : model.outputs())
    if (output.empty() ? wanted.empty() : one.name == output) {
      names.emplace_back("output");
      wanted.push_back(one.expr);
    }
  if (wanted.empty()) throw Error(ErrorCode::invalid_argument, "no output '" + output + "' was loaded");
  const Expr y = wanted.at(0), seed = model.graph().input("rulegrad.seed", y.type());
  std::vector<Expr> xs;
  for (const auto& [name, x] : derived ? explained(model, y) : std::vector<std::pair<std::string, Expr>>()) {
    names.push_back(name);
    xs.push_back(x);
  }
  for (const Expr g : gradient(y, xs, seed)) wanted.push_back(g);
  CompileOptions compile;
  compile.check_outputs = false;
  const Program program = Program::compile(wanted, compile);
  // Where the batch could not be freed, samples come one by one.
  const std::int64_t steps = samples_beyond(model, given);
  std::vector<std::vector<Tensor>> parts;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto part = [&](const Tensor& all) { return steps > 1 ? sample(all, step) : all; };
    Inputs inputs;
    if (!xs.empty()) inputs.emplace("rulegrad.seed", part(given.at("seed").cast(DType::float64)));
    for (const ModelInput& input : model.inputs())
      inputs[input.name] = part(given.at(input.name).cast(input.expr.dtype()));
    parts.push_back(program.run(inputs));
  }
  if (steps > 1) fmt::print(stderr, "note: one sample at a time\n");
  std::vector<std::pair<std::string, Tensor>> written;
  for (std::size_t i = 0; i < wanted.size(); ++i) written.emplace_back(names[i], joined(parts, i));
  io::write_npz(folder + "/out.npz", written);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> given(argv + 1, argv + argc);
  const bool derived = std::find(given.begin(), given.end(), "--forward") == given.end();
  if (given.size() < 2 || given.size() > (derived ? 3 : 4)) {
    fmt::print(stderr,
               "usage: model_case MODEL.onnx FOLDER [OUTPUT] [--forward]: reads FOLDER/in.npz, writes "
               "FOLDER/out.npz\n");
    return 2;
  }
  try {
    run(given[0], given[1], given.size() > 2 && given[2] != "--forward" ? given[2] : "", derived);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
