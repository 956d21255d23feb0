#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/expr/expr.hpp"

/// What terms of rules evaluate to, and the names they can refer to.
namespace rulegrad {

/// A static value such as a shape, a word or a list (attributes of operators are made of these). Held
/// elsewhere: they are few and large, while numbers and expressions are bound at every node.
class StaticValue {
 public:
  // NOLINTNEXTLINE(google-explicit-constructor): what a word gives is a value as it is.
  StaticValue(AttrValue value) : held_(std::make_shared<const AttrValue>(std::move(value))) {}
  [[nodiscard]] const AttrValue& operator*() const { return *held_; }

 private:
  std::shared_ptr<const AttrValue> held_;
};

/// A number that is known while rules are applied, an expression of the graph, or a static value.
using Value = std::variant<double, Expr, StaticValue>;

/// The static value, or null.
[[nodiscard]] inline const AttrValue* attribute_in(const Value& value) {
  const auto* held = std::get_if<StaticValue>(&value);
  return held == nullptr ? nullptr : &**held;
}

/// How messages speak of a value.
[[nodiscard]] std::string describe(const Value& value);

/// Names and their values, the innermost last. Small: looked through from the back. The names are those of
/// the rule, which must live as long: they are bound and forgotten at every node.
class Scope {
 public:
  void bind(std::string_view name, Value value) {
    if (entries_.empty()) entries_.reserve(4);  // most rules bind as many
    entries_.emplace_back(name, std::move(value));
  }
  /// For names that live nowhere else.
  void bind_copied(std::string name, Value value) {
    auto own = std::make_shared<const std::string>(std::move(name));
    bind(*own, std::move(value));
    owned_.push_back(std::move(own));
  }
  [[nodiscard]] const Value* find(std::string_view name) const {
    for (auto it = entries_.rbegin(); it != entries_.rend(); ++it)
      if (it->first == name) return &it->second;
    return nullptr;
  }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  /// Forgets everything bound since the scope had that size.
  void shrink(std::size_t size) {
    entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(size), entries_.end());
  }
  [[nodiscard]] const std::vector<std::pair<std::string_view, Value>>& entries() const { return entries_; }

 private:
  std::vector<std::pair<std::string_view, Value>> entries_;
  std::vector<std::shared_ptr<const std::string>> owned_;
};

}  // namespace rulegrad
