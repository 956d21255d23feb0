#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <optional>
#include <string>

/// All that differs between oneDNN 2 and 3: how primitives are described.
namespace rulegrad::kernels::onednn {

/// A convolution in oneDNN's words; dilations begin at 0, `bias` is a zero descriptor where there is none.
struct ConvDescription {
  dnnl::algorithm algorithm;
  dnnl::memory::desc x, w, bias, y;
  dnnl::memory::dims strides, dilations, pads_begin, pads_end;
};

/// What was made of it: descriptors of the memory it wants, in the order of the description.
struct ConvPrimitive {
  dnnl::primitive primitive;
  dnnl::memory::desc x, w, y, scratchpad;
  std::string implementation;
};

/// Computed by instructions for bfloat16 numbers, not by widening them.
[[nodiscard]] inline bool on_bfloat16_units(const ConvPrimitive& made) {
  return made.implementation.find("bf16") != std::string::npos ||
         made.implementation.find("amx") != std::string::npos;
}

/// Empty: oneDNN has no such primitive.
[[nodiscard]] std::optional<ConvPrimitive> make_forward(const dnnl::engine& engine,
                                                        const ConvDescription& conv);
/// The adjoint for x.
[[nodiscard]] std::optional<ConvPrimitive> make_backward_data(const dnnl::engine& engine,
                                                              const ConvDescription& conv);

/// The adjoint for w.
[[nodiscard]] std::optional<ConvPrimitive> make_backward_weights(const dnnl::engine& engine,
                                                                 const ConvDescription& conv);

/// What a primitive does to its result.
enum class Into : std::uint8_t { fresh, sum };

/// y = x w + bias, or y += that, matrices; `bias` is one row, or a zero descriptor where there is none. The
/// descriptors are x, w, y of the result.
[[nodiscard]] std::optional<ConvPrimitive> make_matmul(const dnnl::engine& engine,
                                                       const dnnl::memory::desc& x,
                                                       const dnnl::memory::desc& w,
                                                       const dnnl::memory::desc& bias,
                                                       const dnnl::memory::desc& y, Into into = Into::fresh);

/// The block of channels that convolutions on this machine work best with; 0: none.
[[nodiscard]] std::int64_t preferred_block();

}  // namespace rulegrad::kernels::onednn
