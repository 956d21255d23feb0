#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

#include "rewrite/value.hpp"

namespace rulegrad {

struct Word;

using Functions = std::map<std::string, const Function*, std::less<>>;

/// Calls that are evaluated in a way of their own: conditions, and choices that may be known while rules are
/// applied.
enum class Form : std::uint8_t { ordinary, conjunction, disjunction, negation, comparison, choice };

/// What the name of a term can refer to where nothing is bound to it.
struct Meaning {
  const Word* word = nullptr;
  const OpSchema* op = nullptr;
  std::optional<OpClass> op_class;
  const Function* function = nullptr;
  Form form = Form::ordinary;
  /// Of a text; of a class or operator, once it was asked for where nothing is bound to its name.
  mutable std::optional<StaticValue> text = {};

  [[nodiscard]] bool operators() const { return op != nullptr || op_class.has_value(); }
};

/// The names that rules can use beside their own. Rules are evaluated at every node: what each of their terms
/// refers to is looked up once. For one thread; terms must live as long.
class Vocabulary {
 public:
  Vocabulary(const Operators& operators, const Functions& functions)
      : operators_(operators), functions_(functions) {}
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;

  [[nodiscard]] const Operators& operators() const { return operators_; }
  [[nodiscard]] const Functions& functions() const { return functions_; }
  [[nodiscard]] Meaning meaning(std::string_view name) const;
  /// Of one of `terms`.
  [[nodiscard]] const Meaning& of(const Terms& terms, const Term& term) const {
    // The rules of a node take turns.
    Recent& recent = recent_[(reinterpret_cast<std::uintptr_t>(&terms) >> 4) % recent_.size()];
    if (recent.terms != &terms) recent = {&terms, &meanings_of(terms)};
    return (*recent.meanings)[static_cast<std::size_t>(&term - terms.data())];
  }

 private:
  [[nodiscard]] const std::vector<Meaning>& meanings_of(const Terms& terms) const;

  const Operators& operators_;
  const Functions& functions_;
  mutable std::unordered_map<const Terms*, std::vector<Meaning>> known_;
  struct Recent {
    const Terms* terms = nullptr;
    const std::vector<Meaning>* meanings = nullptr;
  };
  mutable std::array<Recent, 61> recent_;
};

}  // namespace rulegrad
