// Programs with sample loops, made by hand: nesting, shared bodies, stacking, and what is refused. Random
// numbers and the batch.
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <numbers>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/ops/random.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "ops/normal_pairs.hpp"

using namespace rulegrad;

namespace {

Expr index(Graph& graph, std::int64_t depth, std::int64_t count) {
  return graph.apply(op("cast"), {graph.make(sample_index_schema(), {}, SampleIndexAttributes{depth, count})},
                     CastAttributes{graph.real()});
}
Expr reduce(Expr x, SampleReduction kind, std::int64_t depth, std::int64_t count) {
  return x.graph().make(reduce_samples_schema(), {x}, ReduceSamplesAttributes{kind, depth, count});
}

}  // namespace

TEST_CASE("loops nest, and a value between them is known to both") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr i = index(graph, 0, 3), j = index(graph, 1, 4);
  // sum_i (x + i) * mean_j (x + i) * j + i = sum_i (x + i)^2 * 1.5 + i
  const Expr outer = x + i;
  const Expr inner = reduce(outer * j, SampleReduction::mean, 1, 4);
  CHECK(inner.loops() == 1);
  CHECK(inner.shape().sampled());
  const Expr total = reduce(outer * inner + i, SampleReduction::sum, 0, 3);
  CHECK(total.loops() == 0);
  CHECK(!total.shape().sampled());
  // The variance over the outer loop reads a mean over the same loop: a second pass.
  const Expr mean = reduce(outer, SampleReduction::mean, 0, 3);
  const Expr spread = reduce((outer - mean) * (outer - mean), SampleReduction::mean, 0, 3);
  const Expr direct = reduce(outer, SampleReduction::var, 0, 3);
  const std::vector<Expr> outputs{total,
                                  spread,
                                  direct,
                                  reduce(outer, SampleReduction::max, 0, 3),
                                  reduce(outer, SampleReduction::stack, 0, 3),
                                  x + mean};
  for (const std::int64_t at_once : {0, 1, 2}) {
    const Program program = Program::compile(outputs, {.samples_at_once = at_once});
    const auto results = program.run({{"x", Tensor({1, 2}, {0.5, -2.0})}});
    for (std::int64_t k = 0; k < 2; ++k) {
      const double v = k == 0 ? 0.5 : -2.0;
      CHECK(results[0].at(k) == doctest::Approx(1.5 * (v * v + (v + 1) * (v + 1) + (v + 2) * (v + 2)) + 3));
      CHECK(results[1].at(k) == doctest::Approx(2.0 / 3));
      CHECK(results[2].at(k) == doctest::Approx(2.0 / 3));
      CHECK(results[3].at(k) == v + 2);
      CHECK(results[5].at(k) == doctest::Approx(2 * v + 1));
    }
    CHECK(results[4].dims() == Dims{3, 1, 2});
    CHECK(results[4].at(4) == 2.5);
  }
}

TEST_CASE("variances do not cancel") {
  Graph graph(DType::float32);
  const Expr x = graph.input("x", {DType::float32, Shape{B}});
  const Expr v = reduce(x + index(graph, 0, 5), SampleReduction::var, 0, 5);
  CHECK(evaluate(std::span(&v, 1), {{"x", Tensor({1}, {100000.F})}}).at(0).at(0) == doctest::Approx(2));
}

TEST_CASE("a value with samples left over is refused, and so are inputs with samples of their own") {
  Graph graph(DType::float64);
  const Expr open = index(graph, 0, 3);
  CHECK_THROWS_WITH_AS((void)Program::compile(std::span(&open, 1)),
                       doctest::Contains("reduce it over the loop"), Error);
  const Expr free = graph.input("s", {DType::float64, Shape{B}.with_samples(true)});
  const Expr both = reduce(free * open, SampleReduction::sum, 0, 3);
  const Expr closed = reduce(both, SampleReduction::sum, 0, 3);
  CHECK_THROWS_AS((void)Program::compile(std::span(&closed, 1)), Error);
  CHECK_THROWS_WITH_AS((void)index(graph, 99, 3), doctest::Contains("depth"), Error);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 2}});
  const Expr ok = reduce(x * open, SampleReduction::sum, 0, 3);
  CHECK_THROWS_WITH_AS((void)evaluate(std::span(&ok, 1), {{"x", Tensor({2}, {1.0, 2.0})}}),
                       doctest::Contains("[input 'x']"), Error);
  CHECK_THROWS_WITH_AS((void)evaluate(std::span(&ok, 1), {{"x", Tensor({1, 2}, {1.0, std::nan("")})}}),
                       doctest::Contains("[input 'x'] holds nan"), Error);
}

