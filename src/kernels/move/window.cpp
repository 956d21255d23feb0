#include "kernels/move/window.hpp"

#include <fmt/format.h>

#include "rulegrad/support/error.hpp"
#include "rulegrad/tensor/shape.hpp"

namespace rulegrad::kernels {
namespace {

void fill(Triple& to, DimsView from, std::size_t rank, const char* what) {
  if (from.empty()) return;
  if (from.size() != rank)
    throw Error(ErrorCode::shape,
                fmt::format("[window] {} spatial axes but {} values for {}", rank, from.size(), what));
  for (std::size_t i = 0; i < rank; ++i) to[3 - rank + i] = from[i];
}

Window unsized(DimsView in, DimsView kernel, DimsView strides, DimsView pads_begin, DimsView pads_end,
               DimsView dilations) {
  const std::size_t rank = in.size();
  if (rank < 1 || rank > 3)
    throw Error(ErrorCode::shape,
                fmt::format("[window] expects 1 to 3 spatial axes, not {} ({})", rank, to_string(in)));
  Window w;
  fill(w.in, in, rank, "the input");
  fill(w.kernel, kernel, rank, "the kernel");
  fill(w.stride, strides, rank, "the strides");
  fill(w.pad_begin, pads_begin, rank, "the front padding");
  fill(w.pad_end, pads_end, rank, "the back padding");
  fill(w.dilation, dilations, rank, "the dilations");
  for (std::size_t i = 0; i < 3; ++i)
    if (w.kernel[i] < 1 || w.stride[i] < 1 || w.dilation[i] < 1)
      throw Error(ErrorCode::shape, "[window] kernel, strides and dilations must be at least 1");
  return w;
}

}  // namespace

Window make_window(DimsView in, DimsView kernel, DimsView strides, DimsView pads_begin, DimsView pads_end,
                   DimsView dilations, bool ceil) {
  Window w = unsized(in, kernel, strides, pads_begin, pads_end, dilations);
  for (std::size_t i = 0; i < 3; ++i) {
    const std::int64_t room =
        w.in[i] + w.pad_begin[i] + w.pad_end[i] - ((w.kernel[i] - 1) * w.dilation[i] + 1);
    if (room < 0)
      throw Error(
          ErrorCode::shape,
          fmt::format(
              "[window] a kernel of {} with dilation {} does not fit into {} + {} + {} (input and padding)",
              w.kernel[i], w.dilation[i], w.in[i], w.pad_begin[i], w.pad_end[i]));
    w.out[i] = (room + (ceil ? w.stride[i] - 1 : 0)) / w.stride[i] + 1;
    if (ceil && (w.out[i] - 1) * w.stride[i] >= w.in[i] + w.pad_begin[i]) --w.out[i];
  }
  return w;
}

Window make_window_to(DimsView in, DimsView out, DimsView kernel, DimsView strides, DimsView pads_begin,
                      DimsView pads_end, DimsView dilations) {
  Window w = unsized(in, kernel, strides, pads_begin, pads_end, dilations);
  fill(w.out, out, in.size(), "the output");
  return w;
}

}  // namespace rulegrad::kernels
