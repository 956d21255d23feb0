// Contractions of bfloat16 numbers: against plain loops over the operands as they are rounded, and where they are used.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "compile/fast_contractions.hpp"
#include "oracle/conv.hpp"
#include "oracle/matmul.hpp"
#include "support/oracle_tensor.hpp"

using namespace rulegrad;
using testing::tensor;

namespace {

/// To the nearest number of 8 digits, ties to the even one.
double rounded(double value) {
  const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  return static_cast<double>(std::bit_cast<float>((bits + 0x7FFFU + (bits >> 16U & 1U)) & 0xFFFF0000U));
}
oracle::Values rounded(oracle::Values values) {
  for (double& value : values) value = rounded(value);
  return values;
}

Program in_bfloat16(const std::vector<Expr>& outputs) {
  return Program::compile(outputs, {.precision = Precision::bfloat16, .poison = true});
}

/// The processor has units for bfloat16, and oneDNN uses them.
bool machine_has_units() {
  Graph graph;
  const Expr y = matmul(graph.input("x", {DType::float32, Shape{B, 512}}),
                        graph.constant(tensor({512, 256}, oracle::normal({512, 256}, 1))));
  return in_bfloat16({y}).stats({64, 1}).bfloat16 == 1;
}

void check_sums(const Tensor& got, const oracle::Values& want, const oracle::Values& terms) {
  double worst = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double off = std::abs(static_cast<double>(got.values<float>()[i]) - want[i]);
    if (terms[i] == 0)
      REQUIRE(off == 0);
    else
      worst = std::max(worst, off / terms[i]);
  }
  CHECK(worst < 4e-7);
}

}  // namespace

TEST_CASE("products of bfloat16 numbers are those of the rounded operands, summed in float32") {
  if (!machine_has_units()) {
    MESSAGE("skipped: oneDNN has no bfloat16 units here");
    return;
  }
  unsigned seed = 170;
  for (const auto& [rows, depth, columns] :
       {std::array<std::int64_t, 3>{64, 512, 256}, {131, 257, 200}, {700, 96, 1000}}) {
    CAPTURE(rows);
    const oracle::Dims x_dims{rows, depth}, w_dims{depth, columns}, y_dims{rows, columns};
    oracle::Values x = rounded(oracle::normal(x_dims, ++seed));
    const oracle::Values given_w = oracle::normal(w_dims, ++seed), w = rounded(given_w);
    std::fill_n(x.begin() + 3 * depth, depth, 0.0);  // a row without values
    const oracle::Values want = oracle::matmul(x_dims, x, w_dims, w, y_dims),
                         terms = oracle::matmul(x_dims, oracle::magnitudes(x), w_dims, oracle::magnitudes(w),
                                                y_dims);
    Graph graph;
    const Expr ex = graph.input("x", {DType::float32, Shape{B, depth}});
    const std::vector<Expr> outputs{
        matmul(ex, graph.constant(tensor(w_dims, given_w))),
        matmul(ex, graph.constant(tensor({columns, depth}, oracle::swapped(w_dims, given_w))),
               {.transpose_b = true})};
    const Program program = in_bfloat16(outputs);
    REQUIRE(program.stats({rows, 1}).bfloat16 == 2);
    for (const Tensor& got : program.run({{"x", tensor(x_dims, x)}})) check_sums(got, want, terms);
  }
}

