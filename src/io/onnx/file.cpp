#include "io/onnx/file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>

#include "io/half.hpp"
#include "rulegrad/error.hpp"

namespace rulegrad::onnx_io {
namespace {

constexpr std::size_t stays_in_file = 1 << 20;

struct Mapping {
  std::shared_ptr<const std::byte> bytes;
  std::size_t size = 0;
};

Mapping map_file(const std::string& path, const char* what) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (descriptor < 0 || fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode)) {
    const std::string reason = descriptor < 0 ? std::strerror(errno) : "not a regular file";
    if (descriptor >= 0) ::close(descriptor);
    throw Error(ErrorCode::io, fmt::format("cannot read the {} '{}': {}", what, path, reason));
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* memory = size == 0 ? nullptr : mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  ::close(descriptor);
  if (memory == MAP_FAILED) throw Error(ErrorCode::io, fmt::format("cannot map the {} '{}': {}", what, path, std::strerror(errno)));
  return {std::shared_ptr<const std::byte>(static_cast<const std::byte*>(memory), [size](const std::byte* p) {
            if (p != nullptr) munmap(const_cast<std::byte*>(p), size);
          }),
          size};
}

/// Walks the wire format of a model and copies it without the raw bytes of large initializers, which protobuf would
/// otherwise copy into strings.
class Slimmer {
 public:
  Slimmer(const std::byte* bytes, std::size_t size) : bytes_(bytes), size_(size) {}

  std::string run(std::unordered_map<int, File::Extent>& large) {
    std::string out;
    copy(0, size_, Level::model, out, large);
    return out;
  }

 private:
  enum class Level { model, graph, tensor };
  struct CutOff {};

 public:
  /// Thrown when a length points beyond the file: the parser then says so.
  using Broken = CutOff;

 private:
  std::uint64_t varint(std::size_t& at, std::size_t end) const {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at >= end) throw CutOff{};
      const auto byte = static_cast<std::uint64_t>(bytes_[at++]);
      value |= (byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw CutOff{};
  }
  static void put_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
      out.push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    out.push_back(static_cast<char>(value));
  }
  void append(std::string& out, std::size_t from, std::size_t to) const { out.append(reinterpret_cast<const char*>(bytes_) + from, to - from); }

  void copy(std::size_t at, std::size_t end, Level level, std::string& out, std::unordered_map<int, File::Extent>& large) {
    constexpr std::uint64_t graph_of_model = 7, initializer_of_graph = 5, raw_of_tensor = 9;
    while (at < end) {
      const std::size_t start = at;
      const std::uint64_t tag = varint(at, end), field = tag >> 3;
      switch (tag & 7) {
        case 0: (void)varint(at, end); break;
        case 1: at += 8; break;
        case 5: at += 4; break;
        case 2: {
          const std::uint64_t length = varint(at, end);
          if (length > end - at) throw CutOff{};
          const std::size_t body = at;
          at += static_cast<std::size_t>(length);
          const bool into_graph = level == Level::model && field == graph_of_model;
          const bool into_tensor = level == Level::graph && field == initializer_of_graph;
          if (into_graph || into_tensor) {
            std::string inner;
            if (into_tensor) ++initializer_;
            copy(body, at, into_graph ? Level::graph : Level::tensor, inner, large);
            put_varint(out, tag);
            put_varint(out, inner.size());
            out += inner;
            continue;
          }
          if (level == Level::tensor && field == raw_of_tensor && length >= stays_in_file) {
            large[initializer_] = {body, static_cast<std::size_t>(length)};
            continue;
          }
          break;
        }
        default: throw CutOff{};
      }
      if (at > end) throw CutOff{};
      append(out, start, at);
    }
  }

  const std::byte* bytes_;
  std::size_t size_;
  int initializer_ = -1;
};

template <class From>
Tensor widen(const void* data, std::int64_t count, const Dims& dims, DType to, bool is_half = false) {
  Tensor result = Tensor::uninitialized(to, dims);
  const auto* from = static_cast<const std::byte*>(data);
  dispatch(to, [&]<class To>(To) {
    auto values = result.mutable_values<To>();
    for (std::int64_t i = 0; i < count; ++i) {
      From value;
      std::memcpy(&value, from + static_cast<std::size_t>(i) * sizeof(From), sizeof(From));
      if constexpr (std::is_same_v<From, std::uint16_t>) {
        values[static_cast<std::size_t>(i)] = is_half ? static_cast<To>(io::half_to_float(value)) : static_cast<To>(value);
      } else {
        values[static_cast<std::size_t>(i)] = static_cast<To>(value);
      }
    }
  });
  return result;
}

