// Products of few rows with large weights: one sweep over a weight serves all of them, functions of it
// included.
#include <cmath>
#include <doctest/doctest.h>
#include <memory>
#include <random>
#include <string>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "oracle/matmul.hpp"
#include "run/threads.hpp"
#include "support/oracle_tensor.hpp"

using namespace rulegrad;
using testing::tensor;

namespace {

/// Functions of weights as rules write them, and the same on numbers.
struct OfWeight {
  const char* name;
  Expr (*of)(Expr);
  double (*value)(double);
};
const OfWeight functions[] = {
    {"w", [](Expr w) { return w; }, [](double w) { return w; }},
    {"max(w, 0)", [](Expr w) { return rulegrad::max(w, 0); }, [](double w) { return std::max(w, 0.0); }},
    {"min(w, 0)", [](Expr w) { return rulegrad::min(w, 0); }, [](double w) { return std::min(w, 0.0); }},
    {"w * w", [](Expr w) { return w * w; }, [](double w) { return w * w; }},
    {"abs(w)", [](Expr w) { return abs(w); }, [](double w) { return std::abs(w); }},
    {"w + 0.25 * max(w, 0)", [](Expr w) { return w + 0.25 * rulegrad::max(w, 0); },
     [](double w) { return w + 0.25 * std::max(w, 0.0); }},
};

std::vector<double> numbers(const Tensor& values) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < values.size(); ++i) result.push_back(values.at(i));
  return result;
}

oracle::Values mapped(const oracle::Values& values, double (*f)(double)) {
  oracle::Values result;
  for (const double value : values) result.push_back(f(value));
  return result;
}

Program compiled(const std::vector<Expr>& outputs, std::size_t streamed) {
  CompileOptions options;
  options.streamed_weights = streamed;
  options.kernels = &Kernels::portable();  // oneDNN's bits are its own
  options.little_on_one_thread = false;
  options.poison = true;
  return Program::compile(outputs, options);
}

/// In roundings of the dtype times the sum of magnitudes.
template <class T>
double error_of(const Tensor& got, const oracle::Values& want, const oracle::Values& scale) {
  double worst = 0;
  const auto values = numbers(got);
  REQUIRE(values.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    worst = std::max(worst, std::abs(values[i] - want[i]) /
                                (std::numeric_limits<T>::epsilon() * std::max(scale[i], 1e-30)));
  return worst;
}

template <class T>
void check_against_loops(std::int64_t rows, std::int64_t outputs, std::int64_t inputs, unsigned seed) {
  CAPTURE(rows);
  CAPTURE(outputs);
  CAPTURE(inputs);
  // Values that float32 holds, so that both dtypes compute with the same.
  const auto rounded = [](oracle::Values values) {
    for (double& value : values) value = static_cast<float>(value);
    return values;
  };
  const oracle::Dims x_dims{rows, inputs}, g_dims{rows, outputs}, w_dims{outputs, inputs};
  const oracle::Values x = rounded(oracle::normal(x_dims, seed)),
                       g = rounded(oracle::normal(g_dims, seed + 1)),
                       w = rounded(oracle::normal(w_dims, seed + 2)),
                       b = rounded(oracle::normal(oracle::Dims{outputs}, seed + 3));
  Graph graph(dtype_of<T>);
  const Expr ex = graph.input("x", {dtype_of<T>, Shape{B, inputs}}),
             eg = graph.input("g", {dtype_of<T>, Shape{B, outputs}});
  const Expr ew = graph.constant(tensor<T>(w_dims, w)),
             eb = graph.constant(tensor<T>(oracle::Dims{outputs}, b));
  std::vector<Expr> results;
  for (const OfWeight& f : functions) {
    results.push_back(dense(ex, f.of(ew), eb));
    results.push_back(matmul(eg, f.of(ew)));
  }
  const Program swept = compiled(results, 1), folded = compiled(results, 0);
  const Inputs given{{"x", tensor<T>(x_dims, x)}, {"g", tensor<T>(g_dims, g)}};
  CHECK(swept.stats({rows, 1}).weight_sweeps == 2);  // the two directions
  CHECK(swept.stats({rows, 1}).contractions == std::size(functions) * 2);
  CHECK(swept.stats({rows, 1}).folded_constants == 0);
  CHECK(swept.stats({rows, 1}).folded_bytes == 0);
  CHECK(folded.stats({rows, 1}).folded_constants == std::size(functions) - 1);
  const auto got = swept.run(given), ahead = folded.run(given);
  for (std::size_t k = 0; k < std::size(functions); ++k) {
    CAPTURE(functions[k].name);
    const oracle::Values fw = mapped(w, functions[k].value);
    const oracle::Values turned = oracle::swapped(w_dims, fw);
    oracle::Values y = oracle::matmul(x_dims, x, {inputs, outputs}, turned, g_dims);
    oracle::Values scale =
        oracle::matmul(x_dims, oracle::magnitudes(x), {inputs, outputs}, oracle::magnitudes(turned), g_dims);
    for (std::size_t i = 0; i < y.size(); ++i) {
      y[i] += b[i % static_cast<std::size_t>(outputs)];
      scale[i] += std::abs(b[i % static_cast<std::size_t>(outputs)]);
    }
    CHECK(error_of<T>(got[2 * k], y, scale) < 8);
    const oracle::Values back = oracle::matmul(g_dims, g, w_dims, fw, x_dims);
    const oracle::Values back_scale =
        oracle::matmul(g_dims, oracle::magnitudes(g), w_dims, oracle::magnitudes(fw), x_dims);
    CHECK(error_of<T>(got[2 * k + 1], back, back_scale) < 8);
    // Whether a function is applied ahead or on the way does not show where both stream.
    if (rows < outputs && rows < inputs) {
      CHECK(identical(got[2 * k], ahead[2 * k]));
      CHECK(identical(got[2 * k + 1], ahead[2 * k + 1]));
    }
  }
}

}  // namespace

