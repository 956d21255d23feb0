#include "onnx/model_file.hpp"

#include <climits>
#include <fmt/format.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/wire_format_lite.h>
#include <optional>
#include <string_view>

#include "rulegrad/support/error.hpp"

#include "onnx/functions.hpp"

namespace rulegrad::io {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

/// The messages on the way from a model to the bytes of its tensors.
enum class Message { model, graph, node, attribute, tensor };

/// The message that a field of another holds, if the way leads through it (field numbers of onnx.proto).
std::optional<Message> inner(Message outer, int field) {
  switch (outer) {
    case Message::model:
      return field == 7 ? std::optional(Message::graph) : std::nullopt;
    case Message::graph:
      if (field == 1) return Message::node;
      return field == 5 ? std::optional(Message::tensor) : std::nullopt;
    case Message::node:
      return field == 5 ? std::optional(Message::attribute) : std::nullopt;
    case Message::attribute:
      return field == 5 ? std::optional(Message::tensor) : std::nullopt;
    case Message::tensor:
      break;
  }
  return std::nullopt;
}

constexpr int raw_data_field = 9;

const char* word(Message message) {
  switch (message) {
    case Message::model:
      return "the model";
    case Message::graph:
      return "its graph";
    case Message::node:
      return "a node of its graph";
    case Message::attribute:
      return "an attribute of a node";
    case Message::tensor:
      break;
  }
  return "a tensor";
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

void put_bytes(std::string& out, int field, std::string_view bytes) {
  put_varint(out, static_cast<std::uint64_t>(field) << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

/// Copies messages without the bytes of large tensors, in whose place stands where they are.
class Slimmer {
 public:
  explicit Slimmer(std::span<const std::byte> file) : file_(file) {}

  std::string slim() { return copy(Message::model, 0, file_.size()); }

 private:
  [[noreturn]] void fail(Message message, std::size_t at, std::string_view what) const {
    throw Error(ErrorCode::model,
                fmt::format("byte {} of {} lies in {}, where {}", at, file_.size(), word(message), what));
  }

  std::string copy(Message message, std::size_t begin, std::size_t size) {
    const auto* const data = reinterpret_cast<const std::uint8_t*>(file_.data() + begin);
    CodedInputStream in(data, static_cast<int>(size));
    std::string out;
    while (true) {
      const auto start = static_cast<std::size_t>(in.CurrentPosition());
      const std::uint32_t tag = in.ReadTag();
      if (tag == 0) {
        if (start != size) fail(message, begin + start, "a field should begin but none does");
        return out;
      }
      const int field = WireFormatLite::GetTagFieldNumber(tag);
      if (WireFormatLite::GetTagWireType(tag) != WireFormatLite::WIRETYPE_LENGTH_DELIMITED) {
        if (!WireFormatLite::SkipField(&in, tag))
          fail(message, begin + start, fmt::format("field {} is cut off or garbled", field));
        out.append(reinterpret_cast<const char*>(data) + start,
                   static_cast<std::size_t>(in.CurrentPosition()) - start);
        continue;
      }
      std::uint32_t length = 0;
      if (!in.ReadVarint32(&length))
        fail(message, begin + start, fmt::format("the length of field {} is cut off", field));
      const auto at = static_cast<std::size_t>(in.CurrentPosition());
      if (length > size - at)
        fail(message, begin + start,
             fmt::format("field {} should take {} bytes but {} are left", field, length, size - at));
      (void)in.Skip(static_cast<int>(length));
      if (const auto next = inner(message, field); next && length >= mapped_from)
        put_bytes(out, field, copy(*next, begin + at, length));
      else if (message == Message::tensor && field == raw_data_field && length >= mapped_from)
        put_place(out, begin + at, length);
      else
        out.append(reinterpret_cast<const char*>(data) + start, at + length - start);
    }
  }

  static void put_place(std::string& out, std::size_t offset, std::size_t length) {
    onnx::TensorProto place;
    const auto add = [&](const char* key, const std::string& value) {
      auto* const entry = place.add_external_data();
      entry->set_key(key);
      entry->set_value(value);
    };
    add("location", "");
    add("offset", std::to_string(offset));
    add("length", std::to_string(length));
    place.set_data_location(onnx::TensorProto::EXTERNAL);
    out += place.SerializeAsString();
  }

  std::span<const std::byte> file_;
};

/// What a file that is not ONNX is by its first bytes, and what to do.
std::string guess(std::span<const std::byte> bytes) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 64));
  if (head.starts_with("PK\x03\x04"))
    return "; it looks like a ZIP archive: a PyTorch checkpoint must be exported with torch.onnx.export";
  if (head.starts_with("\x89HDF"))
    return "; it looks like HDF5: a Keras model must be converted, for instance with tf2onnx";
  if (head.size() > 8 && head.substr(4).starts_with("TFL3"))
    return "; it looks like TensorFlow Lite: convert it, for instance with tf2onnx";
  if (head.starts_with("\x80\x02") || head.starts_with("\x80\x03") || head.starts_with("\x80\x04"))
    return "; it looks like a Python pickle";
  if (head.starts_with("\x89PNG") || head.starts_with("\xff\xd8")) return "; it looks like a picture";
  if (head.starts_with("\x93NUMPY")) return "; it looks like a NumPy array";
  if (head.starts_with("version https://git-lfs"))
    return "; it is a Git LFS pointer: fetch the file itself with 'git lfs pull'";
  return "";
}

std::string type_word(int type) {
  const std::string& name =
      onnx::TensorProto::DataType_IsValid(type)
          ? onnx::TensorProto::DataType_Name(static_cast<onnx::TensorProto::DataType>(type))
          : fmt::format("type{}", type);
  std::string word;
  for (const char c : name) word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return word;
}

}  // namespace

