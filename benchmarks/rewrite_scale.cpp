// How long it takes to rewrite networks of 10^3, 10^4 and 10^5 gradient nodes with two hundred rules: the whole of
// `analyze`, from the forward graph to the expression of the relevance, derivatives included.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "rewrite/scale_network.hpp"

using namespace rulegrad;

int main(int argc, char** argv) {
  const std::size_t largest = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000;
  RuleLibrary library;
  library.add_text(testing::two_hundred_rules(), "many.rules");
  fmt::print("{:>10}  {:>10}  {:>12}  {:>12}\n", "gradients", "nodes", "ms", "us each");
  for (std::size_t size = 1000; size <= largest; size *= 10) {
    double best = 1e30;
    std::size_t nodes = 0, steps = 0;
    for (int run = 0; run < 3; ++run) {
      Graph graph;
      const testing::DeepNetwork net = testing::deep_network(graph, size);
      Question question;
      question.output = net.y;
      question.explained = {net.x};
      const auto start = std::chrono::steady_clock::now();
      const Analysis analysis = analyze(library, AnalyzerCall::parse("many"), question);
      best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
      nodes = graph.size();
      steps = analysis.steps.size();
    }
    fmt::print("{:>10}  {:>10}  {:>12.1f}  {:>12.2f}\n", steps, nodes, best, best * 1000 / static_cast<double>(steps));
  }
}
