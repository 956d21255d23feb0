#include "rulegrad/api/training.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/rebuild.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad {

Expr cross_entropy(Expr scores, Expr answers) {
  if (scores.shape().rank() != 2)
    throw Error(ErrorCode::shape,
                fmt::format("[cross_entropy] scores must be [B, n] but are {}", to_string(scores.type())));
  return -mean(sum(one_hot(answers, scores.shape()[1].factor, scores.dtype()) * log_softmax(scores, 1), {1}),
               {0});
}

Expr mean_squared_error(Expr y, Expr answers) {
  if (y.shape() != answers.shape())
    throw Error(ErrorCode::shape, fmt::format("[mean_squared_error] y is {} but the answers are {}",
                                              to_string(y.type()), to_string(answers.type())));
  return mean((y - answers) * (y - answers));
}

namespace {

const Tensor& named(const Inputs& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found != tensors.end()) return found->second;
  std::vector<std::string> known;
  for (const auto& [other, tensor] : tensors) known.push_back(other);
  throw Error(ErrorCode::unknown_name, "[training] " + unknown_name_message("parameter", name, known));
}

}  // namespace

void Adam::step(Inputs& parameters, const Inputs& gradients, double rate) {
  ++steps_;
  const double unbias1 = 1 - std::pow(beta1_, steps_), unbias2 = 1 - std::pow(beta2_, steps_);
  for (const auto& [name, gradient] : gradients) {
    if (named(parameters, name).dims() != gradient.dims() ||
        named(parameters, name).dtype() != gradient.dtype())
      throw Error(ErrorCode::shape,
                  fmt::format("[training] parameter '{}' is {}{} but its gradient is {}{}", name,
                              name_of(parameters.at(name).dtype()), to_string(parameters.at(name).dims()),
                              name_of(gradient.dtype()), to_string(gradient.dims())));
    auto& [first, second] = moments_[name];
    first.resize(static_cast<std::size_t>(gradient.size()));
    second.resize(first.size());
    const auto update = [&, &name = name, &gradient = gradient, &first = first,
                         &second = second]<class T>(T) {
      const auto values = parameters.at(name).mutable_values<T>();
      const auto g = gradient.values<T>();
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double slope = static_cast<double>(g[i]);
        first[i] = beta1_ * first[i] + (1 - beta1_) * slope;
        second[i] = beta2_ * second[i] + (1 - beta2_) * slope * slope;
        values[i] -=
            static_cast<T>(rate * (first[i] / unbias1) / (std::sqrt(second[i] / unbias2) + epsilon_));
      }
    };
    if (gradient.dtype() == DType::float64)
      update(double{});
    else
      update(float{});
  }
}

namespace {

/// Floating constants that some operator takes as a parameter, and tables that inputs of integers look up;
/// scalars that stand for "none" are left out.
std::vector<Expr> parameters_of(const Model& model, std::span<const Expr> outputs) {
  std::vector<Expr> result;
  const auto add = [&](Expr constant) {
    if (is_constant(constant) && constant.shape().rank() != 0 && is_floating(constant.dtype()) &&
        std::find(result.begin(), result.end(), constant) == result.end())
      result.push_back(constant);
  };
  for (const ModelInput& input : model.inputs())
    for (std::size_t i = 0; i < model.outputs().size(); ++i)
      for (const Expr lookup : lookups_of(model, input.name, i)) add(lookup.operand(0));
  for (const Expr node : topological_order(outputs))
    for (std::size_t i = 0; i < node.operands().size(); ++i)
      if (node.op().operand(i).role == Role::parameter) add(node.operand(i));
  return result;
}

}  // namespace

