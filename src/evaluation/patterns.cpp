#include "rulegrad/evaluation/patterns.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/support/error.hpp"

#include "autodiff/derivatives.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

using Sums = std::vector<double>;

void add_to(Sums& sums, const Tensor& values) {
  sums.resize(static_cast<std::size_t>(values.size()));
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values.at(static_cast<std::int64_t>(i));
}

std::map<const Node*, std::vector<Expr>> users_of(std::span<const Expr> order) {
  std::map<const Node*, std::vector<Expr>> users;
  for (const Expr node : order)
    for (const Expr operand : node.operands()) users[&operand.node()].push_back(node);
  return users;
}

/// What decides whether a neuron is on: the activation behind the operation, looked for through what keeps
/// its shape and takes nothing but constants beside; else the operation itself.
Expr switched(Expr operation, const std::map<const Node*, std::vector<Expr>>& users) {
  for (Expr node = operation;;) {
    const auto found = users.find(&node.node());
    if (found == users.end() || found->second.size() != 1) return operation;
    const Expr user = found->second[0];
    if (user.shape() != operation.shape() || user.operand(0) != node) return operation;
    if (user.op().is(OpClass::activation)) return user;
    const auto rest = user.operands().subspan(1);
    const bool constant = std::ranges::all_of(rest, [](Expr operand) { return is_constant(operand); });
    if (!constant || !(user.is("batch_norm") || user.is("add") || user.is("identity"))) return operation;
    node = user;
  }
}

/// The axis of an operation's result that counts its neurons.
std::size_t neuron_axis(Expr operation) {
  return *operation.op().channel_axis(operation);
}

/// Which neuron each element of the weights belongs to.
std::vector<std::size_t> neurons_of_weights(Expr operation) {
  const Dims dims = *operation.operand(1).shape().static_dims();
  std::vector<std::size_t> result(static_cast<std::size_t>(element_count(dims)));
  if (operation.op().channels->weight == 0) {
    const std::size_t each = result.size() / static_cast<std::size_t>(dims[0]);
    for (std::size_t i = 0; i < result.size(); ++i) result[i] = i / each;
    return result;
  }
  // w [O, C / groups, kernel...] gives C channels: those of a group belong to the rows of that group.
  const auto rows_a_group =
      static_cast<std::size_t>(dims[0] / operation.attributes<ConvTransposeAttributes>().groups);
  const auto columns = static_cast<std::size_t>(dims[1]);
  const std::size_t kernel = result.size() / (static_cast<std::size_t>(dims[0]) * columns);
  for (std::size_t i = 0; i < result.size(); ++i) {
    const std::size_t column = i / kernel % columns, row = i / kernel / columns;
    result[i] = row / rows_a_group * columns + column;
  }
  return result;
}

}  // namespace

PatternType pattern_type_from_name(std::string_view name) {
  const std::vector<std::string> known{"linear", "relu"};
  if (name == known[0]) return PatternType::linear;
  if (name == known[1]) return PatternType::relu;
  throw Error(ErrorCode::unknown_name, unknown_name_message("pattern type", name, known));
}

struct PatternComputation::Layer {
  std::string key;
  Tensor weights;
  std::vector<std::size_t> neuron;  ///< of each weight
  std::int64_t each = 0;            ///< how often the operation applies a neuron's weights to one sample
  Sums x, xy, count, y;             ///< sums of m x and m x y by weight, of m and y by neuron
};

