// Graphs as text: read, printed, read again, planned, run and derived.
#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/autodiff/gradient.hpp"
#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/parse_graph.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/random_graph.hpp"
#include "fuzz/target.hpp"
#include "fuzz/values.hpp"

namespace rulegrad::fuzz {
namespace {

const std::vector<std::string>& vocabulary() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all{"B",      "S",    "float32", "float64", "int64",   "int32",
                                 "uint8",  "int8", "bool",    "true",    "false",   "shape",
                                 "return", "inf",  "nan",     "input",   "constant"};
    for (const auto& op : Operators::builtin().all()) {
      all.push_back(op->name);
      for (const std::string& field : op->attributes->fields) all.push_back(field);
    }
    return all;
  }();
  return words;
}

Bytes fresh(RandomEngine& random) {
  Graph graph(one_in(random, 2) ? DType::float64 : DType::float32);
  const std::vector<Expr> made = random_graph(graph, random, 2 + below(random, 8));
  const std::vector<Expr> roots(
      made.end() - static_cast<std::ptrdiff_t>(std::min<std::size_t>(made.size(), 2)), made.end());
  const std::string text = print(roots);
  return {text.begin(), text.end()};
}

void mutate(Bytes& input, RandomEngine& random) {
  mutate_text(input, random, vocabulary());
  if (input.size() > 20000) input.resize(20000);
}

Reached run(std::span<const std::uint8_t> input) {
  set_memory_limit(std::size_t{48} << 20);
  const std::string text(input.begin(), input.end());
  const std::uint64_t choice = digest(input);
  const ConstantResolver constants = [&](std::string_view name) -> Tensor {
    const std::size_t length = name.size();
    return *small_values({length % 2 == 0 ? DType::float64 : DType::float32,
                          Shape{static_cast<std::int64_t>(1 + choice % 4), 3}},
                         1, choice);
  };
  Graph graph(choice % 2 == 0 ? DType::float64 : DType::float32);
  std::vector<Expr> roots;
  if (!answers([&] { roots = parse_graph(graph, text, constants); })) return Reached::refused;
  if (roots.empty()) return Reached::read;
  const PrintedGraph printed = print_with_constants(roots);
  Graph other(graph.real());
  if (!answers([&] {
        const std::vector<Expr> again = parse_graph(other, printed);
        if (print_with_constants(again).text != printed.text)
          finding("a graph that is printed and read is another one");
      }))
    finding("a graph that was printed cannot be read");
  Inputs inputs;
  for (const Expr given : graph.inputs()) {
    const auto values = small_values(given.type(), 2, choice);
    if (!values) return Reached::read;
    inputs.emplace(given.attributes<InputAttributes>().name, *values);
  }
  std::optional<Program> program;
  if (!answers([&] {
        program = Program::compile(roots, {.check_finite = choice % 3 == 0, .check_facts = choice % 5 == 0});
      }))
    return Reached::read;
  if (!answers([&] { (void)program->run(inputs, {.threads = 1, .stop = soon()}); })) return Reached::planned;
  Reached reached = Reached::ran;
  if (is_floating(roots[0].dtype()))
    if (answers([&] {
          std::vector<Expr> xs;
          for (const Expr x : graph.inputs())
            if (is_floating(x.dtype())) xs.push_back(x);
          const Expr seed = graph.make(op("fill"), {}, FillAttributes{1, roots[0].dtype(), roots[0].shape()});
          const std::vector<Expr> slopes = gradient(roots[0], xs, seed);
          (void)Program::compile(slopes, {.check_finite = false}).run(inputs, {.threads = 1, .stop = soon()});
        }))
      reached = Reached::explained;
  return reached;
}

}  // namespace

const Target& target() {
  static const Target graph{"graph", run, fresh, mutate};
  return graph;
}

}  // namespace rulegrad::fuzz
