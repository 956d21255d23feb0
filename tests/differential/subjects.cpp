#include "differential/subjects.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "rulegrad/api/network.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"

namespace differential {

std::uint64_t Draw::bits() {
  state_ += 0x9e3779b97f4a7c15ULL;
  std::uint64_t z = state_;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
  return z ^ z >> 31;
}

std::int64_t Draw::between(std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(bits() % static_cast<std::uint64_t>(high - low + 1));
}

std::int64_t Draw::one_of(std::initializer_list<std::int64_t> values) {
  return values.begin()[bits() % values.size()];
}
bool Draw::chance(double p) {
  return static_cast<double>(bits() >> 11) * 0x1p-53 < p;
}

double Draw::normal() {
  double sum = -6;
  for (int i = 0; i < 12; ++i) sum += static_cast<double>(bits() >> 40) * 0x1p-24;
  return static_cast<double>(static_cast<float>(sum));
}

std::string name_of(Kind kind) {
  constexpr const char* names[] = {"dense",   "tokens",    "images",    "signals",       "volumes",
                                   "decoder", "attention", "recurrent", "smooth images", "summary"};
  return names[static_cast<std::size_t>(kind)];
}

namespace {

/// Layers with drawn weights, and what they are as text.
class Drawing {
 public:
  Drawing(std::uint64_t seed, DType dtype, bool smooth, bool is_small)
      : draw(seed), small(is_small), smooth_(smooth), dtype_(dtype), net_(dtype) {}

  Draw draw;
  bool small;
  std::string text;
  double products = 0;

  Expr input(Shape shape) {
    text += to_string(shape);
    return net_.input("x", std::move(shape));
  }

  Tensor weight(Dims dims, std::int64_t fan_in) {
    Tensor w(DType::float64, std::move(dims));
    const double some = std::min(1.0, 12.0 / static_cast<double>(fan_in)),
                 scale = 1 / std::sqrt(static_cast<double>(fan_in));
    for (double& v : w.mutable_values<double>())
      v = smooth_             ? static_cast<double>(static_cast<float>(draw.normal() * scale))
          : draw.chance(some) ? (draw.chance(0.5) ? 2 : -2)
                              : 0;
    return w.cast(dtype_);
  }
  Tensor bias(std::int64_t count) {
    Tensor b(DType::float64, {count});
    for (double& v : b.mutable_values<double>())
      v = smooth_ ? 0.25 * draw.normal() : static_cast<double>(2 * draw.between(-3, 2) + 1);
    return b.cast(dtype_);
  }

  Expr dense(Expr x, std::int64_t units) {
    const std::int64_t in = x.shape().dims().back().factor;
    text += " dense " + std::to_string(units);
    products += static_cast<double>(x.shape().count().factor * units);
    return net_.dense(x, weight({units, in}, in), bias(units));
  }
  /// Without a bias: where an Add or a norm follows.
  Expr projection(Expr x, std::int64_t units) {
    const std::int64_t in = x.shape().dims().back().factor;
    text += " projection " + std::to_string(units);
    products += static_cast<double>(x.shape().count().factor * units);
    const Tensor w = weight({units, in}, in);
    return draw.chance(0.5) ? net_.dense(x, w) : matmul(x, net_.graph().constant(w), {.transpose_b = true});
  }

