#pragma once

#include <string>
#include <vector>

#include "onnx/onnx_builder.hpp"

namespace rulegrad::testing {

/// Networks of as many nodes as one likes, small in all else, written as exporters write them.
enum class LargeKind {
  chain,        ///< activations one behind the other
  scaled,       ///< factors and summands between them
  residual,     ///< x + dense(relu(dense(x)))
  layer_norm,   ///< dense layers between layer norms, in their parts
  quantised,    ///< weights and values through QuantizeLinear and DequantizeLinear
  recurrent,    ///< the cell of an LSTM written out, step after step
  transformer,  ///< blocks of attention and two dense layers, norms and GELU in their parts
};

struct NamedKind {
  const char* name;
  LargeKind kind;
};
[[nodiscard]] const std::vector<NamedKind>& large_kinds();

/// About so many nodes: whole blocks.
[[nodiscard]] OnnxBuilder large_network(LargeKind kind, int nodes);

}  // namespace rulegrad::testing
