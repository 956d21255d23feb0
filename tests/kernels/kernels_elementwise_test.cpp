#include <algorithm>
#include <doctest/doctest.h>
#include <functional>
#include <map>
#include <memory>
#include <numbers>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "oracle/arrays.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using oracle::Dims;
using oracle::Values;

namespace {

using Function = std::function<double(double)>;

template <class T>
ConstView view(const Dims& dims, const T* data) {
  return {dtype_of<T>, dims, reinterpret_cast<const std::byte*>(data)};
}

/// Calls the kernel of an operator as programs do.
template <class Y>
void call(const char* op, const std::vector<ConstView>& operands, const Dims& dims, Y* y,
          const Attributes& attributes = {}) {
  Kernels::portable().at(op)->run(
      {operands, {dtype_of<Y>, dims, reinterpret_cast<std::byte*>(y)}, attributes, {}});
}

template <class T>
void unary(const char* op, std::int64_t count, const T* x, T* y, const Attributes& attributes = {}) {
  const Dims dims{count};
  call(op, {view(dims, x)}, dims, y, attributes);
}

template <class T, class Y>
void binary(const char* op, const Dims& a_dims, const T* a, const Dims& b_dims, const T* b,
            const Dims& y_dims, Y* y) {
  call(op, {view(a_dims, a), view(b_dims, b)}, y_dims, y);
}

double clip(double x, double low, double high) {
  return std::min(std::max(x, low), high);
}

struct Named {
  const char* op;
  Function f;
  Attributes attributes = {};
};

const std::vector<Named>& functions() {
  constexpr double alpha = 0.3, beta = 0.6, gamma = 1.25;
  static const std::vector<Named> all{
      {"relu", [](double x) { return x > 0 ? x : 0; }},
      {"leaky_relu", [](double x) { return x > 0 ? x : alpha * x; }, LeakyReluAttributes{alpha}},
      {"elu", [](double x) { return x > 0 ? x : alpha * std::expm1(x); }, EluAttributes{alpha}},
      {"selu", [](double x) { return gamma * (x > 0 ? x : alpha * std::expm1(x)); },
       SeluAttributes{alpha, gamma}},
      {"gelu", [](double x) { return x / 2 * (1 + std::erf(x / std::sqrt(2.0))); }, GeluAttributes{}},
      {"gelu",
       [](double x) {
         return x / 2 * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
       },
       GeluAttributes{GeluForm::tanh}},
      {"silu", [](double x) { return x / (1 + std::exp(-x)); }},
      {"sigmoid", [](double x) { return 1 / (1 + std::exp(-x)); }},
      {"tanh", [](double x) { return std::tanh(x); }},
      {"softplus", [](double x) { return x > 40 ? x : std::log1p(std::exp(x)); }},
      {"hardswish", [](double x) { return x * clip(x / 6 + 0.5, 0, 1); }},
      {"hardsigmoid", [](double x) { return clip(alpha * x + beta, 0, 1); },
       HardsigmoidAttributes{alpha, beta}},
      {"clip", [](double x) { return clip(x, alpha, beta); }, ClipAttributes{alpha, beta}},
      {"erf", [](double x) { return std::erf(x); }},
      {"exp", [](double x) { return std::exp(x); }},
      {"log", [](double x) { return std::log(x); }},
      {"sqrt", [](double x) { return std::sqrt(x); }},
      {"abs", [](double x) { return std::abs(x); }},
      {"neg", [](double x) { return -x; }},
      {"sign", [](double x) { return x > 0   ? 1
                                     : x < 0 ? -1
                                             : 0; }},
      {"reciprocal", [](double x) { return 1 / x; }},
      {"floor", [](double x) { return std::floor(x); }},
      {"ceil", [](double x) { return std::ceil(x); }},
      {"round", [](double x) { return std::nearbyint(x); }},
      {"sin", [](double x) { return std::sin(x); }},
      {"cos", [](double x) { return std::cos(x); }},
  };
  return all;
}

Values broadcast(const Dims& dims, const Values& x, const Dims& to) {
  Values y;
  oracle::for_each_index(to, [&](const Dims& index) {
    Dims at(index.end() - static_cast<std::ptrdiff_t>(dims.size()), index.end());
    for (std::size_t i = 0; i < dims.size(); ++i)
      if (dims[i] == 1) at[i] = 0;
    y.push_back(x[oracle::flat(dims, at)]);
  });
  return y;
}

struct Shapes {
  Dims a, b, y;
};

const std::vector<Shapes> all_shapes{
    {{40000}, {40000}, {40000}},
    {{2, 3, 300, 40}, {2, 3, 300, 40}, {2, 3, 300, 40}},
    {{2, 3, 50, 70}, {}, {2, 3, 50, 70}},
    {{1}, {7, 5}, {7, 5}},
    {{2, 8, 7, 7}, {8, 1, 1}, {2, 8, 7, 7}},
    {{1, 8, 1, 1}, {2, 8, 70, 70}, {2, 8, 70, 70}},
    {{5, 1}, {1, 9}, {5, 9}},
    {{2, 1, 4, 1, 3}, {3, 1, 5, 1}, {2, 3, 4, 5, 3}},
    {{2, 1, 2, 1, 2, 1, 2, 1}, {1, 3, 1, 2, 1, 3, 1, 2}, {2, 3, 2, 2, 2, 3, 2, 2}},
    {{}, {}, {}},
    {{1, 1}, {1}, {1, 1}},
    {{0, 3}, {3}, {0, 3}},
};

}  // namespace