TEST_CASE("Philox gives the known answers") {
  // The vectors that its authors publish with it (Random123, kat_vectors, philox4x32 10).
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}) ==
        std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<std::uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("random numbers have the moments of their distribution and differ from place to place") {
  double sum = 0, squares = 0, fourth = 0, uniform = 0, lag = 0, before = 0;
  constexpr std::int64_t count = 200000;
  for (std::int64_t i = 0; i < count; ++i) {
    const double v = normal_at({.key = 1, .sample = i % 7, .row = i % 11, .element = i});
    sum += v;
    squares += v * v;
    fourth += v * v * v * v;
    lag += v * before;
    before = v;
    const double u = uniform_at({.key = 1, .element = i});
    CHECK((u >= 0 && u < 1));
    uniform += u;
  }
  CHECK(std::abs(sum / count) < 0.01);
  CHECK(squares / count == doctest::Approx(1).epsilon(0.02));
  CHECK(fourth / count == doctest::Approx(3).epsilon(0.05));
  CHECK(std::abs(lag / count) < 0.01);
  CHECK(uniform / count == doctest::Approx(0.5).epsilon(0.01));
  const RandomPlace place{.key = 3, .stream = 1, .sample = 4, .row = 5, .element = 8};
  for (RandomPlace other :
       {RandomPlace{4, 1, 4, 5, 8}, RandomPlace{3, 0, 4, 5, 8}, RandomPlace{3, 1, 0, 5, 8},
        RandomPlace{3, 1, 4, 6, 8}, RandomPlace{3, 1, 4, 5, 9}})
    CHECK(normal_at(place) != normal_at(other));
  CHECK(normal_at(place) == normal_at(RandomPlace(place)));
}

TEST_CASE("normal numbers are the Box-Muller transform of the generator's bits") {
  const auto unit = [](std::uint32_t high, std::uint32_t low) {
    return static_cast<long double>((std::uint64_t{high} << 32 | low) >> 11) * 0x1p-53L;
  };
  constexpr long double pi = std::numbers::pi_v<long double>;
  double worst = 0;
  for (std::int64_t pair = 0; pair < 100000; ++pair) {
    const auto b = philox({static_cast<std::uint32_t>(pair), 2, 7, 1U << 8}, {11, 4});
    const long double radius = std::sqrt(-2 * std::log(1 - unit(b[0], b[1]))),
                      angle = 2 * pi * unit(b[2], b[3]);
    const RandomPlace place{.key = 11, .stream = 4, .sample = 7, .row = 2, .element = 2 * pair};
    RandomPlace next = place;
    ++next.element;
    worst = std::max(worst, static_cast<double>(std::abs(normal_at(place) - radius * std::cos(angle))));
    worst = std::max(worst, static_cast<double>(std::abs(normal_at(next) - radius * std::sin(angle))));
  }
  CHECK(worst < 2e-15);  // of numbers up to 5 or so, whose last place is 9e-16
}

TEST_CASE("logarithm, sine and cosine of normal numbers hold to their bounds") {
  const auto places = [](double found, long double wanted) {
    int exponent = 0;
    (void)std::frexp(static_cast<double>(wanted), &exponent);
    return static_cast<double>(std::abs((found - wanted) / std::ldexp(1.0L, exponent - 53)));
  };
  CHECK(random::radius(1) == 0);
  const auto check = [&](double u) {
    if (u > 0)
      CHECK(places(random::radius(1 - u), std::sqrt(-2 * std::log(1 - static_cast<long double>(u)))) < 2);
    const auto [cosine, sine] = random::circle(u);
    // The nearest quarter of the circle, and what is left of it: both exact.
    const long double quarters = 4 * static_cast<long double>(u), n = std::nearbyint(quarters),
                      r = (quarters - n) * std::numbers::pi_v<long double> / 2;
    const int quarter = static_cast<int>(n) % 4;
    const long double c[] = {std::cos(r), -std::sin(r), -std::cos(r), std::sin(r)};
    const long double s[] = {std::sin(r), std::cos(r), -std::sin(r), -std::cos(r)};
    if (c[quarter] != 0) CHECK(places(cosine, c[quarter]) < 2);
    if (s[quarter] != 0) CHECK(places(sine, s[quarter]) < 2);
    CHECK((c[quarter] != 0 || cosine == 0));
    CHECK((s[quarter] != 0 || sine == 0));
  };
  // Both ends, both sides of every eighth of the circle, and of the square roots of 1/2 where the logarithm's
  // parts change.
  for (int k = 0; k < 200; ++k) {
    check(k * 0x1p-53);
    check(1 - (k + 1) * 0x1p-53);
    check(1 - std::sqrt(0.5) + (k - 100) * 0x1p-53);
    for (int eighth = 1; eighth < 8; ++eighth) check(eighth * 0.125 + (k - 100) * 0x1p-53);
  }
  for (std::int64_t k = 0; k < 20000; ++k) check(uniform_at({.key = 2, .element = k}));
}

