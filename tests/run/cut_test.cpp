// Where the cut of a batch shows in the last digits, and where it does not (docs/precision.md, "The cut of a batch").
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"

using namespace rulegrad;

namespace {

Tensor batch(const Shape& shape, std::int64_t samples) {
  Tensor x(DType::float32, shape.at({.batch = samples}));
  const auto values = x.mutable_values<float>();
  std::uint32_t state = 1;
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) / 8388608.0F - 1;
  }
  return x;
}

const std::vector<std::string>& methods() {
  static const std::vector<std::string> all{"gradient",        "guided_backprop", "lrp.epsilon",
                                            "lrp.gamma",       "lrp.z_plus",      "lrp.alpha_2_beta_1",
                                            "deeplift.rescale"};
  return all;
}

Model convolutional() {
  Sequential net({B, 3, 32, 32});
  net.conv(32, {3, 3})
      .relu()
      .conv(64, {3, 3})
      .relu()
      .max_pool({2, 2})
      .conv(64, {3, 3})
      .relu()
      .conv(5, {3, 3});
  net.then([](Expr x) { return mean(x, {2, 3}); });
  return net.finish();
}

Model dense() {
  Sequential net({B, 300});
  net.dense(512).relu().dense(256).relu().dense(10);
  return net.finish();
}

/// The largest change of a result by the cut, as a share of its largest value; 0: the same bits.
double change(const Explainer& explainer, const Tensor& x, std::int64_t cut, int threads) {
  const Explanation whole = explainer.run(x, {.threads = 1}),
                    parts = explainer.run(x, {.batch_size = cut, .threads = threads});
  double largest = 0, off = 0;
  const auto compare = [&](const Tensor& a, const Tensor& b) {
    if (identical(a, b)) return;
    off = std::max(off, 1e-300);
    for (std::int64_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::abs(a.at(i)));
      off = std::max(off, std::abs(a.at(i) - b.at(i)));
    }
  };
  compare(whole.scores(), parts.scores());
  compare(whole.attribution(), parts.attribution());
  return off == 0 ? 0 : off / std::max(largest, 1e-30);
}

}  // namespace

TEST_CASE(
    "convolutions, pooling and what works element by element give the same bits however a batch is cut") {
  for (const std::string& method : methods()) {
    CAPTURE(method);
    const Model model = convolutional();
    const Explainer explainer(model, method);
    const Tensor x = batch(model.inputs()[0].expr.shape(), 9);
    for (const std::int64_t cut : {1, 2, 4, 5, 8}) {
      CAPTURE(cut);
      CHECK(change(explainer, x, cut, 1 + static_cast<int>(cut % 3)) == 0);
    }
  }
}

TEST_CASE(
    "dense layers give the same bits for every cut into parts of up to 7 rows, and differ by roundings "
    "beyond") {
  bool shows = false;
  for (const std::string& method : methods()) {
    CAPTURE(method);
    const Model model = dense();
    const Explainer explainer(model, method);
    const Shape& shape = model.inputs()[0].expr.shape();
    for (const std::int64_t cut : {1, 2, 3, 5, 6}) {
      CAPTURE(cut);
      CHECK(change(explainer, batch(shape, 7), cut, 1 + static_cast<int>(cut % 3)) == 0);
    }
    // Parts of both sides of the limit: sums over the depth stand in another order.
    const double off = change(explainer, batch(shape, 12), 5, 2);
    CHECK(off < 1e-4);
    shows = shows || off > 0;
  }
  // Should it not show any more, the page may say so.
  CHECK(shows);
}

TEST_CASE("the memory that sample loops may take cuts them likewise") {
  const Model model = convolutional();
  const Tensor x = batch(model.inputs()[0].expr.shape(), 2);
  for (const char* const method : {"integrated_gradients:steps=6", "smoothgrad:n=5"}) {
    CAPTURE(method);
    const Tensor roomy = Explainer(model, method, {.memory = std::size_t{1} << 30}).run(x).attribution();
    CHECK(identical(Explainer(model, method, {.memory = 1}).run(x).attribution(), roomy));
  }
}