TEST_CASE("swept products agree with plain loops, in both directions, whatever the rows") {
  std::mt19937 random(7);
  const auto draw = [&](std::int64_t most) {
    return std::uniform_int_distribution<std::int64_t>(1, most)(random);
  };
  for (std::int64_t rows = 1; rows <= 32; ++rows)
    check_against_loops<float>(rows, draw(90), draw(200), static_cast<unsigned>(rows) * 10);
  for (const std::int64_t rows : {1, 3, 8, 31})
    check_against_loops<double>(rows, draw(90), draw(200), static_cast<unsigned>(rows) * 10);
  // Beyond a band of rows, a strip of columns and a partial sum; and more rows than a sweep takes.
  check_against_loops<float>(3, 70, 2100, 900);
  check_against_loops<float>(2, 300, 1100, 910);
  check_against_loops<float>(9, 40, 1700, 940);
  check_against_loops<float>(32, 70, 300, 950);
  check_against_loops<double>(17, 140, 900, 960);
  check_against_loops<float>(33, 64, 130, 920);
  check_against_loops<double>(70, 40, 60, 930);
}

TEST_CASE("the bits of a swept product do not depend on company or threads") {
  const oracle::Dims w_dims{300, 700};
  const oracle::Values w = oracle::normal(w_dims, 1);
  for (const std::int64_t rows : {1, 5, 9, 32}) {
    Graph graph;
    const Expr x = graph.input("x", {DType::float32, Shape{B, 700}}),
               g = graph.input("g", {DType::float32, Shape{B, 300}});
    const Expr ew = graph.constant(tensor<float>(w_dims, w));
    std::vector<Expr> all;
    for (const OfWeight& f : functions) {
      all.push_back(dense(x, f.of(ew)));
      all.push_back(matmul(g, f.of(ew)));
    }
    const Inputs given{{"x", tensor<float>({rows, 700}, oracle::normal(oracle::Dims{rows, 700}, 2))},
                       {"g", tensor<float>({rows, 300}, oracle::normal(oracle::Dims{rows, 300}, 3))}};
    const Program program = compiled(all, 1);
    const auto together = program.run(given);
    for (std::size_t k = 0; k < all.size(); ++k)
      CHECK(identical(compiled({all[k]}, 1).run(given)[0], together[k]));
    for (const int threads : {1, 2, 3}) {
      const auto again = program.run(given, {.threads = threads});
      for (std::size_t k = 0; k < all.size(); ++k) CHECK(identical(again[k], together[k]));
    }
  }
}

TEST_CASE("products that need each other do not meet, nor do those that would wait in a circle") {
  const oracle::Values w = oracle::normal(oracle::Dims{24, 24}, 4),
                       v = oracle::normal(oracle::Dims{24, 24}, 5);
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 24}}),
             z = graph.input("z", {DType::float32, Shape{B, 24}});
  const Expr ew = graph.constant(tensor<float>({24, 24}, w)), ev = graph.constant(tensor<float>({24, 24}, v));
  // One path through w and then v, one through v and then w: both pairs at once would be a circle.
  const std::vector<Expr> results{dense(relu(dense(x, ew)), ev), dense(relu(dense(z, ev)), ew)};
  const Program program = compiled(results, 1);
  CHECK(program.stats({2, 1}).weight_sweeps == 3);
  const Inputs given{{"x", tensor<float>({2, 24}, oracle::normal(oracle::Dims{2, 24}, 6))},
                     {"z", tensor<float>({2, 24}, oracle::normal(oracle::Dims{2, 24}, 7))}};
  const auto got = program.run(given), want = compiled(results, 0).run(given);
  CHECK(identical(got[0], want[0]));
  CHECK(identical(got[1], want[1]));
  // A weight used twice in a row is read twice.
  CHECK(compiled({dense(relu(dense(x, ew)), ew)}, 1).stats({2, 1}).weight_sweeps == 2);
}

