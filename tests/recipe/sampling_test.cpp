// Methods that run others many times, against plain loops over single samples.
#include <algorithm>
#include <array>
#include <doctest/doctest.h>

#include "rulegrad/ops/random.hpp"
#include "rulegrad/recipe/sampler.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Subject {
  Graph graph{DType::float64};
  Network net;
  Tensor x;
  explicit Subject(std::uint64_t seed, bool image = false, NetworkOptions options = {}) {
    NetworkMaker maker(graph, seed, options);
    net = image ? maker.cnn() : maker.mlp();
    x = maker.values(net.input_dims);
  }
  [[nodiscard]] Question question(std::int64_t target) {
    return question_for(net.output, {net.input}, fixed_target(graph, target));
  }
};

/// combine(sample of the batch, its values) for each sample, one below the other.
template <class F>
Tensor by_rows(const Tensor& x, F combine) {
  Tensor all(DType::float64, x.dims());
  const std::int64_t rows = x.dims()[0], each = x.size() / rows;
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::vector<double> values = combine(row, row_of(x, row));
    std::copy(values.begin(), values.end(), all.mutable_values<double>().begin() + row * each);
  }
  return all;
}

Tensor moved(const Tensor& x, const std::function<double(std::int64_t)>& value) {
  Tensor result = x;
  for (std::int64_t i = 0; i < x.size(); ++i)
    result.mutable_values<double>()[static_cast<std::size_t>(i)] = value(i);
  return result;
}

double range_of(const Tensor& x) {
  const auto values = x.values<double>();
  return *std::max_element(values.begin(), values.end()) - *std::min_element(values.begin(), values.end());
}

/// The gradients at the noisy copies of one sample.
std::vector<Tensor> noisy_gradients(const PlainNetwork& net, const Tensor& x, std::int64_t row,
                                    std::int64_t n, double noise, std::int64_t key) {
  std::vector<Tensor> result;
  for (std::int64_t s = 0; s < n; ++s)
    result.push_back(net.gradient(moved(x, [&](std::int64_t i) {
      return x.at(i) + noise * range_of(x) *
                           normal_at({.key = key, .stream = 0, .sample = s, .row = row, .element = i});
    })));
  return result;
}

}  // namespace

TEST_CASE("SmoothGrad, its square and VarGrad are plain loops over the same noise") {
  for (const bool image : {false, true}) {
    Subject subject(5, image);
    const PlainNetwork plain(subject.net.input, subject.net.output, 1);
    constexpr std::int64_t n = 7;
    const auto loop = [&](const std::function<double(const std::vector<double>&)>& combine) {
      return by_rows(subject.x, [&](std::int64_t row, const Tensor& x) {
        const auto gradients = noisy_gradients(plain, x, row, n, 0.2, 3);
        std::vector<double> result;
        for (std::int64_t i = 0; i < x.size(); ++i) {
          std::vector<double> values;
          for (const Tensor& gradient : gradients) values.push_back(gradient.at(i));
          result.push_back(combine(values));
        }
        return result;
      });
    };
    const auto mean = [](const std::vector<double>& values) {
      double sum = 0;
      for (const double v : values) sum += v;
      return sum / static_cast<double>(values.size());
    };
    const auto squares = [&](std::vector<double> values) {
      for (double& v : values) v *= v;
      return mean(values);
    };
    const auto variance = [&](std::vector<double> values) {
      const double middle = mean(values);
      for (double& v : values) v = (v - middle) * (v - middle);
      return mean(values);
    };
    const std::string arguments = ":n=7,noise=0.2,key=3";
    CHECK(distance(explain("smoothgrad" + arguments, subject.question(1), {{"x", subject.x}}), loop(mean)) <
          1e-12);
    CHECK(distance(explain("smoothgrad_squared" + arguments, subject.question(1), {{"x", subject.x}}),
                   loop(squares)) < 1e-12);
    CHECK(distance(explain("vargrad" + arguments, subject.question(1), {{"x", subject.x}}), loop(variance)) <
          1e-10);
  }
}

