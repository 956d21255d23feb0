// LSTM, GRU and RNN as they are unrolled, against the equations of ONNX's specification written as plain
// loops.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "onnx/onnx_cases.hpp"
#include "shared_data.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t steps = 4, inputs = 2, hidden = 3;
using Numbers = std::vector<double>;
using Curve = std::function<double(double)>;

struct Variant {
  std::string op = "LSTM", direction = "forward";
  bool batch_first = false, bias = true, state = true, lengths = false, peepholes = false, coupled = false,
       reset_after = false;
  double clip = 0;
  std::vector<std::string> activations;  ///< of one direction
  std::vector<float> alpha, beta;        ///< of all directions
  std::vector<Curve> functions;
  std::int64_t samples = 3;
  bool free_batch = true, lengths_as_input = false;

  [[nodiscard]] std::int64_t gates() const { return op == "LSTM" ? 4 : op == "GRU" ? 3 : 1; }
  [[nodiscard]] std::int64_t directions() const { return direction == "bidirectional" ? 2 : 1; }
};

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

std::vector<float> random_floats(std::int64_t count, int seed) {
  std::mt19937 random(static_cast<unsigned>(seed));
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = uniform(random);
  return values;
}

struct Arrays {
  std::vector<float> x, w, r, b, h, c, p;
  std::vector<std::int64_t> lengths;
};

Arrays arrays_of(const Variant& v) {
  const std::int64_t d = v.directions(), g = v.gates();
  Arrays a{random_floats(steps * v.samples * inputs, 1),
           random_floats(d * g * hidden * inputs, 2),
           random_floats(d * g * hidden * hidden, 3),
           random_floats(d * 2 * g * hidden, 4),
           random_floats(d * v.samples * hidden, 5),
           random_floats(d * v.samples * hidden, 6),
           random_floats(d * 3 * hidden, 7),
           {}};
  for (std::int64_t n = 0; n < v.samples; ++n)
    a.lengths.push_back(v.lengths ? (n == 0 ? steps : n % steps + 1) : steps);
  return a;
}

/// Y [steps, directions, samples, hidden], Y_h and Y_c [directions, samples, hidden].
struct Answer {
  Numbers y, h, c;
};

