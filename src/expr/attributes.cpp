#include "rulegrad/expr/attributes.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

#include "support/hash.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Constants up to this size are compared and hashed by content, larger ones by buffer.
constexpr std::size_t content_limit = 4096;

template <class... F>
struct overloaded : F... {
  using F::operator()...;
};
// Clang deduces no arguments of aggregates before version 17.
template <class... F>
overloaded(F...) -> overloaded<F...>;

template <class T>
std::string list_of(const std::vector<T>& values) {
  std::vector<std::string> parts;
  for (const T& value : values) parts.push_back(to_string(AttrValue(value)));
  return "[" + join(parts) + "]";
}

/// A number that reads back as a double and not as an integer.
std::string double_text(double value) {
  std::string text = shortest(value);
  return text.find_first_of(".enif") == std::string::npos ? text + ".0" : text;
}

std::string quoted_text(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n')
      result += "\\n";
    else
      result += c;
  }
  return result + "\"";
}

std::string tensor_text(const Tensor& tensor) {
  std::vector<std::string> parts;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(tensor.size(), inline_constant_limit); ++i)
    if (tensor.dtype() == DType::int64)  // not all of them are doubles
      parts.push_back(fmt::format("{}", tensor.values<std::int64_t>()[static_cast<std::size_t>(i)]));
    else
      parts.push_back(is_floating(tensor.dtype()) ? double_text(tensor.at(i)) : shortest(tensor.at(i)));
  if (tensor.size() > inline_constant_limit) parts.emplace_back("...");
  return fmt::format("{}{}({})", name_of(tensor.dtype()), to_string(std::span(tensor.dims())), join(parts));
}

}  // namespace

std::string to_string(const AttrValue& value) {
  return std::visit(overloaded{
                        [](bool v) -> std::string { return v ? "true" : "false"; },
                        [](std::int64_t v) { return fmt::format("{}", v); },
                        [](double v) { return double_text(v); },
                        [](const std::string& v) { return quoted_text(v); },
                        [](const std::vector<std::int64_t>& v) { return list_of(v); },
                        [](const std::vector<double>& v) { return list_of(v); },
                        [](DType v) { return std::string(name_of(v)); },
                        [](const Shape& v) { return "shape" + to_string(v); },
                        [](const Tensor& v) { return tensor_text(v); },
                    },
                    value);
}

bool same_constant(const Tensor& a, const Tensor& b) {
  if (a.dtype() != b.dtype() || a.dims() != b.dims()) return false;
  return a.data() == b.data() || (a.bytes() <= content_limit && identical(a, b));
}

bool equal(const AttrValue& a, const AttrValue& b) {
  if (a.index() != b.index()) return false;
  if (const auto* tensor = std::get_if<Tensor>(&a)) return same_constant(*tensor, std::get<Tensor>(b));
  return std::visit(
      [&]<class T>(const T& left) {
        if constexpr (std::is_same_v<T, Tensor>) {
          return false;
        } else if constexpr (std::is_same_v<T, double>) {
          return std::memcmp(&left, &std::get<T>(b), sizeof left) == 0;  // -0 and 0 are two constants
        } else if constexpr (std::is_same_v<T, std::vector<double>>) {
          const T& right = std::get<T>(b);
          return left.size() == right.size() &&
                 (left.empty() || std::memcmp(left.data(), right.data(), left.size() * sizeof(double)) == 0);
        } else {
          return left == std::get<T>(b);
        }
      },
      a);
}

std::size_t hash(const AttrValue& value) {
  const auto bytes_of = [](const void* data, std::size_t size) {
    return hash_bytes({static_cast<const char*>(data), size});
  };
  const std::size_t content = std::visit(
      overloaded{
          [&](const std::string& v) { return hash_bytes(v); },
          [&](const std::vector<std::int64_t>& v) {
            return bytes_of(v.data(), v.size() * sizeof(std::int64_t));
          },
          [&](const std::vector<double>& v) { return bytes_of(v.data(), v.size() * sizeof(double)); },
          [&](const Shape& v) { return v.hash(); },
          [&](const Tensor& v) {
            const std::size_t body = v.bytes() <= content_limit ? bytes_of(v.data(), v.bytes())
                                                                : reinterpret_cast<std::size_t>(v.data());
            return hash_combine(bytes_of(v.dims().data(), v.dims().size() * sizeof(std::int64_t)), body);
          },
          [&](const auto& v) { return bytes_of(&v, sizeof v); },
      },
      value);
  return hash_combine(value.index(), content);
}

std::size_t hash(const AttrValue& value, std::size_t seed) {
  return hash_combine(seed, hash(value));
}

std::size_t AttrType::index_of(std::string_view field) const {
  for (std::size_t i = 0; i < fields.size(); ++i)
    if (fields[i] == field) return i;
  throw Error(ErrorCode::unknown_name, unknown_name_message("attribute", field, fields) +
                                           (fields.empty() ? "; this operator has none" : ""));
}

bool AttrType::has(std::string_view field) const {
  return std::find(fields.begin(), fields.end(), field) != fields.end();
}

template <>
const AttrType& attr_type<NoAttributes>() {
  static const AttrType type = [] {
    AttrType none;
    none.name = "none";
    none.defaults = std::make_shared<const NoAttributes>();
    none.get = [](const void*, std::size_t) { return AttrValue{}; };
    none.set = [](void*, std::size_t, const AttrValue&) { return false; };
    none.copy = [](const void*) -> std::shared_ptr<void> { return std::make_shared<NoAttributes>(); };
    none.equal = [](const void*, const void*) { return true; };
    none.hash = [](const void*) { return std::size_t{0}; };
    return none;
  }();
  return type;
}

Attributes::Attributes() {
  static const Attributes none{NoAttributes{}};
  *this = none;
}

Attributes Attributes::make(const AttrType& type, std::span<const NamedValue> values) {
  if (values.empty()) return Attributes(type, type.defaults);
  std::shared_ptr<void> result = type.copy(type.defaults.get());
  for (const auto& [field, value] : values) {
    const std::size_t index = type.index_of(field);
    if (!type.set(result.get(), index, value))
      throw Error(ErrorCode::dtype,
                  fmt::format("attribute '{}' cannot take the value {}; its default is {}", field,
                              to_string(value), to_string(type.get(type.defaults.get(), index))));
  }
  return {type, std::move(result)};
}

AttrValue Attributes::get(std::string_view field) const {
  return type_->get(value_.get(), type_->index_of(field));
}

std::vector<NamedValue> Attributes::values() const {
  std::vector<NamedValue> result;
  for (std::size_t i = 0; i < type_->fields.size(); ++i)
    result.emplace_back(type_->fields[i], type_->get(value_.get(), i));
  return result;
}

void Attributes::require(const AttrType& type) const {
  if (type_ != &type)
    throw Error(ErrorCode::internal,
                fmt::format("attributes of kind '{}' were read as '{}'", type_->name, type.name));
}

std::string to_string(const Attributes& attributes) {
  const AttrType& type = attributes.type();
  std::vector<std::string> parts;
  for (std::size_t i = 0; i < type.fields.size(); ++i) {
    const AttrValue value = attributes.get(type.fields[i]);
    if (!equal(value, type.get(type.defaults.get(), i)))
      parts.push_back(fmt::format("{} = {}", type.fields[i], to_string(value)));
  }
  return parts.empty() ? std::string() : "{" + join(parts) + "}";
}

}  // namespace rulegrad
