#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "io/file.hpp"
#include "io/onnx/proto.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/leaves.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/op_attributes.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

constexpr std::int64_t written_opset = 13, written_ir = 7;

int onnx_type(DType dtype) {
  switch (dtype) {
    case DType::float32: return onnx::TensorProto::FLOAT;
    case DType::float64: return onnx::TensorProto::DOUBLE;
    case DType::int32: return onnx::TensorProto::INT32;
    case DType::int64: return onnx::TensorProto::INT64;
    case DType::uint8: return onnx::TensorProto::UINT8;
    case DType::int8: return onnx::TensorProto::INT8;
    case DType::boolean: break;
  }
  return onnx::TensorProto::BOOL;
}

Ints joined(const Ints& begin, const Ints& end) {
  Ints all(begin.size() + end.size());
  std::copy(end.begin(), end.end(), std::copy(begin.begin(), begin.end(), all.begin()));
  return all;
}

class Writer;

/// A node while it is written.
class NodeWriter {
 public:
  NodeWriter(Writer& writer, onnx::NodeProto& node) : writer_(writer), node_(node) {}

  NodeWriter& set(const char* name, const Ints& values) {
    auto& attribute = add(name, onnx::AttributeProto::INTS);
    for (const std::int64_t value : values) attribute.add_ints(value);
    return *this;
  }
  NodeWriter& set(const char* name, std::int64_t value) {
    add(name, onnx::AttributeProto::INT).set_i(value);
    return *this;
  }
  NodeWriter& set(const char* name, double value) {
    add(name, onnx::AttributeProto::FLOAT).set_f(static_cast<float>(value));
    return *this;
  }
  NodeWriter& set(const char* name, const std::string& value) {
    add(name, onnx::AttributeProto::STRING).set_s(value);
    return *this;
  }
  /// A constant that only this node reads.
  NodeWriter& input(const char* suffix, const Tensor& value);
  NodeWriter& input(const char* suffix, const Ints& values) {
    return input(suffix, Tensor({static_cast<std::int64_t>(values.size())}, std::span<const std::int64_t>(values)));
  }

 private:
  onnx::AttributeProto& add(const char* name, onnx::AttributeProto::AttributeType type) {
    auto& attribute = *node_.add_attribute();
    attribute.set_name(name);
    attribute.set_type(type);
    return attribute;
  }
  Writer& writer_;
  onnx::NodeProto& node_;
};

using Form = std::function<void(Writer&, Expr)>;
const std::map<std::string, Form, std::less<>>& forms();

class Writer {
 public:
  Writer(std::span<const Expr> outputs, const SaveOptions& options) : outputs_(outputs), options_(options) {}

  onnx::ModelProto write();
  /// A node that gives the expression from its operands; those that are the number 0 for "none" are left out.
  NodeWriter node(const char* op_type, Expr expr) {
    std::vector<std::string> inputs;
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) inputs.push_back(names_.at(expr.operand(i)));
    return node(op_type, std::move(inputs), names_.at(expr));
  }
  NodeWriter node(const char* op_type, std::vector<std::string> inputs, const std::string& output) {
    auto& node = *model_.mutable_graph()->add_node();
    node.set_op_type(op_type);
    node.set_name(output);
    for (std::string& input : inputs) node.add_input(std::move(input));
    node.add_output(output);
    return {*this, node};
  }
  [[nodiscard]] const std::string& name(Expr expr) const { return names_.at(expr); }
  [[nodiscard]] static bool absent(Expr expr, std::size_t operand) {
    const Expr value = expr.operand(operand);
    return expr.op().operand(operand).optional && value.shape().rank() == 0 && is_zero(value);
  }
  void add_tensor(const std::string& name, const Tensor& value) {
    auto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(onnx_type(value.dtype()));
    for (const std::int64_t extent : value.dims()) tensor.add_dims(extent);
    tensor.set_raw_data(value.data(), value.bytes());
  }
  [[noreturn]] static void refuse(Expr expr, const std::string& why) {
    throw Error(ErrorCode::model, fmt::format("{} cannot be written as ONNX: {}", describe(expr), why));
  }

 private:
  void name_all(std::span<const Expr> order);
  void describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) const;

  std::span<const Expr> outputs_;
  const SaveOptions& options_;
  onnx::ModelProto model_;
  std::unordered_map<Expr, std::string> names_;
};

NodeWriter& NodeWriter::input(const char* suffix, const Tensor& value) {
  const std::string name = node_.output(0) + "." + suffix;
  writer_.add_tensor(name, value);
  node_.add_input(name);
  return *this;
}

