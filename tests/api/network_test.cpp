#include "rulegrad/api/network.hpp"

#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/api/training.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;

namespace {

Tensor numbers(Dims dims, double start, double step) {
  Tensor result(DType::float64, std::move(dims));
  for (double& value : result.mutable_values<double>()) {
    value = start;
    start += step;
  }
  return result;
}

}  // namespace

TEST_CASE("sequential and functional builders make the same network") {
  const ConvAttributes same{.pads_begin = {1, 1}, .pads_end = {1, 1}};
  const Model chain = Sequential({B, 2, 8, 8})
                          .conv(4, {3, 3}, same)
                          .relu()
                          .max_pool({2, 2})
                          .flatten()
                          .dense(3)
                          .softmax()
                          .finish();
  Network net;
  const Expr x = net.input("x", {B, 2, 8, 8});
  const Expr h = max_pool(relu(net.conv(x, 4, {3, 3}, same)), {.kernel = {2, 2}, .strides = {2, 2}});
  const Model graph = net.finish(softmax(net.dense(flatten(h), 3), 1));
  const Expr a = chain.outputs()[0].expr, b = graph.outputs()[0].expr;
  CHECK(print(std::span(&a, 1)) == print(std::span(&b, 1)));
  const Tensor input = numbers({2, 2, 8, 8}, -1, 0.01).cast(DType::float32);
  CHECK(identical(evaluate(std::span(&a, 1), {{"x", input}})[0],
                  evaluate(std::span(&b, 1), {{"x", input}})[0]));
  CHECK(chain.graph().find("conv1.w").size() == 1);
  CHECK(chain.summary().parameters == 4 * 2 * 9 + 4 + 3 * 64 + 3);
}

TEST_CASE("given weights are used as they are") {
  const Model model =
      Sequential({B, 2}, DType::float64).dense(numbers({3, 2}, 1, 1), numbers({3}, 10, 10)).finish();
  const Expr y = model.outputs()[0].expr;
  const Tensor got = evaluate(std::span(&y, 1), {{"x", Tensor({1, 2}, {1.0, -1.0})}})[0];
  for (std::int64_t i = 0; i < 3; ++i) CHECK(got.at(i) == -1.0 + 10.0 * static_cast<double>(i + 1));
}

TEST_CASE("builders say what does not fit") {
  CHECK_THROWS_WITH_AS(Sequential({B, 3, 8, 8}).conv(4, {3}),
                       doctest::Contains("needs x [N, C, 1 spatial axes], but x is float32[B, 3, 8, 8]"),
                       Error);
  CHECK_THROWS_WITH_AS(Sequential({B, 3, 8, 8}).conv(4, {3, 3}, {.groups = 2}),
                       doctest::Contains("2 groups do not divide the 3 channels"), Error);
  Network net;
  const Expr x = net.input("x", {B, 3});
  CHECK_THROWS_WITH_AS((void)net.parameter("x", Tensor({1}, {1.0F})),
                       doctest::Contains("give the parameter another name"), Error);
  const Model model = net.finish(x);
  CHECK_THROWS_WITH_AS((void)net.dense(x, 2), doctest::Contains("[network] it is finished"), Error);
}

TEST_CASE("a trainer's gradients are those of finite differences") {
  const Model model = Sequential({B, 3}, DType::float64).dense(4).tanh().dense(2).finish();
  Trainer trainer(model, cross_entropy, {DType::int64, {B}});
  const Tensor x = numbers({5, 3}, -1, 0.17), answers({5}, {std::int64_t{0}, std::int64_t{1}, std::int64_t{1},
                                                            std::int64_t{0}, std::int64_t{1}});
  const LossGradients at = trainer.gradients(x, answers);
  CHECK(at.gradients.size() == 4);
  for (const auto& [name, gradient] : at.gradients) {
    const Tensor value = trainer.parameters().at(name);
    for (std::int64_t i = 0; i < value.size(); ++i) {
      double loss[2];
      for (const int side : {0, 1}) {
        Tensor moved = value;
        moved.mutable_values<double>()[static_cast<std::size_t>(i)] += side == 0 ? -1e-6 : 1e-6;
        trainer.set_parameter(name, moved);
        loss[side] = trainer.gradients(x, answers).loss;
      }
      trainer.set_parameter(name, value);
      CHECK(gradient.at(i) == doctest::Approx((loss[1] - loss[0]) / 2e-6).epsilon(1e-5));
    }
  }
}