/// The equations of the specification, a unit at a time.
Answer loops(const Variant& v, const Arrays& a) {
  const std::int64_t N = v.samples, H = hidden, G = v.gates();
  Answer out{Numbers(static_cast<std::size_t>(steps * v.directions() * N * H)),
             Numbers(static_cast<std::size_t>(v.directions() * N * H)),
             Numbers(static_cast<std::size_t>(v.directions() * N * H))};
  const auto at = [](const std::vector<float>& values, std::int64_t i) {
    return static_cast<double>(values[static_cast<std::size_t>(i)]);
  };
  const auto limited = [&](double z) { return v.clip > 0 ? std::clamp(z, -v.clip, v.clip) : z; };
  const auto f = [&](std::size_t which, double z) { return v.functions[which](limited(z)); };
  for (std::int64_t d = 0; d < v.directions(); ++d) {
    const bool backwards = d == 1 || v.direction == "reverse";
    for (std::int64_t n = 0; n < N; ++n) {
      Numbers h(static_cast<std::size_t>(H)), c(static_cast<std::size_t>(H));
      for (std::int64_t j = 0; j < H; ++j) {
        h[static_cast<std::size_t>(j)] = v.state ? at(a.h, (d * N + n) * H + j) : 0;
        c[static_cast<std::size_t>(j)] = v.state ? at(a.c, (d * N + n) * H + j) : 0;
      }
      const std::int64_t length = a.lengths[static_cast<std::size_t>(n)];
      for (std::int64_t s = 0; s < length; ++s) {
        const std::int64_t t = backwards ? length - 1 - s : s;
        const auto input = [&](std::int64_t row) {
          double z = v.bias ? at(a.b, d * 2 * G * H + row) : 0;
          for (std::int64_t i = 0; i < inputs; ++i)
            z += at(a.w, (d * G * H + row) * inputs + i) * at(a.x, (t * N + n) * inputs + i);
          return z;
        };
        const auto state = [&](std::int64_t row, const Numbers& from) {
          double z = v.bias ? at(a.b, d * 2 * G * H + G * H + row) : 0;
          for (std::int64_t k = 0; k < H; ++k)
            z += at(a.r, (d * G * H + row) * H + k) * from[static_cast<std::size_t>(k)];
          return z;
        };
        const auto peephole = [&](std::int64_t gate, std::int64_t j, double cell) {
          return v.peepholes ? at(a.p, d * 3 * H + gate * H + j) * cell : 0;
        };
        Numbers next = h, memory = c, reset(static_cast<std::size_t>(H));
        if (v.op == "GRU")
          for (std::int64_t j = 0; j < H; ++j)
            reset[static_cast<std::size_t>(j)] =
                f(0, input(H + j) + state(H + j, h)) * h[static_cast<std::size_t>(j)];
        for (std::int64_t j = 0; j < H; ++j) {
          const auto unit = static_cast<std::size_t>(j);
          if (v.op == "RNN") {
            next[unit] = f(0, input(j) + state(j, h));
          } else if (v.op == "GRU") {
            const double z = f(0, input(j) + state(j, h)), r = f(0, input(H + j) + state(H + j, h));
            const double n_ =
                f(1, input(2 * H + j) + (v.reset_after ? r * state(2 * H + j, h) : state(2 * H + j, reset)));
            next[unit] = (1 - z) * n_ + z * h[unit];
          } else {
            const double i = f(0, input(j) + state(j, h) + peephole(0, j, c[unit]));
            const double forget =
                v.coupled ? 1 - i : f(0, input(2 * H + j) + state(2 * H + j, h) + peephole(2, j, c[unit]));
            memory[unit] = forget * c[unit] + i * f(1, input(3 * H + j) + state(3 * H + j, h));
            const double o = f(0, input(H + j) + state(H + j, h) + peephole(1, j, memory[unit]));
            next[unit] = o * v.functions[2](memory[unit]);  // not clipped, as in onnxruntime
          }
        }
        h = next;
        c = memory;
        for (std::int64_t j = 0; j < H; ++j)
          out.y[static_cast<std::size_t>(((t * v.directions() + d) * N + n) * H + j)] =
              h[static_cast<std::size_t>(j)];
      }
      for (std::int64_t j = 0; j < H; ++j) {
        out.h[static_cast<std::size_t>((d * N + n) * H + j)] = h[static_cast<std::size_t>(j)];
        out.c[static_cast<std::size_t>((d * N + n) * H + j)] = c[static_cast<std::size_t>(j)];
      }
    }
  }
  return out;
}

void set_text(onnx::NodeProto& node, const std::string& name, const std::string& value) {
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::STRING);
  a.set_s(value);
}

void set_numbers(onnx::NodeProto& node, const std::string& name, const std::vector<float>& values) {
  if (values.empty()) return;
  auto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(onnx::AttributeProto::FLOATS);
  for (const float value : values) a.add_floats(value);
}

/// Swaps two neighbouring axes of an array: x [a, b, rest] becomes [b, a, rest].
template <class T>
std::vector<T> swapped(const std::vector<T>& x, std::int64_t outer, std::int64_t a, std::int64_t b,
                       std::int64_t rest) {
  std::vector<T> y(x.size());
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < a; ++i)
      for (std::int64_t j = 0; j < b; ++j)
        for (std::int64_t k = 0; k < rest; ++k)
          y[static_cast<std::size_t>(((o * b + j) * a + i) * rest + k)] =
              x[static_cast<std::size_t>(((o * a + i) * b + j) * rest + k)];
  return y;
}