PatternComputation::PatternComputation(Expr output, PatternType type, const CompileOptions& options,
                                       const Operators& operators) {
  Graph& graph = output.graph();
  const std::vector<Expr> order = topological_order(std::span(&output, 1));
  const auto users = users_of(order);
  const Derivatives derivatives(graph, operators);
  std::vector<Expr> outputs, operations;
  std::map<std::string, Expr> keys;
  for (const Expr node : order) {
    if (!node.op().is(OpClass::affine)) continue;
    const Expr w = node.operand(1);
    if (!is_constant(w)) continue;
    if (!node.op().channels)
      throw Error(ErrorCode::shape, fmt::format("[patterns] {} has weights, but which of them belong to one "
                                                "neuron is known for dense, conv and conv_transpose only",
                                                describe(node)));
    const std::vector<std::string>& names = graph.names(node);
    if (names.empty())
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "[patterns] {} has no name under which its pattern could be kept; name the node in the model",
              describe(node)));
    // Rules look for the pattern under any of the node's names; two operations must not share the one that is
    // chosen.
    const auto name = std::ranges::find_if(
        names, [&](const std::string& n) { return graph.find(n).size() == 1 && !keys.contains(n); });
    if (name == names.end())
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format(
              "[patterns] every name of {} belongs to another node too; name the nodes apart in the model",
              describe(node)));
    keys.emplace(*name, node);

    const Expr y = graph.make(node.op(), {node.operand(0), w}, node.attributes());
    const Expr none = graph.scalar(0, y.dtype());
    const Expr every = graph.apply(operators.at("fill"), {}, FillAttributes{1, y.dtype(), y.shape()});
    const Expr mask =
        type == PatternType::linear
            ? every
            : graph.apply(operators.at("where"),
                          {graph.apply(operators.at("greater"), {switched(node, users), none}), every, none});
    Ints axes;
    const std::size_t channels = neuron_axis(node);
    for (std::size_t axis = 0; axis < y.shape().rank(); ++axis)
      if (axis != channels) axes.push_back(static_cast<std::int64_t>(axis));
    // The derivative of m . (w x) by w is the sum of m x over samples and positions, in the shape of w.
    const auto sum_of_inputs = [&](Expr factor) { return derivatives.close(y, 1, factor).value(); };
    outputs.insert(outputs.end(),
                   {sum_of_inputs(mask), sum_of_inputs(mask * y), sum(mask, axes), sum(y, axes)});
    operations.push_back(y);

    auto layer = std::make_shared<Layer>();
    layer->key = *name + "/pattern";
    layer->weights = w.attributes<ConstantAttributes>().value;
    layer->neuron = neurons_of_weights(node);
    layer->each = y.shape().count().factor / y.shape()[channels].factor;
    layers_.push_back(std::move(layer));
  }
  if (layers_.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[patterns] below {} there is no dense, conv or conv_transpose with constant "
                            "weights, so there are no patterns to compute",
                            describe(output)));
  if (const auto mixing = first_mixing(operations)) mixing_ = describe(*mixing);
  program_ = std::make_shared<const Program>(Program::compile(outputs, options));
}

void PatternComputation::add(const Inputs& batch, const RunOptions& options) {
  if (!mixing_.empty() && samples_ > 0)
    throw Error(
        ErrorCode::model,
        fmt::format(
            "[patterns] the samples cannot be cut into batches, because {} mixes them; give them all at once",
            mixing_));
  const std::vector<Tensor> results = program_->run(batch, options);
  for (std::size_t k = 0; k < layers_.size(); ++k) {
    add_to(layers_[k]->x, results[4 * k]);
    add_to(layers_[k]->xy, results[4 * k + 1]);
    add_to(layers_[k]->count, results[4 * k + 2]);
    add_to(layers_[k]->y, results[4 * k + 3]);
  }
  samples_ += batch.begin()->second.dims().empty() ? 1 : batch.begin()->second.dims()[0];
}

std::vector<std::pair<std::string, Tensor>> PatternComputation::patterns() const {
  if (samples_ == 0)
    throw Error(ErrorCode::invalid_argument,
                "[patterns] no data were given; patterns are means over samples: add a batch first");
  const auto divisor = [](double value) { return value == 0 ? 1.0 : value; };
  std::vector<std::pair<std::string, Tensor>> result;
  for (const auto& layer : layers_) {
    const Layer& l = *layer;
    std::vector<double> covariance(l.x.size()), projection(l.y.size());
    for (std::size_t i = 0; i < covariance.size(); ++i) {
      const std::size_t j = l.neuron[i];
      const double mean_y = l.y[j] / static_cast<double>(samples_ * l.each);
      covariance[i] = (l.xy[i] - l.x[i] * mean_y) / divisor(l.count[j]);
      projection[j] += l.weights.at(static_cast<std::int64_t>(i)) * covariance[i];
    }
    for (std::size_t i = 0; i < covariance.size(); ++i) covariance[i] /= divisor(projection[l.neuron[i]]);
    result.emplace_back(
        l.key, Tensor(l.weights.dims(), std::span<const double>(covariance)).cast(l.weights.dtype()));
  }
  return result;
}

}  // namespace rulegrad
