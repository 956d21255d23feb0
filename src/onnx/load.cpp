#include <algorithm>
#include <fmt/format.h>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/importer.hpp"
#include "onnx/needed.hpp"
#include "onnx/node_context.hpp"
#include "onnx/raise.hpp"
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

void collect_operators(const onnx::NodeProto& node, std::set<std::string>& names) {
  names.insert(qualified_name(node));
  for (const auto& attribute : node.attribute())
    if (attribute.has_g())
      for (const auto& inside : attribute.g().node()) collect_operators(inside, names);
}

/// Everything that the first output needs must be there; later outputs are left out where something is
/// missing.
void require_mapped(const ModelFile& file, ModelSummary summary) {
  std::set<std::string> needed;
  std::vector<std::string> outputs = output_names(file.graph());
  outputs.resize(std::min<std::size_t>(outputs.size(), 1));
  for (const auto* const node : nodes_below(file.graph(), outputs, {})) collect_operators(*node, needed);
  std::erase_if(summary.unmapped, [&](const auto& entry) { return !needed.contains(entry.first); });
  if (!summary.unmapped.empty()) throw Error(ErrorCode::model, unmapped_message(summary));
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

/// A batch that the file fixed is free only where each sample is computed by itself.
void require_separate(const Model::Parts& parts) {
  std::vector<Expr> outputs;
  for (const ModelOutput& output : parts.outputs) {
    outputs.push_back(output.expr);
    if (!output.expr.shape().has_batch())
      throw Error(ErrorCode::model, fmt::format("output '{}' does not speak of samples", output.name));
  }
  if (const auto mixing = first_mixing(outputs))
    throw Error(ErrorCode::model, fmt::format("{} mixes the samples of a batch", describe(*mixing)));
}

/// The first axes of the inputs that the file and the options leave free, as LoadOptions::extents calls them.
std::vector<std::string> free_batches(const onnx::GraphProto& graph, const Weights& weights,
                                      const LoadOptions& options) {
  std::vector<std::string> places;
  for (const auto& input : graph.input()) {
    const auto& shape = input.type().tensor_type().shape();
    if (weights.contains(input.name()) || shape.dim_size() == 0 || !is_free(shape.dim(0))) continue;
    const std::string& named = shape.dim(0).dim_param();
    const std::string place = named.empty() ? input.name() + ".0" : named;
    if (!options.extents.contains(place) && !options.extents.contains(input.name() + ".0"))
      places.push_back(place);
  }
  return places;
}

std::int64_t elements(Expr e) {
  std::int64_t product = 1;
  for (const Dim& dim : e.shape().dims()) product *= dim.factor;
  return product;
}

/// The batch that a file leaves free cannot be free here, and was read as 1. Is that one sample? A constant
/// that holds several would be met by each of them, without a word: with two samples everything must be there
/// twice, or, where it is made for 1 alone, once. Later outputs that fail are left out.
void require_one_sample(Model::Parts& one, const std::optional<Model::Parts>& two, const std::string& name,
                        const std::string& reason) {
  std::vector<ModelOutput> kept;
  for (std::size_t i = 0; i < one.outputs.size(); ++i) {
    const Expr y = one.outputs[i].expr;
    const std::vector<Expr> order = topological_order(std::span(&y, 1));
    const bool given = std::none_of(order.begin(), order.end(), [](Expr e) { return is_input(e); });
    const bool apart =
        given || (two ? i < two->outputs.size() && elements(two->outputs[i].expr) == 2 * elements(y)
                      : y.shape().rank() > 0 && y.shape()[0].factor == 1);
    if (apart) {
      kept.push_back(one.outputs[i]);
      continue;
    }
    const std::string why = fmt::format(
        "the file leaves the number of samples free, but it is not: {}; and for one sample '{}' is {}. Say "
        "how "
        "many samples it is made for: --dim {}=EXTENT, LoadOptions::extents[\"{}\"]",
        reason, one.outputs[i].name, to_string(y.type()), name, name);
    if (i == 0) throw Error(ErrorCode::model, why);
    one.notes.push_back(fmt::format("output '{}' is left out: {}", one.outputs[i].name, why));
  }
  one.outputs = std::move(kept);
}

Model::Parts build(const ModelFile& file, const LoadOptions& options, TensorReader& reader) {
  const Weights weights = read_weights(file, reader);
  const auto attempt = [&](bool symbolic) {
    Importer importer(file, options, reader, weights, symbolic);
    importer.run();
    const bool promoted = importer.promoted(), batch = importer.has_batch();
    Model::Parts parts = importer.take();
    if (promoted && batch)
      parts.notes.push_back(
          fmt::format("exported for batch size {}; the first axis of its inputs is read as the batch",
                      importer.samples_in_file()));
    if (promoted && importer.samples_in_file() > 1) require_separate(parts);
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
  const std::vector<std::string> free = free_batches(file.graph(), weights, options);
  if (free.empty()) {
    Model::Parts parts = attempt(false);
    parts.notes.push_back(fmt::format("the batch size stays as in the file; with a free one: {}", reason));
    return parts;
  }
  const auto fixed_at = [&](std::int64_t samples) {
    LoadOptions fixed = options;
    for (const std::string& place : free) fixed.extents.emplace(place, samples);
    Importer importer(file, fixed, reader, weights, false);
    importer.run();
    return importer.take();
  };
  Model::Parts parts;
  try {
    parts = attempt(false);
  } catch (const Error& error) {
    if (error.what() == reason) throw;
    throw Error(error.code(), fmt::format("{}; if it is made for so many samples, say so: --dim {}=EXTENT, "
                                          "LoadOptions::extents[\"{}\"]",
                                          error.what(), free.front(), free.front()));
  }
  std::optional<Model::Parts> two;
  try {
    two = fixed_at(2);
  } catch (const Error&) {  // made for one number of samples
  }
  require_one_sample(parts, two, free.front(), reason);
  parts.notes.push_back(fmt::format("samples are read one at a time; with a free batch: {}", reason));
  return parts;
}

Model load(const std::string& path, const LoadOptions& options) {
  const ModelFile file = parse_model_file(path);
  try {
    check_opset(file);
    ModelSummary summary = describe_model(file);
    for (const auto& node : file.graph().node())
      if (custom_operator(options, node) != nullptr) summary.unmapped.erase(qualified_name(node));
    require_mapped(file, summary);
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
    throw Error(ErrorCode::model,
                fmt::format("cannot load '{}': what it describes is larger than any array can be", path));
  }
}

ModelSummary inspect_onnx(const std::string& path) {
  return describe_model(parse_model_file(path));
}

}  // namespace rulegrad
