// Times the parts of rulegrad, one after the other, with Google Benchmark:
//   suite [--benchmark_filter=REGEX] [--benchmark_min_time=SECONDS] [--benchmark_format=json] ...
#include "suite.hpp"

#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace rulegrad::benchmarks;
  try {
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
    add_operators();
    add_contractions();
    add_fusion();
    add_passes();
    add_rewriting();
    add_import();
    add_analyses();
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "suite: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