/// The name a node was given, if no other node of the file has it.
void Writer::name_all(std::span<const Expr> order) {
  std::set<std::string> taken;
  const auto claim = [&](Expr expr, const std::string& name) { return taken.insert(name).second && names_.emplace(expr, name).second; };
  for (const Expr expr : order)
    if (expr.is("input")) claim(expr, expr.attributes<InputAttributes>().name);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    if (names_.contains(outputs_[i])) continue;
    const std::string name = i < options_.output_names.size() ? options_.output_names[i] : i == 0 ? "y" : fmt::format("y_{}", i);
    if (!claim(outputs_[i], name)) throw Error(ErrorCode::model, fmt::format("the output name '{}' is taken", name));
  }
  std::size_t index = 0;
  for (const Expr expr : order) {
    ++index;
    if (names_.contains(expr)) continue;
    for (const std::string& name : expr.graph().names(expr))
      if (!names_.contains(expr) && !taken.contains(name)) claim(expr, name);
    for (std::string name = fmt::format("v{}", index); !names_.contains(expr); name += "_")
      if (!taken.contains(name)) claim(expr, name);
  }
}

void Writer::describe_value(onnx::ValueInfoProto& info, const std::string& name, const Type& type) const {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx_type(type.dtype));
  auto& shape = *tensor.mutable_shape();
  for (const Dim dim : type.shape.dims()) {
    auto& extent = *shape.add_dim();
    if (!dim.batch)
      extent.set_dim_value(dim.factor);
    else
      extent.set_dim_param(dim.factor == 1 ? "N" : fmt::format("{}*N", dim.factor));
  }
}

onnx::ModelProto Writer::write() {
  const std::vector<Expr> order = topological_order(outputs_);
  std::set<std::string> unknown;
  for (const Expr expr : order)
    if (!expr.is("input") && !expr.is("constant") && !forms().contains(expr.op().name)) unknown.insert(expr.op().name);
  if (!unknown.empty()) {
    const std::vector<std::string> list(unknown.begin(), unknown.end());
    throw Error(ErrorCode::model, fmt::format("the network uses operators that are not written as ONNX: {}", join(list)));
  }
  name_all(order);
  model_.set_ir_version(written_ir);
  model_.set_producer_name("rulegrad");
  auto& opset = *model_.add_opset_import();
  opset.set_domain("");
  opset.set_version(written_opset);
  auto& graph = *model_.mutable_graph();
  graph.set_name(options_.graph_name);
  std::set<Expr, bool (*)(Expr, Expr)> read([](Expr a, Expr b) { return a->id < b->id; });
  for (const Expr expr : order)
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) read.insert(expr.operand(i));
  for (const Expr output : outputs_) read.insert(output);
  for (const Expr expr : order) {
    if (expr.is("input"))
      describe_value(*graph.add_input(), name(expr), expr.type());
    else if (!expr.is("constant"))
      forms().at(expr.op().name)(*this, expr);
    else if (read.contains(expr))
      add_tensor(name(expr), expr.attributes<ConstantAttributes>().value);
  }
  for (const Expr output : outputs_) describe_value(*graph.add_output(), name(output), output.type());
  auto metadata = options_.metadata;
  if (!options_.labels.empty()) metadata["labels"] = join(options_.labels, "\n");
  for (const auto& [key, value] : metadata) {
    auto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return std::move(model_);
}

Form plain(const char* op_type) {
  return [op_type](Writer& w, Expr e) { w.node(op_type, e); };
}

void write_dense(Writer& w, Expr e) {
  const bool bias = !Writer::absent(e, 2);
  if (e.shape().rank() == 2) {
    w.node("Gemm", e).set("transB", std::int64_t{1});
    return;
  }
  // Gemm is for matrices only.
  const std::string& y = w.name(e);
  w.node("Transpose", {w.name(e.operand(1))}, y + ".weight").set("perm", Ints{1, 0});
  w.node("MatMul", {w.name(e.operand(0)), y + ".weight"}, bias ? y + ".product" : y);
  if (bias) w.node("Add", {y + ".product", w.name(e.operand(2))}, y);
}

void write_conv(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvAttributes>();
  w.node("Conv", e).set("strides", a.strides).set("pads", joined(a.pads_begin, a.pads_end)).set("dilations", a.dilations).set("group", a.groups);
}

