#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/api/explainer.hpp"

/// Does an explanation depend on what the network has learned? The model-randomisation check (Adebayo et al.
/// 2018, "Sanity checks for saliency maps", arXiv 1810.03292, section 3): layers forget what they learned,
/// and the attributions should change with them.
namespace [[gnu::visibility("default")]] rulegrad {

/// Which layers forget together.
enum class Randomisation : std::uint8_t {
  cascading,    ///< the last layer, then the one below it too, and so on down to the input
  independent,  ///< one layer at a time, the others as they were learned
};
/// Throws Error(unknown_name).
[[nodiscard]] Randomisation randomisation_from_name(std::string_view name);

/// The layers that have learned: affine operations with constant weights, by name, from the output to the
/// input. Equal names are told apart by `'`.
[[nodiscard]] std::vector<std::string> learned_layers(const Model& model);

/// The model with these layers as they might have been before training: normal weights of variance 2 / fan-in
/// (He et al. 2015, arXiv 1502.01852, eq. 10) and no bias. Normalisations keep their parameters. A layer's
/// numbers depend on the key and on its place in the model, not on which others are named. Throws
/// Error(unknown_name).
[[nodiscard]] Model randomised(const Model& model, std::span<const std::string> layers, std::int64_t key = 0);

/// How the check is made.
struct RandomisationOptions {
  Randomisation kind = Randomisation::cascading;
  std::int64_t key = 0;
  /// Everything but `targets`, which are given, and `nodes`: the input is explained.
  ExplainerOptions explainer = {};
  std::int64_t batch_size = 0;
  int threads = 0;
  /// Called after each layer.
  std::function<void(std::int64_t done, std::int64_t layers)> progress = {};
};

/// The mean over the samples of the rank correlation between the attributions of the model and of the
/// randomised one.
struct RandomisationCheck {
  std::vector<std::string> methods;
  std::vector<std::string> layers;  ///< from the output to the input; when cascading: down to this one
  std::vector<std::vector<double>>
      correlation;  ///< of methods, at layers: of the attributions with their signs
  std::vector<std::vector<double>> of_magnitudes;  ///< of their magnitudes
};
/// `samples` [N, ...] are explained for their targets, N indices. Throws Error(invalid_argument) for a model
/// without learned layers, and as Explainer does.
[[nodiscard]] RandomisationCheck randomisation_check(const Model& model,
                                                     std::span<const AnalyzerCall> methods,
                                                     const Tensor& samples,
                                                     std::span<const std::int64_t> targets,
                                                     const RandomisationOptions& options = {});

}  // namespace rulegrad
