#include "rulegrad/api/explainer.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <random>
#include <stop_token>
#include <thread>

#include "rulegrad/api/network.hpp"
#include "rulegrad/dsl.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

#include "api/error_code.hpp"

using namespace rulegrad;
using testing::code_of;

namespace {

Tensor random_batch(Dims dims, unsigned seed, DType dtype = DType::float32) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Tensor x(DType::float64, std::move(dims));
  for (double& value : x.mutable_values<double>()) value = normal(random);
  return x.cast(dtype);
}

Model small_model(DType dtype = DType::float32) {
  return Sequential({B, 6}, dtype).dense(5).relu().dense(4).softmax().finish();
}

}  // namespace

TEST_CASE("a compiled explanation gives what one analysis at a time gives") {
  const Model model = small_model();
  const Tensor x = random_batch({7, 6}, 1);
  const Explainer explainer(model, {"gradient", "input_times_gradient", "lrp.epsilon:epsilon=0.01"});
  const Explanation got = explainer.run(x);
  CHECK(got.methods() == std::vector<std::string>{"gradient", "input_times_gradient", "lrp.epsilon"});
  CHECK(got.nodes() == std::vector<std::string>{"x"});
  Question question{model.head(HeadKind::logit), {model.inputs()[0].expr}, {}, Question::Seed::own, {}};
  for (const char* method : {"gradient", "input_times_gradient", "lrp.epsilon:epsilon=0.01"}) {
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
    const Tensor expected = evaluate(analysis.attributions, {{"x", x}})[0];
    CHECK(identical(got.attribution(AnalyzerCall::parse(method).name), expected));
  }
  CHECK(got.scores().dims() == Dims{7, 4});
  // A list that is known only at run time.
  const std::vector<std::string> names{"gradient", "lrp.epsilon:epsilon=0.01"};
  CHECK(identical(Explainer(model, names).run(x).attribution("lrp.epsilon"), got.attribution("lrp.epsilon")));
  CHECK(got.predictions().size() == 7);
}

TEST_CASE("neither batches, threads nor company change a bit of an explanation") {
  const Model model = small_model();
  const Tensor x = random_batch({10, 6}, 2);
  const Explainer explainer(model, "lrp.epsilon");
  const Explanation whole = explainer.run(x);
  std::vector<std::int64_t> steps;
  const Explanation parts =
      explainer.run(x, {.batch_size = 3, .threads = 1, .progress = [&](std::int64_t done, std::int64_t all) {
                          CHECK(all == 10);
                          steps.push_back(done);
                        }});
  CHECK(identical(whole.attribution(), parts.attribution()));
  CHECK(identical(whole.scores(), parts.scores()));
  CHECK(steps == std::vector<std::int64_t>{3, 6, 9, 10});
  const Explainer several(model, {"gradient", "lrp.epsilon"});
  CHECK(identical(whole.attribution(), several.run(x).attribution("lrp.epsilon")));
}

TEST_CASE("many threads run one explainer at once") {
  const Model model = small_model();
  const Explainer explainer(model, "lrp.epsilon");
  std::vector<Tensor> expected, got(8);
  for (unsigned i = 0; i < 8; ++i)
    expected.push_back(explainer.run(random_batch({4, 6}, i), {.threads = 1}).attribution());
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 8; ++i)
    threads.emplace_back([&, i] {
      got[i] = explainer.run(random_batch({4, 6}, i), {.threads = 1}).attribution();
    });
  for (std::thread& thread : threads) thread.join();
  for (std::size_t i = 0; i < 8; ++i) CHECK(identical(got[i], expected[i]));
}

TEST_CASE("targets, seeds and hidden nodes are chosen") {
  const Model model = small_model(DType::float64);
  const Tensor x = random_batch({3, 6}, 3, DType::float64);
  const Explainer each(model, "gradient", {.targets = Targets::given, .nodes = {"x", "dense1"}});
  const Explanation two = each.run(x, {.targets = {2}});
  CHECK(two.attribution(0, 1).dims() == Dims{3, 5});
  CHECK(two.attribution("gradient", "dense1").dims() == Dims{3, 5});
  const Explanation mixed = each.run(x, {.targets = {0, 2, 1}, .batch_size = 2});
  for (std::int64_t i = 0; i < 6; ++i) CHECK(mixed.attribution().at(6 + i) == two.attribution().at(6 + i));

  // A seed of the same one-hot rows is the same explanation.
  const Explainer seeded(model, "gradient", {.seed = Question::Seed::tensor});
  Tensor seed(DType::float64, {3, 4});
  for (std::size_t row = 0; row < 3; ++row) seed.mutable_values<double>()[row * 4 + 2] = 1;
  CHECK(identical(seeded.run(x, {.seed = seed}).attribution(), two.attribution()));
}

