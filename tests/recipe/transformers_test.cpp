// Transformers: LXT's composites against its own numbers, the canonical attention rules against plain loops,
// DeepLIFT's closed forms.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/recipe_helpers.hpp"
#include "recipe/shared_models.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> references() {
  const auto data = shared_data();
  if (!data || !fs::is_directory(*data / "references/frontier")) {
    MESSAGE("skipped: no shared data");
    return std::nullopt;
  }
  return *data / "references/frontier";
}

/// The maps of all samples, each for its largest score, which is what the references are for.
Tensor explained(const fs::path& folder, const std::string& method, DType dtype,
                 const RuleLibrary& library = RuleLibrary::builtin()) {
  const Model model = load_onnx((folder / "model.onnx").string(), {.dtype = dtype});
  const Expr output = model.head(HeadKind::logit);
  Question question = question_for(output, {explained_of(model, output)});
  const Tensor x = io::read_npy(folder / "x.npy");
  const Tensor given = is_floating(x.dtype()) ? x.cast(dtype) : x.cast(model.inputs()[0].expr.dtype());
  return explain(method, question, {{model.inputs()[0].name, given}}, {}, {}, library);
}

}  // namespace

TEST_CASE(
    "LXT's composites are met on an encoder, a ViT, BERT and Llama, by their explicit rules and by the "
    "efficient form") {
  const auto folder = references();
  if (!folder) return;
  for (const std::string net : {"encoder_pre", "vit", "bert", "llama"})
    for (const std::string method : {"attn_lrp", "cp_lrp"})
      for (const bool efficient : {false, true})
        for (const DType dtype : {DType::float64, DType::float32}) {
          const std::string file = method + (efficient ? "_efficient" : ""),
                            name = "lxt." + file + (net == "llama" && !efficient ? "_llama" : "");
          CAPTURE(net);
          CAPTURE(name);
          CAPTURE(name_of(dtype));
          const Tensor expected = io::read_npy(*folder / net / (file + ".npy")).cast(DType::float64);
          const double away = distance(explained(*folder / net, name, dtype).cast(DType::float64), expected);
          CHECK(away < (dtype == DType::float64 ? 1e-7 : 1e-3));
        }
}

TEST_CASE("the composites of LRP explain transformers, close to LXT where their rules are the same") {
  const auto folder = references();
  if (!folder) return;
  for (const std::string net : {"encoder_pre", "vit", "bert", "llama"}) {
    CAPTURE(net);
    const Tensor expected = io::read_npy(*folder / net / "attn_lrp.npy").cast(DType::float64);
    const Tensor logits = io::read_npy(*folder / net / "logits.npy").cast(DType::float64);
    const Tensor target = io::read_npy(*folder / net / "target.npy").cast(DType::float64);
    const Tensor epsilon = explained(*folder / net, "lrp.epsilon:epsilon=1e-9", DType::float64);
    const Tensor gradient_form = explained(*folder / net, "lrp.attention", DType::float64);
    const std::int64_t samples = expected.dims()[0], each = expected.size() / samples,
                       classes = logits.size() / samples;
    double worst = 0, other = 0, largest = 0;
    for (std::int64_t n = 0; n < samples; ++n) {
      const double logit = logits.at(n * classes + static_cast<std::int64_t>(target.at(n)));
      for (std::int64_t i = n * each; i < (n + 1) * each; ++i) {
        // LRP starts from 1, LXT from the score; the gradient form from the score's derivative.
        worst = std::max(worst, std::abs(epsilon.at(i) * logit - expected.at(i)));
        other = std::max(other, std::abs(gradient_form.at(i) - expected.at(i)));
        largest = std::max(largest, std::abs(expected.at(i)));
      }
    }
    CHECK(worst / largest < 2e-3);
    CHECK(other / largest < 2e-3);
    for (const char* method : {"lrp.gamma", "lrp.z_plus", "lrp.epsilon_plus", "lrp.alpha_beta", "lrp.vit"}) {
      CAPTURE(method);
      const Tensor map = explained(*folder / net, method, DType::float64);
      bool finite = true;
      for (std::int64_t i = 0; i < map.size(); ++i) finite = finite && std::isfinite(map.at(i));
      CHECK(finite);
    }
  }
}

