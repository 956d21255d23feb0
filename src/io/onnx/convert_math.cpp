#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "io/onnx/importer.hpp"
#include "rulegrad/error.hpp"

/// Elementwise operators and reductions.
namespace rulegrad::onnx_io {
namespace {

/// Shape arithmetic on values that may hold the batch.
std::optional<Value> dim_arithmetic(const NodeReader& n, const std::string& what) {
  if (n.operands() != 2 || (!n.value(0).dims && !n.value(1).dims)) return std::nullopt;
  const std::vector<Dim> a = n.dims(0), b = n.dims(1);
  if (a.size() != b.size() && a.size() != 1 && b.size() != 1) return std::nullopt;
  Value result{Expr(), std::vector<Dim>{}, n.value(0).rank0 && n.value(1).rank0};
  for (std::size_t i = 0; i < std::max(a.size(), b.size()); ++i) {
    const Dim x = a[a.size() == 1 ? 0 : i], y = b[b.size() == 1 ? 0 : i];
    if (what == "Mul" && !(x.batch && y.batch)) result.dims->emplace_back(x.factor * y.factor, x.batch || y.batch);
    else if (what == "Div" && !y.batch && y.factor != 0 && x.factor % y.factor == 0) result.dims->emplace_back(x.factor / y.factor, x.batch);
    else if ((what == "Add" || what == "Sub") && x.batch == y.batch) result.dims->emplace_back(what == "Add" ? x.factor + y.factor : x.factor - y.factor, x.batch);
    else throw Error(ErrorCode::model, fmt::format("{} of the extents {} and {} is not supported", what, to_string(x), to_string(y)));
  }
  return result;
}

/// A constant of one number a channel that follows an affine layer without a bias is its bias.
bool becomes_bias(const NodeReader& n) {
  for (const std::size_t side : {0U, 1U}) {
    if (n.value(0).dims || n.value(1).dims) return false;
    const Expr y = n.expr(side), b = n.expr(1 - side);
    const bool is_dense = y.is("dense"), is_conv = y.is("conv");
    if ((!is_dense && !is_conv) || !is_zero(y.operand(2)) || constant_of(b) == nullptr || !n.only_use(side)) continue;
    const Shape& shape = b.shape();
    // Aligned at the last axis, only the channel axis may be wider than 1.
    const std::size_t channel_from_end = is_dense ? 0 : y.shape().rank() - 2;
    bool fits = shape.rank() > channel_from_end;
    for (std::size_t back = 0; back < shape.rank(); ++back) {
      const Dim dim = shape[shape.rank() - 1 - back];
      fits = fits && (back == channel_from_end ? dim == y.shape()[is_dense ? y.shape().rank() - 1 : 1] : dim.is(1));
    }
    if (!fits) continue;
    const Expr bias = all_zero(b) ? n.graph().scalar(0) : n.graph().constant(constant_of(b)->reshaped({constant_of(b)->size()}));
    n.result(n.apply(is_dense ? "dense" : "conv", {y.operand(0), y.operand(1), bias}, y.attributes()));
    return true;
  }
  return false;
}

/// Opset 7 and later broadcast as NumPy does. Integer and float operands may meet after shape arithmetic.
void binary(const NodeReader& n, const char* name) {
  const std::string& what = n.proto().op_type();
  if (const auto dims = dim_arithmetic(n, what)) return n.result(*dims);
  if (what == "Add" && becomes_bias(n)) return;
  n.result(n.apply(name, {n.expr(0), n.expr(1)}));
}

void nary(const NodeReader& n, const char* name) {
  Expr sum = n.expr(0);
  for (std::size_t i = 1; i < n.operands(); ++i) sum = n.apply(name, {sum, n.expr(i)});
  n.result(sum);
}

void unary(const NodeReader& n, const char* name, Attributes attributes = {}) { n.result(n.apply(name, {n.expr(0)}, std::move(attributes))); }

void clip(const NodeReader& n) {
  ClipAttributes a{-std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()};
  if (n.opset() < 11) {
    a.low = n.number("min", a.low);
    a.high = n.number("max", a.high);
  } else {
    if (n.has(1)) a.low = n.numbers(1).at(0);
    if (n.has(2)) a.high = n.numbers(2).at(0);
  }
  unary(n, "clip", a);
}

/// Axes as an attribute, or from opset 13 (sum) and 18 on as an operand.
Ints reduction_axes(const NodeReader& n, std::size_t rank) {
  Ints axes = n.has(1) ? n.ints(1) : n.list("axes");
  if (axes.empty() && n.integer("noop_with_empty_axes", 0) == 0)
    for (std::size_t axis = 0; axis < rank; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  for (std::int64_t& axis : axes)
    if (axis < 0) axis += static_cast<std::int64_t>(rank);
  std::sort(axes.begin(), axes.end());
  return axes;
}

void reduce(const NodeReader& n, const char* name, const char* before = nullptr, const char* after = nullptr) {
  Expr x = n.expr(0);
  const Ints axes = reduction_axes(n, x.shape().rank());
  if (std::string_view(before == nullptr ? "" : before) == "square") x = n.apply("mul", {x, x});
  else if (before != nullptr) x = n.apply(before, {x});
  Expr y = axes.empty() ? x : n.apply(name, {x}, ReduceAttributes{axes, n.integer("keepdims", 1) != 0});
  n.result(after == nullptr ? y : n.apply(after, {y}));
}

void arg(const NodeReader& n, const char* name) {
  if (n.integer("select_last_index", 0) != 0) throw Error(ErrorCode::model, "select_last_index is not supported");
  n.result(n.apply(name, {n.expr(0)}, ArgAttributes{n.integer("axis", 0), n.integer("keepdims", 1) != 0}));
}

/// (x - zero point) * scale, per tensor or along an axis: constants fold at once.
void dequantize(const NodeReader& n) {
  const Expr x = n.expr(0);
  const DType real = n.importer().real();
  const auto placed = [&](Expr v) {
    if (v.shape().rank() == 0 || v.shape().count().is(1)) return n.apply("reshape", {v}, ShapeAttributes{Shape{}});
    std::int64_t axis = n.integer("axis", 1);
    if (axis < 0) axis += static_cast<std::int64_t>(x.shape().rank());
    std::vector<Dim> dims(x.shape().rank() - static_cast<std::size_t>(axis), Dim{1});
    dims[0] = v.shape()[0];
    return n.apply("reshape", {v}, ShapeAttributes{Shape(dims)});
  };
  Expr value = n.apply("cast", {x}, CastAttributes{real});
  if (n.has(2)) value = n.apply("sub", {value, placed(n.apply("cast", {n.expr(2)}, CastAttributes{real}))});
  n.result(n.apply("mul", {value, placed(n.expr(1))}));
}

void cast(const NodeReader& n) {
  const DType to = dtype_of_onnx(static_cast<int>(n.integer("to", 1)), n.importer().real());
  if (n.value(0).dims && !is_floating(to)) return n.result(n.value(0));
  n.result(n.apply("cast", {n.expr(0)}, CastAttributes{to}));
}

}  // namespace

void add_math_converters(Converters& table) {
  for (const auto& [onnx_name, name] : std::map<std::string, const char*>{
           {"Relu", "relu"}, {"Sigmoid", "sigmoid"}, {"Tanh", "tanh"}, {"Softplus", "softplus"}, {"HardSwish", "hardswish"}, {"Erf", "erf"}, {"Exp", "exp"},
           {"Log", "log"}, {"Sqrt", "sqrt"}, {"Abs", "abs"}, {"Neg", "neg"}, {"Sign", "sign"}, {"Reciprocal", "reciprocal"}, {"Floor", "floor"},
           {"Ceil", "ceil"}, {"Round", "round"}, {"Sin", "sin"}, {"Cos", "cos"}, {"Not", "logical_not"}})
    table[onnx_name] = [name = name](const NodeReader& n) { unary(n, name); };
  for (const auto& [onnx_name, name] : std::map<std::string, const char*>{
           {"Add", "add"}, {"Sub", "sub"}, {"Mul", "mul"}, {"Div", "div"}, {"Pow", "pow"}, {"Equal", "equal"}, {"Less", "less"}, {"LessOrEqual", "less_equal"},
           {"Greater", "greater"}, {"GreaterOrEqual", "greater_equal"}, {"And", "logical_and"}, {"Or", "logical_or"}, {"PRelu", "prelu"}})
    table[onnx_name] = [name = name](const NodeReader& n) { binary(n, name); };
  for (const auto& [onnx_name, name] : std::map<std::string, const char*>{{"Sum", "add"}, {"Max", "max"}, {"Min", "min"}})
    table[onnx_name] = [name = name](const NodeReader& n) { nary(n, name); };
  table["Mean"] = [](const NodeReader& n) {
    Expr sum = n.expr(0);
    for (std::size_t i = 1; i < n.operands(); ++i) sum = n.apply("add", {sum, n.expr(i)});
    n.result(n.apply("div", {sum, n.graph().scalar(static_cast<double>(n.operands()))}));
  };
  table["LeakyRelu"] = [](const NodeReader& n) { unary(n, "leaky_relu", LeakyReluAttributes{n.number("alpha", 0.01)}); };
  table["Elu"] = [](const NodeReader& n) { unary(n, "elu", EluAttributes{n.number("alpha", 1)}); };
  table["Selu"] = [](const NodeReader& n) { unary(n, "selu", SeluAttributes{n.number("alpha", 1.67326319217681884765625), n.number("gamma", 1.05070102214813232421875)}); };
  table["HardSigmoid"] = [](const NodeReader& n) { unary(n, "hardsigmoid", HardsigmoidAttributes{n.number("alpha", 0.2), n.number("beta", 0.5)}); };
  table["Clip"] = clip;
  table["Where"] = [](const NodeReader& n) { n.result(n.apply("where", {n.expr(0), n.expr(1), n.expr(2)})); };
  table["ReduceSum"] = [](const NodeReader& n) { reduce(n, "sum"); };
  table["ReduceMean"] = [](const NodeReader& n) { reduce(n, "mean"); };
  table["ReduceMax"] = [](const NodeReader& n) { reduce(n, "amax"); };
  table["ReduceMin"] = [](const NodeReader& n) { reduce(n, "amin"); };
  table["ReduceProd"] = [](const NodeReader& n) { reduce(n, "prod"); };
  table["ReduceSumSquare"] = [](const NodeReader& n) { reduce(n, "sum", "square"); };
  table["ReduceL1"] = [](const NodeReader& n) { reduce(n, "sum", "abs"); };
  table["ReduceL2"] = [](const NodeReader& n) { reduce(n, "sum", "square", "sqrt"); };
  table["ReduceLogSum"] = [](const NodeReader& n) { reduce(n, "sum", nullptr, "log"); };
  table["ArgMax"] = [](const NodeReader& n) { arg(n, "argmax"); };
  table["ArgMin"] = [](const NodeReader& n) { arg(n, "argmin"); };
  table["DequantizeLinear"] = dequantize;
  table["Cast"] = cast;
}

}  // namespace rulegrad::onnx_io
