// Patterns against their formula in plain float64 loops over samples, positions and weights.
#include "rulegrad/evaluation/patterns.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <functional>
#include <random>

#include "rulegrad/api/network.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

using Values = std::vector<double>;

Tensor random_tensor(Dims dims, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Tensor t = Tensor::uninitialized(DType::float64, std::move(dims));
  for (double& v : t.mutable_values<double>()) v = normal(random);
  return t;
}

Values part(const Tensor& t, std::int64_t first, std::int64_t count) {
  Values result;
  for (std::int64_t i = first; i < first + count; ++i) result.push_back(t.at(i));
  return result;
}

/// The pattern of one neuron from what its weights saw, use by use.
Values pattern_of(const Values& w, double bias, const std::vector<Values>& uses, bool relu) {
  double count = 0, sum_y = 0;
  Values x(w.size()), xy(w.size());
  for (const Values& seen : uses) {
    double y = 0;
    for (std::size_t i = 0; i < w.size(); ++i) y += w[i] * seen[i];
    sum_y += y;
    if (relu && y + bias <= 0) continue;
    ++count;
    for (std::size_t i = 0; i < w.size(); ++i) {
      x[i] += seen[i];
      xy[i] += seen[i] * y;
    }
  }
  if (count == 0) count = 1;
  const double mean_y = sum_y / static_cast<double>(uses.size());
  Values a(w.size());
  double projection = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    a[i] = xy[i] / count - x[i] / count * mean_y;
    projection += w[i] * a[i];
  }
  for (double& v : a) v /= projection == 0 ? 1 : projection;
  return a;
}

void check_close(const Tensor& found, const Values& expected) {
  REQUIRE(found.size() == static_cast<std::int64_t>(expected.size()));
  for (std::size_t i = 0; i < expected.size(); ++i)
    CHECK(found.at(static_cast<std::int64_t>(i)) == doctest::Approx(expected[i]).epsilon(1e-9));
}

std::vector<std::pair<std::string, Tensor>> computed(const Model& model, PatternType type, const Tensor& data,
                                                     std::int64_t batch) {
  PatternComputation computation(model.outputs()[0].expr, type);
  const std::int64_t each = data.size() / data.dims()[0];
  for (std::int64_t first = 0; first < data.dims()[0]; first += batch) {
    Dims dims = data.dims();
    dims[0] = std::min(batch, dims[0] - first);
    const Values values = part(data, first * each, element_count(dims));
    computation.add({{"x", Tensor(dims, std::span<const double>(values))}});
  }
  return computation.patterns();
}

std::string message_of(ErrorCode code, const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  FAIL("no error");
  return {};
}

}  // namespace

TEST_CASE("patterns of dense layers are what the formula says, however the data are cut") {
  const Tensor w1 = random_tensor({5, 4}, 1), b1 = random_tensor({5}, 2), w2 = random_tensor({3, 5}, 3),
               b2 = random_tensor({3}, 4), data = random_tensor({23, 4}, 5);
  Network net(DType::float64);
  const Model model = net.finish(net.dense(relu(net.dense(net.input("x", {B, 4}), w1, b1)), w2, b2));
  std::vector<Values> inputs, hidden(23, Values(5));
  for (std::size_t n = 0; n < 23; ++n) {
    inputs.push_back(part(data, static_cast<std::int64_t>(n) * 4, 4));
    for (std::size_t j = 0; j < 5; ++j) {
      double z = b1.at(static_cast<std::int64_t>(j));
      for (std::size_t i = 0; i < 4; ++i) z += w1.at(static_cast<std::int64_t>(j * 4 + i)) * inputs[n][i];
      hidden[n][j] = std::max(z, 0.0);
    }
  }
  for (const bool relu : {false, true})
    for (const std::int64_t batch : {23, 7}) {
      CAPTURE(relu);
      CAPTURE(batch);
      const auto expected = [&](const Tensor& w, const Tensor& b, const std::vector<Values>& uses) {
        Values all;
        for (std::int64_t j = 0; j < w.dims()[0]; ++j) {
          const Values a = pattern_of(part(w, j * w.dims()[1], w.dims()[1]), b.at(j), uses, relu);
          all.insert(all.end(), a.begin(), a.end());
        }
        return all;
      };
      const auto patterns = computed(model, relu ? PatternType::relu : PatternType::linear, data, batch);
      REQUIRE(patterns.size() == 2);
      CHECK(patterns[0].first == "dense1/pattern");
      CHECK(patterns[1].first == "dense2/pattern");
      check_close(patterns[0].second, expected(w1, b1, inputs));
      check_close(patterns[1].second, expected(w2, b2, hidden));
    }
}

TEST_CASE(
    "patterns of a grouped, strided, padded convolution see every position, zeros of the padding included") {
  const Tensor w = random_tensor({4, 2, 3, 2}, 1), b = random_tensor({4}, 2),
               data = random_tensor({6, 4, 5, 6}, 3);
  Network net(DType::float64);
  const ConvAttributes attributes{
      .strides = {2, 1}, .pads_begin = {1, 0}, .pads_end = {1, 1}, .dilations = {1, 2}, .groups = 2};
  const Model model = net.finish(relu(net.conv(net.input("x", {B, 4, 5, 6}), w, b, attributes)));
  const std::int64_t rows = (5 + 2 - 3) / 2 + 1, columns = 6 + 1 - 3 + 1;
  for (const bool relu : {false, true}) {
    Values expected;
    for (std::int64_t o = 0; o < 4; ++o) {
      std::vector<Values> uses;
      for (std::int64_t n = 0; n < 6; ++n)
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t c = 0; c < columns; ++c) {
            Values seen;
            for (std::int64_t channel = 0; channel < 2; ++channel)
              for (std::int64_t i = 0; i < 3; ++i)
                for (std::int64_t j = 0; j < 2; ++j) {
                  const std::int64_t y = 2 * r + i - 1, x = c + 2 * j;
                  const bool inside = y >= 0 && y < 5 && x < 6;
                  seen.push_back(inside ? data.at(((n * 4 + o / 2 * 2 + channel) * 5 + y) * 6 + x) : 0);
                }
            uses.push_back(seen);
          }
      const Values a = pattern_of(part(w, o * 12, 12), b.at(o), uses, relu);
      expected.insert(expected.end(), a.begin(), a.end());
    }
    check_close(computed(model, relu ? PatternType::relu : PatternType::linear, data, 4)[0].second, expected);
  }
}

