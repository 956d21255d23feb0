// What belongs to which sample: values without a batch, batches merged with steps, several inputs, token ids,
// stacked targets, and what attributions should add up to.
#include <cmath>
#include <doctest/doctest.h>
#include <random>
#include <thread>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "api/error_code.hpp"

using namespace rulegrad;
using testing::code_of;

namespace {

Tensor random_values(Dims dims, unsigned seed, DType dtype = DType::float64) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  Tensor x(DType::float64, std::move(dims));
  for (double& value : x.mutable_values<double>()) value = normal(random);
  return x.cast(dtype);
}

Tensor row(const Tensor& batch, std::int64_t index) {
  Dims dims = batch.dims();
  dims[0] = 1;
  const std::int64_t each = element_count(dims);
  std::vector<double> values;
  for (std::int64_t i = 0; i < each; ++i) values.push_back(batch.at(index * each + i));
  return Tensor(dims, std::span<const double>(values));
}

void check_near(const Tensor& a, const Tensor& b, double bound = 1e-12) {
  REQUIRE(a.dims() == b.dims());
  for (std::int64_t i = 0; i < a.size(); ++i)
    CHECK(std::abs(a.at(i) - b.at(i)) <= bound * (1 + std::abs(b.at(i))));
}

Expr apply(const char* op, std::vector<Expr> operands, Attributes attributes = {}) {
  Graph& graph = operands[0].graph();
  return graph.apply(Operators::builtin().at(op), std::move(operands), std::move(attributes));
}

/// x [B, 3, 2] + p [3, 2], a network above it.
struct WithPosition {
  Network network{DType::float64, 3};
  Expr x = network.input("x", {B, 3, 2}), p = network.parameter("p", random_values({3, 2}, 7)), h = x + p;
  Model model = [&] {
    network.graph().add_name(h, "h");
    return network.finish(network.dense(relu(network.dense(flatten(h), 5)), 3));
  }();
};

}  // namespace

TEST_CASE("a value without a batch is explained for each sample") {
  WithPosition net;
  const Tensor x = random_values({4, 3, 2}, 1);
  // p moves every sample as h does, so that its attribution in one sample is h's.
  const Explanation found = Explainer(net.model, {"gradient", "integrated_gradients"},
                                      {.nodes = {"h", "p"}, .keep_explained = true})
                                .run(x, {.batch_size = 3});
  CHECK(found.attribution(0, 1).dims() == Dims{4, 3, 2});
  check_near(found.attribution(0, 1), found.attribution(0, 0));
  for (std::int64_t i = 0; i < 4; ++i) check_near(found.of_sample(0, 1, i), found.of_sample(0, 0, i));
  // Beside others, and one sample at a time.
  const Explainer alone(net.model, "integrated_gradients", {.nodes = {"p"}});
  for (std::int64_t i = 0; i < 4; ++i)
    check_near(alone.run(row(x, i)).of_sample(0, 0, 0), found.of_sample(1, 1, i));
  // The caller's memory is as large.
  std::vector<double> memory(24);
  const OutputBuffer buffers[] = {std::span(memory)};
  alone.run_into(x, buffers);
  for (std::size_t i = 0; i < 24; ++i)
    CHECK(memory[i] == doctest::Approx(found.attribution(1, 1).at(static_cast<std::int64_t>(i))));
}

TEST_CASE("samples merged with steps are told apart, wherever the batch lies") {
  Network network(DType::float64, 5);
  const Expr x = network.input("x", {B, 3, 2});
  const Expr steps = reshape(x, Shape{Dim(3, true), 2});                         // samples, then steps
  const Expr turned = reshape(transpose(x, {1, 0, 2}), Shape{Dim(3, true), 2});  // steps, then samples
  network.graph().add_name(steps, "steps");
  network.graph().add_name(turned, "turned");
  const Expr a = reshape(relu(network.dense(steps, 4, "first")), Shape{B, 12});
  const Expr b =
      flatten(transpose(reshape(relu(network.dense(turned, 4, "second")), Shape{3, B, 4}), {1, 0, 2}));
  const Model model = network.finish(network.dense(concat(std::vector{a, b}, 1), 3));
  const Tensor x5 = random_values({5, 3, 2}, 2);
  const Explainer explainer(model, "gradient", {.nodes = {"x", "steps", "turned"}});
  const Explanation whole = explainer.run(x5), cut = explainer.run(x5, {.batch_size = 2});
  for (std::size_t node = 0; node < 3; ++node)
    CHECK(identical(whole.attribution(0, node), cut.attribution(0, node)));
  CHECK(whole.attribution(0, 1).dims() == Dims{15, 2});
  for (std::int64_t i = 0; i < 5; ++i) {
    const Explanation one = explainer.run(row(x5, i));
    for (std::size_t node = 0; node < 3; ++node)
      check_near(whole.of_sample(0, node, i), one.of_sample(0, node, 0));
    CHECK(whole.of_sample(0, 2, i).dims() == Dims{3, 2});
    // What reaches x is what reaches both.
    for (std::int64_t k = 0; k < 6; ++k)
      CHECK(whole.of_sample(0, 0, i).at(k) ==
            doctest::Approx(whole.of_sample(0, 1, i).at(k) + whole.of_sample(0, 2, i).at(k)));
  }
}

