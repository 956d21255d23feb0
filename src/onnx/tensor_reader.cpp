#include "onnx/tensor_reader.hpp"

#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fmt/format.h>
#include <limits>
#include <optional>

#include "rulegrad/support/error.hpp"

#include "files/half.hpp"
#include "kernels/finite.hpp"
#include "onnx/small_numbers.hpp"
#include "support/read_file.hpp"

namespace rulegrad::io {
namespace {

using onnx::TensorProto;

struct Half {
  std::uint16_t bits;
  explicit operator float() const { return half_to_float(bits); }
};
struct BFloat {
  std::uint16_t bits;
  explicit operator float() const { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }
};

/// Calls `f` with an element as the file stores it.
template <class F>
decltype(auto) with_stored_type(int type, const std::string& what, F&& f) {
  switch (type) {
    case TensorProto::FLOAT:
      return f(float{});
    case TensorProto::DOUBLE:
      return f(double{});
    case TensorProto::FLOAT16:
      return f(Half{});
    case TensorProto::BFLOAT16:
      return f(BFloat{});
    case TensorProto::INT64:
      return f(std::int64_t{});
    case TensorProto::INT32:
      return f(std::int32_t{});
    case TensorProto::INT16:
      return f(std::int16_t{});
    case TensorProto::INT8:
      return f(std::int8_t{});
    case TensorProto::UINT64:
      return f(std::uint64_t{});
    case TensorProto::UINT32:
      return f(std::uint32_t{});
    case TensorProto::UINT16:
      return f(std::uint16_t{});
    case TensorProto::UINT8:
      return f(std::uint8_t{});
    case TensorProto::BOOL:
      return f(bool{});
    default:
      break;
  }
  const std::string word = TensorProto::DataType_IsValid(type)
                               ? TensorProto::DataType_Name(static_cast<TensorProto::DataType>(type))
                               : fmt::format("number {}", type);
  fail(
      fmt::format("{} has element type {}, which is not supported: float, double, float16, bfloat16, the "
                  "integers and bool are",
                  what, word));
}

template <class To, class From>
To converted(From value) {
  if constexpr (std::is_same_v<From, Half> || std::is_same_v<From, BFloat>)
    return static_cast<To>(static_cast<float>(value));
  else if constexpr (std::is_same_v<From, double> && std::is_same_v<To, float>)
    // Masks hold the largest number there is, which stays that.
    return std::abs(value) == std::numeric_limits<double>::max()
               ? std::copysign(std::numeric_limits<float>::max(), static_cast<float>(value))
               : static_cast<float>(value);
  else
    return static_cast<To>(value);
}

template <class From>
Tensor copied(DType dtype, Dims dims, const std::byte* data) {
  Tensor result = Tensor::uninitialized(dtype, std::move(dims));
  dispatch(dtype, [&]<class To>(To) {
    To* const to = result.mutable_values<To>().data();
    if constexpr (std::is_same_v<To, From> && !std::is_same_v<From, bool>) {
      if (result.size() > 0) std::memcpy(to, data, result.bytes());
    } else if constexpr (std::is_same_v<From, bool>) {
      for (std::int64_t i = 0; i < result.size(); ++i) to[i] = static_cast<To>(data[i] != std::byte{0});
    } else {
      for (std::int64_t i = 0; i < result.size(); ++i) {
        From value;
        std::memcpy(&value, data + static_cast<std::size_t>(i) * sizeof(From), sizeof(From));
        to[i] = converted<To>(value);
      }
    }
  });
  return result;
}

template <class From, class Field>
std::string packed(const Field& field) {
  std::string bytes(static_cast<std::size_t>(field.size()) * sizeof(From), '\0');
  for (int i = 0; i < field.size(); ++i) {
    const auto value = static_cast<From>(field.Get(i));
    std::memcpy(bytes.data() + static_cast<std::size_t>(i) * sizeof(From), &value, sizeof(From));
  }
  return bytes;
}

/// The elements of the field that the type uses when there are no raw bytes, in the layout of raw bytes.
std::string typed_data(const TensorProto& tensor) {
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      return packed<float>(tensor.float_data());
    case TensorProto::DOUBLE:
      return packed<double>(tensor.double_data());
    case TensorProto::INT64:
      return packed<std::int64_t>(tensor.int64_data());
    case TensorProto::UINT64:
      return packed<std::uint64_t>(tensor.uint64_data());
    case TensorProto::UINT32:
      return packed<std::uint32_t>(tensor.uint64_data());
    case TensorProto::INT32:
      return packed<std::int32_t>(tensor.int32_data());
    case TensorProto::FLOAT16:
    case TensorProto::BFLOAT16:
    case TensorProto::UINT16:
    case TensorProto::INT16:
      return packed<std::uint16_t>(tensor.int32_data());
    default:
      return packed<std::uint8_t>(tensor.int32_data());
  }
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

Dims checked_dims(const TensorProto& tensor, const std::string& what) {
  Dims dims(tensor.dims().begin(), tensor.dims().end());
  double count = 1;
  for (const std::int64_t extent : dims) {
    if (extent < 0)
      fail(fmt::format("{} has the negative extent {} in its shape {}", what, extent, to_string(dims)));
    count *= static_cast<double>(extent);
  }
  if (count > 0x1p40)
    fail(fmt::format("{} would have {:.3g} elements by its shape {}", what, count, to_string(dims)));
  return dims;
}

std::optional<std::string> non_finite(const Tensor& tensor, const std::string& what) {
  const auto at = first_non_finite(tensor.dtype(), tensor.data(), tensor.size());
  if (!at) return std::nullopt;
  std::int64_t rest = *at;
  Dims index(tensor.rank());
  for (std::size_t axis = tensor.rank(); axis-- > 0;) {
    index[axis] = rest % tensor.dims()[axis];
    rest /= tensor.dims()[axis];
  }
  return fmt::format(
      "{} of shape {} holds {} at {}; weights must be finite (allow_non_finite, on the command line "
      "--allow-non-finite, lets them pass)",
      what, to_string(tensor.dims()), tensor.at(*at), to_string(index));
}

}  // namespace

DType mapped_dtype(int onnx_type, DType real, const std::string& what) {
  if (const auto small = small_type(onnx_type))
    return small->kind == SmallKind::floating ? real : small->is_signed ? DType::int8 : DType::uint8;
  return with_stored_type(onnx_type, what, [&]<class T>(T) {
    if constexpr (std::is_same_v<T, bool>)
      return DType::boolean;
    else if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, Half> || std::is_same_v<T, BFloat>)
      return real;
    else if constexpr (sizeof(T) == 1)
      return std::is_signed_v<T> ? DType::int8 : DType::uint8;
    else if constexpr (sizeof(T) == 2 || std::is_same_v<T, std::int32_t>)
      return DType::int32;
    else
      return DType::int64;
  });
}

