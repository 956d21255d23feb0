#pragma once

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

/// LRP through one LSTM or GRU and a dense layer on its last state, unit by unit in float64: what Arras et
/// al. 2017 (W17-5221, section 3) and 2019 (arXiv 1909.12114, section 11.3) write, sharing no code with the
/// engine.
namespace rulegrad::oracle {

struct RecurrentNet {
  std::size_t steps, inputs, hidden, classes;
  /// [gates hidden, inputs], [gates hidden, hidden], [2 gates hidden] in ONNX's order (i, o, f, g or z, r,
  /// n); dense [classes, hidden] and [classes].
  std::vector<double> w, u, b, v, d;
};

struct RecurrentLrp {
  std::vector<double> relevance;  ///< [steps, inputs]
  double score = 0;
};

class RecurrentLoops {
 public:
  RecurrentLoops(const RecurrentNet& net, std::string gates, double epsilon)
      : n_(net), gates_(std::move(gates)), epsilon_(epsilon) {}

  [[nodiscard]] RecurrentLrp lstm(const std::vector<double>& x, std::size_t target) const {
    const std::size_t H = n_.hidden, T = n_.steps;
    std::vector<std::vector<double>> pre(T, std::vector<double>(4 * H)), h(T + 1, std::vector<double>(H, 0)),
        c(T + 1, std::vector<double>(H, 0));
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t j = 0; j < H; ++j) {
        for (std::size_t g = 0; g < 4; ++g) pre[t][g * H + j] = row(g * H + j, x, t, h[t]);
        c[t + 1][j] =
            sigmoid(pre[t][2 * H + j]) * c[t][j] + sigmoid(pre[t][j]) * std::tanh(pre[t][3 * H + j]);
        h[t + 1][j] = sigmoid(pre[t][H + j]) * std::tanh(c[t + 1][j]);
      }
    RecurrentLrp answer{std::vector<double>(T * n_.inputs, 0), 0};
    std::vector<double> of_h = top(h[T], target, answer.score), of_c(H, 0);
    for (std::size_t t = T; t-- > 0;) {
      std::vector<double> of_pre(4 * H, 0), before_h(H, 0), before_c(H, 0);
      for (std::size_t j = 0; j < H; ++j) {
        const auto [out, shown] = shared(pre[t][H + j], c[t + 1][j], of_h[j]);
        of_pre[H + j] += out;
        const double memory = of_c[j] + shown;
        const double kept = sigmoid(pre[t][2 * H + j]) * c[t][j],
                     fresh = sigmoid(pre[t][j]) * std::tanh(pre[t][3 * H + j]);
        const auto [forget, old] = shared(pre[t][2 * H + j], c[t][j], kept * memory / stable(kept + fresh));
        const auto [in, candidate] =
            shared(pre[t][j], pre[t][3 * H + j], fresh * memory / stable(kept + fresh));
        of_pre[2 * H + j] += forget;
        of_pre[j] += in;
        of_pre[3 * H + j] += candidate;
        before_c[j] += old;
      }
      for (std::size_t k = 0; k < 4 * H; ++k)
        layer(k, x, t, h[t], pre[t][k], of_pre[k], answer.relevance, before_h);
      of_h = before_h;
      of_c = before_c;
    }
    return answer;
  }

