// Programs on the fast kernels and in blocked layouts, against plain loops and against the portable kernels.
// Everything here also holds where oneDNN is absent and both sets are the same.
#include <array>
#include <cmath>
#include <doctest/doctest.h>
#include <thread>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "oracle/conv.hpp"
#include "oracle/matmul.hpp"
#include "run/threads.hpp"
#include "support/oracle_tensor.hpp"

using namespace rulegrad;
using testing::tensor;

namespace {

struct Case {
  std::string name;
  oracle::Conv conv;
};

/// Large enough to be worth a primitive, or with so few channels that another kernel takes them.
std::vector<Case> cases() {
  return {
      {"3x3 padded", {2, 16, 16, 1, {9, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"wide to narrow", {1, 32, 8, 1, {9, 9}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"3 channels in", {2, 3, 32, 1, {14, 13}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"3 channels in, 7x7 of stride 2", {1, 3, 16, 1, {20, 20}, {7, 7}, {2, 2}, {3, 3}, {3, 3}, {1, 1}}},
      {"1 channel in, dilated, stride 2", {2, 1, 16, 1, {19, 17}, {3, 5}, {2, 2}, {2, 1}, {1, 3}, {2, 1}}},
      {"2 channels in, 1-D, windows apart", {3, 2, 32, 1, {47}, {2}, {3}, {2}, {1}, {1}}},
      {"4 channels in, 3-D", {1, 4, 16, 1, {5, 6, 7}, {3, 3, 3}, {1, 2, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
      {"windows wider than what is there", {2, 3, 16, 1, {4, 3}, {7, 7}, {1, 1}, {3, 3}, {3, 3}, {1, 1}}},
      {"6 channels in", {2, 6, 16, 1, {14, 14}, {5, 5}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"3 channels out", {1, 32, 3, 1, {14, 13}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"no whole blocks", {1, 24, 20, 1, {8, 8}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"from no whole blocks", {2, 24, 48, 1, {11, 11}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"to no whole blocks", {2, 48, 24, 1, {11, 11}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"pointwise of stride 2", {1, 32, 64, 1, {17, 16}, {1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}}},
      {"stride 2, asymmetric pads", {1, 16, 16, 1, {20, 21}, {3, 3}, {2, 2}, {0, 1}, {1, 2}, {1, 1}}},
      {"dilated", {1, 16, 16, 1, {13, 12}, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}}},
      {"dilated with stride 2", {1, 16, 16, 1, {19, 20}, {3, 3}, {2, 2}, {2, 2}, {2, 1}, {2, 2}}},
      {"windows that leave a rest", {1, 16, 32, 1, {16, 16}, {3, 3}, {2, 2}, {0, 0}, {0, 0}, {1, 1}}},
      {"groups of blocks", {1, 32, 32, 2, {12, 12}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"groups of 4", {1, 32, 32, 8, {22, 22}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"depthwise", {1, 32, 32, 32, {23, 22}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
      {"depthwise of stride 2", {1, 64, 64, 64, {31, 32}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}}},
      {"1-D", {2, 16, 32, 1, {70}, {5}, {1}, {2}, {2}, {1}}},
      {"3-D", {1, 16, 16, 1, {4, 5, 6}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}, {1, 1, 1}}},
      {"kernel as large as the input", {2, 32, 48, 1, {7, 7}, {7, 7}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}},
      {"square enough for Winograd", {1, 64, 64, 1, {14, 15}, {3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}},
  };
}

std::vector<float> floats(const Tensor& tensor) {
  const auto values = tensor.values<float>();
  return {values.begin(), values.end()};
}

struct Values {
  oracle::Values x, w, g;
};

Values values_of(const oracle::Conv& c, unsigned seed) {
  Values v{oracle::normal(c.x_dims(), seed), oracle::normal(c.w_dims(), seed + 1),
           oracle::normal(c.y_dims(), seed + 2)};
  for (std::size_t i = 0; i < v.x.size(); i += 3) v.x[i] = 0;  // as behind a ReLU
  return v;
}

/// y, gx and gw; the weight is a constant or an input.
std::vector<Tensor> run(const oracle::Conv& c, const Values& v, bool constant,
                        const CompileOptions& options) {
  Graph graph;
  const auto input = [&](const char* name, Dims dims) {
    return graph.input(name, {DType::float32, Shape::of(dims)});
  };
  const Expr x = input("x", c.x_dims()), g = input("g", c.y_dims());
  const Expr w = constant ? graph.constant(tensor(c.w_dims(), v.w)) : input("w", c.w_dims());
  const std::vector<Expr> outputs{
      conv(x, w, 0.0, {c.strides, c.pads_begin, c.pads_end, c.dilations, c.groups}),
      conv_transpose(g, w, 0.0, {c.strides, c.pads_begin, c.pads_end, c.dilations, c.groups, c.in}),
      graph.make(
          op("conv_weight_grad"), {x, g},
          ConvWeightGradAttributes{c.strides, c.pads_begin, c.pads_end, c.dilations, c.groups, c.kernel})};
  Inputs inputs{{"x", tensor(c.x_dims(), v.x)}, {"g", tensor(c.y_dims(), v.g)}};
  if (!constant) inputs.emplace("w", tensor(c.w_dims(), v.w));
  return Program::compile(outputs, options).run(inputs);
}

double largest_error(const Tensor& got, const oracle::Values& want, const oracle::Values& scale) {
  return oracle::error_in_roundings(floats(got), want, scale);
}

}  // namespace

TEST_CASE("fast convolutions and their adjoints agree with plain loops") {
  unsigned seed = 1000;
  for (const auto& [name, c] : cases()) {
    CAPTURE(name);
    const Values v = values_of(c, seed += 3);
    const auto xa = oracle::magnitudes(v.x), wa = oracle::magnitudes(v.w), ga = oracle::magnitudes(v.g);
    for (const bool constant : {false, true}) {
      CAPTURE(constant);
      const auto r = run(c, v, constant, {.poison = true});
      // A running sum in float loses a few roundings of the sum of magnitudes.
      CHECK(largest_error(r[0], oracle::conv(c, v.x, v.w), oracle::conv(c, xa, wa)) < 8);
      CHECK(largest_error(r[1], oracle::conv_input_grad(c, v.g, v.w), oracle::conv_input_grad(c, ga, wa)) <
            8);
      CHECK(largest_error(r[2], oracle::conv_weight_grad(c, v.x, v.g), oracle::conv_weight_grad(c, xa, ga)) <
            8);
    }
  }
}

TEST_CASE("no convolution falls to oneDNN's reference implementation, in the layouts that programs give it") {
  for (const auto& [name, c] : cases())
    for (const Precision precision : {Precision::exact, Precision::fast}) {
      CAPTURE(name);
      Graph graph;
      const auto input = [&](const char* label, Dims dims) {
        return graph.input(label, {DType::float32, Shape::of(dims)});
      };
      const Expr x = input("x", c.x_dims()), g = input("g", c.y_dims()),
                 w = graph.constant(tensor(c.w_dims(), oracle::normal(c.w_dims(), 1)));
      const std::vector<Expr> outputs{
          relu(conv(relu(x), w, 0.0, {c.strides, c.pads_begin, c.pads_end, c.dilations, c.groups})),
          relu(conv_transpose(relu(g), w, 0.0,
                              {c.strides, c.pads_begin, c.pads_end, c.dilations, c.groups, c.in}))};
      const std::string text = Program::compile(outputs, {.precision = precision}).print({1, 1});
      CHECK_MESSAGE(text.find("by ref") == std::string::npos, text);
      CHECK_MESSAGE(text.find("ref:") == std::string::npos, text);
    }
}

TEST_CASE("fast precision stays within 1e-4 of the largest value") {
  unsigned seed = 2000;
  for (const auto& [name, c] : cases()) {
    CAPTURE(name);
    const Values v = values_of(c, seed += 3);
    const auto r = run(c, v, true, {.precision = Precision::fast, .poison = true});
    const auto near = [](const Tensor& got, const oracle::Values& want) {
      double largest = 0, error = 0;
      for (std::size_t i = 0; i < want.size(); ++i) {
        largest = std::max(largest, std::abs(want[i]));
        error = std::max(error, std::abs(static_cast<double>(got.values<float>()[i]) - want[i]));
      }
      return error <= 1e-4 * largest;
    };
    CHECK(near(r[0], oracle::conv(c, v.x, v.w)));
    CHECK(near(r[1], oracle::conv_input_grad(c, v.g, v.w)));
    CHECK(near(r[2], oracle::conv_weight_grad(c, v.x, v.g)));
  }
}

TEST_CASE("products of several rows agree with plain loops, whichever way the weight lies") {
  unsigned seed = 4000;
  for (const auto& [rows, depth, columns] : {std::array<std::int64_t, 3>{33, 200, 170},
                                             {20, 400, 200},
                                             {64, 96, 256},
                                             {130, 257, 65},
                                             {200, 64, 100},
                                             {8, 420, 330},
                                             {32, 150, 257}}) {
    CAPTURE(rows);
    const oracle::Dims x_dims{rows, depth}, w_dims{depth, columns}, y_dims{rows, columns};
    const oracle::Values x = oracle::normal(x_dims, ++seed), w = oracle::normal(w_dims, ++seed),
                         b = oracle::normal(oracle::Dims{columns}, ++seed);
    const oracle::Values product = oracle::matmul(x_dims, x, w_dims, w, y_dims),
                         scale = oracle::matmul(x_dims, oracle::magnitudes(x), w_dims, oracle::magnitudes(w),
                                                y_dims);
    for (const bool constant : {false, true}) {
      Graph graph;
      const Expr ex = graph.input("x", {DType::float32, Shape{B, depth}});
      const Tensor lying = tensor(w_dims, w), standing = tensor({columns, depth}, oracle::swapped(w_dims, w));
      const auto weight = [&](const char* name, const Tensor& value) {
        return constant ? graph.constant(value)
                        : graph.input(name, {DType::float32, Shape::of(value.dims())});
      };
      const Expr ew = weight("w", lying), et = weight("t", standing),
                 eb = graph.constant(tensor({columns}, b));
      const std::vector<Expr> outputs{dense(ex, et, eb), matmul(ex, ew),
                                      matmul(ex, et, {.transpose_b = true})};
      Inputs inputs{{"x", tensor(x_dims, x)}};
      if (!constant) inputs.insert({{"w", lying}, {"t", standing}});
      const Program program = Program::compile(outputs, {.poison = true});
      const auto results = program.run(inputs);
      oracle::Values with_bias = product, bias_scale = scale;
      for (std::size_t i = 0; i < product.size(); ++i) {
        with_bias[i] += b[i % static_cast<std::size_t>(columns)];
        bias_scale[i] += std::abs(b[i % static_cast<std::size_t>(columns)]);
      }
      CHECK(largest_error(results[0], with_bias, bias_scale) < 8);
      CHECK(largest_error(results[1], product, scale) < 8);
      CHECK(largest_error(results[2], product, scale) < 8);
      CHECK(program.print({rows, 1}).find("ref:") == std::string::npos);
      // A constant of a cache's size is packed, once.
      if (constant && rows <= 32 && rows * depth * columns >= 1 << 20)
        CHECK(program.stats({rows, 1}).packed_bytes > 0);
    }
  }
}
