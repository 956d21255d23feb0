#include "rulegrad/evaluation/randomisation.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/evaluation/measures.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/rebuild.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/random.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad {
namespace {

struct Layer {
  std::string name;
  Expr node;
};

/// From the input to the output.
std::vector<Layer> layers_of(const Model& model) {
  std::vector<Expr> outputs;
  for (const ModelOutput& output : model.outputs()) outputs.push_back(output.expr);
  std::vector<Layer> layers;
  for (const Expr node : topological_order(outputs)) {
    if (!node.op().is(OpClass::affine) || !is_constant(node.operand(1)) || node.operand(1).shape().rank() < 2)
      continue;
    const std::vector<std::string>& names = model.graph().names(node);
    std::string name = names.empty() ? fmt::format("{}{}", node.op().name, layers.size() + 1) : names.front();
    while (std::ranges::find(layers, name, &Layer::name) != layers.end()) name += "'";
    layers.push_back({std::move(name), node});
  }
  return layers;
}

std::int64_t fan_in(Expr layer, const Dims& weights) {
  const std::int64_t size = element_count(weights);
  const std::size_t axis = layer.op().channels.value_or(ChannelAxes{}).weight;
  const auto groups = axis != 0 && layer.attributes().type().has("groups")
                          ? std::get<std::int64_t>(layer.attributes().get("groups"))
                          : 1;
  return size / weights[axis] / groups;
}

Tensor forgotten(Expr layer, std::int64_t place, std::int64_t key) {
  const Tensor& learned = layer.operand(1).attributes<ConstantAttributes>().value;
  std::vector<double> values(static_cast<std::size_t>(learned.size()));
  const double deviation = std::sqrt(2.0 / static_cast<double>(fan_in(layer, learned.dims())));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = deviation * normal_at({.key = key, .stream = place, .element = static_cast<std::int64_t>(i)});
  return Tensor(learned.dims(), std::span<const double>(values)).cast(learned.dtype());
}

double mean_correlation(const Tensor& a, const Tensor& b, bool magnitudes) {
  const std::int64_t samples = a.dims()[0], each = a.size() / samples;
  std::vector<double> found;
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    std::vector<double> x, y;
    for (std::int64_t i = sample * each; i < (sample + 1) * each; ++i) {
      x.push_back(magnitudes ? std::abs(a.at(i)) : a.at(i));
      y.push_back(magnitudes ? std::abs(b.at(i)) : b.at(i));
    }
    found.push_back(rank_correlation(x, y));
  }
  return mean_of(found);
}

}  // namespace

Randomisation randomisation_from_name(std::string_view name) {
  const std::vector<std::string> known{"cascading", "independent"};
  if (name == known[0]) return Randomisation::cascading;
  if (name == known[1]) return Randomisation::independent;
  throw Error(ErrorCode::unknown_name, unknown_name_message("randomisation", name, known));
}

std::vector<std::string> learned_layers(const Model& model) {
  std::vector<std::string> names;
  for (const Layer& layer : layers_of(model)) names.push_back(layer.name);
  std::ranges::reverse(names);
  return names;
}

Model randomised(const Model& model, std::span<const std::string> layers, std::int64_t key) {
  const std::vector<Layer> all = layers_of(model);
  for (const std::string& name : layers)
    if (std::ranges::find(all, name, &Layer::name) == all.end())
      throw Error(ErrorCode::unknown_name,
                  "[randomisation] " + unknown_name_message("layer", name, learned_layers(model)));

  Model::Parts parts;
  parts.graph = std::make_unique<Graph>(model.graph().real());
  Graph& graph = *parts.graph;
  std::unordered_map<Expr, Expr> images;
  for (std::size_t place = 0; place < all.size(); ++place) {
    if (std::ranges::find(layers, all[place].name) == layers.end()) continue;
    const Expr node = all[place].node, operand = node.operand(0);
    const Expr x = rebuild(graph, std::span(&operand, 1), images)[0];
    images[node] =
        graph.make(node.op(), {x, graph.constant(forgotten(node, static_cast<std::int64_t>(place), key))},
                   node.attributes());
    for (const std::string& name : model.graph().names(node)) graph.add_name(images[node], name);
  }
  std::vector<Expr> outputs;
  for (const ModelOutput& output : model.outputs()) outputs.push_back(output.expr);
  const std::vector<Expr> rebuilt = rebuild(graph, outputs, images);
  for (const ModelInput& input : model.inputs())
    if (const auto image = images.find(input.expr); image != images.end())
      parts.inputs.push_back({input.name, image->second, input.declared});
  for (std::size_t i = 0; i < rebuilt.size(); ++i)
    parts.outputs.push_back({model.outputs()[i].name, rebuilt[i]});
  parts.operators = model.operators();
  parts.summary = model.summary();
  return Model(std::move(parts));
}

RandomisationCheck randomisation_check(const Model& model, std::span<const AnalyzerCall> methods,
                                       const Tensor& samples, std::span<const std::int64_t> targets,
                                       const RandomisationOptions& options) {
  RandomisationCheck check;
  check.layers = learned_layers(model);
  if (check.layers.empty())
    throw Error(ErrorCode::invalid_argument,
                "[randomisation] the model has no dense layer or convolution with weights of its own, so "
                "there is nothing to forget");
  ExplainerOptions explaining = options.explainer;
  explaining.targets = Targets::given;
  explaining.nodes = {};
  explaining.prove_canonizers =
      false;  // a rule that is harmless for the weights that were learnt is so for others
  const auto explain = [&](const Model& network) {
    return Explainer(network, methods, explaining)
        .run(samples, {.targets = {targets.begin(), targets.end()},
                       .batch_size = options.batch_size,
                       .threads = options.threads});
  };
  const Explanation learned = explain(model);
  check.methods = learned.methods();
  check.correlation.resize(methods.size());
  check.of_magnitudes.resize(methods.size());
  const std::span names(check.layers);
  for (std::size_t k = 0; k < names.size(); ++k) {
    const auto chosen = options.kind == Randomisation::cascading ? names.first(k + 1) : names.subspan(k, 1);
    const Explanation found = explain(randomised(model, chosen, options.key));
    for (std::size_t m = 0; m < methods.size(); ++m) {
      check.correlation[m].push_back(mean_correlation(learned.attribution(m), found.attribution(m), false));
      check.of_magnitudes[m].push_back(mean_correlation(learned.attribution(m), found.attribution(m), true));
    }
    if (options.progress)
      options.progress(static_cast<std::int64_t>(k + 1), static_cast<std::int64_t>(names.size()));
  }
  return check;
}

}  // namespace rulegrad