TEST_CASE("normal numbers have the same bits on every machine") {
  // Recorded with vectors of 128, 256 and 512 bits alike; a machine that multiplies and adds in one step, or
  // whose library has another logarithm, shows here.
  std::uint64_t hash = 0xcbf29ce484222325U;  // FNV-1a
  for (std::int64_t k = 0; k < 4096; ++k) {
    std::uint64_t bits =
        std::bit_cast<std::uint64_t>(normal_at({.key = 6, .sample = k % 3, .row = 1, .element = k}));
    for (int byte = 0; byte < 8; ++byte, bits >>= 8) hash = (hash ^ (bits & 0xff)) * 0x100000001b3U;
  }
  CHECK(hash == 0xb98a38bb9647b60aU);
  // Long and short rows of a program, in chunks and with odd beginnings, are those numbers.
  for (const std::int64_t width : {1, 7, 61, 4999}) {
    Graph graph(DType::float32);
    const Expr x = graph.input("x", {DType::float32, Shape{B, width}});
    const Expr row = graph.make(batch_index_schema(), {}, BatchIndexAttributes{Shape{B}});
    const Expr sample = graph.constant(Tensor::scalar(DType::int64, 2));
    const Expr y = x + graph.apply(op("random_normal"), {row, sample},
                                   RandomAttributes{6, 0, DType::float32, Shape{B, width}});
    const Tensor found = evaluate(std::span(&y, 1), {{"x", Tensor(DType::float32, {5, width})}}).at(0);
    bool same = true;
    for (std::int64_t i = 0; i < 5 * width; ++i)
      same = same && found.values<float>()[static_cast<std::size_t>(i)] ==
                         static_cast<float>(
                             normal_at({.key = 6, .sample = 2, .row = i / width, .element = i % width}));
    CHECK(same);
  }
}

TEST_CASE("numbers that are drawn in a run are those of their places") {
  for (const std::int64_t first : {0, 1, 2, 7, 1000001})
    for (std::size_t count = 0; count < 20; ++count) {
      const RandomPlace place{.key = 5, .stream = 1, .sample = 2, .row = 3, .element = first};
      std::vector<double> run(count);
      normals_at(place, run);
      for (std::size_t i = 0; i < count; ++i) {
        RandomPlace one = place;
        one.element = first + static_cast<std::int64_t>(i);
        CHECK(run[i] == normal_at(one));
      }
    }
}

TEST_CASE("random operators are the generator at their place, whatever the batch offset cuts") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 3}});
  const Expr row = graph.make(batch_index_schema(), {}, BatchIndexAttributes{Shape{B}});
  const Expr sample = graph.make(sample_index_schema(), {}, SampleIndexAttributes{0, 4});
  const Expr noise =
      graph.apply(op("random_normal"), {row, sample}, RandomAttributes{9, 2, DType::float64, Shape{B, 3}});
  const Expr all = reduce(x + noise, SampleReduction::stack, 0, 4);
  const Tensor whole = evaluate(std::span(&all, 1), {{"x", Tensor(DType::float64, {5, 3})}}).at(0);
  for (std::int64_t s = 0; s < 4; ++s)
    for (std::int64_t r = 0; r < 5; ++r)
      for (std::int64_t e = 0; e < 3; ++e)
        CHECK(whole.at((s * 5 + r) * 3 + e) ==
              normal_at({.key = 9, .stream = 2, .sample = s, .row = r, .element = e}));
  const Tensor part = Program::compile(std::span(&all, 1))
                          .run({{"x", Tensor(DType::float64, {2, 3})}}, {.batch_offset = 3})
                          .at(0);
  CHECK(part.at(0) == whole.at(3 * 3));
}

TEST_CASE("what mixes the entries of a batch is found and named") {
  Graph graph(DType::float32);
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4, 6, 6}});
  const auto w = [&](Dims dims) { return graph.constant(Tensor(DType::float32, std::move(dims))); };
  const Expr h = relu(conv(x, w({3, 4, 3, 3})));
  const Expr flat = flatten(h);
  const Expr scores = softmax(dense(flat, w({5, 48})), 1);
  const auto mixing = [](Expr e) { return first_mixing(std::span(&e, 1)); };
  CHECK(!mixing(scores));
  // Batch and places merged, rows multiplied, and taken apart again.
  const Expr rows = dense(reshape(transpose(h, {0, 2, 3, 1}), Shape{Dim(16, true), 3}), w({7, 3}));
  CHECK(!mixing(reshape(rows, Shape{B, 4, 4, 7})));
  // The batch behind the places, as in recurrent networks.
  const Expr sequence = transpose(reshape(rows, Shape{B, 16, 7}), {1, 0, 2});
  CHECK(!mixing(reshape(dense(reshape(sequence, Shape{Dim(16, true), 7}), w({2, 7})), Shape{16, B, 2})));
  CHECK(!mixing(sum(sequence, {0})));
  CHECK(mixing(sum(flat, {0})) == sum(flat, {0}));
  CHECK(mixing(flat - mean(flat, {0}, true)) == mean(flat, {0}, true));
  CHECK(mixing(matmul(flat, transpose(flat, {1, 0}))).has_value());
  const Expr tangled = reshape(sequence, Shape{B, 16, 7});
  CHECK(mixing(tangled + reshape(rows, Shape{B, 16, 7})).has_value());
}
