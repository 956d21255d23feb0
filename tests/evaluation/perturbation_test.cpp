// Curves against closed forms of a linear score, and against plain loops over pictures.
#include "rulegrad/evaluation/perturbation.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <random>

#include "rulegrad/api/network.hpp"
#include "rulegrad/evaluation/fill.hpp"
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

/// One score, w x + b.
ScoreFunction linear(Values w, double b) {
  return [w, b](const Tensor& x) {
    Tensor scores(DType::float64, {x.dims()[0], 1});
    for (std::size_t sample = 0; sample < static_cast<std::size_t>(x.dims()[0]); ++sample) {
      double sum = b;
      for (std::size_t i = 0; i < w.size(); ++i)
        sum += w[i] * x.at(static_cast<std::int64_t>(sample * w.size() + i));
      scores.mutable_values<double>()[sample] = sum;
    }
    return scores;
  };
}

void check_close(const Values& found, const Values& expected) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    CHECK(found[i] == doctest::Approx(expected[i]).epsilon(1e-12));
}

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("curves of a linear score are the sums of its contributions, and their areas are known") {
  // Contributions w x: 2, 4, 1, 3; bias 5.
  const ScoreFunction f = linear({2, -1, 0.5, 3}, 5);
  const Tensor x({1, 4}, {1.0, -4.0, 2.0, 1.0}), contributions({1, 4}, {2.0, 4.0, 1.0, 3.0}),
      zero(DType::float64, {1, 4});
  const Regions regions({4}, 1);
  const auto orders = most_relevant_first(contributions, regions);
  CHECK(orders == std::vector<std::vector<std::int64_t>>{{1, 3, 0, 2}});
  const std::vector<std::int64_t> target{0};

  const PerturbationCurve morf = perturbation_curve(f, x, zero, regions, orders, target);
  check_close(morf.fractions, {0, 0.25, 0.5, 0.75, 1});
  check_close(morf.mean(), {15, 11, 8, 6, 5});
  CHECK(area_over_curve(morf.mean()) == doctest::Approx((0 + 4 + 7 + 9 + 10) / 5.0));
  CHECK(area_under_curve(morf.fractions, morf.mean()) == doctest::Approx((13 + 9.5 + 7 + 5.5) / 4));

  const PerturbationCurve lerf = perturbation_curve(f, x, zero, regions, reversed(orders), target);
  check_close(lerf.mean(), {15, 14, 12, 9, 5});
  const PerturbationCurve insertion = perturbation_curve(f, zero, x, regions, orders, target);
  check_close(insertion.mean(), {5, 9, 12, 14, 15});

  SUBCASE("fewer steps and a part of the regions") {
    const PerturbationCurve coarse = perturbation_curve(f, x, zero, regions, orders, target, {.steps = 2});
    check_close(coarse.fractions, {0, 0.5, 1});
    check_close(coarse.mean(), {15, 8, 5});
    const PerturbationCurve half = perturbation_curve(f, x, zero, regions, orders, target, {.until = 0.5});
    check_close(half.fractions, {0, 0.25, 0.5});
    CHECK(area_under_curve(half.fractions, half.mean()) == doctest::Approx((13 + 9.5) / 2));
    CHECK(steps_of({}, 4) == 4);
    CHECK(steps_of({}, 500) == 32);
    CHECK(steps_of({.until = 0.02}, 500) == 10);
  }
}

TEST_CASE("each sample is perturbed in its own order and scored for its own target") {
  const auto f = [](const Tensor& x) { return x; };  // as many scores as features
  const Tensor x({2, 3}, {1.0, 2.0, 3.0, 4.0, 5.0, 6.0}), fill = Tensor::full(DType::float64, {2, 3}, -1);
  const std::vector<std::vector<std::int64_t>> orders{{0, 1, 2}, {2, 1, 0}};
  const std::vector<std::int64_t> targets{1, 2};
  const PerturbationCurve curve = perturbation_curve(f, x, fill, Regions({3}, 1), orders, targets);
  CHECK(identical(curve.scores, Tensor({2, 4}, {2.0, 2.0, -1.0, -1.0, 6.0, -1.0, -1.0, -1.0})));
  check_close(curve.mean(), {4, 0.5, -1, -1});
}