TEST_CASE("inputs that all samples share are given whole to every part of a batch, and others must agree") {
  Network network(DType::float64, 5);
  const Expr x = network.input("x", {B, 2}), z = network.input("z", {B, 2}),
             shared = network.input("shared", {4, 2});
  const Expr y = matmul(relu(x + z * 0.5), transpose(shared, {1, 0}));
  const Model model = network.finish(y);
  // As many samples as the shared input has rows.
  const Inputs inputs{
      {"x", random_values({4, 2}, 1)}, {"z", random_values({4, 2}, 2)}, {"shared", random_values({4, 2}, 3)}};
  const Explainer explainer(model, "gradient", {.nodes = {"x"}});
  CHECK(
      identical(explainer.run(inputs).attribution(), explainer.run(inputs, {.batch_size = 3}).attribution()));
  Inputs uneven = inputs;
  uneven["z"] = random_values({3, 2}, 2);
  CHECK(code_of([&] { (void)explainer.run(uneven, {.batch_size = 2}); },
                "'x' holds 4 samples but 'z' holds 3") == ErrorCode::shape);
}

TEST_CASE("token ids are explained by what looks them up") {
  Network network(DType::float64, 5);
  const Expr ids = network.input("ids", {B, 4}, DType::int64),
             table = network.parameter("table", random_values({9, 3}, 4));
  const Expr looked_up = apply("gather", {table, ids}, AxisAttributes{0});
  network.graph().add_name(looked_up, "embedding");
  const Model model = network.finish(network.dense(relu(network.dense(flatten(looked_up), 6)), 2));
  const Tensor tokens({2, 4}, {std::int64_t{0}, std::int64_t{8}, std::int64_t{3}, std::int64_t{3},
                               std::int64_t{1}, std::int64_t{2}, std::int64_t{5}, std::int64_t{7}});
  CHECK(lookups_of(model, "ids") == std::vector{looked_up});
  for (const char* method : {"gradient", "integrated_gradients"}) {
    const Explanation by_ids = Explainer(model, method).run(tokens),
                      by_node = Explainer(model, method, {.nodes = {"embedding"}}).run(tokens);
    CHECK(by_ids.nodes() == std::vector<std::string>{"ids"});
    REQUIRE(by_ids.attribution().dims() == Dims{2, 4});
    for (std::int64_t i = 0; i < 8; ++i) {
      double sum = 0;
      for (std::int64_t k = 0; k < 3; ++k) sum += by_node.attribution().at(3 * i + k);
      CHECK(by_ids.attribution().at(i) == doctest::Approx(sum));
      CHECK(sum != 0);
    }
  }
  // Never zeros without a word: asked of the graph itself, it is an error.
  Question question{model.head(HeadKind::logit), {ids}, {}, Question::Seed::own, {}};
  CHECK(code_of(
            [&] {
              (void)analyze(RuleLibrary::builtin(), {"gradient", {}}, question);
            },
            "holds integers") == ErrorCode::dtype);
}

