// Methods for transformers beside LRP against plain loops in float64 over one network: RelP, GIM, Ali,
// LibraGrad and DecompX, attention rollout and Chefer's relevance, and patching against replacing values by
// hand.
#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::size_t T = 4, D = 6, heads = 2, width = D / heads, hidden = 5, blocks = 2;
using Row = std::vector<double>;
using Matrix = std::vector<Row>;

Matrix zeros(std::size_t rows, std::size_t columns) {
  return Matrix(rows, Row(columns, 0));
}

Matrix waves(std::size_t rows, std::size_t columns, double& at, double scale = 1) {
  Matrix m = zeros(rows, columns);
  for (Row& row : m)
    for (double& value : row) value = scale * std::sin(at += 1.37);
  return m;
}

Tensor tensor_of(const Matrix& m) {
  Row flat;
  for (const Row& row : m) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor({static_cast<std::int64_t>(m.size()), static_cast<std::int64_t>(m[0].size())},
                std::span<const double>(flat));
}

/// What a method makes of the derivatives.
struct Linearised {
  bool frozen_norms = false, secants = false, constant_attention = false;
  double stabiliser = 1e-6, gates = 1, queries_keys = 1, values = 1, temperature = 1;
};

struct Weights {
  Matrix q, k, v, o, gate, up, down;
  Row scale1, shift1, scale2, shift2;
};

/// Two blocks of attention with two heads and an MLP, gated or not, norms in front; the mean over tokens, two
/// scores. Everything by loops over plain numbers.
struct TokenNetwork {
  bool gated = true;
  std::array<Weights, blocks> weights;
  Matrix top;

  explicit TokenNetwork(bool with_gates) : gated(with_gates) {
    double at = 0.3;
    for (Weights& w : weights) {
      for (Matrix* m : {&w.q, &w.k, &w.v, &w.o}) *m = waves(D, D, at, 0.6);
      w.gate = waves(hidden, D, at, 0.7);
      w.up = waves(hidden, D, at, 0.7);
      w.down = waves(D, hidden, at, 0.7);
      for (Row* row : {&w.scale1, &w.shift1, &w.scale2, &w.shift2}) *row = waves(1, D, at)[0];
    }
    top = waves(2, D, at);
  }

  static Matrix linear(const Matrix& x, const Matrix& w) {
    Matrix y = zeros(x.size(), w.size());
    for (std::size_t t = 0; t < x.size(); ++t)
      for (std::size_t j = 0; j < w.size(); ++j)
        for (std::size_t i = 0; i < w[j].size(); ++i) y[t][j] += x[t][i] * w[j][i];
    return y;
  }
  static void linear_back(const Matrix& g, const Matrix& w, Matrix& into) {
    for (std::size_t t = 0; t < g.size(); ++t)
      for (std::size_t j = 0; j < w.size(); ++j)
        for (std::size_t i = 0; i < w[j].size(); ++i) into[t][i] += g[t][j] * w[j][i];
  }

  struct Norm {
    Matrix x, unit;  ///< (x - mean) / deviation
    Row deviation;
  };
  static Matrix norm(const Matrix& x, const Row& scale, const Row& shift, Norm& kept) {
    kept = {x, zeros(T, D), Row(T, 0)};
    Matrix y = zeros(T, D);
    for (std::size_t t = 0; t < T; ++t) {
      double mu = 0, variance = 0;
      for (const double value : x[t]) mu += value / D;
      for (const double value : x[t]) variance += (value - mu) * (value - mu) / D;
      kept.deviation[t] = std::sqrt(variance + 1e-5);
      for (std::size_t i = 0; i < D; ++i) {
        kept.unit[t][i] = (x[t][i] - mu) / kept.deviation[t];
        y[t][i] = kept.unit[t][i] * scale[i] + shift[i];
      }
    }
    return y;
  }
  static void norm_back(const Norm& n, const Row& scale, const Matrix& g, const Linearised& how,
                        Matrix& into) {
    for (std::size_t t = 0; t < T; ++t) {
      double mean = 0, along = 0;
      for (std::size_t i = 0; i < D; ++i) {
        mean += g[t][i] * scale[i] / D;
        along += g[t][i] * scale[i] * n.unit[t][i] / D;
      }
      for (std::size_t i = 0; i < D; ++i)
        into[t][i] +=
            (g[t][i] * scale[i] - mean - (how.frozen_norms ? 0 : n.unit[t][i] * along)) / n.deviation[t];
    }
  }

