// The ONNX importer; what loads is planned, run and explained under a small limit on memory.
#include <algorithm>
#include <fmt/format.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/target.hpp"
#include "fuzz/values.hpp"
#include "onnx/node_context.hpp"
#include "onnx/onnx_builder.hpp"

namespace rulegrad::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::size_t memory = std::size_t{48} << 20;
/// What is explained costs several times what it was read from.
constexpr std::size_t most_explained = 3000;

const std::vector<std::string>& operator_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, handler] : io::handlers()) all.push_back(name);
    return all;
  }();
  return names;
}

constexpr const char* attribute_names[] = {"axis",         "axes",
                                           "perm",         "to",
                                           "kernel_shape", "strides",
                                           "pads",         "dilations",
                                           "group",        "keepdims",
                                           "alpha",        "beta",
                                           "mode",         "value",
                                           "epsilon",      "num_heads",
                                           "depth",        "blocksize",
                                           "equation",     "direction",
                                           "hidden_size",  "num_groups",
                                           "ceil_mode",    "auto_pad",
                                           "starts",       "ends",
                                           "split",        "num_outputs",
                                           "scales",       "k",
                                           "upper",        "transA",
                                           "transB",       "reduction",
                                           "exclusive",    "reverse",
                                           "body",         "then_branch",
                                           "else_branch",  "num_scan_inputs",
                                           "n_targets",    "post_transform",
                                           "layout",       "output_padding",
                                           "output_shape", "count_include_pad",
                                           "batch_dims",   "onesided",
                                           "inverse",      "largest",
                                           "sorted",       "block_size",
                                           "is_causal",    "q_num_heads",
                                           "kv_num_heads", "antialias"};

/// A number of the wire: what it counts decides nothing, so extents, axes and types are all tried.
void set_number(Message& message, const FieldDescriptor* field, int index, RandomEngine& random) {
  const auto* reflection = message.GetReflection();
  const bool repeated = field->is_repeated();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT64: {
      const std::int64_t value = any_number(random);
      repeated ? reflection->SetRepeatedInt64(&message, field, index, value)
               : reflection->SetInt64(&message, field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto value = static_cast<std::int32_t>(any_number(random));
      repeated ? reflection->SetRepeatedInt32(&message, field, index, value)
               : reflection->SetInt32(&message, field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      const auto value = static_cast<std::uint64_t>(any_number(random));
      repeated ? reflection->SetRepeatedUInt64(&message, field, index, value)
               : reflection->SetUInt64(&message, field, value);
      break;
    }
    case FieldDescriptor::CPPTYPE_FLOAT:
      repeated ? reflection->SetRepeatedFloat(&message, field, index, static_cast<float>(any_real(random)))
               : reflection->SetFloat(&message, field, static_cast<float>(any_real(random)));
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      repeated ? reflection->SetRepeatedDouble(&message, field, index, any_real(random))
               : reflection->SetDouble(&message, field, any_real(random));
      break;
    case FieldDescriptor::CPPTYPE_ENUM: {
      const int value = static_cast<int>(below(random, 30));
      repeated ? reflection->SetRepeatedEnumValue(&message, field, index, value)
               : reflection->SetEnumValue(&message, field, value);
      break;
    }
    default:
      break;
  }
}

/// Every message inside, with those around it first.
void collect(Message& message, std::vector<Message*>& all) {
  if (all.size() > 5000) return;
  all.push_back(&message);
  std::vector<const FieldDescriptor*> fields;
  const auto* reflection = message.GetReflection();
  reflection->ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      collect(*reflection->MutableMessage(&message, field), all);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i)
      collect(*reflection->MutableRepeatedMessage(&message, field, i), all);
  }
}

/// Names of values of the graph, so that references mostly lead somewhere.
std::vector<std::string> value_names(const onnx::GraphProto& graph) {
  std::vector<std::string> names{""};
  for (const auto& input : graph.input()) names.push_back(input.name());
  for (const auto& tensor : graph.initializer()) names.push_back(tensor.name());
  for (const auto& node : graph.node())
    for (const auto& output : node.output()) names.push_back(output);
  return names;
}