TEST_CASE("integrated gradients are plain sums over the points of each quadrature") {
  Subject subject(11, true);
  const PlainNetwork plain(subject.net.input, subject.net.output, 2);
  const std::vector<std::pair<std::string, Quadrature>> rules{{"midpoint", midpoint_rule(6)},
                                                              {"left", left_rule(6)},
                                                              {"right", right_rule(6)},
                                                              {"trapezoid", trapezoid_rule(6)},
                                                              {"gauss_legendre", gauss_legendre_rule(6)}};
  for (const auto& [name, points] : rules) {
    INFO(name);
    const Tensor expected = by_rows(subject.x, [&](std::int64_t, const Tensor& x) {
      std::vector<double> result(static_cast<std::size_t>(x.size()));
      for (std::size_t k = 0; k < points.nodes.size(); ++k) {
        const Tensor g =
            plain.gradient(moved(x, [&](std::int64_t i) { return 0.1 + points.nodes[k] * (x.at(i) - 0.1); }));
        for (std::int64_t i = 0; i < x.size(); ++i)
          result[static_cast<std::size_t>(i)] += points.weights[k] * g.at(i) * (x.at(i) - 0.1);
      }
      return result;
    });
    CHECK(distance(explain("integrated_gradients:steps=6,baseline=0.1,rule=" + name, subject.question(2),
                           {{"x", subject.x}}),
                   expected) < 1e-12);
  }
}

TEST_CASE("integrated gradients are complete at the rate of their quadrature") {
  // Smooth activations only: tanh in two layers.
  Graph graph(DType::float64);
  NetworkMaker maker(graph, 3, {});
  const Expr x = graph.input("x", {DType::float64, Shape{B, 5}});
  const auto weights = [&](Dims dims) { return graph.constant(maker.values(dims)); };
  const Expr h = graph.apply(op("tanh"), {graph.apply(op("dense"), {x, weights({6, 5}), weights({6})})});
  const Expr y = graph.apply(
      op("dense"), {graph.apply(op("tanh"), {graph.apply(op("dense"), {h, weights({4, 6}), weights({4})})}),
                    weights({2, 4}), weights({2})});
  const Tensor value = maker.values({1, 5});
  const PlainNetwork plain(x, y, 0);
  const double difference = plain.score(value) - plain.score(Tensor(DType::float64, {1, 5}));
  const auto error = [&](const std::string& rule, int steps) {
    const Tensor map = explain("integrated_gradients:steps=" + std::to_string(steps) + ",rule=" + rule,
                               question_for(y, {x}, fixed_target(graph, 0)), {{"x", value}});
    return std::abs(sum_of(map) - difference);
  };
  const auto rate = [&](const std::string& rule) { return std::log2(error(rule, 256) / error(rule, 512)); };
  CHECK(rate("left") == doctest::Approx(1).epsilon(0.1));
  CHECK(rate("right") == doctest::Approx(1).epsilon(0.1));
  CHECK(rate("midpoint") == doctest::Approx(2).epsilon(0.05));
  CHECK(rate("trapezoid") == doctest::Approx(2).epsilon(0.05));
  CHECK(error("gauss_legendre", 64) < 1e-12);
}

TEST_CASE("Gauss-Legendre is exact for polynomials of degree 2 n - 1 and its weights sum to 1") {
  for (const std::int64_t n : {1, 2, 5, 16, 64}) {
    const Quadrature rule = gauss_legendre_rule(n);
    double sum = 0;
    for (const double w : rule.weights) sum += w;
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
    for (std::int64_t degree = 0; degree < std::min<std::int64_t>(2 * n, 40); ++degree) {
      double integral = 0;
      for (std::size_t k = 0; k < rule.nodes.size(); ++k)
        integral += rule.weights[k] * std::pow(rule.nodes[k], static_cast<double>(degree));
      CHECK(integral == doctest::Approx(1 / static_cast<double>(degree + 1)).epsilon(1e-13));
    }
    CHECK(std::is_sorted(rule.nodes.begin(), rule.nodes.end()));
  }
}

