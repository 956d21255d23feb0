// No operator's inference wraps, hangs or lets a value through that could not be stored, whatever the ranks,
// extents and attributes.
#include "expr/limits.hpp"

#include <array>
#include <doctest/doctest.h>
#include <limits>
#include <optional>
#include <sys/wait.h>
#include <unistd.h>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

constexpr std::int64_t largest = std::numeric_limits<std::int32_t>::max();
constexpr std::array<std::int64_t, 8> extents{0, 1, 2, 3, 5, 46341, largest, std::int64_t{1} << 20};
constexpr std::array<std::int64_t, 10> numbers{0,
                                               1,
                                               -1,
                                               2,
                                               3,
                                               largest,
                                               -largest,
                                               std::int64_t{1} << 40,
                                               std::int64_t{1} << 62,
                                               std::numeric_limits<std::int64_t>::min()};

std::size_t below(RandomEngine& random, std::size_t count) {
  return static_cast<std::size_t>(random() % count);
}

/// The attributes with some numbers made extreme.
Attributes disturbed(const Attributes& attributes, RandomEngine& random) {
  std::vector<NamedValue> values = attributes.values();
  for (auto& [name, value] : values) {
    if (below(random, 2) == 0) continue;
    if (auto* number = std::get_if<std::int64_t>(&value)) *number = numbers[below(random, numbers.size())];
    if (auto* list = std::get_if<std::vector<std::int64_t>>(&value)) {
      if (below(random, 3) == 0) list->resize(below(random, 7));
      for (std::int64_t& number : *list)
        if (below(random, 2) == 0) number = numbers[below(random, numbers.size())];
    }
    if (auto* shape = std::get_if<Shape>(&value)) {
      std::vector<Dim> dims(below(random, 7));
      for (Dim& dim : dims) dim = Dim(extents[below(random, extents.size())], below(random, 8) == 0);
      *shape = Shape(std::move(dims));
    }
  }
  return Attributes::make(attributes.type(), values);
}

Expr any_input(Graph& graph, DType dtype, std::size_t rank, RandomEngine& random) {
  // Few axes are large, so that most shapes can be stored.
  std::vector<Dim> dims;
  const std::size_t large = below(random, 7);
  for (std::size_t axis = 0; axis < rank; ++axis)
    dims.emplace_back(axis == large ? extents[below(random, extents.size())]
                                    : static_cast<std::int64_t>(below(random, 4)));
  if (rank > 0 && below(random, 4) == 0) dims[0] = B;
  return graph.input("x" + std::to_string(graph.size()), {dtype, Shape(std::move(dims))});
}

}  // namespace

namespace {

struct Tried {
  std::int32_t made = 0, refused = 0, wrong = 0;
};

/// Makes so many nodes of the operator from what comes at random.
Tried tried(const OpSchema& op, std::uint64_t seed, int rounds) {
  Tried result;
  RandomEngine random(seed);
  const std::vector<OpExample> examples = op.examples ? op.examples(random) : std::vector<OpExample>{{}};
  for (int round = 0; round < rounds; ++round) {
    Graph graph;
    const OpExample& example = examples[below(random, examples.size())];
    const Attributes given = &example.attributes.type() == op.attributes
                                 ? example.attributes
                                 : Attributes::make(*op.attributes, {});
    const std::size_t rank = static_cast<std::size_t>(round) % 7;
    try {
      std::vector<Expr> operands;
      for (const ExampleOperand& operand : example.operands)
        operands.push_back(any_input(graph, is_floating(operand.dtype) ? DType::float32 : operand.dtype,
                                     below(random, 3) == 0 ? below(random, 7) : rank, random));
      const Expr made = graph.make(op, operands, round % 2 == 0 ? given : disturbed(given, random));
      ++result.made;
      limits::require_storable(op, made.type());
    } catch (const Error& error) {
      ++(error.code() == ErrorCode::internal ? result.wrong : result.refused);
    }
  }
  return result;
}

/// The same in a process of its own, so that an operator that crashes is named; nothing if it did.
std::optional<Tried> tried_apart(const OpSchema& op, std::uint64_t seed, int rounds) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const Tried result = tried(op, seed, rounds);
    const bool sent = ::write(ends[1], &result, sizeof result) == static_cast<ssize_t>(sizeof result);
    ::_exit(sent ? 0 : 1);
  }
  ::close(ends[1]);
  Tried result;
  const bool got = ::read(ends[0], &result, sizeof result) == static_cast<ssize_t>(sizeof result);
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  return got && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? std::optional(result) : std::nullopt;
}

}  // namespace