TEST_CASE("equal regions keep their row-major order, and the other way round is the exact reverse") {
  const Tensor flat = Tensor::full(DType::float32, {1, 1, 4, 4}, 1);
  const auto orders = most_relevant_first(flat, Regions({1, 4, 4}, 2));
  CHECK(orders == std::vector<std::vector<std::int64_t>>{{0, 1, 2, 3}});
  CHECK(reversed(orders) == std::vector<std::vector<std::int64_t>>{{3, 2, 1, 0}});
}

TEST_CASE("regions of pictures hold all channels of a block, cut off at the border, in both layouts") {
  for (const io::Layout layout : {io::Layout::nchw, io::Layout::nhwc}) {
    const bool first = layout == io::Layout::nchw;
    const std::int64_t c = 2, h = 5, w = 4, size = 2, columns = 2;
    const Tensor relevance = random_tensor(first ? Dims{3, c, h, w} : Dims{3, h, w, c}, 3);
    const Regions regions(first ? Dims{c, h, w} : Dims{h, w, c}, size, layout);
    REQUIRE(regions.count() == 6);
    for (std::int64_t sample = 0; sample < 3; ++sample) {
      Values sums(6);
      for (std::int64_t y = 0; y < h; ++y)
        for (std::int64_t x = 0; x < w; ++x)
          for (std::int64_t k = 0; k < c; ++k)
            sums[static_cast<std::size_t>(y / size * columns + x / size)] +=
                relevance.at(sample * c * h * w + (first ? (k * h + y) * w + x : (y * w + x) * c + k));
      const auto order = most_relevant_first(relevance, regions)[static_cast<std::size_t>(sample)];
      for (std::size_t i = 1; i < order.size(); ++i)
        CHECK(sums[static_cast<std::size_t>(order[i - 1])] >= sums[static_cast<std::size_t>(order[i])]);
    }
  }
  CHECK(Regions({3, 7}, 3).count() == 3);  // a signal of three channels
}

TEST_CASE(
    "a network's scores do not depend on how samples are batched, and the curve is that of plain "
    "re-evaluation") {
  const Model model =
      Sequential({B, 1, 4, 4}, DType::float64).conv(3, {3, 3}).relu().flatten().dense(4).softmax().finish();
  const Tensor x = random_tensor({5, 1, 4, 4}, 1), relevance = random_tensor({5, 1, 4, 4}, 2);
  const ScoreFunction two = scores_of(model, ScoreKind::probability, {.batch_size = 2}),
                      all = scores_of(model, ScoreKind::probability, {.batch_size = 5});
  const Tensor a = two(x), b = all(x);
  REQUIRE(a.dims() == Dims{5, 4});
  for (std::int64_t i = 0; i < a.size(); ++i) CHECK(a.at(i) == doctest::Approx(b.at(i)).epsilon(1e-12));

  const Regions regions({1, 4, 4}, 2);
  const std::vector<std::int64_t> targets{0, 1, 2, 3, 0};
  const Tensor fill = filled(x, Fill{});
  const PerturbationCurve curve =
      perturbation_curve(two, x, fill, regions, most_relevant_first(relevance, regions), targets);
  for (std::int64_t sample = 0; sample < 5; ++sample) {
    std::vector<bool> gone(4);
    for (std::int64_t step = 0; step <= 4; ++step) {
      Tensor picture(DType::float64, {1, 1, 4, 4});
      for (std::int64_t i = 0; i < 16; ++i)
        picture.mutable_values<double>()[static_cast<std::size_t>(i)] =
            gone[static_cast<std::size_t>(i / 8 * 2 + i % 4 / 2)] ? 0 : x.at(sample * 16 + i);
      CHECK(curve.scores.at(sample * 5 + step) ==
            doctest::Approx(all(picture).at(targets[static_cast<std::size_t>(sample)])).epsilon(1e-12));
      double best = -1e300;
      std::size_t next = 0;
      for (std::size_t r = 0; r < 4 && step < 4; ++r) {
        double sum = 0;
        for (std::int64_t i = 0; i < 16; ++i)
          if (static_cast<std::size_t>(i / 8 * 2 + i % 4 / 2) == r) sum += relevance.at(sample * 16 + i);
        if (!gone[r] && sum > best) {
          best = sum;
          next = r;
        }
      }
      gone[next] = true;
    }
  }
}