TEST_CASE("results go into memory of the caller") {
  const Model model = small_model();
  const Tensor x = random_batch({5, 6}, 4);
  const Explainer explainer(model, {"gradient", "lrp.epsilon"});
  const Explanation expected = explainer.run(x);
  for (const std::int64_t batch_size : {0, 2}) {
    std::vector<float> gradient(30), relevance(30), scores(20);
    const OutputBuffer buffers[] = {std::span(gradient), std::span(relevance)};
    explainer.run_into(x, buffers, std::span(scores), {.batch_size = batch_size});
    for (std::size_t i = 0; i < 30; ++i) {
      CHECK(gradient[i] == expected.attribution(0).values<float>()[i]);
      CHECK(relevance[i] == expected.attribution(1).values<float>()[i]);
    }
    CHECK(scores[7] == expected.scores().values<float>()[7]);
  }
}

TEST_CASE("buffers that do not fit are refused by method and node") {
  const Model model = small_model();
  const Tensor x = random_batch({5, 6}, 5);
  const Explainer explainer(model, "gradient");
  std::vector<float> small(29);
  std::vector<double> wide(30);
  const OutputBuffer too_small[] = {std::span(small)}, too_wide[] = {std::span(wide)};
  CHECK(code_of([&] { explainer.run_into(x, too_small); },
                "gradient of 'x' for 5 samples is float32[5, 6], 30 elements, but the buffer holds 29 of "
                "float32") == ErrorCode::shape);
  CHECK(code_of([&] { explainer.run_into(x, too_wide); }, "holds 30 of float64") == ErrorCode::dtype);
  CHECK(code_of([&] { explainer.run_into(x, {}); }, "0 buffers were given for 1 methods of 1 nodes") ==
        ErrorCode::invalid_argument);
  const OutputBuffer program_buffers[] = {std::span(small), std::span(small)};
  CHECK(code_of(
            [&] {
              explainer.program().run_into({{"x", x}}, program_buffers);
            },
            "output 0 is float32[5, 4]") == ErrorCode::shape);
}

TEST_CASE("wrong inputs, targets, seeds and names are told with both sides") {
  const Model model = small_model();
  const Tensor x = random_batch({5, 6}, 6);
  const Explainer largest(model, "gradient"), given(model, "gradient", {.targets = Targets::given});
  CHECK(code_of([&] { (void)largest.run(x.cast(DType::float64)); },
                "expects float32[B, 6] but got float64[5, 6]") == ErrorCode::dtype);
  CHECK(code_of(
            [&] {
              (void)largest.run(random_batch({5, 7}, 1));
            },
            "expects float32[B, 6] but got float32[5, 7]") == ErrorCode::shape);
  CHECK(code_of([&] { (void)largest.run(x, {.targets = {1}}); }, "Targets::given") ==
        ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)given.run(x); }, "0 targets were given for 5 samples") == ErrorCode::shape);
  CHECK(code_of([&] { (void)given.run(x, {.targets = {4}}); },
                "target 4 is out of range: the output has 4 scores, 0 to 3") == ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)Explainer(model, "gradiant"); }, "did you mean 'gradient'?") ==
        ErrorCode::unknown_name);
  CHECK(code_of([&] { (void)Explainer(model, "gradient", {.nodes = {"dense3"}}); }, "did you mean 'dense") ==
        ErrorCode::unknown_name);
  CHECK(code_of([&] { (void)largest.run(x).attribution("gradeint"); }, "did you mean 'gradient'?") ==
        ErrorCode::unknown_name);
  const Explainer seeded(model, "gradient", {.seed = Question::Seed::tensor});
  CHECK(code_of([&] { (void)seeded.run(x); }, "the seed must be float32[5, 4]") == ErrorCode::shape);
}

TEST_CASE("a model of another number of inputs is refused by name") {
  Network net;
  const Expr a = net.input("a", {B, 3}), b = net.input("b", {B, 3});
  const Model model = net.finish(net.dense(a * b, 2));
  const Explainer explainer(model, "gradient");
  CHECK(explainer.nodes() == std::vector<std::string>{"a", "b"});
  const Tensor x = random_batch({2, 3}, 7);
  CHECK(code_of([&] { (void)explainer.run(x); }, "has 2 inputs ('a', 'b') and one value was given") ==
        ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)explainer.run(Inputs{{"a", x}}); }, "input 'b'") == ErrorCode::invalid_argument);
  CHECK(explainer.run({{"a", x}, {"b", x}}).attribution(0, 1).dims() == Dims{2, 3});
}

