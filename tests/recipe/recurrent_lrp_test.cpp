// LRP of recurrent networks: literal loops, the references of the shared data, gates of either spelling,
// conservation.
#include "oracle/recurrent_lrp.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <random>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"
#include "recipe/recipe_helpers.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

namespace fs = std::filesystem;
constexpr std::int64_t samples = 3;

std::vector<double> numbers(std::size_t count, unsigned seed, double size = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-size, size);
  std::vector<double> values(count);
  // Floats, so that a file holds them as they are.
  for (double& value : values) value = static_cast<double>(static_cast<float>(uniform(random)));
  return values;
}

oracle::RecurrentNet net_of(std::size_t gates, std::size_t steps, bool bias) {
  const std::size_t I = 4, H = 5, C = 3;
  oracle::RecurrentNet net{steps,
                           I,
                           H,
                           C,
                           numbers(gates * H * I, 1),
                           numbers(gates * H * H, 2),
                           numbers(2 * gates * H, 3, 0.5),
                           numbers(C * H, 4),
                           numbers(C, 5)};
  if (!bias) {
    std::fill(net.b.begin(), net.b.end(), 0.0);
    std::fill(net.d.begin(), net.d.end(), 0.0);
  }
  return net;
}

std::string file_of(const std::string& op, const oracle::RecurrentNet& net) {
  OnnxBuilder builder(14);
  const auto extent = [](std::size_t n) { return static_cast<std::int64_t>(n); };
  const auto weight = [&](const char* name, std::vector<std::int64_t> dims,
                          const std::vector<double>& values) {
    builder.floats(name, dims, std::vector<float>(values.begin(), values.end()));
  };
  const std::int64_t rows = extent(net.b.size() / 2);
  builder.input("x", {-1, extent(net.steps), extent(net.inputs)});
  OnnxBuilder::set(builder.node("Transpose", {"x"}, {"xt"}), "perm", std::vector<std::int64_t>{1, 0, 2});
  weight("W", {1, rows, extent(net.inputs)}, net.w);
  weight("R", {1, rows, extent(net.hidden)}, net.u);
  weight("B", {1, 2 * rows}, net.b);
  weight("V", {extent(net.classes), extent(net.hidden)}, net.v);
  weight("D", {extent(net.classes)}, net.d);
  auto& node = builder.node(op, {"xt", "W", "R", "B"}, {"", "h"}, "cell");
  OnnxBuilder::set(node, "hidden_size", extent(net.hidden));
  if (op == "GRU") OnnxBuilder::set(node, "linear_before_reset", 1);
  builder.integers("zero", {1}, {0});
  builder.node("Squeeze", {"h", "zero"}, {"last"});
  OnnxBuilder::set(builder.node("Gemm", {"last", "V", "D"}, {"logits"}), "transB", 1);
  builder.output("logits");
  return builder.bytes();
}

Model loaded(const fs::path& file) {
  LoadOptions options;
  options.dtype = DType::float64;
  return load_onnx(file.string(), options);
}

Tensor explained(const Model& model, const std::string& method, const Tensor& x, std::int64_t target) {
  Question question = question_for(model.head(HeadKind::logit), {model.inputs()[0].expr});
  if (target >= 0) question.target = fixed_target(question.output.graph(), target);
  return explain(method, question, {{model.inputs()[0].name, x}});
}

double relative_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.size() == b.size());
  double worst = 0, size = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(a.at(i) - b.at(i)));
    size = std::max(size, std::abs(b.at(i)));
  }
  return worst / size;
}

/// The largest relative difference between the engine and the loops over a batch.
double against_loops(const std::string& op, const std::string& method, const std::string& gates,
                     const oracle::RecurrentNet& net, double epsilon) {
  const ScratchFile file("recurrent_lrp.onnx", file_of(op, net));
  const Model model = loaded(file.path());
  const std::vector<double> x = numbers(static_cast<std::size_t>(samples) * net.steps * net.inputs, 9);
  const Dims dims{samples, static_cast<std::int64_t>(net.steps), static_cast<std::int64_t>(net.inputs)};
  const Tensor map = explained(model, method, Tensor(dims, std::span<const double>(x)), 1);
  std::vector<double> wanted;
  const oracle::RecurrentLoops loops(net, gates, epsilon);
  const std::size_t each = net.steps * net.inputs;
  for (std::size_t n = 0; n < static_cast<std::size_t>(samples); ++n) {
    const std::vector<double> row(x.begin() + static_cast<std::ptrdiff_t>(n * each),
                                  x.begin() + static_cast<std::ptrdiff_t>((n + 1) * each));
    const oracle::RecurrentLrp answer = op == "LSTM" ? loops.lstm(row, 1) : loops.gru(row, 1);
    wanted.insert(wanted.end(), answer.relevance.begin(), answer.relevance.end());
  }
  return relative_difference(map, Tensor(dims, std::span<const double>(wanted)));
}

}  // namespace

TEST_CASE(
    "LRP of an LSTM is what the papers' equations give unit by unit, in every way to share between gate and "
    "signal") {
  for (const char* gates : {"all", "half", "prop", "abs"}) {
    INFO(gates);
    CHECK(against_loops("LSTM", fmt::format("lrp.lstm:gates={}", gates), gates, net_of(4, 6, true), 1e-3) <
          1e-11);
  }
  CHECK(against_loops("LSTM", "lrp.lstm", "all", net_of(4, 6, true), 1e-3) < 1e-11);
  CHECK(against_loops("LSTM", "lrp.lstm:epsilon=0.25", "all", net_of(4, 6, true), 0.25) < 1e-11);
}

