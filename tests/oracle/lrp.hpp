#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

/// Layer-wise relevance propagation as its papers state it: a sum over single connections, in float64, one
/// sample at a time. Shares no code with the library: no transposed layers, no vector-Jacobian products.
namespace rulegrad::oracle {

using Vector = std::vector<double>;

/// One term of an affine layer: output unit `to` gets weight * input unit `from`.
struct Connection {
  std::size_t from, to;
  double weight;
};

/// A layer on flat vectors. Affine layers list their connections and biases; the others say how values flow.
struct Layer {
  enum class Kind { affine, relu, tanh, max_pool, avg_pool, batch_norm } kind = Kind::affine;
  std::size_t inputs = 0, outputs = 0;
  std::vector<Connection> connections;            ///< of affine layers, and of avg_pool
  Vector bias;                                    ///< one an output
  std::vector<std::vector<std::size_t>> windows;  ///< of max_pool: the inputs of each output, row-major
  bool convolution = false;
};

inline Vector forward(const Layer& layer, const Vector& x) {
  Vector y(layer.outputs, 0.0);
  switch (layer.kind) {
    case Layer::Kind::affine:
    case Layer::Kind::batch_norm:
    case Layer::Kind::avg_pool:
      for (const Connection& c : layer.connections) y[c.to] += c.weight * x[c.from];
      for (std::size_t j = 0; j < layer.bias.size(); ++j) y[j] += layer.bias[j];
      break;
    case Layer::Kind::relu:
      for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] > 0 ? x[i] : 0;
      break;
    case Layer::Kind::tanh:
      for (std::size_t i = 0; i < x.size(); ++i) y[i] = std::tanh(x[i]);
      break;
    case Layer::Kind::max_pool:
      for (std::size_t j = 0; j < layer.outputs; ++j) {
        y[j] = -INFINITY;
        for (const std::size_t i : layer.windows[j]) y[j] = x[i] > y[j] ? x[i] : y[j];
      }
      break;
  }
  return y;
}

inline double stabilized(double z, double epsilon) {
  return z < 0 ? z - epsilon : z + epsilon;
}

/// sum over connections of share(c) / stabilized(total of shares + bias share) * R: the form of every basic
/// rule.
inline Vector share_out(const Layer& layer, const Vector& relevance, double epsilon,
                        const std::function<double(const Connection&)>& share,
                        const std::function<double(double)>& bias_share) {
  Vector total(layer.outputs, 0.0), result(layer.inputs, 0.0);
  for (const Connection& c : layer.connections) total[c.to] += share(c);
  for (std::size_t j = 0; j < layer.bias.size(); ++j) total[j] += bias_share(layer.bias[j]);
  for (const Connection& c : layer.connections) {
    const double below = epsilon == 0 ? total[c.to] : stabilized(total[c.to], epsilon);
    if (below != 0) result[c.from] += share(c) / below * relevance[c.to];
  }
  return result;
}

inline Vector lrp_z(const Layer& layer, const Vector& x, const Vector& r) {
  return share_out(
      layer, r, 0, [&](const Connection& c) { return x[c.from] * c.weight; }, [](double b) { return b; });
}
inline Vector lrp_epsilon(const Layer& layer, const Vector& x, const Vector& r, double epsilon) {
  return share_out(
      layer, r, epsilon, [&](const Connection& c) { return x[c.from] * c.weight; },
      [](double b) { return b; });
}
inline Vector lrp_gamma(const Layer& layer, const Vector& x, const Vector& r, double gamma, double epsilon) {
  const auto raised = [gamma](double v) { return v > 0 ? v + gamma * v : v; };
  return share_out(
      layer, r, epsilon, [&](const Connection& c) { return x[c.from] * raised(c.weight); }, raised);
}
inline Vector lrp_z_plus(const Layer& layer, const Vector& x, const Vector& r, double epsilon) {
  const auto positive = [](double v) { return v > 0 ? v : 0; };
  return share_out(
      layer, r, epsilon, [&](const Connection& c) { return positive(x[c.from] * c.weight); }, positive);
}
inline Vector lrp_flat(const Layer& layer, const Vector&, const Vector& r, double epsilon) {
  return share_out(
      layer, r, epsilon, [](const Connection&) { return 1.0; }, [](double) { return 0.0; });
}

