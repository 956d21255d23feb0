// Every operator runs on its own samples: by itself, folded, in float32, and with a sample axis on any
// operands.
#include <cmath>
#include <doctest/doctest.h>
#include <set>
#include <string>

#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

using namespace rulegrad;

namespace {

/// Nothing computes these by themselves: leaves, nodes that rules replace, and the ends of sample loops.
const std::set<std::string> without_kernel{"input",        "constant",    "grad",          "vjp",
                                           "sample_index", "batch_index", "reduce_samples"};

Tensor draw(RandomEngine& random, const ExampleOperand& operand) {
  std::uniform_real_distribution<double> real(operand.low, operand.high);
  std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                    static_cast<std::int64_t>(std::floor(operand.high)));
  Tensor result(operand.dtype, operand.dims);
  dispatch(operand.dtype, [&]<class T>(T) {
    for (T& value : result.mutable_values<T>())
      value = std::is_floating_point_v<T> ? static_cast<T>(real(random)) : static_cast<T>(whole(random));
  });
  return result;
}

/// `count` draws under a new outermost axis.
Tensor stack(const std::vector<Tensor>& parts) {
  Dims dims = parts[0].dims();
  dims.insert(dims.begin(), static_cast<std::int64_t>(parts.size()));
  Tensor all(parts[0].dtype(), dims);
  std::byte* to = all.mutable_data();
  for (const Tensor& part : parts) {
    if (part.bytes() != 0) std::copy_n(part.data(), part.bytes(), to);
    to += part.bytes();
  }
  return all;
}

Tensor part_of(const Tensor& all, std::size_t index) {
  Dims dims(all.dims().begin() + 1, all.dims().end());
  Tensor part(all.dtype(), dims);
  std::copy_n(all.data() + index * part.bytes(), part.bytes(), part.mutable_data());
  return part;
}

/// One operator over inputs x0, x1, ...; bit k of `sampled` gives operand k a sample axis.
struct Single {
  Graph graph{DType::float64};
  Expr result;

  Single(const OpSchema& op, const std::vector<Tensor>& operands, const Attributes& attributes,
         std::size_t sampled) {
    std::vector<Expr> inputs;
    for (std::size_t k = 0; k < operands.size(); ++k)
      inputs.push_back(graph.input(
          "x" + std::to_string(k),
          {operands[k].dtype(), Shape::of(operands[k].dims()).with_samples((sampled >> k & 1) != 0)}));
    result = graph.make(op, inputs, attributes);
  }
};

Tensor run(const OpSchema& op, const std::vector<Tensor>& operands, const Attributes& attributes) {
  const Single single(op, operands, attributes, 0);
  Inputs inputs;
  for (std::size_t k = 0; k < operands.size(); ++k) inputs["x" + std::to_string(k)] = operands[k];
  const std::vector<Expr> outputs{single.result};
  return Program::compile(outputs, {.poison = true}).run(inputs).at(0);
}

/// Differences in units of the larger value, or of 1.
double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.dims() == b.dims());
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    if (a.at(i) == b.at(i) || (std::isnan(a.at(i)) && std::isnan(b.at(i)))) continue;
    most =
        std::max(most, std::abs(a.at(i) - b.at(i)) / std::max({1.0, std::abs(a.at(i)), std::abs(b.at(i))}));
  }
  return most;
}

template <class F>
void for_each_example(F&& f) {
  RandomEngine random(11);
  for (const auto& op : Operators::builtin().all()) {
    if (without_kernel.contains(op->name)) continue;
    INFO("operator ", op->name);
    REQUIRE(op->examples);
    for (const OpExample& example : op->examples(random)) {
      INFO("attributes ", to_string(example.attributes));
      std::vector<Tensor> operands;
      for (const ExampleOperand& operand : example.operands) operands.push_back(draw(random, operand));
      f(*op, example, operands, random);
    }
  }
}

}  // namespace

TEST_CASE("every operator that can be computed has a portable kernel") {
  for (const auto& op : Operators::builtin().all()) {
    INFO("operator ", op->name);
    CHECK((Kernels::portable().find(op->name) != nullptr) == !without_kernel.contains(op->name));
  }
}

TEST_CASE("kernels give the type that was inferred, at run time and when folded") {
  int checked = 0;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const std::vector<Tensor>& operands, auto&) {
        ++checked;
        const Tensor result = run(op, operands, example.attributes);
        const Single single(op, operands, example.attributes, 0);
        CHECK(result.dtype() == single.result.dtype());
        CHECK(result.dims() == *single.result.shape().static_dims());
        for (std::int64_t i = 0; i < result.size(); ++i) REQUIRE(std::isfinite(result.at(i)));

        Graph graph(DType::float64);
        std::vector<Expr> constants;
        for (const Tensor& operand : operands) constants.push_back(graph.constant(operand));
        const std::vector<Expr> outputs{graph.make(op, constants, example.attributes)};
        const Program folded = Program::compile(outputs);
        CHECK(folded.stats({}).instructions == 0);
        CHECK(identical(folded.run({}).at(0), result));
      });
  CHECK(checked > 100);
}

TEST_CASE("float32 kernels say what float64 kernels say") {
  for_each_example([&](const OpSchema& op, const OpExample& example, const std::vector<Tensor>& operands,
                       auto&) {
    if (op.attributes->has("dtype")) return;
    std::vector<Tensor> narrow, wide;
    for (const Tensor& operand : operands) {
      narrow.push_back(operand.dtype() == DType::float64 ? operand.cast(DType::float32) : operand);
      wide.push_back(narrow.back().dtype() == DType::float32 ? narrow.back().cast(DType::float64) : operand);
    }
    CHECK(distance(run(op, narrow, example.attributes).cast(DType::float64),
                   run(op, wide, example.attributes).cast(DType::float64)) < 2e-5);
  });
}

TEST_CASE("a sample axis on any operands gives what the samples give one by one") {
  constexpr std::size_t samples = 3;
  int merged = 0, mapped = 0;
  for_each_example(
      [&](const OpSchema& op, const OpExample& example, const std::vector<Tensor>&, RandomEngine& random) {
        const std::size_t arity = std::min<std::size_t>(example.operands.size(), 3);
        for (std::size_t sampled = 1; sampled < std::size_t{1} << arity; ++sampled) {
          std::vector<std::vector<Tensor>> singles(samples);
          Inputs inputs;
          for (std::size_t k = 0; k < example.operands.size(); ++k) {
            const bool own = (sampled >> k & 1) != 0;
            const Tensor shared = draw(random, example.operands[k]);
            std::vector<Tensor> parts;
            for (auto& single : singles) {
              single.push_back(own ? draw(random, example.operands[k]) : shared);
              parts.push_back(single.back());
            }
            inputs["x" + std::to_string(k)] = own ? stack(parts) : shared;
          }
          const Single graph(op, singles[0], example.attributes, sampled);
          const std::vector<Expr> outputs{graph.result};
          const Program program = Program::compile(outputs, {.poison = true});
          const Tensor all = program.run(inputs).at(0);
          ++(program.print({1, samples}).find("once for each") == std::string::npos ? merged : mapped);
          INFO("sampled operands ", sampled, "\n", program.print({1, samples}));
          for (std::size_t s = 0; s < samples; ++s) {
            const Tensor expected = run(op, singles[s], example.attributes);
            if (Kernels::portable().at(op.name)->contraction)
              CHECK(distance(part_of(all, s), expected) < 1e-13);
            else
              CHECK(identical(part_of(all, s), expected));
          }
        }
      });
  CHECK(merged > 100);
  CHECK(mapped > 20);
}