  static double act(double z, bool gated_net) {
    return gated_net ? z / (1 + std::exp(-z)) : z * 0.5 * (1 + std::erf(z / std::sqrt(2.0)));
  }
  static double slope(double z, bool gated_net) {
    if (gated_net) {
      const double s = 1 / (1 + std::exp(-z));
      return s + z * s * (1 - s);
    }
    return 0.5 * (1 + std::erf(z / std::sqrt(2.0))) +
           z * std::exp(-z * z / 2) / std::sqrt(2 * std::acos(-1.0));
  }

  struct Block {
    Norm norm1, norm2;
    Matrix q, k, v, gate, up;
    std::array<Matrix, heads> raw, a, grad_a;  ///< scores, weights and dS/da
    Matrix attention, mlp;                     ///< what the two branches add
  };
  using Patch = std::function<void(std::size_t block, bool mlp, Matrix& branch)>;

  double forward(const Matrix& x, std::array<Block, blocks>& kept, std::size_t target,
                 const Patch& patch = {}, const Matrix* at_second_mlp = nullptr) const {
    Matrix h = x;
    for (std::size_t l = 0; l < blocks; ++l) {
      const Weights& w = weights[l];
      Block& b = kept[l];
      const Matrix n = norm(h, w.scale1, w.shift1, b.norm1);
      b.q = linear(n, w.q), b.k = linear(n, w.k), b.v = linear(n, w.v);
      Matrix o = zeros(T, D);
      for (std::size_t head = 0; head < heads; ++head) {
        b.raw[head] = b.a[head] = zeros(T, T);
        for (std::size_t t = 0; t < T; ++t) {
          double sum = 0;
          for (std::size_t u = 0; u < T; ++u) {
            for (std::size_t i = head * width; i < (head + 1) * width; ++i)
              b.raw[head][t][u] += b.q[t][i] * b.k[u][i] / std::sqrt(double(width));
            sum += std::exp(b.raw[head][t][u]);
          }
          for (std::size_t u = 0; u < T; ++u) {
            b.a[head][t][u] = std::exp(b.raw[head][t][u]) / sum;
            for (std::size_t i = head * width; i < (head + 1) * width; ++i)
              o[t][i] += b.a[head][t][u] * b.v[u][i];
          }
        }
      }
      b.attention = linear(o, w.o);
      if (patch) patch(l, false, b.attention);
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < D; ++i) h[t][i] += b.attention[t][i];
      Matrix entered = h;
      if (at_second_mlp != nullptr && l == 1)
        for (std::size_t t = 0; t < T; ++t)
          for (std::size_t i = 0; i < D; ++i) entered[t][i] += (*at_second_mlp)[t][i];
      const Matrix m = norm(entered, w.scale2, w.shift2, b.norm2);
      b.gate = linear(m, w.gate), b.up = linear(m, w.up);
      Matrix inner = zeros(T, hidden);
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < hidden; ++i)
          inner[t][i] = act(b.gate[t][i], gated) * (gated ? b.up[t][i] : 1);
      b.mlp = linear(inner, w.down);
      if (patch) patch(l, true, b.mlp);
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < D; ++i) h[t][i] += b.mlp[t][i];
    }
    double score = 0;
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < D; ++i) score += h[t][i] / T * top[target][i];
    return score;
  }

  /// What the score sends to x; the attention weights' own into `grad_a`.
  Matrix backward(std::array<Block, blocks>& kept, std::size_t target, const Linearised& how) const {
    Matrix g = zeros(T, D);
    for (Row& row : g)
      for (std::size_t i = 0; i < D; ++i) row[i] = top[target][i] / T;
    for (std::size_t l = blocks; l-- > 0;) {
      const Weights& w = weights[l];
      Block& b = kept[l];
      Matrix inner = zeros(T, hidden), gate = zeros(T, hidden), up = gate, m = zeros(T, D);
      linear_back(g, w.down, inner);
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t i = 0; i < hidden; ++i) {
          const double z = b.gate[t][i], f = act(z, gated);
          const double d =
              how.secants ? f / (z >= 0 ? z + how.stabiliser : z - how.stabiliser) : slope(z, gated);
          gate[t][i] = inner[t][i] * (gated ? b.up[t][i] * how.gates : 1) * d;
          if (gated) up[t][i] = inner[t][i] * f * how.gates;
        }
      linear_back(gate, w.gate, m);
      if (gated) linear_back(up, w.up, m);
      norm_back(b.norm2, w.scale2, m, how, g);
      Matrix o = zeros(T, D), q = o, k = o, v = o, n = o;
      linear_back(g, w.o, o);
      for (std::size_t head = 0; head < heads; ++head) {
        b.grad_a[head] = zeros(T, T);
        for (std::size_t t = 0; t < T; ++t) {
          Row heated(T);
          double sum = 0, along = 0;
          for (std::size_t u = 0; u < T; ++u) {
            heated[u] = std::exp(b.raw[head][t][u] / how.temperature);
            sum += heated[u];
            for (std::size_t i = head * width; i < (head + 1) * width; ++i) {
              b.grad_a[head][t][u] += o[t][i] * b.v[u][i];
              v[u][i] += o[t][i] * b.a[head][t][u] * how.values;
            }
          }
          for (std::size_t u = 0; u < T; ++u) along += b.grad_a[head][t][u] * heated[u] / sum;
          if (how.constant_attention) continue;
          for (std::size_t u = 0; u < T; ++u) {
            const double raw = heated[u] / sum * (b.grad_a[head][t][u] - along) / std::sqrt(double(width)) *
                               how.queries_keys;
            for (std::size_t i = head * width; i < (head + 1) * width; ++i) {
              q[t][i] += raw * b.k[u][i];
              k[u][i] += raw * b.q[t][i];
            }
          }
        }
      }
      linear_back(q, w.q, n);
      linear_back(k, w.k, n);
      linear_back(v, w.v, n);
      norm_back(b.norm1, w.scale1, n, how, g);
    }
    return g;
  }
};