TEST_CASE("columns of a table that are looked up one by one have one attribution, a number a column") {
  Network network(DType::float64, 5);
  const Expr columns = network.input("columns", {B, 3}, DType::int64);
  const auto column = [&](std::int64_t which) {
    return reshape(apply("slice", {columns}, SliceAttributes{{1}, {which}, {which + 1}, {1}}), Shape{B});
  };
  const Expr a =
      apply("gather", {network.parameter("a", random_values({5, 2}, 1)), column(0)}, AxisAttributes{0});
  const Expr b =
      apply("gather", {network.parameter("b", random_values({7, 4}, 2)), column(2)}, AxisAttributes{0});
  network.graph().add_name(a, "first");
  network.graph().add_name(b, "third");
  const Model model = network.finish(network.dense(concat(std::vector{a, b}, 1), 2));
  const Tensor values({2, 3}, {std::int64_t{4}, std::int64_t{0}, std::int64_t{6}, std::int64_t{1},
                               std::int64_t{1}, std::int64_t{1}});
  const Explanation whole = Explainer(model, "input_times_gradient").run(values),
                    each =
                        Explainer(model, "input_times_gradient", {.nodes = {"first", "third"}}).run(values);
  REQUIRE(whole.attribution().dims() == Dims{2, 3});
  for (std::int64_t i = 0; i < 2; ++i) {
    double first = 0, third = 0;
    for (std::int64_t k = 0; k < 2; ++k) first += each.attribution(0, 0).at(2 * i + k);
    for (std::int64_t k = 0; k < 4; ++k) third += each.attribution(0, 1).at(4 * i + k);
    CHECK(whole.attribution().at(3 * i) == doctest::Approx(first));
    CHECK(whole.attribution().at(3 * i + 1) == 0);
    CHECK(whole.attribution().at(3 * i + 2) == doctest::Approx(third));
  }
}

TEST_CASE("integers that no table is asked for have no attribution, and that is said") {
  Network network(DType::float64, 5);
  const Expr mask = network.input("mask", {B, 3}, DType::int64), x = network.input("x", {B, 3});
  const Model model =
      network.finish(network.dense(x * apply("cast", {mask}, CastAttributes{DType::float64}), 2));
  CHECK(Explainer(model, "gradient").nodes() == std::vector<std::string>{"x"});
  CHECK(code_of([&] { Explainer(model, "gradient", {.nodes = {"mask"}}); }, "'mask' holds integers") ==
        ErrorCode::invalid_argument);
}

TEST_CASE("stacked targets are what each target gives, right behind the batch") {
  WithPosition net;
  const Tensor x = random_values({4, 3, 2}, 1);
  const Explainer explainer(net.model, {"gradient", "lrp.epsilon"},
                            {.targets = Targets::given, .nodes = {"x", "p"}, .totals = true});
  const Explanation all = explainer.run(x, {.targets = {0, 1, 2}, .batch_size = 3, .stacked = 3});
  CHECK(all.attribution(1, 0).dims() == Dims{4, 3, 3, 2});
  CHECK(all.attribution(1, 1).dims() == Dims{4, 3, 3, 2});
  CHECK(all.targets().size() == 12);
  for (std::int64_t k = 0; k < 3; ++k) {
    const Explanation one = explainer.run(x, {.targets = {k}});
    for (std::size_t method = 0; method < 2; ++method)
      for (std::size_t node = 0; node < 2; ++node)
        for (std::int64_t i = 0; i < 4; ++i)
          check_near(all.of_sample(method, node, i, k), one.of_sample(method, node, i));
    for (std::int64_t i = 0; i < 4; ++i)
      CHECK(all.explained_scores()[static_cast<std::size_t>(3 * i + k)] ==
            doctest::Approx(one.scores().at(3 * i + k)));
  }
  // One list a sample.
  const Explanation own = explainer.run(x, {.targets = {0, 1, 1, 2, 2, 0, 0, 0}, .stacked = 2});
  check_near(own.of_sample(0, 0, 2, 1), all.of_sample(0, 0, 2, 0));
  CHECK(code_of(
            [&] {
              (void)explainer.run(x, {.targets = {0, 1, 2}, .stacked = 2});
            },
            "3 targets were given for 4 samples with 2 each") == ErrorCode::shape);
}

