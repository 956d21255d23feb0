#include "prove/trial_networks.hpp"

#include <fmt/format.h>

#include "rulegrad/expr/schema.hpp"

#include "prove/draw_example.hpp"
#include "support/text.hpp"

namespace rulegrad {

Tensor TrialBuilder::values(const Dims& dims) {
  std::normal_distribution<double> normal(0, 1);
  Tensor result = Tensor::full(DType::float64, dims, 0);
  for (double& value : result.mutable_values<double>()) value = normal(random_);
  return result;
}
Tensor TrialBuilder::values(const ExampleOperand& operand) {
  return draw_example(operand, random_);
}
Operand TrialBuilder::bias(std::int64_t count) {
  return biases_ ? Operand(graph_.constant(values({count}))) : Operand(0.0);
}
Expr TrialBuilder::to(Expr x, std::int64_t units) {
  return rulegrad::dense(x, graph_.constant(values({units, x.shape()[1].factor})), bias(units));
}
Expr TrialBuilder::window(Expr x, std::int64_t channels, std::int64_t k) {
  ConvAttributes attributes;
  attributes.pads_begin = attributes.pads_end = {k / 2, k / 2};
  return rulegrad::conv(x, graph_.constant(values({channels, x.shape()[1].factor, k, k})), bias(channels),
                        attributes);
}

std::string TrialNetwork::text(bool biases) const {
  std::vector<std::string> extents;
  for (const std::int64_t dim : input) extents.push_back(fmt::format("{}", dim));
  std::string result = fmt::format("x [{}]", join(extents, ", "));
  for (const TrialLayer& layer : layers) result += " -> " + layer.text;
  return result + (drawn ? "" : biases ? ", with biases" : ", without biases");
}

namespace {

TrialLayer to(std::int64_t units) {
  return {fmt::format("dense({})", units),
          [units](TrialBuilder& builder, Expr x) { return builder.to(x, units); }};
}
TrialLayer window(std::int64_t channels, std::int64_t k) {
  return {fmt::format("conv({}, {}x{})", channels, k, k),
          [=](TrialBuilder& builder, Expr x) { return builder.window(x, channels, k); }};
}
TrialLayer plain(const std::string& name, Expr (*apply)(Expr)) {
  return {name, [apply](TrialBuilder&, Expr x) { return apply(x); }};
}
TrialLayer pool(bool largest) {
  return {largest ? "max_pool(2x2)" : "avg_pool(2x2)", [largest](TrialBuilder&, Expr x) {
            if (largest) return max_pool(x, {.kernel = {2, 2}, .strides = {2, 2}});
            AvgPoolAttributes attributes;
            attributes.kernel = attributes.strides = {2, 2};
            return avg_pool(x, attributes);
          }};
}
/// x + dense(x)
TrialLayer residual() {
  return {"residual", [](TrialBuilder& builder, Expr x) { return x + builder.to(x, x.shape()[1].factor); }};
}

/// The operator on an example, x in the place of one operand.
TrialLayer on_sample(const OpSchema& op, OpExample example, std::size_t place) {
  if (&example.attributes.type() != op.attributes) example.attributes = Attributes::make(*op.attributes, {});
  return {
      text_of_example(op, example), [&op, example, place](TrialBuilder& builder, Expr x) {
        std::vector<Expr> operands;
        for (std::size_t k = 0; k < example.operands.size(); ++k)
          operands.push_back(k == place ? x : builder.graph().constant(builder.values(example.operands[k])));
        return builder.graph().make(op, operands, example.attributes);
      }};
}

}  // namespace

std::vector<TrialNetwork> trial_networks() {
  const TrialLayer rectify = plain("relu", &rulegrad::relu), bend = plain("tanh", &rulegrad::tanh),
                   squash = plain("sigmoid", &rulegrad::sigmoid),
                   flat = plain("flatten", [](Expr x) { return flatten(x); });
  std::vector<TrialNetwork> result;
  for (const TrialLayer& layer : {rectify, bend, squash, to(1), residual()})
    result.push_back({{1, 1}, {layer}});
  for (const TrialLayer& layer : {rectify, to(1), to(2), residual()}) result.push_back({{1, 2}, {layer}});
  for (const TrialLayer& layer : {window(1, 1), window(1, 3), pool(true), pool(false), flat})
    result.push_back({{1, 1, 2, 2}, {layer}});
  for (const TrialLayer& layer : {rectify, bend, squash}) {
    result.push_back({{1, 1}, {to(1), layer}});
    result.push_back({{1, 1}, {to(1), layer, to(1)}});
    result.push_back({{1, 2}, {to(2), layer, to(1)}});
    result.push_back({{1, 3}, {to(4), layer, residual(), layer, to(2)}});
  }
  result.push_back({{1, 1, 4, 4}, {window(2, 3), rectify, pool(true), flat, to(2)}});
  result.push_back(
      {{1, 2, 4, 4},
       {window(3, 3), rectify, window(2, 1), rectify, pool(false), flat, to(3), rectify, to(2)}});
  result.push_back({{1, 6}, {to(8), rectify, to(8), rectify, residual(), rectify, to(3)}});
  return result;
}

std::vector<TrialNetwork> trial_networks_of(const OpSchema& op) {
  std::vector<TrialNetwork> result;
  RandomEngine random(7);
  if (!op.examples) return result;
  for (const OpExample& example : op.examples(random))
    for (std::size_t k = 0; k < example.operands.size(); ++k)
      if (op.operand(k).role == Role::data && example.operands[k].dtype == DType::float64)
        result.push_back({example.operands[k].dims, {on_sample(op, example, k)}, example.operands[k]});
  return result;
}

}  // namespace rulegrad
