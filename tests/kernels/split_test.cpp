// Products from bfloat16 parts: the parts, the products against plain loops, and where they are used.
#include "kernels/product/split.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "compile/fast_contractions.hpp"
#include "oracle/matmul.hpp"
#include "support/oracle_tensor.hpp"

using namespace rulegrad;
using testing::tensor;

namespace {

float number(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

struct Parts {
  float high, low;
};

Parts parts_of(float value) {
  std::uint16_t high = 0, low = 0;
  kernels::split(1, &value, &high, &low);
  return {number(high), number(low)};
}

/// The processor has units for bfloat16, and oneDNN uses them.
bool machine_splits() {
  Graph graph;
  const Expr y = matmul(graph.input("x", {DType::float32, Shape{B, 512}}),
                        graph.constant(tensor({512, 256}, oracle::normal({512, 256}, 1))));
  return Program::compile(std::span(&y, 1), {.precision = Precision::fast}).stats({64, 1}).split == 1;
}

bool allowed(Expr contraction, Expr output) {
  return FastContractions(std::span(&output, 1), Kernels::best()).allowed(contraction);
}

}  // namespace

TEST_CASE("a number is the sum of two bfloat16 numbers but for 2^-17 of it") {
  for (const double drawn : oracle::normal({4000}, 5))
    for (const double scale : {1.0, 1e-20, 1e30}) {
      const float value = static_cast<float>(drawn * scale);
      const auto [high, low] = parts_of(value);
      const double off = static_cast<double>(value) - static_cast<double>(high) - static_cast<double>(low);
      REQUIRE(std::abs(off) <= std::abs(static_cast<double>(value)) * 0x1p-17);
      REQUIRE(std::abs(static_cast<double>(value) - static_cast<double>(high)) <=
              std::abs(static_cast<double>(value)) * 0x1p-8);
    }
  constexpr float infinite = std::numeric_limits<float>::infinity();
  // Whole numbers up to 2^8 are their first part; what would round to infinity does not.
  for (const float exact : {0.0F, 1.0F, -255.0F, 256.0F}) {
    CHECK(parts_of(exact).high == exact);
    CHECK(parts_of(exact).low == 0);
  }
  const float largest = std::numeric_limits<float>::max();
  CHECK(std::isfinite(parts_of(largest).high));
  CHECK(std::abs(1 -
                 (static_cast<double>(parts_of(largest).high) + static_cast<double>(parts_of(largest).low)) /
                     static_cast<double>(largest)) < 0x1p-16);
  for (const float value : {infinite, -infinite}) {
    CHECK(parts_of(value).high == value);
    CHECK(parts_of(value).low == 0);
  }
  for (const std::uint32_t bits : {0x7FC00000U, 0x7F800001U, 0xFFFFFFFFU})
    CHECK(std::isnan(parts_of(std::bit_cast<float>(bits)).high));
}

TEST_CASE("products from bfloat16 parts are off by 2^-15 of their terms' magnitudes, and 0 where these are") {
  if (!machine_splits()) {
    MESSAGE("skipped: oneDNN has no bfloat16 units here");
    return;
  }
  unsigned seed = 70;
  for (const auto& [rows, depth, columns] : {std::array<std::int64_t, 3>{64, 512, 256},
                                             {128, 256, 384},
                                             {131, 257, 200},
                                             {300, 768, 65},
                                             {700, 96, 1000}}) {
    CAPTURE(rows);
    const oracle::Dims x_dims{rows, depth}, w_dims{depth, columns}, y_dims{rows, columns};
    oracle::Values x = oracle::normal(x_dims, ++seed);
    const oracle::Values w = oracle::normal(w_dims, ++seed),
                         b = oracle::normal(oracle::Dims{columns}, ++seed);
    // A row without values, in a full block of rows and in what is left over.
    for (const std::int64_t empty : {std::int64_t{3}, rows - 1})
      std::fill_n(x.begin() + empty * depth, depth, 0.0);
    const oracle::Values product = oracle::matmul(x_dims, x, w_dims, w, y_dims),
                         scale = oracle::matmul(x_dims, oracle::magnitudes(x), w_dims, oracle::magnitudes(w),
                                                y_dims);
    Graph graph;
    const Expr ex = graph.input("x", {DType::float32, Shape{B, depth}});
    const Expr ew = graph.constant(tensor(w_dims, w)),
               et = graph.constant(tensor({columns, depth}, oracle::swapped(w_dims, w))),
               eb = graph.constant(tensor({columns}, b)), column = graph.constant(tensor({1, columns}, b));
    const std::vector<Expr> outputs{matmul(ex, ew), matmul(ex, et, {.transpose_b = true}), dense(ex, et, eb),
                                    dense(ex, et, column)};
    const Program program = Program::compile(outputs, {.precision = Precision::fast, .poison = true});
    REQUIRE(program.stats({rows, 1}).split == 4);
    const auto results = program.run({{"x", tensor(x_dims, x)}});
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      CAPTURE(k);
      double worst = 0, largest = 0;
      for (std::size_t i = 0; i < product.size(); ++i) {
        const double bias =
            k < 2 ? 0 : static_cast<double>(static_cast<float>(b[i % static_cast<std::size_t>(columns)]));
        const double got = static_cast<double>(results[k].values<float>()[i]);
        const double off = std::abs(got - product[i] - bias), terms = scale[i] + std::abs(bias);
        if (scale[i] == 0) REQUIRE(got == bias);
        if (terms > 0) worst = std::max(worst, off / terms);
        largest = std::max(largest, off);
      }
      CHECK(worst < 0x1p-15);
      CHECK(largest > 0);
    }
    // The same products, exactly: another path, no longer off by that.
    CHECK(Program::compile(outputs).stats({rows, 1}).split == 0);
    CHECK(Program::compile(outputs, {.precision = Precision::fast, .split_products = false})
              .stats({rows, 1})
              .split == 0);
  }
}

TEST_CASE("products that a decision or a divisor hangs on stay as they are, unless the answer is known") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 64}}), zero = graph.scalar(0);
  const Expr w = graph.constant(tensor({64, 64}, oracle::normal({64, 64}, 1))),
             b = graph.constant(tensor({64}, oracle::normal({64}, 2)));
  const auto make = [&](const char* name, std::vector<Expr> operands) {
    return graph.make(Operators::builtin().at(name), std::move(operands));
  };
  const Expr with = dense(x, w, b), without = dense(x, w, zero);
  for (const Expr z : {with, without}) CHECK(allowed(z, make("tanh", {z})));
  for (const char* asks : {"sign", "reciprocal"}) {
    CHECK(allowed(with, make(asks, {with})));
    CHECK_FALSE(allowed(without, make(asks, {without})));
  }
  // What is known to be positive is no question: a variance to which something is added.
  const Expr kept = make("mul", {without, without}) + 1e-5;
  CHECK(allowed(without, x / make("sqrt", {kept})));
  CHECK_FALSE(allowed(without, x / make("sqrt", {make("mul", {without, without})})));
  // Two sums of the same products are the same: unlike transforms, parts may be compared.
  const Expr other = dense(graph.input("x2", x.type()), w, b);
  CHECK(allowed(with, make("equal", {with, other})));
  // Terms of one sign add up to that sign.
  const Expr positive = dense(make("relu", {x}), make("max", {w, zero}), zero);
  CHECK(allowed(positive, make("stabilize", {positive, graph.scalar(1e-6)})));
}
