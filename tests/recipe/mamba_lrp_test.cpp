// MambaLRP of a small selective state-space network against the network with its coefficients frozen.
#include <doctest/doctest.h>
#include <functional>
#include <random>

#include "rulegrad/onnx/model.hpp"

#include "onnx/onnx_builder.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t steps = 5, inputs = 3, width = 4, states = 3, classes = 2;

std::vector<float> numbers(std::int64_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(random);
  return values;
}

struct Weights {
  std::vector<float> in = numbers(width * inputs, 1), gate = numbers(width * inputs, 2),
                     taps = numbers(width * 2, 3), step = numbers(width * width, 4),
                     b = numbers(states * width, 5), c = numbers(states * width, 6), skip = numbers(width, 7),
                     out = numbers(classes * width, 8);
  std::vector<float> a = [] {
    std::vector<float> values = numbers(width * states, 9);
    for (float& value : values) value = -0.5F - value * value;
    return values;
  }();
};

/// As exporters write the layer of Gu and Dao 2023 (arXiv 2312.00752): the recurrence as Scan, SiLU as a
/// product.
std::string model_of(const Weights& w) {
  OnnxBuilder builder(17);
  builder.input("x", {-1, steps, inputs});
  const auto matrix = [&](const char* name, std::int64_t rows, std::int64_t columns,
                          const std::vector<float>& values) {
    // Files hold the weights of MatMul transposed.
    std::vector<float> turned(values.size());
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        turned[static_cast<std::size_t>(j * rows + i)] = values[static_cast<std::size_t>(i * columns + j)];
    builder.floats(name, {columns, rows}, turned);
  };
  matrix("W_in", width, inputs, w.in);
  matrix("W_gate", width, inputs, w.gate);
  matrix("W_step", width, width, w.step);
  matrix("W_b", states, width, w.b);
  matrix("W_c", states, width, w.c);
  matrix("W_out", classes, width, w.out);
  builder.floats("taps", {width, 1, 2}, w.taps);
  builder.floats("A", {width, states}, w.a);
  builder.floats("D", {width}, w.skip);
  builder.floats("h0", {1, width, states}, std::vector<float>(static_cast<std::size_t>(width * states), 0));
  builder.integers("last", {1}, {-1});
  builder.integers("middle", {1}, {1});
  const auto turn = [&](const char* from, const char* to) {
    OnnxBuilder::set(builder.node("Transpose", {from}, {to}), "perm", std::vector<std::int64_t>{0, 2, 1});
  };
  builder.node("MatMul", {"x", "W_in"}, {"v"});
  builder.node("MatMul", {"x", "W_gate"}, {"z"});
  turn("v", "vt");
  auto& conv = builder.node("Conv", {"vt", "taps"}, {"ct"});
  OnnxBuilder::set(conv, "group", width);
  OnnxBuilder::set(conv, "pads", std::vector<std::int64_t>{1, 0});
  turn("ct", "conv");
  builder.node("Sigmoid", {"conv"}, {"conv_s"});
  builder.node("Mul", {"conv", "conv_s"}, {"u"});
  builder.node("MatMul", {"u", "W_step"}, {"raw"});
  builder.node("Softplus", {"raw"}, {"dt"});
  builder.node("MatMul", {"u", "W_b"}, {"B"});
  builder.node("MatMul", {"u", "W_c"}, {"C"});
  builder.node("Unsqueeze", {"dt", "last"}, {"dt1"});
  builder.node("Mul", {"dt1", "A"}, {"dA"});
  builder.node("Exp", {"dA"}, {"decay"});
  builder.integers("two", {1}, {2});
  builder.node("Unsqueeze", {"B", "two"}, {"B1"});
  builder.node("Mul", {"dt1", "B1"}, {"dB"});
  builder.node("Unsqueeze", {"u", "last"}, {"u1"});
  builder.node("Mul", {"dB", "u1"}, {"fresh"});
  auto& scan = builder.node("Scan", {"h0", "decay", "fresh", "C"}, {"h_last", "ys"}, "ssm");
  OnnxBuilder::set(scan, "num_scan_inputs", 3);
  OnnxBuilder::set(scan, "scan_input_axes", std::vector<std::int64_t>{1, 1, 1});
  OnnxBuilder::set(scan, "scan_output_axes", std::vector<std::int64_t>{1});
  auto& attribute = *scan.add_attribute();
  attribute.set_name("body");
  attribute.set_type(onnx::AttributeProto::GRAPH);
  auto& body = *attribute.mutable_g();
  for (const char* name : {"h", "e", "f", "c"}) body.add_input()->set_name(name);
  for (const char* name : {"h_next", "y"}) body.add_output()->set_name(name);
  const auto inner = [&](const char* op, std::vector<std::string> from, const char* to) {
    auto& node = *body.add_node();
    node.set_op_type(op);
    for (const auto& name : from) node.add_input(name);
    node.add_output(to);
  };
  inner("Mul", {"e", "h"}, "kept");
  inner("Add", {"kept", "f"}, "h_next");
  inner("Unsqueeze", {"c", "last"}, "c1");
  inner("MatMul", {"h_next", "c1"}, "y1");
  inner("Squeeze", {"y1", "last"}, "y");
  builder.node("Mul", {"u", "D"}, {"skipped"});
  builder.node("Add", {"ys", "skipped"}, {"signal"});
  builder.node("Sigmoid", {"z"}, {"z_s"});
  builder.node("Mul", {"z", "z_s"}, {"open"});
  builder.node("Mul", {"signal", "open"}, {"gated"});
  builder.node("MatMul", {"gated", "W_out"}, {"each"});
  auto& mean = builder.node("ReduceMean", {"each"}, {"logits"});
  OnnxBuilder::set(mean, "axes", std::vector<std::int64_t>{1});
  OnnxBuilder::set(mean, "keepdims", 0);
  builder.output("logits");
  return builder.bytes();
}