std::int64_t ModelFile::opset() const {
  for (const auto& import : proto.opset_import())
    if (import.domain().empty() || import.domain() == "ai.onnx") return import.version();
  return 1;
}

ModelFile parse_model_file(const std::filesystem::path& path) {
  ModelFile file{path, MappedFile::open(path), {}};
  const std::span<const std::byte> bytes = file.mapping->bytes();
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorCode::model, fmt::format("'{}' ({} bytes) is not a readable ONNX model: {}{}",
                                              path.string(), bytes.size(), why, guess(bytes)));
  };
  if (bytes.empty()) refuse("the file is empty");
  if (bytes.size() > INT_MAX)
    refuse("ONNX files end at 2 GB; store the weights in a file beside it (external data)");
  std::string slim;
  try {
    slim = Slimmer(bytes).slim();
  } catch (const Error& error) {
    refuse(std::string(error.what()) + "; it may be truncated or damaged");
  }
  // protobuf writes its own complaints to the error stream; ours say more.
  const google::protobuf::LogSilencer silence;
  if (!file.proto.ParseFromString(slim)) refuse("a message inside it is damaged, or cut off");
  if (!file.proto.has_graph()) refuse("it holds no graph; it may be truncated or no ONNX at all");
  if (file.graph().node_size() == 0 && file.graph().output_size() == 0)
    refuse("its graph holds neither nodes nor outputs; it may be no ONNX at all");
  expand_functions(file.proto);
  return file;
}

std::string declared_type(const onnx::ValueInfoProto& value) {
  if (!value.type().has_tensor_type()) return "no tensor";
  const auto& tensor = value.type().tensor_type();
  std::string text = type_word(tensor.elem_type());
  if (!tensor.has_shape()) return text + " of unknown shape";
  text += "[";
  for (int axis = 0; axis < tensor.shape().dim_size(); ++axis) {
    const auto& dim = tensor.shape().dim(axis);
    if (axis > 0) text += ", ";
    if (dim.has_dim_value() && dim.dim_value() >= 0)
      text += std::to_string(dim.dim_value());
    else
      text += dim.dim_param().empty() ? "?" : dim.dim_param();
  }
  return text + "]";
}

std::string qualified_name(const onnx::NodeProto& node) {
  const bool own = node.domain().empty() || node.domain() == "ai.onnx";
  return own ? node.op_type() : node.domain() + "." + node.op_type();
}

std::string name_of_node(const onnx::NodeProto& node) {
  if (!node.name().empty()) return fmt::format("'{}'", node.name());
  return node.output_size() > 0 ? fmt::format("giving '{}'", node.output(0)) : "without name or outputs";
}

}  // namespace rulegrad::io