std::vector<std::string> TensorReader::external_files() const {
  std::vector<std::string> files;
  for (const auto& [location, file] : external_)
    files.push_back((file_.path.parent_path() / location).string());
  return files;
}

std::optional<std::string> TensorReader::problem(const Tensor& tensor) const {
  const auto found = problems_.find(tensor.data());
  return found == problems_.end() ? std::nullopt : std::optional(found->second);
}

std::filesystem::path TensorReader::beside_model(const std::string& location) const {
  const std::filesystem::path folder = file_.path.parent_path();
  std::error_code ignored;
  try {
    return path_inside(folder, location, "its file");
  } catch (const Error&) {
    // Stores of downloaded models hold links to files that lie side by side elsewhere: the model's own place
    // counts too.
    const std::filesystem::path own = std::filesystem::weakly_canonical(file_.path, ignored).parent_path();
    const std::filesystem::path target = std::filesystem::weakly_canonical(folder / location, ignored);
    const bool plain = std::filesystem::path(location).filename() == location;
    if (plain && !own.empty() && target.parent_path() == own) return target;
    throw;
  }
}

TensorReader::Source TensorReader::external(const TensorProto& tensor, const std::string& name) {
  std::string location;
  std::optional<std::uint64_t> offset = 0, length;
  for (const auto& entry : tensor.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number(entry.value());
    if (entry.key() == "length") length = number(entry.value());
  }
  if (!offset) fail(fmt::format("the external data of tensor '{}' have an offset that is no number", name));
  std::shared_ptr<const MappedFile> file = file_.mapping;
  if (!location.empty()) {
    auto& known = external_[location];
    if (!known) try {
        known = MappedFile::open(beside_model(location));
      } catch (const Error& error) {
        external_.erase(location);
        fail(fmt::format("the data of tensor '{}' should lie in a file '{}' beside the model: {}", name,
                         location, error.what()));
      }
    file = known;
  }
  const auto bytes = file->bytes();
  if (*offset > bytes.size() || (length && *length > bytes.size() - *offset))
    fail(fmt::format(
        "the data of tensor '{}' should lie at byte {} of {} but that file has {} bytes; it may be truncated",
        name, *offset, location.empty() ? "the model" : "'" + location + "'", bytes.size()));
  return {bytes.subspan(*offset, length.value_or(bytes.size() - *offset)), file};
}