TEST_CASE_TEMPLATE("functions of one value agree with the textbook", T, float, double) {
  Values x = oracle::normal({20001}, 1);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= i % 5 == 0 ? 30 : 2;
  x[0] = 0;
  x[1] = 0.5;
  x[2] = -2.5;
  const auto in = oracle::as<T>(x);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(in[i]);
  for (const auto& [op, f, attributes] : functions()) {
    CAPTURE(op);
    std::vector<T> y(in.size());
    unary<T>(op, static_cast<std::int64_t>(in.size()), in.data(), y.data(), attributes);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = f(x[i]), got = static_cast<double>(y[i]);
      if (std::isnan(want)) {
        REQUIRE(std::isnan(got));
        continue;
      }
      if (std::isinf(static_cast<T>(want))) {
        REQUIRE(y[i] == static_cast<T>(want));
        continue;
      }
      // A few roundings, of the result or of x (gelu cancels where erf is near -1, in absolute terms below
      // |x|).
      const double room = 6 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                          std::max({std::abs(want), std::abs(x[i]), 1e-30});
      CAPTURE(x[i]);
      REQUIRE(std::abs(got - want) <= room);
    }
    CHECK(same_on_any_threads([&] {
      std::vector<T> bits(in.size());
      unary<T>("gelu", static_cast<std::int64_t>(in.size()), in.data(), bits.data(), GeluAttributes{});
      return bits;
    }));
  }
}

TEST_CASE("our own float32 exponential family is within two units in the last place") {
  std::vector<float> x;
  for (float v = -105; v < 90; v += 0.0037F) x.push_back(v);
  for (float v = 1; v > 1e-30F; v *= 0.9F) x.insert(x.end(), {v, -v});
  const std::vector<Named> family{
      {"exp", [](double v) { return std::exp(v); }},
      {"elu", [](double v) { return v > 0 ? v : std::expm1(v); }, EluAttributes{1}},
      {"tanh", [](double v) { return std::tanh(v); }},
      {"erf", [](double v) { return std::erf(v); }},
      {"softplus", [](double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::abs(v))); }},
      {"sigmoid", [](double v) { return 1 / (1 + std::exp(-v)); }}};
  for (const auto& [op, f, attributes] : family) {
    CAPTURE(op);
    std::vector<float> y(x.size());
    unary<float>(op, static_cast<std::int64_t>(x.size()), x.data(), y.data(), attributes);
    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double want = f(static_cast<double>(x[i]));
      if (std::isinf(static_cast<float>(want))) {
        REQUIRE(y[i] == static_cast<float>(want));
        continue;
      }
      // Below the normal numbers a unit is the smallest of them.
      const double unit = std::max(std::ldexp(1.0, std::ilogb(want) - 23), 0x1p-149);
      worst = std::max(worst, std::abs(static_cast<double>(y[i]) - want) / unit);
    }
    CHECK(worst < 3);
  }
}