std::string model_of(const Variant& v, const Arrays& a) {
  OnnxBuilder builder(14);
  const std::int64_t d = v.directions(), g = v.gates(), N = v.samples, batch = v.free_batch ? -1 : N;
  builder.input("X", {batch, steps, inputs});
  if (!v.batch_first) {
    auto& turn = builder.node("Transpose", {"X"}, {"X_turned"});
    OnnxBuilder::set(turn, "perm", std::vector<std::int64_t>{1, 0, 2});
  }
  builder.floats("W", {d, g * hidden, inputs}, a.w);
  builder.floats("R", {d, g * hidden, hidden}, a.r);
  if (v.bias) builder.floats("B", {d, 2 * g * hidden}, a.b);
  // Inputs, so that they have the batch too.
  const auto state = [&](const char* name) {
    builder.input(name, {batch, d, hidden});
    if (v.batch_first) return std::string(name);
    auto& turn = builder.node("Transpose", {name}, {std::string(name) + "_turned"});
    OnnxBuilder::set(turn, "perm", std::vector<std::int64_t>{1, 0, 2});
    return std::string(name) + "_turned";
  };
  std::vector<std::string> names{
      v.batch_first ? "X" : "X_turned", "W", "R", v.bias ? "B" : "", "", "", "", ""};
  if (v.state) names[5] = state("H0");
  if (v.state && v.op == "LSTM") names[6] = state("C0");
  if (v.lengths && v.lengths_as_input) builder.input("L", {batch}, onnx::TensorProto::INT64);
  if (v.lengths && !v.lengths_as_input) builder.integers("L", {N}, a.lengths);
  if (v.lengths) names[4] = "L";
  if (v.peepholes) {
    builder.floats("P", {d, 3 * hidden}, a.p);
    names[7] = "P";
  }
  while (names.back().empty()) names.pop_back();
  auto& node = builder.node(
      v.op, names,
      v.op == "LSTM" ? std::vector<std::string>{"Y", "Yh", "Yc"} : std::vector<std::string>{"Y", "Yh"},
      "cell");
  OnnxBuilder::set(node, "hidden_size", hidden);
  set_text(node, "direction", v.direction);
  if (v.batch_first) OnnxBuilder::set(node, "layout", 1);
  if (v.coupled) OnnxBuilder::set(node, "input_forget", 1);
  if (v.reset_after) OnnxBuilder::set(node, "linear_before_reset", 1);
  if (v.clip > 0) {
    auto& clip = *node.add_attribute();
    clip.set_name("clip");
    clip.set_type(onnx::AttributeProto::FLOAT);
    clip.set_f(static_cast<float>(v.clip));
  }
  if (!v.activations.empty()) {
    auto& list = *node.add_attribute();
    list.set_name("activations");
    list.set_type(onnx::AttributeProto::STRINGS);
    for (std::int64_t way = 0; way < d; ++way)
      for (const std::string& name : v.activations) list.add_strings(name);
  }
  set_numbers(node, "activation_alpha", v.alpha);
  set_numbers(node, "activation_beta", v.beta);
  builder.output("Y").output("Yh");
  if (v.op == "LSTM") builder.output("Yc");
  return builder.bytes();
}

template <class T>
Tensor float64(Dims dims, const std::vector<T>& values) {
  return Tensor(std::move(dims), std::span<const T>(values)).cast(DType::float64);
}