  /// With the reset gate behind the product, as torch has it; the signal takes all.
  [[nodiscard]] RecurrentLrp gru(const std::vector<double>& x, std::size_t target) const {
    const std::size_t H = n_.hidden, T = n_.steps;
    std::vector<std::vector<double>> z(T, std::vector<double>(H)), r(z), an(z), un(z),
        h(T + 1, std::vector<double>(H, 0));
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t j = 0; j < H; ++j) {
        z[t][j] = sigmoid(row(j, x, t, h[t]));
        r[t][j] = sigmoid(row(H + j, x, t, h[t]));
        an[t][j] = n_.b[2 * H + j];
        for (std::size_t i = 0; i < n_.inputs; ++i)
          an[t][j] += n_.w[(2 * H + j) * n_.inputs + i] * x[t * n_.inputs + i];
        un[t][j] = n_.b[5 * H + j];
        for (std::size_t k = 0; k < H; ++k) un[t][j] += n_.u[(2 * H + j) * H + k] * h[t][k];
        h[t + 1][j] = (1 - z[t][j]) * std::tanh(an[t][j] + r[t][j] * un[t][j]) + z[t][j] * h[t][j];
      }
    RecurrentLrp answer{std::vector<double>(T * n_.inputs, 0), 0};
    std::vector<double> of_h = top(h[T], target, answer.score);
    for (std::size_t t = T; t-- > 0;) {
      std::vector<double> before(H, 0);
      for (std::size_t j = 0; j < H; ++j) {
        const double sum = an[t][j] + r[t][j] * un[t][j], n = std::tanh(sum);
        const double fresh = (1 - z[t][j]) * n, kept = z[t][j] * h[t][j];
        before[j] += kept * of_h[j] / stable(fresh + kept);
        const double of_n = fresh * of_h[j] / stable(fresh + kept);
        const double of_an = an[t][j] * of_n / stable(sum), of_un = r[t][j] * un[t][j] * of_n / stable(sum);
        for (std::size_t i = 0; i < n_.inputs; ++i)
          answer.relevance[t * n_.inputs + i] +=
              x[t * n_.inputs + i] * n_.w[(2 * H + j) * n_.inputs + i] * of_an / stable(an[t][j]);
        for (std::size_t k = 0; k < H; ++k)
          before[k] += h[t][k] * n_.u[(2 * H + j) * H + k] * of_un / stable(un[t][j]);
      }
      of_h = before;
    }
    return answer;
  }

 private:
  static double sigmoid(double v) { return 1 / (1 + std::exp(-v)); }
  [[nodiscard]] double stable(double v) const { return v >= 0 ? v + epsilon_ : v - epsilon_; }

  /// W x_t + U h + b of one unit.
  [[nodiscard]] double row(std::size_t k, const std::vector<double>& x, std::size_t t,
                           const std::vector<double>& h) const {
    double sum = n_.b[k] + n_.b[n_.b.size() / 2 + k];
    for (std::size_t i = 0; i < n_.inputs; ++i) sum += n_.w[k * n_.inputs + i] * x[t * n_.inputs + i];
    for (std::size_t i = 0; i < n_.hidden; ++i) sum += n_.u[k * n_.hidden + i] * h[i];
    return sum;
  }

  [[nodiscard]] std::vector<double> top(const std::vector<double>& h, std::size_t target,
                                        double& score) const {
    score = n_.d[target];
    for (std::size_t j = 0; j < n_.hidden; ++j) score += n_.v[target * n_.hidden + j] * h[j];
    std::vector<double> relevance(n_.hidden);
    for (std::size_t j = 0; j < n_.hidden; ++j)
      relevance[j] = h[j] * n_.v[target * n_.hidden + j] * score / stable(score);
    return relevance;
  }

  /// What a gate and its signal receive, by their pre-activations.
  [[nodiscard]] std::pair<double, double> shared(double gate, double signal, double relevance) const {
    if (gates_ == "all") return {0, relevance};
    if (gates_ == "half") return {relevance / 2, relevance / 2};
    if (gates_ == "prop")
      return {relevance * gate / stable(gate + signal), relevance * signal / stable(gate + signal)};
    const double sizes = std::abs(gate) + std::abs(signal) + epsilon_;
    return {relevance * std::abs(gate) / sizes, relevance * std::abs(signal) / sizes};
  }

  void layer(std::size_t k, const std::vector<double>& x, std::size_t t, const std::vector<double>& h,
             double sum, double relevance, std::vector<double>& of_x, std::vector<double>& of_h) const {
    for (std::size_t i = 0; i < n_.inputs; ++i)
      of_x[t * n_.inputs + i] += x[t * n_.inputs + i] * n_.w[k * n_.inputs + i] * relevance / stable(sum);
    for (std::size_t i = 0; i < n_.hidden; ++i)
      of_h[i] += h[i] * n_.u[k * n_.hidden + i] * relevance / stable(sum);
  }

  const RecurrentNet& n_;
  std::string gates_;
  double epsilon_;
};

}  // namespace rulegrad::oracle