TEST_CASE("functions of one value at the corners") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto at = [](const char* op, double x, const Attributes& attributes = {}) {
    double y = 99;
    unary<double>(op, 1, &x, &y, attributes);
    return y;
  };
  const auto stabilized = [](double x) {
    double y = 99;
    const double eps = 0.3;
    binary("stabilize", Dims{1}, &x, Dims{1}, &eps, Dims{1}, &y);
    return y;
  };
  for (const auto& [op, f, attributes] : functions()) {
    CAPTURE(op);
    if (std::string_view(op) != "sign") CHECK(std::isnan(at(op, nan, attributes)));
  }
  CHECK(stabilized(0.0) == 0.3);
  CHECK(stabilized(-0.0) == 0.3);
  CHECK(at("sign", -0.0) == 0);
  CHECK(at("sigmoid", -inf) == 0);
  CHECK(at("sigmoid", inf) == 1);
  CHECK(at("sigmoid", -700) > 0);
  CHECK(at("softplus", 1000) == 1000);
  CHECK(at("softplus", -1000) == 0);
  CHECK(at("round", 0.5) == 0);
  CHECK(at("round", 1.5) == 2);
  CHECK(at("round", -2.5) == -2);
}

TEST_CASE("integers have the functions that stay among integers") {
  const std::vector<std::int64_t> x{-5, 0, 7};
  std::vector<std::int64_t> y(3);
  const auto apply = [&](const char* op, const Attributes& attributes = {}) {
    unary<std::int64_t>(op, 3, x.data(), y.data(), attributes);
    return y;
  };
  CHECK(apply("relu") == std::vector<std::int64_t>{0, 0, 7});
  CHECK(apply("abs") == std::vector<std::int64_t>{5, 0, 7});
  CHECK(apply("neg") == std::vector<std::int64_t>{5, 0, -7});
  CHECK(apply("sign") == std::vector<std::int64_t>{-1, 0, 1});
  CHECK(apply("clip", ClipAttributes{-1, std::numeric_limits<double>::infinity()}) ==
        std::vector<std::int64_t>{-1, 0, 7});
  CHECK_THROWS_AS(apply("exp"), Error);
}

TEST_CASE_TEMPLATE("functions of two values broadcast as NumPy does", T, float, double) {
  const std::vector<std::pair<const char*, std::function<double(double, double)>>> ops{
      {"add", std::plus<>{}},
      {"sub", std::minus<>{}},
      {"mul", std::multiplies<>{}},
      {"div", std::divides<>{}},
      {"max", [](double a, double b) { return std::max(a, b); }},
      {"min", [](double a, double b) { return std::min(a, b); }},
      {"over", [](double a, double b) { return b == 0 ? 0 : a / b; }},
      {"pow", [](double a, double b) { return std::pow(a, b); }},
  };
  for (const auto& [a_dims, b_dims, y_dims] : all_shapes) {
    CAPTURE(a_dims);
    CAPTURE(b_dims);
    Values a = oracle::normal(a_dims, 1), b = oracle::normal(b_dims, 2);
    for (auto& v : a) v = std::abs(v);
    if (b.size() > 4) b[3] = 0;
    const Values left = broadcast(a_dims, a, y_dims), right = broadcast(b_dims, b, y_dims);
    const auto at = oracle::as<T>(a), bt = oracle::as<T>(b);
    for (const auto& [op, f] : ops) {
      CAPTURE(op);
      std::vector<T> y(left.size(), T(99));
      binary(op, a_dims, at.data(), b_dims, bt.data(), y_dims, y.data());
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double want = f(left[i], right[i]), got = static_cast<double>(y[i]);
        const bool same =
            std::isnan(want) ? std::isnan(got) : got == static_cast<double>(static_cast<T>(want));
        if (!same && !(std::abs(got - want) <=
                       4 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::abs(want)))
          ++wrong;
      }
      CHECK(wrong == 0);
    }
    const auto compare = [&](const char* op, auto f) {
      const auto y = std::make_unique<bool[]>(left.size());
      binary(op, a_dims, at.data(), b_dims, bt.data(), y_dims, y.get());
      for (std::size_t i = 0; i < left.size(); ++i) REQUIRE(y[i] == f(left[i], right[i]));
    };
    compare("less", std::less<>{});
    compare("greater_equal", std::greater_equal<>{});
    compare("not_equal", std::not_equal_to<>{});
  }
}

