#include "onnx/recurrent.hpp"

#include <fmt/format.h>

// The cells of ONNX's recurrent operators, step by step as its specification writes them.
namespace rulegrad::io {
namespace {

/// h' = f(W x + b + R h).
void rnn(NodeContext& c) {
  RecurrentNode node(c, 1, {"Tanh"});
  for (std::size_t d = 0; d < node.directions(); ++d) {
    const CellWeights cell = node.weights(d);
    const std::vector<Expr> inputs = node.projections(cell.w, c.apply("add", {cell.bias, cell.recurrent}));
    Expr h = node.initial(5, d);
    for (const std::size_t t : node.order(d)) {
      const Expr sum =
          node.named(d, t, "sum", node.make("add", {inputs[t], node.make("dense", {h, cell.r})}));
      const Expr next = node.named(d, t, "hidden", node.activate(cell.functions[0], sum));
      node.put(d, t, next);
      h = node.kept(t, next, h);
    }
    node.finish(d, {h, {}});
  }
  node.results(false);
}

/// z = f(..), r = f(..), n = g(W x + b + r (R h + b')) or g(W x + b + R (r h)), h' = (1 - z) n + z h (Cho et
/// al. 2014, arXiv 1406.1078, eq. 5 to 8).
void gru(NodeContext& c) {
  const bool reset_after = c.integer("linear_before_reset", 0) != 0;
  RecurrentNode node(c, 3, {"Sigmoid", "Tanh"});
  const std::int64_t H = node.hidden();
  const auto rows = [&](Expr x, std::int64_t from, std::int64_t to) {
    return x.shape().rank() == 0 ? x : c.apply("slice", {x}, SliceAttributes{{0}, {from}, {to}, {1}});
  };
  for (std::size_t d = 0; d < node.directions(); ++d) {
    const CellWeights cell = node.weights(d);
    const Expr sum = c.apply("add", {cell.bias, cell.recurrent}), none = c.scalar(0, cell.w);
    const std::vector<Expr> gates = node.projections(rows(cell.w, 0, 2 * H), rows(sum, 0, 2 * H));
    const std::vector<Expr> inputs =
        node.projections(rows(cell.w, 2 * H, 3 * H), rows(reset_after ? cell.bias : sum, 2 * H, 3 * H));
    const Expr gate_weight = rows(cell.r, 0, 2 * H), state_weight = rows(cell.r, 2 * H, 3 * H);
    const Expr state_bias = reset_after ? rows(cell.recurrent, 2 * H, 3 * H) : none;
    Expr h = node.initial(5, d);
    for (const std::size_t t : node.order(d)) {
      const Expr both = node.make("add", {gates[t], node.make("dense", {h, gate_weight})});
      const Expr z = node.named(d, t, "update", node.activate(cell.functions[0], node.gate(both, 0)));
      const Expr r = node.named(d, t, "reset", node.activate(cell.functions[0], node.gate(both, 1)));
      const Expr state = reset_after
                             ? node.make("mul", {r, node.make("dense", {h, state_weight, state_bias})})
                             : node.make("dense", {node.make("mul", {r, h}), state_weight});
      const Expr n = node.named(d, t, "candidate",
                                node.activate(cell.functions[1], node.make("add", {inputs[t], state})));
      const Expr rest = node.make("sub", {c.scalar(1, z), z});
      const Expr next = node.named(d, t, "hidden",
                                   node.make("add", {node.make("mul", {rest, n}), node.make("mul", {z, h})}));
      node.put(d, t, next);
      h = node.kept(t, next, h);
    }
    node.finish(d, {h, {}});
  }
  node.results(false);
}

/// i, f, o = f(..), g = g(..), c' = f c + i g, h' = o h(c') (Hochreiter and Schmidhuber 1997; with a forget
/// gate and peepholes Gers et al. 2000 and 2002).
void lstm(NodeContext& c) {
  const bool coupled = c.integer("input_forget", 0) != 0;
  RecurrentNode node(c, 4, {"Sigmoid", "Tanh", "Tanh"});
  const std::int64_t H = node.hidden();
  for (std::size_t d = 0; d < node.directions(); ++d) {
    const CellWeights cell = node.weights(d);
    const std::vector<Expr> inputs = node.projections(cell.w, c.apply("add", {cell.bias, cell.recurrent}));
    std::vector<Expr> peepholes;
    if (c.has(7)) {
      if (const Shape wanted{Dim{static_cast<std::int64_t>(node.directions())}, Dim{3 * H}};
          c.shape(7) != wanted)
        c.fail(fmt::format("P must be {} but is {}", to_string(wanted), to_string(c.shape(7))));
      const Expr all = node.part(c.operand(7), d, {Dim{3 * H}});
      for (std::int64_t i = 0; i < 3; ++i)
        peepholes.push_back(c.apply("slice", {all}, SliceAttributes{{0}, {i * H}, {(i + 1) * H}, {1}}));
    }
    const auto peeped = [&](Expr sum, std::size_t which, Expr state) {
      return peepholes.empty() ? sum : node.make("add", {sum, node.make("mul", {peepholes[which], state})});
    };
    Expr h = node.initial(5, d), memory = node.initial(6, d);
    for (const std::size_t t : node.order(d)) {
      const Expr all =
          node.named(d, t, "sum", node.make("add", {inputs[t], node.make("dense", {h, cell.r})}));
      const auto gate = [&](const char* name, std::size_t function, Expr sum) {
        return node.named(d, t, name, node.activate(cell.functions[function], sum));
      };
      const Expr i = gate("input", 0, peeped(node.gate(all, 0), 0, memory));
      const Expr f = coupled ? node.named(d, t, "forget", node.make("sub", {c.scalar(1, i), i}))
                             : gate("forget", 0, peeped(node.gate(all, 2), 2, memory));
      const Expr g = gate("candidate", 1, node.gate(all, 3));
      const Expr next = node.named(
          d, t, "cell", node.make("add", {node.make("mul", {f, memory}), node.make("mul", {i, g})}));
      const Expr o = gate("output", 0, peeped(node.gate(all, 1), 1, next));
      // Clipping is for sums of inputs; onnxruntime leaves the memory as it is too.
      const Expr shown = activated(c, cell.functions[2], next);
      const Expr out = node.named(d, t, "hidden", node.make("mul", {o, shown}));
      node.put(d, t, out);
      h = node.kept(t, out, h);
      memory = node.kept(t, next, memory);
    }
    node.finish(d, {h, memory});
  }
  node.results(true);
}

}  // namespace

void add_recurrent(Handlers& h) {
  h["RNN"] = rnn;
  h["GRU"] = gru;
  h["LSTM"] = lstm;
}

}  // namespace rulegrad::io
