// The same function, spelt otherwise, gives the same attribution or an error, never a third thing: random
// spellings of networks with every activation that exporters take apart, normalisations, a gate and
// attention, as loaded and as built.
#include "property/spellings.hpp"

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <functional>
#include <map>

#include "rulegrad/support/error.hpp"

#include "onnx/raise.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// Weights by the order in which they are asked for, the same for every spelling.
struct Weights {
  std::mt19937_64 random{7};
  Expr operator()(Graph& graph, Dims dims, double scale = 1) {
    Tensor value(DType::float64, dims);
    std::normal_distribution<double> normal;
    for (double& element : value.mutable_values<double>())
      element = scale * normal(random) / std::sqrt(static_cast<double>(dims.back()));
    return graph.constant(value);
  }
};

struct Spelt {
  Graph graph{DType::float64};
  Expr x, y;
};

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
  const Expr scores =
      spell.scaled(matmul(q, k, {.transpose_a = false, .transpose_b = true}), 1 / std::sqrt(6.0));
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
constexpr std::size_t single_parts = 10, parts_of_products = 1 + single_parts + single_parts - 1;
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
  const Expr pooled = asked(10) ? spell.attention_pooling(dense(h, weight(graph, {1, 6})), h) : mean(h, {1});
  net.y = dense(pooled, weight(graph, {3, 6}), weight(graph, {3}));
}

/// What ships, and lxt.attn_lrp with stabilisers that do not show: its own are 1e-6 for the operator layer
/// norm and 1e-8 for a sum, so that a norm that was written out is 1e-6 / y away.
const RuleLibrary& methods_tried() {
  static const RuleLibrary library = [] {
    RuleLibrary result = RuleLibrary::builtin();
    result.add_text(
        "rulegrad 1\nanalyzer lxt_fine {\n  seed onehot(target) * y\n  use lxt.norm(1e-13)\n  use "
        "lxt.attention(1e-13)\n  use lxt.linear(1e-13)\n  use lxt.elementwise\n}\n",
        "fine.rules");
    result.add_text(
        "rulegrad 1\nanalyzer signal {\n  canonize canonical\n  use lrp.gate.signal\n  use "
        "lrp.epsilon(1e-9)\n  use "
        "lrp.rest(1e-9)\n}\nanalyzer cp {\n  canonize canonical\n  use lrp.attention_cp(1e-9)\n  use "
        "lrp.gamma(0.3, 1e-9)\n  use lrp.rest(1e-9)\n}\n",
        "products.rules");
    return result;
  }();
  return library;
}

/// The map, or nothing where the method refuses the network.
std::optional<Tensor> map_of(const Spelt& net, Expr output, const std::string& method, const Tensor& input) {
  try {
    return explain(method, question_for(output, {net.x}, fixed_target(output.graph(), 1)), {{"x", input}}, {},
                   {}, methods_tried());
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unclaimed) throw;
    if (std::getenv("RULEGRAD_SPELLINGS_TALK") != nullptr) MESSAGE(std::string(error.what()));
    return std::nullopt;
  }
}

const std::vector<std::string> methods{"lrp.z",
                                       "lrp.epsilon:epsilon=1e-9",
                                       "lrp.gamma:epsilon=1e-9",
                                       "lrp.alpha_beta:epsilon=1e-9",
                                       "lrp.epsilon_plus:epsilon=1e-9",
                                       "lrp.attention",
                                       "lrp.attention_cp",
                                       "lxt_fine",
                                       "lxt.cp_lrp_efficient",
                                       "deeplift.rescale:baseline=0.3",
                                       "gradient"};
const std::vector<std::string> product_methods{"lrp.z",
                                               "lrp.epsilon:epsilon=1e-9",
                                               "lrp.gamma:epsilon=1e-9",
                                               "lrp.generalized_gamma:epsilon=1e-9",
                                               "lrp.alpha_beta:epsilon=1e-9",
                                               "lrp.z_plus:epsilon=1e-9",
                                               "lrp.epsilon_plus:epsilon=1e-9",
                                               "lrp.w_square:epsilon=1e-9",
                                               "lrp.flat:epsilon=1e-9",
                                               "lrp.attention",
                                               "lrp.attention_cp",
                                               "signal",
                                               "cp",
                                               "lxt_fine",
                                               "lxt.attn_lrp_efficient",
                                               "lxt.cp_lrp_efficient",
                                               "relp",
                                               "libragrad:epsilon=1e-9",
                                               "gim",
                                               "deeplift.rescale:baseline=0.3",
                                               "deeplift.reveal_cancel:baseline=0.3",
                                               "gradient"};

/// RULEGRAD_SPELLINGS sets how many are tried.
std::uint64_t spellings() {
  const char* wanted = std::getenv("RULEGRAD_SPELLINGS");
  return wanted != nullptr ? static_cast<std::uint64_t>(std::atoi(wanted)) : 60;
}

}  // namespace

namespace {

using Builder = std::function<void(Spelt& net, std::uint64_t seed, std::size_t function)>;

/// Each spelling, as it is built and as it is when loaded, against spelling 0.
void try_spellings(const Builder& build_net, std::size_t functions, const std::vector<std::string>& tried) {
  Tensor input(DType::float64, {2, 4, 6});
  std::mt19937_64 random(3);
  for (double& element : input.mutable_values<double>()) element = std::normal_distribution<double>()(random);
  std::vector<std::map<std::string, Tensor>> expected(functions);
  std::vector<Tensor> values;
  for (std::size_t function = 0; function < functions; ++function) {
    Spelt plain;
    build_net(plain, 0, function);
    const std::vector<Expr> raised = io::raise(std::span(&plain.y, 1)).outputs;
    values.push_back(evaluate(raised, {{"x", input}}).at(0));
    for (const std::string& method : tried) {
      const auto map = map_of(plain, raised[0], method, input);
      CAPTURE(method);
      REQUIRE(map);
      expected[function].emplace(method, *map);
    }
  }
  std::size_t different = 0, refused = 0, compared = 0;
  for (std::uint64_t seed = 1; seed <= spellings(); ++seed) {
    const std::size_t function = seed % functions;
    Spelt net;
    build_net(net, seed, function);
    const Expr loaded = io::raise(std::span(&net.y, 1)).outputs[0];
    const std::vector<Tensor> now = evaluate(std::vector<Expr>{net.y, loaded}, {{"x", input}});
    CHECK(distance(now[0], values[function]) < 1e-5);
    CHECK(distance(now[1], values[function]) < 1e-5);
    for (const Expr output : {loaded, net.y})
      for (const std::string& method : tried) {
        const auto map = map_of(net, output, method, input);
        if (!map) {
          // What was loaded is put together; a softmax that a person wrote out is refused by name, and LXT's
          // rules, which are for transformers, know no batch norm.
          const bool may_refuse = output == net.y || method == "lxt_fine";
          CHECK(may_refuse);
          ++refused;
          continue;
        }
        ++compared;
        const double away = distance(*map, expected[function].at(method));
        if (away < 1e-4) continue;
        ++different;
        MESSAGE("spelling ", seed, " of function ", function,
                std::string(output == loaded ? ", loaded" : ", built"), ": ", method, " is ", away, " away");
      }
  }
  CHECK(different == 0);
  CHECK(compared > 2 * refused);
}

}  // namespace

TEST_CASE("random spellings of a network get the same attribution or an error") {
  try_spellings(build, Speller::functions, methods);
}

TEST_CASE("random spellings of products, gates, layers and norms get the same attribution or an error") {
  try_spellings(build_products, parts_of_products, product_methods);
}