/// "" if the model gives what the loops give.
std::string difference(Variant v) {
  if (v.functions.empty())
    v.functions = v.op == "LSTM"  ? std::vector<Curve>{sigmoid, [](double z) { return std::tanh(z); },
                                                       [](double z) { return std::tanh(z); }}
                  : v.op == "GRU" ? std::vector<Curve>{sigmoid, [](double z) { return std::tanh(z); }}
                                  : std::vector<Curve>{[](double z) { return std::tanh(z); }};
  const Arrays a = arrays_of(v);
  const Answer expected = loops(v, a);
  const ScratchFile file("recurrent.onnx", model_of(v, a));
  LoadOptions options;
  options.dtype = DType::float64;
  if (!v.free_batch) options.batch = BatchPolicy::fixed;
  const Model model = load_onnx(file.path(), options);
  const std::int64_t N = v.samples, d = v.directions();
  Inputs given;
  given["X"] = float64({N, steps, inputs}, swapped(a.x, 1, steps, N, inputs));
  given["H0"] = float64({N, d, hidden}, swapped(a.h, 1, d, N, hidden));
  given["C0"] = float64({N, d, hidden}, swapped(a.c, 1, d, N, hidden));
  given["L"] = Tensor(Dims{N}, std::span<const std::int64_t>(a.lengths));
  Inputs needed;
  for (const ModelInput& input : model.inputs()) needed[input.name] = given.at(input.name);
  std::vector<Expr> outputs;
  for (const ModelOutput& output : model.outputs()) outputs.push_back(output.expr);
  const std::vector<Tensor> results = evaluate(outputs, needed);
  std::vector<Tensor> wanted;
  if (v.batch_first) {
    // [steps, d, N, hidden] -> [N, steps, d, hidden]
    wanted.push_back(float64({N, steps, d, hidden}, swapped(expected.y, 1, steps * d, N, hidden)));
    wanted.push_back(float64({N, d, hidden}, swapped(expected.h, 1, d, N, hidden)));
    wanted.push_back(float64({N, d, hidden}, swapped(expected.c, 1, d, N, hidden)));
  } else {
    wanted.push_back(float64({steps, d, N, hidden}, expected.y));
    wanted.push_back(float64({d, N, hidden}, expected.h));
    wanted.push_back(float64({d, N, hidden}, expected.c));
  }
  for (std::size_t i = 0; i < results.size(); ++i)
    if (const std::string problem = first_difference(results[i], wanted[i], 1e-12, 1e-12); !problem.empty())
      return fmt::format("output {}: {}", i, problem);
  return "";
}

}  // namespace

TEST_CASE("recurrent operators compute what their specification says, in all variants") {
  int variants = 0;
  for (const char* op : {"RNN", "GRU", "LSTM"})
    for (const char* direction : {"forward", "reverse", "bidirectional"})
      for (const bool batch_first : {false, true})
        for (const bool bias : {false, true})
          for (const int lengths : {0, 1, 2})
            for (const bool special : {false, true}) {
              Variant v;
              v.op = op;
              v.direction = direction;
              v.batch_first = batch_first;
              v.bias = bias;
              v.state = bias || special;
              v.lengths = lengths > 0;
              v.lengths_as_input = lengths == 2;
              v.free_batch = lengths != 1;
              v.peepholes = special;
              v.reset_after = special;
              v.clip = special && bias ? 0.4 : 0;
              if (v.op != "LSTM") v.peepholes = false;
              if (v.op != "GRU") v.reset_after = false;
              INFO(op, " ", direction, batch_first ? " batch first" : "", bias ? " bias" : "", " lengths ",
                   lengths, special ? " special" : "");
              CHECK(difference(v) == "");
              ++variants;
            }
  CHECK(variants == 216);
}

TEST_CASE("an input gate may be the rest of the forget gate") {
  Variant v;
  v.coupled = true;
  CHECK(difference(v) == "");
}

