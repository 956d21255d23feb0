// Rewriting grows with the network, not faster.
#include <doctest/doctest.h>

#include "rewrite/bench.hpp"
#include "rewrite/forward_facts.hpp"
#include "rewrite/scale_network.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Cost {
  std::size_t steps = 0, nodes = 0;
  double seconds = 0;
};

Cost rewriting(std::size_t gradient_nodes, const std::string& text) {
  Graph graph;
  const DeepNetwork net = deep_network(graph, gradient_nodes);
  RuleLibrary library;
  library.add_text(text, "many.rules");
  const Question question = question_about(net.y, {net.x});
  const ThreadTimer timer;
  Cost cost;
  cost.steps = analyze(library, {"many", {}}, question).steps.size();
  cost.seconds = timer.seconds();
  cost.nodes = graph.size();
  return cost;
}

void check_linear(const std::string& text) {
  const Cost small = rewriting(2000, text), large = rewriting(20000, text);
  CHECK(small.steps > 1900);
  // What is built is in proportion, and so is the time, with room for a busy machine: a tenfold network that
  // took a hundred times as long would be quadratic.
  CHECK(static_cast<double>(large.nodes) < 10.2 * static_cast<double>(small.nodes));
  CHECK(large.seconds < 40 * small.seconds + 0.5);
}

}  // namespace

TEST_CASE("two hundred rules on ten times the network take about ten times as long") {
  check_linear(two_hundred_rules());
}

TEST_CASE("guards on position, skips and ancestors, diff and selectors stay linear") {
  check_linear(
      "rulegrad 1\n"
      "rules many {\n"
      "  grad(a + b, r) wrt a when skip(a, b) and ancestor(a, b) and depth > 0 => r\n"
      "  grad(a + b, r) wrt a when skip(b, a) and not ancestor(a, b) => r\n"
      "  grad(relu(x), r) when index(relu, 0..1000000) => diff(x * const(sigmoid(x)), x, r)\n"
      "  grad(y: tanh(x), r) when producer(x) is add => vjp(y, r)\n"
      "  grad(y: affine(x), r) => x * vjp(y, r / stabilize(y, 1e-6))\n"
      "}\n"
      "analyzer many { use many on not first(conv) and depth >= 0 and not name(\"head.*\") }\n");
}

TEST_CASE("every kind of fact about a deep network is worked out once for all nodes") {
  Graph graph;
  const DeepNetwork net = deep_network(graph, 60000);
  const std::vector<Expr> outputs{net.y}, explained{net.x};
  const ThreadTimer timer;
  const ForwardFacts facts(outputs, explained);
  std::size_t skips = 0, ancestors = 0, firsts = 0, depths = 0, indices = 0;
  for (const Expr node : facts.order()) {
    depths += facts.depth(node);
    indices += facts.index(node, "dense").value_or(0);
    firsts += facts.is_first(node, "affine", "elementwise") ? 1 : 0;
    if (!node.is("add")) continue;
    skips += facts.is_skip(node.operand(0), node.operand(1)) ? 1 : 0;
    ancestors += facts.is_ancestor(node.operand(0), node.operand(1)) ? 1 : 0;
  }
  const double seconds = timer.seconds();
  CHECK(skips == 10000);
  CHECK(ancestors == 10000);
  CHECK(firsts == 1);
  CHECK(indices == 20000UL * 19999UL / 2);
  CHECK(depths > 0);
  CHECK(seconds < 5);
}