TensorReader::Source TensorReader::source_of(const TensorProto& tensor, const std::string& name) {
  if (tensor.data_location() == TensorProto::EXTERNAL) return external(tensor, name);
  if (tensor.has_raw_data())
    return {std::as_bytes(std::span(tensor.raw_data().data(), tensor.raw_data().size())), nullptr};
  auto data = std::make_shared<const std::string>(typed_data(tensor));
  return {std::as_bytes(std::span(data->data(), data->size())), data};
}

Tensor TensorReader::read(const TensorProto& tensor, const std::string& name) {
  const std::string what = fmt::format("tensor '{}'", name);
  const DType dtype = mapped_dtype(tensor.data_type(), options_.dtype, what);
  if (tensor.has_segment()) fail(fmt::format("{} is stored in segments, which is not supported", what));
  const Dims dims = checked_dims(tensor, what);
  const Source source = source_of(tensor, name);
  if (const auto small = small_type(tensor.data_type())) {
    const std::int64_t count = element_count(dims);
    if (source.bytes.size() < small_bytes(*small, count))
      fail(fmt::format("{} of shape {} needs {} bytes but the file has {} for it", what, to_string(dims),
                       small_bytes(*small, count), source.bytes.size()));
    const std::vector<float> values = small_values(tensor.data_type(), count, source.bytes);
    return looked_through(Tensor(dims, std::span<const float>(values)).cast(dtype), what);
  }
  Tensor result = with_stored_type(tensor.data_type(), what, [&]<class From>(From) {
    const std::size_t wanted = static_cast<std::size_t>(element_count(dims)) * sizeof(From);
    const bool open_end = tensor.data_location() == TensorProto::EXTERNAL && source.bytes.size() > wanted;
    if (source.bytes.size() != wanted && !open_end)
      fail(fmt::format("{} of shape {} needs {} bytes but the file has {} for it", what, to_string(dims),
                       wanted, source.bytes.size()));
    constexpr bool storable =
        !std::is_same_v<From, Half> && !std::is_same_v<From, BFloat> && !std::is_same_v<From, bool>;
    if constexpr (storable && sizeof(From) != 2 && !std::is_same_v<From, std::uint32_t> &&
                  !std::is_same_v<From, std::uint64_t>) {
      const bool aligned = reinterpret_cast<std::uintptr_t>(source.bytes.data()) % sizeof(From) == 0;
      if (dtype == dtype_of<From> && aligned && source.owner && wanted >= mapped_from)
        return Tensor::borrow(dtype, dims, source.bytes.data(), source.owner);
    }
    return copied<From>(dtype, dims, source.bytes.data());
  });
  return looked_through(std::move(result), what);
}

Tensor TensorReader::looked_through(Tensor tensor, const std::string& what) {
  if (options_.allow_non_finite) return tensor;
  auto problem = non_finite(tensor, what);
  if (problem) {
    problems_.insert_or_assign(tensor.data(), std::move(*problem));
  } else {
    problems_.erase(tensor.data());  // memory of another one that is gone
    tensor.note_finite();            // programs need not look through it again
  }
  return tensor;
}

}  // namespace rulegrad::io
