// Measures of attributions against values worked out by hand and against plain loops.
#include "rulegrad/evaluation/measures.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <limits>
#include <string>

#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

std::string message_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

double spearman(std::vector<double> a, std::vector<double> b) {
  return rank_correlation(a, b);
}

}  // namespace

TEST_CASE("the Gini index of known maps") {
  const auto gini = [](std::initializer_list<double> values) {
    return gini_index(Tensor({1, static_cast<std::int64_t>(values.size())}, values))[0];
  };
  CHECK(gini({3, 3, 3, 3}) == doctest::Approx(0));
  CHECK(gini({0, 0, 7, 0}) == doctest::Approx(0.75));
  CHECK(gini({0, 0, -7, 0}) == doctest::Approx(0.75));
  CHECK(gini({1, 2, 3, 4}) ==
        doctest::Approx(0.25));  // the mean absolute difference over twice the mean: 20/16 / 5
  CHECK(gini({-4, 1, -3, 2}) == doctest::Approx(0.25));
  CHECK(gini({0, 0, 0}) == 0);
  // A sample each, and the other definition: mean |a - b| / (2 mean).
  const Tensor maps({2, 2, 2}, {0.5, -2.0, 0.0, 1.5, 1.0, 1.0, 1.0, 5.0});
  const auto found = gini_index(maps);
  REQUIRE(found.size() == 2);
  for (std::int64_t sample = 0; sample < 2; ++sample) {
    double differences = 0, sum = 0;
    for (std::int64_t i = 0; i < 4; ++i) {
      sum += std::abs(maps.at(sample * 4 + i));
      for (std::int64_t k = 0; k < 4; ++k)
        differences += std::abs(std::abs(maps.at(sample * 4 + i)) - std::abs(maps.at(sample * 4 + k)));
    }
    CHECK(found[static_cast<std::size_t>(sample)] == doctest::Approx(differences / 16 / (2 * sum / 4)));
  }
}

TEST_CASE("the completeness error is what the sum misses") {
  const Tensor maps({2, 3}, {1.0, 2.0, -1.0, 0.5, 0.25, 0.25});
  const std::vector<double> scores{5, 1.5}, baseline{2, 0.5};
  const auto error = completeness_error(maps, scores, baseline);
  CHECK(error[0] == doctest::Approx(1));  // 2 against 3
  CHECK(error[1] == doctest::Approx(0));
  CHECK(message_of([&] {
          (void)completeness_error(maps, std::vector<double>{1}, baseline);
        }).find("one for each sample") != std::string::npos);
}

TEST_CASE(
    "max-sensitivity of a linear score's gradient is 0, of its gradient times input at most |w| times the "
    "radius") {
  const std::vector<double> w{1, -2, 3};
  const Tensor x({2, 3}, {1.0, 1.0, 1.0, 0.0, 5.0, -1.0});
  const ExplainFunction gradient = [&](const Tensor& s) {
    Tensor result(DType::float64, s.dims());
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.size()); ++i)
      result.mutable_values<double>()[i] = w[i % 3];
    return result;
  };
  for (const double value : max_sensitivity(gradient, x)) CHECK(value == 0);

  const ExplainFunction times_input = [&](const Tensor& s) {
    Tensor result(DType::float64, s.dims());
    for (std::size_t i = 0; i < static_cast<std::size_t>(s.size()); ++i)
      result.mutable_values<double>()[i] = w[i % 3] * s.at(static_cast<std::int64_t>(i));
    return result;
  };
  const double radius = 0.1, norm = std::sqrt(1 + 4 + 9);
  const auto few = max_sensitivity(times_input, x, {.radius = radius, .draws = 3, .relative = false});
  const auto many = max_sensitivity(times_input, x, {.radius = radius, .draws = 400, .relative = false});
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(few[i] <= many[i]);  // the first draws are the same
    CHECK(many[i] <= radius * norm);
    CHECK(many[i] > 0.85 * radius * norm);
  }
  const auto relative = max_sensitivity(times_input, x, {.radius = radius, .draws = 400});
  CHECK(relative[0] == doctest::Approx(many[0] / norm));
  CHECK(relative[1] == doctest::Approx(many[1] / std::sqrt(100 + 9)));
  // The radius that is not given is a fiftieth of the range, here 6.
  CHECK(max_sensitivity(times_input, x, {.draws = 5, .relative = false})[0] ==
        doctest::Approx(max_sensitivity(times_input, x, {.radius = 0.12, .draws = 5, .relative = false})[0]));

  const ExplainFunction zero = [](const Tensor& s) { return Tensor(DType::float64, s.dims()); };
  CHECK(max_sensitivity(zero, x)[0] == 0);
  CHECK(message_of([&] { (void)max_sensitivity(gradient, x, {.radius = -1}); }).find("positive radius") !=
        std::string::npos);
  CHECK(message_of([&] { (void)max_sensitivity(gradient, x, {.draws = 0}); }).find("one draw") !=
        std::string::npos);
}

