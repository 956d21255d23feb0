// ChannelBlocks with channels in front that exporters and people write in more than one way: layer, instance and group
// norm, squeeze and excitation, attention over channels, gated attention pooling.
#include "property/spelling_trials.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t channels = 4, rows = 2, columns = 3;

/// The blocks over [B, 4, 2, 3].
class ChannelBlocks {
 public:
  explicit ChannelBlocks(Speller& spell, Graph& graph) : spell_(spell), graph_(graph) {}

  static constexpr std::size_t count = 9;
  Expr operator()(std::size_t which, Expr x) {
    switch (which) {
      case 0:
        return channel_norm(x);
      case 1:
        return group_norm(x, channels);
      case 2:
        return group_norm(x, 2);
      case 3:
        return group_norm(x, 1);
      case 4:
        return excitation(x, false);
      case 5:
        return spell_.function(6, excitation(spell_.function(6, x), true));
      case 6:
        return spell_.mul(channel_attention(conv(x, weight({channels, channels, 1, 1}))), x);
      case 7:
        return spell_.mul(places(x), x);
      default:
        return spell_.add(x, conv(spell_.function(0, channel_norm(x)), weight({channels, channels, 1, 1})));
    }
  }

  Expr weight(Dims dims, double scale = 1) { return weight_(graph_, std::move(dims), scale); }
  /// The mean over places, [B, 4, 1, 1].
  Expr squeezed(Expr x) {
    const Ints both{2, 3};
    switch (spell_.pick(5)) {
      case 1:
        return spell_.scaled(sum(x, both, true), 1.0 / (rows * columns));
      case 2:
        return mean(mean(x, {3}, true), {2}, true);
      case 3: {
        AvgPoolAttributes whole;
        whole.kernel = {rows, columns};
        return avg_pool(x, whole);
      }
      case 4:
        return reshape(mean(reshape(x, Shape{B, channels, rows * columns}), {2}), Shape{B, channels, 1, 1});
      default:
        return mean(x, both, true);
    }
  }

 private:
  Expr column(Expr v) { return reshape(v, Shape{v.shape()[0].factor, 1, 1}); }
  Expr turned(Expr v, Ints perm) { return transpose(v, std::move(perm)); }
  Expr number(double value) { return graph_.scalar(value, DType::float64); }

  /// (x - mean) / sqrt(variance + 1e-5) w + b, w and b beside x.
  Expr normalised(Expr x, const Ints& axes, Expr w, Expr b) {
    const Expr m = mean(x, axes, true), d = x - m;
    const Expr variance = spell_.pick(3) == 2 ? mean(spell_.square(x), axes, true) - spell_.square(m)
                                              : mean(spell_.square(d), axes, true);
    const Expr v = spell_.add(variance, number(1e-5));
    switch (spell_.pick(4)) {
      case 1: {
        const Expr inverse = spell_.mul(spell_.apply("reciprocal", {rulegrad::sqrt(v)}), w);
        return spell_.add(spell_.mul(x, inverse), b - spell_.mul(m, inverse));
      }
      case 2:
        return spell_.add(spell_.product({d, spell_.apply("pow", {v, number(-0.5)}), w}), b);
      default:
        return spell_.add(spell_.mul(spell_.over(d, rulegrad::sqrt(v)), w), b);
    }
  }
  Expr operator_norm(Expr x, std::int64_t axis, Expr w, Expr b) {
    return spell_.apply("layer_norm", {x, w, b}, LayerNormAttributes{axis, 1e-5});
  }

  /// Over the channels of each place.
  Expr channel_norm(Expr x) {
    const Expr w = weight({channels}), b = weight({channels});
    const Ints to_last{0, 2, 3, 1}, to_front{0, 3, 1, 2};
    switch (spell_.pick(3)) {
      case 1:
        return normalised(x, {1}, column(w), column(b));
      case 2:
        return turned(normalised(turned(x, to_last), {3}, w, b), to_front);
      default:
        return turned(operator_norm(turned(x, to_last), 3, w, b), to_front);
    }
  }
  /// Over the places of some channels together; of each by itself it is an instance norm.
  Expr group_norm(Expr x, std::int64_t groups) {
    const Expr w = weight({channels}), b = weight({channels});
    const Expr one = number(1), none = number(0);
    const Shape whole{B, channels, rows, columns}, flat{B, groups, channels / groups * rows * columns},
        grouped{B, groups, channels / groups, rows, columns};
    const auto behind = [&](Expr n) {
      return spell_.add(spell_.mul(reshape(n, whole), column(w)), column(b));
    };
    switch (spell_.pick(4)) {
      case 1:
        return behind(normalised(reshape(x, flat), {2}, one, none));
      case 2:
        return behind(normalised(reshape(x, grouped), {2, 3, 4}, one, none));
      case 3:
        if (groups == channels) return normalised(x, {2, 3}, column(w), column(b));
        return behind(operator_norm(reshape(x, grouped), 2, one, none));
      default:
        return behind(operator_norm(reshape(x, flat), 2, one, none));
    }
  }