TEST_CASE("probabilities are what lies behind the head, or the softmax of scores that have none") {
  const Tensor x = random_tensor({3, 4}, 5);
  const Tensor w = random_tensor({2, 4}, 6), one = random_tensor({1, 4}, 7);
  const Model with = Sequential({B, 4}, DType::float64).dense(w).softmax().finish(),
              without = Sequential({B, 4}, DType::float64).dense(w).finish();
  const Tensor logits = scores_of(without, ScoreKind::logit)(x);
  for (const Model* model : {&with, &without}) {
    const Tensor p = scores_of(*model, ScoreKind::probability)(x), z = scores_of(*model, ScoreKind::logit)(x);
    for (std::int64_t i = 0; i < 3; ++i) {
      const double a = std::exp(logits.at(2 * i)), b = std::exp(logits.at(2 * i + 1));
      CHECK(p.at(2 * i) == doctest::Approx(a / (a + b)));
      CHECK(z.at(2 * i) == doctest::Approx(logits.at(2 * i)));
    }
  }
  const Model regression = Sequential({B, 4}, DType::float64).dense(one).finish(),
              binary = Sequential({B, 4}, DType::float64).dense(one).sigmoid().finish();
  // What no softmax or sigmoid ends is not called a probability, however many scores there are.
  CHECK(has_probability(with));
  CHECK(has_probability(binary));
  CHECK_FALSE(has_probability(without));
  CHECK_FALSE(has_probability(regression));
  CHECK(message_of([&] { (void)scores_of(regression, ScoreKind::probability); }).find("logit") !=
        std::string::npos);
  CHECK(scores_of(binary, ScoreKind::probability)(x).at(0) ==
        doctest::Approx(1 / (1 + std::exp(-scores_of(regression, ScoreKind::logit)(x).at(0)))));
}

