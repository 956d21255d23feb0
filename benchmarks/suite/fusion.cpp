// What stands between contractions, in one call over tiles of the cache and operation by operation.
#include <functional>
#include <string>
#include <vector>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/run/program.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

struct Chain {
  const char* name;
  Shape shape;
  std::function<Expr(Expr)> of;
};

Expr normalised(Expr x) {
  const Expr d = x - mean(x, {2}, true);
  return d / sqrt(mean(d * d, {2}, true) + 1e-5);
}

const std::vector<Chain>& chains() {
  static const std::vector<Chain> all{
      {"elementwise", Shape{B, 64, 56, 56},
       [](Expr x) { return relu(x * 0.5 + 1.0) * x - max(x, 0.0) / 3.0; }},
      {"layer_norm", Shape{B, 197, 768}, [](Expr x) { return normalised(x) * 1.5 + 0.25; }},
      {"attention_scores", Shape{B, 12, 197, 197}, [](Expr x) { return softmax(x * 0.125 + 0.5, 3) * x; }},
      {"global_mean", Shape{B, 512, 14, 14},
       [](Expr x) {
         return mean(relu(x) * x, {2, 3});
       }},
  };
  return all;
}

void run_chain(benchmark::State& state, const Chain& chain, bool fuse) {
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, chain.shape}), y = chain.of(x);
  const Tensor values = random_tensor(chain.shape.at({.batch = 4}));
  const Program program = Program::compile(std::span(&y, 1), {.check_finite = false, .fuse = fuse});
  for (auto _ : state) benchmark::DoNotOptimize(program.run({{"x", values}}));
  state.SetItemsProcessed(state.iterations() * values.size());
}

}  // namespace

void add_fusion() {
  for (const Chain& chain : chains())
    for (const bool fuse : {true, false}) {
      const std::string title = std::string("fusion/") + chain.name + (fuse ? "/fused" : "/apart");
      benchmark::RegisterBenchmark(title.c_str(),
                                   [&chain, fuse](benchmark::State& state) { run_chain(state, chain, fuse); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
}

}  // namespace rulegrad::benchmarks
