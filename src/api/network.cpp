#include "rulegrad/api/network.hpp"

#include <cmath>
#include <fmt/format.h>
#include <map>
#include <random>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {

struct Network::Data {
  DType dtype;
  std::mt19937 random;
  std::unique_ptr<Graph> graph;
  std::map<std::string, int> layers = {};
};

Network::Network(DType dtype, std::uint32_t seed)
    : data_(new Data{dtype, std::mt19937(seed), std::make_unique<Graph>(dtype)}) {}
Network::Network(Network&& other) noexcept = default;
Network& Network::operator=(Network&& other) noexcept = default;
Network::~Network() = default;

Network::Data& Network::data() const {
  if (data_ == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "[network] it was moved from and holds no layers; use the network it was moved to");
  return *data_;
}

Graph& Network::graph() const {
  if (data().graph == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "[network] it is finished: its layers belong to the model that `finish` gave");
  return *data_->graph;
}

Expr Network::input(const std::string& name, Shape shape) {
  return input(name, std::move(shape), data().dtype);
}
Expr Network::input(const std::string& name, Shape shape, DType dtype) {
  return graph().input(name, {dtype, std::move(shape)});
}

Expr Network::parameter(const std::string& name, Tensor value) {
  if (!graph().find(name).empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[network] there is a '{}' already; give the parameter another name", name));
  const Expr constant = graph().parameter(std::move(value));
  graph().add_name(constant, name);
  return constant;
}

std::string Network::layer_name(const std::string& kind, const std::string& given) {
  return given.empty() ? fmt::format("{}{}", kind, ++data().layers[kind]) : given;
}

Tensor Network::random_weight(Dims dims, double variance) {
  std::normal_distribution<double> normal(0, std::sqrt(variance));
  Tensor weight = Tensor::uninitialized(DType::float64, std::move(dims));
  for (double& value : weight.mutable_values<double>()) value = normal(data().random);
  return weight.cast(data().dtype);
}

std::array<Tensor, 3> Network::random_cell(const char* kind, std::int64_t gates, Expr x, std::int64_t units) {
  if (x.shape().rank() != 3 || x.shape()[2].batch || units < 1)
    throw Error(ErrorCode::shape, fmt::format("[{}] makes {} units of x [B, steps, values], but x is {}",
                                              kind, units, to_string(x.type())));
  const double largest = 1 / std::sqrt(static_cast<double>(units));
  std::uniform_real_distribution<double> uniform(-largest, largest);
  std::array<Tensor, 3> result{Tensor(DType::float64, {gates * units, x.shape()[2].factor}),
                               Tensor(DType::float64, {gates * units, units}),
                               Tensor(DType::float64, {gates * units})};
  for (Tensor& parameter : result) {
    for (double& value : parameter.mutable_values<double>()) value = uniform(data().random);
    parameter = parameter.cast(data().dtype);
  }
  return result;
}

Expr Network::dense(Expr x, std::int64_t units, const std::string& name) {
  const Shape& shape = x.shape();
  if (shape.rank() < 2 || shape.dims().back().batch || units < 1)
    throw Error(ErrorCode::shape,
                fmt::format("[dense] makes {} units from the last axis, but x is {}; flatten it first", units,
                            to_string(x.type())));
  const std::int64_t width = shape.dims().back().factor;
  return dense(x, random_weight({units, width}, 2.0 / static_cast<double>(width)),
               Tensor(data().dtype, {units}), name);
}

Expr Network::dense(Expr x, Tensor weight, Tensor bias, const std::string& name) {
  const std::string layer = layer_name("dense", name);
  const Expr w = parameter(layer + ".w", std::move(weight));
  const Expr result = bias.size() == 0 ? rulegrad::dense(x, w)
                                       : rulegrad::dense(x, w, parameter(layer + ".b", std::move(bias)));
  graph().add_name(result, layer);
  return result;
}

Expr Network::embedding(Expr ids, std::int64_t rows, std::int64_t width, const std::string& name) {
  if (rows < 1 || width < 1)
    throw Error(ErrorCode::shape,
                fmt::format("[embedding] a table of {} rows of {} numbers is none", rows, width));
  return embedding(ids, random_weight({rows, width}, 1), name);
}

Expr Network::embedding(Expr ids, Tensor table, const std::string& name) {
  if (is_floating(ids.dtype()) || table.rank() != 2)
    throw Error(
        is_floating(ids.dtype()) ? ErrorCode::dtype : ErrorCode::shape,
        fmt::format(
            "[embedding] looks integers up in a table [rows, width], but ids are {} and the table is {}",
            to_string(ids.type()), to_string(table.dims())));
  const std::string layer = layer_name("embedding", name);
  const Expr result =
      graph().apply(op("gather"), {parameter(layer + ".w", std::move(table)), ids}, AxisAttributes{0});
  graph().add_name(result, layer);
  return result;
}

Expr Network::conv(Expr x, std::int64_t channels, Ints kernel, ConvAttributes attributes,
                   const std::string& name) {
  const Shape& shape = x.shape();
  if (shape.rank() != kernel.size() + 2 || shape[1].batch || channels < 1)
    throw Error(
        ErrorCode::shape,
        fmt::format("[conv] a kernel of {} needs x [N, C, {} spatial axes], but x is {}",
                    to_string(std::span<const std::int64_t>(kernel)), kernel.size(), to_string(x.type())));
  if (attributes.groups < 1 || shape[1].factor % attributes.groups != 0)
    throw Error(ErrorCode::shape, fmt::format("[conv] {} groups do not divide the {} channels of x {}",
                                              attributes.groups, shape[1].factor, to_string(x.type())));
  Dims dims{channels, shape[1].factor / attributes.groups};
  dims.insert(dims.end(), kernel.begin(), kernel.end());
  const auto fan_in = static_cast<double>(element_count(dims) / channels);
  return conv(x, random_weight(std::move(dims), 2 / fan_in), Tensor(data().dtype, {channels}),
              std::move(attributes), name);
}

Expr Network::conv(Expr x, Tensor weight, Tensor bias, ConvAttributes attributes, const std::string& name) {
  const std::string layer = layer_name("conv", name);
  const Expr w = parameter(layer + ".w", std::move(weight));
  const Operand b = bias.size() == 0 ? Operand(0.0) : Operand(parameter(layer + ".b", std::move(bias)));
  const Expr result = rulegrad::conv(x, w, b, std::move(attributes));
  graph().add_name(result, layer);
  return result;
}

Model Network::finish(Expr output) {
  return finish(std::span(&output, 1));
}

Model Network::finish(std::span<const Expr> outputs) {
  if (outputs.empty()) throw Error(ErrorCode::invalid_argument, "[network] a model needs an output");
  Model::Parts parts;
  for (const Expr input : graph().inputs())
    parts.inputs.push_back({input.attributes<InputAttributes>().name, input, to_string(input.type())});
  for (std::size_t i = 0; i < outputs.size(); ++i)
    parts.outputs.push_back({i == 0 ? "y" : fmt::format("y_{}", i), outputs[i]});
  parts.summary.producer = "rulegrad";
  for (const auto& input : parts.inputs) parts.summary.inputs.push_back({input.name, input.declared});
  for (const auto& output : parts.outputs)
    parts.summary.outputs.push_back({output.name, to_string(output.expr.type())});
  for (const Expr node : topological_order(outputs)) {
    if (is_constant(node)) {
      const Tensor& value = node.attributes<ConstantAttributes>().value;
      if (value.rank() == 0) continue;
      parts.summary.parameters += value.size();
      parts.summary.parameter_bytes += static_cast<std::int64_t>(value.bytes());
    } else if (!is_input(node)) {
      ++parts.summary.operators[node.op().name];
    }
  }
  parts.graph = std::move(data().graph);
  return Model(std::move(parts));
}

Sequential::Sequential(Shape input, DType dtype, std::uint32_t seed) : network_(dtype, seed) {
  last_ = network_.input("x", std::move(input));
}

Sequential& Sequential::set(Expr expr) {
  last_ = expr;
  return *this;
}

namespace {

PoolAttributes pool(Ints kernel, Ints strides) {
  PoolAttributes attributes;
  attributes.strides = strides.empty() ? kernel : std::move(strides);
  attributes.kernel = std::move(kernel);
  return attributes;
}

}  // namespace

Sequential& Sequential::dense(std::int64_t units) {
  return set(network_.dense(last_, units));
}
Sequential& Sequential::dense(Tensor weight, Tensor bias) {
  return set(network_.dense(last_, std::move(weight), std::move(bias)));
}
Sequential& Sequential::conv(std::int64_t channels, Ints kernel, ConvAttributes attributes) {
  return set(network_.conv(last_, channels, std::move(kernel), std::move(attributes)));
}
Sequential& Sequential::conv(Tensor weight, Tensor bias, ConvAttributes attributes) {
  return set(network_.conv(last_, std::move(weight), std::move(bias), std::move(attributes)));
}
Sequential& Sequential::max_pool(Ints kernel, Ints strides) {
  return set(rulegrad::max_pool(last_, pool(std::move(kernel), std::move(strides))));
}
Sequential& Sequential::avg_pool(Ints kernel, Ints strides) {
  PoolAttributes windows = pool(std::move(kernel), std::move(strides));
  AvgPoolAttributes attributes;
  attributes.kernel = std::move(windows.kernel);
  attributes.strides = std::move(windows.strides);
  return set(rulegrad::avg_pool(last_, std::move(attributes)));
}
Sequential& Sequential::relu() {
  return set(rulegrad::relu(last_));
}
Sequential& Sequential::sigmoid() {
  return set(rulegrad::sigmoid(last_));
}
Sequential& Sequential::tanh() {
  return set(rulegrad::tanh(last_));
}
Sequential& Sequential::softmax() {
  return set(rulegrad::softmax(last_, 1));
}
Sequential& Sequential::flatten() {
  return set(rulegrad::flatten(last_));
}
Model Sequential::finish() {
  return network_.finish(last_);
}

}  // namespace rulegrad
