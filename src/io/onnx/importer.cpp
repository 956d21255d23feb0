#include "io/onnx/importer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"
#include "rulegrad/program.hpp"
#include "support/text.hpp"

namespace rulegrad::onnx_io {

const Tensor* constant_of(Expr expr) { return expr.is("constant") ? &expr.attributes<ConstantAttributes>().value : nullptr; }

bool all_zero(Expr expr) {
  const Tensor* tensor = constant_of(expr);
  if (tensor == nullptr) return false;
  for (std::int64_t i = 0; i < tensor->size(); ++i)
    if (tensor->at(i) != 0) return false;
  return true;
}

const Converters& converters() {
  static const Converters table = [] {
    Converters all;
    add_nn_converters(all);
    add_math_converters(all);
    add_shape_converters(all);
    return all;
  }();
  return table;
}

std::int64_t NodeReader::opset() const { return importer_.opset_; }
Graph& NodeReader::graph() const { return *importer_.graph_; }

const Value& NodeReader::value(std::size_t operand) const {
  if (!has(operand)) throw Error(ErrorCode::model, fmt::format("operand {} is missing", operand));
  const std::string& name = node_.input(static_cast<int>(operand));
  const auto found = importer_.values_.find(name);
  if (found == importer_.values_.end()) {
    std::vector<std::string> known;
    for (const auto& [key, ignored] : importer_.values_) known.push_back(key);
    throw Error(ErrorCode::model, unknown_name_message("value", name, known) + " (no node, input or initializer before this node makes it)");
  }
  return found->second;
}

Expr NodeReader::expr(std::size_t operand) const {
  const Value& v = value(operand);
  if (v.expr) return v.expr;
  Dims numbers;
  for (const Dim dim : *v.dims) {
    if (dim.batch)
      throw Error(ErrorCode::model, fmt::format("'{}' is computed from the batch extent and used as a number", node_.input(static_cast<int>(operand))));
    numbers.push_back(dim.factor);
  }
  const Dims shape = v.rank0 ? Dims{} : Dims{static_cast<std::int64_t>(numbers.size())};
  return graph().constant(Tensor(shape, std::span<const std::int64_t>(numbers)));
}

std::vector<Dim> NodeReader::dims(std::size_t operand) const {
  const Value& v = value(operand);
  if (v.dims) return *v.dims;
  const Tensor* tensor = constant_of(v.expr);
  if (tensor == nullptr || is_floating(tensor->dtype()))
    throw Error(ErrorCode::model, fmt::format("operand '{}' must be integers known when the model is read", node_.input(static_cast<int>(operand))));
  std::vector<Dim> result;
  for (std::int64_t i = 0; i < tensor->size(); ++i) result.emplace_back(static_cast<std::int64_t>(tensor->at(i)));
  return result;
}

Ints NodeReader::ints(std::size_t operand) const {
  Ints result;
  for (const Dim dim : dims(operand)) {
    if (dim.batch) throw Error(ErrorCode::model, fmt::format("operand '{}' holds the batch extent where a number is needed", node_.input(static_cast<int>(operand))));
    result.push_back(dim.factor);
  }
  return result;
}

std::vector<double> NodeReader::numbers(std::size_t operand) const {
  const Tensor* tensor = constant_of(expr(operand));
  if (tensor == nullptr) throw Error(ErrorCode::model, fmt::format("operand '{}' must be a constant", node_.input(static_cast<int>(operand))));
  std::vector<double> result;
  for (std::int64_t i = 0; i < tensor->size(); ++i) result.push_back(tensor->at(i));
  return result;
}

bool NodeReader::only_use(std::size_t operand) const {
  const auto found = importer_.uses_.find(node_.input(static_cast<int>(operand)));
  return found != importer_.uses_.end() && found->second == 1;
}

const onnx::AttributeProto* NodeReader::find(const char* name) const {
  for (const auto& attribute : node_.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}
std::int64_t NodeReader::integer(const char* name, std::int64_t fallback) const {
  const auto* attribute = find(name);
  return attribute == nullptr ? fallback : attribute->i();
}
double NodeReader::number(const char* name, double fallback) const {
  const auto* attribute = find(name);
  return attribute == nullptr ? fallback : static_cast<double>(attribute->f());
}
std::string NodeReader::word(const char* name, const char* fallback) const {
  const auto* attribute = find(name);
  return attribute == nullptr ? std::string(fallback) : attribute->s();
}
Ints NodeReader::list(const char* name) const {
  const auto* attribute = find(name);
  return attribute == nullptr ? Ints{} : Ints(attribute->ints().begin(), attribute->ints().end());
}

Expr NodeReader::apply(const char* op_name, std::vector<Expr> operands, Attributes attributes) const {
  return graph().apply(op(op_name), std::move(operands), std::move(attributes));
}

void NodeReader::result(Expr expr, int output) const { result(Value{expr, std::nullopt, false}, output); }

void NodeReader::result(Value value, int output) const {
  if (output >= node_.output_size() || node_.output(output).empty()) return;
  if (value.expr) {
    value.expr = importer_.folded(value.expr);
    graph().add_name(value.expr, node_.output(output));
    if (output == 0 && !node_.name().empty()) graph().add_name(value.expr, node_.name());
  }
  importer_.values_[node_.output(output)] = std::move(value);
}

Importer::Importer(const File& file, const LoadOptions& options, bool free_batch)
    : file_(file), options_(options), free_batch_(free_batch), opset_(opset_of(file)), graph_(std::make_unique<Graph>(options.dtype)) {}

Expr Importer::folded(Expr expr) const {
  // What depends on constants alone is computed now: shapes and weights are read from it.
  if (expr.is("constant") || expr.operands().empty() || expr.shape().has_batch()) return expr;
  for (const Expr leaf : topological_order(std::span(&expr, 1)))
    if (leaf.operands().empty() && !leaf.is("constant")) return expr;
  return graph_->constant(evaluate(std::span(&expr, 1), {})[0]);
}

namespace {

Error in_node(const onnx::NodeProto& node, const Error& error) {
  const std::string name = node.name().empty() ? (node.output_size() > 0 ? node.output(0) : std::string("?")) : node.name();
  return Error(error.code() == ErrorCode::non_finite ? error.code() : ErrorCode::model, fmt::format("node '{}' ({}): {}", name, node.op_type(), error.what()));
}

bool in_default_domain(const onnx::NodeProto& node) { return node.domain().empty() || node.domain() == "ai.onnx"; }

/// Every operator without a converter, at once.
void require_mapped(const onnx::GraphProto& graph, const std::string& path) {
  std::map<std::string, std::vector<std::string>> unmapped;
  for (const auto& node : graph.node())
    if (!in_default_domain(node) || !converters().contains(node.op_type()))
      unmapped[in_default_domain(node) ? node.op_type() : node.domain() + "." + node.op_type()].push_back(node.name().empty() ? node.output(0) : node.name());
  if (unmapped.empty()) return;
  std::vector<std::string> known, lines;
  for (const auto& [name, converter] : converters()) known.push_back(name);
  for (auto& [name, nodes] : unmapped) {
    const std::string near = nearest_name(name, known);
    const std::size_t count = nodes.size();
    if (nodes.size() > 3) nodes.resize(3);
    lines.push_back(fmt::format("{}x {} (at '{}'{}{})", count, name, join(nodes, "', '"), count > 3 ? ", ..." : "",
                                near.empty() ? "" : "; nearest supported: " + near));
  }
  throw Error(ErrorCode::model, fmt::format("'{}' uses operators that are not supported: {}", path, join(lines, "; ")));
}

std::optional<std::int64_t> first_non_finite(const Tensor& tensor) {
  if (!is_floating(tensor.dtype())) return std::nullopt;
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (!std::isfinite(tensor.at(i))) return i;
  return std::nullopt;
}

}  // namespace

void Importer::read_initializers() {
  int index = 0;
  for (const auto& initializer : file_.proto.graph().initializer()) {
    const Tensor tensor = read_tensor(file_, initializer, options_.dtype, index++);
    // Large ones are checked where they are used: reading them all here would touch the whole file.
    if (!options_.allow_non_finite && tensor.bytes() < (1 << 20))
      if (const auto bad = first_non_finite(tensor))
        throw Error(ErrorCode::non_finite, fmt::format("the weight '{}' {} holds {} at element {}; --allow-non-finite accepts it", initializer.name(),
                                                       to_string(tensor.dims()), tensor.at(*bad), *bad));
    const Expr expr = graph_->constant(tensor);
    graph_->add_name(expr, initializer.name());
    values_[initializer.name()] = {expr, std::nullopt, false};
  }
}

void Importer::read_inputs(std::vector<ModelInput>& inputs) {
  for (const auto& input : file_.proto.graph().input()) {
    if (values_.contains(input.name())) continue;  // an initializer that is listed as an input too
    if (!input.type().has_tensor_type()) throw Error(ErrorCode::model, fmt::format("input '{}' is no tensor", input.name()));
    const auto& type = input.type().tensor_type();
    std::vector<Dim> dims;
    for (int axis = 0; axis < type.shape().dim_size(); ++axis) {
      const auto& dim = type.shape().dim(axis);
      const bool is_free = !dim.has_dim_value() || dim.dim_value() <= 0;
      if (axis == 0 && (is_free || (dim.dim_value() == 1 && free_batch_)))
        dims.push_back(B);
      else if (is_free)
        throw Error(ErrorCode::model, fmt::format("input '{}' leaves axis {} ({}) open; only axis 0, the batch, may be open: export the model with a fixed extent there",
                                                  input.name(), axis, dim.has_dim_param() ? dim.dim_param() : "?"));
      else
        dims.emplace_back(dim.dim_value());
    }
    const Expr expr = graph_->input(input.name(), {dtype_of_onnx(type.elem_type(), options_.dtype), Shape(std::move(dims))});
    values_[input.name()] = {expr, std::nullopt, false};
    inputs.push_back({input.name(), expr});
  }
}

void Importer::convert(const onnx::NodeProto& node) {
  try {
    converters().find(node.op_type())->second(NodeReader(*this, node));
  } catch (const Error& error) {
    throw in_node(node, error);
  }
}

Model Importer::run() {
  const onnx::GraphProto& graph = file_.proto.graph();
  if (opset_ < 7 || opset_ > 18)
    throw Error(ErrorCode::model, fmt::format("'{}' uses opset {}; opsets 7 to 18 are supported: export it with one of these", file_.path, opset_));
  require_mapped(graph, file_.path);
  for (const auto& node : graph.node())
    for (const auto& name : node.input()) ++uses_[name];
  for (const auto& output : graph.output()) ++uses_[output.name()];
  read_initializers();
  std::vector<ModelInput> inputs;
  read_inputs(inputs);
  for (const auto& node : graph.node()) convert(node);
  std::vector<ModelOutput> outputs;
  for (const auto& output : graph.output()) {
    const auto found = values_.find(output.name());
    if (found == values_.end() || !found->second.expr)
      throw Error(ErrorCode::model, fmt::format("'{}': no node makes the output '{}'", file_.path, output.name()));
    outputs.push_back({output.name(), found->second.expr});
  }
  if (inputs.empty() || outputs.empty()) throw Error(ErrorCode::model, fmt::format("'{}' has {} inputs and {} outputs", file_.path, inputs.size(), outputs.size()));
  return Model(std::move(graph_), std::move(inputs), std::move(outputs));
}

}  // namespace rulegrad::onnx_io

namespace rulegrad {

Model::Model(std::unique_ptr<Graph> graph, std::vector<ModelInput> inputs, std::vector<ModelOutput> outputs)
    : graph_(std::move(graph)), inputs_(std::move(inputs)), outputs_(std::move(outputs)) {}

Expr Model::head(HeadKind kind) const {
  const Expr output = outputs_.front().expr;
  if (kind == HeadKind::probability) return output;
  Expr below = output;
  while (below.is("reshape") || below.is("identity") || below.is("cast")) below = below.operand(0);
  return below.is("softmax") || below.is("log_softmax") || below.is("sigmoid") ? below.operand(0) : output;
}

Model load_onnx(const std::string& path, const LoadOptions& options) {
  const onnx_io::File file = onnx_io::open(path);
  bool fixed_to_one = false;
  for (const auto& input : file.proto.graph().input())
    if (input.type().tensor_type().shape().dim_size() > 0 && input.type().tensor_type().shape().dim(0).dim_value() == 1) fixed_to_one = true;
  try {
    return onnx_io::Importer(file, options, true).run();
  } catch (const Error& error) {
    // A model that was exported for one sample may hold that 1 where the batch would stand; then it keeps it.
    if (!fixed_to_one || error.code() == ErrorCode::non_finite) throw;
  }
  return onnx_io::Importer(file, options, false).run();
}

}  // namespace rulegrad