TEST_CASE(
    "inference of every operator on ranks 0 to 6 with extreme extents and attributes gives a storable type "
    "or an error") {
  std::int32_t made = 0, refused = 0;
  std::uint64_t seed = 20261129;
  for (const auto& op : Operators::builtin().all()) {
    if (op->operands.empty() && !op->variadic()) continue;
    CAPTURE(op->name);
    const std::optional<Tried> result = tried_apart(*op, ++seed, 400);
    CHECK(result);
    if (!result) continue;
    CHECK(result->wrong == 0);
    made += result->made;
    refused += result->refused;
  }
  MESSAGE(made, " operations made, ", refused, " refused");
  CHECK(made > 3000);
  CHECK(refused > 3000);
}

TEST_CASE("a value that could not be stored is no value") {
  Graph graph;
  CHECK_THROWS_WITH_AS(
      (void)graph.input("x", {DType::float32, Shape{std::int64_t{1} << 31}}),
      doctest::Contains("[input] attribute 'shape' is shape[2147483648], which is out of range"), Error);
  CHECK_THROWS_AS((void)graph.input("y", {DType::float32, Shape{largest, largest}}), Error);
  CHECK_THROWS_AS((void)graph.input("z", {DType::float32, Shape{largest, 0, largest}}), Error);
  CHECK_THROWS_AS((void)graph.input("n", {DType::float32, Shape{-1}}), Error);
  CHECK_NOTHROW((void)graph.input("good", {DType::float32, Shape{0, largest}}));
}

TEST_CASE("bytes that wrap around are as many as they are") {
  Graph graph;
  int number = 0;
  const auto storable = [&](const Shape& shape) {
    try {
      (void)graph.input("x" + std::to_string(++number), {DType::float32, shape});
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  // 2^64 bytes, which are 0 of them; 2^64 + 2^33.
  CHECK_FALSE(storable(Shape{1 << 20, 1 << 20, 1 << 22}));
  CHECK_FALSE(storable(Shape{1 << 10, 1 << 10, 1 << 10, 1 << 8, 1 << 24}));
  CHECK_FALSE(storable(Shape{1 << 30, (std::int64_t{1} << 31) + 1}));
  std::mt19937_64 random(5);
  int refused = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<Dim> dims(1 + random() % 6);
    double bytes = 4;  // powers of two, and so exact
    for (Dim& dim : dims) {
      const auto power = random() % 31;
      dim = Dim(std::int64_t{1} << power);
      bytes *= std::ldexp(1.0, static_cast<int>(power));
    }
    const bool fits = storable(Shape(std::move(dims)));
    REQUIRE(fits == (bytes <= std::ldexp(1.0, 46)));
    refused += fits ? 0 : 1;
  }
  CHECK(refused > 5000);
}

TEST_CASE("counts of elements do not wrap") {
  const std::int64_t half = std::int64_t{1} << 32;
  CHECK_THROWS_AS((void)element_count(Dims{half, half}), Error);
  CHECK_THROWS_AS((void)(Shape{half, half}.count()), Error);
  CHECK_THROWS_AS((void)(Shape{Dim(half, true)}.at({.batch = half})), Error);
  CHECK(element_count(Dims{half, half / 4}) == std::int64_t{1} << 62);
}