TEST_CASE("NaN goes through max and min and compares as in IEEE 754") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> a{nan, 1, nan}, b{1, nan, nan};
  std::vector<float> y(3);
  for (const char* op : {"max", "min"}) {
    binary(op, Dims{3}, a.data(), Dims{3}, b.data(), Dims{3}, y.data());
    for (const float v : y) CHECK(std::isnan(v));
  }
  bool out[3];
  binary("not_equal", Dims{3}, a.data(), Dims{3}, b.data(), Dims{3}, out);
  CHECK((out[0] && out[1] && out[2]));
  binary("less_equal", Dims{3}, a.data(), Dims{3}, b.data(), Dims{3}, out);
  CHECK(!(out[0] || out[1] || out[2]));
}

TEST_CASE("integer division truncates, mod follows the divisor, and a divisor 0 is an error") {
  const std::vector<std::int32_t> a{7, -7, 7, std::numeric_limits<std::int32_t>::min()}, b{2, 2, -2, -1};
  std::vector<std::int32_t> y(4);
  const auto apply = [&](const char* op) {
    binary(op, Dims{4}, a.data(), Dims{4}, b.data(), Dims{4}, y.data());
    return y;
  };
  const auto quotient = apply("div");
  CHECK(std::vector<std::int32_t>(quotient.begin(), quotient.begin() + 3) ==
        std::vector<std::int32_t>{3, -3, -3});
  CHECK(apply("mod") == std::vector<std::int32_t>{1, 1, -1, 0});
  const std::int32_t zero = 0;
  CHECK_THROWS_AS(binary("div", Dims{4}, a.data(), Dims{}, &zero, Dims{4}, y.data()), Error);
  const std::vector<double> p{7.5, -7.5}, q{2, 2};
  std::vector<double> r(2);
  binary("mod", Dims{2}, p.data(), Dims{2}, q.data(), Dims{2}, r.data());
  CHECK(r == std::vector<double>{1.5, 0.5});
}

TEST_CASE("where broadcasts its three operands") {
  for (const auto& [a_dims, b_dims, y_dims] : all_shapes)
    for (const auto& c_dims : {a_dims, b_dims, y_dims, Dims{}}) {
      CAPTURE(a_dims);
      CAPTURE(b_dims);
      CAPTURE(c_dims);
      const Values a = oracle::normal(a_dims, 1), b = oracle::normal(b_dims, 2),
                   c = oracle::normal(c_dims, 3);
      const auto flags = std::make_unique<bool[]>(c.size() + 1);
      for (std::size_t i = 0; i < c.size(); ++i) flags[i] = c[i] > 0;
      const Values left = broadcast(a_dims, a, y_dims), right = broadcast(b_dims, b, y_dims),
                   take = broadcast(c_dims, c, y_dims);
      Values y(left.size(), 99);
      call("where", {view<bool>(c_dims, flags.get()), view(a_dims, a.data()), view(b_dims, b.data())}, y_dims,
           y.data());
      for (std::size_t i = 0; i < y.size(); ++i) REQUIRE(y[i] == (take[i] > 0 ? left[i] : right[i]));
    }
}

TEST_CASE("logical functions") {
  const bool a[4] = {false, false, true, true}, b[2] = {false, true};
  bool y[4];
  binary("logical_and", Dims{2, 2}, a, Dims{2}, b, Dims{2, 2}, y);
  CHECK((!y[0] && !y[1] && !y[2] && y[3]));
  binary("logical_or", Dims{2, 2}, a, Dims{2}, b, Dims{2, 2}, y);
  CHECK((!y[0] && y[1] && y[2] && y[3]));
  unary("logical_not", 4, a, y);
  CHECK((y[0] && y[1] && !y[2] && !y[3]));
}

TEST_CASE("operands that do not broadcast are an error") {
  const std::vector<float> a(6), b(4);
  std::vector<float> y(6);
  CHECK_THROWS_AS(binary("add", Dims{2, 3}, a.data(), Dims{4}, b.data(), Dims{2, 3}, y.data()), Error);
}
