// What a program keeps: explainers and explanations as members, questions of its own, samples as they come.
#include <doctest/doctest.h>
#include <span>
#include <vector>

#include "rulegrad/rulegrad.hpp"

#include "api/error_code.hpp"

using namespace rulegrad;
using testing::code_of;

namespace {

/// As a program would hold them, before it knows its model.
struct Service {
  Explainer explainer;
  Explanation latest;

  void load(const Model& model) { explainer = Explainer(model, {"gradient", "input_times_gradient"}); }
  void ask(const Tensor& x) { latest = explainer.run(x); }
};

Model small() {
  return Sequential({B, 2, 3}, DType::float64).flatten().dense(5).relu().dense(4).finish();
}

Tensor counted(const Dims& dims) {
  Tensor x(DType::float64, dims);
  const auto values = x.mutable_values<double>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 0.3 * static_cast<double>(i) - 1.1;
  return x;
}

}  // namespace

TEST_CASE("explainers and explanations are members without an initialiser; empty ones say so") {
  Service service;
  CHECK(service.latest.methods().empty());
  CHECK(service.latest.predictions().empty());
  CHECK(service.latest.totals().empty());
  CHECK(code_of([&] { (void)service.latest.attribution(); }, "there are 0 methods and 0 nodes") ==
        ErrorCode::invalid_argument);
  CHECK(code_of(
            [&] {
              service.ask(counted({1, 2, 3}));
            },
            "made without a model") == ErrorCode::invalid_argument);
  CHECK(code_of([&] { (void)service.explainer.methods(); }, "made without a model") ==
        ErrorCode::invalid_argument);
  service.load(small());
  service.ask(counted({2, 2, 3}));
  CHECK(service.latest.attribution("gradient").dims() == Dims{2, 2, 3});
}

TEST_CASE("one sample without its batch axis is a batch of one, whatever method of running takes it") {
  const Model model = small();
  const Explainer explainer(model, "input_times_gradient");
  const Tensor batch = counted({1, 2, 3}), sample = batch.reshaped({2, 3});
  const Explanation expected = explainer.run(batch), found = explainer.run(sample);
  CHECK(found.attribution().dims() == Dims{1, 2, 3});
  CHECK(identical(found.attribution(), expected.attribution()));
  CHECK(identical(found.scores(), expected.scores()));
  CHECK(identical(explainer.run(Inputs{{"x", sample}}).attribution(), expected.attribution()));
  std::vector<double> into(6);
  const OutputBuffer buffer{std::span<double>(into)};
  explainer.run_into(sample, std::span(&buffer, 1));
  for (std::int64_t i = 0; i < 6; ++i)
    CHECK(into[static_cast<std::size_t>(i)] == expected.attribution().at(i));
  // Another shape is still refused, and not read as a batch.
  CHECK(code_of([&] { (void)explainer.run(counted({3, 2})); }, "[3, 2]") == ErrorCode::shape);
  CHECK(code_of([&] { (void)explainer.run(counted({6})); }, "[6]") == ErrorCode::shape);
}

TEST_CASE("of several inputs each may come without its batch axis; what all samples share has none") {
  Network net(DType::float64);
  const Expr x = net.input("x", {B, 3}), shift = net.input("shift", {1, 3});
  const Model model = net.finish(net.dense(tanh(x + shift), 2));
  const Explainer explainer(model, "gradient", {.nodes = {"x"}});
  const Tensor one = counted({3}), all = counted({1, 3});
  const Tensor expected = explainer.run({{"x", all}, {"shift", all}}).attribution();
  CHECK(identical(explainer.run({{"x", one}, {"shift", all}}).attribution(), expected));
  CHECK(code_of([&] { (void)explainer.run({{"x", all}, {"shift", one}}); }, "shift") == ErrorCode::shape);
}

TEST_CASE("a question is asked as an explainer asks it, and what is chosen for a run has its inputs") {
  const Model model = small();
  ExplainerOptions options;
  options.targets = Targets::given;
  const AskedQuestion asked = question_for(model, options);
  REQUIRE(asked.question.explained.size() == 1);
  CHECK(asked.question.explained[0] == model.inputs()[0].expr);
  CHECK(asked.seed_input.empty());
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall{"gradient", {}}, asked.question);
  const Tensor x = counted({3, 2, 3});
  const std::vector<std::int64_t> targets{2, 0, 1};
  const Tensor map = evaluate(analysis.attributions,
                              {{model.inputs()[0].name, x},
                               {asked.target_input, Tensor({3}, std::span<const std::int64_t>(targets))}})[0];
  const Explanation expected = Explainer(model, "gradient", options).run(x, {.targets = targets});
  CHECK(identical(map, expected.attribution()));
}

TEST_CASE("samples are taken out of the inputs of a model in the same memory") {
  const Model model = small();
  const std::string name = model.inputs()[0].name;
  const Tensor x = counted({5, 2, 3});
  const Inputs part = samples_of(model, {{name, x}}, 3, 2);
  CHECK(part.at(name).dims() == Dims{2, 2, 3});
  CHECK(part.at(name).data() == x.data() + 3 * 6 * sizeof(double));
  CHECK(fixed_batch(model) == 0);
  CHECK_THROWS_AS((void)x.rows(4, 2), Error);
  CHECK(identical(x.rows(0, 5), x));
  CHECK(x.rows(5, 0).dims() == Dims{0, 2, 3});
}
