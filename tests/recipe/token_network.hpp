#pragma once

#include <array>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_helpers.hpp"

/// A small transformer twice: by loops over plain numbers, and as a graph whose components have names.
namespace rulegrad::testing::tokens {

inline constexpr std::size_t T = 4, D = 6, heads = 2, width = D / heads, hidden = 5, blocks = 2;
using Row = std::vector<double>;
using Matrix = std::vector<Row>;

inline Matrix zeros(std::size_t rows, std::size_t columns) {
  return Matrix(rows, Row(columns, 0));
}

inline Matrix waves(std::size_t rows, std::size_t columns, double& at, double scale = 1) {
  Matrix m = zeros(rows, columns);
  for (Row& row : m)
    for (double& value : row) value = scale * std::sin(at += 1.37);
  return m;
}

inline Tensor tensor_of(const Matrix& m) {
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
    Matrix grad_attention, grad_mlp;  ///< what the score sends to the branches' results
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
      b.grad_mlp = g;
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
      b.grad_attention = g;
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

inline Matrix input_of() {
  double at = 0.9;
  return waves(T, D, at, 1.3);
}

inline Matrix times(const Matrix& a, const Matrix& b) {
  Matrix result = a;
  for (std::size_t t = 0; t < a.size(); ++t)
    for (std::size_t i = 0; i < a[t].size(); ++i) result[t][i] *= b[t][i];
  return result;
}

}  // namespace rulegrad::testing::tokens
