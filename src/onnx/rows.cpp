#include "onnx/rows.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numbers>

#include "rulegrad/ops/operators.hpp"

#include "onnx/applied.hpp"
#include "onnx/writer.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

void write_gelu(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string& x = s.operand(0);
  std::string bent;
  if (e.attributes<GeluAttributes>().approximate == GeluForm::exact) {
    bent = s("Erf", {s("Mul", {x, s.number(1 / std::numbers::sqrt2)})});
  } else {
    const std::string cube = s("Mul", {s("Mul", {x, x}), x});
    const std::string sum = s("Add", {x, s("Mul", {cube, s.number(0.044715)})});
    bent = s("Tanh", {s("Mul", {sum, s.number(std::numbers::sqrt2 * std::numbers::inv_sqrtpi)})});
  }
  s.last("Mul", {s("Mul", {x, s.number(0.5)}), s("Add", {bent, s.number(1)})});
}

void write_hardswish(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string gate =
      s("HardSigmoid", {s.operand(0)}, [](NodeWriter& n) { n.set("alpha", 1.0 / 6).set("beta", 0.5); });
  s.last("Mul", {s.operand(0), gate});
}

void write_mish(Writer& w, Expr e) {
  Steps s(w, e);
  s.last("Mul", {s.operand(0), s("Tanh", {s("Softplus", {s.operand(0)})})});
}

void write_quick_gelu(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string scaled = s("Mul", {s.operand(0), s.number(e.attributes<QuickGeluAttributes>().alpha)});
  s.last("Mul", {s.operand(0), s("Sigmoid", {scaled})});
}

double real(const RowNumber& number) {
  return std::visit([](auto value) { return static_cast<double>(value); }, number.otherwise);
}

}  // namespace

std::span<const Row> rows() {
  static const SeluAttributes selu;
  static const std::vector<Row> all{
      {.onnx = "Relu", .op = "relu", .in_cells = true},
      {.onnx = "Sigmoid", .op = "sigmoid", .in_cells = true},
      {.onnx = "Tanh", .op = "tanh", .in_cells = true},
      {.onnx = "Softplus", .op = "softplus", .in_cells = true},
      {.onnx = "Softsign", .op = "softsign", .in_cells = true},
      {.onnx = "LeakyRelu", .op = "leaky_relu", .numbers = {{"alpha", "alpha", 0.01}}, .in_cells = true},
      {.onnx = "Elu", .op = "elu", .numbers = {{"alpha", "alpha", 1.0}}, .in_cells = true},
      {.onnx = "Selu",
       .op = "selu",
       .numbers = {{"alpha", "alpha", selu.alpha}, {"gamma", "gamma", selu.gamma}}},
      {.onnx = "HardSigmoid",
       .op = "hardsigmoid",
       .numbers = {{"alpha", "alpha", 0.2}, {"beta", "beta", 0.5}},
       .in_cells = true},
      {.onnx = "HardSwish", .op = "hardswish", .since = 14, .before = write_hardswish},
      {.onnx = "Mish", .op = "mish", .since = 18, .before = write_mish},
      {.onnx = "Gelu",
       .op = "gelu",
       .since = 20,
       .word = RowWord{"approximate", {{"none", "exact"}, {"tanh", "tanh"}}},
       .before = write_gelu},
      {.onnx = "com.microsoft.QuickGelu",
       .op = "quick_gelu",
       .since = never,
       .numbers = {{"alpha", "alpha", 1.702}},
       .before = write_quick_gelu},
      {.onnx = "Erf", .op = "erf", .since = 9},
      {.onnx = "Exp", .op = "exp"},
      {.onnx = "Log", .op = "log"},
      {.onnx = "Sqrt", .op = "sqrt"},
      {.onnx = "Abs", .op = "abs"},
      {.onnx = "Neg", .op = "neg"},
      {.onnx = "Sign", .op = "sign", .since = 9},
      {.onnx = "Reciprocal", .op = "reciprocal"},
      {.onnx = "Floor", .op = "floor"},
      {.onnx = "Ceil", .op = "ceil"},
      {.onnx = "Round", .op = "round", .since = 11},
      {.onnx = "Sin", .op = "sin", .since = 7},
      {.onnx = "Cos", .op = "cos", .since = 7},
      {.onnx = "Tan", .op = "tan", .since = 7},
      {.onnx = "Asin", .op = "asin", .since = 7},
      {.onnx = "Acos", .op = "acos", .since = 7},
      {.onnx = "Atan", .op = "atan", .since = 7},
      {.onnx = "Sinh", .op = "sinh", .since = 9},
      {.onnx = "Cosh", .op = "cosh", .since = 9},
      {.onnx = "Asinh", .op = "asinh", .since = 9},
      {.onnx = "Acosh", .op = "acosh", .since = 9},
      {.onnx = "Atanh", .op = "atanh", .since = 9},
      {.onnx = "Not", .op = "logical_not"},
      {.onnx = "LRN",
       .op = "lrn",
       .numbers = {{"size", "size", std::int64_t{0}},
                   {"alpha", "alpha", 1e-4},
                   {"beta", "beta", 0.75},
                   {"bias", "bias", 1.0}}},
      {.onnx = "Sub", .op = "sub", .operands = 2},
      {.onnx = "Mul", .op = "mul", .operands = 2},
      {.onnx = "Div", .op = "div", .operands = 2},
      {.onnx = "And", .op = "logical_and", .operands = 2},
      {.onnx = "Or", .op = "logical_or", .operands = 2},
      {.onnx = "Equal", .op = "equal", .operands = 2},
      {.onnx = "Less", .op = "less", .operands = 2},
      {.onnx = "Greater", .op = "greater", .operands = 2},
      {.onnx = "LessOrEqual", .op = "less_equal", .since = 12, .operands = 2},
      {.onnx = "GreaterOrEqual", .op = "greater_equal", .since = 12, .operands = 2},
  };
  return all;
}