TEST_CASE(
    "DeepLIFT sums to the difference of the scores on transformers, and RevealCancel is that of its "
    "authors") {
  const auto folder = references();
  if (!folder) return;
  for (const std::string net : {"encoder_pre", "vit"}) {
    CAPTURE(net);
    const Tensor map = explained(*folder / net, "deeplift.rescale:baseline=0.1", DType::float64);
    const Model model = load_onnx((*folder / net / "model.onnx").string(), {.dtype = DType::float64});
    const Expr output = model.head(HeadKind::logit);
    const Tensor x = io::read_npy(*folder / net / "x.npy").cast(DType::float64),
                 target = io::read_npy(*folder / net / "target.npy").cast(DType::float64);
    const Program forward = Program::compile(std::span(&output, 1));
    const Tensor there = forward.run({{model.inputs()[0].name, x}}).at(0);
    const Tensor here =
        forward.run({{model.inputs()[0].name, Tensor::full(DType::float64, x.dims(), 0.1)}}).at(0);
    const std::int64_t samples = x.dims()[0], each = x.size() / samples, classes = there.size() / samples;
    for (std::int64_t n = 0; n < samples; ++n) {
      double sum = 0;
      for (std::int64_t i = n * each; i < (n + 1) * each; ++i) sum += map.at(i);
      const std::int64_t score = n * classes + static_cast<std::int64_t>(target.at(n));
      CHECK(sum == doctest::Approx(there.at(score) - here.at(score)).epsilon(1e-9));
    }
  }
  const fs::path mlp = *folder / "revealcancel_mlp";
  const Model model = load_onnx((mlp / "model.onnx").string(), {.dtype = DType::float64});
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  const Tensor baseline = io::read_npy(mlp / "baseline.npy").cast(DType::float64);
  AnalyzerCall call{.name = "deeplift.reveal_cancel", .arguments = {}};
  call.arguments.emplace_back("baseline", baseline);
  const Analysis analysis = analyze(RuleLibrary::builtin(), call, question);
  const Tensor map = Program::compile(analysis.attributions)
                         .run({{model.inputs()[0].name, io::read_npy(mlp / "x.npy").cast(DType::float64)}})
                         .at(0);
  CHECK(distance(map, io::read_npy(mlp / "deeplift.npy").cast(DType::float64)) < 1e-6);
}

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix matrix(std::size_t rows, std::size_t columns, double& at) {
  Matrix m(rows, std::vector<double>(columns));
  for (auto& row : m)
    for (double& value : row) value = std::sin(at += 1.3);
  return m;
}

Tensor tensor_of(const Matrix& m) {
  std::vector<double> flat;
  for (const auto& row : m) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor({static_cast<std::int64_t>(m.size()), static_cast<std::int64_t>(m[0].size())},
                std::span<const double>(flat));
}

double stable(double z, double epsilon) {
  return z >= 0 ? z + epsilon : z - epsilon;
}

/// One head over T tokens of D features, by loops: layer norm, attention, mean over tokens, two scores.
struct Block {
  static constexpr std::size_t T = 3, D = 4;
  double at = 0.2;
  Matrix x = matrix(T, D, at), wq = matrix(D, D, at), wk = matrix(D, D, at), wv = matrix(D, D, at),
         top = matrix(2, D, at);
  std::vector<double> w = matrix(1, D, at)[0], b = matrix(1, D, at)[0];

  [[nodiscard]] static Matrix times(const Matrix& v, const Matrix& weights) {
    Matrix result(v.size(), std::vector<double>(weights.size(), 0));
    for (std::size_t t = 0; t < v.size(); ++t)
      for (std::size_t j = 0; j < weights.size(); ++j)
        for (std::size_t i = 0; i < weights[j].size(); ++i) result[t][j] += v[t][i] * weights[j][i];
    return result;
  }
  /// x_i w_ji R_j / z_j, summed over j.
  static void linear_back(const Matrix& v, const Matrix& weights, const Matrix& r, double epsilon,
                          Matrix& into) {
    const Matrix z = times(v, weights);
    for (std::size_t t = 0; t < v.size(); ++t)
      for (std::size_t j = 0; j < weights.size(); ++j)
        for (std::size_t i = 0; i < weights[j].size(); ++i)
          into[t][i] += v[t][i] * weights[j][i] * r[t][j] / stable(z[t][j], epsilon);
  }

