// Methods for transformers beside LRP against plain loops in float64 over one network: RelP, GIM, Ali,
// LibraGrad and DecompX, attention rollout and Chefer's relevance, Grad-CAM over tokens.
#include <doctest/doctest.h>

#include "recipe/token_network.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;
using namespace rulegrad::testing::tokens;

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

namespace {

/// A picture of two channels in patches of 2 x 2, a token before them that is no patch, one layer, and a score that
/// each token has a part of its own in.
struct PictureNetwork {
  static constexpr std::size_t rows = 2, columns = 3, patches = rows * columns, features = 5, channels = 2;
  double at = 0.7;
  Matrix picture = waves(channels, 4 * patches, at, 1.2);  ///< by channel, rows of pixels behind each other
  Matrix embedding = waves(features, channels * 4, at, 0.8), first = waves(features, features, at),
         second = waves(features, features, at), top = waves(1 + patches, features, at);
  Row extra = waves(1, features, at)[0];

  [[nodiscard]] Matrix stream() const {
    Matrix token = zeros(1 + patches, features), result = token;
    token[0] = extra;
    for (std::size_t p = 0; p < patches; ++p)
      for (std::size_t d = 0; d < features; ++d)
        for (std::size_t c = 0; c < channels; ++c)
          for (std::size_t i = 0; i < 4; ++i) {
            const std::size_t y = p / columns * 2 + i / 2, x = p % columns * 2 + i % 2;
            token[p + 1][d] += embedding[d][c * 4 + i] * picture[c][y * columns * 2 + x];
          }
    for (std::size_t t = 0; t <= patches; ++t)
      for (std::size_t j = 0; j < features; ++j) {
        for (std::size_t d = 0; d < features; ++d) result[t][j] += first[j][d] * token[t][d];
        result[t][j] = std::tanh(result[t][j]);
      }
    return result;
  }
  /// relu(sum_d mean_t(G_td) A_td) of each token, G the derivative of sum_tj top_tj tanh(sum_d second_jd A_td).
  [[nodiscard]] Row cam() const {
    const Matrix a = stream();
    Row weight(features, 0), result(a.size(), 0);
    for (std::size_t t = 0; t < a.size(); ++t)
      for (std::size_t j = 0; j < features; ++j) {
        double z = 0;
        for (std::size_t d = 0; d < features; ++d) z += second[j][d] * a[t][d];
        const double slope = 1 - std::tanh(z) * std::tanh(z);
        for (std::size_t d = 0; d < features; ++d)
          weight[d] += top[t][j] * slope * second[j][d] / static_cast<double>(a.size());
      }
    for (std::size_t t = 0; t < a.size(); ++t) {
      for (std::size_t d = 0; d < features; ++d) result[t] += weight[d] * a[t][d];
      result[t] = std::max(result[t], 0.0);
    }
    return result;
  }
};

}  // namespace

TEST_CASE("Grad-CAM over patches is that of plain loops, enlarged by linear interpolation") {
  const PictureNetwork net;
  constexpr std::int64_t rows = PictureNetwork::rows, columns = PictureNetwork::columns,
                         patches = PictureNetwork::patches, features = PictureNetwork::features,
                         channels = PictureNetwork::channels;
  Graph graph(DType::float64);
  const auto constant = [&](const Matrix& m) { return graph.constant(tensor_of(m)); };
  const Expr x = graph.input("x", {DType::float64, Shape{B, channels, 2 * rows, 2 * columns}});
  ConvAttributes by_patch;
  by_patch.strides = {2, 2};
  const Expr embedded =
      conv(x, reshape(constant(net.embedding), Shape{features, channels, 2, 2}), 0.0, by_patch);
  const Expr placed = transpose(reshape(embedded, Shape{B, features, patches}), {0, 2, 1});
  const Expr extra = mean(placed, {1}, true) * 0.0 + reshape(constant({net.extra}), Shape{1, 1, features});
  const Expr stream = tanh(dense(concat(std::vector<Expr>{extra, placed}, 1), constant(net.first)));
  graph.add_name(stream, "stream");
  const Expr y = sum(tanh(dense(stream, constant(net.second))) * constant(net.top), {1, 2}, true);
  Tensor picture(DType::float64, {1, channels, 2 * rows, 2 * columns});
  const Tensor pixels = tensor_of(net.picture);
  std::copy(pixels.values<double>().begin(), pixels.values<double>().end(),
            picture.mutable_values<double>().begin());
  const Tensor map =
      explain("grad_cam.patches:layer=stream,rows=2,columns=3",
              question_for(reshape(y, Shape{B, 1}), {x}, fixed_target(graph, 0)), {{"x", picture}});
  REQUIRE(map.size() == picture.size());
  const Row cam = net.cam();
  CHECK(*std::max_element(cam.begin() + 1, cam.end()) > 0.01);
  CHECK(*std::min_element(cam.begin() + 1, cam.end()) == 0);
  // Between the middles of patches; beyond the outermost ones their own.
  const auto place = [](std::int64_t pixel, std::int64_t count) {
    return std::clamp((static_cast<double>(pixel) + 0.5) / 2 - 0.5, 0.0, static_cast<double>(count - 1));
  };
  const auto at = [&](std::int64_t r, std::int64_t c) {
    return cam[static_cast<std::size_t>(1 + std::min(r, rows - 1) * columns + std::min(c, columns - 1))];
  };
  for (std::int64_t channel = 0; channel < channels; ++channel)
    for (std::int64_t i = 0; i < 2 * rows; ++i)
      for (std::int64_t j = 0; j < 2 * columns; ++j) {
        CAPTURE(i);
        CAPTURE(j);
        const double v = place(i, rows), h = place(j, columns);
        const auto r = static_cast<std::int64_t>(v), c = static_cast<std::int64_t>(h);
        const double down = v - static_cast<double>(r), right = h - static_cast<double>(c);
        const double expected = (1 - down) * ((1 - right) * at(r, c) + right * at(r, c + 1)) +
                                down * ((1 - right) * at(r + 1, c) + right * at(r + 1, c + 1));
        CHECK(map.at((channel * 2 * rows + i) * 2 * columns + j) == doctest::Approx(expected).epsilon(1e-9));
      }
}