TEST_CASE("parameters that begin alike are trained apart") {
  // Biases begin as zeros, and two of one width would be one constant.
  const auto deep = [] {
    return Sequential({B, 3}, DType::float64)
        .dense(4)
        .tanh()
        .dense(4)
        .tanh()
        .dense(4)
        .tanh()
        .dense(2)
        .finish();
  };
  const testing::ScratchFile scratch("deep.onnx", "");
  const Model made = deep();
  const Expr scores = made.outputs()[0].expr;
  save_onnx(scratch.path(), std::span(&scores, 1));
  const Tensor x = numbers({5, 3}, -1, 0.17), answers({5}, {std::int64_t{0}, std::int64_t{1}, std::int64_t{1},
                                                            std::int64_t{0}, std::int64_t{1}});
  for (const bool from_file : {false, true}) {
    CAPTURE(from_file);
    const Model model = from_file ? load_onnx(scratch.path(), {.dtype = DType::float64}) : deep();
    Trainer trainer(model, cross_entropy, {DType::int64, {B}});
    REQUIRE(trainer.parameters().size() == 8);
    for (int step = 0; step < 3; ++step) (void)trainer.step(x, answers, 0.01);
    const Tensor first = trainer.parameters().at("dense1.b"), second = trainer.parameters().at("dense2.b");
    CHECK_FALSE(identical(first, second));
    // What was trained is trained on, each by itself.
    Trainer again(trainer.trained(), cross_entropy, {DType::int64, {B}});
    CHECK(again.parameters().size() == 8);
  }
}

TEST_CASE("training lowers the loss, gives a model of its own, and leaves the first one alone") {
  const Model model = Sequential({B, 2}).dense(8).tanh().dense(2).softmax().finish();
  Trainer trainer(model, cross_entropy, {DType::int64, {B}});
  const Tensor x({4, 2}, {0.0F, 0.0F, 0.0F, 1.0F, 1.0F, 0.0F, 1.0F, 1.0F}),
      exclusive_or({4}, {std::int64_t{0}, std::int64_t{1}, std::int64_t{1}, std::int64_t{0}});
  const Expr untrained = model.outputs()[0].expr;
  const Tensor before = evaluate(std::span(&untrained, 1), {{"x", x}})[0];
  const double first = trainer.step(x, exclusive_or, 0.05);
  double last = first;
  for (int step = 0; step < 200; ++step) last = trainer.step(x, exclusive_or, 0.05);
  CHECK(last < 0.05 * first);
  const Model trained = trainer.trained();
  const Expr y = trained.outputs()[0].expr;
  const Tensor scores = evaluate(std::span(&y, 1), {{"x", x}})[0];
  for (std::int64_t i = 0; i < 4; ++i) CHECK(scores.at(i * 2 + (i == 1 || i == 2 ? 1 : 0)) > 0.9);
  CHECK(identical(evaluate(std::span(&untrained, 1), {{"x", x}})[0], before));
}

TEST_CASE("training that cannot be is refused") {
  const Model model = Sequential({B, 2}).dense(2).finish();
  CHECK_THROWS_WITH_AS(Trainer(model, [](Expr y, Expr t) { return y - t; }, {DType::float32, {B, 2}}),
                       doctest::Contains("the loss must be a scalar"), Error);
  CHECK_THROWS_WITH_AS(
      Trainer(Sequential({B, 2}).relu().finish(), mean_squared_error, {DType::float32, {B, 2}}),
      doctest::Contains("no parameters"), Error);
  Trainer trainer(model, mean_squared_error, {DType::float32, {B, 2}});
  CHECK_THROWS_WITH_AS(trainer.set_parameter("dense1.v", Tensor()), doctest::Contains("did you mean"), Error);
  CHECK_THROWS_WITH_AS(trainer.set_parameter("dense1.w", Tensor()), doctest::Contains("cannot become"),
                       Error);
}
