#include <memory>
#include <string>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/recipe/analyzer.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

/// 200 rules, five for each of forty operators: one by name, one by attribute or producer, one by operand,
/// one by position, and one for what is left.
std::string rule_text() {
  std::string text = "rulegrad 1\nrules scale {\n";
  const auto five = [&](const std::string& pattern, const std::string& inner, const std::string& wrt,
                        const std::string& general) {
    text += "  grad(y: " + pattern + ", r)" + wrt + " when name(\"head.*\") => vjp(y, r)\n";
    text += "  grad(y: " + inner + ", r)" + wrt + " => vjp(y, r / 2)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " when last(conv) => vjp(y, r / 3)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " when not depends(y) => vjp(y, r / 4)\n";
    text += "  grad(y: " + pattern + ", r)" + wrt + " => " + general + "\n";
  };
  for (const char* name :
       {"relu", "tanh",      "sigmoid",     "softplus",   "elu",        "selu",       "gelu",
        "silu", "hardswish", "hardsigmoid", "leaky_relu", "erf",        "exp",        "log",
        "sqrt", "abs",       "neg",         "sign",       "clip",       "softmax",    "log_softmax",
        "cast", "reshape",   "transpose",   "slice",      "pad",        "expand",     "sum",
        "mean", "amax",      "max_pool",    "avg_pool",   "batch_norm", "layer_norm", "resize"})
    five(std::string(name) + "(x)", std::string(name) + "(batch_norm(_))", "", "vjp(y, max(r, 0))");
  for (const char* name : {"dense", "conv", "conv_transpose"})
    five(std::string(name) + "(x)", std::string(name) + "(pad(_))", "", "x * vjp(y, r / stabilize(y, 1e-6))");
  five("a + b", "add(batch_norm(a), b)", " wrt b", "b * (r / stabilize(y, 1e-6))");
  five("a * b", "mul(sigmoid(a), b)", " wrt b", "r / 2");
  return text + "}\nanalyzer scale { use scale }\n";
}

/// Residual blocks of five gradient nodes each on 8 features.
Expr network(Graph& graph, std::size_t gradient_nodes) {
  Expr x = graph.input("x", {DType::float32, Shape{B, 8}});
  const Expr w = graph.constant(Tensor::full(DType::float32, {8, 8}, 0.1));
  for (std::size_t block = 0; block * 6 < gradient_nodes; ++block) {
    Expr h = dense(x, w);
    graph.add_name(h, "block" + std::to_string(block % 997) + ".dense");
    h = tanh(relu(h));
    x = sigmoid(h) + x;
  }
  return x;
}

const RuleLibrary& scale_library() {
  static const RuleLibrary library = [] {
    RuleLibrary all = RuleLibrary::builtin();
    all.add_text(rule_text(), "scale.rules");
    return all;
  }();
  return library;
}

/// Microseconds a gradient node must stay level from 10^3 to 10^5 of them.
void run_scale(benchmark::State& state) {
  const RuleLibrary& library = scale_library();
  std::size_t steps = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto graph = std::make_unique<Graph>();
    const Expr y = network(*graph, static_cast<std::size_t>(state.range(0)));
    const Question question{.output = y, .explained = {graph->inputs()[0]}, .target = {}, .seed_tensor = {}};
    state.ResumeTiming();
    auto analysis = std::make_unique<Analysis>(analyze(library, {"scale", {}}, question));
    state.PauseTiming();
    steps = analysis->steps.size();
    analysis.reset();
    graph.reset();
    state.ResumeTiming();
  }
  state.counters["nodes"] = static_cast<double>(steps);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(steps));
}

void run_method(benchmark::State& state, const std::string& method) {
  for (auto _ : state) {
    state.PauseTiming();
    auto model = std::make_unique<Model>(lenet());
    state.ResumeTiming();
    benchmark::DoNotOptimize(analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                                     {.output = model->outputs()[0].expr,
                                      .explained = {model->inputs()[0].expr},
                                      .target = {},
                                      .seed_tensor = {}}));
    state.PauseTiming();
    model.reset();
    state.ResumeTiming();
  }
}

}  // namespace

void add_rewriting() {
  benchmark::RegisterBenchmark("rewriting/200rules/nodes", run_scale)
      ->Arg(1000)
      ->Arg(10000)
      ->Arg(100000)
      ->Unit(benchmark::kMillisecond);
  for (const char* method : {"gradient", "lrp.epsilon_plus_flat", "lrp.epsilon_gamma_box", "deeplift.rescale",
                             "integrated_gradients", "zennit.epsilon_plus_flat"})
    benchmark::RegisterBenchmark(
        (std::string("rewriting/lenet/") + method).c_str(),
        [method = std::string(method)](benchmark::State& state) { run_method(state, method); })
        ->Unit(benchmark::kMicrosecond);
}

}  // namespace rulegrad::benchmarks