Trainer::Trainer(const Model& model, const Loss& loss, const Type& answers, HeadKind head)
    : graph_(std::make_shared<Graph>(model.graph().real())),
      operators_(model.operators()),
      summary_(model.summary()) {
  const Expr seen = model.head(head);
  std::vector<Expr> roots{seen};
  for (const ModelOutput& output : model.outputs()) roots.push_back(output.expr);
  std::unordered_map<Expr, Expr> images;
  std::vector<Expr> variables;
  for (const Expr constant : parameters_of(model, roots)) {
    const std::vector<std::string> known = model.graph().names(constant);
    names_.push_back(known.empty() ? fmt::format("parameter{}", names_.size()) : known.front());
    parameters_[names_.back()] = constant.attributes<ConstantAttributes>().value;
    variables.push_back(images[constant] = graph_->input(names_.back(), constant.type()));
  }
  if (names_.empty())
    throw Error(ErrorCode::invalid_argument, "[trainer] the model has no parameters that could be trained");
  const std::vector<Expr> rebuilt = rebuild(*graph_, roots, images);
  for (const ModelInput& input : model.inputs())
    if (const auto image = images.find(input.expr); image != images.end())
      inputs_.push_back({input.name, image->second, input.declared});
  for (std::size_t i = 0; i < model.outputs().size(); ++i)
    outputs_.push_back({model.outputs()[i].name, rebuilt[i + 1]});
  answers_ = "answers";
  while (!graph_->find(answers_).empty()) answers_ += "'";
  const Expr value = loss(rebuilt[0], graph_->input(answers_, answers));
  if (value.shape().rank() != 0)
    throw Error(ErrorCode::shape, fmt::format("[trainer] the loss must be a scalar but is {}; take its mean",
                                              to_string(value.type())));
  std::vector<Expr> outputs{value};
  for (const Expr g : gradient(value, variables, graph_->scalar(1, value.dtype()))) outputs.push_back(g);
  program_ = std::make_shared<const Program>(Program::compile(outputs));
}

LossGradients Trainer::gradients(const Inputs& inputs, const Tensor& answers) const {
  Inputs all = parameters_;
  for (const auto& [name, tensor] : inputs) {
    if (parameters_.contains(name))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[trainer] '{}' is a parameter; set_parameter changes it", name));
    all[name] = tensor;
  }
  all[answers_] = answers;
  const std::vector<Tensor> results = program_->run(all);
  LossGradients found{results[0].at(0), {}};
  for (std::size_t i = 0; i < names_.size(); ++i) found.gradients[names_[i]] = results[i + 1];
  return found;
}

LossGradients Trainer::gradients(const Tensor& input, const Tensor& answers) const {
  if (inputs_.size() != 1)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("[trainer] the model has {} inputs and one value was given; give each by its name",
                    inputs_.size()));
  return gradients(Inputs{{inputs_[0].name, input}}, answers);
}

double Trainer::step(const Tensor& input, const Tensor& answers, double rate) {
  const LossGradients found = gradients(input, answers);
  adam_.step(parameters_, found.gradients, rate);
  return found.loss;
}

void Trainer::set_parameter(const std::string& name, Tensor value) {
  const Tensor& now = named(parameters_, name);
  if (now.dims() != value.dims() || now.dtype() != value.dtype())
    throw Error(
        now.dtype() == value.dtype() ? ErrorCode::shape : ErrorCode::dtype,
        fmt::format("[trainer] parameter '{}' is {}{} and cannot become {}{}", name, name_of(now.dtype()),
                    to_string(now.dims()), name_of(value.dtype()), to_string(value.dims())));
  parameters_[name] = std::move(value);
}

Model Trainer::trained() const {
  Model::Parts parts;
  parts.graph = std::make_unique<Graph>(graph_->real());
  std::unordered_map<Expr, Expr> images;
  for (const Expr input : graph_->inputs())
    if (const auto value = parameters_.find(input.attributes<InputAttributes>().name);
        value != parameters_.end())
      images[input] = parts.graph->parameter(value->second);
  std::vector<Expr> roots;
  for (const ModelOutput& output : outputs_) roots.push_back(output.expr);
  const std::vector<Expr> rebuilt = rebuild(*parts.graph, roots, images);
  for (const ModelInput& input : inputs_)
    parts.inputs.push_back({input.name, images.at(input.expr), input.declared});
  for (std::size_t i = 0; i < outputs_.size(); ++i) parts.outputs.push_back({outputs_[i].name, rebuilt[i]});
  parts.operators = operators_;
  parts.summary = summary_;
  return Model(std::move(parts));
}

}  // namespace rulegrad
