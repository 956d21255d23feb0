#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/shape.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What an attribute can hold when it is read or written by name (rules, text, ONNX).
using AttrValue = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>,
                               std::vector<double>, DType, Shape, Tensor>;
/// An attribute by its name.
using NamedValue = std::pair<std::string, AttrValue>;

/// Tensors of at most so many elements are written out; larger ones end in `...`.
inline constexpr std::int64_t inline_constant_limit = 16;

/// `[1, 1]`, `0.25`, `"tanh"`, `float32`, `[B, 3]`; reads back with the graph parser.
[[nodiscard]] std::string to_string(const AttrValue& value);
/// Equal kinds and contents; tensors by identity (see `same_constant`).
[[nodiscard]] bool equal(const AttrValue& a, const AttrValue& b);
/// Equal values have equal hashes; a large tensor counts by its buffer.
[[nodiscard]] std::size_t hash(const AttrValue& value);
/// Of the value behind others whose hash is `seed`.
[[nodiscard]] std::size_t hash(const AttrValue& value, std::size_t seed);

/// Constants are the same node when they share a buffer, or are small and have the same bytes: weights of
/// hundreds of megabytes must not be hashed to build a graph.
[[nodiscard]] bool same_constant(const Tensor& a, const Tensor& b);

/// Is a number, or are all of a list or shape, within what extents and counts may be (-2^31 to 2^31,
/// exclusive)?
[[nodiscard]] bool within_extents(std::int64_t number);
[[nodiscard]] bool within_extents(const std::vector<std::int64_t>& list);
[[nodiscard]] bool within_extents(const Shape& shape);

/// The integer that a number is; nothing for fractions, NaN and what 64 bits do not hold.
[[nodiscard]] inline std::optional<std::int64_t> whole_number(double number) {
  if (!(number >= -0x1p63 && number < 0x1p63)) return std::nullopt;
  const auto whole = static_cast<std::int64_t>(number);
  return static_cast<double>(whole) == number ? std::optional(whole) : std::nullopt;
}

/// Everything that is derived from the members of an attribute struct (define_attributes.hpp does it).
struct AttrType {
  std::string name;
  std::vector<std::string> fields;
  std::shared_ptr<const void> defaults;
  AttrValue (*get)(const void* attributes, std::size_t field) = nullptr;
  /// False when the value is of another kind.
  bool (*set)(void* attributes, std::size_t field, const AttrValue& value) = nullptr;
  std::shared_ptr<void> (*copy)(const void* attributes) = nullptr;
  bool (*equal)(const void* a, const void* b) = nullptr;
  std::size_t (*hash)(const void* attributes) = nullptr;
  /// The first field from `from` on that holds a number beyond what extents and counts may be; the number of
  /// fields if there is none.
  std::size_t (*beyond)(const void* attributes, std::size_t from) = nullptr;

  /// Index of a field; throws Error(unknown_name) with the nearest one.
  [[nodiscard]] std::size_t index_of(std::string_view field) const;
  /// Is there a field of that name?
  [[nodiscard]] bool has(std::string_view field) const;
};

/// The derived operations of an attribute struct; specialised beside the operators that use it.
template <class T>
const AttrType& attr_type();

/// What operators without attributes have.
struct NoAttributes {};
template <>
const AttrType& attr_type<NoAttributes>();

/// An immutable attribute struct of any operator.
class Attributes {
 public:
  Attributes();
  template <class T>
  // NOLINTNEXTLINE(google-explicit-constructor): builders pass their structs as they are.
  Attributes(T value) : type_(&attr_type<T>()), value_(std::make_shared<const T>(std::move(value))) {}
  /// The defaults of `type` with the named fields set; throws for unknown fields and wrong kinds.
  static Attributes make(const AttrType& type, std::span<const NamedValue> values);

  /// The struct itself; throws Error(internal) that names both when it is another one.
  template <class T>
  [[nodiscard]] const T& as() const {
    require(attr_type<T>());
    return *static_cast<const T*>(value_.get());
  }
  /// The struct itself, or null when it is another one.
  template <class T>
  [[nodiscard]] const T* as_if() const {
    return type_ == &attr_type<T>() ? static_cast<const T*>(value_.get()) : nullptr;
  }
  /// What the struct is called, and its fields.
  [[nodiscard]] const AttrType& type() const { return *type_; }
  /// One field; throws Error(unknown_name) with the nearest one.
  [[nodiscard]] AttrValue get(std::string_view field) const;
  /// All fields, in the order of the struct.
  [[nodiscard]] std::vector<NamedValue> values() const;
  /// The first field from `from` on that holds a number beyond what extents and counts may be, by its place;
  /// nothing to compute where there are no such fields.
  [[nodiscard]] std::size_t beyond(std::size_t from) const {
    return type_->beyond == nullptr ? type_->fields.size() : type_->beyond(value_.get(), from);
  }
  /// Equal attributes have equal hashes.
  [[nodiscard]] std::size_t hash() const { return type_->hash(value_.get()); }
  friend bool operator==(const Attributes& a, const Attributes& b) {
    return a.type_ == b.type_ && a.type_->equal(a.value_.get(), b.value_.get());
  }

 private:
  Attributes(const AttrType& type, std::shared_ptr<const void> value)
      : type_(&type), value_(std::move(value)) {}
  void require(const AttrType& type) const;

  const AttrType* type_ = nullptr;
  std::shared_ptr<const void> value_;
};

/// `{strides = [1, 1], groups = 2}`: the fields that differ from their defaults; empty when none does.
[[nodiscard]] std::string to_string(const Attributes& attributes);

}  // namespace rulegrad
