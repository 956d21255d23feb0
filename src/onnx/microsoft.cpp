#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"
#include "onnx/attention.hpp"
#include "onnx/rows.hpp"

/// Operators of com.microsoft that onnxruntime's optimiser makes of others.
namespace rulegrad::io {
namespace {

Expr swapped(const NodeContext& c, Expr x) {
  Ints perm;
  for (std::size_t axis = 0; axis < x.shape().rank(); ++axis) perm.push_back(static_cast<std::int64_t>(axis));
  if (perm.size() > 1) std::swap(perm[perm.size() - 1], perm[perm.size() - 2]);
  return c.apply("transpose", {x}, TransposeAttributes{perm});
}

void fused_matmul(NodeContext& c) {
  Expr a = c.operand(0), b = c.operand(1);
  if (c.integer("transBatchA", 0) != 0 || c.integer("transBatchB", 0) != 0)
    c.fail("transposed batches are not supported");
  const bool ta = c.integer("transA", 0) != 0, tb = c.integer("transB", 0) != 0;
  const double alpha = c.real("alpha", 1);
  Expr y;
  if (c.is_static(b) && !c.is_static(a) && b.shape().rank() == 2 && !ta)
    y = c.apply("dense", {a, tb ? b : swapped(c, b), c.scalar(0, a)});
  else
    y = c.apply("matmul", {a, b}, MatmulAttributes{ta, tb});
  c.result(alpha == 1 ? y : binary(c, "mul", y, c.scalar(alpha, y)));
}

/// The function of a row, its numbers in a list, or by the names that products have for them.
Expr activated(NodeContext& c, Expr x, const std::string& name) {
  if (name.empty()) return x;
  std::vector<double> numbers = c.reals("activation_params");
  if (name == "Clip" && numbers.size() == 2)
    return c.apply("clip", {x}, ClipAttributes{numbers[0], numbers[1]});
  const Row* row = row_of(name);
  if (row == nullptr || row->operands != 1) c.fail(fmt::format("the activation '{}' is not supported", name));
  for (const char* given : {"activation_alpha", "leaky_relu_alpha", "activation_beta"})
    if (c.has_attribute(given)) numbers.push_back(c.real(given, 0));
  return apply_row(c, *row, x, numbers);
}

/// A convolution or product as ONNX has it, and an activation behind it.
Handler with_activation(const char* name) {
  return [name](NodeContext& c) {
    const std::string activation = c.text("activation", "");
    c.ignore(
        {"activation_alpha", "activation_beta", "activation_gamma", "activation_params", "leaky_relu_alpha"});
    c.then([&c, activation](Expr y) { return activated(c, y, activation); });
    handlers().at(name)(c);
  };
}

Expr gelu(const NodeContext& c, Expr x, GeluForm form) {
  return c.apply("gelu", {x}, GeluAttributes{form});
}

void exact_gelu(NodeContext& c) {
  c.result(gelu(c, c.operand(0), GeluForm::exact));
}
void bias_gelu(NodeContext& c) {
  c.result(gelu(c, binary(c, "add", c.operand(0), c.operand(1)), GeluForm::exact));
}
void fast_gelu(NodeContext& c) {
  const Expr x = c.operand(0);
  c.result(gelu(c, c.has(1) ? binary(c, "add", x, c.operand(1)) : x, GeluForm::tanh));
}
Expr layer_norm(NodeContext& c, Expr x, Expr scale, std::optional<Expr> bias, double epsilon) {
  return c.apply("layer_norm", {x, scale, bias ? *bias : c.scalar(0, x)},
                 LayerNormAttributes{static_cast<std::int64_t>(x.shape().rank()) - 1, epsilon});
}

void skip_layer_norm(NodeContext& c) {
  Expr x = binary(c, "add", c.operand(0), c.operand(1));
  if (c.has(4)) x = binary(c, "add", x, c.operand(4));
  c.result(layer_norm(c, x, c.operand(2), c.optional_operand(3), c.real("epsilon", 1e-12)));
  c.result(x, 3);
}

void skip_rms_norm(NodeContext& c) {
  Expr x = binary(c, "add", c.operand(0), c.operand(1));
  if (c.has(3)) x = binary(c, "add", x, c.operand(3));
  c.result(rms_norm(c, x, c.operand(2), x.shape().rank() - 1, c.real("epsilon", 1e-12)));
  c.result(x, 3);
}

void simplified_layer_norm(NodeContext& c) {
  const Expr x = c.operand(0);
  c.ignore({"axis", "stash_type"});
  c.result(rms_norm(c, x, c.operand(1), x.shape().rank() - 1, c.real("epsilon", 1e-5)));
}

/// Keys that a sample has: a flag for each, or how many.
std::optional<Expr> key_mask(NodeContext& c, std::size_t input, AttentionCase& a) {
  if (!c.has(input)) return std::nullopt;
  const Expr mask = c.operand(input);
  const Shape& s = mask.shape();
  if (s.rank() == 1) {
    a.lengths = mask;
    return std::nullopt;
  }
  const Expr flags = c.apply("not_equal", {mask, c.scalar(0, mask)});
  if (s.rank() == 2) return reshaped(c, flags, {s[0], 1, 1, s[1]});
  if (s.rank() == 3) return reshaped(c, flags, {s[0], 1, s[1], s[2]});
  return flags;
}

void finish(NodeContext& c, AttentionCase& a, const std::optional<Expr>& allowed,
            const std::optional<Expr>& bias) {
  // Hidden keys get a large negative number, by which onnxruntime hides them.
  const double hidden = c.real("mask_filter_value", -10000);
  if (allowed) {
    const Expr like = a.q;
    a.mask = c.apply("where", {*allowed, c.scalar(0, like), c.scalar(hidden, like)});
  }
  if (bias) a.mask = a.mask ? binary(c, "add", *a.mask, *bias) : *bias;
  a.scale = c.real("scale", 0);
  c.result(join_heads(c, attend(c, a).y));
}

/// Q, K, V as [N, S, heads * D] with biases.
void multi_head_attention(NodeContext& c) {
  const std::int64_t heads = c.integer("num_heads", 0);
  Expr q = c.operand(0);
  if (!c.has(1) || !c.has(2)) c.fail("packed queries, keys and values are not supported");
  Expr k = c.operand(1), v = c.operand(2);
  if (c.has(3)) {
    const Expr bias = c.operand(3);
    const std::int64_t nq = q.shape()[2].factor, nk = k.shape().rank() == 3 ? k.shape()[2].factor : 0;
    if (nk == 0) c.fail("a bias beside keys of four axes is not supported");
    q = binary(c, "add", q, part(c, bias, 0, 0, nq));
    k = binary(c, "add", k, part(c, bias, 0, nq, nq + nk));
    v = binary(c, "add", v, part(c, bias, 0, nq + nk, bias.shape()[0].factor));
  }
  AttentionCase a;
  a.q = split_heads(c, q, heads, "query");
  a.k = split_heads(c, k, heads, "key");
  a.v = split_heads(c, v, heads, "value");
  a.causal = c.integer("unidirectional", 0) != 0;
  for (const std::size_t past : {std::size_t{6}, std::size_t{7}})
    if (c.has(past)) c.fail("keys and values of the past are not supported");
  const auto allowed = key_mask(c, 4, a);
  finish(c, a, allowed, c.optional_operand(5));
}

/// One weight for queries, keys and values: x [N, S, D], w [D, 3 D'].
void packed_attention(NodeContext& c) {
  const std::int64_t heads = c.integer("num_heads", 0);
  const Expr x = c.operand(0), w = c.operand(1);
  c.ignore({"do_rotary", "past_present_share_buffer"});
  Ints sizes = c.integers("qkv_hidden_sizes");
  if (sizes.empty()) sizes = Ints(3, w.shape()[1].factor / 3);
  const Expr y = c.apply("dense", {x, swapped(c, w), c.has(2) ? c.operand(2) : c.scalar(0, x)});
  if (c.has(4)) c.fail("keys and values of the past are not supported");
  AttentionCase a;
  a.q = split_heads(c, part(c, y, 2, 0, sizes[0]), heads, "query");
  a.k = split_heads(c, part(c, y, 2, sizes[0], sizes[0] + sizes[1]), heads, "key");
  a.v = split_heads(c, part(c, y, 2, sizes[0] + sizes[1], sizes[0] + sizes[1] + sizes[2]), heads, "value");
  a.causal = c.integer("unidirectional", 0) != 0;
  const auto allowed = key_mask(c, 3, a);
  finish(c, a, allowed, c.optional_operand(5));
}

}  // namespace

void add_microsoft(Handlers& h) {
  const std::string ms = "com.microsoft.";
  h[ms + "FusedMatMul"] = fused_matmul;
  h[ms + "TransposeMatMul"] = fused_matmul;
  h[ms + "FusedConv"] = with_activation("Conv");
  h[ms + "FusedGemm"] = with_activation("Gemm");
  h[ms + "Gelu"] = exact_gelu;
  h[ms + "BiasGelu"] = bias_gelu;
  h[ms + "FastGelu"] = fast_gelu;
  h[ms + "SkipLayerNormalization"] = skip_layer_norm;
  h[ms + "SkipSimplifiedLayerNormalization"] = skip_rms_norm;
  h["SimplifiedLayerNormalization"] = h[ms + "SimplifiedLayerNormalization"] = simplified_layer_norm;
  h[ms + "LayerNormalization"] = h["LayerNormalization"];
  h[ms + "MultiHeadAttention"] = multi_head_attention;
  h[ms + "Attention"] = packed_attention;
}

}  // namespace rulegrad::io