TEST_CASE("expected gradients draw baselines and places as the generator says") {
  Subject subject(21);
  const PlainNetwork plain(subject.net.input, subject.net.output, 0);
  NetworkMaker maker(subject.graph, 99, {});
  Dims dims = subject.x.dims();
  dims[0] = 4;
  const Tensor baselines = maker.values(dims);
  Question question = subject.question(0);
  question.read_array = [&](const std::string& path) {
    CHECK(path == "train.npy");
    return baselines;
  };
  const Tensor expected = by_rows(subject.x, [&](std::int64_t row, const Tensor& x) {
    std::vector<double> result(static_cast<std::size_t>(x.size()));
    for (std::int64_t s = 0; s < 9; ++s) {
      const RandomPlace place{.key = 4, .stream = 0, .sample = s, .row = row, .element = 0};
      const Tensor b = row_of(baselines, index_at(place, 4));
      const double t = uniform_at(place);
      const Tensor g =
          plain.gradient(moved(x, [&](std::int64_t i) { return b.at(i) + t * (x.at(i) - b.at(i)); }));
      for (std::int64_t i = 0; i < x.size(); ++i)
        result[static_cast<std::size_t>(i)] += g.at(i) * (x.at(i) - b.at(i)) / 9;
    }
    return result;
  });
  CHECK(distance(explain("expected_gradients:baselines=train.npy,n=9,key=4", question, {{"x", subject.x}}),
                 expected) < 1e-12);

  // As an argument that is an array already, the same.
  AnalyzerCall call{.name = "expected_gradients",
                    .arguments = {{"baselines", baselines}, {"n", 9.0}, {"key", 4.0}}};
  const Analysis analysis = analyze(RuleLibrary::builtin(), call, subject.question(0));
  CHECK(distance(evaluate(analysis.attributions, {{"x", subject.x}}).at(0), expected) < 1e-12);
}

TEST_CASE("occlusion is a plain loop over windows, cut at the border, the mean where they overlap") {
  Subject subject(8, true);
  const PlainNetwork plain(subject.net.input, subject.net.output, 1);
  const std::int64_t channels = subject.x.dims()[1], extent = subject.x.dims()[2];
  for (const auto& [window, stride] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{3, 2}, {2, 2}, {4, 1}, {20, 20}}) {
    INFO(window, " by ", stride);
    const Tensor expected =
        by_rows(subject.x, [&, window = window, stride = stride](std::int64_t, const Tensor& x) {
          std::vector<double> sum(static_cast<std::size_t>(x.size())), count(sum.size());
          const std::int64_t positions = extent <= window ? 1 : (extent - window + stride - 1) / stride + 1;
          for (std::int64_t p = 0; p < positions; ++p)
            for (std::int64_t q = 0; q < positions; ++q) {
              const auto inside = [&](std::int64_t i) {
                const std::int64_t row = i / extent % extent, column = i % extent;
                return row >= p * stride && row < p * stride + window && column >= q * stride &&
                       column < q * stride + window;
              };
              const double loss =
                  plain.score(x) -
                  plain.score(moved(x, [&](std::int64_t i) { return inside(i) ? 0.5 : x.at(i); }));
              for (std::int64_t i = 0; i < channels * extent * extent; ++i)
                if (inside(i)) {
                  sum[static_cast<std::size_t>(i)] += loss;
                  count[static_cast<std::size_t>(i)] += 1;
                }
            }
          for (std::size_t i = 0; i < sum.size(); ++i) sum[i] /= count[i];
          return sum;
        });
    const std::string method =
        "occlusion:window=" + std::to_string(window) + ",stride=" + std::to_string(stride) + ",fill=0.5";
    CHECK(distance(explain(method, subject.question(1), {{"x", subject.x}}), expected) < 1e-11);
  }
}

