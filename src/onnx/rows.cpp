#include "onnx/rows.hpp"

#include "rulegrad/ops/operators.hpp"

#include "onnx/node_context.hpp"
#include "onnx/writer.hpp"

namespace rulegrad::io {

std::span<const Row> rows() {
  static const SeluAttributes selu;
  static const std::vector<Row> all{
      {"Relu", "relu"},
      {"Sigmoid", "sigmoid"},
      {"Tanh", "tanh"},
      {"Softplus", "softplus"},
      {"HardSwish", "hardswish", 14},
      {"LeakyRelu", "leaky_relu", 6, {{"alpha", "alpha", 0.01}}},
      {"Elu", "elu", 6, {{"alpha", "alpha", 1}}},
      {"Selu", "selu", 6, {{"alpha", "alpha", selu.alpha}, {"gamma", "gamma", selu.gamma}}},
      {"HardSigmoid", "hardsigmoid", 6, {{"alpha", "alpha", 0.2}, {"beta", "beta", 0.5}}},
      {"Erf", "erf", 9},
      {"Exp", "exp"},
      {"Log", "log"},
      {"Sqrt", "sqrt"},
      {"Abs", "abs"},
      {"Neg", "neg"},
      {"Sign", "sign", 9},
      {"Reciprocal", "reciprocal"},
      {"Floor", "floor"},
      {"Ceil", "ceil"},
      {"Round", "round", 11},
      {"Sin", "sin", 7},
      {"Cos", "cos", 7},
      {"Tan", "tan", 7},
      {"Asin", "asin", 7},
      {"Acos", "acos", 7},
      {"Atan", "atan", 7},
      {"Sinh", "sinh", 9},
      {"Cosh", "cosh", 9},
      {"Asinh", "asinh", 9},
      {"Acosh", "acosh", 9},
      {"Atanh", "atanh", 9},
      {"Not", "logical_not"},
  };
  return all;
}

void add_rows(Handlers& handlers) {
  for (const Row& row : rows())
    handlers[row.onnx] = [&row](NodeContext& c) {
      std::vector<NamedValue> values;
      for (const RowNumber& number : row.numbers)
        values.emplace_back(number.ours, c.real(number.onnx, number.otherwise));
      c.ignore({"consumed_inputs"});
      c.result(c.apply(row.op, {c.operand(0)}, Attributes::make(*op(row.op).attributes, values)));
    };
}

void add_rows(Forms& forms) {
  for (const Row& row : rows())
    forms[row.op] = [&row](Writer& w, Expr e) {
      w.need(e, row.since);
      NodeWriter node = w.node(row.onnx, e);
      for (const RowNumber& number : row.numbers)
        node.set(number.onnx, std::get<double>(e.attributes().get(number.ours)));
    };
}

}  // namespace rulegrad::io