/// The score of class 1 at x, where everything that MambaLRP takes for constant is that of x0: linear in x.
double frozen(const Weights& w, const std::vector<double>& x, const std::vector<double>& x0) {
  const auto at = [](const std::vector<float>& values, std::int64_t i) {
    return static_cast<double>(values[static_cast<std::size_t>(i)]);
  };
  const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  const auto project = [&](const std::vector<float>& m, std::int64_t rows, std::int64_t columns,
                           const std::vector<double>& from, std::int64_t t, std::int64_t row) {
    (void)rows;
    double sum = 0;
    for (std::int64_t i = 0; i < columns; ++i)
      sum += at(m, row * columns + i) * from[static_cast<std::size_t>(t * columns + i)];
    return sum;
  };
  const auto signal_of = [&](const std::vector<double>& from, std::vector<double>& conv) {
    conv.assign(static_cast<std::size_t>(steps * width), 0);
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t d = 0; d < width; ++d) {
        double sum = at(w.taps, 2 * d + 1) * project(w.in, width, inputs, from, t, d);
        if (t > 0) sum += at(w.taps, 2 * d) * project(w.in, width, inputs, from, t - 1, d);
        conv[static_cast<std::size_t>(t * width + d)] = sum;
      }
  };
  std::vector<double> conv, conv0;
  signal_of(x, conv);
  signal_of(x0, conv0);
  std::vector<double> u(conv.size()), u0(conv.size());
  for (std::size_t i = 0; i < u.size(); ++i) {
    u[i] = conv[i] * sigmoid(conv0[i]);
    u0[i] = conv0[i] * sigmoid(conv0[i]);
  }
  const auto run = [&](const std::vector<double>& from) {
    std::vector<double> h(static_cast<std::size_t>(width * states), 0),
        y(static_cast<std::size_t>(steps * width), 0);
    for (std::int64_t t = 0; t < steps; ++t)
      for (std::int64_t d = 0; d < width; ++d) {
        const double dt = std::log1p(std::exp(project(w.step, width, width, u0, t, d)));
        double sum = 0;
        for (std::int64_t n = 0; n < states; ++n) {
          double& state = h[static_cast<std::size_t>(d * states + n)];
          state = std::exp(dt * at(w.a, d * states + n)) * state +
                  dt * project(w.b, states, width, u0, t, n) * from[static_cast<std::size_t>(t * width + d)];
          sum += state * project(w.c, states, width, u0, t, n);
        }
        y[static_cast<std::size_t>(t * width + d)] =
            sum + at(w.skip, d) * from[static_cast<std::size_t>(t * width + d)];
      }
    return y;
  };
  const std::vector<double> y = run(u), y0 = run(u0);
  double score = 0;
  for (std::int64_t t = 0; t < steps; ++t)
    for (std::int64_t d = 0; d < width; ++d) {
      const double z = project(w.gate, width, inputs, x, t, d), z0 = project(w.gate, width, inputs, x0, t, d);
      const std::size_t i = static_cast<std::size_t>(t * width + d);
      score += at(w.out, width + d) * (y[i] * z0 + y0[i] * z) * sigmoid(z0) / 2 / steps;
    }
  return score;
}

}  // namespace

TEST_CASE(
    "MambaLRP is the input times the derivative of the network whose coefficients are frozen, and keeps the "
    "sum") {
  const Weights w;
  const ScratchFile file("mamba.onnx", model_of(w));
  LoadOptions options;
  options.dtype = DType::float64;
  const Model model = load_onnx(file.path().string(), options);
  constexpr std::int64_t samples = 2, each = steps * inputs;
  const std::vector<float> drawn = numbers(samples * each, 20);
  const std::vector<double> x(drawn.begin(), drawn.end());
  const Tensor batch(Dims{samples, steps, inputs}, std::span<const double>(x));
  const Expr output = model.outputs()[0].expr;
  const Tensor scores = evaluate(std::span(&output, 1), {{"x", batch}})[0];
  Question question = question_for(output, {model.inputs()[0].expr});
  question.target = fixed_target(output.graph(), 1);
  const Tensor map = explain("lrp.mamba", question, {{"x", batch}});
  for (std::int64_t n = 0; n < samples; ++n) {
    const std::vector<double> row(x.begin() + n * each, x.begin() + (n + 1) * each);
    const double score = frozen(w, row, row);
    CHECK(scores.at(n * classes + 1) == doctest::Approx(score).epsilon(1e-12));
    double total = 0;
    for (std::int64_t i = 0; i < each; ++i) {
      std::vector<double> one(static_cast<std::size_t>(each), 0);
      one[static_cast<std::size_t>(i)] = row[static_cast<std::size_t>(i)];
      // Linear, so that the part of one input is what the network gives for it alone.
      CHECK(map.at(n * each + i) == doctest::Approx(frozen(w, one, row)).epsilon(1e-10));
      total += map.at(n * each + i);
    }
    CHECK(total == doctest::Approx(score).epsilon(1e-10));
  }
}
