#include "kernels/blocked/bind.hpp"

#include <algorithm>
#include <string>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/blocked/pool.hpp"
#include "kernels/common/bind.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels::blocked {
namespace {

// Stays: the way there of the next; 1.17 times as long without (SqueezeNet, gradient, batch 1): benchmarks/kernel_worth.
const KernelPath max_path("max_pool: blocks of channels");
// Without it an analysis takes 1.31 times as long (SqueezeNet, gradient, batch 4): benchmarks/kernel_worth.
const KernelPath max_back_path("max_pool back: blocks of channels");
// Stays: between convolutions in blocks; 1.07 times as long without (ResNet-8, lrp.epsilon_plus_flat, batch 1).
const KernelPath avg_path("avg_pool: blocks of channels");
// Stays: between convolutions in blocks; 1.05 times as long without (ResNet-8, lrp.alpha_2_beta_1, batch 1).
const KernelPath avg_back_path("avg_pool back: blocks of channels");

/// Calls f with the block as a constant.
template <class F>
void with_block(std::int64_t block, F f) {
  if (block == 16) return f(std::integral_constant<int, 16>{});
  if (block == 8) return f(std::integral_constant<int, 8>{});
  throw Error(ErrorCode::internal, "[kernels] channels lie in blocks of 8 or 16");
}

/// `in` and `out` are the extents that windows read and write.
template <class A>
Window window_of(const A& a, DimsView in, DimsView out) {
  return make_window_to(spatial_of(in), spatial_of(out), a.kernel, a.strides, a.pads_begin, a.pads_end,
                        a.dilations);
}

/// The kernel `name` of `all`; `run(call, block, groups)` takes over where operand 0 is blocked.
template <class Run>
void replace(Kernels& all, const std::string& name, const KernelPath& path, Run run) {
  Kernel kernel = *all.at(name);
  kernel.layouts = [&path](std::span<const Type> operands, std::span<const std::int64_t> given,
                           const Type& result, const Attributes&) {
    const bool fits = path.open() && result.dtype == DType::float32 && result.shape.rank() <= 5;
    return Blocks{std::vector<std::int64_t>(operands.size(), fits ? given[0] : 0), fits ? given[0] : 0};
  };
  kernel.prepare = [run, &path](const Preparation& preparation) -> std::optional<PreparedCall> {
    const std::int64_t block = preparation.call.result.block;
    if (block == 0) return std::nullopt;
    return PreparedCall{
        [run, block, &path](const KernelCall& call) {
          path.taken();
          with_block(block, [&](auto constant) { run(call, constant, planes_of(call.result.dims) / block); });
        },
        0, "blocks"};
  };
  all.set(name, std::move(kernel));
}

/// Lets the kernel `name`, which moves whole channels, stay in blocks where `whole(type, attributes, block)`
/// says of each operand and the result that they are moved in whole blocks: those lie where the channels
/// would lie row-major, so that the kernel serves as it is.
template <class Whole>
void stay_blocked(Kernels& all, const std::string& name, Whole whole) {
  Kernel kernel = *all.at(name);
  kernel.layouts = [whole](std::span<const Type> operands, std::span<const std::int64_t> given,
                           const Type& result, const Attributes& attributes) {
    const std::int64_t block = *std::max_element(given.begin(), given.end());
    const auto fits = [&](const Type& type) {
      const Shape& shape = type.shape;
      return type.dtype == DType::float32 && shape.rank() >= 3 && shape.rank() <= 5 && !shape[1].batch &&
             shape[1].factor % block == 0;
    };
    const bool blocked = block != 0 && fits(result) && std::all_of(operands.begin(), operands.end(), fits) &&
                         whole(attributes, block);
    return Blocks{std::vector<std::int64_t>(operands.size(), blocked ? block : 0), blocked ? block : 0};
  };
  all.set(name, std::move(kernel));
}

/// True if a slice takes whole blocks of channels and all of the other axes.
template <class A>
bool takes_blocks(const Attributes& attributes, std::int64_t block) {
  const auto& a = attributes.as<A>();
  return a.axes == Ints{1} && a.steps == Ints{1} && a.starts[0] % block == 0;
}

}  // namespace

void bind_all(Kernels& all) {
  stay_blocked(all, "concat", [](const Attributes& attributes, std::int64_t) {
    return attributes.as<AxisAttributes>().axis == 1;
  });
  stay_blocked(all, "slice", takes_blocks<SliceAttributes>);
  stay_blocked(all, "slice_vjp", takes_blocks<SliceVjpAttributes>);
  replace(all, "max_pool", max_path, [](const KernelCall& call, auto block, std::int64_t groups) {
    const ConstView& x = call.operands[0];
    max_pool<float, block>(window_of(call.attributes.as<PoolAttributes>(), x.dims, call.result.dims), groups,
                           x.as<float>(), call.result.as<float>());
  });
  replace(all, "max_pool_vjp", max_back_path, [](const KernelCall& call, auto block, std::int64_t groups) {
    const ConstView &x = call.operands[0], &g = call.operands[1];
    max_pool_input_grad<float, block>(window_of(call.attributes.as<PoolAttributes>(), x.dims, g.dims), groups,
                                      x.as<float>(), g.as<float>(), call.result.as<float>());
  });
  replace(all, "max_pool_jvp", max_path, [](const KernelCall& call, auto block, std::int64_t groups) {
    const ConstView &x = call.operands[0], &t = call.operands[1];
    max_pool_select<float, block>(window_of(call.attributes.as<PoolAttributes>(), x.dims, call.result.dims),
                                  groups, x.as<float>(), t.as<float>(), call.result.as<float>());
  });
  replace(all, "avg_pool", avg_path, [](const KernelCall& call, auto block, std::int64_t groups) {
    const ConstView& x = call.operands[0];
    const auto& a = call.attributes.as<AvgPoolAttributes>();
    avg_pool<float, block>(window_of(a, x.dims, call.result.dims), a.count_padding, groups, x.as<float>(),
                           call.result.as<float>());
  });
  replace(all, "avg_pool_vjp", avg_back_path, [](const KernelCall& call, auto block, std::int64_t groups) {
    const ConstView& g = call.operands[0];
    const auto& a = call.attributes.as<AvgPoolVjpAttributes>();
    avg_pool_input_grad<float, block>(window_of(a, call.result.dims, g.dims), a.count_padding, groups,
                                      g.as<float>(), call.result.as<float>());
  });
}

}  // namespace rulegrad::kernels::blocked
