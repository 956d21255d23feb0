#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"

#include "compile/memory_limit.hpp"
#include "files/file.hpp"
#include "onnx/known_weights.hpp"
#include "onnx/writer.hpp"
#include "passes/unroll.hpp"
#include "support/text.hpp"
#include "tensor/checked.hpp"

namespace rulegrad::io {

int onnx_type(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return onnx::TensorProto::FLOAT;
    case DType::float64:
      return onnx::TensorProto::DOUBLE;
    case DType::int32:
      return onnx::TensorProto::INT32;
    case DType::int64:
      return onnx::TensorProto::INT64;
    case DType::uint8:
      return onnx::TensorProto::UINT8;
    case DType::int8:
      return onnx::TensorProto::INT8;
    case DType::boolean:
      break;
  }
  return onnx::TensorProto::BOOL;
}

Tensor filled(DType dtype, Dims dims, double value) {
  const std::int64_t bytes =
      checked::product(element_count(dims), static_cast<std::int64_t>(size_of(dtype)), "the bytes");
  MemoryBudget().add(static_cast<std::size_t>(bytes),
                     fmt::format("an array of {} that a file is to hold", to_string(dims)));
  return Tensor::full(dtype, std::move(dims), value);
}

NodeWriter& NodeWriter::input(const char* suffix, const Tensor& value) {
  const std::string name = writer_.unused(node_.output(0) + "." + suffix);
  writer_.add_tensor(name, value);
  node_.add_input(name);
  return *this;
}

/// The name a node was given, if no other node of the file has it.
void Writer::name_all(std::span<const Expr> order) {
  const auto claim = [&](Expr expr, const std::string& name) {
    return taken_.insert(name).second && names_.emplace(expr, name).second;
  };
  for (const Expr expr : order)
    if (is_input(expr)) claim(expr, expr.attributes<InputAttributes>().name);
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const std::string name = i < options_.output_names.size() ? options_.output_names[i]
                             : i == 0                         ? "y"
                                                              : fmt::format("y_{}", i);
    output_names_.push_back(name);
    // An input, or an output once more, is handed on under the name.
    const bool named = names_.contains(outputs_[i]);
    if (named ? !taken_.insert(name).second : !claim(outputs_[i], name))
      throw Error(ErrorCode::model, fmt::format("the output name '{}' is taken", name));
  }
  std::size_t index = 0;
  for (const Expr expr : order) {
    ++index;
    if (names_.contains(expr)) continue;
    for (const std::string& name : expr.graph().names(expr))
      if (!names_.contains(expr) && !taken_.contains(name)) claim(expr, name);
    for (std::string name = fmt::format("v{}", index); !names_.contains(expr); name += "_")
      if (!taken_.contains(name)) claim(expr, name);
  }
}

std::string Writer::unused(std::string name) {
  while (!taken_.insert(name).second) name += "_";
  return name;
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

void Writer::require_forms(std::span<const Expr> order) const {
  std::map<std::string, std::string> unknown;
  for (const Expr expr : order)
    if (!is_input(expr) && !is_constant(expr) && !is_custom(expr.op()) && !forms().contains(expr.op().name) &&
        !expr.is("sample_index") && !expr.is("reduce_samples"))
      unknown.emplace(expr.op().name, describe(expr) + why_unwritten(expr.op()));
  if (unknown.empty()) return;
  std::vector<std::string> list;
  for (const auto& [name, text] : unknown) list.push_back(text);
  throw Error(ErrorCode::model,
              fmt::format("the network uses operators that are not written as ONNX: {}", join(list, "; ")));
}

std::string Writer::shared(const Tensor& value) {
  std::string key = fmt::format("{}{}:", name_of(value.dtype()), to_string(value.dims()));
  key.append(reinterpret_cast<const char*>(value.data()), value.bytes());
  const auto [found, fresh] = shared_.try_emplace(std::move(key));
  if (fresh) {
    found->second = unused(fmt::format("shared.{}", shared_.size() - 1));
    add_tensor(found->second, value);
  }
  return found->second;
}

namespace {

/// Says in which file the bytes of a tensor lie.
void place(onnx::TensorProto& tensor, const std::string& location, std::size_t offset, std::size_t length) {
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  const std::pair<const char*, std::string> entries[] = {
      {"location", location}, {"offset", std::to_string(offset)}, {"length", std::to_string(length)}};
  for (const auto& [key, text] : entries) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(text);
  }
}

}  // namespace