TEST_CASE("patterns of a transposed convolution belong to its channels, group by group") {
  // x [4, 3], w [4, 2, 2], 2 groups, stride 2: channel c of group g at position 2p + k sees the inputs of g
  // at p by tap k.
  const Tensor w = random_tensor({4, 2, 2}, 1), data = random_tensor({9, 4, 3}, 2);
  Network net(DType::float64);
  const Expr y =
      conv_transpose(net.input("x", {B, 4, 3}), net.parameter("w", w), 0.0, {.strides = {2}, .groups = 2});
  net.graph().add_name(y, "up");
  const Model model = net.finish(relu(y));
  const auto patterns = computed(model, PatternType::relu, data, 9);
  REQUIRE(patterns[0].first == "up/pattern");
  Values expected(16);
  for (std::int64_t channel = 0; channel < 4; ++channel) {
    const std::int64_t group = channel / 2, column = channel % 2;
    std::vector<Values> uses;
    for (std::int64_t n = 0; n < 9; ++n)
      for (std::int64_t p = 0; p < 3; ++p)
        for (std::int64_t k = 0; k < 2; ++k) {
          Values seen(4);
          for (std::int64_t row = 0; row < 2; ++row)
            seen[static_cast<std::size_t>(row * 2 + k)] = data.at((n * 4 + group * 2 + row) * 3 + p);
          uses.push_back(seen);
        }
    Values weights;
    for (std::int64_t row = 0; row < 2; ++row)
      for (std::int64_t k = 0; k < 2; ++k) weights.push_back(w.at(((group * 2 + row) * 2 + column) * 2 + k));
    const Values a = pattern_of(weights, 0, uses, true);
    for (std::int64_t row = 0; row < 2; ++row)
      for (std::int64_t k = 0; k < 2; ++k)
        expected[static_cast<std::size_t>(((group * 2 + row) * 2 + column) * 2 + k)] =
            a[static_cast<std::size_t>(row * 2 + k)];
  }
  check_close(patterns[0].second, expected);
}

TEST_CASE("a neuron that no sample switches on has the pattern 0, and one without weights too") {
  Network net(DType::float64);
  const Model model = net.finish(relu(
      net.dense(net.input("x", {B, 2}), Tensor({2, 2}, {1.0, 1.0, 0.0, 0.0}), Tensor({2}, {-1000.0, 1.0}))));
  check_close(computed(model, PatternType::relu, random_tensor({8, 2}, 1), 8)[0].second, {0, 0, 0, 0});
}

TEST_CASE("the neuron's switch is looked for behind batch normalisation") {
  // Behind a scale of -1 the ReLU is on where the neuron is small.
  const Tensor w = random_tensor({1, 3}, 1), data = random_tensor({31, 3}, 2);
  Network net(DType::float64);
  const auto one = [&](const char* name, double v) { return net.parameter(name, Tensor({1}, {v})); };
  const Expr y = net.dense(net.input("x", {B, 3}), w);
  const Model model = net.finish(relu(
      batch_norm(y, one("scale", -1), one("bias", 0.25), one("mean", 0), one("var", 1), {.epsilon = 1e-9})));
  double count = 0, mean_y = 0;
  Values mx(3), mxy(3), a(3);
  for (std::int64_t n = 0; n < 31; ++n) {
    const Values x = part(data, n * 3, 3);
    const double value = w.at(0) * x[0] + w.at(1) * x[1] + w.at(2) * x[2];
    mean_y += value / 31;
    if (0.25 - value <= 0) continue;
    ++count;
    for (std::size_t i = 0; i < 3; ++i) {
      mx[i] += x[i];
      mxy[i] += x[i] * value;
    }
  }
  double projection = 0;
  for (std::size_t i = 0; i < 3; ++i)
    projection += w.at(static_cast<std::int64_t>(i)) * (a[i] = (mxy[i] - mx[i] * mean_y) / count);
  for (double& v : a) v /= projection;
  check_close(computed(model, PatternType::relu, data, 31)[0].second, a);
}

TEST_CASE("what patterns cannot be computed for is told") {
  const Model plain = Sequential({B, 2}).relu().finish();
  CHECK(message_of(ErrorCode::invalid_argument, [&] {
          PatternComputation(plain.outputs()[0].expr, PatternType::relu);
        }).find("no dense, conv") != std::string::npos);
  const Model model = Sequential({B, 2}).dense(3).finish();
  const PatternComputation empty(model.outputs()[0].expr, PatternType::relu);
  CHECK(message_of(ErrorCode::invalid_argument, [&] { (void)empty.patterns(); }).find("no data") !=
        std::string::npos);
  CHECK(message_of(ErrorCode::unknown_name, [] { (void)pattern_type_from_name("rleu"); }).find("relu") !=
        std::string::npos);
}
