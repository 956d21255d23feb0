#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/pool/pool.hpp"

namespace rulegrad::kernels {
namespace {

/// Windows from [N, C, in...] to [N, C, out...]; the inferred extents already know about ceil mode.
template <class A>
Window window_of(const A& a, DimsView in, DimsView out) {
  return make_window_to(spatial_of(in), spatial_of(out), a.kernel, a.strides, a.pads_begin, a.pads_end,
                        a.dilations);
}

}  // namespace

void bind_pooling(Kernels& all) {
  all.set("max_pool", with_batch(simple([](const KernelCall& call) {
                                   const ConstView& x = call.operands[0];
                                   const Window window = window_of(call.attributes.as<PoolAttributes>(),
                                                                   x.dims, call.result.dims);
                                   floating(x.dtype, [&]<class T>(T) {
                                     max_pool(window, planes_of(x.dims), x.as<T>(), call.result.as<T>());
                                   });
                                 }),
                                 {0}));
  all.set("max_pool_vjp", with_batch(simple([](const KernelCall& call) {
                                       const ConstView &x = call.operands[0], &g = call.operands[1];
                                       const Window window =
                                           window_of(call.attributes.as<PoolAttributes>(), x.dims, g.dims);
                                       floating(x.dtype, [&]<class T>(T) {
                                         max_pool_input_grad(window, planes_of(x.dims), x.as<T>(), g.as<T>(),
                                                             call.result.as<T>());
                                       });
                                     }),
                                     {0, 1}));
  all.set("max_pool_jvp", with_batch(simple([](const KernelCall& call) {
                                       const ConstView &x = call.operands[0], &t = call.operands[1];
                                       const Window window = window_of(call.attributes.as<PoolAttributes>(),
                                                                       x.dims, call.result.dims);
                                       floating(x.dtype, [&]<class T>(T) {
                                         max_pool_select(window, planes_of(x.dims), x.as<T>(), t.as<T>(),
                                                         call.result.as<T>());
                                       });
                                     }),
                                     {0, 1}));
  all.set("avg_pool", with_batch(simple([](const KernelCall& call) {
                                   const ConstView& x = call.operands[0];
                                   const auto& a = call.attributes.as<AvgPoolAttributes>();
                                   const Window window = window_of(a, x.dims, call.result.dims);
                                   floating(x.dtype, [&]<class T>(T) {
                                     avg_pool(window, a.count_padding, planes_of(x.dims), x.as<T>(),
                                              call.result.as<T>());
                                   });
                                 }),
                                 {0}));
  all.set("avg_pool_vjp", with_batch(simple([](const KernelCall& call) {
                                       const ConstView& g = call.operands[0];
                                       const auto& a = call.attributes.as<AvgPoolVjpAttributes>();
                                       const Window window = window_of(a, call.result.dims, g.dims);
                                       floating(g.dtype, [&]<class T>(T) {
                                         avg_pool_input_grad(window, a.count_padding, planes_of(g.dims),
                                                             g.as<T>(), call.result.as<T>());
                                       });
                                     }),
                                     {0}));
}

}  // namespace rulegrad::kernels
