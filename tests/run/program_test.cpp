#include "rulegrad/run/program.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <omp.h>
#include <optional>
#include <thread>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

#include "run/toy_operators.hpp"

using namespace rulegrad;

namespace {

const toy::Toys& toys() {
  static const toy::Toys all;
  return all;
}

Expr make(std::string_view name, std::vector<Expr> operands) {
  Graph& graph = operands.at(0).graph();
  return graph.make(toys().op(name), std::move(operands));
}

CompileOptions options() {
  return {.kernels = &toys().kernels, .poison = true};
}

Program compiled(std::vector<Expr> outputs) {
  return Program::compile(outputs, options());
}

Tensor floats(Dims dims, std::initializer_list<float> values) {
  return {std::move(dims), values};
}

std::vector<float> list(const Tensor& tensor) {
  const auto values = tensor.values<float>();
  return {values.begin(), values.end()};
}

std::string message_of(const Program& program, const Inputs& inputs) {
  try {
    (void)program.run(inputs);
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("a program computes what its expressions say, for any batch, when the graph is gone") {
  std::optional<Program> program;
  {
    Graph graph;
    const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
    const Expr bias = graph.constant(floats({2}, {10, 20}));
    program = compiled({make("relu", {make("sub", {make("mul", {x, x}), bias})})});
  }
  CHECK(list(program->run({{"x", floats({1, 2}, {4, 4})}}).at(0)) == std::vector<float>{6, 0});
  const Tensor three = program->run({{"x", floats({3, 2}, {4, 4, 1, 5, 0, -6})}}).at(0);
  CHECK(three.dims() == Dims{3, 2});
  CHECK(list(three) == std::vector<float>{6, 0, 0, 5, 0, 16});
}

TEST_CASE("outputs may be inputs, constants, each other and other shapes of them") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr c = graph.constant(floats({2}, {1, 2}));
  const Expr y = make("half", {x});
  const Tensor given = floats({2, 2}, {2, 4, 6, 8});
  const auto results =
      compiled({x, c, y, y, make("flat", {y}), make("flat", {x}), make("half", {make("flat", {y})})})
          .run({{"x", given}});
  CHECK(identical(results[0], given));
  CHECK(list(results[1]) == std::vector<float>{1, 2});
  CHECK(list(results[2]) == std::vector<float>{1, 2, 3, 4});
  CHECK(identical(results[2], results[3]));
  CHECK(results[4].dims() == Dims{1, 4});
  CHECK(list(results[4]) == std::vector<float>{1, 2, 3, 4});
  CHECK(results[5].dims() == Dims{1, 4});
  CHECK(list(results[6]) == std::vector<float>{0.5, 1, 1.5, 2});
}

TEST_CASE("what depends on no input is computed once") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr w = graph.constant(floats({2, 2}, {1, -2, -3, 4}));
  const Expr positive = make("relu", {w});
  const Program program =
      compiled({make("dot", {x, make("half", {make("half", {positive})})}), make("dot", {x, positive})});
  const ProgramStats stats = program.stats({1, 1});
  CHECK(stats.instructions == 2);
  CHECK(stats.contractions == 2);
  CHECK(stats.folded_constants == 2);
  CHECK(stats.folded_bytes == 32);
  CHECK(stats.large_folds.empty());
  CHECK(list(program.run({{"x", floats({1, 2}, {4, 8})}}).at(0)) == std::vector<float>{1, 8});
}

TEST_CASE("folded constants above 64 MB are noted") {
  Graph graph;
  const Expr w = graph.constant(Tensor(DType::float32, {17, 1 << 20}));
  const Expr x = graph.input("x", {DType::float32, Shape{}});
  const Expr half = make("half", {w});
  graph.add_name(half, "half of w");
  const ProgramStats stats = compiled({make("mul", {x, half})}).stats({});
  CHECK(stats.large_folds == std::vector<std::string>{"half 'half of w' float32[17, 1048576]: 68.0 MB"});
}

TEST_CASE("results are written over operands that nobody reads later, and over nothing else") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr a = make("half", {x});    // not over the input
  const Expr b = make("half", {a});    // not over a: read below
  const Expr c = make("flip", {b});    // never in place
  const Expr d = make("sub", {c, a});  // over c or a
  const Expr e = make("half", {d});    // over d, into the output
  CompileOptions one_by_one = options();
  one_by_one.fuse = false;
  const Program program = Program::compile(std::vector{e}, one_by_one);
  const Tensor given = floats({1, 3}, {4, 8, 16});
  CHECK(list(program.run({{"x", given}}).at(0)) == std::vector<float>{1, -1, -3.5});
  CHECK(list(given) == std::vector<float>{4, 8, 16});
  CHECK(program.stats({}).in_place == 2);
  CHECK(program.stats({}).arena_bytes == 128);
  CHECK(program.stats({}).unplanned_bytes == 256);
  CHECK(program.print({}) ==
        "batch 1, samples 1: 5 instructions, arena 128 bytes (256 without reuse)\n"
        "%0 = half('x') : float32[1, 3] in arena 0+12\n"
        "%1 = half(%0) : float32[1, 3] in arena 64+12\n"
        "%2 = flip(%1) : float32[1, 3] in output 0; frees arena 64+12\n"
        "%3 = sub(%2, %0) : float32[1, 3] in output 0, over %2; frees arena 0+12\n"
        "%4 = half(%3) : float32[1, 3] in output 0, over %3\n"
        "return %4\n");
}

