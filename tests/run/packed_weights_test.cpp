// A form of a constant is kept under the whole of its recipe: products with a weight and with its transpose
// each get their own.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <stdexcept>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"

#include "oracle/matmul.hpp"
#include "shared_data.hpp"

using namespace rulegrad;

namespace {

struct Product {
  std::int64_t rows, in, out;
};

/// Extents whose padded forms agree and some whose forms do not, from a row to many.
std::vector<Product> products() {
  std::vector<Product> all{{16, 256, 256}, {16, 512, 500},   {8, 512, 512},
                           {32, 130, 144}, {24, 1000, 1000}, {40, 384, 380}};
  for (const std::int64_t rows : {1, 7, 8, 9, 31, 33, 40}) all.push_back({rows, 256, 250});
  std::mt19937 random(20261129);
  const auto extent = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  for (int i = 0; i < 24; ++i) {
    const std::int64_t in = extent(130, 1000),
                       near = extent(0, 1) == 0 ? extent(130, 1000) : in - extent(0, 15);
    all.push_back({extent(1, 40), in, std::max<std::int64_t>(near, 130)});
  }
  return all;
}

Tensor tensor(const oracle::Dims& dims, const oracle::Values& values, DType dtype) {
  return Tensor(Dims(dims), std::span<const double>(values)).cast(dtype);
}

/// x w^T and (x w^T) w, and then the other way round in a program of its own, of the same graph.
std::vector<Tensor> there_and_back(const Product& p, DType dtype, const oracle::Values& x,
                                   const oracle::Values& w, const oracle::Values& g,
                                   const CompileOptions& options) {
  Graph graph;
  const Expr ex = graph.input("x", {dtype, Shape{B, p.in}}), eg = graph.input("g", {dtype, Shape{B, p.out}});
  const Expr ew = graph.constant(tensor({p.out, p.in}, w, dtype));
  const std::vector<Expr> both{dense(ex, ew, 0.0), matmul(eg, ew)},
      turned{matmul(eg, ew), dense(ex, ew, 0.0)};
  const Inputs inputs{{"x", tensor({p.rows, p.in}, x, dtype)}, {"g", tensor({p.rows, p.out}, g, dtype)}};
  std::vector<Tensor> results = Program::compile(both, options).run(inputs);
  for (Tensor& result : Program::compile(turned, options).run(inputs)) results.push_back(std::move(result));
  return results;
}

double largest_difference(const Tensor& a, const Tensor& b) {
  REQUIRE(a.dims() == b.dims());
  double largest = 0, difference = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(b.at(i)));
    difference = std::max(difference, std::abs(a.at(i) - b.at(i)));
  }
  return largest == 0 ? difference : difference / largest;
}

/// Takes an element; a test's kernel of its own.
struct Element {
  std::int64_t at = 0;
  friend bool operator==(const Element&, const Element&) = default;
  [[nodiscard]] ConstantForm make(const ConstView& constant) const {
    return {std::make_shared<const float>(constant.as<float>()[at]), sizeof(float)};
  }
};
/// Equal members, another type, another form.
struct Negative {
  std::int64_t at = 0;
  friend bool operator==(const Negative&, const Negative&) = default;
  [[nodiscard]] ConstantForm make(const ConstView& constant) const {
    return {std::make_shared<const float>(-constant.as<float>()[at]), sizeof(float)};
  }
};

[[maybe_unused]] inline auto with_captures(std::int64_t at) {
  return [at](const ConstView& constant) { return Element{at}.make(constant); };
}
static_assert(FormRecipe<Element>);
static_assert(!FormRecipe<decltype(with_captures(0))>,
              "a function that remembers more than can be compared is no recipe");

