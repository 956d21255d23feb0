#pragma once

#include <benchmark/benchmark.h>

/// What `suite` times. Each adds its benchmarks by name, so that --benchmark_filter chooses among them.
namespace rulegrad::benchmarks {

void add_operators();     ///< operators/...: every operator on its own samples
void add_contractions();  ///< contractions/...: layers of well-known networks
void add_fusion();        ///< fusion/...: what stands between contractions
void add_passes();        ///< passes/...: what happens between an expression and a program
void add_rewriting();     ///< rewriting/...: how rewriting grows with the network
void add_import();        ///< import/...: ONNX files and rule files
void add_analyses();      ///< analyses/...: whole networks, whole methods

}  // namespace rulegrad::benchmarks
