// Random expressions, computed in planned memory and in memory of their own: the bits must be the same.
#include <doctest/doctest.h>
#include <random>
#include <thread>

#include "rulegrad/run/program.hpp"

#include "run/random_tensor.hpp"
#include "run/toy_operators.hpp"

using namespace rulegrad;

namespace {

const toy::Toys& toys() {
  static const toy::Toys all;
  return all;
}

/// A DAG over three inputs (one of them sampled, maybe), constants, and every kind of kernel; all nodes but
/// the rows and scalars are [B, 6].
struct RandomExpressions {
  Graph graph;
  std::vector<Expr> full, outputs;

  RandomExpressions(std::mt19937& random, bool sampled, std::size_t size) {
    const auto pick = [&](const std::vector<Expr>& from) { return from[random() % from.size()]; };
    // Mostly recent values: long lives are rare, as in networks.
    const auto recent = [&] {
      return random() % 3 == 0 ? pick(full)
                               : full[full.size() - 1 - random() % std::min<std::size_t>(full.size(), 4)];
    };
    full = {graph.input("x", {DType::float32, Shape{B, 6}}),
            graph.input("y", {DType::float32, Shape({B, 6}, sampled)})};
    std::vector<Expr> narrow{graph.input("row", {DType::float32, Shape{6}}), graph.scalar(0.75),
                             graph.constant(random_tensor(random, {6}))};
    const Expr square = graph.constant(random_tensor(random, {6, 6}));
    const auto make = [&](const char* name, std::vector<Expr> operands) {
      return graph.make(toys().op(name), std::move(operands));
    };
    while (full.size() < size) {
      switch (random() % 10) {
        case 0:
          full.push_back(make("relu", {recent()}));
          break;
        case 1:
          full.push_back(make("half", {recent()}));
          break;
        case 2:
          full.push_back(make("flip", {recent()}));
          break;
        case 3:
          full.push_back(make("add", {recent(), recent()}));
          break;
        case 4:
          full.push_back(make("mul", {recent(), pick(narrow)}));
          break;
        case 5:
          full.push_back(make("sub", {pick(narrow), recent()}));
          break;
        case 6:
          full.push_back(
              make("dot", {recent(), random() % 2 == 0 ? square : make("relu", {make("half", {square})})}));
          break;
        case 7:
          narrow.push_back(make("half", {pick(narrow)}));
          break;
        case 8:
          full.push_back(make("mul", {recent(), recent()}));
          break;
        default:
          outputs.push_back(make("relu", {make("flat", {recent()})}));
          break;
      }
    }
    outputs.push_back(full.back());
    for (int i = 0; i < 3; ++i) outputs.push_back(pick(full));
  }
};

void check_identical(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  REQUIRE(a.size() == b.size());
  for (std::size_t i = 0; i < a.size(); ++i) REQUIRE(identical(a[i], b[i]));
}

}  // namespace

TEST_CASE(
    "random programs have the same bits with and without reuse of memory and fusion, with any number of "
    "threads") {
  std::mt19937 random(20);
  std::size_t in_place = 0, saved = 0, fused = 0;
  for (int round = 0; round < 150; ++round) {
    const bool sampled = random() % 2 == 0;
    const auto expressions = std::make_unique<RandomExpressions>(random, sampled, 4 + random() % 50);
    CompileOptions fresh{.check_finite = false,
                         .kernels = &toys().kernels,
                         .fuse = false,
                         .little_on_one_thread = false,
                         .reuse_memory = false};
    CompileOptions planned = fresh, poisoned = fresh, poisoned_fresh = fresh, unfused = fresh;
    planned.reuse_memory = poisoned.reuse_memory = unfused.reuse_memory = true;
    planned.fuse = poisoned.fuse = poisoned_fresh.fuse = true;
    poisoned.poison = poisoned_fresh.poison = unfused.poison = true;
    const Program program = Program::compile(expressions->outputs, planned);
    // The last is several tiles of fused operations, with a rest; now and then one that several threads
    // share.
    for (const std::int64_t batch : {2, 1, 5, round % 10 == 0 ? 5500 : 700}) {
      const Dims y_dims = sampled ? Dims{3, batch, 6} : Dims{batch, 6};
      const Inputs inputs{{"x", random_tensor(random, {batch, 6})},
                          {"y", random_tensor(random, y_dims)},
                          {"row", random_tensor(random, {6})}};
      const Inputs before = inputs;
      const auto expected = Program::compile(expressions->outputs, fresh).run(inputs);
      check_identical(program.run(inputs), expected);
      check_identical(program.run(inputs, {.threads = 1}), expected);
      check_identical(program.run(inputs, {.threads = 4}), expected);
      check_identical(Program::compile(expressions->outputs, poisoned).run(inputs), expected);
      check_identical(Program::compile(expressions->outputs, poisoned_fresh).run(inputs), expected);
      check_identical(Program::compile(expressions->outputs, unfused).run(inputs), expected);
      for (const auto& [name, tensor] : before) CHECK(identical(tensor, inputs.at(name)));
      const ProgramStats stats = program.stats({batch, sampled ? 3 : 1});
      CHECK(stats.arena_bytes <= stats.unplanned_bytes);
      in_place += stats.in_place;
      fused += stats.fused;
      saved += stats.unplanned_bytes - stats.arena_bytes;
    }
  }
  CHECK(in_place > 1000);
  CHECK(fused > 1000);
  CHECK(saved > 100000);
}
