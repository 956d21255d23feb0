// A random graph, a method of the rules that ship and random inputs: optimised against plain. The bytes are
// the numbers that graph, method and inputs are drawn from.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <fmt/format.h>

#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/random_graph.hpp"
#include "fuzz/target.hpp"
#include "fuzz/values.hpp"

namespace rulegrad::fuzz {
namespace {

Bytes fresh(RandomEngine& random) {
  Bytes bytes(24);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

struct Seeds {
  std::uint64_t graph = 0, method = 0, inputs = 0;
};
Seeds seeds_of(std::span<const std::uint8_t> input) {
  std::uint64_t numbers[3] = {};
  if (!input.empty()) std::memcpy(numbers, input.data(), std::min(input.size(), sizeof numbers));
  return {numbers[0], numbers[1], numbers[2]};
}

/// No optimisation, every value in memory of its own.
CompileOptions plain() {
  CompileOptions options{
      .check_finite = false, .kernels = &Kernels::portable(), .simplify = false, .rounding = false};
  options.streamed_weights = 0;
  options.fuse = options.reuse_memory = options.fold_constants = options.blocked_layouts =
      options.little_on_one_thread = false;
  return options;
}

/// All that keep the bits of finite values.
CompileOptions optimised(std::uint64_t choice) {
  CompileOptions options{.check_finite = false, .kernels = &Kernels::portable(), .rounding = false};
  options.streamed_weights = choice % 2 == 0 ? 1 : std::size_t{4} << 20;
  options.memory = choice % 3 == 0 ? 1 : std::size_t{1} << 30;
  options.poison = choice % 5 == 0;
  options.check_facts = true;
  return options;
}

bool all_finite(const Tensor& tensor) {
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (!std::isfinite(tensor.at(i)) || std::abs(tensor.at(i)) > 1e100) return false;
  return true;
}

/// How far two values may be apart: the order of sums is the kernel's own affair, and float64 holds 16
/// digits.
void compare(const Tensor& expected, const Tensor& got, Expr what) {
  double largest = 0, difference = 0;
  for (std::int64_t i = 0; i < expected.size(); ++i) {
    largest = std::max(largest, std::abs(expected.at(i)));
    difference =
        std::max(difference, std::isfinite(got.at(i)) ? std::abs(expected.at(i) - got.at(i)) : INFINITY);
  }
  if (difference > 1e-9 * std::max(largest, 1e-3))
    finding(fmt::format("{} is off by {:.3g} where it is as large as {:.3g}:\n{}", describe(what), difference,
                        largest, print(std::span(&what, 1))));
}

Reached run(std::span<const std::uint8_t> input) {
  set_memory_limit(std::size_t{256} << 20);
  const Seeds seeds = seeds_of(input);
  RandomEngine random(seeds.graph);
  Graph graph(DType::float64);
  const std::vector<Expr> made = random_graph(graph, random, 2 + below(random, 12));
  std::vector<Expr> outputs{made.back()};
  Reached reached = Reached::read;
  // A method needs one input of floating dtype, and rows of scores.
  std::vector<Expr> explained;
  for (const Expr x : graph.inputs())
    if (is_floating(x.dtype())) explained.push_back(x);
  const Expr last = made.back();
  if (is_floating(last.dtype()) && !last.shape().sampled() && last.shape().rank() > 0 &&
      last.shape().count().factor > 0 && !explained.empty()) {
    static const std::vector<std::string> methods = RuleLibrary::builtin().analyzer_names();
    if (answers([&] {
          Question question;
          question.output = last;
          question.explained = explained;
          const Analysis analysis =
              analyze(RuleLibrary::builtin(), {methods[seeds.method % methods.size()], {}}, question);
          outputs.insert(outputs.end(), analysis.attributions.begin(), analysis.attributions.end());
        }))
      reached = Reached::explained;
  }
  Inputs inputs;
  for (const Expr given : graph.inputs())
    inputs.emplace(given.attributes<InputAttributes>().name,
                   *small_values(given.type(), 2, seeds.inputs + given->id));
  // Every value, so that what is not finite is known: optimisations promise nothing for it.
  std::vector<Expr> all = outputs;
  for (const Expr expr : topological_order(outputs))
    if (!expr.shape().sampled() && !expr.is("input") && !expr.is("constant")) all.push_back(expr);
  std::vector<Tensor> expected;
  if (!answers(
          [&] { expected = Program::compile(all, plain()).run(inputs, {.threads = 1, .stop = soon()}); }))
    return reached == Reached::explained ? Reached::planned : Reached::read;
  if (!std::all_of(expected.begin(), expected.end(), all_finite)) return Reached::planned;
  std::vector<Tensor> got;
  bool cancelled = false;
  if (!answers([&] {
        try {
          got = Program::compile(outputs, optimised(seeds.method))
                    .run(inputs, {.threads = static_cast<int>(1 + seeds.inputs % 2), .stop = soon()});
        } catch (const Error& error) {
          cancelled = error.code() == ErrorCode::cancelled;
          throw;
        }
      }) &&
      !cancelled)
    finding(fmt::format("optimised it is an error, plain it is none:\n{}", print(outputs)));
  if (cancelled) return Reached::planned;
  for (std::size_t i = 0; i < outputs.size(); ++i) compare(expected[i], got[i], outputs[i]);
  return reached == Reached::explained ? reached : Reached::ran;
}

}  // namespace

const Target& target() {
  static const Target differential{"differential", run, fresh, mutate_bytes};
  return differential;
}

}  // namespace rulegrad::fuzz
