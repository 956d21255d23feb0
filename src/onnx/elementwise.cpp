#include <cmath>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"

namespace rulegrad::io {

Expr aligned(NodeContext& c, Expr a, Expr b) {
  const bool legacy = c.opset() < 7 && c.has_attribute("broadcast");
  (void)c.integer("broadcast", 0);
  if (!legacy || !c.has_attribute("axis")) return b;
  const std::size_t axis = checked_axis(c, c.integer("axis", 0), a.shape().rank());
  if (axis + b.shape().rank() > a.shape().rank())
    c.fail("the axes of the second operand reach beyond those of the first");
  std::vector<Dim> dims = b.shape().dims();
  dims.resize(a.shape().rank() - axis, Dim{1});
  return reshaped(c, b, std::move(dims));
}

namespace {

/// One or more operands, from the left.
Expr chain(NodeContext& c, const char* op_name) {
  Expr total = c.operand(0);
  for (std::size_t i = 1; i < c.input_count(); ++i) total = c.apply(op_name, {total, c.operand(i)});
  return total;
}

Handler variadic(const char* op_name) {
  return [op_name](NodeContext& c) { c.result(chain(c, op_name)); };
}

/// max(x, 0), as exporters write clamp(min=0), is a ReLU: methods that have rules for one find it.
void maximum(NodeContext& c) {
  const Expr whole = chain(c, "max");
  if (c.input_count() != 2 || !is_floating(whole.dtype())) return c.result(whole);
  for (const std::size_t zero : {0u, 1u})
    if (constant_value(c.operand(zero)) == 0.0 && c.operand(1 - zero).shape() == whole.shape())
      return c.result(c.apply("relu", {c.operand(1 - zero)}));
  c.result(whole);
}

void mean_of(NodeContext& c) {
  const Expr total = chain(c, "add");
  c.result(c.apply("div", {total, c.scalar(static_cast<double>(c.input_count()), total)}));
}

/// Base and exponent may have different types; the result has that of the base.
void power(NodeContext& c) {
  Expr a = c.operand(0), b = c.operand(1);
  const DType dtype = a.dtype();
  if (!is_floating(dtype) && is_floating(b.dtype())) a = c.apply("cast", {a}, CastAttributes{b.dtype()});
  if (a.dtype() != b.dtype()) b = c.apply("cast", {b}, CastAttributes{a.dtype()});
  // A square root is one, with its derivative at 0 (norms of zeros).
  const bool root =
      constant_value(b) == 0.5 && b.shape().count().is(1) && b.shape().rank() <= a.shape().rank();
  b = aligned(c, a, b);
  c.result(c.apply("cast", {root ? c.apply("sqrt", {a}) : c.apply("pow", {a, b})}, CastAttributes{dtype}));
}

void modulus(NodeContext& c) {
  const Expr a = c.operand(0), b = c.operand(1);
  if (c.integer("fmod", 0) == 0) return c.result(c.apply("mod", {a, b}));
  // The sign of a: a - trunc(a / b) b.
  const Expr quotient = c.apply("div", {a, b});
  const Expr whole =
      is_floating(a.dtype())
          ? c.apply("mul", {c.apply("sign", {quotient}), c.apply("floor", {c.apply("abs", {quotient})})})
          : quotient;
  c.result(c.apply("sub", {a, c.apply("mul", {whole, b})}));
}

/// Booleans are compared as numbers.
void exclusive_or(NodeContext& c) {
  const Expr a = c.operand(0);
  c.result(c.apply("not_equal", {a, aligned(c, a, c.operand(1))}));
}

void clip(NodeContext& c) {
  Expr x = c.operand(0);
  std::optional<Expr> low = c.optional_operand(1), high = c.optional_operand(2);
  if (c.has_attribute("min")) low = c.scalar(c.real("min", 0), x);
  if (c.has_attribute("max")) high = c.scalar(c.real("max", 0), x);
  c.ignore({"consumed_inputs"});
  const auto number = [](const std::optional<Expr>& bound) {
    return bound ? constant_value(*bound) : std::nullopt;
  };
  const auto l = number(low), h = number(high);
  if (l && h && *l <= *h) return c.result(c.apply("clip", {x}, ClipAttributes{*l, *h}));
  if (low) x = l == 0.0 && !high ? c.apply("relu", {x}) : c.apply("max", {x, *low});
  if (high) x = c.apply("min", {x, *high});
  c.result(x);
}

void cast(NodeContext& c) {
  c.ignore({"saturate"});
  DType dtype = DType::float32;
  if (c.op_type() == "CastLike")
    dtype = c.operand(1).dtype();
  else
    dtype = mapped_dtype(static_cast<int>(c.integer("to", 0)), c.importer().real(), "attribute 'to'");
  c.result(c.apply("cast", {c.operand(0)}, CastAttributes{dtype}));
}

/// Numbers from 2^63 on are held as those less 2^64: x / p + 2^64 / p, rounded down, and nothing where p = 1.
Expr shifted_right(NodeContext& c, Expr x, Expr power) {
  const Expr whole = c.apply("sub", {x, c.apply("mod", {x, power})});
  const Expr rest = c.apply("div", {whole, power});
  // 2^64 / p as twice 2^63 / p; 2^63 itself is the negative one.
  const Expr half = c.apply("div", {c.graph().scalar(-0x1p63, DType::int64), power});
  const Expr back = c.apply("mul", {half, c.graph().scalar(-2, DType::int64)});
  const Expr zero = c.graph().scalar(0, DType::int64);
  return c.apply("where", {c.apply("less", {x, zero}), c.apply("add", {rest, back}), rest});
}

/// A shift by known places multiplies, or divides, by powers of two.
void bit_shift(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::string direction = c.text("direction", "");
  if (direction != "LEFT" && direction != "RIGHT")
    c.fail(fmt::format("attribute 'direction' is '{}' but must be LEFT or RIGHT", direction));
  const Tensor places = c.required_constant(1, "shift").cast(DType::float64);
  Tensor powers = c.array(DType::float64, places.dims());
  for (std::int64_t i = 0; i < places.size(); ++i) {
    const double n = places.at(i);
    if (n < 0 || n > 62) c.fail(fmt::format("it shifts by {} places, and 0 to 62 are supported", n));
    powers.mutable_values<double>()[static_cast<std::size_t>(i)] = std::exp2(n);
  }
  // What is shifted out of a byte is gone.
  if (x.dtype() != DType::int64 && x.dtype() != DType::int32 && x.dtype() != DType::uint8)
    c.fail(fmt::format("x must hold whole numbers but is {}", to_string(x.type())));
  const Expr wide = c.apply("cast", {x}, CastAttributes{DType::int64});
  const Expr by = c.graph().constant(powers.cast(DType::int64));
  const int declared = c.importer().declared_element(c.input_name(0), x.dtype());
  Expr moved = direction == "LEFT" ? c.apply("mul", {wide, by}) : shifted_right(c, wide, by);
  if (declared == onnx::TensorProto::UINT32 || declared == onnx::TensorProto::UINT16)
    moved = c.apply("mod", {moved, c.scalar(declared == onnx::TensorProto::UINT32 ? 0x1p32 : 0x1p16, moved)});
  c.result(c.apply("cast", {moved}, CastAttributes{x.dtype()}));
}

void identity(NodeContext& c) {
  c.result(c.operand(0));
}

void dropout(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"ratio", "seed", "consumed_inputs"});
  if (c.integer("is_test", 1) == 0) c.fail("training mode is not supported; export the model for inference");
  if (c.has(2) && c.required_constant(2, "training_mode").at(0) != 0)
    c.fail("training mode is not supported; export the model for inference");
  c.result(x);
  if (c.wanted(1)) c.result(c.apply("fill", {}, FillAttributes{1, DType::boolean, x.shape()}), 1);
}

}  // namespace

void add_elementwise(Handlers& h) {
  h["Xor"] = exclusive_or;
  h["Max"] = maximum;
  h["Min"] = variadic("min");
  h["Mean"] = mean_of;
  h["Pow"] = power;
  h["Mod"] = modulus;
  h["Clip"] = clip;
  h["Cast"] = h["CastLike"] = cast;
  h["Identity"] = identity;
  h["BitShift"] = bit_shift;
  h["Dropout"] = dropout;
}

}  // namespace rulegrad::io