const Row* row_of(std::string_view onnx) {
  const auto found =
      std::find_if(rows().begin(), rows().end(), [&](const Row& row) { return row.onnx == onnx; });
  return found == rows().end() ? nullptr : &*found;
}

Expr apply_row(const NodeContext& c, const Row& row, Expr x, std::span<const double> numbers) {
  std::vector<NamedValue> values;
  for (std::size_t i = 0; i < row.numbers.size(); ++i)
    values.emplace_back(row.numbers[i].ours, i < numbers.size() ? numbers[i] : real(row.numbers[i]));
  return c.apply(row.op, {x}, Attributes::make(*op(row.op).attributes, values));
}

namespace {

AttrValue read_word(NodeContext& c, const RowWord& word) {
  const std::string given = c.text(word.name, word.spellings[0].first);
  std::vector<std::string> known;
  for (const auto& [onnx, ours] : word.spellings) {
    if (given == onnx) return std::string(ours);
    known.push_back(fmt::format("'{}'", onnx));
  }
  c.fail(fmt::format("attribute '{}' is '{}' but must be {}", word.name, given, join(known, " or ")));
}

void read_row(NodeContext& c, const Row& row) {
  std::vector<NamedValue> values;
  for (const RowNumber& number : row.numbers)
    if (const auto* whole = std::get_if<std::int64_t>(&number.otherwise))
      values.emplace_back(number.ours, c.integer(number.onnx, *whole));
    else
      values.emplace_back(number.ours, c.real(number.onnx, real(number)));
  if (row.word) values.emplace_back(row.word->name, read_word(c, *row.word));
  c.ignore({"consumed_inputs"});
  std::vector<Expr> operands{c.operand(0)};
  if (row.operands == 2) operands.push_back(aligned(c, operands[0], c.operand(1)));
  c.result(c.apply(row.op, std::move(operands), Attributes::make(*op(row.op).attributes, values)));
}

void write_row(Writer& w, Expr e, const Row& row) {
  if (row.before && w.opset() < row.since) return row.before(w, e);
  w.need(e, row.since);
  NodeWriter node = w.node(row.onnx, e);
  for (const RowNumber& number : row.numbers) {
    const AttrValue value = e.attributes().get(number.ours);
    if (const auto* whole = std::get_if<std::int64_t>(&value))
      node.set(number.onnx, *whole);
    else
      node.set(number.onnx, std::get<double>(value));
  }
  if (!row.word) return;
  const auto ours = std::get<std::string>(e.attributes().get(row.word->name));
  for (const auto& [onnx, spelling] : row.word->spellings)
    if (ours == spelling) node.set(row.word->name, std::string(onnx));
}

}  // namespace

void add_rows(Handlers& handlers) {
  for (const Row& row : rows()) handlers[row.onnx] = [&row](NodeContext& c) { read_row(c, row); };
}

void add_rows(Forms& forms) {
  for (const Row& row : rows()) forms[row.op] = [&row](Writer& w, Expr e) { write_row(w, e, row); };
}

}  // namespace rulegrad::io