  struct Window {
    std::int64_t kernel = 3, stride = 1, dilation = 1, groups = 1;
    bool padded = true;
  };
  Expr conv(Expr x, std::int64_t channels, Window w) {
    const std::size_t spatial = x.shape().rank() - 2;
    const std::int64_t in = x.shape()[1].factor;
    const auto all = [&](std::int64_t v) { return Ints(spatial, v); };
    const std::int64_t reach = w.dilation * (w.kernel - 1), pad = w.padded ? reach / 2 : 0;
    Dims dims{channels, in / w.groups};
    dims.insert(dims.end(), spatial, w.kernel);
    const std::int64_t fan_in = element_count(dims) / channels;
    text += " conv " + std::to_string(channels) + " of " + std::to_string(w.kernel) +
            (w.stride > 1 ? " stride " + std::to_string(w.stride) : "") +
            (w.dilation > 1 ? " dilation " + std::to_string(w.dilation) : "") +
            (w.groups > 1 ? " groups " + std::to_string(w.groups) : "");
    const Expr y = net_.conv(x, weight(std::move(dims), fan_in), bias(channels),
                             {all(w.stride), all(pad), all(pad), all(w.dilation), w.groups});
    products += static_cast<double>(y.shape().count().factor * fan_in);
    return y;
  }
  /// Twice the extents.
  Expr up(Expr x, std::int64_t channels) {
    const std::size_t spatial = x.shape().rank() - 2;
    const std::int64_t in = x.shape()[1].factor;
    Ints extents;
    for (std::size_t axis = 2; axis < x.shape().rank(); ++axis) extents.push_back(2 * x.shape()[axis].factor);
    if (draw.chance(0.4)) {
      text += " resize";
      const Expr wide = x.graph().apply(op("resize"), {x},
                                        ResizeAttributes{.spatial = extents,
                                                         .coordinates = ResizeCoordinates::asymmetric,
                                                         .rounding = NearestRounding::floor});
      return conv(wide, channels, {});
    }
    text += " transposed conv " + std::to_string(channels);
    Dims dims{in, channels};
    dims.insert(dims.end(), spatial, 2);
    products += static_cast<double>(element_count(dims) * x.shape().count().factor / in);
    return conv_transpose(x, net_.graph().constant(weight(std::move(dims), in)),
                          net_.graph().constant(bias(channels)),
                          {.strides = Ints(spatial, 2),
                           .pads_begin = Ints(spatial, 0),
                           .pads_end = Ints(spatial, 0),
                           .dilations = Ints(spatial, 1),
                           .groups = 1,
                           .spatial = extents});
  }

  Expr activation(Expr x) {
    if (!smooth_) return relu(x);
    constexpr const char* all[] = {"tanh", "sigmoid", "gelu", "silu", "softplus"};
    const std::string name = all[draw.bits() % std::size(all)];
    text += " " + name;
    return x.graph().apply(op(name), {x});
  }
  Expr pool(Expr x, bool last = false) {
    const std::size_t spatial = x.shape().rank() - 2;
    for (std::size_t axis = 2; axis < x.shape().rank(); ++axis)
      if (x.shape()[axis].factor < 4) return x;
    const Ints two(spatial, 2), zero(spatial, 0), one(spatial, 1);
    // Means are no integers any more: no ReLU may follow.
    if (smooth_ || last) {
      text += " avg_pool";
      return avg_pool(
          x, {.kernel = two, .strides = two, .pads_begin = zero, .pads_end = zero, .dilations = one});
    }
    text += " max_pool";
    if (!small && draw.chance(0.3))
      return max_pool(
          x,
          {.kernel = Ints(spatial, 3), .strides = two, .pads_begin = one, .pads_end = one, .dilations = one});
    return max_pool(x,
                    {.kernel = two, .strides = two, .pads_begin = zero, .pads_end = zero, .dilations = one});
  }
  Expr slice(Expr x, std::int64_t axis, std::int64_t start, std::int64_t stop) {
    return x.graph().apply(op("slice"), {x}, SliceAttributes{{axis}, {start}, {stop}, {1}});
  }
  Expr norm(Expr x) {
    const std::int64_t features = x.shape().dims().back().factor;
    Tensor scale = Tensor::full(dtype_, {features}, 1);
    text += " norm";
    return x.graph().apply(op("layer_norm"),
                           {x, net_.graph().constant(scale), net_.graph().constant(bias(features))},
                           LayerNormAttributes{-1, 1e-5});
  }

  [[nodiscard]] bool smooth() const { return smooth_; }

  Subject finish(Expr scores) {
    net_.graph().add_name(scores, "scores");
    return {net_.finish(scores), smooth_, text, products};
  }

