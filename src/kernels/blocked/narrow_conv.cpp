#include "kernels/blocked/narrow_conv.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "kernels/common/parallel.hpp"
#include "kernels/conv/conv_phases.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/product/micro_kernel.hpp"

namespace rulegrad::kernels::blocked {
namespace {

// Stays: the last step of every gradient of pictures; 1.10 times as long without (SqueezeNet, gradient, batch 4).
const KernelPath narrow_path("conv input: blocks of channels to a few");

/// w [out_channels, in_channels, taps] as [taps, out_channels / block, in_channels, block].
void pack_weights(const ConvGeometry& geometry, std::int64_t block, const float* w, float* packed) {
  const std::int64_t taps = geometry.window.taps(), outputs = geometry.in_channels;
  for (std::int64_t t = 0; t < taps; ++t)
    for (std::int64_t c = 0; c < geometry.out_channels; c += block)
      for (std::int64_t j = 0; j < outputs; ++j)
        for (std::int64_t lane = 0; lane < block; ++lane)
          *packed++ = w[((c + lane) * outputs + j) * taps + t];
}

/// The kernel positions that meet input position `position` of a phase inside of g, as (kernel position,
/// output position).
std::vector<std::pair<std::int64_t, std::int64_t>> met(const Phase& phase, std::int64_t position,
                                                       std::int64_t extent) {
  std::vector<std::pair<std::int64_t, std::int64_t>> result;
  for (std::size_t i = 0; i < phase.kernel.size(); ++i)
    if (const std::int64_t o = position + phase.shift[i]; o >= 0 && o < extent)
      result.emplace_back(phase.kernel[i], o);
  return result;
}

class NarrowInputGrad {
 public:
  NarrowInputGrad(const ConvGeometry& geometry, std::int64_t block, const float* g, const float* packed,
                  float* gx)
      : window_(geometry.window),
        block_(block),
        blocks_(geometry.out_channels / block),
        outputs_(geometry.in_channels),
        batch_(geometry.batch),
        g_(g),
        packed_(packed),
        gx_(gx),
        kernels_(micro_kernels<float>().narrow[outputs_ - 1]) {
    for (std::size_t axis = 0; axis < 3; ++axis) phases_[axis] = phases_of(window_, axis);
  }

  void run() const {
    const std::int64_t rows = window_.in[0] * window_.in[1];
    parallel_each(batch_ * rows, window_.in[2] * window_.taps() * blocks_ * outputs_ * 4,
                  [&](std::int64_t i) { row(i / rows, i % rows); });
  }

 private:
  struct Row {
    std::vector<const float*> g,
        w;  ///< of each pair of outer kernel positions: g at position 0 of the row, and its weights
  };

  /// One row of input positions of one entry of the batch.
  void row(std::int64_t n, std::int64_t number) const {
    const std::int64_t z = number / window_.in[1], y = number % window_.in[1];
    const auto phase = [&](std::size_t axis, std::int64_t position) -> const Phase& {
      return phases_[axis][static_cast<std::size_t>(position % window_.stride[axis])];
    };
    Row outer;
    for (const auto& [k0, o0] : met(phase(0, z), z / window_.stride[0], window_.out[0]))
      for (const auto& [k1, o1] : met(phase(1, y), y / window_.stride[1], window_.out[1])) {
        outer.g.push_back(g_ + ((n * blocks_ * window_.out[0] + o0) * window_.out[1] + o1) * window_.out[2] *
                                   block_);
        outer.w.push_back(packed_ + (k0 * window_.kernel[1] + k1) * window_.kernel[2] * tap());
      }
    float* const to = gx_ + n * outputs_ * window_.in_count() + number * window_.in[2];
    for (const Phase& inner : phases_[2]) pixels(outer, inner, to);
  }

  void pixels(const Row& outer, const Phase& phase, float* to) const {
    std::int64_t low = 0, high = phase.count;  // where every kernel position lies inside
    for (const std::int64_t shift : phase.shift) {
      low = std::max(low, -shift);
      high = std::min(high, window_.out[2] - shift);
    }
    low = std::min(low, phase.count);
    high = std::max(low, high);
    const std::int64_t fours = (high - low) / narrow_pixels, rest = low + fours * narrow_pixels;
    for (std::int64_t p = 0; p < low; ++p) some(outer, phase, p, 0, 1, to);
    if (fours > 0) some(outer, phase, low, 1, fours, to);
    if (rest < high) some(outer, phase, rest, 0, high - rest, to);
    for (std::int64_t p = high; p < phase.count; ++p) some(outer, phase, p, 0, 1, to);
  }

  /// Positions of a phase from p on, which all meet the same kernel positions: so many calls of a kernel for
  /// one or for several.
  void some(const Row& outer, const Phase& phase, std::int64_t p, int several, std::int64_t groups,
            float* to) const {
    thread_local std::vector<const float*> g, w;
    g.clear();
    w.clear();
    for (const auto& [k, o] : met(phase, p, window_.out[2]))
      for (std::size_t i = 0; i < outer.g.size(); ++i) {
        g.push_back(outer.g[i] + o * block_);
        w.push_back(outer.w[i] + k * tap());
      }
    kernels_[several](groups, static_cast<std::int64_t>(g.size()), blocks_, g.data(),
                      window_.out_count() * block_, w.data(), to + phase.first + p * window_.stride[2],
                      window_.stride[2], window_.in_count());
  }

  std::int64_t tap() const { return blocks_ * outputs_ * block_; }

  Window window_;
  std::int64_t block_, blocks_, outputs_, batch_;
  const float *g_, *packed_;
  float* gx_;
  const NarrowKernel<float>* kernels_;
  std::vector<Phase> phases_[3];
};

}  // namespace

bool is_narrow(const ConvGeometry& geometry, std::int64_t block) {
  return narrow_path.open() && geometry.groups == 1 && geometry.in_channels <= narrow_outputs && block != 0 &&
         geometry.out_channels % block == 0 && micro_kernels<float>().lanes == block;
}

std::size_t narrow_input_grad_scratch(const ConvGeometry& geometry) {
  return static_cast<std::size_t>(geometry.out_channels * geometry.in_channels * geometry.window.taps());
}

void narrow_input_grad(const ConvGeometry& geometry, std::int64_t block, const float* g, const float* w,
                       float* gx, float* packed) {
  narrow_path.taken();
  pack_weights(geometry, block, w, packed);
  NarrowInputGrad(geometry, block, g, packed, gx).run();
}

}  // namespace rulegrad::kernels::blocked