  [[nodiscard]] Matrix relevance(double epsilon, double rest, double layer_epsilon) const {
    Matrix n(T, std::vector<double>(D)), zero(T, std::vector<double>(D, 0));
    std::vector<double> deviation(T);
    for (std::size_t t = 0; t < T; ++t) {
      double mu = 0, variance = 0;
      for (const double value : x[t]) mu += value / D;
      for (const double value : x[t]) variance += (value - mu) * (value - mu) / D;
      deviation[t] = std::sqrt(variance + layer_epsilon);
      for (std::size_t i = 0; i < D; ++i) n[t][i] = (x[t][i] - mu) / deviation[t] * w[i] + b[i];
    }
    const Matrix q = times(n, wq), k = times(n, wk), v = times(n, wv);
    Matrix raw(T, std::vector<double>(T, 0)), s = raw, o = zero;
    for (std::size_t t = 0; t < T; ++t) {
      double sum = 0;
      for (std::size_t u = 0; u < T; ++u) {
        for (std::size_t i = 0; i < D; ++i) raw[t][u] += q[t][i] * k[u][i];
        sum += std::exp(raw[t][u] / 2);
      }
      for (std::size_t u = 0; u < T; ++u) {
        s[t][u] = std::exp(raw[t][u] / 2) / sum;
        for (std::size_t i = 0; i < D; ++i) o[t][i] += s[t][u] * v[u][i];
      }
    }
    Matrix m(1, std::vector<double>(D, 0)), ro = zero, rm = {std::vector<double>(D, 0)};
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < D; ++i) m[0][i] += o[t][i] / T;
    linear_back(m, {top[0]}, {{1}}, epsilon, rm);
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < D; ++i) ro[t][i] = o[t][i] / T * rm[0][i] / stable(m[0][i], rest);
    Matrix rs(T, std::vector<double>(T, 0)), rq = zero, rk = zero, rv = zero;
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t u = 0; u < T; ++u)
        for (std::size_t i = 0; i < D; ++i) {
          const double part = s[t][u] * v[u][i] * ro[t][i] / stable(2 * o[t][i], rest);
          rs[t][u] += part;
          rv[u][i] += part;
        }
    for (std::size_t t = 0; t < T; ++t) {
      double sum = 0;
      for (const double r : rs[t]) sum += r;
      for (std::size_t u = 0; u < T; ++u) {
        const double rz = raw[t][u] / 2 * (rs[t][u] - s[t][u] * sum);
        for (std::size_t i = 0; i < D; ++i) {
          rq[t][i] += q[t][i] * k[u][i] * rz / stable(2 * raw[t][u], rest);
          rk[u][i] += q[t][i] * k[u][i] * rz / stable(2 * raw[t][u], rest);
        }
      }
    }
    Matrix rn = zero, rx = zero;
    linear_back(n, wq, rq, epsilon, rn);
    linear_back(n, wk, rk, epsilon, rn);
    linear_back(n, wv, rv, epsilon, rn);
    for (std::size_t t = 0; t < T; ++t) {
      double mu = 0;
      std::vector<double> share(D);
      for (std::size_t i = 0; i < D; ++i) {
        share[i] = w[i] * rn[t][i] / stable(n[t][i], rest) / deviation[t];
        mu += share[i] / D;
      }
      for (std::size_t i = 0; i < D; ++i) rx[t][i] = x[t][i] * (share[i] - mu);
    }
    return rx;
  }
};

}  // namespace

TEST_CASE("LRP of an attention block is that of plain loops") {
  const Block block;
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3, 4}});
  const auto constant = [&](const Matrix& m) { return graph.constant(tensor_of(m)); };
  const Expr n = graph.apply(
      op("layer_norm"), {x, reshape(constant({block.w}), Shape{4}), reshape(constant({block.b}), Shape{4})},
      LayerNormAttributes{2, 1e-5});
  const Expr scores = matmul(dense(n, constant(block.wq)), dense(n, constant(block.wk)),
                             {.transpose_a = false, .transpose_b = true}) *
                      0.5;
  const Expr y =
      dense(mean(matmul(softmax(scores, 2), dense(n, constant(block.wv))), {1}), constant(block.top));
  Tensor input(DType::float64, {1, 3, 4});
  const Tensor flat = tensor_of(block.x);
  std::copy(flat.values<double>().begin(), flat.values<double>().end(),
            input.mutable_values<double>().begin());
  for (const double epsilon : {1e-6, 0.01}) {
    const Tensor map = explain("lrp.epsilon:epsilon=" + std::to_string(epsilon),
                               question_for(y, {x}, fixed_target(graph, 0)), {{"x", input}});
    CHECK(distance(map, tensor_of(block.relevance(epsilon, 1e-6, 1e-5))) < 1e-10);
  }
  // In gradient form the same without stabilisers.
  const Tensor map = explain("lrp.attention", question_for(y, {x}, fixed_target(graph, 0)), {{"x", input}});
  const Matrix without = block.relevance(1e-13, 1e-13, 1e-5);
  const double score = evaluate(std::vector<Expr>{y}, {{"x", input}}).at(0).at(0);
  for (std::size_t t = 0; t < 3; ++t)
    for (std::size_t i = 0; i < 4; ++i)
      CHECK(map.at(static_cast<std::int64_t>(t * 4 + i)) ==
            doctest::Approx(without[t][i] * score).epsilon(1e-6));
}

TEST_CASE("a batch norm that Keras wrote out is part of its layer") {
  Graph graph(DType::float64);
  double at = 0.4;
  const Expr x = graph.input("x", {DType::float64, Shape{B, 5}}),
             w = graph.constant(tensor_of(matrix(4, 5, at)));
  const auto row = [&] { return graph.constant(tensor_of(matrix(1, 4, at))); };
  const Expr mu = row(), scale = row(), shift = row(), b = reshape(row(), Shape{4}),
             top = graph.constant(tensor_of(matrix(2, 4, at)));
  const Expr written = dense(relu((dense(x, w, b) - mu) * scale + shift), top);
  const Expr one = reshape(scale, Shape{4});
  const Expr merged = dense(relu(dense(x, w * reshape(scale, Shape{4, 1}),
                                       (b - reshape(mu, Shape{4})) * one + reshape(shift, Shape{4}))),
                            top);
  const Tensor input = tensor_of(matrix(3, 5, at));
  for (const char* method : {"lrp.epsilon", "lrp.gamma", "lrp.z_plus", "lrp.flat", "lrp.alpha_beta"}) {
    CAPTURE(method);
    const Tensor a = explain(method, question_for(written, {x}, fixed_target(graph, 1)), {{"x", input}});
    const Tensor e = explain(method, question_for(merged, {x}, fixed_target(graph, 1)), {{"x", input}});
    CHECK(distance(a, e) < 1e-10);
  }
}
