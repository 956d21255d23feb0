#include <memory>
#include <string>
#include <vector>

#include "rulegrad/passes/separable.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

constexpr const char* methods[] = {"gradient", "lrp.epsilon_plus", "integrated_gradients"};

/// A network and the expressions that explain it.
struct Explained {
  Model model;
  std::vector<Expr> attributions;

  Explained(Model of, const std::string& method) : model(std::move(of)) {
    attributions = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method),
                           {.output = model.outputs()[0].expr,
                            .explained = {model.inputs()[0].expr},
                            .target = {},
                            .seed_tensor = {}})
                       .attributions;
  }
};

void run_compile(benchmark::State& state, Explained explained) {
  for (auto _ : state) benchmark::DoNotOptimize(Program::compile(explained.attributions));
}

/// Memory is planned when a batch extent is first asked for.
void run_plan(benchmark::State& state, Explained explained) {
  const Program program = Program::compile(explained.attributions);
  std::int64_t batch = 0;
  for (auto _ : state) benchmark::DoNotOptimize(program.stats({.batch = ++batch, .samples = 1}));
}

void run_separable(benchmark::State& state, Explained explained) {
  for (auto _ : state) benchmark::DoNotOptimize(first_mixing(explained.attributions));
}

}  // namespace

void add_passes() {
  for (const char* method : methods) {
    const auto add = [&](const std::string& pass, auto run) {
      const std::string end = std::string("/") + method;
      benchmark::RegisterBenchmark(("passes/" + pass + "/lenet" + end).c_str(), [=](benchmark::State& state) {
        run(state, Explained(lenet(), method));
      })->Unit(benchmark::kMicrosecond);
      benchmark::RegisterBenchmark(
          ("passes/" + pass + "/deep1000" + end).c_str(),
          [=](benchmark::State& state) { run(state, Explained(deep(1000), method)); })
          ->Unit(benchmark::kMicrosecond);
    };
    add("compile", run_compile);
    add("plan", run_plan);
    add("separable", run_separable);
  }
}

}  // namespace rulegrad::benchmarks
