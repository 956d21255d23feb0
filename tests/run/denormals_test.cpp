// Denormal numbers while kernels run, and whose mode they leave behind.
#include "kernels/denormals.hpp"

#include <doctest/doctest.h>
#include <limits>
#include <memory>
#include <omp.h>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "run/threads.hpp"

using namespace rulegrad;

namespace {

constexpr float tiny = std::numeric_limits<float>::denorm_min();

bool mode_is_known() {
  const DenormalsAreZero scope;
  return denormals_are_zero();
}

/// The mode of each worker of a team of this size.
std::vector<int> modes(int threads) {
  std::vector<int> all(static_cast<std::size_t>(threads), -1);
#pragma omp parallel num_threads(threads)
  all[static_cast<std::size_t>(omp_get_thread_num())] = denormals_are_zero() ? 1 : 0;
  return all;
}

/// relu(x) as an operation that asks its team for their modes, and throws if it is to.
struct Asking {
  std::vector<int> seen;
  bool fails = false;
  Kernels kernels = Kernels::portable();

  Asking() {
    Kernel kernel = *kernels.at("relu");
    kernel.run = [this](const KernelCall& call) {
      seen = modes(omp_get_max_threads());
      std::fill_n(call.result.as<float>(), call.result.count(), 1.0f);
      if (fails) throw Error(ErrorCode::invalid_argument, "[asking] fails");
    };
    kernels.set("relu", kernel);
  }
};

Tensor row(std::vector<float> values) {
  return Tensor({static_cast<std::int64_t>(values.size())}, std::span<const float>(values));
}

}  // namespace

TEST_CASE("denormals are 0 in every thread that runs kernels, and nowhere once the run has ended") {
  if (!mode_is_known()) return;
  Graph graph;
  const Expr y = relu(graph.input("x", {DType::float32, Shape{B}}));
  Asking asking;
  const Program program =
      Program::compile(std::span(&y, 1), {.kernels = &asking.kernels, .little_on_one_thread = false});
  for (const int threads : {1, 2, 3}) {
    CAPTURE(threads);
    const Threads scope(threads);
    const std::vector<int> none(static_cast<std::size_t>(threads), 0),
        all(static_cast<std::size_t>(threads), 1);
    CHECK(modes(threads) == none);
    asking.fails = false;
    (void)program.run({{"x", row({1, 2})}});
    CHECK(asking.seen == all);
    CHECK(modes(threads) == none);
    asking.fails = true;
    CHECK_THROWS_AS((void)program.run({{"x", row({1, 2})}}), Error);
    CHECK(asking.seen == all);
    CHECK(modes(threads) == none);
    asking.fails = false;
    (void)Program::compile(
        std::span(&y, 1),
        {.kernels = &asking.kernels, .flush_denormals = false, .little_on_one_thread = false})
        .run({{"x", row({1, 2})}});
    CHECK(asking.seen == none);
    // More threads than the caller has, for one run.
    (void)program.run({{"x", row({1, 2})}}, {.threads = threads + 1});
    CHECK(asking.seen == std::vector<int>(static_cast<std::size_t>(threads) + 1, 1));
    CHECK(modes(threads + 1) == std::vector<int>(static_cast<std::size_t>(threads) + 1, 0));
  }
}

TEST_CASE("a thread that had its denormals flushed already keeps them so, and only that one") {
  if (!mode_is_known()) return;
  Graph graph;
  const Expr y = relu(graph.input("x", {DType::float32, Shape{B}}));
  const Program program = Program::compile(std::span(&y, 1), {.little_on_one_thread = false});
  const Threads scope(3);
  std::unique_ptr<DenormalsAreZero> own;  // of one worker
#pragma omp parallel num_threads(3)
  if (omp_get_thread_num() == 1) own = std::make_unique<DenormalsAreZero>();
  const std::vector<int> before = modes(3);
  CHECK(before == std::vector<int>{0, 1, 0});
  (void)program.run({{"x", row({1, 2})}});
  CHECK(modes(3) == before);
#pragma omp parallel num_threads(3)
  if (omp_get_thread_num() == 1) own.reset();
  CHECK(modes(3) == std::vector<int>{0, 0, 0});
}

TEST_CASE(
    "what underflows is 0, as operand and as result, in constants too; and is itself where that is switched "
    "off") {
  if (!mode_is_known()) return;
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{2}});
  const Expr small = graph.constant(row({1e-30f, 1e-20f}));
  const std::vector<Expr> outputs{x * 1e30, x * 1e-25, graph.make(op("equal"), {x * small, graph.scalar(0)}),
                                  graph.make(op("mul"), {small, small})};
  const Inputs inputs{{"x", row({tiny, 1e-15f})}};
  const auto run = [&](bool flush) {
    return Program::compile(outputs, {.flush_denormals = flush}).run(inputs);
  };
  const std::vector<Tensor> flushed = run(true), kept = run(false);
  CHECK(flushed[0].at(0) == 0);
  CHECK(kept[0].at(0) > 1e-15);
  CHECK(flushed[1].at(1) == 0);
  CHECK(kept[1].at(1) > 0);
  CHECK(flushed[2].at(0) == 1);  // `z == 0` includes underflow
  CHECK(flushed[2].at(1) == 0);
  CHECK(flushed[3].at(1) == 0);
  CHECK(kept[3].at(1) > 0);
}