TEST_CASE("kernels are called once for each sample, or once for all that broadcast or are one larger batch") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape({B, 2}, true)});
  const Expr one = graph.input("one", {DType::float32, Shape{B, 2}});
  const Expr row = graph.input("row", {DType::float32, Shape({2}, true)});
  const Expr w = graph.constant(floats({2, 2}, {1, 2, 3, 4}));
  const Expr y = make("flip", {make("mul", {make("sub", {x, one}), row})});
  const std::vector<Expr> outputs{make("half", {make("dot", {y, w})})};
  const Program program = compiled(outputs);
  CHECK(program.print({1, 3}) ==
        "batch 1, samples 3: 4 instructions, arena 128 bytes (256 without reuse)\n"
        "%0 = sub+mul('x', 'one', 'row') : float32[3, 1, 2] in arena 0+24, by tiles\n"
        "%1 = flip(%0) : float32[3, 1, 2] in arena 64+24, once for each of 3 samples; frees arena 0+24\n"
        "%2 = dot(%1, c0) : float32[3, 1, 2] in output 0, scratch 0+24; frees arena 64+24\n"
        "%3 = half(%2) : float32[3, 1, 2] in output 0, over %2, by tiles\n"
        "return %3\n");

  const Tensor xs = floats({3, 2, 2}, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}),
               ones = floats({2, 2}, {1, 0, 2, 1}), rows = floats({3, 2}, {1, 2, 3, 4, 5, 6});
  const Tensor all = program.run({{"x", xs}, {"one", ones}, {"row", rows}}).at(0);
  CHECK(all.dims() == Dims{3, 2, 2});

  Graph plain;
  const Expr px = plain.input("x", {DType::float32, Shape{B, 2}});
  const Expr pone = plain.input("one", {DType::float32, Shape{B, 2}});
  const Expr prow = plain.input("row", {DType::float32, Shape{2}});
  const Expr pw = plain.constant(floats({2, 2}, {1, 2, 3, 4}));
  const Program single = compiled(
      {make("half", {make("dot", {make("flip", {make("mul", {make("sub", {px, pone}), prow})}), pw})})});
  for (std::int64_t s = 0; s < 3; ++s) {
    const Tensor x_s({2, 2}, xs.values<float>().subspan(static_cast<std::size_t>(s) * 4, 4));
    const Tensor row_s({2}, rows.values<float>().subspan(static_cast<std::size_t>(s) * 2, 2));
    const Tensor expected = single.run({{"x", x_s}, {"one", ones}, {"row", row_s}}).at(0);
    CHECK(
        identical(Tensor({2, 2}, all.values<float>().subspan(static_cast<std::size_t>(s) * 4, 4)), expected));
  }
}

