// Recurrent layers of networks made in C++: plain loops, names of gates, gradients, relevance.
#include <cmath>
#include <doctest/doctest.h>
#include <random>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/api/training.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "oracle/recurrent_lrp.hpp"

using namespace rulegrad;

namespace {

constexpr std::size_t steps = 5, inputs = 3, units = 4, classes = 2, samples = 2;

std::vector<double> numbers(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> values(count);
  for (double& value : values) value = uniform(random);
  return values;
}

Tensor array(std::vector<std::size_t> extents, const std::vector<double>& values) {
  return Tensor(Dims(extents.begin(), extents.end()), std::span<const double>(values));
}

const oracle::RecurrentNet& lstm_weights() {
  static const oracle::RecurrentNet net = [] {
    oracle::RecurrentNet made{steps,
                              inputs,
                              units,
                              classes,
                              numbers(4 * units * inputs, 1),
                              numbers(4 * units * units, 2),
                              numbers(8 * units, 3),
                              numbers(classes * units, 4),
                              numbers(classes, 5)};
    std::fill(made.b.begin() + 4 * units, made.b.end(), 0.0);
    return made;
  }();
  return net;
}

Model lstm_model() {
  const oracle::RecurrentNet& w = lstm_weights();
  Network net(DType::float64);
  const Expr x = net.input("x", {B, steps, inputs});
  const std::vector<double> b(w.b.begin(), w.b.begin() + 4 * units);
  const RecurrentStates states =
      net.lstm(x, array({4 * units, inputs}, w.w), array({4 * units, units}, w.u), array({4 * units}, b));
  return net.finish(net.dense(states.last, array({classes, units}, w.v), array({classes}, w.d)));
}

const std::vector<double> x_values = numbers(samples * steps * inputs, 9);
const Tensor x_array = array({samples, steps, inputs}, x_values);

std::vector<double> sample_of(std::size_t n) {
  const auto from = x_values.begin() + static_cast<std::ptrdiff_t>(n * steps * inputs);
  return {from, from + static_cast<std::ptrdiff_t>(steps * inputs)};
}

double sigmoid_of(double v) {
  return 1 / (1 + std::exp(-v));
}

/// The state after each step: eq. 5 to 8 of Cho et al., unit by unit.
std::vector<double> gru_loops(const std::vector<double>& w, const std::vector<double>& r,
                              const std::vector<double>& b, const std::vector<double>& x) {
  std::vector<double> h(units, 0.0), all;
  for (std::size_t t = 0; t < steps; ++t) {
    const auto sum = [&](std::size_t gate, std::size_t j, const std::vector<double>& state) {
      const std::size_t row = gate * units + j;
      double total = b[row];
      for (std::size_t i = 0; i < inputs; ++i) total += w[row * inputs + i] * x[t * inputs + i];
      for (std::size_t k = 0; k < units; ++k) total += r[row * units + k] * state[k];
      return total;
    };
    std::vector<double> let_through(units), next(units);
    for (std::size_t j = 0; j < units; ++j) let_through[j] = sigmoid_of(sum(1, j, h)) * h[j];
    for (std::size_t j = 0; j < units; ++j) {
      const double z = sigmoid_of(sum(0, j, h));
      next[j] = (1 - z) * std::tanh(sum(2, j, let_through)) + z * h[j];
    }
    h = next;
    all.insert(all.end(), h.begin(), h.end());
  }
  return all;
}

}  // namespace

TEST_CASE("an LSTM layer gives what plain loops give, and LRP through it too") {
  const Model model = lstm_model();
  const oracle::RecurrentLoops loops(lstm_weights(), "all", 1e-3), halves(lstm_weights(), "half", 1e-3);
  const Explanation found = Explainer(model, {"lrp.lstm", "lrp.lstm:gates=half"}, {.targets = Targets::given})
                                .run(x_array, {.targets = {1}});
  for (std::size_t n = 0; n < samples; ++n) {
    const oracle::RecurrentLrp all = loops.lstm(sample_of(n), 1), half = halves.lstm(sample_of(n), 1);
    CHECK(found.scores().at(static_cast<std::int64_t>(n * classes + 1)) ==
          doctest::Approx(all.score).epsilon(1e-12));
    for (std::size_t i = 0; i < steps * inputs; ++i) {
      const auto at = static_cast<std::int64_t>(n * steps * inputs + i);
      CHECK(found.attribution(0).at(at) == doctest::Approx(all.relevance[i]).epsilon(1e-10));
      CHECK(found.attribution(1).at(at) == doctest::Approx(half.relevance[i]).epsilon(1e-10));
    }
  }
}

