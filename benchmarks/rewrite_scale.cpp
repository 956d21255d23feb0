// How rewriting grows: networks of 10^3, 10^4 and 10^5 gradient nodes under an analyzer with 200 rules.
//   rewrite_scale
// The quickest of several runs in milliseconds, and microseconds a gradient node, which must stay level.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>

#include "rulegrad/analyzer.hpp"
#include "rulegrad/build.hpp"
#include "rulegrad/error.hpp"

using namespace rulegrad;

namespace {

/// 200 rules, five for each of forty operators: one by name, one by attribute or producer, one by operand, one by
/// position, and one for what is left.
std::string rule_text() {
  std::string text = "rulegrad 1\nrules scale {\n";
  const auto five = [&](const std::string& pattern, const std::string& inner, const std::string& wrt, const std::string& general) {
    text += "  grad(y: " + pattern + ", r)" + wrt + " when name(\"head.*\") => vjp(y, r)\n";
    text += "  grad(y: " + inner + ", r)" + wrt + " => vjp(y, r / 2)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " when last(conv) => vjp(y, r / 3)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " when not depends(y) => vjp(y, r / 4)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " => " + general + "\n";
  };
  for (const char* name : {"relu", "tanh", "sigmoid", "softplus", "elu", "selu", "gelu", "silu", "hardswish", "hardsigmoid", "leaky_relu", "erf", "exp", "log", "sqrt",
                           "abs", "neg", "sign", "clip", "softmax", "log_softmax", "cast", "reshape", "transpose", "slice", "pad", "expand", "sum", "mean", "amax",
                           "max_pool", "avg_pool", "batch_norm", "layer_norm", "resize"})
    five(std::string(name) + "(x)", std::string(name) + "(batch_norm(_))", "", "vjp(y, max(r, 0))");
  for (const char* name : {"dense", "conv", "conv_transpose"})
    five(std::string(name) + "(x)", std::string(name) + "(pad(_))", "", "x * vjp(y, r / stabilize(y, 1e-6))");
  five("a + b", "add(batch_norm(a), b)", " wrt b", "b * (r / stabilize(y, 1e-6))");
  five("a * b", "mul(sigmoid(a), b)", " wrt b", "r / 2");
  return text + "}\nanalyzer scale { use scale }\n";
}

/// Residual blocks of five gradient nodes each on 8 features.
Expr network(Graph& graph, std::size_t gradient_nodes) {
  Expr x = graph.input("x", {DType::float32, Shape{B, 8}});
  const Expr w = graph.constant(Tensor::full(DType::float32, {8, 8}, 0.1));
  for (std::size_t block = 0; block * 6 < gradient_nodes; ++block) {
    Expr h = dense(x, w);
    graph.add_name(h, "block" + std::to_string(block % 997) + ".dense");
    h = tanh(relu(h));
    x = sigmoid(h) + x;
  }
  return x;
}

double milliseconds(const RuleLibrary& library, std::size_t size, std::size_t& steps) {
  double best = INFINITY;
  for (int run = 0; run < (size < 50000 ? 5 : 3); ++run) {
    Graph graph;
    const Expr y = network(graph, size);
    const Question question{.output = y, .explained = {graph.inputs()[0]}, .target = {}, .seed_tensor = {}};
    const auto before = std::chrono::steady_clock::now();
    const Analysis analysis = analyze(library, {"scale", {}}, question);
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - before).count());
    steps = analysis.steps.size();
  }
  return best;
}

}  // namespace

int main() {
  try {
    RuleLibrary library = RuleLibrary::builtin();
    library.add_text(rule_text(), "scale.rules");
    std::printf("%14s %10s %8s\n", "gradient nodes", "ms", "us each");
    for (const std::size_t size : {1000U, 10000U, 100000U}) {
      std::size_t steps = 0;
      const double time = milliseconds(library, size, steps);
      std::printf("%14zu %10.1f %8.2f\n", steps, time, time * 1000 / static_cast<double>(steps));
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "rewrite_scale: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