TEST_CASE("random programs give the same bits with and without sweeps") {
  std::mt19937 random(11);
  const auto one_of = [&](std::size_t count) {
    return std::uniform_int_distribution<std::size_t>(0, count - 1)(random);
  };
  for (int round = 0; round < 40; ++round) {
    CAPTURE(round);
    Graph graph;
    std::vector<Expr> values{graph.input("x", {DType::float32, Shape{B, 40}}),
                             graph.input("z", {DType::float32, Shape{B, 40}})},
        weights;
    for (unsigned k = 0; k < 3; ++k)
      weights.push_back(
          graph.constant(tensor<float>({40, 40}, oracle::normal(oracle::Dims{40, 40}, 50 + k))));
    for (int k = 0; k < 25; ++k) {
      const Expr x = values[one_of(values.size())],
                 w = functions[one_of(std::size(functions))].of(weights[one_of(3)]);
      switch (one_of(4)) {
        case 0:
          values.push_back(tanh(dense(x, w) * 0.1));
          break;
        case 1:
          values.push_back(tanh(matmul(x, w) * 0.1));
          break;
        case 2:
          values.push_back(matmul(x, w, {.transpose_b = true}) * 0.05);
          break;
        default:
          values.push_back(x + values[one_of(values.size())]);
      }
    }
    const std::vector<Expr> results(values.end() - 4, values.end());
    const Inputs given{{"x", tensor<float>({3, 40}, oracle::normal(oracle::Dims{3, 40}, 60))},
                       {"z", tensor<float>({3, 40}, oracle::normal(oracle::Dims{3, 40}, 61))}};
    const auto got = compiled(results, 1).run(given), want = compiled(results, 0).run(given);
    for (std::size_t k = 0; k < results.size(); ++k) CHECK(identical(got[k], want[k]));
  }
}

TEST_CASE("a non-finite product of a sweep is named") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4}}),
             z = graph.input("z", {DType::float32, Shape{B, 4}});
  const Expr w = graph.constant(Tensor::full(DType::float32, {4, 4}, 3e38));
  const Expr first = dense(x, w), second = dense(z, w);
  graph.add_name(second, "the second");
  const Program program = compiled({first, second}, 1);
  CHECK(program.stats({}).weight_sweeps == 1);
  CHECK_THROWS_WITH_AS((void)program.run({{"x", Tensor(DType::float32, {1, 4})},
                                          {"z", Tensor::full(DType::float32, {1, 4}, 1)}}),
                       doctest::Contains("[dense 'the second' float32[B, 4]] gave inf at [0, 0]"), Error);
}

namespace {

/// The end of a VGG, smaller: two large dense layers (4 MB each and more) behind a convolution.
Model small_vgg() {
  return Sequential({B, 3, 16, 16})
      .conv(19, {3, 3}, {.pads_begin = {1, 1}, .pads_end = {1, 1}})
      .relu()
      .max_pool({2, 2})
      .flatten()
      .dense(1024)
      .relu()
      .dense(1024)
      .relu()
      .dense(10)
      .finish();
}

Tensor picture() {
  return tensor<float>({2, 3, 16, 16}, oracle::normal(oracle::Dims{2, 3, 16, 16}, 9));
}

}  // namespace

TEST_CASE("z+ reads each large dense weight once forward and once backward, and folds none") {
  const Model model = small_vgg();
  const Explainer explainer(model, "lrp.z_plus");
  const ProgramStats stats = explainer.program().stats({2, 1});
  CHECK(stats.weight_sweeps == 4);
  CHECK(stats.folded_bytes + stats.packed_bytes < std::size_t{1} << 20);
  // Both products of a layer forward, and what goes back.
  CHECK(stats.contractions >= 3 * 4 - 1);
  CHECK(explainer.program().print({2, 1}).find("sweep('dense2.w'") != std::string::npos);
}

TEST_CASE(
    "twelve methods in one call read each large dense weight once for each direction, and give what each "
    "gives alone") {
  const Model model = small_vgg();
  const std::vector<std::string_view> names{"gradient",
                                            "lrp.z_plus",
                                            "lrp.epsilon",
                                            "lrp.gamma",
                                            "lrp.alpha_beta",
                                            "deep_taylor",
                                            "input_times_gradient",
                                            "guided_backprop",
                                            "deconvnet",
                                            "zennit.epsilon_plus",
                                            "zennit.excitation_backprop",
                                            "zennit.beta_smooth"};
  std::vector<AnalyzerCall> calls;
  for (const std::string_view name : names) calls.push_back(AnalyzerCall::parse(name));
  const Explainer all(model, std::span<const AnalyzerCall>(calls));
  CHECK(all.program().stats({2, 1}).weight_sweeps == 4);
  const Explanation together = all.run(picture());
  for (std::size_t k = 0; k < names.size(); ++k) {
    CAPTURE(names[k]);
    CHECK(identical(Explainer(model, names[k]).run(picture()).attribution(), together.attribution(k)));
  }
}

TEST_CASE("two methods of one model share functions of its weights") {
  const Model model = small_vgg();
  const Explainer first(model, "lrp.z_plus");
  (void)first.run(picture());
  const SharedConstants before = shared_constants(model.graph());
  CHECK(before.folds > 0);
  const Explainer second(model, "lrp.z_plus:epsilon=0.001");
  (void)second.run(picture());
  CHECK(shared_constants(model.graph()).folds == before.folds);
  CHECK(shared_constants(model.graph()).packs == before.packs);
  CHECK(shared_constants(model.graph()).checks == before.checks);
}