 private:
  bool smooth_;
  DType dtype_;
  Network net_;
};

/// Awkward extents as often as round ones.
std::int64_t width(Drawing& d, std::int64_t low, std::int64_t high) {
  if (d.small) return d.draw.between(3, 20);
  return d.draw.chance(0.5) ? d.draw.between(low, high)
                            : std::min(high, d.draw.one_of({64, 128, 256, 256, 384, 512, 512, 1024}));
}

Expr dense_layers(Drawing& d) {
  std::int64_t w = width(d, 64, 1024);
  Expr x = d.input({B, w});
  for (std::int64_t i = d.draw.between(1, 3); i > 0; --i) {
    if (!d.draw.chance(0.5)) w = width(d, 64, 1024);
    const Expr y = d.dense(x, w);
    if (x.shape() == y.shape() && d.draw.chance(0.3)) {
      d.text += " + before";
      x = d.activation(y + x);
    } else {
      x = d.activation(y);
    }
  }
  return d.dense(x, d.draw.between(2, 40));
}

/// The same layers at every token.
Expr token_layers(Drawing& d) {
  Expr x = d.input({B, d.draw.between(2, 12), width(d, 64, 320)});
  for (std::int64_t i = d.draw.between(1, 2); i > 0; --i) x = d.activation(d.dense(x, width(d, 64, 320)));
  return d.dense(flatten(x), d.draw.between(2, 12));
}

std::int64_t channels(Drawing& d) {
  return d.small ? d.draw.one_of({3, 4, 6, 8}) : d.draw.one_of({16, 20, 24, 32, 48, 64, 64, 96, 128});
}

/// Plain, strided, dilated, grouped and depthwise layers, residual and concat blocks; small ones only of what
/// plain loops compute.
Expr conv_layers(Drawing& d, Expr x, std::int64_t blocks) {
  x = d.activation(d.conv(x, channels(d), {.kernel = d.draw.one_of({3, 3, 5, 7})}));
  for (; blocks > 0; --blocks) {
    const std::int64_t c = x.shape()[1].factor;
    switch (d.small ? d.draw.between(2, 8) : d.draw.between(0, 8)) {
      case 0: {
        d.text += " [residual";
        const Expr y = d.conv(d.activation(d.conv(x, c, {})), c, {});
        d.text += "]";
        x = d.activation(y + x);
        break;
      }
      case 1: {
        d.text += " [concat";
        const std::vector<Expr> parts{x, d.activation(d.conv(x, channels(d), {.kernel = 1})),
                                      d.activation(d.conv(x, channels(d), {}))};
        d.text += "]";
        x = concat(parts, 1);
        break;
      }
      case 2:
        x = d.activation(d.conv(x, c, {.kernel = 3, .stride = d.draw.between(1, 2), .groups = c}));
        break;
      case 3: {
        const std::int64_t groups = c % 4 == 0 ? d.draw.one_of({2, 4}) : 1;
        x = d.activation(d.conv(x, c, {.kernel = 3, .groups = groups}));
        break;
      }
      case 4:
        x = d.activation(d.conv(x, channels(d), {.kernel = 3, .stride = 2}));
        break;
      case 5:
        x = d.activation(d.conv(x, channels(d), {.kernel = 3, .dilation = 2}));
        break;
      case 6:
        x = d.activation(d.conv(x, d.small ? 5 : d.draw.one_of({64, 128, 256, 512}), {.kernel = 1}));
        break;
      default:
        x = d.activation(d.conv(x, channels(d), {}));
        break;
    }
    if (d.draw.chance(0.4)) x = d.pool(x);
  }
  return x;
}

Expr classify(Drawing& d, Expr x) {
  // The mean over places where their number is a power of two, so that integers stay exact.
  const std::int64_t places = x.shape().count().factor / x.shape()[1].factor;
  if (!d.small && (places & (places - 1)) == 0 && d.draw.chance(0.4)) {
    Ints axes(x.shape().rank() - 2);
    std::iota(axes.begin(), axes.end(), 2);
    d.text += " mean";
    return d.dense(mean(x, axes), d.draw.between(2, 20));
  }
  if (!d.small && (d.smooth() || (places & (places - 1)) == 0) && d.draw.chance(0.25)) {
    Ints whole;
    for (std::size_t axis = 2; axis < x.shape().rank(); ++axis) whole.push_back(x.shape()[axis].factor);
    const Ints zero(whole.size(), 0), one(whole.size(), 1);
    d.text += " global avg_pool";
    x = avg_pool(x,
                 {.kernel = whole, .strides = one, .pads_begin = zero, .pads_end = zero, .dilations = one});
  } else if (!d.small && d.draw.chance(0.3)) {
    x = d.pool(x, true);
  }
  return d.dense(flatten(x), d.draw.between(2, 20));
}

Expr image_layers(Drawing& d) {
  if (!d.small && d.draw.chance(0.3)) {
    // Wide enough for Winograd's transforms, forwards and back.
    Expr x = d.activation(d.conv(d.input({B, 3, 16, 16}), 64, {}));
    x = d.activation(d.conv(x, d.draw.one_of({64, 128}), {}));
    return classify(d, d.pool(x));
  }
  const std::int64_t extent = d.small ? d.draw.between(5, 8) : d.draw.one_of({12, 14, 16, 16, 17, 20, 28});
  return classify(
      d, conv_layers(
             d, d.input({B, d.draw.one_of({1, 3, 3, 8}), extent, d.draw.chance(0.7) ? extent : extent + 1}),
             d.small ? 2 : d.draw.between(1, 4)));
}
Expr signal_layers(Drawing& d) {
  if (!d.small && d.draw.chance(0.2)) {
    // So long that sums over all positions are cut into pieces.
    Expr x = d.activation(d.conv(d.input({B, d.draw.one_of({1, 2}), 4096}), 16, {.kernel = 5}));
    for (int i = 0; i < 3; ++i) x = d.pool(x);
    return classify(d, d.activation(d.conv(x, 16, {})));
  }
  return classify(
      d, conv_layers(d, d.input({B, d.draw.one_of({1, 2, 12}), d.small ? 12 : d.draw.between(64, 256)}),
                     d.small ? 2 : d.draw.between(1, 4)));
}
Expr volume_layers(Drawing& d) {
  const std::int64_t extent = d.small ? 4 : d.draw.between(5, 8);
  Expr x = d.input({B, d.draw.one_of({1, 2}), extent, extent, extent});
  x = d.activation(d.conv(x, d.small ? 3 : d.draw.one_of({16, 24, 32}), {}));
  if (d.draw.chance(0.5)) x = d.pool(x);
  x = d.activation(
      d.conv(x, d.small ? 4 : d.draw.one_of({16, 32}), {.kernel = d.draw.one_of({1, 3}), .groups = 1}));
  return classify(d, x);
}

/// Down and up again, with what was before beside it.
Expr decoder_layers(Drawing& d) {
  const std::int64_t extent = d.small ? 4 : d.draw.one_of({8, 12, 16});
  const Expr x = d.input({B, d.draw.one_of({1, 3}), extent, extent});
  const Expr first = d.activation(d.conv(x, channels(d), {}));
  const Expr low = d.activation(d.conv(d.pool(first), channels(d), {}));
  const std::int64_t middle = channels(d);
  Expr y = low.shape()[2].factor * 2 == extent ? d.activation(d.up(low, middle))
                                               : d.activation(d.conv(low, middle, {}));
  if (y.shape()[2] == first.shape()[2]) {
    const std::vector<Expr> parts{first, y};
    y = concat(parts, 1);
  }
  return classify(d, d.activation(d.conv(y, channels(d), {})));
}

Expr attention_layers(Drawing& d) {
  const std::int64_t tokens = d.draw.between(3, 24), heads = d.draw.one_of({1, 2, 4}),
                     each = d.small ? 3 : d.draw.one_of({16, 24, 32, 64});
  const std::int64_t features = heads * each;
  Expr x = d.input({B, tokens, features});
  for (std::int64_t block = d.draw.between(1, 2); block > 0; --block) {
    const Expr n = d.norm(x);
    const auto split = [&](Expr v) { return transpose(reshape(v, {B, tokens, heads, each}), {0, 2, 1, 3}); };
    const Expr q = split(d.projection(n, features)), k = split(d.projection(n, features)),
               v = split(d.projection(n, features));
    const double scale = 1 / std::sqrt(static_cast<double>(each));
    // Written either way round; the softmax then goes along columns.
    const Expr weights =
        d.draw.chance(0.7)
            ? softmax(matmul(q, k, {.transpose_b = true}) * scale, -1)
            : transpose(softmax(matmul(k, q, {.transpose_b = true}) * scale, -2), {0, 1, 3, 2});
    d.products += 2 * static_cast<double>(tokens * tokens * features);
    const Expr mixed = reshape(transpose(matmul(weights, v), {0, 2, 1, 3}), {B, tokens, features});
    x = x + d.dense(mixed, features);
    const Expr hidden = d.dense(d.norm(x), 2 * features);
    x = x + d.dense(hidden.graph().apply(op("gelu"), {hidden}), features);
  }
  return d.dense(mean(d.norm(x), {1}), d.draw.between(2, 12));
}

/// A gated cell unrolled over the steps: projections of the input at all steps at once or one by one.
Expr recurrent_layers(Drawing& d) {
  const std::int64_t steps = d.draw.between(3, 6),
                     features = d.small              ? 4
                                : d.draw.chance(0.3) ? d.draw.between(3, 7)
                                                     : d.draw.between(16, 96),
                     hidden = d.small ? 5 : width(d, 64, 256);
  const Expr x = d.input({B, steps, features});
  const bool at_once = d.draw.chance(0.5);
  // One set of weights for all steps: drawn once.
  const Tensor wi = d.weight({3 * hidden, features}, features), wh = d.weight({3 * hidden, hidden}, hidden),
               bi = d.bias(3 * hidden);
  Graph& graph = x.graph();
  const Expr ewi = graph.constant(wi), ewh = graph.constant(wh), ebi = graph.constant(bi);
  d.text += " gru " + std::to_string(hidden);
  d.products += static_cast<double>(steps * 3 * hidden * (features + hidden));
  const auto step_of = [&](Expr v, std::int64_t t) {
    return reshape(d.slice(v, 1, t, t + 1), {B, v.shape()[2]});
  };
  const Expr all = at_once ? dense(x, ewi, ebi) : Expr();
  Expr h;
  for (std::int64_t t = 0; t < steps; ++t) {
    const Expr in = at_once ? step_of(all, t) : dense(step_of(x, t), ewi, ebi);
    const auto gate = [&](Expr v, std::int64_t g) { return d.slice(v, 1, g * hidden, (g + 1) * hidden); };
    if (!h) {
      h = (1.0 - sigmoid(gate(in, 1))) * tanh(gate(in, 2));
      continue;
    }
    const Expr back = dense(h, ewh);
    const Expr reset = sigmoid(gate(in, 0) + gate(back, 0)), update = sigmoid(gate(in, 1) + gate(back, 1));
    h = (1.0 - update) * tanh(gate(in, 2) + reset * gate(back, 2)) + update * h;
  }
  return d.dense(h, d.draw.between(2, 12));
}

/// Means over long rows or long columns.
Expr summary_layers(Drawing& d) {
  const bool rows = d.draw.chance(0.5);
  const Expr x = rows ? d.input({B, d.small ? 12 : 40000}) : d.input({B, d.small ? 12 : 2500, 8});
  const Expr t = tanh(x);
  d.text += " means";
  const std::vector<Expr> parts{mean(x, {1}, rows), mean(t, {1}, rows), mean(t * t, {1}, rows)};
  return d.dense(d.activation(d.dense(concat(parts, 1), 16)), 3);
}

}  // namespace

Subject subject(Kind kind, std::uint64_t seed, DType dtype, bool small) {
  const bool smooth = kind == Kind::attention || kind == Kind::recurrent || kind == Kind::smooth_images ||
                      kind == Kind::summary;
  Drawing d(seed * 16 + static_cast<std::uint64_t>(kind), dtype, smooth, small);
  const auto layers = [&] {
    switch (kind) {
      case Kind::dense:
        return dense_layers(d);
      case Kind::tokens:
        return token_layers(d);
      case Kind::images:
      case Kind::smooth_images:
        return image_layers(d);
      case Kind::signals:
        return signal_layers(d);
      case Kind::volumes:
        return volume_layers(d);
      case Kind::decoder:
        return decoder_layers(d);
      case Kind::attention:
        return attention_layers(d);
      case Kind::recurrent:
        return recurrent_layers(d);
      case Kind::summary:
        return summary_layers(d);
    }
    return Expr();
  };
  return d.finish(layers());
}

Tensor batch_for(const Subject& subject, std::int64_t samples, std::uint64_t seed) {
  Draw draw(seed);
  Tensor x(DType::float64, subject.input().shape().at({samples, 1}));
  for (double& v : x.mutable_values<double>())
    v = subject.smooth ? draw.normal() : static_cast<double>(8 * draw.between(-4, 4));
  return x.cast(subject.input().dtype());
}

std::vector<std::string> methods_for(Kind kind, const Subject& subject) {
  if (kind == Kind::smooth_images)
    return {"gradient", "input_times_gradient", "integrated_gradients:steps=5", "smoothgrad:n=3",
            "smoothgrad:method=input_times_gradient,n=2,noise=0.3"};
  if (subject.smooth)
    return {"gradient", "input_times_gradient", "integrated_gradients:steps=6", "smoothgrad:n=3",
            "vargrad:n=3"};
  return {"gradient",
          "input_times_gradient",
          "guided_backprop",
          "deconvnet",
          "lrp.epsilon",
          "lrp.z_plus",
          "lrp.alpha_2_beta_1",
          "lrp.gamma",
          "lrp.w_square",
          "lrp.epsilon_plus_flat",
          "lrp.generalized_gamma",
          "zennit.epsilon_gamma_box",
          "deep_taylor",
          "deeplift.rescale",
          "excitation_backprop",
          "integrated_gradients:steps=4",
          "integrated_gradients:steps=2,method=lrp.epsilon"};
}

}  // namespace differential