/// The same network as a graph; names of what is patched.
struct Built {
  Graph graph{DType::float64};
  Expr x, y;

  explicit Built(const TokenNetwork& net) {
    const auto constant = [&](const Matrix& m) { return graph.constant(tensor_of(m)); };
    const auto row = [&](const Row& r) {
      return reshape(constant({r}), Shape{static_cast<std::int64_t>(r.size())});
    };
    const auto named = [&](Expr e, const std::string& name) {
      graph.add_name(e, name);
      return e;
    };
    x = graph.input("x", {DType::float64, Shape{B, T, D}});
    Expr h = x;
    for (std::size_t l = 0; l < blocks; ++l) {
      const Weights& w = net.weights[l];
      const std::string block = "block" + std::to_string(l);
      const auto norm = [&](Expr v, const Row& scale, const Row& shift, const std::string& name) {
        return named(graph.apply(op("layer_norm"), {v, row(scale), row(shift)}, LayerNormAttributes{2, 1e-5}),
                     name);
      };
      const auto split = [&](Expr v) {
        return graph.apply(op("transpose"), {reshape(v, Shape{B, T, heads, width})},
                           TransposeAttributes{{0, 2, 1, 3}});
      };
      const Expr n = norm(h, w.scale1, w.shift1, block + ".norm1");
      const Expr q = split(dense(n, constant(w.q))), k = split(dense(n, constant(w.k))),
                 v = split(dense(n, constant(w.v)));
      const Expr raw =
          matmul(q, k, {.transpose_a = false, .transpose_b = true}) * (1 / std::sqrt(double(width)));
      const Expr o =
          graph.apply(op("transpose"), {matmul(softmax(raw, 3), v)}, TransposeAttributes{{0, 2, 1, 3}});
      h = h + named(dense(reshape(o, Shape{B, T, D}), constant(w.o)), block + ".attention");
      const Expr m = norm(h, w.scale2, w.shift2, block + ".norm2");
      const Expr gate = dense(m, constant(w.gate));
      const Expr inner = net.gated ? graph.apply(op("silu"), {gate}) * dense(m, constant(w.up))
                                   : graph.apply(op("gelu"), {gate});
      h = h + named(dense(inner, constant(w.down)), block + ".mlp");
    }
    y = dense(mean(h, {1}), constant(net.top));
  }