/// Gives what the recipe makes of operand 1, everywhere.
template <FormRecipe Recipe>
Kernel form_of(const Recipe& recipe) {
  Kernel kernel;
  kernel.run = [](const KernelCall&) { throw std::logic_error("calls are prepared"); };
  kernel.prepare = [recipe](const Preparation& preparation) -> std::optional<PreparedCall> {
    auto form = std::static_pointer_cast<const float>(preparation.constants.form(1, recipe));
    const auto run = [form](const KernelCall& call) {
      std::fill_n(call.result.as<float>(), call.result.count(), *form);
    };
    return PreparedCall{run, 0, "form", {1}};
  };
  return kernel;
}

}  // namespace

TEST_CASE(
    "products with a weight and with its transpose agree with plain loops and with the portable float64 "
    "path") {
  unsigned seed = 0;
  for (const Product& p : products()) {
    CAPTURE(p.rows);
    CAPTURE(p.in);
    CAPTURE(p.out);
    const oracle::Dims xd{p.rows, p.in}, gd{p.rows, p.out}, wd{p.out, p.in};
    const oracle::Values x = oracle::normal(xd, ++seed), w = oracle::normal(wd, ++seed),
                         g = oracle::normal(gd, ++seed);
    const auto got = there_and_back(p, DType::float32, x, w, g, {.poison = true});
    CompileOptions plain{.kernels = &Kernels::portable(),
                         .simplify = false,
                         .rounding = false,
                         .streamed_weights = 0,
                         .fuse = false};
    plain.reuse_memory = plain.fold_constants = plain.blocked_layouts = false;
    const auto want = there_and_back(p, DType::float64, x, w, g, plain);
    REQUIRE(got.size() == want.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(largest_difference(got[i], want[i]) < 1e-5);
    if (p.rows * p.in * p.out > 4'000'000) continue;
    const auto largest = [&](const oracle::Values& values, const Tensor& t) {
      double worst = 0;
      for (std::size_t i = 0; i < values.size(); ++i)
        worst = std::max(worst, std::abs(values[i] - t.at(static_cast<std::int64_t>(i))));
      return worst;
    };
    CHECK(largest(oracle::matmul(xd, x, {p.in, p.out}, oracle::swapped(wd, w), gd), want[0]) < 1e-9);
    CHECK(largest(oracle::matmul(gd, g, wd, w, xd), want[1]) < 1e-9);
  }
}

TEST_CASE(
    "forms of a constant are told apart by their whole recipe and by its type, and equal ones are made "
    "once") {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{3}}),
             w = graph.constant(Tensor({3}, {5.F, 7.F, 11.F}));
  const std::vector<Expr> y{x * w};
  std::vector<Program> programs;
  const auto value_with = [&](const Kernel& kernel) {
    Kernels kernels = Kernels::portable();
    kernels.set("mul", kernel);
    programs.push_back(Program::compile(y, {.kernels = &kernels, .simplify = false}));
    return programs.back().run({{"x", Tensor({3}, {1.F, 1.F, 1.F})}})[0].at(1);
  };
  CHECK(value_with(form_of(Element{0})) == 5);
  CHECK(value_with(form_of(Element{2})) == 11);
  CHECK(shared_constants(graph).packs == 2);
  CHECK(value_with(form_of(Negative{2})) == -11);
  CHECK(shared_constants(graph).packs == 3);
  CHECK(value_with(form_of(Element{2})) == 11);
  CHECK(shared_constants(graph).packs == 3);
}

TEST_CASE("the gradient of two dense layers at the command's batch is that of plain loops") {
  const auto data = shared_data();
  if (!data || !std::filesystem::exists(*data / "field/dense_batch16")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const auto folder = *data / "field/dense_batch16";
  const Model model = load_onnx((folder / "model.onnx").string());
  const Tensor x = io::read_npy(folder / "x.npy"), expected = io::read_npy(folder / "expected.npy");
  for (const std::int64_t batch : {0, 1, 8, 9, 16}) {
    CAPTURE(batch);
    const Explanation explanation = Explainer(model, "gradient").run(x, {.batch_size = batch});
    CHECK(largest_difference(explanation.attribution(), expected) < 1e-5);
  }
}