void set_text(Message& message, const FieldDescriptor* field, int index, RandomEngine& random,
              const std::vector<std::string>& names) {
  std::string value;
  const std::string& what = field->name();
  if (what == "op_type")
    value = pick(random, operator_names());
  else if (what == "name" && message.GetDescriptor()->name() == "AttributeProto")
    value = attribute_names[below(random, std::size(attribute_names))];
  else if (what == "raw_data" || what == "s" || what == "strings") {
    Bytes bytes;
    const std::string old = field->is_repeated()
                                ? message.GetReflection()->GetRepeatedString(message, field, index)
                                : message.GetReflection()->GetString(message, field);
    bytes.assign(old.begin(), old.end());
    if (what == "raw_data" && bytes.size() >= 8 && one_in(random, 2)) {
      const std::size_t at = below(random, bytes.size() / 8) * 8;
      const auto number = static_cast<std::uint64_t>(any_number(random));
      for (std::size_t i = 0; i < 8; ++i) bytes[at + i] = static_cast<std::uint8_t>(number >> (8 * i));
    } else {
      mutate_bytes(bytes, random);
    }
    value.assign(bytes.begin(), bytes.end());
  } else {
    value = pick(random, names);
  }
  field->is_repeated() ? message.GetReflection()->SetRepeatedString(&message, field, index, value)
                       : message.GetReflection()->SetString(&message, field, value);
}

/// One change of one message.
void change(Message& message, RandomEngine& random, const std::vector<std::string>& names,
            const std::vector<Message*>& others) {
  const auto* reflection = message.GetReflection();
  const auto* descriptor = message.GetDescriptor();
  std::vector<const FieldDescriptor*> set;
  reflection->ListFields(message, &set);
  const bool add = set.empty() || one_in(random, 6);
  const FieldDescriptor* const field =
      add ? descriptor->field(
                static_cast<int>(below(random, static_cast<std::size_t>(descriptor->field_count()))))
          : set[below(random, set.size())];
  if (field->is_repeated()) {
    const int size = reflection->FieldSize(message, field);
    const int at = size > 0 ? static_cast<int>(below(random, static_cast<std::size_t>(size))) : 0;
    switch (below(random, size == 0 || add ? 2 : 8)) {
      case 0:
      case 1:
        // One more, a number or name, or a copy of what there is.
        if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          Message* const fresh = reflection->AddMessage(&message, field);
          if (size > 0) fresh->CopyFrom(reflection->GetRepeatedMessage(message, field, at));
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
          reflection->AddString(&message, field, "");
          set_text(message, field, size, random, names);
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
          reflection->AddInt64(&message, field, any_number(random));
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
          reflection->AddFloat(&message, field, static_cast<float>(any_real(random)));
        }
        return;
      case 2:
        reflection->RemoveLast(&message, field);
        return;
      case 3:
        reflection->SwapElements(&message, field, at,
                                 static_cast<int>(below(random, static_cast<std::size_t>(size))));
        return;
      default:
        break;
    }
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING)
      set_text(message, field, at, random, names);
    else if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE)
      set_number(message, field, at, random);
    return;
  }
  if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) return set_text(message, field, 0, random, names);
  if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) return set_number(message, field, 0, random);
  if (one_in(random, 3)) return reflection->ClearField(&message, field);
  // Another message of the kind in its place; a copy, for what stands there may hold it.
  for (int tries = 0; tries < 20; ++tries) {
    const Message* const other = others[below(random, others.size())];
    if (other->GetDescriptor() != field->message_type() || other->SpaceUsedLong() > (std::size_t{1} << 16))
      continue;
    const std::unique_ptr<Message> copy(other->New());
    copy->CopyFrom(*other);
    return reflection->MutableMessage(&message, field)->CopyFrom(*copy);
  }
}