TEST_CASE("an explainer outlives its model; what was moved from says so") {
  Model model = small_model();
  const Tensor x = random_batch({2, 6}, 8);
  Explainer explainer(model, "gradient");
  const Explanation before = explainer.run(x);
  {
    const Model moved = std::move(model);
    CHECK(identical(explainer.run(x).attribution(), before.attribution()));
  }
  CHECK(identical(explainer.run(x).attribution(), before.attribution()));
  CHECK(code_of([&] { (void)Explainer(model, "gradient"); }, "[model] it was moved from") ==
        ErrorCode::invalid_argument);
  Explainer taken = std::move(explainer);
  CHECK(identical(taken.run(x).attribution(), before.attribution()));
  CHECK(code_of([&] { (void)explainer.run(x); }, "[explainer] it was moved from") ==
        ErrorCode::invalid_argument);
  Program program = taken.program();
  const Program other = std::move(program);
  CHECK(code_of(
            [&] {
              (void)program.run({{"x", x}});
            },
            "[program] it was moved from") == ErrorCode::invalid_argument);
}

TEST_CASE("a run is cancelled between kernel calls") {
  const Model model = small_model();
  const Explainer explainer(model, "gradient");
  std::stop_source stop;
  stop.request_stop();
  CHECK(code_of(
            [&] {
              (void)explainer.run(random_batch({2, 6}, 9), {.stop = stop.get_token()});
            },
            "cancelled") == ErrorCode::cancelled);
  std::stop_source later;
  CHECK(code_of(
            [&] {
              (void)explainer.run(random_batch({6, 6}, 9), {.batch_size = 2,
                                                            .progress =
                                                                [&](std::int64_t done, std::int64_t) {
                                                                  if (done == 4) later.request_stop();
                                                                },
                                                            .stop = later.get_token()});
            },
            "cancelled") == ErrorCode::cancelled);
}

TEST_CASE("what was done while compiling goes to the caller's log and nowhere else") {
  const Model model = small_model();
  std::vector<std::string> lines;
  const Explainer explainer(model, "gradient",
                            {.log = [&](std::string_view line) { lines.emplace_back(line); }});
  REQUIRE_FALSE(lines.empty());
  CHECK(lines.back().find("kernel calls") != std::string::npos);
}

TEST_CASE("rules from C++ and from text explain through a registry") {
  using namespace rulegrad::dsl;
  using namespace rulegrad::dsl::vars;
  Registry registry;
  constexpr auto guided =
      rules("cpp_guided", rewrite(grad(dsl::tanh(x), g), vjp(dsl::tanh(x), dsl::max(g, 0))));
  registry.rules.add(lower(guided));
  registry.rules.add_text(
      "rulegrad 1\nrules text_guided {\n  grad(tanh(x), g) => vjp(tanh(x), max(g, 0))\n}\n"
      "analyzer from_text {\n  use text_guided\n  default gradient\n}\n"
      "analyzer from_cpp {\n  use cpp_guided\n  default gradient\n}\n",
      "mine.rules");
  const Model model = Sequential({B, 6}).dense(5).tanh().dense(3).finish();
  const Explanation got = Explainer(model, {"from_text", "from_cpp", "gradient"}, {.registry = &registry})
                              .run(random_batch({4, 6}, 10));
  CHECK(identical(got.attribution("from_text"), got.attribution("from_cpp")));
  CHECK_FALSE(identical(got.attribution("from_text"), got.attribution("gradient")));
}

TEST_CASE("an explainer proves that canonizers leave the output as it is, unless it is told not to") {
  Registry registry;
  registry.rules.add_text(
      "rulegrad 1\n"
      "rules same { rewrite relu(x) => max(x, 0) }\nanalyzer harmless { canonize same  default gradient }\n"
      "rules other { rewrite relu(x) => max(x, 0.5) }\nanalyzer harmful { canonize other  default gradient "
      "}\n",
      "mine.rules");
  const Model model = small_model();
  std::vector<std::string> lines;
  ExplainerOptions options{.registry = &registry};
  options.log = [&](std::string_view line) { lines.emplace_back(line); };
  (void)Explainer(model, "harmless", options);
  CHECK(std::any_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.find("1 rewrites by canonizers change the output by 0 at most") != std::string::npos;
  }));
  CHECK(code_of([&] { (void)Explainer(model, "harmful", options); }, "mine.rules:4:") == ErrorCode::rule);
  options.prove_canonizers = false;
  CHECK_NOTHROW((void)Explainer(model, "harmful", options));
}

TEST_CASE("every error code has a name, and missing features name the option that turns them on") {
  CHECK(name_of(ErrorCode::cancelled) == "cancelled");
  CHECK(version().find('.') != std::string_view::npos);
  for (const Feature& feature : features()) {
    CHECK_FALSE(feature.needs.empty());
    if (feature.name == "onnx" && !feature.available)
      CHECK(code_of([&] { (void)load_onnx("model.onnx"); }, "-Donnx=enabled") == ErrorCode::missing_feature);
  }
}
