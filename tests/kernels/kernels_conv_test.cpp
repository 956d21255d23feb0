#include <doctest/doctest.h>
#include <string>

#include "rulegrad/support/error.hpp"

#include "kernels/conv/conv.hpp"
#include "oracle/conv.hpp"
#include "run/threads.hpp"

using namespace rulegrad;

namespace {

struct Case {
  std::string name;
  oracle::Conv conv;
};

std::vector<Case> cases() {
  return {
      {"3x3 padded", {2, 5, 7, 1, {9, 11}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"pointwise", {2, 19, 21, 1, {7, 5}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"pointwise of stride 2", {2, 6, 5, 1, {7, 8}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}}},
      {"stride 2, asymmetric pads", {2, 3, 4, 1, {10, 13}, {3, 5}, {2, 3}, {0, 2}, {1, 1}, {1, 1}}},
      {"dilation 2 and stride 2", {1, 4, 3, 1, {15, 12}, {3, 3}, {2, 2}, {2, 1}, {2, 3}, {2, 2}}},
      {"dilation 3 under stride 2", {1, 2, 3, 1, {17, 16}, {3, 2}, {2, 4}, {1, 0}, {0, 1}, {3, 3}}},
      {"stride above the kernel", {2, 3, 4, 1, {11, 10}, {2, 1}, {3, 4}, {0, 0}, {0, 0}, {1, 1}}},
      {"pads wider than the kernel", {1, 2, 2, 1, {3, 4}, {2, 2}, {1, 1}, {3, 4}, {4, 3}, {1, 1}}},
      {"even kernel, one column", {1, 2, 2, 1, {6, 1}, {4, 1}, {1, 1}, {1, 0}, {2, 0}, {1, 1}}},
      {"groups", {2, 6, 9, 3, {6, 7}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"groups of stride 2", {2, 8, 4, 2, {9, 9}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}},
      {"depthwise", {2, 6, 6, 6, {8, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"depthwise of stride 2 and dilation 2", {2, 5, 5, 5, {12, 9}, {3, 3}, {2, 2}, {2, 1}, {1, 2}, {2, 2}}},
      {"depthwise with multiplier 2", {1, 3, 6, 3, {7, 6}, {3, 2}, {1, 2}, {1, 0}, {0, 1}, {1, 1}}},
      {"1-D", {3, 4, 5, 1, {23}, {5}, {2}, {3}, {1}, {1}}},
      {"1-D depthwise", {2, 4, 4, 4, {19}, {4}, {1}, {3}, {0}, {1}}},
      {"3-D", {1, 2, 3, 1, {5, 6, 7}, {3, 2, 3}, {1, 2, 1}, {1, 0, 1}, {1, 1, 1}, {1, 1, 2}}},
      {"3-D depthwise", {1, 3, 3, 3, {4, 5, 6}, {2, 3, 3}, {1, 1, 2}, {0, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
      {"kernel as large as the input", {3, 4, 6, 1, {5, 5}, {5, 5}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"deep sum over several blocks", {1, 70, 9, 1, {4, 5}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"more columns than a tile", {1, 2, 3, 1, {31, 37}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"few channels, direct", {3, 1, 6, 1, {28, 28}, {5, 5}, {1, 1}, {2, 2}, {2, 2}, {1, 1}}},
      {"few channels, direct, dilated and shifted",
       {2, 3, 4, 1, {13, 41}, {3, 3}, {1, 1}, {2, 1}, {2, 0}, {2, 3}}},
      {"few channels, direct, every second line",
       {1, 2, 5, 1, {23, 30}, {3, 4}, {2, 1}, {1, 3}, {0, 1}, {1, 1}}},
      {"few channels, direct, deep groups", {2, 140, 8, 2, {9, 15}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"few channels, direct, 3-D",
       {2, 2, 3, 1, {4, 6, 14}, {2, 3, 3}, {2, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
      {"many positions, few weights", {2, 1, 2, 1, {64, 65}, {2, 2}, {1, 1}, {0, 0}, {1, 1}, {1, 1}}},
  };
}

kernels::ConvGeometry geometry_of(const oracle::Conv& c) {
  return {kernels::make_window(c.in, c.kernel, c.strides, c.pads_begin, c.pads_end, c.dilations), c.batch,
          c.in_channels, c.out_channels, c.groups};
}

template <class T>
struct Results {
  std::vector<T> y, gx, gw;
  friend bool operator==(const Results&, const Results&) = default;
};

template <class T>
Results<T> run(const oracle::Conv& c, const oracle::Values& x, const oracle::Values& w,
               const oracle::Values& g) {
  const auto geometry = geometry_of(c);
  const auto xt = oracle::as<T>(x), wt = oracle::as<T>(w), gt = oracle::as<T>(g);
  // NaN before the call: every element has to be written.
  const T unset = std::numeric_limits<T>::quiet_NaN();
  Results<T> r{std::vector<T>(g.size(), unset), std::vector<T>(x.size(), unset),
               std::vector<T>(w.size(), unset)};
  std::vector<std::byte> s(kernels::conv_input_grad_scratch_bytes<T>(geometry));
  std::vector<std::byte> s2(kernels::conv_weight_grad_scratch_bytes<T>(geometry));
  kernels::conv<T>(geometry, xt.data(), wt.data(), {}, r.y.data());
  kernels::conv_input_grad<T>(geometry, gt.data(), wt.data(), {}, r.gx.data(), s);
  kernels::conv_weight_grad<T>(geometry, xt.data(), gt.data(), r.gw.data(), s2);
  return r;
}

}  // namespace

TEST_CASE_TEMPLATE("convolutions and their adjoints agree with plain loops", T, float, double) {
  unsigned seed = 1;
  for (const auto& [name, c] : cases()) {
    CAPTURE(name);
    auto x = oracle::normal(c.x_dims(), ++seed);
    const auto w = oracle::normal(c.w_dims(), ++seed), g = oracle::normal(c.y_dims(), ++seed);
    for (std::size_t i = 0; i < x.size(); i += 3) x[i] = 0;  // as behind a ReLU
    const auto r = run<T>(c, x, w, g);
    const auto xa = oracle::magnitudes(x), wa = oracle::magnitudes(w), ga = oracle::magnitudes(g);
    // Sums of blocks of at most 256 terms: a few roundings of the sum of magnitudes.
    CHECK(oracle::error_in_roundings(r.y, oracle::conv(c, x, w), oracle::conv(c, xa, wa)) < 4);
    CHECK(oracle::error_in_roundings(r.gx, oracle::conv_input_grad(c, g, w),
                                     oracle::conv_input_grad(c, ga, wa)) < 4);
    CHECK(oracle::error_in_roundings(r.gw, oracle::conv_weight_grad(c, x, g),
                                     oracle::conv_weight_grad(c, xa, ga)) < 4);
  }
}

TEST_CASE("convolutions give the same bits on 1, 2 and 4 threads") {
  unsigned seed = 100;
  auto all = cases();
  all.push_back({"large", {1, 64, 96, 1, {28, 28}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}});
  for (const auto& [name, c] : all) {
    CAPTURE(name);
    const auto x = oracle::normal(c.x_dims(), ++seed), w = oracle::normal(c.w_dims(), ++seed);
    const auto g = oracle::normal(c.y_dims(), ++seed);
    CHECK(same_on_any_threads([&] { return run<float>(c, x, w, g); }));
  }
}

TEST_CASE_TEMPLATE("few output channels have the bits that they have among more", T, float, double) {
  unsigned seed = 200;
  for (const auto& [name, c] : cases()) {
    if (c.groups > 1) continue;
    CAPTURE(name);
    oracle::Conv more = c, less = c;
    more.out_channels = 20;
    less.out_channels = 3;
    const auto x = oracle::normal(c.x_dims(), ++seed), w = oracle::normal(more.w_dims(), ++seed);
    const auto xt = oracle::as<T>(x), wt = oracle::as<T>(w);
    const auto plane =
        static_cast<std::size_t>(oracle::count(more.y_dims()) / (more.batch * more.out_channels));
    std::vector<T> all(plane * static_cast<std::size_t>(more.batch * 20)),
        some(plane * static_cast<std::size_t>(less.batch * 3));
    kernels::conv<T>(geometry_of(more), xt.data(), wt.data(), {}, all.data());
    kernels::conv<T>(geometry_of(less), xt.data(), wt.data(), {}, some.data());
    for (std::size_t n = 0; n < static_cast<std::size_t>(c.batch); ++n)
      for (std::size_t i = 0; i < 3 * plane; ++i) REQUIRE(some[n * 3 * plane + i] == all[n * 20 * plane + i]);
  }
}

TEST_CASE("an image keeps its bits whatever batch it is in") {
  oracle::Conv c{3, 20, 18, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}};
  const auto x = oracle::normal(c.x_dims(), 5), w = oracle::normal(c.w_dims(), 6),
             g = oracle::normal(c.y_dims(), 7);
  const auto all = run<float>(c, x, w, g);
  c.batch = 1;
  const auto n = static_cast<std::ptrdiff_t>(g.size() / 3), m = static_cast<std::ptrdiff_t>(x.size() / 3);
  const auto one = run<float>(c, {x.begin() + m, x.begin() + 2 * m}, w, {g.begin() + n, g.begin() + 2 * n});
  CHECK(one.y == std::vector<float>(all.y.begin() + n, all.y.begin() + 2 * n));
  CHECK(one.gx == std::vector<float>(all.gx.begin() + m, all.gx.begin() + 2 * m));
}

TEST_CASE("a bias is added per channel, forward and transposed") {
  const std::vector<oracle::Conv> both{{2, 4, 6, 2, {5, 6}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}},
                                       {2, 4, 4, 4, {5, 6}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}};
  for (const auto& c : both) {
    const auto geometry = geometry_of(c);
    const auto x = oracle::normal(c.x_dims(), 1), w = oracle::normal(c.w_dims(), 2),
               g = oracle::normal(c.y_dims(), 3);
    const auto plain = run<double>(c, x, w, g);
    const auto forward = oracle::normal({c.out_channels}, 4), back = oracle::normal({c.in_channels}, 5);
    std::vector<double> y(g.size()), gx(x.size());
    std::vector<std::byte> s(kernels::conv_input_grad_scratch_bytes<double>(geometry));
    kernels::conv<double>(geometry, x.data(), w.data(), forward, y.data());
    kernels::conv_input_grad<double>(geometry, g.data(), w.data(), back, gx.data(), s);
    const std::size_t out = y.size() / static_cast<std::size_t>(c.batch * c.out_channels);
    const std::size_t in = gx.size() / static_cast<std::size_t>(c.batch * c.in_channels);
    for (std::size_t i = 0; i < y.size(); ++i)
      REQUIRE(y[i] == plain.y[i] + forward[i / out % forward.size()]);
    for (std::size_t i = 0; i < gx.size(); ++i) REQUIRE(gx[i] == plain.gx[i] + back[i / in % back.size()]);
  }
}

TEST_CASE("a kernel that does not fit is an error that names the extents") {
  const std::vector<std::int64_t> in{4}, kernel{3}, dilation{4};
  CHECK_THROWS_WITH_AS(static_cast<void>(kernels::make_window(in, kernel, {}, {}, {}, dilation)),
                       doctest::Contains("a kernel of 3 with dilation 4 does not fit into 4 + 0 + 0"), Error);
}