/// A node more, of any operator, with attributes that operators of its kind have.
void add_node(onnx::GraphProto& graph, RandomEngine& random, const std::vector<std::string>& names) {
  auto& node = *graph.add_node();
  node.set_op_type(pick(random, operator_names()));
  for (std::size_t i = 1 + below(random, 4); i > 0; --i) node.add_input(pick(random, names));
  const std::string name = fmt::format("v{}", random() % 1000000);
  node.add_output(name);
  if (one_in(random, 4)) node.add_output(name + "b");
  for (std::size_t i = below(random, 4); i > 0; --i) {
    auto& attribute = *node.add_attribute();
    attribute.set_name(attribute_names[below(random, std::size(attribute_names))]);
    if (one_in(random, 3)) {
      attribute.set_type(onnx::AttributeProto::INT);
      attribute.set_i(any_number(random));
    } else if (one_in(random, 2)) {
      attribute.set_type(onnx::AttributeProto::INTS);
      for (std::size_t k = below(random, 5); k > 0; --k) attribute.add_ints(any_number(random));
    } else {
      attribute.set_type(onnx::AttributeProto::FLOAT);
      attribute.set_f(static_cast<float>(any_real(random)));
    }
  }
  // Taken up by what stands there, or an output of its own.
  if (graph.node_size() > 1 && one_in(random, 2)) {
    auto& other =
        *graph.mutable_node(static_cast<int>(below(random, static_cast<std::size_t>(graph.node_size() - 1))));
    if (other.input_size() > 0) {
      other.set_input(static_cast<int>(below(random, static_cast<std::size_t>(other.input_size()))), name);
      graph.mutable_node()->SwapElements(0, graph.node_size() - 1);
      return;
    }
  }
  if (graph.output_size() > 0 && one_in(random, 2))
    graph.mutable_output(0)->set_name(name);
  else
    graph.add_output()->set_name(name);
}

/// A tensor whose extents and elements agree: what a reader lets through.
void refill(onnx::TensorProto& tensor, RandomEngine& random) {
  tensor.Clear();
  const bool integers = one_in(random, 2);
  std::int64_t count = 1;
  for (std::size_t rank = below(random, integers ? 2 : 5); rank > 0; --rank) {
    tensor.add_dims(static_cast<std::int64_t>(one_in(random, 12) ? 0 : 1 + below(random, 6)));
    count *= tensor.dims(tensor.dims_size() - 1);
  }
  tensor.set_data_type(integers ? onnx::TensorProto::INT64 : onnx::TensorProto::FLOAT);
  for (std::int64_t i = 0; i < count; ++i)
    integers ? tensor.add_int64_data(any_number(random))
             : tensor.add_float_data(static_cast<float>(any_real(random)));
}

void mutate(Bytes& input, RandomEngine& random) {
  onnx::ModelProto model;
  const google::protobuf::LogSilencer silence;
  if (!model.ParseFromArray(input.data(), static_cast<int>(input.size()))) return mutate_bytes(input, random);
  if (one_in(random, 40)) return mutate_bytes(input, random);
  onnx::GraphProto& graph = *model.mutable_graph();
  const std::vector<std::string> names = value_names(graph);
  switch (below(random, 8)) {
    case 0:
      add_node(graph, random, names);
      break;
    case 1:
      if (graph.initializer_size() > 0) {
        auto& tensor = *graph.mutable_initializer(
            static_cast<int>(below(random, static_cast<std::size_t>(graph.initializer_size()))));
        const std::string name = tensor.name();
        refill(tensor, random);
        tensor.set_name(name);
        break;
      }
      [[fallthrough]];
    case 2:
      if (graph.input_size() > 0) {
        auto& type =
            *graph
                 .mutable_input(static_cast<int>(below(random, static_cast<std::size_t>(graph.input_size()))))
                 ->mutable_type()
                 ->mutable_tensor_type();
        auto& shape = *type.mutable_shape();
        if (shape.dim_size() > 0 && !one_in(random, 3))
          shape.mutable_dim(static_cast<int>(below(random, static_cast<std::size_t>(shape.dim_size()))))
              ->set_dim_value(any_number(random));
        else
          shape.add_dim()->set_dim_value(any_number(random));
        break;
      }
      [[fallthrough]];
    default: {
      std::vector<Message*> all;
      collect(model, all);
      change(*all[below(random, all.size())], random, names, all);
      break;
    }
  }
  const std::string bytes = model.SerializePartialAsString();
  input.assign(bytes.begin(), bytes.end());
}

