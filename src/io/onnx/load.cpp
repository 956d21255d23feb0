#include <algorithm>
#include <fmt/format.h>
#include <new>
#include <optional>
#include <stdexcept>

#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/operators.hpp"

#include "io/onnx/importer.hpp"
#include "io/onnx/node_context.hpp"
#include "io/raise.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

using namespace rulegrad::io;

constexpr std::int64_t oldest_opset = 6, newest_opset = 28;

void check_opset(const ModelFile& file) {
  const std::int64_t opset = file.opset();
  if (opset < oldest_opset || opset > newest_opset)
    throw Error(ErrorCode::model, fmt::format("it uses operator set {}, and {} to {} are supported; export "
                                              "it with opset_version=17, or convert it with "
                                              "onnx.version_converter",
                                              opset, oldest_opset, newest_opset));
}

std::string unmapped_message(const ModelSummary& summary) {
  std::vector<std::string> lines;
  for (const auto& [name, nodes] : summary.unmapped) {
    std::vector<std::string> shown(
        nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(nodes.size(), 3)));
    if (nodes.size() > 3) shown.push_back(fmt::format("{} more", nodes.size() - 3));
    const auto nearest = summary.nearest.find(name);
    lines.push_back(
        fmt::format("{}x {} ({}{})", nodes.size(), name, join(shown),
                    nearest == summary.nearest.end() ? "" : "; nearest supported: " + nearest->second));
  }
  return fmt::format("it uses operators that are not supported: {}", join(lines, ", "));
}

Weights read_weights(const ModelFile& file, TensorReader& reader) {
  Weights weights;
  for (const auto& tensor : file.graph().initializer()) {
    if (tensor.name().empty()) throw Error(ErrorCode::model, "a weight has no name");
    if (!weights.emplace(tensor.name(), reader.read(tensor, tensor.name())).second)
      throw Error(ErrorCode::model, fmt::format("there are two weights of the name '{}'", tensor.name()));
  }
  if (file.graph().sparse_initializer_size() > 0)
    throw Error(ErrorCode::model, "it holds sparse weights, which are not supported");
  return weights;
}

Model::Parts build(const ModelFile& file, const LoadOptions& options, TensorReader& reader) {
  const Weights weights = read_weights(file, reader);
  const auto attempt = [&](bool symbolic) {
    Importer importer(file, options, reader, weights, symbolic);
    importer.run();
    const bool promoted = importer.promoted(), batch = importer.has_batch();
    Model::Parts parts = importer.take();
    if (promoted && batch)
      parts.notes.push_back("exported for batch size 1; the first axis of its inputs is read as the batch");
    if (!options.allow_non_finite) importer.require_finite(parts);
    std::vector<Expr> outputs;
    for (const ModelOutput& output : parts.outputs) outputs.push_back(output.expr);
    outputs = raise(outputs).outputs;
    for (std::size_t i = 0; i < outputs.size(); ++i) parts.outputs[i].expr = outputs[i];
    return parts;
  };
  if (options.batch != BatchPolicy::automatic) return attempt(options.batch == BatchPolicy::symbolic);
  std::string reason;
  try {
    return attempt(true);
  } catch (const NoBatch&) {
    throw;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::non_finite) throw;
    reason = error.what();
  }
  Model::Parts parts = attempt(false);
  parts.notes.push_back(fmt::format("the batch size stays as in the file; with a free one: {}", reason));
  return parts;
}

Model load(const std::string& path, const LoadOptions& options) {
  const ModelFile file = parse_model_file(path);
  try {
    check_opset(file);
    ModelSummary summary = describe_model(file);
    for (const auto& node : file.graph().node())
      if (custom_operator(options, node) != nullptr) summary.unmapped.erase(qualified_name(node));
    if (!summary.unmapped.empty()) throw Error(ErrorCode::model, unmapped_message(summary));
    TensorReader reader(file, options);
    Model::Parts parts = build(file, options, reader);
    parts.summary = std::move(summary);
    if (options.operators != nullptr) parts.operators = std::make_shared<const Operators>(*options.operators);
    parts.files = reader.external_files();
    parts.files.insert(parts.files.begin(), path);
    return Model(std::move(parts));
  } catch (const Error& error) {
    throw Error(error.code(), fmt::format("cannot load '{}': {}", path, error.what()));
  }
}

}  // namespace

Model load_onnx(const std::string& path, const LoadOptions& options) {
  if (!is_floating(options.dtype))
    throw Error(ErrorCode::dtype,
                fmt::format("LoadOptions::dtype is {}: networks compute in float32 or float64",
                            name_of(options.dtype)));
  try {
    return load(path, options);
  } catch (const std::bad_alloc&) {
    throw Error(ErrorCode::model,
                fmt::format("cannot load '{}': what it describes does not fit into memory", path));
  } catch (const std::length_error&) {
    throw Error(
        ErrorCode::model,
        fmt::format("cannot load '{}': what it describes is larger than any array can be", path));
  }
}

ModelSummary inspect_onnx(const std::string& path) {
  return describe_model(parse_model_file(path));
}

}  // namespace rulegrad