void write_conv_transpose(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvTransposeAttributes>();
  Ints extra;
  for (std::size_t i = 0; i < a.spatial.size(); ++i) {
    const std::int64_t in = e.operand(0).shape()[i + 2].factor, kernel = e.operand(1).shape()[i + 2].factor;
    extra.push_back(a.spatial[i] - ((in - 1) * a.strides[i] + a.dilations[i] * (kernel - 1) + 1 - a.pads_begin[i] - a.pads_end[i]));
  }
  w.node("ConvTranspose", e).set("strides", a.strides).set("pads", joined(a.pads_begin, a.pads_end)).set("dilations", a.dilations)
      .set("group", a.groups).set("output_padding", extra);
}

void write_max_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<PoolAttributes>();
  w.node("MaxPool", e).set("kernel_shape", a.kernel).set("strides", a.strides).set("pads", joined(a.pads_begin, a.pads_end))
      .set("dilations", a.dilations).set("ceil_mode", std::int64_t{a.ceil});
}

void write_avg_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<AvgPoolAttributes>();
  if (std::any_of(a.dilations.begin(), a.dilations.end(), [](std::int64_t d) { return d != 1; })) Writer::refuse(e, fmt::format("operator set {} has no dilated average pooling", written_opset));
  w.node("AveragePool", e).set("kernel_shape", a.kernel).set("strides", a.strides).set("pads", joined(a.pads_begin, a.pads_end))
      .set("ceil_mode", std::int64_t{a.ceil}).set("count_include_pad", std::int64_t{a.count_padding});
}

void write_batch_norm(Writer& w, Expr e) {
  const auto& a = e.attributes<BatchNormAttributes>();
  if (a.axis != 1) Writer::refuse(e, "its channels must be axis 1");
  w.node("BatchNormalization", e).set("epsilon", a.epsilon);
}

void write_reshape(Writer& w, Expr e) {
  const Shape &from = e.operand(0).shape(), &to = e.shape();
  if (from.rank() > 1 && to.rank() == 2 && from[0] == to[0]) {
    w.node("Flatten", e).set("axis", std::int64_t{1});
    return;
  }
  Ints target;
  for (const Dim dim : to.dims()) target.push_back(dim.batch ? -1 : dim.factor);
  w.node("Reshape", e).input("shape", target);
}

void write_expand(Writer& w, Expr e) {
  Ints target;
  for (const Dim dim : e.shape().dims()) {
    if (dim.batch && std::none_of(e.operand(0).shape().dims().begin(), e.operand(0).shape().dims().end(), [&](Dim d) { return d == dim; }))
      Writer::refuse(e, "it repeats something for each entry of the batch");
    target.push_back(dim.batch ? 1 : dim.factor);
  }
  w.node("Expand", e).input("shape", target);
}

void write_clip(Writer& w, Expr e) {
  const auto& a = e.attributes<ClipAttributes>();
  w.node("Clip", e).input("min", Tensor::scalar(e.dtype(), a.low)).input("max", Tensor::scalar(e.dtype(), a.high));
}

void write_pad(Writer& w, Expr e) {
  const auto& a = e.attributes<PadAttributes>();
  const char* const modes[] = {"constant", "reflect", "edge"};
  w.node("Pad", e).set("mode", std::string(modes[static_cast<std::size_t>(a.mode)])).input("pads", joined(a.begin, a.end)).input("value", Tensor::scalar(e.dtype(), a.value));
}

void write_slice(Writer& w, Expr e) {
  const auto& a = e.attributes<SliceAttributes>();
  Ints stops = a.stops;
  for (std::size_t i = 0; i < stops.size(); ++i)
    if (a.steps[i] < 0 && stops[i] < 0) stops[i] = -e.operand(0).shape()[static_cast<std::size_t>(a.axes[i])].factor - 1;
  w.node("Slice", e).input("starts", a.starts).input("ends", stops).input("axes", a.axes).input("steps", a.steps);
}

void write_fill(Writer& w, Expr e) {
  const auto& a = e.attributes<FillAttributes>();
  const auto dims = a.shape.static_dims();
  if (!dims) Writer::refuse(e, "its shape holds the batch");
  w.add_tensor(w.name(e), Tensor::full(a.dtype, *dims, a.value));
}

