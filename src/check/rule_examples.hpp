#pragma once

#include <map>
#include <string>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

namespace rulegrad {

/// Makes small expressions that a rule's pattern can match, out of the examples that operators carry.
class RuleExamples {
 public:
  RuleExamples(Graph& graph, const Operators& operators, const Rule& rule)
      : graph_(graph), operators_(operators), rule_(rule) {}

  /// Operations of that operator, the smallest first. Not all of them need to match: guards and attributes
  /// may say no.
  [[nodiscard]] std::vector<Expr> of(const OpSchema& root);

 private:
  using Bound = std::map<std::string, Expr>;
  struct Grown {
    Expr expr;
    Bound bound;
  };

  [[nodiscard]] const Term& at(TermId id) const { return rule_.terms[static_cast<std::size_t>(id)]; }
  /// What may stand where the pattern stands: of that type, or of any where `type` is null.
  std::vector<Grown> grow(TermId pattern, const Type* type, const Bound& bound, int depth);
  std::vector<Grown> grow_operation(const OpSchema& op, const Term* call, const Type* type,
                                    const Bound& bound, int depth);
  /// One operation with these operand types, its operands grown where the pattern names them.
  std::vector<Grown> assemble(const OpSchema& op, const Term* call, std::vector<Type> types,
                              const Attributes& attributes, const Bound& bound, int depth);
  [[nodiscard]] Attributes with_pattern(const OpSchema& op, const Term* call,
                                        const Attributes& attributes) const;
  [[nodiscard]] Type usual_type() const;
  [[nodiscard]] Expr input(const Type& type);
  [[nodiscard]] bool is_operation(const Term& term) const;

  Graph& graph_;
  const Operators& operators_;
  const Rule& rule_;
  int inputs_ = 0;
  int assembled_ =
      0;  ///< operations tried so far: what deep patterns could be made of multiplies without end
};

}  // namespace rulegrad
