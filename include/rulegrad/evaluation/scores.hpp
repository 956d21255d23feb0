#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

class Kernels;

/// A network as evaluation sees it: the scores [n, k] of samples [n, ...], for any n.
using ScoreFunction = std::function<Tensor(const Tensor& samples)>;

/// What is called the score of a class.
enum class ScoreKind : std::uint8_t {
  probability,  ///< behind the model's final softmax or sigmoid; of a model without one, the softmax of its
                ///< scores
  logit,        ///< below it
};
/// Throws Error(unknown_name).
[[nodiscard]] ScoreKind score_kind_from_name(std::string_view name);
/// Does a softmax or sigmoid end the output? What else it holds (logits, the numbers of a regression) is
/// called a probability only where somebody asks for its softmax.
[[nodiscard]] bool has_probability(const Model& model, std::size_t output = 0);

/// How the scores are computed.
struct ScoreOptions {
  std::int64_t batch_size = 16;  ///< samples computed at once; a model of fixed batch size decides itself
  int threads = 0;
  bool check_finite = true;
  const Kernels* kernels = nullptr;
  std::stop_token stop = {};
  std::size_t output = 0;  ///< of the model's outputs
  /// Of a model with several inputs the one that the function is of, and the values of the others: of as many
  /// samples as the function is asked about, or what is the same for all of them.
  std::string input = {};
  Inputs others = {};
};

/// The flattened scores of one of the model's outputs as a function of its only input, or of one of them. It
/// keeps what it needs of the model. Throws Error(model) for several inputs of which none is named and where
/// operations mix samples, Error(invalid_argument) for a probability that the model does not have; the
/// function Error(shape) for another number of samples than the other inputs hold.
[[nodiscard]] ScoreFunction scores_of(const Model& model, ScoreKind kind, const ScoreOptions& options = {});

/// The score of one class for each sample: scores [n, k], targets n indices below k. Throws Error(shape) or
/// Error(invalid_argument).
[[nodiscard]] std::vector<double> target_scores(const Tensor& scores, std::span<const std::int64_t> targets);
/// The index of each sample's largest score; the first of equal ones.
[[nodiscard]] std::vector<std::int64_t> largest_scores(const Tensor& scores);

}  // namespace rulegrad
