#include "onnx/attention.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "rulegrad/expr/leaves.hpp"

#include "onnx/applied.hpp"

namespace rulegrad::io {

Expr split_heads(NodeContext& c, Expr x, std::int64_t heads, const char* what) {
  const Shape& shape = x.shape();
  if (shape.rank() == 4) return x;
  if (shape.rank() != 3 || heads < 1 || shape[2].batch || shape[2].factor % heads != 0)
    c.fail(fmt::format(
        "{} must be [N, heads, S, D], or [N, S, heads * D] with the number of heads, but is {} with {} heads",
        what, to_string(x.type()), heads));
  return c.apply("transpose", {reshaped(c, x, {shape[0], shape[1], heads, shape[2].factor / heads})},
                 TransposeAttributes{{0, 2, 1, 3}});
}

Expr join_heads(NodeContext& c, Expr y) {
  const Expr moved = c.apply("transpose", {y}, TransposeAttributes{{0, 2, 1, 3}});
  const Shape& s = moved.shape();
  return reshaped(c, moved, {s[0], s[1], Dim{s[2].factor * s[3].factor}});
}

/// Every head of a group of query heads reads the same key and value.
static Expr repeated_heads(NodeContext& c, Expr x, std::int64_t heads) {
  const Shape& s = x.shape();
  if (s[1].is(heads)) return x;
  if (s[1].factor == 0 || heads % s[1].factor != 0)
    c.fail(fmt::format("{} query heads cannot share the {} of {}", heads, s[1].factor, to_string(x.type())));
  const std::int64_t each = heads / s[1].factor;
  const Expr wide = c.apply("expand", {reshaped(c, x, {s[0], s[1], 1, s[2], s[3]})},
                            ShapeAttributes{Shape{s[0], s[1], each, s[2], s[3]}});
  return reshaped(c, wide, {s[0], heads, s[2], s[3]});
}

Expr masked(NodeContext& c, Expr scores, Expr allowed) {
  return c.apply("where", {allowed, scores, c.scalar(-std::numeric_limits<double>::infinity(), scores)});
}

Expr masked_softmax(NodeContext& c, Expr scores) {
  const auto axis = static_cast<std::int64_t>(scores.shape().rank()) - 1;
  if (!c.importer().specials().may_be_all_low(scores, static_cast<std::size_t>(axis)))
    return c.apply("softmax", {scores}, AxisAttributes{axis});
  const double most = scores.dtype() == DType::float32
                          ? static_cast<double>(std::numeric_limits<float>::max())
                          : std::numeric_limits<double>::max();
  const Expr top = c.apply("amax", {scores}, ReduceAttributes{{axis}, true});
  const Expr alive = c.apply("greater_equal", {top, c.scalar(-most, scores)}), none = c.scalar(0, scores);
  const Expr safe = c.apply("softmax", {c.apply("where", {alive, scores, none})}, AxisAttributes{axis});
  return c.apply("where", {alive, safe, none});
}

AttentionResult attend(NodeContext& c, const AttentionCase& a) {
  const Expr k = repeated_heads(c, a.k, a.q.shape()[1].factor),
             v = repeated_heads(c, a.v, a.q.shape()[1].factor);
  const double scale = a.scale != 0 ? a.scale : 1 / std::sqrt(static_cast<double>(a.q.shape()[3].factor));
  const Expr product = c.apply("matmul", {a.q, k}, MatmulAttributes{false, true});
  AttentionResult result;
  result.raw = result.capped = c.apply("mul", {product, c.scalar(scale, product)});
  if (a.softcap != 0) {
    const Expr cap = c.scalar(a.softcap, product);
    result.capped = c.apply("mul", {c.apply("tanh", {c.apply("div", {result.raw, cap})}), cap});
  }
  Expr scores = result.capped;
  if (a.causal) {
    const Dim queries = scores.shape()[2], keys = scores.shape()[3];
    if (queries.batch || keys.batch ||
        static_cast<double>(queries.factor) * static_cast<double>(keys.factor) > 0x1p28)
      c.fail(fmt::format("a causal mask of {} has no fixed extents", to_string(scores.type())));
    Tensor allowed = c.array(DType::boolean, {queries.factor, keys.factor});
    const auto flags = allowed.mutable_values<bool>();
    for (std::int64_t i = 0; i < queries.factor; ++i)
      for (std::int64_t j = 0; j < keys.factor; ++j)
        flags[static_cast<std::size_t>(i * keys.factor + j)] = j <= i + a.before;
    scores = masked(c, scores, c.graph().constant(allowed));
  }
  if (a.mask) {
    Expr mask = *a.mask;
    // Keys beyond what the mask speaks of are hidden.
    const Dim given = mask.shape()[mask.shape().rank() - 1], keys = scores.shape()[3];
    if (!given.batch && !keys.batch && given.factor < keys.factor && !given.is(1)) {
      PadAttributes pad{Ints(mask.shape().rank(), 0), Ints(mask.shape().rank(), 0), PadMode::constant,
                        mask.dtype() == DType::boolean ? 0 : -std::numeric_limits<double>::infinity()};
      pad.end.back() = keys.factor - given.factor;
      mask = c.apply("pad", {mask}, std::move(pad));
    }
    scores = mask.dtype() == DType::boolean ? masked(c, scores, mask) : c.apply("add", {scores, mask});
  }
  if (a.lengths) {
    const auto keys = scores.shape()[3].factor;
    Tensor numbers = c.array(DType::int64, {1, 1, 1, keys});
    for (std::int64_t i = 0; i < keys; ++i)
      numbers.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = i;
    const Expr length = c.apply("cast", {*a.lengths}, CastAttributes{DType::int64});
    scores = masked(c, scores,
                    c.apply("less", {c.graph().constant(numbers),
                                     reshaped(c, length, {length.shape().count(), 1, 1, 1})}));
  }
  result.biased = scores;
  result.weights = masked_softmax(c, scores);
  result.y = c.apply("matmul", {result.weights, v});
  return result;
}

namespace {

void attention(NodeContext& c) {
  AttentionCase a;
  const std::int64_t heads = c.integer("q_num_heads", 0), kv_heads = c.integer("kv_num_heads", heads);
  const bool joined = c.shape(0).rank() == 3;
  a.q = split_heads(c, c.operand(0), heads, "Q");
  a.k = split_heads(c, c.operand(1), kv_heads, "K");
  a.v = split_heads(c, c.operand(2), kv_heads, "V");
  a.mask = c.optional_operand(3);
  a.scale = c.real("scale", 0);
  a.softcap = c.real("softcap", 0);
  a.causal = c.integer("is_causal", 0) != 0;
  c.ignore({"softmax_precision"});
  if (c.integer("left_window_size", -1) >= 0 || c.integer("right_window_size", -1) >= 0)
    c.fail("windows of attention are not supported; give them as attn_mask");
  if (const auto past = c.optional_operand(4)) {
    a.before = past->shape()[2].factor;
    a.k = c.apply("concat", {*past, a.k}, AxisAttributes{2});
  }
  if (const auto past = c.optional_operand(5)) a.v = c.apply("concat", {*past, a.v}, AxisAttributes{2});
  a.lengths = c.optional_operand(6);
  if (a.lengths && a.causal) c.fail("a causal mask beside nonpad_kv_seqlen is not supported");
  const AttentionResult r = attend(c, a);
  c.result(joined ? join_heads(c, r.y) : r.y);
  c.result(a.k, 1);
  c.result(a.v, 2);
  const Expr stages[] = {r.raw, r.capped, r.biased, r.weights};
  const std::int64_t mode = c.integer("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3) c.fail(fmt::format("attribute 'qk_matmul_output_mode' is {}", mode));
  c.result(stages[mode], 3);
}

void rms_normalization(NodeContext& c) {
  const Expr x = c.operand(0);
  const std::size_t axis = checked_axis(c, c.integer("axis", -1), x.shape().rank());
  c.ignore({"stash_type"});
  c.keep_apart(axis == 0 && x.shape().has_batch(), "it normalises over the batch");
  c.result(rms_norm(c, x, c.operand(1), axis, c.real("epsilon", 1e-5)));
}

Expr part(NodeContext& c, Expr x, std::size_t axis, std::int64_t start, std::int64_t stop,
          std::int64_t step = 1) {
  return c.apply("slice", {x}, SliceAttributes{{static_cast<std::int64_t>(axis)}, {start}, {stop}, {step}});
}

/// Pairs of features turned by the angles of their positions (Su et al. 2021, arXiv 2104.09864, eq. 34).
void rotary(NodeContext& c) {
  const Expr given = c.operand(0);
  const bool joined = given.shape().rank() == 3;
  const Expr x = joined ? split_heads(c, given, c.integer("num_heads", 0), "X") : given;
  (void)c.integer("num_heads", 0);
  if (x.shape().rank() != 4 || x.shape()[3].batch)
    c.fail(fmt::format("X must be [N, heads, S, D] but is {}", to_string(x.type())));
  const std::int64_t size = x.shape()[3].factor, given_dim = c.integer("rotary_embedding_dim", 0),
                     dim = given_dim == 0 ? size : given_dim;
  if (dim < 2 || dim > size || dim % 2 != 0)
    c.fail(fmt::format("{} of {} features cannot be turned in pairs", dim, size));
  Expr cosine = c.operand(1), sine = c.operand(2);
  if (const auto positions = c.optional_operand(3)) {
    cosine = c.apply("gather", {cosine, *positions}, AxisAttributes{0});
    sine = c.apply("gather", {sine, *positions}, AxisAttributes{0});
  }
  // [N, S, D / 2] beside [N, heads, S, D / 2].
  const auto beside = [&](Expr angles) {
    std::vector<Dim> dims = angles.shape().dims();
    if (dims.size() == 3) dims.insert(dims.begin() + 1, Dim{1});
    return reshaped(c, angles, dims);
  };
  cosine = beside(cosine), sine = beside(sine);
  const bool interleaved = c.integer("interleaved", 0) != 0;
  const std::int64_t half = dim / 2;
  const Expr a = interleaved ? part(c, x, 3, 0, dim, 2) : part(c, x, 3, 0, half);
  const Expr b = interleaved ? part(c, x, 3, 1, dim, 2) : part(c, x, 3, half, dim);
  const auto times = [&](Expr p, Expr q) { return c.apply("mul", {p, q}); };
  Expr real = c.apply("sub", {times(a, cosine), times(b, sine)}),
       imaginary = c.apply("add", {times(a, sine), times(b, cosine)});
  Expr y;
  if (interleaved) {
    std::vector<Dim> apart = real.shape().dims(), together = apart;
    apart.emplace_back(1);
    together[3] = Dim{dim};
    y = reshaped(
        c, c.apply("concat", {reshaped(c, real, apart), reshaped(c, imaginary, apart)}, AxisAttributes{4}),
        together);
  } else {
    y = c.apply("concat", {real, imaginary}, AxisAttributes{3});
  }
  if (dim < size) y = c.apply("concat", {y, part(c, x, 3, dim, size)}, AxisAttributes{3});
  c.result(joined ? join_heads(c, y) : y);
}

/// x sigmoid(alpha x).
void swish(NodeContext& c) {
  const Expr x = c.operand(0);
  const double alpha = c.real("alpha", 1);
  if (alpha == 1) return c.result(c.apply("silu", {x}));
  c.result(c.apply("quick_gelu", {x}, QuickGeluAttributes{alpha}));
}

/// Writes `update` into a cache from a place on that each sample has for itself.
void tensor_scatter(NodeContext& c) {
  const Expr cache = c.operand(0), update = c.operand(1);
  const std::size_t axis = checked_axis(c, c.integer("axis", -2), cache.shape().rank());
  const std::int64_t extent = cache.shape()[axis].factor, count = update.shape()[axis].factor;
  const std::string mode = c.text("mode", "linear");
  const std::vector<std::int64_t> starts = c.has(2) ? c.integers_of(2, "write_indices") : Ints{0};
  if (axis == 0 || starts.empty() || cache.shape()[axis].batch)
    c.fail("the cache has no axis to write along");
  for (const std::int64_t start : starts)
    if (start != starts[0] && cache.shape()[0].batch) c.fail("it writes each sample at a place of its own");
  // As sums of what stays and what is written, each sample by itself.
  std::vector<Expr> rows;
  const bool same =
      std::all_of(starts.begin(), starts.end(), [&](std::int64_t start) { return start == starts[0]; });
  for (std::size_t n = 0; n < (same ? 1 : starts.size()); ++n) {
    const auto own = [&](Expr e) {
      return same ? e : part(c, e, 0, static_cast<std::int64_t>(n), static_cast<std::int64_t>(n) + 1);
    };
    std::vector<Expr> pieces(static_cast<std::size_t>(extent));
    for (std::int64_t i = 0; i < extent; ++i)
      pieces[static_cast<std::size_t>(i)] = part(c, own(cache), axis, i, i + 1);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t at = mode == "circular" ? (starts[n] + i) % extent : starts[n] + i;
      if (at < 0 || at >= extent)
        c.fail(fmt::format("place {} lies outside of {}", at, to_string(cache.type())));
      pieces[static_cast<std::size_t>(at)] = part(c, own(update), axis, i, i + 1);
    }
    rows.push_back(c.apply("concat", pieces, AxisAttributes{static_cast<std::int64_t>(axis)}));
  }
  c.result(rows.size() == 1 ? rows[0] : c.apply("concat", rows, AxisAttributes{0}));
}

}  // namespace

void add_attention(Handlers& h) {
  h["Attention"] = attention;
  h["RMSNormalization"] = rms_normalization;
  h["RotaryEmbedding"] = rotary;
  h["Swish"] = swish;
  h["TensorScatter"] = tensor_scatter;
}

}  // namespace rulegrad::io