  Tensor map(const std::string& method, const Matrix& input, std::vector<Expr> explained = {}) {
    if (explained.empty()) explained = {x};
    return explain(method, question_for(y, explained, fixed_target(graph, 1)), {{"x", batch_of(input)}});
  }
  static Tensor batch_of(const Matrix& input) {
    Tensor result(DType::float64, {1, T, D});
    const Tensor flat = tensor_of(input);
    std::copy(flat.values<double>().begin(), flat.values<double>().end(),
              result.mutable_values<double>().begin());
    return result;
  }
  Expr node(const std::string& name) {
    for (const Expr e : topological_order(std::span(&y, 1)))
      for (const std::string& known : graph.names(e))
        if (known == name) return e;
    throw Error(ErrorCode::unknown_name, "no node " + name);
  }
};

Matrix input_of() {
  double at = 0.9;
  return waves(T, D, at, 1.3);
}

Matrix times(const Matrix& a, const Matrix& b) {
  Matrix result = a;
  for (std::size_t t = 0; t < a.size(); ++t)
    for (std::size_t i = 0; i < a[t].size(); ++i) result[t][i] *= b[t][i];
  return result;
}

}  // namespace

TEST_CASE("RelP, GIM, Ali, LibraGrad and DecompX are those of plain loops") {
  const Matrix x = input_of();
  const std::vector<std::tuple<std::string, bool, Linearised>> methods{
      {"input_times_gradient", true, {}},
      {"input_times_gradient", false, {}},
      {"relp", true, {.frozen_norms = true, .secants = true, .gates = 0.5}},
      {"relp", false, {.frozen_norms = true, .secants = true}},
      {"gim",
       true,
       {.frozen_norms = true, .gates = 0.5, .queries_keys = 0.25, .values = 0.5, .temperature = 2}},
      {"gim:temperature=3",
       false,
       {.frozen_norms = true, .queries_keys = 0.25, .values = 0.5, .temperature = 3}},
      {"ali", false, {.frozen_norms = true, .constant_attention = true}},
      {"libragrad", true, {.frozen_norms = true, .secants = true, .constant_attention = true, .gates = 0.5}},
      {"libragrad:epsilon=0.01",
       false,
       {.frozen_norms = true, .secants = true, .constant_attention = true, .stabiliser = 0.01}},
      {"decompx",
       false,
       {.frozen_norms = true, .secants = true, .constant_attention = true, .stabiliser = 1e-12}},
  };
  for (const auto& [method, gated, how] : methods) {
    CAPTURE(method);
    CAPTURE(gated);
    const TokenNetwork net(gated);
    Built built(net);
    std::array<TokenNetwork::Block, blocks> kept;
    const double score = net.forward(x, kept, 1);
    CHECK(evaluate(std::vector<Expr>{built.y}, {{"x", Built::batch_of(x)}}).at(0).at(1) ==
          doctest::Approx(score).epsilon(1e-10));
    const Matrix g = net.backward(kept, 1, how);
    // RelP multiplies with what is lost when the input becomes 0.
    Matrix expected = times(x, g);
    if (method == "relp")
      for (Row& row : expected)
        for (double& value : row) value = -value;
    CHECK(distance(built.map(method, x), tensor_of(expected)) < 1e-9);
  }
}