TEST_CASE("all activations of recurrent operators, their constants taken in order by those that have some") {
  struct Case {
    std::string name;
    std::vector<float> alpha, beta;
    Curve function;
  };
  const std::vector<Case> cases{
      {"Relu", {}, {}, [](double z) { return std::max(z, 0.0); }},
      {"Tanh", {}, {}, [](double z) { return std::tanh(z); }},
      {"Sigmoid", {}, {}, sigmoid},
      {"Affine", {0.5F}, {0.25F}, [](double z) { return 0.5 * z + 0.25; }},
      {"LeakyRelu", {}, {}, [](double z) { return z > 0 ? z : 0.01 * z; }},
      {"LeakyRelu", {0.25F}, {}, [](double z) { return z > 0 ? z : 0.25 * z; }},
      {"ThresholdedRelu", {0.125F}, {}, [](double z) { return z > 0.125 ? z : 0; }},
      {"ScaledTanh", {1.5F}, {0.5F}, [](double z) { return 1.5 * std::tanh(0.5 * z); }},
      {"HardSigmoid", {}, {}, [](double z) { return std::clamp(0.2 * z + 0.5, 0.0, 1.0); }},
      {"hardsigmoid", {0.5F}, {0.25F}, [](double z) { return std::clamp(0.5 * z + 0.25, 0.0, 1.0); }},
      {"Elu", {}, {}, [](double z) { return z > 0 ? z : std::expm1(z); }},
      {"Softsign", {}, {}, [](double z) { return z / (1 + std::abs(z)); }},
      {"Softplus", {}, {}, [](double z) { return std::log1p(std::exp(z)); }},
  };
  for (const Case& one : cases) {
    Variant v;
    v.op = "RNN";
    v.activations = {one.name};
    v.alpha = one.alpha;
    v.beta = one.beta;
    v.functions = {one.function};
    INFO(one.name);
    CHECK(difference(v) == "");
  }
  // Tanh has no constant and takes none: 0.5 is the sigmoid's slope, 0.25 its place, 2 the last function's
  // alpha.
  Variant v;
  v.activations = {"HardSigmoid", "Tanh", "Elu"};
  v.alpha = {0.5F, 2.0F};
  v.beta = {0.25F};
  v.functions = {cases[9].function, cases[1].function,
                 [](double z) { return z > 0 ? z : 2 * std::expm1(z); }};
  CHECK(difference(v) == "");
}

TEST_CASE("gates have names by which rules find them") {
  Variant v;
  const Arrays a = arrays_of(v);
  const ScratchFile file("recurrent_names.onnx", model_of(v, a));
  const Model model = load_onnx(file.path());
  for (const char* part : {"input", "forget", "output", "candidate", "cell", "hidden"})
    for (std::int64_t t = 0; t < steps; ++t)
      CHECK(model.graph().find(fmt::format("cell.t{}.{}", t, part)).size() == 1);
  CHECK(model.graph().find("cell.t3.forget")[0].is("sigmoid"));
  v.op = "GRU";
  v.direction = "bidirectional";
  const ScratchFile both("recurrent_names2.onnx", model_of(v, arrays_of(v)));
  const Model gru = load_onnx(both.path());
  // What was put together on load stands in the graph beside what it was made of; one of both is in the network.
  std::vector<Expr> ends;
  for (const ModelOutput& output : gru.outputs()) ends.push_back(output.expr);
  const std::vector<Expr> nodes = topological_order(ends);
  for (const char* part : {"update", "reset", "candidate", "hidden"}) {
    const std::string name = fmt::format("cell.reverse.t0.{}", part);
    CHECK(std::count_if(nodes.begin(), nodes.end(), [&](Expr node) {
            const auto names = gru.graph().names(node);
            return std::find(names.begin(), names.end(), name) != names.end();
          }) == 1);
  }
}