inline Vector lrp_w_square(const Layer& layer, const Vector&, const Vector& r, double epsilon) {
  return share_out(
      layer, r, epsilon, [](const Connection& c) { return c.weight * c.weight; }, [](double) { return 0.0; });
}
inline Vector lrp_z_box(const Layer& layer, const Vector& x, const Vector& r, const Vector& low,
                        const Vector& high, double epsilon) {
  return share_out(
      layer, r, epsilon,
      [&](const Connection& c) { return c.weight * (x[c.from] - (c.weight > 0 ? low : high)[c.from]); },
      [](double) { return 0.0; });
}

/// Contributions that agree with the sign of the pre-activation count 1 + gamma times, the others once.
inline Vector lrp_generalized_gamma(const Layer& layer, const Vector& x, const Vector& r, double gamma,
                                    double epsilon) {
  const Vector z = forward(layer, x);
  Vector result(layer.inputs, 0.0), total(layer.outputs, 0.0);
  const auto counted = [&](double v, std::size_t j) { return v * z[j] > 0 ? v * (1 + gamma) : v; };
  for (const Connection& c : layer.connections) total[c.to] += counted(x[c.from] * c.weight, c.to);
  for (std::size_t j = 0; j < layer.bias.size(); ++j) total[j] += counted(layer.bias[j], j);
  for (const Connection& c : layer.connections)
    if (z[c.to] != 0)
      result[c.from] += counted(x[c.from] * c.weight, c.to) / stabilized(total[c.to], epsilon) * r[c.to];
  return result;
}

struct AlphaBeta {
  double alpha = 2, beta = 1, epsilon = 1e-7;
  bool bias = true, fill_empty = true;
};

inline Vector lrp_alpha_beta(const Layer& layer, const Vector& x, const Vector& r, const AlphaBeta& how) {
  Vector result(layer.inputs, 0.0), gains(layer.outputs, 0.0), losses(layer.outputs, 0.0);
  const auto sort = [&](double v, std::size_t j) { (v > 0 ? gains : losses)[j] += v; };
  for (const Connection& c : layer.connections) sort(x[c.from] * c.weight, c.to);
  if (how.bias)
    for (std::size_t j = 0; j < layer.bias.size(); ++j) sort(layer.bias[j], j);
  for (const Connection& c : layer.connections) {
    const double v = x[c.from] * c.weight;
    const double all = v > 0 ? gains[c.to] : losses[c.to], others = v > 0 ? losses[c.to] : gains[c.to];
    double part = v > 0 ? how.alpha : -how.beta;
    if (how.fill_empty && others == 0) part = 1;
    result[c.from] += part * v / stabilized(all, how.epsilon) * r[c.to];
  }
  return result;
}

/// A whole network: `rule(layer, index among the affine layers, x, r)` answers for affine layers; activations
/// pass, averages share by value with `epsilon`, a maximum goes to the first winner.
inline Vector propagate(
    const std::vector<Layer>& layers, const Vector& input, std::size_t target, double epsilon,
    const std::function<Vector(const Layer&, std::size_t, const Vector&, const Vector&)>& rule,
    double* score = nullptr) {
  std::vector<Vector> values{input};
  std::size_t affine = 0;
  for (const Layer& layer : layers) {
    values.push_back(forward(layer, values.back()));
    if (layer.kind == Layer::Kind::affine) ++affine;
  }
  if (score != nullptr) *score = values.back()[target];
  Vector r(values.back().size(), 0.0);
  r[target] = 1;
  for (std::size_t l = layers.size(); l-- > 0;) {
    const Layer& layer = layers[l];
    const Vector& x = values[l];
    switch (layer.kind) {
      case Layer::Kind::affine:
        r = rule(layer, --affine, x, r);
        break;
      case Layer::Kind::batch_norm:
      case Layer::Kind::avg_pool:
        r = lrp_epsilon(layer, x, r, epsilon);
        break;
      case Layer::Kind::relu:
      case Layer::Kind::tanh:
        break;
      case Layer::Kind::max_pool: {
        Vector below(layer.inputs, 0.0);
        for (std::size_t j = 0; j < layer.outputs; ++j) {
          std::size_t winner = layer.windows[j][0];
          for (const std::size_t i : layer.windows[j])
            if (x[i] > x[winner]) winner = i;
          below[winner] += r[j];
        }
        r = std::move(below);
        break;
      }
    }
  }
  return r;
}

}  // namespace rulegrad::oracle