TEST_CASE("a network with gates is refused where a method has no rule for them") {
  const TokenNetwork net(true);
  Built built(net);
  for (const char* method : {"ali", "decompx"}) CHECK_THROWS_AS(built.map(method, input_of()), Error);
}

TEST_CASE("attention rollout and Chefer's relevance are products of the layers' matrices") {
  for (const bool gated : {true, false}) {
    const TokenNetwork net(gated);
    Built built(net);
    const Matrix x = input_of();
    std::array<TokenNetwork::Block, blocks> kept;
    (void)net.forward(x, kept, 1);
    (void)net.backward(kept, 1, {});
    for (const bool gradients : {false, true}) {
      CAPTURE(gated);
      CAPTURE(gradients);
      Row r(T, 1.0 / T);  // what the mean over tokens reads
      for (std::size_t l = blocks; l-- > 0;) {
        Row next = r;
        for (std::size_t u = 0; u < T; ++u)
          for (std::size_t t = 0; t < T; ++t)
            for (std::size_t head = 0; head < heads; ++head) {
              const double a = kept[l].a[head][t][u];
              next[u] += r[t] * (gradients ? std::max(a * kept[l].grad_a[head][t][u], 0.0) : a) / heads;
            }
        for (double& value : next) value *= gradients ? 1 : 0.5;
        r = next;
      }
      const Tensor map = built.map(gradients ? "chefer" : "attention_rollout", x);
      for (std::size_t t = 0; t < T; ++t) {
        double sum = 0;
        for (std::size_t i = 0; i < D; ++i) sum += map.at(static_cast<std::int64_t>(t * D + i));
        CHECK(sum == doctest::Approx(r[t]).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("Grad-CAM over tokens is that of plain loops") {
  const TokenNetwork net(true);
  Built built(net);
  const Matrix x = input_of();
  std::array<TokenNetwork::Block, blocks> kept;
  (void)net.forward(x, kept, 1);
  // At the last stream the gradient is top / T for every token.
  Matrix stream = kept[1].norm2.x;
  const Expr last = built.y.operand(0).operand(0);
  built.graph.add_name(last, "stream");
  const Tensor map = built.map("grad_cam.tokens:layer=stream", x);
  for (std::size_t t = 0; t < T; ++t) {
    double cam = 0, sum = 0;
    for (std::size_t i = 0; i < D; ++i) {
      cam += (stream[t][i] + kept[1].mlp[t][i]) * net.top[1][i] / T;
      sum += map.at(static_cast<std::int64_t>(t * D + i));
    }
    CHECK(sum == doctest::Approx(std::max(cam, 0.0)).epsilon(1e-9));
  }
}

TEST_CASE("attribution patching is what replacing components does, to first order, and edges sum to it") {
  const TokenNetwork net(true);
  Built built(net);
  const Matrix x = input_of();
  double at = 5.1;
  Matrix other = x;
  const Matrix step = waves(T, D, at, 1e-5);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t i = 0; i < D; ++i) other[t][i] += step[t][i];
  std::array<TokenNetwork::Block, blocks> clean, changed, patched;
  const double score = net.forward(x, clean, 1);
  (void)net.forward(other, changed, 1);
  const auto attribution = [&](const std::string& method, const std::string& component,
                               const std::string& into = {}) {
    AnalyzerCall call{.name = method, .arguments = {}};
    call.arguments.emplace_back("source", std::string("x"));
    if (!into.empty()) call.arguments.emplace_back("into", into);
    call.arguments.emplace_back("other", tensor_of(other));
    const Analysis analysis =
        analyze(RuleLibrary::builtin(), call,
                question_for(built.y, {built.node(component)}, fixed_target(built.graph, 1)));
    return sum_of(Program::compile(analysis.attributions).run({{"x", Built::batch_of(x)}}).at(0));
  };
  for (std::size_t l = 0; l < blocks; ++l)
    for (const bool mlp : {false, true}) {
      const std::string component = "block" + std::to_string(l) + (mlp ? ".mlp" : ".attention");
      CAPTURE(component);
      const double effect = net.forward(x, patched, 1, [&](std::size_t block, bool is_mlp, Matrix& branch) {
        if (block == l && is_mlp == mlp) branch = mlp ? changed[l].mlp : changed[l].attention;
      }) - score;
      CHECK(attribution("attribution_patching", component) == doctest::Approx(effect).epsilon(1e-3));
    }
  // What each of them, and the input, changes at the entry of the last MLP alone.
  double edges = 0;
  for (const std::string component : {"block0.attention", "block0.mlp", "block1.attention", "x"}) {
    CAPTURE(component);
    Matrix delta = zeros(T, D);
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < D; ++i)
        delta[t][i] = component == "x" ? step[t][i]
                      : component == "block0.attention"
                          ? changed[0].attention[t][i] - clean[0].attention[t][i]
                      : component == "block0.mlp" ? changed[0].mlp[t][i] - clean[0].mlp[t][i]
                                                  : changed[1].attention[t][i] - clean[1].attention[t][i];
    const double effect = net.forward(x, patched, 1, {}, &delta) - score;
    const double edge = attribution("edge_patching", component, "block1.norm2");
    CHECK(edge == doctest::Approx(effect).epsilon(1e-3));
    edges += edge;
  }
  Matrix all = zeros(T, D);
  for (std::size_t t = 0; t < T; ++t)
    for (std::size_t i = 0; i < D; ++i) all[t][i] = changed[1].norm2.x[t][i] - clean[1].norm2.x[t][i];
  CHECK(edges == doctest::Approx(net.forward(x, patched, 1, {}, &all) - score).epsilon(1e-3));
}

TEST_CASE("activation patching is the network run with another value of a component") {
  const TokenNetwork net(true);
  Built built(net);
  const Matrix x = input_of();
  double at = 7.7;
  const Matrix other = waves(T, D, at, 1.1);
  std::array<TokenNetwork::Block, blocks> clean, changed, patched;
  const double score = net.forward(x, clean, 1);
  (void)net.forward(other, changed, 1);
  for (std::size_t l = 0; l < blocks; ++l)
    for (const bool mlp : {false, true}) {
      const std::string component = "block" + std::to_string(l) + (mlp ? ".mlp" : ".attention");
      CAPTURE(component);
      const double effect = net.forward(x, patched, 1, [&](std::size_t block, bool is_mlp, Matrix& branch) {
        if (block == l && is_mlp == mlp) branch = mlp ? changed[l].mlp : changed[l].attention;
      }) - score;
      AnalyzerCall call{.name = "activation_patching", .arguments = {}};
      call.arguments.emplace_back("component", component);
      call.arguments.emplace_back("source", std::string("x"));
      call.arguments.emplace_back("other", tensor_of(other));
      const Analysis analysis = analyze(RuleLibrary::builtin(), call,
                                        question_for(built.y, {built.x}, fixed_target(built.graph, 1)));
      const double sum =
          sum_of(Program::compile(analysis.attributions).run({{"x", Built::batch_of(x)}}).at(0));
      CHECK(sum == doctest::Approx(effect).epsilon(1e-9));
    }
}
