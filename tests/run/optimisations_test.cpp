// Each optimisation alone, all on and all off, over networks of every kind of layer: against plain float64
// loops, in units of accumulated rounding, with free memory poisoned and every inferred interval asserted.
// And what results may depend on.
#include <doctest/doctest.h>
#include <functional>

#include "rulegrad/ops/build.hpp"

#include "oracle/interpreter.hpp"
#include "recipe/recipe_helpers.hpp"
#include "run/threads.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Switch {
  const char* name;
  void (*off)(CompileOptions&);
};

/// A line an optimisation: what is listed here is tested.
const std::vector<Switch>& switches() {
  static const std::vector<Switch> all{
      {"simplification", [](CompileOptions& o) { o.simplify = false; }},
      {"rounding rewrites", [](CompileOptions& o) { o.rounding = false; }},
      {"folded constants", [](CompileOptions& o) { o.fold_constants = false; }},
      {"fusion", [](CompileOptions& o) { o.fuse = false; }},
      {"memory reuse", [](CompileOptions& o) { o.reuse_memory = false; }},
      {"blocked layouts", [](CompileOptions& o) { o.blocked_layouts = false; }},
      {"fast kernels", [](CompileOptions& o) { o.kernels = &Kernels::portable(); }},
      {"denormals flushed", [](CompileOptions& o) { o.flush_denormals = false; }},
      {"little on one thread", [](CompileOptions& o) { o.little_on_one_thread = false; }},
  };
  return all;
}

/// By name: all on, all off, each alone, all but one.
std::vector<std::pair<std::string, CompileOptions>> combinations() {
  const auto with = [](const std::function<bool(std::size_t)>& on) {
    CompileOptions options;
    options.poison = true;
    options.check_facts = true;
    for (std::size_t i = 0; i < switches().size(); ++i)
      if (!on(i)) switches()[i].off(options);
    return options;
  };
  std::vector<std::pair<std::string, CompileOptions>> all{
      {"all on", with([](std::size_t) { return true; })},
      {"all off", with([](std::size_t) { return false; })}};
  for (std::size_t i = 0; i < switches().size(); ++i) {
    all.emplace_back(std::string("only ") + switches()[i].name, with([i](std::size_t k) { return k == i; }));
    all.emplace_back(std::string("all but ") + switches()[i].name,
                     with([i](std::size_t k) { return k != i; }));
  }
  return all;
}

/// How many times the accumulated rounding a result may be off (docs/precision.md has this table). The
/// accumulated rounding takes each sum for one rounding of the sum of its magnitudes; a running sum in float
/// loses a few.
constexpr double most_roundings = 4;
/// Decisions that hang on less are not compared.
constexpr double slack = most_roundings;

constexpr std::int64_t batch = 2;

/// Builds layers of random weights.
class Layers {
 public:
  Layers(Graph& graph, std::uint64_t seed, Dims input) : graph_(graph), random_(seed) {
    x = y = graph.input("x", {DType::float32, Shape{B, input[0], input[1], input[2]}});
  }