/// A network of a few layers, of one of the kinds that exporters write.
Bytes fresh(RandomEngine& random) {
  testing::OnnxBuilder b(static_cast<std::int64_t>(9 + below(random, 14)));
  const auto list = [&](const std::string& name, const std::vector<std::int64_t>& values) {
    b.integers(name, {static_cast<std::int64_t>(values.size())}, values);
  };
  const auto numbers = [&](const std::string& name, const std::vector<std::int64_t>& dims) {
    std::int64_t count = 1;
    for (const std::int64_t extent : dims) count *= extent;
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i)
      values.push_back(static_cast<float>(static_cast<int>(below(random, 17)) - 8) / 8);
    b.floats(name, dims, values);
  };
  switch (below(random, 6)) {
    case 0:
      b.input("x", {-1, 2, 6, 6});
      numbers("w", {3, 2, 3, 3});
      b.node("Conv", {"x", "w"}, {"c"});
      b.node("Relu", {"c"}, {"r"});
      testing::OnnxBuilder::set(b.node("MaxPool", {"r"}, {"p"}), "kernel_shape",
                                std::vector<std::int64_t>{2, 2});
      b.node("Flatten", {"p"}, {"f"});
      numbers("v", {27, 3});
      b.node("MatMul", {"f", "v"}, {"y"});
      break;
    case 1:
      b.input("x", {-1, 4, 6});
      numbers("w", {6, 6});
      b.node("MatMul", {"x", "w"}, {"q"});
      testing::OnnxBuilder::set(b.node("Transpose", {"q"}, {"k"}), "perm",
                                std::vector<std::int64_t>{0, 2, 1});
      b.node("MatMul", {"q", "k"}, {"s"});
      testing::OnnxBuilder::set(b.node("Softmax", {"s"}, {"a"}), "axis", 2);
      b.node("MatMul", {"a", "x"}, {"h"});
      b.node("Shape", {"x"}, {"shape"});
      list("zero", {0});
      testing::OnnxBuilder::set(b.node("Gather", {"shape", "zero"}, {"n"}), "axis", 0);
      list("rest", {-1});
      testing::OnnxBuilder::set(b.node("Concat", {"n", "rest"}, {"to"}), "axis", 0);
      b.node("Reshape", {"h", "to"}, {"y"});
      break;
    case 2:
      b.input("x", {-1, 5});
      list("starts", {1});
      list("ends", {4});
      list("axes", {1});
      b.node("Slice", {"x", "starts", "ends", "axes"}, {"s"});
      list("pads", {0, 1, 0, 2});
      b.node("Pad", {"s", "pads"}, {"p"});
      list("shape", {2, 1, 6});
      b.node("Expand", {"p", "shape"}, {"e"});
      list("repeats", {1, 2, 1});
      b.node("Tile", {"e", "repeats"}, {"t"});
      b.node("ReduceMean", {"t"}, {"y"});
      break;
    case 3: {
      b.input("x", {3, 2, 4});
      numbers("W", {1, 12, 4});
      numbers("R", {1, 12, 3});
      testing::OnnxBuilder::set(b.node("GRU", {"x", "W", "R"}, {"h", "y"}), "hidden_size", 3);
      break;
    }
    case 4: {
      b.input("x", {-1, 3});
      list("trips", {3});
      list("zero", {0});
      b.node("Squeeze", {"trips", "zero"}, {"m"});
      auto& node = b.node("Loop", {"m", "", "x"}, {"y", "all"});
      auto& attribute = *node.add_attribute();
      attribute.set_name("body");
      attribute.set_type(onnx::AttributeProto::GRAPH);
      auto& body = *attribute.mutable_g();
      for (const char* name : {"i", "cond", "h"}) body.add_input()->set_name(name);
      const auto inside = [&](const char* op, std::initializer_list<const char*> inputs, const char* output) {
        auto& step = *body.add_node();
        step.set_op_type(op);
        for (const char* name : inputs) step.add_input(name);
        step.add_output(output);
      };
      inside("Relu", {"h"}, "r");
      inside("Add", {"r", "h"}, "next");
      inside("Identity", {"cond"}, "go");
      inside("Identity", {"r"}, "part");
      for (const char* name : {"go", "next", "part"}) body.add_output()->set_name(name);
      break;
    }
    default: {
      b.input("x", {-1, 1, 4, 4});
      numbers("scales", {4});
      b.floats("sizes", {4}, {1, 1, 2, 2});
      b.node("Resize", {"x", "", "sizes"}, {"r"});
      list("at", {0, 2});
      testing::OnnxBuilder::set(b.node("Gather", {"r", "at"}, {"g"}), "axis", 2);
      b.node("TopK", {"g", "at"}, {"t", "place"});
      b.node("Clip", {"g"}, {"c"});
      b.node("GlobalAveragePool", {"c"}, {"y"});
      break;
    }
  }
  b.output("y");
  const std::string bytes = b.bytes();
  return {bytes.begin(), bytes.end()};
}