TEST_CASE("LRP of a GRU is what sums, products and layers give unit by unit") {
  CHECK(against_loops("GRU", "lrp.gru", "all", net_of(3, 6, true), 1e-3) < 1e-11);
}

TEST_CASE("1 less a gate is a gate, of sigmoids and hard sigmoids: the signal takes all") {
  for (const bool hard : {false, true}) {
    CAPTURE(hard);
    Graph graph(DType::float64);
    const auto weight = [&](Dims dims, unsigned seed) {
      return graph.constant(
          Tensor(dims, std::span<const double>(numbers(static_cast<std::size_t>(dims[0] * dims[1]), seed))));
    };
    const Expr a = graph.input("a", {DType::float64, Shape{B, 3}}),
               b = graph.input("b", {DType::float64, Shape{B, 3}});
    const Expr z = dense(a, weight({4, 3}, 1));
    const Expr gate =
        hard ? graph.apply(op("hardsigmoid"), {z}, HardsigmoidAttributes{0.2, 0.4}) : sigmoid(z);
    const Expr y = dense((1 - gate) * dense(b, weight({4, 3}, 2)), weight({2, 4}, 3));
    const Inputs inputs{{"a", Tensor({2, 3}, std::span<const double>(numbers(6, 4)))},
                        {"b", Tensor({2, 3}, std::span<const double>(numbers(6, 5)))}};
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse("lrp.gru:epsilon=1e-12"),
                                      question_for(y, {a, b}, fixed_target(graph, 1)));
    const std::vector<Tensor> maps =
        evaluate(std::vector<Expr>{analysis.attributions[0], analysis.attributions[1], y}, inputs);
    for (std::int64_t n = 0; n < 2; ++n) {
      double sum = 0;
      for (std::int64_t i = 0; i < 3; ++i) {
        CHECK(maps[0].at(3 * n + i) == 0);
        sum += maps[1].at(3 * n + i);
      }
      CHECK(sum == doctest::Approx(maps[2].at(2 * n + 1)).epsilon(1e-9));
    }
  }
}

TEST_CASE("relevance is conserved over 50 steps where no bias takes a share") {
  const oracle::RecurrentNet net = net_of(4, 50, false), gru = net_of(3, 50, false);
  const std::vector<double> x = numbers(50 * net.inputs, 11);
  const Tensor input(Dims{1, 50, static_cast<std::int64_t>(net.inputs)}, std::span<const double>(x));
  const auto check = [&](const std::string& op, const oracle::RecurrentNet& network,
                         const std::string& method) {
    INFO(op, " ", method);
    const ScratchFile file("recurrent_conserves.onnx", file_of(op, network));
    const Model model = loaded(file.path());
    const Expr output = model.head(HeadKind::logit);
    const double score = evaluate(std::span(&output, 1), {{"x", input}})[0].at(1);
    const Tensor map = explained(model, method, input, 1);
    double total = 0, size = 0;
    for (std::int64_t i = 0; i < map.size(); ++i) {
      total += map.at(i);
      size += std::abs(map.at(i));
    }
    CHECK(std::abs(total - score) < 1e-9 * std::max(size, std::abs(score)));
  };
  check("LSTM", net, "lrp.lstm:epsilon=1e-14");
  check("LSTM", net, "lrp.lstm:gates=half,epsilon=1e-14");
  check("LSTM", net, "lrp.lstm:gates=abs(1e-14),epsilon=1e-14");
  check("GRU", gru, "lrp.gru:epsilon=1e-14");
}

TEST_CASE("gradients of recurrent networks at their embeddings are those of torch in float64") {
  const auto data = shared_data();
  if (!data || !fs::is_directory(*data / "field/lstm")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  for (const char* name : {"lstm", "gru_bidirectional"}) {
    INFO(name);
    const fs::path folder = *data / "field" / name;
    const Model model = loaded(folder / "model.onnx");
    const Expr output = model.outputs()[0].expr;
    Question question = question_for(output, {find_node(output, "/m/emb/Gather_output_0")});
    question.target = output.graph().input("target", {DType::int64, Shape{B}});
    const Inputs inputs{{model.inputs()[0].name, io::read_npy(folder / "input.npy")},
                        {"target", io::read_npy(folder / "target.npy")}};
    CHECK(relative_difference(evaluate(std::span(&output, 1), inputs)[0],
                              io::read_npy(folder / "expected_output.npy")) < 1e-6);
    CHECK(relative_difference(explain("gradient", question, inputs),
                              io::read_npy(folder / "expected_gradient_0.npy")) < 1e-7);
  }
}

TEST_CASE("the references of recurrent LRP are met, for operators and for cells written out") {
  const auto data = shared_data();
  if (!data || !fs::is_directory(*data / "references/frontier/lstm")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const fs::path lstm = *data / "references/frontier/lstm", gru = *data / "references/frontier/gru";
  const auto check = [](const fs::path& folder, const char* file, const std::string& method,
                        const char* reference, double tolerance) {
    INFO(folder.string(), " ", file, " ", method);
    const Tensor x = io::read_npy(folder / "x.npy").cast(DType::float64),
                 wanted = io::read_npy(folder / reference);
    const double difference = relative_difference(explained(loaded(folder / file), method, x, -1), wanted);
    MESSAGE(folder.filename().string() << " " << file << " " << method << ": " << difference);
    CHECK(difference < tolerance);
  };
  for (const char* file : {"model.onnx", "unrolled.onnx"}) {
    for (const char* gates : {"all", "half", "prop", "abs"})
      check(lstm, file, fmt::format("lrp.lstm:gates={}", gates), fmt::format("lrp_{}.npy", gates).c_str(),
            1e-5);
    check(gru, file, "lrp.gru", "lrp_all.npy", 1e-6);
  }
}