TEST_CASE("what is wrong with a recurrent node is said") {
  const auto message = [](const Variant& v) {
    const ScratchFile file("recurrent_wrong.onnx", model_of(v, arrays_of(v)));
    try {
      (void)load_onnx(file.path());
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("loaded");
  };
  Variant v;
  v.direction = "sideways";
  CHECK(message(v).find("direction is 'sideways'") != std::string::npos);
  v.direction = "forward";
  v.activations = {"Sigmoid", "Tanh"};
  CHECK(message(v).find("activations names 2 functions, but 3 are needed") != std::string::npos);
  v.activations = {"Sigmoid", "Tanh", "Cosh"};
  CHECK(message(v).find("activation 'Cosh' is none of") != std::string::npos);
  v.activations = {"Sigmoid", "Tanh", "ScaledTanh"};
  CHECK(message(v).find("ScaledTanh has no activation_alpha") != std::string::npos);
}

TEST_CASE("200 steps are unrolled within a second") {
  constexpr std::int64_t long_steps = 200, units = 64;
  OnnxBuilder builder(14);
  builder.input("X", {-1, long_steps, units});
  auto& turn = builder.node("Transpose", {"X"}, {"T"});
  OnnxBuilder::set(turn, "perm", std::vector<std::int64_t>{1, 0, 2});
  builder.floats("W", {1, 4 * units, units}, random_floats(4 * units * units, 1));
  builder.floats("R", {1, 4 * units, units}, random_floats(4 * units * units, 2));
  auto& node = builder.node("LSTM", {"T", "W", "R"}, {"Y", "Yh"}, "lstm");
  OnnxBuilder::set(node, "hidden_size", units);
  builder.output("Yh");
  const ScratchFile file("recurrent_long.onnx", builder.bytes());
  const ThreadTimer timer;
  const Model model = load_onnx(file.path());
  const double seconds = timer.seconds();
  INFO(seconds, " s");
  CHECK(seconds < 1.0);
  CHECK(model.graph().find("lstm.t199.hidden").size() == 1);
  // A product for all steps of the input, and one a step of the state.
  int products = 0;
  const Expr output = model.outputs()[0].expr;
  for (const Expr expr : topological_order(std::span(&output, 1))) products += expr.is("dense") ? 1 : 0;
  CHECK(products == 1 + long_steps);
}

namespace {

/// The recording as frames of 576 samples, 512 apart, each with the 64 samples before it: [96, 576].
Tensor speech_frames(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  constexpr std::size_t header = 44, frames = 96;
  REQUIRE(bytes.size() >= header + 2 * 512 * frames);
  std::vector<float> samples(64 + 512 * frames, 0.0F);
  for (std::size_t i = 0; i < 512 * frames; ++i) {
    const auto low = static_cast<unsigned char>(bytes[header + 2 * i]),
               high = static_cast<unsigned char>(bytes[header + 2 * i + 1]);
    samples[64 + i] = static_cast<float>(static_cast<std::int16_t>(low | high << 8)) / 32768.0F;
  }
  Tensor x(DType::float32, Dims{static_cast<std::int64_t>(frames), 576});
  for (std::size_t frame = 0; frame < frames; ++frame)
    std::copy_n(samples.begin() + static_cast<std::ptrdiff_t>(512 * frame), 576,
                x.mutable_values<float>().begin() + static_cast<std::ptrdiff_t>(576 * frame));
  return x;
}

}  // namespace

TEST_CASE(
    "a published detector of speech gives its known answers, as one LSTM over time and as a step with "
    "branches") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Tensor frames = speech_frames(*data / "audio/speech.wav");
  const Tensor expected = io::read_npy(*data / "audio/speech_expected_logit.npy");
  LoadOptions options;
  options.extents = {{"T", 96}};
  const Model whole = load_onnx(*data / "audio/silero_vad_sequence.onnx", options);
  const Expr logits = whole.outputs()[0].expr;
  CHECK(first_difference(evaluate(std::span(&logits, 1), {{"frames", frames}})[0], expected, 1e-4, 1e-4) ==
        "");

  options.extents = {{"sequence", 576}};
  const Model step = load_onnx(*data / "audio/silero_vad_16k_op15.onnx", options);
  const std::vector<Expr> outputs{step.outputs()[0].expr, step.outputs()[1].expr};
  const Program program = Program::compile(outputs);
  Tensor state(DType::float32, Dims{2, 1, 128});
  for (std::int64_t t = 0; t < 96; ++t) {
    const auto row = frames.values<float>().subspan(static_cast<std::size_t>(576 * t), 576);
    Inputs inputs{{"input", Tensor(Dims{1, 576}, row)}, {"state", state}};
    if (step.inputs().size() > 2) inputs["sr"] = Tensor::scalar(DType::int64, 16000);
    const std::vector<Tensor> results = program.run(inputs);
    state = results[1];
    CHECK(results[0].at(0) == doctest::Approx(sigmoid(expected.at(t))).epsilon(1e-3));
  }
}