  Layers& conv(std::int64_t out, std::int64_t kernel, std::int64_t stride, std::int64_t pad,
               std::int64_t groups = 1, double bias = 0) {
    const std::int64_t each = y.shape()[1].factor / groups;
    y = graph_.apply(
        op("conv"),
        {y,
         normal({out, each, kernel, kernel}, 0, 1 / std::sqrt(static_cast<double>(each * kernel * kernel))),
         normal({out}, bias, 0.2)},
        ConvAttributes{{stride, stride}, {pad, pad}, {pad, pad}, {1, 1}, groups});
    return *this;
  }
  Layers& relu() {
    y = graph_.apply(op("relu"), {y});
    return *this;
  }
  Layers& pool() {
    y = graph_.apply(op("max_pool"), {y}, PoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false});
    return *this;
  }
  /// y + conv(y).
  Layers& residual() {
    const Expr before = y;
    conv(y.shape()[1].factor, 3, 1, 1);
    y = graph_.apply(op("add"), {y, before});
    return relu();
  }
  Layers& dense() {
    const std::int64_t features = element_count(y.shape().with_samples(false).at({1, 1}));
    y = graph_.apply(op("reshape"), {y}, ShapeAttributes{Shape{B, features}});
    y = graph_.apply(op("dense"), {y, normal({3, features}, 0, 1 / std::sqrt(static_cast<double>(features))),
                                   normal({3}, 0, 0.2)});
    return *this;
  }

  Expr x, y;

 private:
  Expr normal(Dims dims, double mean, double deviation) {
    std::normal_distribution<float> next(static_cast<float>(mean), static_cast<float>(deviation));
    Tensor values(DType::float32, std::move(dims));
    for (float& value : values.mutable_values<float>()) value = next(random_);
    return graph_.constant(values);
  }

  Graph& graph_;
  std::mt19937_64 random_;
};

struct Case {
  std::string name;
  std::function<Layers(Graph&, std::uint64_t)> make;
};

/// Most convolutions are large enough for a primitive of oneDNN.
std::vector<Case> cases() {
  return {
      {"3 channels, pooling",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {3, 12, 12})
             .conv(16, 3, 1, 1)
             .relu()
             .conv(16, 3, 1, 1)
             .relu()
             .pool()
             .conv(32, 3, 1, 1)
             .relu()
             .dense();
       }},
      {"strided",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {3, 17, 16})
             .conv(16, 5, 2, 2)
             .relu()
             .conv(32, 3, 2, 1)
             .relu()
             .conv(48, 1, 1, 0)
             .relu()
             .dense();
       }},
      {"depthwise",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {3, 24, 24})
             .conv(32, 3, 2, 1)
             .relu()
             .conv(32, 3, 1, 1, 32)
             .relu()
             .conv(16, 1, 1, 0)
             .relu()
             .dense();
       }},
      {"groups",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {16, 10, 10}).conv(32, 3, 1, 1, 2).relu().conv(24, 3, 1, 1, 8).relu().dense();
       }},
      {"narrow",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {1, 14, 14}).conv(4, 5, 1, 0).relu().pool().conv(7, 3, 1, 0).relu().dense();
       }},
      {"sparse",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {3, 12, 12})
             .conv(16, 3, 1, 1, 1, -1.5)
             .relu()
             .conv(16, 3, 1, 1, 1, -0.1)
             .relu()
             .dense();
       }},
      {"residual",
       [](Graph& g, std::uint64_t s) {
         return Layers(g, s, {3, 10, 10}).conv(16, 3, 1, 1).relu().residual().residual().dense();
       }},
  };
}

constexpr const char* methods[] = {"gradient",           "guided_backprop",       "lrp.epsilon_plus_flat",
                                   "lrp.alpha_2_beta_1", "lrp.generalized_gamma", "zennit.epsilon_gamma_box"};

/// The network's scores and what each method makes of score 0.
std::vector<Expr> outputs_of(Graph& graph, const Layers& net) {
  std::vector<Expr> outputs{net.y};
  for (const char* method : methods)
    outputs.push_back(analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                              question_for(net.y, {net.x}, fixed_target(graph, 0)))
                          .attributions[0]);
  return outputs;
}

Tensor image(Expr x, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  Tensor values(DType::float32, x.shape().at({batch, 1}));
  for (float& value : values.mutable_values<float>()) value = normal(random);
  return values;
}

/// The largest distance in units of accumulated rounding. Where that is below the smallest normal float, it
/// is taken for one.
double roundings(const Tensor& got, const oracle::Interpreted& want) {
  double most = 0;
  for (std::size_t i = 0; i < want.value.size(); ++i)
    most = std::max(most, std::abs(static_cast<double>(got.values<float>()[i]) - want.value[i]) /
                              std::max(want.error[i], 1.2e-38));
  return most;
}

}  // namespace