Reached run(std::span<const std::uint8_t> input) {
  static const ScratchFile file(".onnx"), again(".saved.onnx");
  set_memory_limit(memory);
  file.write(input);
  const std::uint64_t choice = digest(input);
  std::optional<Model> model;
  (void)answers([&] { (void)inspect_onnx(file.path()); });
  const LoadOptions options{.dtype = choice % 3 == 0 ? DType::float64 : DType::float32,
                            .allow_non_finite = choice % 5 == 0};
  if (!answers([&] { model = load_onnx(file.path(), options); })) return Reached::refused;
  if (model->graph().size() > 200000) return Reached::read;
  Inputs inputs;
  std::vector<Expr> outputs;
  for (const ModelOutput& output : model->outputs()) outputs.push_back(output.expr);
  for (const ModelInput& given : model->inputs()) {
    const auto values = small_values(given.expr.type(), 2, choice);
    if (!values) return Reached::read;
    inputs.emplace(given.name, *values);
  }
  std::optional<Program> program;
  if (!answers([&] {
        program =
            Program::compile(outputs, {.check_finite = choice % 5 != 0, .check_facts = choice % 7 == 0});
      }))
    return Reached::read;
  if (!answers([&] { (void)program->run(inputs, {.threads = 1, .stop = soon()}); })) return Reached::planned;
  if (choice % 4 == 0 && answers([&] { save_onnx(again.path(), outputs); }))
    // What is written is read; its numbers are compared in tests of the writer.
    (void)answers([&] { (void)load_onnx(again.path(), options); });
  if (model->graph().size() > most_explained) return Reached::ran;
  static constexpr const char* methods[] = {"gradient",           "lrp.epsilon",
                                            "lrp.z_plus",         "guided_backprop",
                                            "deeplift.rescale",   "integrated_gradients:steps=2",
                                            "lrp.alpha_2_beta_1", "smoothgrad:n=2"};
  const bool explained = answers([&] {
    const Explainer explainer(*model, methods[choice % std::size(methods)], {.check_finite = false});
    (void)explainer.run(inputs, {.threads = 1, .stop = soon()});
  });
  return explained ? Reached::explained : Reached::ran;
}

}  // namespace

const Target& target() {
  static const Target onnx{"onnx", run, fresh, mutate};
  return onnx;
}

}  // namespace rulegrad::fuzz
