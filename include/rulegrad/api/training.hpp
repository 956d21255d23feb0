#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/run/program.hpp"

/// Small networks trained with the library's own gradients: enough for demonstrations, tests and fine-tuning.
namespace [[gnu::visibility("default")]] rulegrad {

/// The mean over the batch of -log softmax(scores)[answer]: scores [B, n], answers int64 [B], a scalar.
/// Throws Error(shape).
[[nodiscard]] Expr cross_entropy(Expr scores, Expr answers);
/// The mean over all elements of (y - answers)^2: both of one shape, a scalar. Throws Error(shape).
[[nodiscard]] Expr mean_squared_error(Expr y, Expr answers);

/// Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1), with the moments it carries from step to step.
class Adam {
 public:
  /// The paper's defaults: how slowly the moments forget, and what keeps the divisor from 0.
  explicit Adam(double beta1 = 0.9, double beta2 = 0.999, double epsilon = 1e-8)
      : beta1_(beta1), beta2_(beta2), epsilon_(epsilon) {}
  /// Changes each parameter by its gradient, which has its name and shape. Throws Error(unknown_name) or
  /// Error(shape).
  void step(Inputs& parameters, const Inputs& gradients, double rate);

 private:
  struct Moments {
    std::vector<double> first, second;
  };
  double beta1_, beta2_, epsilon_, steps_ = 0;
  std::map<std::string, Moments> moments_;
};

/// A loss and its gradients with respect to the parameters of a model, by their names.
struct LossGradients {
  double loss = 0;
  Inputs gradients;
};

/// Trains the parameters of a model: the constants that stand where operators take parameters (weights,
/// biases) and the tables that inputs of integers look up, those of a file too. The model itself is not
/// changed.
class Trainer {
 public:
  /// From the model's output and the answers, a scalar expression: cross_entropy, mean_squared_error, or
  /// one's own.
  using Loss = std::function<Expr(Expr output, Expr answers)>;

  /// `answers` is the type of what the output should have been, as in {DType::int64, {B}}; by default the
  /// loss sees what lies below a final softmax. Throws Error(invalid_argument) for a model without
  /// parameters, Error(shape) for a loss that is no scalar.
  Trainer(const Model& model, const Loss& loss, const Type& answers, HeadKind head = HeadKind::logit);

  /// The loss of a batch and its gradients at the present parameters.
  [[nodiscard]] LossGradients gradients(const Tensor& input, const Tensor& answers) const;
  [[nodiscard]] LossGradients gradients(const Inputs& inputs, const Tensor& answers) const;
  /// One step of Adam on a batch; gives the loss before it.
  double step(const Tensor& input, const Tensor& answers, double rate = 1e-3);

  /// By name; what has no name in the model is called `parameter0`, `parameter1`, ...
  [[nodiscard]] const Inputs& parameters() const { return parameters_; }
  /// Throws Error(unknown_name), Error(shape) or Error(dtype) unless it fits.
  void set_parameter(const std::string& name, Tensor value);
  /// The model with the present parameters.
  [[nodiscard]] Model trained() const;

 private:
  std::shared_ptr<Graph> graph_;  ///< parameters are inputs here
  std::shared_ptr<const void> operators_;
  std::vector<ModelInput> inputs_;
  std::vector<ModelOutput> outputs_;
  ModelSummary summary_;
  std::string answers_;
  std::vector<std::string> names_;  ///< of the parameters, in the order of the program's gradients
  Inputs parameters_;
  std::shared_ptr<const Program> program_;
  Adam adam_;
};

}  // namespace rulegrad
