// The same function, spelt otherwise, gives the same attribution or an error, never a third thing: random
// spellings of networks with every activation that exporters take apart, normalisations, a gate and
// attention, as loaded and as built.
#include "property/spelling_trials.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// Tokens of 6 features through an activation, a norm, attention, a gate of squeeze-and-excitation's kind and
/// a gated layer.
void build(Spelt& net, std::uint64_t seed, std::size_t function) {
  Speller spell(seed);
  Weights weight;
  Graph& graph = net.graph;
  net.x = graph.input("x", {DType::float64, Shape{B, 4, 6}});
  Expr h = spell.function(function, dense(net.x, weight(graph, {6, 6}), weight(graph, {6}, 0.3)));
  const Expr n = spell.layer_norm(h, weight(graph, {6}), weight(graph, {6}), 1e-5);
  const Expr q = dense(n, weight(graph, {6, 6})), k = dense(n, weight(graph, {6, 6})),
             v = dense(n, weight(graph, {6, 6}));
  const Expr scores = spell.scores(q, k, 1 / std::sqrt(6.0));
  h = spell.add(h, dense(matmul(spell.softmax(scores), v), weight(graph, {6, 6})));
  const Expr r = spell.rms_norm(h, weight(graph, {6}), 1e-6);
  h = spell.add(
      h, dense(spell.mul(spell.function(0, dense(r, weight(graph, {6, 6}))), dense(r, weight(graph, {6, 6}))),
               weight(graph, {6, 6})));
  const Expr squeezed = mean(h, {1}, true);
  h = spell.mul(h, spell.sigmoid(dense(spell.relu(dense(squeezed, weight(graph, {4, 6}), weight(graph, {4}))),
                                       weight(graph, {6, 4}))));
  net.y = dense(mean(h, {1}), weight(graph, {3, 6}), weight(graph, {3}));
}

/// Gated layers whose factors are multiplied in any order, gates and what is left of them, three factors,
/// batch norms written out on either side of a movement, shifts and signs that are a layer's, tokens mixed
/// and pooled.
/// `which` of them alone, between two layers, or two that follow each other; 0: all of them.
constexpr std::size_t single_parts = 12, parts_of_products = 1 + single_parts + single_parts - 1;
void build_products(Spelt& net, std::uint64_t seed, std::size_t which) {
  Speller spell(seed);
  Weights weight;
  Graph& graph = net.graph;
  net.x = graph.input("x", {DType::float64, Shape{B, 4, 6}});
  const auto layer = [&](Expr v) { return dense(v, weight(graph, {6, 6}), weight(graph, {6}, 0.3)); };
  const auto asked = [&](std::size_t part) {
    if (which <= single_parts) return which == 0 || which == part;
    return part == which - single_parts || part == which - single_parts + 1;
  };
  const Expr u = layer(net.x), g = layer(net.x);
  Expr h = asked(1) ? spell.gated(g, u) : u;
  if (asked(2)) h = spell.relu(spell.shifted_dense(h, weight(graph, {6, 6}), weight(graph, {6}, 0.3), 0.4));
  Expr n = h, t = h;
  if (asked(3))
    n = spell.apply("tanh", {spell.negated_dense(h, weight(graph, {6, 6}), weight(graph, {6}, 0.3))});
  if (asked(4)) {
    const Expr k = weight(graph, {6}), s = weight(graph, {6}), w = weight(graph, {6, 6}),
               b = weight(graph, {6}, 0.3);
    t = spell.relu(spell.normed_dense(h, w, b, k, s));
  }
  h = asked(4) ? t : n;
  if (asked(5)) {
    const Expr gate = layer(t);
    h = spell.add(spell.mul(t, spell.sigmoid(gate)), spell.mul(spell.other_gate(gate), asked(3) ? n : g));
  }
  if (asked(6)) h = spell.token_mixing(h, weight(graph, {4, 4}));
  if (asked(7)) {
    const Expr channels = spell.sigmoid(layer(mean(h, {1}, true))), places = spell.sigmoid(layer(net.x));
    h = spell.add(spell.product({h, channels, places}), net.x);
  }
  if (asked(8)) h = spell.gated_rms_norm(h, weight(graph, {6}), layer(net.x), 1e-6);
  if (asked(9)) h = spell.add(h, layer(spell.unit_vector(h)));
  if (asked(10)) h = spell.add(h, layer(spell.bounded_vector(h, 1.5)));
  if (asked(11)) h = spell.add(spell.shares(h, 2.5), spell.shares(layer(h), 0));
  const Expr pooled = asked(12) ? spell.attention_pooling(dense(h, weight(graph, {1, 6})), h) : mean(h, {1});
  net.y = dense(pooled, weight(graph, {3, 6}), weight(graph, {3}));
}

const std::vector<std::string> methods{"lrp.z",
                                       "lrp.epsilon:epsilon=1e-9",
                                       "lrp.gamma:epsilon=1e-9",
                                       "lrp.alpha_beta:epsilon=1e-9",
                                       "lrp.epsilon_plus:epsilon=1e-9",
                                       "lrp.attention",
                                       "lrp.attention_cp",
                                       "lxt_fine",
                                       "lxt_fine_llama",
                                       "lxt_fine_cp",
                                       "lxt_fine_cp_llama",
                                       "lrp.lstm:epsilon=1e-9",
                                       "lrp.gru:epsilon=1e-9",
                                       "lxt.cp_lrp_efficient",
                                       "deeplift.rescale:baseline=0.3",
                                       "gradient"};
}  // namespace

TEST_CASE("random spellings of a network get the same attribution or an error") {
  try_spellings(build, Speller::functions, methods);
}

TEST_CASE("random spellings of products, gates, layers and norms get the same attribution or an error") {
  try_spellings(build_products, parts_of_products, product_methods);
}
