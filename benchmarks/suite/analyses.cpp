#include <functional>
#include <string>

#include "rulegrad/api/explainer.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

using Make = Model (*)();

void run_analysis(benchmark::State& state, Make make, const std::string& method, std::int64_t batch,
                  int threads) {
  const Model model = make();
  const Explainer explainer(model, method);
  const Tensor input = random_input(model, batch);
  for (auto _ : state) benchmark::DoNotOptimize(explainer.run(input, {.threads = threads}));
  const ProgramStats stats = explainer.program().stats({.batch = batch, .samples = 1});
  state.counters["contractions"] = static_cast<double>(stats.contractions);
  state.counters["arena_MB"] = static_cast<double>(stats.arena_bytes) / 1e6;
  state.SetItemsProcessed(state.iterations() * batch);
}

/// What a run costs that has next to nothing to compute: binding, planning looked up, memory, results.
void run_overhead(benchmark::State& state) {
  const Model model = Sequential({B, 4}).dense(4).relu().dense(4).finish();
  const Explainer explainer(model, "lrp.epsilon_plus");
  const Tensor input = random_input(model, 1);
  for (auto _ : state) benchmark::DoNotOptimize(explainer.run(input, {.threads = 1}));
  state.counters["instructions"] = static_cast<double>(explainer.program().stats({}).instructions);
}

}  // namespace

void add_analyses() {
  const auto add = [](const std::string& name, Make make, const char* method, std::int64_t batch,
                      int threads) {
    const std::string title = "analyses/" + name + "/" + method + "/batch:" + std::to_string(batch) +
                              (threads == 1 ? "/one_thread" : "/all_threads");
    benchmark::RegisterBenchmark(
        title.c_str(), [=](benchmark::State& state) { run_analysis(state, make, method, batch, threads); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (const char* method :
       {"gradient", "guided_backprop", "lrp.epsilon", "lrp.epsilon_plus", "lrp.epsilon_alpha2_beta1_flat",
        "lrp.epsilon_gamma_box", "deeplift.rescale", "integrated_gradients"}) {
    for (const std::int64_t batch : {1, 32})
      for (const int threads : {1, 0}) {
        add("lenet", lenet, method, batch, threads);
        add("mlp", mlp, method, batch, threads);
      }
    add("vgg16", vgg16, method, 1, 0);
  }
  benchmark::RegisterBenchmark("analyses/overhead", run_overhead)->Unit(benchmark::kMicrosecond);
}

}  // namespace rulegrad::benchmarks
