#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/registry.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"

/// Explanations as ONNX files, which any runtime computes: in a browser, on a server beside the model, on a
/// GPU.
namespace [[gnu::visibility("default")]] rulegrad {

/// What is explained, and how the file is written. What both have means the same as in ExplainerOptions.
struct ExportOptions {
  const Registry* registry = nullptr;
  /// `given`: the file has one input more, `target`, int64 [N]: the index of the explained score of each
  /// sample.
  Targets targets = Targets::largest;
  /// The method's own, one or the score itself; no `tensor`.
  Question::Seed seed = Question::Seed::own;
  std::size_t output = 0;
  HeadKind head = HeadKind::logit;
  std::vector<std::string> nodes = {};
  std::vector<std::string> keep = {};
  std::shared_ptr<const AuxiliaryArrays> aux = {};
  /// The operator set, 13 to 23; 0: the lowest that the operators need.
  std::int64_t opset = 0;
  /// Loops of at most so many samples are written out, a copy of the network each; longer ones become a
  /// `Loop`.
  std::int64_t most_samples = 16;
  /// Weights go to a file beside it, PATH.data, as SaveOptions::external_data has it.
  bool external_data = false;
  /// Large weights that are the model's are not written once more: the file refers to where they lie, as
  /// SaveOptions::share_with has it. The model must have been loaded from a file in the folder of PATH or
  /// below.
  bool share_weights = false;
  /// Names of the classes, which the file holds; none: those of the model.
  std::vector<std::string> labels = {};
};

/// How the file of an explainer is written: what ExportOptions has of the same names.
struct FileOptions {
  std::int64_t opset = 0;
  std::int64_t most_samples = 16;
  bool external_data = false;
  bool share_weights = false;
  std::vector<std::string> labels = {};
};

/// What the file takes and gives, by name.
struct ExportedFile {
  std::vector<std::string> inputs;  ///< those of the model that are needed, and `target` where it is given
  std::vector<std::string>
      outputs;  ///< `scores`, then each method, or METHOD/NODE where several nodes are explained
};

/// Writes prediction and explanations as one ONNX file that shares one forward pass: `scores` [N, n], the
/// explained output flattened, and an attribution for each method and explained node. What depends on weights
/// alone is computed, up to 16 MB each; sample loops are written out or become a `Loop`; the batch
/// stays free. The metadata of the file says which methods, with which rules, of which model. Throws Error as
/// `Explainer` does, and Error(model) that names the nodes that cannot be written and says why: decision
/// trees, explanations that add up over the batch.
ExportedFile export_explanation(const Model& model, std::span<const AnalyzerCall> methods,
                                const std::string& path, const ExportOptions& options = {});
/// The same for methods as the command takes them: `lrp.epsilon:epsilon=0.1`.
ExportedFile export_explanation(const Model& model, std::span<const std::string> methods,
                                const std::string& path, const ExportOptions& options = {});

}  // namespace rulegrad