TEST_CASE("the score is the inner product of seed and output, for methods that ask for it too") {
  Network network(DType::float64, 5);
  const Expr x = network.input("x", {B, 3});
  const Tensor w({2, 3}, {1., 2., 0., 0., -1., 3.});
  const Model model = network.finish(dense(x, network.parameter("w", w)));
  const Tensor input({1, 3}, {1., 1., -1.}), seed({1, 2}, {1., -1.});
  const std::vector<double> expected{1, 3, 3};  // x (w_0 - w_1)
  for (const char* method :
       {"occlusion:window=1", "captum.occlusion:window=1", "integrated_gradients", "input_times_gradient"}) {
    const Explanation found =
        Explainer(model, method, {.seed = Question::Seed::tensor}).run(input, {.seed = seed});
    INFO(method);
    for (std::int64_t i = 0; i < 3; ++i)
      CHECK(found.attribution().at(i) == doctest::Approx(expected[static_cast<std::size_t>(i)]));
    CHECK(found.explained_scores()[0] == doctest::Approx(7));  // 3 - (-4)
    CHECK(found.targets().empty());
  }
  // `value` weighs with the score, whatever the method.
  for (const char* method : {"occlusion:window=1", "integrated_gradients"}) {
    const Tensor one = Explainer(model, method, {.seed = Question::Seed::one}).run(input).attribution(),
                 value = Explainer(model, method, {.seed = Question::Seed::value}).run(input).attribution();
    for (std::int64_t i = 0; i < 3; ++i) CHECK(value.at(i) == doctest::Approx(3 * one.at(i)));
  }
  CHECK(code_of([&] { Explainer(model, "random", {.seed = Question::Seed::tensor}); },
                "random cannot explain a seed") == ErrorCode::invalid_argument);
}

TEST_CASE("what attributions should add up to stands beside what they do add up to") {
  Network network(DType::float64, 5);
  const Expr x = network.input("x", {B, 6}), z = network.input("z", {B, 2});
  const Expr hidden = relu(network.dense(concat(std::vector{x, z}, 1), 9));
  network.graph().add_name(hidden, "hidden");
  const Model model = network.finish(network.dense(hidden, 3));
  const Inputs inputs{{"x", random_values({3, 6}, 1)}, {"z", random_values({3, 2}, 2)}};
  const Explanation found =
      Explainer(model, {"integrated_gradients:steps=2000", "deeplift.rescale", "lrp.epsilon", "gradient"},
                {.totals = true})
          .run(inputs);
  const Inputs nothing{{"x", Tensor(DType::float64, {3, 6})}, {"z", Tensor(DType::float64, {3, 2})}};
  const Tensor there = Explainer(model, "gradient").run(nothing).scores();
  REQUIRE(found.totals().size() == 3);  // gradient promises nothing
  for (const std::size_t method : {0, 1}) {
    const Explanation::Total& total = found.totals()[method];
    CHECK(total.method == method);
    CHECK(total.nodes == std::vector<std::size_t>{0, 1});
    for (std::size_t i = 0; i < 3; ++i) {
      const std::int64_t at = 3 * static_cast<std::int64_t>(i) + found.targets()[i];
      CHECK(total.expected[i] == doctest::Approx(found.scores().at(at) - there.at(at)));
      CHECK(total.reached[i] == doctest::Approx(total.expected[i]).epsilon(1e-2));
    }
  }
  CHECK(found.totals()[2].expected == std::vector<double>{1, 1, 1});
  // One of two inputs alone is not all there is, a layer that everything passes is.
  const Explanation part = Explainer(model, "lrp.epsilon", {.nodes = {"x"}, .totals = true}).run(inputs),
                    layer =
                        Explainer(model, "lrp.epsilon", {.nodes = {"hidden"}, .totals = true}).run(inputs);
  CHECK(part.totals().empty());
  CHECK(layer.totals().size() == 1);
  // Another baseline, another total.
  const Explanation far =
      Explainer(model, "integrated_gradients:baseline=10,steps=50", {.totals = true}).run(inputs);
  CHECK(far.totals()[0].expected[0] != doctest::Approx(found.totals()[0].expected[0]));
  CHECK(far.totals()[0].reached[0] == doctest::Approx(far.totals()[0].expected[0]).epsilon(0.1));
}

TEST_CASE("explainers of one model are made from several threads") {
  WithPosition net;
  const Tensor x = random_values({4, 3, 2}, 1);
  const Tensor expected = Explainer(net.model, "lrp.epsilon").run(x).attribution();
  std::vector<Tensor> found(6);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < found.size(); ++i)
    threads.emplace_back(
        [&, i] { found[i] = Explainer(net.model, "lrp.epsilon").run(x, {.threads = 1}).attribution(); });
  for (std::thread& thread : threads) thread.join();
  for (const Tensor& one : found) CHECK(identical(one, expected));
}
