#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/reduce/norms.hpp"

namespace rulegrad::kernels {
namespace {

template <class T>
std::span<const T> all_of(const ConstView& view) {
  return {view.as<T>(), static_cast<std::size_t>(view.count())};
}

void run_batch_norm(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<BatchNormAttributes>();
  const std::size_t axis = axis_of(a.axis, x.dims.size());
  floating(x.dtype, [&]<class T>(T) {
    const BatchNormParameters<T> parameters{all_of<T>(call.operands[1]), all_of<T>(call.operands[2]),
                                            all_of<T>(call.operands[3]), all_of<T>(call.operands[4]),
                                            a.epsilon};
    batch_norm(count_of(x.dims.first(axis)), x.dims[axis], count_of(x.dims.subspan(axis + 1)), parameters,
               x.as<T>(), call.result.as<T>());
  });
}

void run_layer_norm(const KernelCall& call) {
  const ConstView &x = call.operands[0], &w = call.operands[1], &b = call.operands[2];
  const auto& a = call.attributes.as<LayerNormAttributes>();
  const std::size_t axis = axis_of(a.axis, x.dims.size());
  floating(x.dtype, [&]<class T>(T) {
    T* const y = call.result.as<T>();
    normalise_rows(count_of(x.dims.first(axis)), count_of(x.dims.subspan(axis)), a.epsilon, x.as<T>(), y);
    multiply(x.dims, y, w.dims, w.as<T>(), x.dims, y);
    add(x.dims, y, b.dims, b.as<T>(), x.dims, y);
  });
}

void run_rms_norm(const KernelCall& call) {
  const ConstView &x = call.operands[0], &w = call.operands[1];
  const auto& a = call.attributes.as<LayerNormAttributes>();
  const std::size_t axis = axis_of(a.axis, x.dims.size());
  floating(x.dtype, [&]<class T>(T) {
    T* const y = call.result.as<T>();
    rms_normalise_rows(count_of(x.dims.first(axis)), count_of(x.dims.subspan(axis)), a.epsilon, x.as<T>(), y);
    multiply(x.dims, y, w.dims, w.as<T>(), x.dims, y);
  });
}

void run_lp_normalize(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<LpNormalizeAttributes>();
  const std::size_t axis = axis_of(a.axis, x.dims.size());
  floating(x.dtype, [&]<class T>(T) {
    lp_normalise(count_of(x.dims.first(axis)), x.dims[axis], count_of(x.dims.subspan(axis + 1)),
                 {a.p, a.epsilon, a.least}, x.as<T>(), call.result.as<T>());
  });
}

void run_channel_window_sum(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<ChannelWindowAttributes>();
  floating(x.dtype, [&]<class T>(T) {
    channel_window_sum(x.dims[0], x.dims[1], count_of(spatial_of(x.dims)), a.size, a.reversed, x.as<T>(),
                       call.result.as<T>());
  });
}

void run_lrn(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<LrnAttributes>();
  floating(x.dtype, [&]<class T>(T) {
    lrn(x.dims[0], x.dims[1], count_of(spatial_of(x.dims)), {a.size, a.alpha, a.beta, a.bias}, x.as<T>(),
        call.result.as<T>());
  });
}

}  // namespace

void bind_norms(Kernels& all) {
  all.set("batch_norm", with_batch_unless(simple(run_batch_norm), along_outermost<BatchNormAttributes>));
  all.set("layer_norm", with_batch_unless(simple(run_layer_norm), along_outermost<LayerNormAttributes>));
  all.set("rms_norm", with_batch_unless(simple(run_rms_norm), along_outermost<LayerNormAttributes>));
  all.set("lp_normalize",
          with_batch_unless(simple(run_lp_normalize), along_outermost<LpNormalizeAttributes>));
  all.set("channel_window_sum", with_batch(simple(run_channel_window_sum), {0}));
  all.set("lrn", with_batch(simple(run_lrn), {0}));
}

}  // namespace rulegrad::kernels