TEST_CASE(
    "zennit.occlusion is a plain loop over kept windows that wrap around, over channels too where a number "
    "is given") {
  Subject subject(8, true);
  const PlainNetwork plain(subject.net.input, subject.net.output, 1);
  const std::array<std::int64_t, 3> extents{subject.x.dims()[1], subject.x.dims()[2], subject.x.dims()[3]};
  struct Case {
    std::string options;
    std::array<std::int64_t, 3> window, stride;
  };
  const std::int64_t c = extents[0], h = extents[1];
  for (const Case& test : std::vector<Case>{
           {"window=2,stride=2", {std::min<std::int64_t>(2, c), 2, 2}, {std::min<std::int64_t>(2, c), 2, 2}},
           {"window=[3,2],stride=[2,3]", {c, 3, 2}, {c, 2, 3}},
           {"window=[4],stride=[3]", {c, h, 4}, {c, h, 3}}}) {
    INFO(test.options);
    const Tensor expected = by_rows(subject.x, [&](std::int64_t, const Tensor& x) {
      std::vector<double> sum(static_cast<std::size_t>(x.size()));
      for (std::int64_t f = 0; f < extents[0]; f += test.stride[0])
        for (std::int64_t p = 0; p < extents[1]; p += test.stride[1])
          for (std::int64_t q = 0; q < extents[2]; q += test.stride[2]) {
            std::vector<bool> kept(sum.size());
            for (std::int64_t i = 0; i < test.window[0]; ++i)
              for (std::int64_t j = 0; j < test.window[1]; ++j)
                for (std::int64_t k = 0; k < test.window[2]; ++k)
                  kept[static_cast<std::size_t>(((f + i) % extents[0] * extents[1] + (p + j) % extents[1]) *
                                                    extents[2] +
                                                (q + k) % extents[2])] = true;
            const double score = plain.score(
                moved(x, [&](std::int64_t i) { return kept[static_cast<std::size_t>(i)] ? x.at(i) : 0.0; }));
            for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += kept[i] ? score : 0;
          }
      return sum;
    });
    CHECK(distance(explain("zennit.occlusion:" + test.options, subject.question(1), {{"x", subject.x}}),
                   expected) < 1e-11);
  }
}

TEST_CASE("any method can be wrapped, with arguments, and wrappers can be wrapped") {
  Subject subject(31, true, {.relu_only = true});
  const PlainNetwork plain(subject.net.input, subject.net.output, 1);
  const Inputs inputs{{"x", subject.x}};
  // The mean of input times gradient over noisy inputs is that of x_noisy * gradient.
  const Tensor expected = by_rows(subject.x, [&](std::int64_t row, const Tensor& x) {
    std::vector<double> result(static_cast<std::size_t>(x.size()));
    for (std::int64_t s = 0; s < 5; ++s) {
      const Tensor at = moved(x, [&](std::int64_t i) {
        return x.at(i) +
               0.1 * range_of(x) * normal_at({.key = 0, .stream = 0, .sample = s, .row = row, .element = i});
      });
      const Tensor g = plain.gradient(at);
      for (std::int64_t i = 0; i < x.size(); ++i)
        result[static_cast<std::size_t>(i)] += at.at(i) * g.at(i) / 5;
    }
    return result;
  });
  CHECK(distance(explain("smoothgrad:n=5,method=input_times_gradient", subject.question(1), inputs),
                 expected) < 1e-12);
  // Integrated gradients at each noisy copy: a loop within a loop.
  const Quadrature points = midpoint_rule(4);
  const Tensor nested = by_rows(subject.x, [&](std::int64_t row, const Tensor& x) {
    std::vector<double> result(static_cast<std::size_t>(x.size()));
    for (std::int64_t s = 0; s < 3; ++s) {
      const Tensor at = moved(x, [&](std::int64_t i) {
        return x.at(i) +
               0.1 * range_of(x) * normal_at({.key = 0, .stream = 0, .sample = s, .row = row, .element = i});
      });
      for (std::size_t k = 0; k < 4; ++k) {
        const Tensor g = plain.gradient(moved(x, [&](std::int64_t i) { return points.nodes[k] * at.at(i); }));
        for (std::int64_t i = 0; i < x.size(); ++i)
          result[static_cast<std::size_t>(i)] += points.weights[k] * g.at(i) * at.at(i) / 3;
      }
    }
    return result;
  });
  CHECK(distance(explain("smoothgrad:n=3,method=integrated_gradients(steps=4)", subject.question(1), inputs),
                 nested) < 1e-12);
  // Arguments of the inner method arrive: a larger epsilon gives another map.
  const Tensor small =
      explain("smoothgrad:n=2,method=lrp.epsilon(epsilon=1e-6)", subject.question(1), inputs);
  const Tensor large = explain("smoothgrad:n=2,method=lrp.epsilon(0.5)", subject.question(1), inputs);
  CHECK(distance(small, large) > 1e-3);
  CHECK(distance(explain("smoothgrad:n=1,noise=0,method=lrp.epsilon(0.5)", subject.question(1), inputs),
                 explain("lrp.epsilon:epsilon=0.5", subject.question(1), inputs)) < 1e-14);
}