TEST_CASE(
    "each optimisation alone, all on and all off: within four accumulated roundings of plain float64 loops") {
  std::size_t compared = 0, skipped = 0;
  double most = 0;
  for (const Case& c : cases())
    for (std::uint64_t seed = 1; seed <= 2; ++seed) {
      Graph graph;
      const Layers net = c.make(graph, seed);
      const std::vector<Expr> outputs = outputs_of(graph, net);
      const Tensor x = image(net.x, seed + 100);
      std::vector<oracle::Interpreted> want;
      std::vector<bool> decided;
      oracle::Interpreter plain({{"x", x}}, batch, slack);
      for (const Expr output : outputs) {
        want.push_back(plain.of(output));
        decided.push_back(!plain.undecided(output));
      }
      for (const auto& [name, options] : combinations()) {
        CAPTURE(c.name);
        CAPTURE(seed);
        CAPTURE(name);
        const std::vector<Tensor> got = Program::compile(outputs, options).run({{"x", x}});
        for (std::size_t k = 0; k < outputs.size(); ++k) {
          CAPTURE(k);
          ++(decided[k] ? compared : skipped);
          if (!decided[k]) continue;
          const double distance = roundings(got[k], want[k]);
          CHECK(distance < most_roundings);
          most = std::max(most, distance);
        }
      }
    }
  MESSAGE(compared, " results compared, ", skipped, " hang on a rounding; at most ", most,
          " accumulated roundings off");
  CHECK(compared > 10 * skipped);
}

TEST_CASE(
    "results depend neither on how a batch is cut, nor on threads, nor on company, beyond the same "
    "roundings") {
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    Graph graph;
    const Layers net = c.make(graph, 7);
    const std::vector<Expr> outputs = outputs_of(graph, net);
    const Tensor x = image(net.x, 8);
    const std::vector<Tensor> whole = Program::compile(outputs).run({{"x", x}});
    std::vector<oracle::Interpreted> want;
    std::vector<bool> decided;
    oracle::Interpreter plain({{"x", x}}, batch, slack);
    for (const Expr output : outputs) {
      want.push_back(plain.of(output));
      decided.push_back(!plain.undecided(output));
    }
    const auto near = [&](std::size_t k, const Tensor& got, std::int64_t first_row, std::int64_t rows) {
      if (!decided[k]) return true;
      const std::size_t each = want[k].value.size() / batch,
                        from = static_cast<std::size_t>(first_row) * each;
      for (std::size_t i = 0; i < static_cast<std::size_t>(rows) * each; ++i)
        if (std::abs(static_cast<double>(got.values<float>()[i]) -
                     static_cast<double>(whole[k].values<float>()[from + i])) >
            most_roundings * want[k].error[from + i])
          return false;
      return true;
    };
    const Program together = Program::compile(outputs, {.little_on_one_thread = false});
    for (std::size_t k = 0; k < outputs.size(); ++k) {
      CAPTURE(k);
      CHECK(near(k, Program::compile(std::span(&outputs[k], 1)).run({{"x", x}})[0], 0, batch));
    }
    for (std::int64_t row = 0; row < batch; ++row) {
      Dims dims = x.dims();
      dims[0] = 1;
      const auto each = static_cast<std::size_t>(element_count(dims));
      const Tensor one(dims, x.values<float>().subspan(static_cast<std::size_t>(row) * each, each));
      const std::vector<Tensor> got = together.run({{"x", one}}, {.batch_offset = row});
      for (std::size_t k = 0; k < outputs.size(); ++k) CHECK(near(k, got[k], row, 1));
    }
    for (const int threads : {1, 2, 4}) {
      const std::vector<Tensor> got = together.run({{"x", x}}, {.threads = threads});
      for (std::size_t k = 0; k < outputs.size(); ++k) CHECK(near(k, got[k], 0, batch));
    }
  }
}