TEST_CASE(
    "a GRU layer gives what plain loops give at every step, and its relevance is conserved without biases") {
  const std::vector<double> w = numbers(3 * units * inputs, 11), r = numbers(3 * units * units, 12),
                            b = numbers(3 * units, 13);
  for (const bool biased : {true, false}) {
    CAPTURE(biased);
    Network net(DType::float64);
    const Expr x = net.input("x", {B, steps, inputs});
    const RecurrentStates states = net.gru(x, array({3 * units, inputs}, w), array({3 * units, units}, r),
                                           biased ? array({3 * units}, b) : Tensor());
    const Model model = net.finish({std::vector<Expr>{states.last, states.all}});
    const Expr all = model.outputs()[1].expr;
    const Tensor got = evaluate(std::span(&all, 1), {{"x", x_array}})[0];
    REQUIRE(got.dims() == Dims{samples, steps, units});
    for (std::size_t n = 0; n < samples; ++n) {
      const std::vector<double> wanted =
          gru_loops(w, r, biased ? b : std::vector<double>(3 * units, 0.0), sample_of(n));
      for (std::size_t i = 0; i < steps * units; ++i)
        CHECK(got.at(static_cast<std::int64_t>(n * steps * units + i)) ==
              doctest::Approx(wanted[i]).epsilon(1e-12));
    }
    if (biased) continue;
    const Explanation found =
        Explainer(model, "lrp.gru:epsilon=1e-12", {.targets = Targets::given}).run(x_array, {.targets = {2}});
    for (std::int64_t n = 0; n < static_cast<std::int64_t>(samples); ++n) {
      double sum = 0;
      for (std::int64_t i = 0; i < static_cast<std::int64_t>(steps * inputs); ++i)
        sum += found.attribution().at(n * static_cast<std::int64_t>(steps * inputs) + i);
      CHECK(sum ==
            doctest::Approx(found.scores().at(n * static_cast<std::int64_t>(units) + 2)).epsilon(1e-7));
    }
  }
}

TEST_CASE("gates of recurrent layers have the names that those of a file have") {
  Network net;
  const Expr x = net.input("x", {B, 3, 2});
  const RecurrentStates first = net.lstm(x, 4);
  const Model model = net.finish(net.gru(first.all, 4, "top").last);
  const auto has = [&](const std::string& name) { return model.graph().find(name).size() == 1; };
  for (const char* part : {"sum", "input", "output", "forget", "candidate", "cell", "hidden"})
    for (const char* step : {"t0", "t1", "t2"}) CHECK(has(std::string("lstm1.") + step + "." + part));
  for (const char* part : {"update", "reset", "candidate", "hidden"})
    CHECK(has(std::string("top.t0.") + part));
  for (const char* parameter :
       {"lstm1.w", "lstm1.r", "lstm1.b", "top.w", "top.r", "top.r.candidate", "top.b"})
    CHECK(has(parameter));
}

TEST_CASE("tables that integers look up and recurrent layers are trained: gradients of finite differences") {
  Network net(DType::float64);
  const Expr words = net.input("words", {B, 3}, DType::int64);
  const RecurrentStates states = net.lstm(net.embedding(words, 5, 2), 3);
  Trainer trainer(net.finish(net.dense(net.gru(states.all, 3).last, 2)), cross_entropy, {DType::int64, {B}});
  const Tensor x({2, 3}, {std::int64_t{0}, std::int64_t{3}, std::int64_t{1}, std::int64_t{3}, std::int64_t{2},
                          std::int64_t{0}}),
      answers({2}, {std::int64_t{1}, std::int64_t{0}});
  const LossGradients at = trainer.gradients(x, answers);
  CHECK(at.gradients.size() == 10);
  CHECK(at.gradients.at("embedding1.w").dims() == Dims{5, 2});
  for (std::int64_t i = 8; i < 10; ++i) CHECK(at.gradients.at("embedding1.w").at(i) == 0);  // no word 4
  for (const auto& [name, gradient] : at.gradients) {
    INFO(name);
    const Tensor value = trainer.parameters().at(name);
    for (std::int64_t i = 0; i < value.size(); ++i) {
      double loss[2];
      for (const int side : {0, 1}) {
        Tensor moved = value;
        moved.mutable_values<double>()[static_cast<std::size_t>(i)] += side == 0 ? -1e-5 : 1e-5;
        trainer.set_parameter(name, moved);
        loss[side] = trainer.gradients(x, answers).loss;
      }
      trainer.set_parameter(name, value);
      CHECK(std::abs(gradient.at(i) - (loss[1] - loss[0]) / 2e-5) < 1e-8);
    }
  }
  const Model trained = trainer.trained();
  CHECK(trained.graph().find("gru1.t2.candidate").size() == 1);
  CHECK(trained.graph().find("embedding1.w").size() == 1);
}

TEST_CASE("recurrent layers and tables say what does not fit") {
  Network net;
  const Expr x = net.input("x", {B, 3, 2}), flat = net.input("flat", {B, 6}),
             ids = net.input("ids", {B, 3}, DType::int64);
  CHECK_THROWS_WITH_AS(
      (void)net.lstm(flat, 4),
      doctest::Contains("[lstm] makes 4 units of x [B, steps, values], but x is float32[B, 6]"), Error);
  CHECK_THROWS_WITH_AS(
      (void)net.lstm(x, Tensor(DType::float32, {16, 3}), Tensor(DType::float32, {16, 4})),
      doctest::Contains("[lstm] w must be [16, 2] for x float32[B, 3, 2] and 4 units but is [16, 3]"), Error);
  CHECK_THROWS_WITH_AS((void)net.gru(x, Tensor(DType::float32, {16, 2}), Tensor(DType::float32, {16, 4})),
                       doctest::Contains("[gru] r must be [12, 4]"), Error);
  CHECK_THROWS_WITH_AS((void)net.embedding(x, 5, 2), doctest::Contains("[embedding] looks integers up"),
                       Error);
  CHECK_THROWS_WITH_AS((void)net.embedding(ids, 0, 2), doctest::Contains("a table of 0 rows"), Error);
}