TEST_CASE("Spearman's rank correlation, with and without ties") {
  CHECK(spearman({1, 2, 3, 4}, {10, 20, 30, 1000}) == doctest::Approx(1));
  CHECK(spearman({1, 2, 3, 4}, {4, 3, 2, 1}) == doctest::Approx(-1));
  CHECK(spearman({1, 2, 3, 4, 5}, {2, 1, 4, 3, 5}) == doctest::Approx(1 - 6.0 * 4 / (5 * 24)));
  // Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: 4.5 / sqrt(4.5 * 5).
  CHECK(spearman({1, 2, 2, 3}, {1, 2, 3, 4}) == doctest::Approx(4.5 / std::sqrt(4.5 * 5)));
  // Ranks 1.5, 1.5, 3.5, 3.5 and 2.5, 1, 2.5, 4.
  CHECK(spearman({0, 0, 1, 1}, {5, 2, 5, 9}) == doctest::Approx(3.0 / std::sqrt(4 * 4.5)));
  CHECK(spearman({1, 1, 1}, {1, 2, 3}) == 0);
  CHECK(message_of([] { (void)spearman({1, 2}, {1}); }).find("2 values") != std::string::npos);
}

TEST_CASE("precision against a true mask counts the largest magnitudes inside of it") {
  const Tensor mask({2, 2}, {true, false, true, false});
  const Tensor maps({3, 2, 2}, {-9.0, 1.0, 8.0, 2.0, 9.0, 8.0, 1.0, 2.0, 0.0, 3.0, 0.0, 4.0});
  const auto found = mask_precision(maps, mask);
  CHECK(found[0] == 1);
  CHECK(found[1] == 0.5);
  CHECK(found[2] == 0);
  // One place is left for three equal magnitudes, two of which lie inside: an expectation of 2/3 of a hit.
  const Tensor tied({1, 4}, {1.0, 5.0, 1.0, 1.0});
  CHECK(mask_precision(tied, mask)[0] == doctest::Approx(2.0 / 3 / 2));
  // A mask for each sample; numbers count as true where they are not 0.
  const Tensor masks({2, 2}, {0.0, 3.0, 1.0, 0.0});
  CHECK(mask_precision(Tensor({2, 2}, {1.0, 2.0, 1.0, 2.0}), masks) == std::vector<double>{1, 0});
  CHECK(message_of([&] {
          (void)mask_precision(maps, Tensor(DType::boolean, {3, 3}));
        }).find("4 elements of one sample") != std::string::npos);
  CHECK(message_of([&] {
          (void)mask_precision(maps, Tensor(DType::boolean, {2, 2}));
        }).find("empty") != std::string::npos);
}

TEST_CASE("what is not finite is told with its place") {
  const Tensor bad({2, 2}, {1.0, 2.0, 3.0, std::numeric_limits<double>::infinity()});
  CHECK(message_of([&] { (void)gini_index(bad); }).find("element 1 of the attribution of sample 1") !=
        std::string::npos);
}
