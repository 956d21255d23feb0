#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/rule/rule.hpp"

namespace rulegrad {

/// The number that a constant holds everywhere, as its own dtype writes it; empty for everything else.
[[nodiscard]] std::string number_text(Expr expr);

/// Writes expressions as the rule language does: infix, parts that are used more than once as `let`s,
/// operations that differ from a named one in some operands as `y(w = ...)`.
class ExpressionWriter {
 public:
  /// Written by this name from now on, whatever is below it. The first name of an expression stays.
  void name(Expr expr, std::string name);
  /// The name of a `let` for this expression, if it needs one.
  void suggest(Expr expr, std::string name);
  /// Operations of this operator and these attributes are written as this one with operands replaced.
  void set_operation(Expr operation, std::string name);

  /// `let`s and the expression, a line each, behind `indent` spaces; each with its type behind `#`.
  [[nodiscard]] std::string lines(Expr root, std::size_t indent) const;

 private:
  friend class ExpressionWriting;
  std::unordered_map<Expr, std::string> names_, suggested_;
  Expr operation_;
  std::string operation_name_;
};

}  // namespace rulegrad