const std::map<std::string, Form, std::less<>>& forms() {
  static const std::map<std::string, Form, std::less<>> all = [] {
    std::map<std::string, Form, std::less<>> f;
    const std::pair<const char*, const char*> plains[] = {
        {"relu", "Relu"}, {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"}, {"softplus", "Softplus"}, {"prelu", "PRelu"}, {"exp", "Exp"}, {"log", "Log"},
        {"sqrt", "Sqrt"}, {"abs", "Abs"}, {"neg", "Neg"}, {"sign", "Sign"}, {"erf", "Erf"}, {"reciprocal", "Reciprocal"}, {"add", "Add"}, {"sub", "Sub"},
        {"mul", "Mul"}, {"div", "Div"}, {"pow", "Pow"}, {"max", "Max"}, {"min", "Min"}, {"where", "Where"}, {"identity", "Identity"}};
    for (const auto& [name, op_type] : plains) f[name] = plain(op_type);
    f["dense"] = write_dense;
    f["conv"] = write_conv;
    f["conv_transpose"] = write_conv_transpose;
    f["max_pool"] = write_max_pool;
    f["avg_pool"] = write_avg_pool;
    f["batch_norm"] = write_batch_norm;
    f["reshape"] = write_reshape;
    f["expand"] = write_expand;
    f["clip"] = write_clip;
    f["pad"] = write_pad;
    f["slice"] = write_slice;
    f["fill"] = write_fill;
    f["leaky_relu"] = [](Writer& w, Expr e) { w.node("LeakyRelu", e).set("alpha", e.attributes<LeakyReluAttributes>().alpha); };
    f["elu"] = [](Writer& w, Expr e) { w.node("Elu", e).set("alpha", e.attributes<EluAttributes>().alpha); };
    f["selu"] = [](Writer& w, Expr e) { w.node("Selu", e).set("alpha", e.attributes<SeluAttributes>().alpha).set("gamma", e.attributes<SeluAttributes>().gamma); };
    f["hardsigmoid"] = [](Writer& w, Expr e) {
      w.node("HardSigmoid", e).set("alpha", e.attributes<HardsigmoidAttributes>().alpha).set("beta", e.attributes<HardsigmoidAttributes>().beta);
    };
    f["silu"] = [](Writer& w, Expr e) {
      w.node("Sigmoid", {w.name(e.operand(0))}, w.name(e) + ".gate");
      w.node("Mul", {w.name(e.operand(0)), w.name(e) + ".gate"}, w.name(e));
    };
    f["lrn"] = [](Writer& w, Expr e) {
      const auto& a = e.attributes<LrnAttributes>();
      w.node("LRN", e).set("size", a.size).set("alpha", a.alpha).set("beta", a.beta).set("bias", a.bias);
    };
    f["softmax"] = [](Writer& w, Expr e) { w.node("Softmax", e).set("axis", e.attributes<AxisAttributes>().axis); };
    f["log_softmax"] = [](Writer& w, Expr e) { w.node("LogSoftmax", e).set("axis", e.attributes<AxisAttributes>().axis); };
    f["concat"] = [](Writer& w, Expr e) { w.node("Concat", e).set("axis", e.attributes<AxisAttributes>().axis); };
    f["transpose"] = [](Writer& w, Expr e) { w.node("Transpose", e).set("perm", e.attributes<TransposeAttributes>().perm); };
    f["cast"] = [](Writer& w, Expr e) { w.node("Cast", e).set("to", std::int64_t{onnx_type(e.dtype())}); };
    f["mean"] = [](Writer& w, Expr e) {
      w.node("ReduceMean", e).set("axes", e.attributes<ReduceAttributes>().axes).set("keepdims", std::int64_t{e.attributes<ReduceAttributes>().keep});
    };
    f["sum"] = [](Writer& w, Expr e) {
      w.node("ReduceSum", e).set("keepdims", std::int64_t{e.attributes<ReduceAttributes>().keep}).input("axes", e.attributes<ReduceAttributes>().axes);
    };
    f["matmul"] = [](Writer& w, Expr e) {
      const auto& a = e.attributes<MatmulAttributes>();
      if (a.transpose_a || a.transpose_b) Writer::refuse(e, "one of its operands is transposed");
      w.node("MatMul", e);
    };
    return f;
  }();
  return all;
}

}  // namespace

void save_onnx(const std::filesystem::path& path, std::span<const Expr> outputs, const SaveOptions& options) {
  if (outputs.empty()) throw Error(ErrorCode::model, "there is no output to save");
  std::string bytes;
  if (!Writer(outputs, options).write().SerializeToString(&bytes))
    throw Error(ErrorCode::model, fmt::format("'{}' would be larger than the 2 GB that an ONNX file can have", path.string()));
  io::write_atomically(path, {std::as_bytes(std::span(bytes))}, "write the model");
}

}  // namespace rulegrad
