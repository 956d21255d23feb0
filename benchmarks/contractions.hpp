#pragma once

#include <map>
#include <string>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/run/program.hpp"

/// What a run of a program multiplies: its convolutions and matrix products, without the work.
namespace rulegrad::benchmarks {

/// One line for each different contraction of a run, ready for `floor`:
///
///     conv count=2 x=1,64,56,56 w=64,64,3,3 y=1,64,56,56 strides=1,1 begin=1,1 end=1,1 groups=1
///     conv_transpose ...   (the same words: x is what it reads, y what it writes)
///     matmul count=1 batch=1 m=1 k=25088 n=4096 transpose_a=0 transpose_b=1
///
/// The outputs are compiled and run with kernels that note their shapes and leave zeros.
[[nodiscard]] std::vector<std::string> contractions_of(std::span<const Expr> outputs, const Inputs& inputs);

/// What the other calls of a run read and write, by size: `stream count=3 bytes=1605632`.
[[nodiscard]] std::vector<std::string> streams_of(std::span<const Expr> outputs, const Inputs& inputs);

}  // namespace rulegrad::benchmarks
