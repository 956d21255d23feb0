#pragma once

#include <fmt/format.h>
#include <string>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/recipe/analyzer.hpp"

/// A deep residual network and a file of two hundred rules, to see how rewriting grows.
namespace rulegrad::testing {

struct DeepNetwork {
  Expr x, y;
  std::size_t gradient_nodes = 0;
};

/// Blocks of dense, relu, dense, add, tanh: six gradient nodes each.
inline DeepNetwork deep_network(Graph& graph, std::size_t gradient_nodes) {
  constexpr std::int64_t width = 4;
  const std::vector<double> values(width * width, 0.1);
  const Expr w = graph.constant(Tensor({width, width}, std::span<const double>(values)).cast(graph.real()));
  const Expr b =
      graph.constant(Tensor({width}, std::span<const double>(values).first(width)).cast(graph.real()));
  DeepNetwork net;
  net.x = graph.input("x", {graph.real(), Shape{B, width}});
  Expr h = net.x;
  const auto named = [&](Expr e, std::size_t block, const char* what) {
    graph.add_name(e, fmt::format("block{}.{}", block, what));
    return e;
  };
  for (std::size_t block = 0; net.gradient_nodes + 6 <= gradient_nodes; ++block, net.gradient_nodes += 6) {
    const Expr first = named(graph.apply(op("dense"), {h, w, b}), block, "fc1");
    const Expr middle = named(graph.apply(op("relu"), {first}), block, "relu");
    const Expr second = named(graph.apply(op("dense"), {middle, w, b}), block, "fc2");
    h = named(graph.apply(op("tanh"), {graph.apply(op("add"), {h, second})}), block, "tanh");
  }
  net.y = h;
  return net;
}

/// Five rules for each of forty operators: four whose guards ask about position and names, and one that
/// always holds.
inline std::string two_hundred_rules() {
  const std::vector<std::string> unary{"relu", "tanh", "sigmoid",   "softplus",    "elu",        "gelu",
                                       "silu", "selu", "hardswish", "hardsigmoid", "clip",       "erf",
                                       "exp",  "log",  "sqrt",      "abs",         "reciprocal", "leaky_relu",
                                       "sin",  "cos",  "floor",     "ceil",        "round",      "sign",
                                       "neg",  "lrn",  "softmax",   "log_softmax"};
  const std::vector<std::string> affine{"dense", "conv", "conv_transpose"};
  const std::vector<std::string> binary{"add", "sub", "mul", "div", "max", "min", "pow", "over", "matmul"};
  std::string text = "rulegrad 1\nrules many {\n";
  const auto five = [&](const std::string& left, const std::string& op, const std::string& result) {
    for (const std::string guard : {"depth < 0", "name(\"head.*\")", "first(pool)"})
      text += fmt::format("  {} when {} => {}\n", left, guard, result);
    text += fmt::format("  {} when index({}, 100000000) => {}\n  {} => {}\n", left, op, result, left, result);
  };
  for (const std::string& op : unary)
    five(fmt::format("grad({}(x), r)", op), op, "where(x > 0, max(r, 0), 0)");
  for (const std::string& op : affine)
    five(fmt::format("grad(y: {}(x), r)", op), op, "x * vjp(y, r / stabilize(y, 1e-6))");
  for (const std::string& op : binary)
    five(fmt::format("grad(y: {}(a, b), r) wrt v", op), op, "v * (r / stabilize(y, 1e-6))");
  return text + "}\nanalyzer many { use many }\n";
}

}  // namespace rulegrad::testing