  /// Methods may tell layers of the one kind from the other.
  static Expr layer(Expr x, Expr w, Expr b, bool convolved) {
    const std::int64_t out = w.shape()[0].factor, in = w.shape()[1].factor;
    if (convolved) return conv(x, reshape(w, Shape{out, in, 1, 1}), b);
    return reshape(dense(reshape(x, Shape{B, in}), w, b), Shape{B, out, 1, 1});
  }
  /// Each channel times a gate that is made from all of them.
  Expr excitation(Expr x, bool hard) {
    const Expr w = weight({3, channels}), b = weight({3}, 0.3), u = weight({channels, 3}),
               c = weight({channels}, 0.3);
    const Expr inner = layer(spell_.relu(layer(squeezed(x), w, b, hard)), u, c, hard);
    return spell_.mul(hard ? spell_.function(7, inner) : spell_.sigmoid(inner), x);
  }
  /// The gate of each place.
  Expr places(Expr x) {
    const Expr score =
        conv(spell_.apply("tanh", {conv(x, weight({3, channels, 1, 1}))}), weight({1, 3, 1, 1}));
    const Expr flat = reshape(score, Shape{B, 1, rows * columns});
    return reshape(spell_.softmax(flat), Shape{B, 1, rows, columns});
  }
  Expr channel_attention(Expr x) {
    switch (spell_.pick(3)) {
      case 1: {
        const Expr e = rulegrad::exp(x);
        return spell_.over(e, sum(e, {1}, true));
      }
      case 2:
        return turned(spell_.softmax(turned(x, {0, 2, 3, 1})), {0, 3, 1, 2});
      default:
        return rulegrad::softmax(x, 1);
    }
  }

  Speller& spell_;
  Graph& graph_;
  Weights weight_;
};

void build_channels(Spelt& net, std::uint64_t seed, std::size_t which) {
  Speller spell(seed);
  Graph& graph = net.graph;
  ChannelBlocks blocks(spell, graph);
  net.x = graph.input("x", {DType::float64, Shape{B, 4, 6}});
  const Expr picture = reshape(net.x, Shape{B, channels, rows, columns});
  Expr h = conv(picture, blocks.weight({channels, channels, 1, 1}), blocks.weight({channels}, 0.3));
  h = blocks(which, h);
  h = spell.relu(conv(h, blocks.weight({channels, channels, 1, 1}), blocks.weight({channels}, 0.3)));
  const Expr pooled = reshape(blocks.squeezed(h), Shape{B, channels});
  net.y = dense(pooled, blocks.weight({3, channels}), blocks.weight({3}));
}

/// Attention over tokens whose scores are a product of a tanh and a gate, as in multiple instance learning.
void build_pooling(Spelt& net, std::uint64_t seed, std::size_t which) {
  Speller spell(seed);
  Weights weight;
  Graph& graph = net.graph;
  net.x = graph.input("x", {DType::float64, Shape{B, 4, 6}});
  const auto layer = [&](Expr v, std::int64_t out) {
    return dense(v, weight(graph, {out, v.shape()[2].factor}), weight(graph, {out}, 0.3));
  };
  const Expr h = spell.function(which == 0 ? 8 : 1, layer(net.x, 6));
  const Expr gate = spell.sigmoid(layer(h, 5)), signal = spell.apply("tanh", {layer(h, 5)});
  const Expr score = layer(spell.mul(gate, signal), 1);
  Expr values = h;
  // Probabilities of classes under the weights, as in a mixture of softmaxes.
  if (which == 1) values = rulegrad::softmax(layer(h, 6), 2);
  net.y = dense(spell.attention_pooling(score, values), weight(graph, {3, 6}), weight(graph, {3}));
}

}  // namespace

TEST_CASE(
    "random spellings of norms, gates and attention over channels get the same attribution or an error") {
  try_spellings(build_channels, ChannelBlocks::count, product_methods);
}

TEST_CASE("random spellings of gated attention pooling get the same attribution or an error") {
  try_spellings(build_pooling, 2, product_methods);
}
