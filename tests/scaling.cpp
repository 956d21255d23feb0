// What large graphs cost, in seconds of processor time a stage and microseconds a node, or whether that grows with
// their nodes alone:
//   scaling [--kind NAME]... [--nodes N]... [--method METHOD]... [--runs N]
//   scaling --check
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "onnx/large_networks.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Asked {
  std::vector<std::string> kinds, methods;
  std::vector<int> sizes;
  int runs = 1;
  bool check = false;
};

Asked asked_in(int argc, char** argv) {
  Asked asked;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--check") {
      asked.check = true;
      continue;
    }
    const std::string value = i + 1 < argc ? argv[++i] : "";
    if (word == "--kind")
      asked.kinds.push_back(value);
    else if (word == "--method")
      asked.methods.push_back(value);
    else if (word == "--nodes")
      asked.sizes.push_back(std::stoi(value));
    else if (word == "--runs")
      asked.runs = std::stoi(value);
    else
      throw Error(ErrorCode::invalid_argument, "there is no option " + std::string(word));
  }
  if (asked.methods.empty()) asked.methods = {"gradient"};
  if (asked.sizes.empty()) asked.sizes = {10000, 100000};
  return asked;
}

/// Seconds of processor time: the least of several runs.
struct Cost {
  double load = INFINITY, compile = INFINITY, explain = INFINITY;
};

Cost cost_of(const OnnxBuilder& network, const std::string& method, int runs) {
  const ScratchFile file("scaling.onnx", network.bytes());
  Cost least;
  for (int run = 0; run < runs; ++run) {
    const ThreadTimer loading;
    const Model model = load_onnx(file.path());
    least.load = std::min(least.load, loading.seconds());
    {
      const ThreadTimer compiling;
      const Expr output = model.outputs()[0].expr;
      const Program program = Program::compile({&output, 1});
      least.compile = std::min(least.compile, compiling.seconds());
    }
    const ThreadTimer explaining;
    const Explainer explainer(model, method);
    least.explain = std::min(least.explain, explaining.seconds());
  }
  return least;
}

void print_table(const Asked& asked) {
  std::printf(
      "| network | nodes | method | load s | compile s | rewrite + compile s | load + rewrite + compile, us "
      "a node "
      "|\n|---|---|---|---|---|---|---|\n");
  for (const auto& [name, kind] : large_kinds()) {
    if (!asked.kinds.empty() && std::find(asked.kinds.begin(), asked.kinds.end(), name) == asked.kinds.end())
      continue;
    for (const std::string& method : asked.methods)
      for (const int nodes : asked.sizes) {
        const OnnxBuilder network = large_network(kind, nodes);
        const int made = network.model.graph().node_size();
        const Cost cost = cost_of(network, method, asked.runs);
        std::printf("| %s | %d | %s | %.3f | %.3f | %.3f | %.1f |\n", name, made, method.c_str(), cost.load,
                    cost.compile, cost.explain, 1e6 * (cost.load + cost.explain) / made);
        std::fflush(stdout);
      }
  }
}

/// Eight times the nodes: 8 times the cost if it grows with them, 64 times with their square. Memory that does not fit
/// into caches any more takes its share.
bool grows_with_nodes() {
  constexpr int small = 3000, large = 8 * small;
  constexpr double most = 24;
  bool all = true;
  // What is made once for all models.
  (void)cost_of(large_network(LargeKind::chain, 100), "lrp.epsilon", 1);
  for (const auto& [name, kind] : large_kinds())
    for (const char* method : {"gradient", "lrp.epsilon"}) {
      const OnnxBuilder little = large_network(kind, small), much = large_network(kind, large);
      bool within = false;
      std::string said;
      // Once more where something else came between.
      for (int attempt = 0; attempt < 3 && !within; ++attempt) {
        const Cost a = cost_of(little, method, 3), b = cost_of(much, method, 1);
        within = b.load < most * a.load && b.compile < most * a.compile && b.explain < most * a.explain;
        char line[200];
        (void)std::snprintf(line, sizeof line, "%s, %s: load %.1f, compile %.1f, rewrite + compile %.1f",
                            name, method, b.load / a.load, b.compile / a.compile, b.explain / a.explain);
        said = line;
      }
      std::printf("%s times%s\n", said.c_str(), within ? "" : ": MORE THAN ITS NODES");
      std::fflush(stdout);
      all = all && within;
    }
  return all;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Asked asked = asked_in(argc, argv);
    if (asked.check) return grows_with_nodes() ? 0 : 1;
    print_table(asked);
  } catch (const Error& error) {
    std::fprintf(stderr, "scaling: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