TEST_CASE("convolutions of bfloat16 numbers are those of the rounded operands, there and back") {
  if (!machine_has_units()) {
    MESSAGE("skipped: oneDNN has no bfloat16 units here");
    return;
  }
  unsigned seed = 270;
  for (const std::int64_t stride : {1, 2})
    for (const std::int64_t groups : {1, 2}) {
      CAPTURE(stride);
      CAPTURE(groups);
      const oracle::Conv c{.batch = 3,
                           .in_channels = 32,
                           .out_channels = 48,
                           .groups = groups,
                           .in = {20, 18},
                           .kernel = {3, 3},
                           .strides = {stride, stride},
                           .pads_begin = {1, 1},
                           .pads_end = {1, 1},
                           .dilations = {1, 1}};
      const oracle::Dims x_dims = c.x_dims(), w_dims = c.w_dims(), y_dims = c.y_dims();
      oracle::Values x = rounded(oracle::normal(x_dims, ++seed)), g = rounded(oracle::normal(y_dims, ++seed));
      std::fill_n(x.begin(), x.size() / 3, 0.0);  // a sample without values
      const oracle::Values given_w = oracle::normal(w_dims, ++seed), w = rounded(given_w);
      Graph graph;
      const Expr ex = graph.input("x", {DType::float32, Shape{B, 32, 20, 18}});
      const Expr y =
          conv(ex, graph.constant(tensor(w_dims, given_w)), 0.0,
               {.strides = {stride, stride}, .pads_begin = {1, 1}, .pads_end = {1, 1}, .groups = groups});
      const Expr back = gradient(y, std::span(&ex, 1), graph.input("g", y.type()))[0];
      const Program program = in_bfloat16({y, back});
      REQUIRE(program.stats({3, 1}).bfloat16 == 2);
      const auto got = program.run({{"x", tensor(x_dims, x)}, {"g", tensor(y_dims, g)}});
      const auto size = [](const oracle::Values& values) { return oracle::magnitudes(values); };
      check_sums(got[0], oracle::conv(c, x, w), oracle::conv(c, size(x), size(w)));
      check_sums(got[1], oracle::conv_input_grad(c, g, w), oracle::conv_input_grad(c, size(g), size(w)));
    }
}

TEST_CASE("what decides or divides stays in float32, whatever the bias") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 64}});
  const Expr w = graph.constant(tensor({64, 64}, oracle::normal({64, 64}, 1))),
             b = graph.constant(tensor({64}, oracle::normal({64}, 2)));
  const Expr z = dense(x, w, b);
  const auto allowed = [&](Expr output) {
    return FastContractions(std::span(&output, 1), Kernels::best()).allowed_in_bfloat16(z);
  };
  const auto make = [&](const char* name, std::vector<Expr> operands) {
    return graph.make(Operators::builtin().at(name), std::move(operands));
  };
  CHECK(allowed(z));
  CHECK(allowed(make("tanh", {z})));
  CHECK(allowed(make("relu", {z})));
  CHECK_FALSE(allowed(make("sign", {z})));
  // Layers further on as well: what they are asked for would be off by as much.
  CHECK_FALSE(allowed(make("sign", {dense(z, w, b)})));
  CHECK(allowed(dense(z, w, b)));
  CHECK_FALSE(allowed(make("reciprocal", {z})));
  CHECK_FALSE(allowed(x / make("sqrt", {make("mul", {z, z}) + 1e-5})));
}

TEST_CASE("explanations in bfloat16 agree to two digits, take the same masks, and are not the default") {
  const ConvAttributes same{.pads_begin = {1, 1}, .pads_end = {1, 1}};
  const Model model = Sequential({B, 16, 24, 24})
                          .conv(32, {3, 3}, same)
                          .relu()
                          .conv(48, {3, 3}, same)
                          .relu()
                          .flatten()
                          .dense(256)
                          .relu()
                          .dense(10)
                          .finish();
  const Tensor x = tensor({40, 16, 24, 24}, oracle::normal({40, 16, 24, 24}, 3));
  std::size_t of_gradient = 0;
  for (const std::string method : {"gradient", "guided_backprop", "lrp.epsilon_plus_flat", "input_x_gradient",
                                   "integrated_gradients:steps=4", "smoothgrad:n=3"}) {
    CAPTURE(method);
    const Explainer exact(model, method), narrow(model, method, {.precision = Precision::bfloat16});
    CHECK(exact.program().stats({40, 1}).bfloat16 == 0);
    const std::size_t count = narrow.program().stats({40, 1}).bfloat16;
    CHECK((count > 0) == machine_has_units());
    if (method == "gradient") of_gradient = count;
    // A loop over samples holds the same contractions.
    if (method == "smoothgrad:n=3") CHECK(count == of_gradient);
    const Tensor a = exact.run(x).attribution(), c = narrow.run(x).attribution();
    double largest = 0, off = 0;
    std::int64_t flipped = 0;
    for (std::int64_t i = 0; i < a.size(); ++i) {
      largest = std::max(largest, std::abs(a.at(i)));
      off = std::max(off, std::abs(a.at(i) - c.at(i)));
      flipped += (a.at(i) == 0) != (c.at(i) == 0) ? 1 : 0;
    }
    CHECK(off < 0.02 * largest);
    CHECK(flipped == 0);
    if (machine_has_units()) CHECK(off > 0);
  }
}