TEST_CASE("the target is resolved once, on the user's own input") {
  // With strong noise the largest score changes from copy to copy; the explained one must not.
  Subject subject(17);
  const Tensor own = explain("smoothgrad:n=20,noise=2", question_for(subject.net.output, {subject.net.input}),
                             {{"x", subject.x}});
  const Tensor scores = evaluate(std::span(&subject.net.output, 1), {{"x", subject.x}}).at(0);
  std::vector<std::int64_t> largest;
  for (std::int64_t row = 0; row < 2; ++row) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < 3; ++k)
      if (scores.at(row * 3 + k) > scores.at(row * 3 + best)) best = k;
    largest.push_back(best);
  }
  const Expr target = subject.graph.constant(Tensor({2}, std::span<const std::int64_t>(largest)));
  Subject fixed(17);
  const Tensor expected =
      explain("smoothgrad:n=20,noise=2",
              question_for(fixed.net.output, {fixed.net.input},
                           fixed.graph.input("target", {DType::int64, Shape{B}})),
              {{"x", fixed.x}, {"target", Tensor({2}, std::span<const std::int64_t>(largest))}});
  CHECK(identical(own, expected));
  (void)target;
}

TEST_CASE("results depend neither on how samples are cut nor on threads nor on how the batch is cut") {
  Subject subject(41, true);
  const Inputs inputs{{"x", subject.x}};
  for (const std::string method :
       {"smoothgrad:n=10", "vargrad:n=10", "integrated_gradients:steps=10", "occlusion:window=3,stride=2",
        "smoothgrad:n=4,method=integrated_gradients(steps=5)", "random"}) {
    INFO(method);
    const Tensor all = explain(method, subject.question(1), inputs);
    for (const std::int64_t chunk : {1, 3, 10})
      CHECK(distance(explain(method, subject.question(1), inputs, {.samples_at_once = chunk}), all) < 1e-13);
    CHECK(identical(explain(method, subject.question(1), inputs, {.memory = 1}),
                    explain(method, subject.question(1), inputs, {.samples_at_once = 1})));
    CHECK(identical(
        explain(method, subject.question(1), inputs, {.little_on_one_thread = false}, {.threads = 1}),
        explain(method, subject.question(1), inputs, {.little_on_one_thread = false}, {.threads = 3})));
    const Tensor second =
        explain(method, subject.question(1), {{"x", row_of(subject.x, 1)}}, {}, {.batch_offset = 1});
    CHECK(distance(second, row_of(all, 1)) < 1e-13);
  }
}

TEST_CASE(
    "what does not depend on a sample is computed once, and the budget decides how many samples run "
    "together") {
  Subject subject(41, true);
  const Analysis analysis =
      analyze(RuleLibrary::builtin(), AnalyzerCall::parse("smoothgrad:n=40"), subject.question(1));
  const Program roomy = Program::compile(analysis.attributions),
                tight = Program::compile(analysis.attributions, {.memory = 100000});
  CHECK(roomy.stats({2, 1}).samples_at_once == std::vector<std::int64_t>{40});
  const ProgramStats stats = tight.stats({2, 1});
  REQUIRE(stats.samples_at_once.size() == 1);
  CHECK(stats.samples_at_once[0] >= 1);
  CHECK(stats.samples_at_once[0] < 40);
  CHECK(stats.arena_bytes <= 100000);
  const std::string text = tight.print({2, 1});
  const std::size_t loop = text.find("loop over 40 samples");
  REQUIRE(loop != std::string::npos);
  CHECK(text.find("amax") < loop);
}