void Writer::add_tensor(const std::string& name, const Tensor& value) {
  auto& tensor = *model_.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(onnx_type(value.dtype()));
  for (const std::int64_t extent : value.dims()) tensor.add_dims(extent);
  const bool large = value.bytes() >= least_external;
  const KnownWeights::Place* const known = large && known_ != nullptr ? known_->find(value) : nullptr;
  if (known != nullptr)
    place(tensor, known->location, known->offset, value.bytes());
  else if (options_.external_data && large)
    store_outside(tensor, value);
  else
    tensor.set_raw_data(value.data(), value.bytes());
}

/// Where a mapped file has it aligned.
void Writer::store_outside(onnx::TensorProto& tensor, const Tensor& value) {
  constexpr std::size_t alignment = 64;
  outside_.resize((outside_.size() + alignment - 1) / alignment * alignment);
  place(tensor, location_, outside_.size(), value.bytes());
  outside_.append(reinterpret_cast<const char*>(value.data()), value.bytes());
}

/// What is the same in every run of a loop stands outside of it.
class Writer::Outside {
 public:
  explicit Outside(Writer& writer) : writer_(writer), before_(writer.graph_) {
    writer.graph_ = writer.model_.mutable_graph();
  }
  ~Outside() { writer_.graph_ = before_; }
  Outside(const Outside&) = delete;
  Outside& operator=(const Outside&) = delete;

 private:
  Writer& writer_;
  onnx::GraphProto* before_;
};

/// An input that has the batch says how large it is.
const std::string& Writer::batch(Expr user) {
  if (!batch_.empty()) return batch_;
  const Outside outside(*this);
  for (const Expr input : inputs_)
    for (std::size_t axis = 0; axis < input.shape().rank(); ++axis) {
      const Dim dim = input.shape()[axis];
      if (!dim.batch) continue;
      const std::string shape = unused("batch.shape");
      node("Shape", {name(input)}, shape);
      batch_ = unused("batch.extent");
      const std::string entries = dim.factor == 1 ? batch_ : unused("batch.entries");
      node("Gather", {shape, ints({static_cast<std::int64_t>(axis)})}, entries).set("axis", std::int64_t{0});
      if (dim.factor != 1) node("Div", {entries, ints({dim.factor})}, batch_);
      return batch_;
    }
  refuse(user, "its shape holds the batch, of which no input that is needed says how large it is");
}

std::string Writer::extents(Expr user, const Shape& shape) {
  if (const auto dims = shape.static_dims()) return ints(*dims);
  const auto [found, fresh] = extents_.try_emplace(to_string(shape));
  if (!fresh) return found->second;
  found->second = unused(fmt::format("extents.{}", extents_.size() - 1));
  const Outside outside(*this);
  std::vector<std::string> parts;
  for (const Dim dim : shape.dims()) {
    if (!dim.batch) {
      parts.push_back(ints({dim.factor}));
    } else if (dim.factor == 1) {
      parts.push_back(batch(user));
    } else {
      parts.push_back(unused(found->second + ".batch"));
      node("Mul", {batch(user), ints({dim.factor})}, parts.back());
    }
  }
  node("Concat", std::move(parts), found->second).set("axis", std::int64_t{0});
  return found->second;
}

void Writer::write_output(std::size_t index) {
  const Expr output = outputs_[index];
  if (name(output) != output_names_[index]) node("Identity", {name(output)}, output_names_[index]);
  describe_value(*model_.mutable_graph()->add_output(), output_names_[index], output.type());
}

namespace {

/// The version of the format in which an operator set came out.
std::int64_t ir_version(std::int64_t opset) {
  return opset <= 14 ? 7 : opset <= 18 ? 8 : opset <= 20 ? 9 : opset <= 22 ? 10 : 11;
}

}  // namespace