TEST_CASE("wrong inputs are told with what is there and what is needed") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 3}});
  const Expr mask = graph.input("mask", {DType::float32, Shape{Dim{2, true}, 3}});
  (void)graph.input("unused", {DType::float32, Shape{B}});
  const Program program = compiled({make("relu", {x}), make("relu", {mask})});
  const Tensor good(DType::float32, {2, 3}), mask4(DType::float32, {4, 3});
  CHECK(message_of(program, {{"x", good}, {"mask", mask4}}) == "no error");
  CHECK(message_of(program, {{"x", good}}) ==
        "[program] input 'mask' float32[2*B, 3] is missing; needed: 'x', 'mask'; given: 'x'");
  CHECK(message_of(program, {{"x", good}, {"mask", mask4}, {"masks", good}}) ==
        "[program] unknown input 'masks'; did you mean 'mask'?");
  CHECK(message_of(program, {{"x", Tensor(DType::float64, {2, 3})}, {"mask", mask4}}) ==
        "[input 'x'] expects float32[B, 3] but got float64[2, 3]; cast it to float32");
  CHECK(message_of(program, {{"x", Tensor(DType::float32, {3})}, {"mask", mask4}}) ==
        "[input 'x'] expects float32[B, 3] but got float32[3]; it needs 2 axes and has 1");
  CHECK(message_of(program, {{"x", Tensor(DType::float32, {2, 4})}, {"mask", mask4}}) ==
        "[input 'x'] expects float32[B, 3] but got float32[2, 4]; dim 1 must be 3 and is 4");
  CHECK(message_of(program, {{"x", Tensor(DType::float32, {0, 3})}, {"mask", mask4}}) ==
        "[input 'x'] expects float32[B, 3] but got float32[0, 3]; dim 0 holds no elements");
  CHECK(
      message_of(program, {{"x", good}, {"mask", Tensor(DType::float32, {3, 3})}}) ==
      "[input 'mask'] expects float32[2*B, 3] but got float32[3, 3]; dim 0 must be a multiple of 2 and is 3");
  CHECK(message_of(program, {{"x", good}, {"mask", Tensor(DType::float32, {6, 3})}}) ==
        "[input 'mask'] gives the batch extent 3 (dim 0 of [6, 3]) but input 'x' gives 2 (dim 0 of [2, 3]); "
        "all inputs "
        "of a run need the same one");
  CHECK(message_of(program, {{"x", good}, {"mask", mask4}, {"unused", Tensor(DType::float32, {2})}}) ==
        "no error");
  CHECK(message_of(program, {{"x", good}, {"mask", mask4}, {"unused", Tensor(DType::float32, {3})}})
            .find("batch extent 3") != std::string::npos);
}

TEST_CASE("numbers that are not finite are told with the place they were met at") {
  const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const Expr w = graph.constant(floats({2, 2}, {1e30F, 0, 0, 1}));
  const Expr y = make("dot", {x, w});
  graph.add_name(y, "fc");
  const Program program = compiled({y});
  CHECK(message_of(program, {{"x", floats({2, 2}, {1, 2, nan, 3})}}) ==
        "[input 'x'] holds nan at [1, 0]; give finite values, or compile with check_finite off");
  CHECK(message_of(program, {{"x", floats({2, 2}, {1, 2, 1e30F, 3})}}) ==
        "[dot 'fc' float32[B, 2]] gave inf at [1, 0]; its operands are finite, so a sum left the range of "
        "the dtype: scale "
        "the input, or compute in float64");
  // The result of the last operation is looked at, whatever it is.
  const Expr square = make("mul", {x, x});
  CHECK(message_of(compiled({square}), {{"x", floats({1, 2}, {1, 1e30F})}})
            .find("gave inf at [0, 1]; a value left the range of the dtype") != std::string::npos);
  CompileOptions lenient;
  lenient.check_outputs = false;
  CHECK(std::isinf(
      Program::compile(std::span(&square, 1), lenient).run({{"x", floats({1, 2}, {1, 1e30F})}}).at(0).at(1)));
  const Expr bad = graph.constant(floats({1, 2}, {1, -infinity}));
  graph.add_name(bad, "fc.bias");
  CHECK_THROWS_WITH_AS(compiled({make("sub", {y, bad})}),
                       "[constant 'fc.bias' float32[1, 2]] holds -inf at [0, 1]; repair the model, or "
                       "compile with check_finite off",
                       Error);
  CompileOptions lax = options();
  lax.check_finite = false;
  const std::vector<Expr> outputs{make("sub", {y, bad})};
  CHECK(list(Program::compile(outputs, lax).run({{"x", floats({1, 2}, {1e30F, 3})}}).at(0)) ==
        std::vector<float>{infinity, infinity});

  // In a large tensor, threads look at pieces: still the first one is told.
  Tensor large(DType::float32, {4, 100000});
  large.mutable_values<float>()[123456] = nan;
  large.mutable_values<float>()[300000] = nan;
  Graph wide;
  const std::vector<Expr> halves{make("half", {wide.input("x", {DType::float32, Shape{B, 100000}})})};
  CHECK(message_of(Program::compile(halves, options()), {{"x", large}}).find("holds nan at [1, 23456]") !=
        std::string::npos);
}