/// Elements in repeated fields instead of raw bytes.
template <class Field>
Tensor from_field(const Field& field, const Dims& dims, std::int64_t count, DType to, bool is_half, const std::string& name) {
  if (field.size() != count)
    throw Error(ErrorCode::model, fmt::format("tensor '{}' of shape {} should hold {} values but holds {}", name, to_string(dims), count, field.size()));
  Tensor result = Tensor::uninitialized(to, dims);
  dispatch(to, [&]<class To>(To) {
    auto values = result.mutable_values<To>();
    for (int i = 0; i < field.size(); ++i)
      values[static_cast<std::size_t>(i)] = is_half ? static_cast<To>(io::half_to_float(static_cast<std::uint16_t>(field.Get(i)))) : static_cast<To>(field.Get(i));
  });
  return result;
}

Tensor from_bytes(int type, const std::byte* data, std::size_t length, const Dims& dims, DType to, const std::shared_ptr<const void>& owner,
                  const std::string& name) {
  using P = onnx::TensorProto;
  const std::int64_t count = element_count(dims);
  const std::size_t width = type == P::DOUBLE || type == P::INT64 || type == P::UINT64   ? 8
                            : type == P::FLOAT || type == P::INT32 || type == P::UINT32  ? 4
                            : type == P::FLOAT16 || type == P::INT16 || type == P::UINT16 || type == P::BFLOAT16 ? 2
                                                                                                              : 1;
  if (length != static_cast<std::size_t>(count) * width)
    throw Error(ErrorCode::model, fmt::format("tensor '{}' of shape {} should hold {} bytes but holds {}", name, to_string(dims), static_cast<std::size_t>(count) * width, length));
  const bool same = (type == P::FLOAT && to == DType::float32) || (type == P::DOUBLE && to == DType::float64) || (type == P::INT64 && to == DType::int64) ||
                    (type == P::INT32 && to == DType::int32) || (type == P::UINT8 && to == DType::uint8) || (type == P::INT8 && to == DType::int8) ||
                    (type == P::BOOL && to == DType::boolean);
  if (same && owner && length >= stays_in_file && reinterpret_cast<std::uintptr_t>(data) % width == 0) return Tensor::borrow(to, dims, data, owner);
  switch (type) {
    case P::FLOAT: return widen<float>(data, count, dims, to);
    case P::DOUBLE: return widen<double>(data, count, dims, to);
    case P::INT64: return widen<std::int64_t>(data, count, dims, to);
    case P::UINT64: return widen<std::uint64_t>(data, count, dims, to);
    case P::INT32: return widen<std::int32_t>(data, count, dims, to);
    case P::UINT32: return widen<std::uint32_t>(data, count, dims, to);
    case P::INT16: return widen<std::int16_t>(data, count, dims, to);
    case P::UINT16: return widen<std::uint16_t>(data, count, dims, to);
    case P::FLOAT16: return widen<std::uint16_t>(data, count, dims, to, true);
    case P::INT8: return widen<std::int8_t>(data, count, dims, to);
    case P::UINT8: return widen<std::uint8_t>(data, count, dims, to);
    case P::BOOL: return widen<std::uint8_t>(data, count, dims, to);
    default: throw Error(ErrorCode::model, fmt::format("tensor '{}' has an element type that is not supported ({})", name, type));
  }
}

}  // namespace

File open(const std::string& path) {
  File file;
  file.path = path;
  Mapping mapping = map_file(path, "model");
  file.bytes = std::move(mapping.bytes);
  file.size = mapping.size;
  if (file.size > static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / 2)) throw Error(ErrorCode::model, "model file too large");
  bool parsed = false;
  try {
    parsed = file.proto.ParseFromString(Slimmer(file.bytes.get(), file.size).run(file.large));
  } catch (const Slimmer::Broken&) {
  }
  if (!parsed)
    throw Error(ErrorCode::model, fmt::format("'{}' ({} bytes) is no ONNX model, or it is cut off or damaged: its protobuf message does not parse. "
                                              "Is the file complete, and was it exported as ONNX?",
                                              path, file.size));
  if (!file.proto.has_graph() || file.proto.graph().node_size() == 0)
    throw Error(ErrorCode::model, fmt::format("'{}' ({} bytes) parses but holds no ONNX graph; was it exported as ONNX?", path, file.size));
  return file;
}