/// Unless it belongs to the body of a loop, which its reduction writes.
void Writer::write_expr(Expr expr) {
  if ((expr.loops() & ~loops_) != 0 || is_input(expr) || written_.contains(expr)) return;
  if (const Tensor* array = array_of(expr)) {
    if (read_.contains(expr)) add_tensor(name(expr), *array);
    return;
  }
  if (expr.is("reduce_samples"))
    write_loop(expr);
  else if (is_custom(expr.op()))
    write_custom(*this, expr);
  else
    forms().at(expr.op().name)(*this, expr);
  written_.insert(expr);
  if (std::find(outputs_.begin(), outputs_.end(), expr) == outputs_.end())
    describe_value(*graph_->add_value_info(), name(expr), expr.type());
}

onnx::ModelProto Writer::write() {
  order_ = topological_order(outputs_);
  const std::vector<Expr>& order = order_;
  require_forms(order);
  for (const Expr output : outputs_)
    if (output.loops() != 0) refuse(output, "no reduction ends its loop");
  name_all(order);
  model_.set_ir_version(ir_version(opset_));
  model_.set_producer_name("rulegrad");
  auto& opset = *model_.add_opset_import();
  opset.set_domain("");
  opset.set_version(opset_);
  if (std::any_of(order.begin(), order.end(), [](Expr expr) { return is_custom(expr.op()); })) {
    auto& custom = *model_.add_opset_import();
    custom.set_domain(custom_domain);
    custom.set_version(1);
  }
  auto& graph = *model_.mutable_graph();
  graph.set_name(options_.graph_name);
  for (const Expr expr : order)
    for (std::size_t i = 0; i < expr.operands().size(); ++i)
      if (!absent(expr, i)) read_.insert(expr.operand(i));
  for (const Expr output : outputs_) read_.insert(output);
  for (const Expr expr : order)
    if (is_input(expr)) {
      describe_value(*graph.add_input(), name(expr), expr.type());
      inputs_.push_back(expr);
    }
  for (const Expr expr : order) write_expr(expr);
  for (std::size_t i = 0; i < outputs_.size(); ++i) write_output(i);
  drop_unused(graph);
  auto metadata = options_.metadata;
  if (!options_.labels.empty()) metadata["labels"] = join(options_.labels, "\n");
  for (const auto& [key, value] : metadata) {
    auto& entry = *model_.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  }
  return std::move(model_);
}

namespace {

struct Written {
  onnx::ModelProto model;
  std::string outside;
};

/// In the operator set asked for, or the least one that is enough.
Written written(std::span<const Expr> outputs, const SaveOptions& options, const std::string& location,
                const KnownWeights* known) {
  for (std::int64_t opset = options.opset != 0 ? options.opset : least_opset;;) {
    Writer writer(outputs, options, opset, location, known);
    Written file{writer.write(), writer.outside()};
    if (writer.needed() <= opset) return file;
    if (options.opset != 0)
      throw Error(ErrorCode::model, fmt::format("{} needs operator set {}, but {} was asked for",
                                                writer.needs_it(), writer.needed(), opset));
    opset = writer.needed();
  }
}

}  // namespace
}  // namespace rulegrad::io

namespace rulegrad {

void save_onnx(const std::string& path, std::span<const Expr> outputs, const SaveOptions& options) {
  if (outputs.empty()) throw Error(ErrorCode::model, "there is no output to save");
  if (options.opset != 0 && (options.opset < io::least_opset || options.opset > io::latest_opset))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("operator set {} is not written; those from {} to {} are", options.opset,
                            io::least_opset, io::latest_opset));
  const std::vector<Expr> flat = unrolled(outputs, options.most_samples);
  const std::string beside = path + ".data";
  std::optional<io::KnownWeights> known;
  if (!options.share_with.empty()) known.emplace(options.share_with, path);
  const io::Written file = io::written(flat, options, std::filesystem::path(beside).filename().string(),
                                       known ? &*known : nullptr);
  std::string bytes;
  if (!file.model.SerializeToString(&bytes))
    throw Error(ErrorCode::model, fmt::format("'{}' would be larger than the 2 GB that an ONNX file can "
                                              "have; weights may lie in a file beside it "
                                              "(SaveOptions::external_data)",
                                              path));
  if (options.external_data)
    io::write_atomically(beside, {std::as_bytes(std::span(file.outside))}, "write the weights");
  io::write_atomically(path, {std::as_bytes(std::span(bytes))}, "write the model");
}

}  // namespace rulegrad