TEST_CASE("operators without a kernel and open gradient nodes are refused when compiled") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2}});
  const OpSchema strange = toy::schema("reluu", {{"x"}}, infer::same_as_first("reluu"));
  CHECK_THROWS_WITH_AS(compiled({graph.make(strange, {x})}),
                       "unknown kernel 'reluu'; did you mean 'relu'?; an operator needs a kernel to be run: "
                       "Kernels::set gives it one",
                       Error);
  CHECK_THROWS_AS(compiled({}), Error);
}

TEST_CASE("what a kernel throws is told with the node") {
  Kernels kernels = Kernels::portable();
  Kernel failing;
  failing.run = [](const KernelCall&) { throw Error(ErrorCode::invalid_argument, "[half] has had enough"); };
  kernels.set("half", failing);
  Graph graph;
  const Expr y = make("half", {graph.input("x", {DType::float32, Shape{B}})});
  const std::vector<Expr> outputs{y};
  CHECK(message_of(Program::compile(outputs, {.kernels = &kernels}), {{"x", floats({1}, {1})}}) ==
        "[half] has had enough (while computing half %1 float32[B])");
}

TEST_CASE("many threads may run one program at once, for different batches") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 8}});
  Expr y = x;
  for (int i = 0; i < 10; ++i) y = make("sub", {make("flip", {make("mul", {y, x})}), make("half", {y})});
  const Program program = compiled({y, make("dot", {y, x})});
  std::vector<Inputs> inputs;
  std::vector<std::vector<Tensor>> expected;
  for (std::int64_t batch = 1; batch <= 3; ++batch) {
    Tensor values(DType::float32, {batch, 8});
    for (std::int64_t i = 0; i < values.size(); ++i)
      values.mutable_values<float>()[static_cast<std::size_t>(i)] = std::sin(static_cast<float>(i * batch));
    inputs.push_back({{"x", values}});
    expected.push_back(program.run(inputs.back()));
  }
  std::vector<int> wrong(8);
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < wrong.size(); ++t)
      threads.emplace_back([&, t] {
        for (std::size_t round = 0; round < 200; ++round) {
          const std::size_t which = (round + t) % 3;
          const auto results = program.run(inputs[which], {.threads = 1});
          for (std::size_t k = 0; k < results.size(); ++k)
            wrong[t] += identical(results[k], expected[which][k]) ? 0 : 1;
        }
      });
  }
  CHECK(wrong == std::vector<int>(8));
}

TEST_CASE("a run of little work stays on the caller's thread; others get the threads that they may take") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 16}});
  const std::vector<Expr> outputs{relu(x)},
      product{dense(x, graph.constant(Tensor::full(DType::float32, {1024, 16}, 0.5)))};
  int seen = 0;
  Kernels kernels = Kernels::portable();
  for (const char* name : {"relu", "dense"}) {
    Kernel kernel = *kernels.at(name);
    kernel.run = [&seen, run = kernel.run](const KernelCall& call) {
      seen = omp_get_max_threads();
      run(call);
    };
    kernels.set(name, kernel);
  }
  const auto threads = [&](const std::vector<Expr>& of, std::int64_t batch, bool little_on_one_thread) {
    const Program program =
        Program::compile(of, {.kernels = &kernels, .little_on_one_thread = little_on_one_thread});
    const int before = omp_get_max_threads();
    (void)program.run({{"x", Tensor::full(DType::float32, {batch, 16}, 1)}}, {.threads = 3});
    CHECK(omp_get_max_threads() == before);
    return seen;
  };
  CHECK(threads(outputs, 2, true) == 1);
  CHECK(threads(outputs, 2, false) == 3);
  CHECK(threads(outputs, 20000, true) == 3);
  // Some 2 MB, and 8 million multiplications.
  CHECK(threads(product, 512, true) == 3);
  CHECK(threads(product, 2, true) == 1);
}