std::int64_t opset_of(const File& file) {
  for (const auto& opset : file.proto.opset_import())
    if (opset.domain().empty() || opset.domain() == "ai.onnx") return opset.version();
  return 1;
}

DType dtype_of_onnx(int type, DType real) {
  using P = onnx::TensorProto;
  switch (type) {
    case P::FLOAT:
    case P::DOUBLE:
    case P::FLOAT16: return real;
    case P::INT64:
    case P::UINT64:
    case P::UINT32: return DType::int64;
    case P::INT32:
    case P::INT16:
    case P::UINT16: return DType::int32;
    case P::UINT8: return DType::uint8;
    case P::INT8: return DType::int8;
    case P::BOOL: return DType::boolean;
    default: throw Error(ErrorCode::model, fmt::format("the ONNX element type {} is not supported", onnx::TensorProto_DataType_Name(static_cast<onnx::TensorProto_DataType>(type))));
  }
}

Tensor read_tensor(const File& file, const onnx::TensorProto& tensor, DType real, int initializer) {
  using P = onnx::TensorProto;
  const std::string& name = tensor.name();
  Dims dims(tensor.dims().begin(), tensor.dims().end());
  for (const std::int64_t extent : dims)
    if (extent < 0 || extent > (std::int64_t{1} << 40)) throw Error(ErrorCode::model, fmt::format("tensor '{}' has the shape {}", name, to_string(dims)));
  const DType to = dtype_of_onnx(tensor.data_type(), real);
  const std::int64_t count = Tensor::borrow(to, dims, nullptr, nullptr).size();
  if (tensor.data_location() == P::EXTERNAL) {
    std::string location;
    std::size_t offset = 0, length = 0;
    for (const auto& entry : tensor.external_data()) {
      if (entry.key() == "location") location = entry.value();
      if (entry.key() == "offset") offset = std::stoull(entry.value());
      if (entry.key() == "length") length = std::stoull(entry.value());
    }
    const std::filesystem::path relative(location);
    if (location.empty() || relative.is_absolute() || location.find("..") != std::string::npos)
      throw Error(ErrorCode::model, fmt::format("tensor '{}' names external data '{}', which is not beside the model", name, location));
    const Mapping data = map_file((std::filesystem::path(file.path).parent_path() / relative).string(), "external data");
    if (length == 0) length = data.size - std::min(offset, data.size);
    if (offset > data.size || length > data.size - offset)
      throw Error(ErrorCode::model, fmt::format("tensor '{}' lies at bytes {} to {} of '{}', which has {}", name, offset, offset + length, location, data.size));
    return from_bytes(tensor.data_type(), data.bytes.get() + offset, length, dims, to, data.bytes, name);
  }
  if (const auto large = file.large.find(initializer); initializer >= 0 && large != file.large.end())
    return from_bytes(tensor.data_type(), file.bytes.get() + large->second.offset, large->second.length, dims, to, file.bytes, name);
  if (tensor.has_raw_data())
    return from_bytes(tensor.data_type(), reinterpret_cast<const std::byte*>(tensor.raw_data().data()), tensor.raw_data().size(), dims, to, nullptr, name);
  switch (tensor.data_type()) {
    case P::FLOAT: return from_field(tensor.float_data(), dims, count, to, false, name);
    case P::DOUBLE: return from_field(tensor.double_data(), dims, count, to, false, name);
    case P::INT64: return from_field(tensor.int64_data(), dims, count, to, false, name);
    case P::UINT64:
    case P::UINT32: return from_field(tensor.uint64_data(), dims, count, to, false, name);
    case P::FLOAT16: return from_field(tensor.int32_data(), dims, count, to, true, name);
    default: return from_field(tensor.int32_data(), dims, count, to, false, name);
  }
}

}  // namespace rulegrad::onnx_io
