#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// A set of operators by name: the built-in ones, and whatever a program adds to a copy of its own.
class Operators {
 public:
  /// The operators that ship.
  [[nodiscard]] static const Operators& builtin();

  /// Throws Error(invalid_argument) if the name is taken.
  const OpSchema& add(OpSchema schema);
  /// The same operator as in another set.
  const OpSchema& add(std::shared_ptr<const OpSchema> schema);
  /// Null if there is none.
  [[nodiscard]] const OpSchema* find(std::string_view name) const;
  /// Throws Error(unknown_name) with the nearest name.
  [[nodiscard]] const OpSchema& at(std::string_view name) const;
  /// In the order they were added.
  [[nodiscard]] std::vector<std::string> names() const;
  /// In the order they were added.
  [[nodiscard]] const std::deque<std::shared_ptr<const OpSchema>>& all() const { return schemas_; }

 private:
  std::deque<std::shared_ptr<const OpSchema>> schemas_;
  /// Keyed by the operators' own names: looking one up makes no string.
  std::unordered_map<std::string_view, const OpSchema*> by_name_;
};

/// The built-in operator of that name. Throws Error(unknown_name) with the nearest name.
[[nodiscard]] inline const OpSchema& op(std::string_view name) {
  return Operators::builtin().at(name);
}

}  // namespace rulegrad
