#pragma once

#include <array>
#include <cstdint>

#include "kernels/common/dims.hpp"

namespace rulegrad::kernels {

/// An extent, a step or an offset for each of three spatial axes, outermost first.
using Triple = std::array<std::int64_t, 3>;

/// Windows that slide over one, two or three spatial axes. Fewer than three axes are the innermost ones; the
/// others have extent 1 and neutral steps. Output position o and kernel position k read input position o *
/// stride + k * dilation - pad_begin; positions outside the input are padding.
struct Window {
  Triple in{1, 1, 1}, out{1, 1, 1}, kernel{1, 1, 1};
  Triple stride{1, 1, 1}, dilation{1, 1, 1}, pad_begin{0, 0, 0}, pad_end{0, 0, 0};

  [[nodiscard]] std::int64_t in_count() const { return in[0] * in[1] * in[2]; }
  [[nodiscard]] std::int64_t out_count() const { return out[0] * out[1] * out[2]; }
  [[nodiscard]] std::int64_t taps() const { return kernel[0] * kernel[1] * kernel[2]; }
};

/// The window over the spatial axes `in`; empty lists are neutral. Output extents are those of ONNX: the last
/// window may reach beyond the padded input when `ceil` is set, but has to start inside the input or its
/// front padding. Throws Error(shape) unless there are one to three axes, the lists agree and each axis has
/// room for a window.
[[nodiscard]] Window make_window(DimsView in, DimsView kernel, DimsView strides = {},
                                 DimsView pads_begin = {}, DimsView pads_end = {}, DimsView dilations = {},
                                 bool ceil = false);

/// The same with the output extents given: what the caller knows better (ceil modes, models that disagree).
[[nodiscard]] Window make_window_to(DimsView in, DimsView out, DimsView kernel, DimsView strides = {},
                                    DimsView pads_begin = {}, DimsView pads_end = {},
                                    DimsView dilations = {});

}  // namespace rulegrad::kernels