TEST_CASE("fills are what they say") {
  const Tensor pictures = random_tensor({3, 2, 6, 5}, 8);
  SUBCASE("mean: of each channel over samples and positions") {
    const Tensor f = filled(pictures, Fill::parse("mean"));
    for (std::int64_t c = 0; c < 2; ++c) {
      double sum = 0;
      for (std::int64_t n = 0; n < 3; ++n)
        for (std::int64_t i = 0; i < 30; ++i) sum += pictures.at((n * 2 + c) * 30 + i);
      for (std::int64_t n = 0; n < 3; ++n) CHECK(f.at((n * 2 + c) * 30 + 7) == doctest::Approx(sum / 90));
    }
    const Tensor features({2, 2}, {1.0, 10.0, 3.0, 30.0});
    CHECK(identical(filled(features, Fill::parse("mean")), Tensor({2, 2}, {2.0, 20.0, 2.0, 20.0})));
  }
  SUBCASE("blur: a Gaussian over positions, channels apart, in both layouts") {
    const double sigma = 0.9;
    const Tensor f = filled(pictures, Fill::parse("blur:0.9"));
    Tensor last(DType::float64, {3, 6, 5, 2});
    for (std::int64_t n = 0; n < 3; ++n)
      for (std::int64_t c = 0; c < 2; ++c)
        for (std::int64_t i = 0; i < 30; ++i)
          last.mutable_values<double>()[static_cast<std::size_t>((n * 30 + i) * 2 + c)] =
              pictures.at((n * 2 + c) * 30 + i);
    const Tensor g = filled(last, Fill::parse("blur:0.9"), io::Layout::nhwc);
    for (std::int64_t n = 0; n < 3; ++n)
      for (std::int64_t c = 0; c < 2; ++c)
        for (std::int64_t y = 0; y < 6; ++y)
          for (std::int64_t x = 0; x < 5; ++x) {
            double sum = 0, weights = 0;
            for (std::int64_t dy = -3; dy <= 3; ++dy)
              for (std::int64_t dx = -3; dx <= 3; ++dx) {
                const double weight = std::exp(-static_cast<double>(dy * dy + dx * dx) / (2 * sigma * sigma));
                sum += weight * pictures.at(((n * 2 + c) * 6 + std::clamp<std::int64_t>(y + dy, 0, 5)) * 5 +
                                            std::clamp<std::int64_t>(x + dx, 0, 4));
                weights += weight;
              }
            CHECK(f.at(((n * 2 + c) * 6 + y) * 5 + x) == doctest::Approx(sum / weights));
            CHECK(g.at(((n * 6 + y) * 5 + x) * 2 + c) == doctest::Approx(sum / weights));
          }
  }
  SUBCASE("uniform: within the range of the samples or the one that is named, the same every time") {
    const Tensor f = filled(pictures, Fill::parse("uniform:2,3"));
    double least = 9, greatest = -9;
    for (std::int64_t i = 0; i < f.size(); ++i) {
      least = std::min(least, f.at(i));
      greatest = std::max(greatest, f.at(i));
    }
    CHECK(least >= 2);
    CHECK(least < 2.1);
    CHECK(greatest < 3);
    CHECK(greatest > 2.9);
    CHECK(identical(f, filled(pictures, Fill::parse("uniform:2,3"))));
    Fill other = Fill::parse("uniform:2,3");
    other.key = 1;
    CHECK_FALSE(identical(f, filled(pictures, other)));
    CHECK(to_string(Fill::parse("uniform:2,3")) == "uniform:2,3");
  }
  SUBCASE("what cannot be is told") {
    const auto says = [](const std::string& text) { return message_of([&] { (void)Fill::parse(text); }); };
    CHECK(says("blurr").find("did you mean 'blur'") != std::string::npos);
    CHECK(says("blur:-1").find("positive width") != std::string::npos);
    CHECK(says("uniform:3,1").find("uniform:-1,1") != std::string::npos);
    CHECK(message_of([] {
            (void)filled(Tensor(DType::float32, {2, 4}), Fill::parse("blur"));
          }).find("no images") != std::string::npos);
    CHECK(message_of([] {
            (void)filled(Tensor(DType::float32, {1, 4}), Fill::parse("mean"));
          }).find("more samples") != std::string::npos);
    CHECK(message_of([] {
            (void)filled(Tensor(DType::int64, {1, 4}), Fill{});
          }).find("int64") != std::string::npos);
  }
}

TEST_CASE("curves tell what does not fit") {
  const ScoreFunction f = linear({1, 1, 1}, 0);
  const Tensor x(DType::float64, {2, 3});
  const Regions regions({3}, 1);
  const std::vector<std::vector<std::int64_t>> orders{{0, 1, 2}, {0, 1, 2}};
  const std::vector<std::int64_t> targets{0, 0}, short_targets{0}, wrong{0, 1};
  const auto curve = [&](std::span<const std::int64_t> t, const CurveOptions& options) {
    return message_of([&] { (void)perturbation_curve(f, x, x, regions, orders, t, options); });
  };
  CHECK(curve(short_targets, {}).find("1 targets") != std::string::npos);
  CHECK(curve(wrong, {}).find("target 1 of sample 1 is out of range") != std::string::npos);
  CHECK(curve(targets, {.steps = 4}).find("choose 1 to 3 steps") != std::string::npos);
  CHECK(curve(targets, {.until = 0.1}).find("less than one") != std::string::npos);
  CHECK(curve(targets, {.until = 0}).find("(0, 1]") != std::string::npos);
  CHECK(message_of([] { (void)Regions({1, 4, 4}, 5); }).find("size of 1 to 4") != std::string::npos);
  CHECK(message_of([] { (void)Regions({1, 4, 4}, 0); }).find("size of 1 to 4") != std::string::npos);
  CHECK(message_of([&] {
          (void)most_relevant_first(Tensor(DType::float32, {2, 4}), regions);
        }).find("[2, 4]") != std::string::npos);
  CHECK(message_of([&] {
          (void)most_relevant_first(Tensor({1, 3}, {0.0, std::nan(""), 1.0}), regions);
        }).find("region 1 of sample 0") != std::string::npos);
}
