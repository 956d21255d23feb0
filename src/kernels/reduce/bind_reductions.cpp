#include <numeric>
#include <optional>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/pool/first_max.hpp"
#include "kernels/reduce/reduce.hpp"
#include "kernels/reduce/softmax.hpp"
#include "kernels/reduce/statistics.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::pair<const char*, Reduction> reductions[] = {{"sum", Reduction::sum},
                                                            {"mean", Reduction::mean},
                                                            {"amax", Reduction::amax},
                                                            {"amin", Reduction::amin},
                                                            {"prod", Reduction::prod}};

/// The reduced axes; none named means all.
Ints reduced_axes(const ReduceAttributes& a, std::size_t rank) {
  if (!a.axes.empty()) return a.axes;
  Ints all(rank);
  std::iota(all.begin(), all.end(), std::int64_t{0});
  return all;
}

/// Rows begin where the reduced axes do, if these are the last ones.
std::optional<std::size_t> first_reduced(std::span<const Type> operands, const Type&,
                                         const Attributes& attributes) {
  const std::size_t rank = operands[0].shape.rank();
  const Ints axes = reduced_axes(attributes.as<ReduceAttributes>(), rank);  // ascending
  const std::size_t first = rank - axes.size();
  return axes.empty() || axes[0] != static_cast<std::int64_t>(first) ? std::nullopt : std::optional(first);
}

/// The same for a sum to the extents of the result.
std::optional<std::size_t> first_summed(std::span<const Type> operands, const Type& result,
                                        const Attributes&) {
  const Shape &x = operands[0].shape, &y = result.shape;
  if (x.rank() != y.rank()) return std::nullopt;
  std::size_t first = 0;
  while (first < x.rank() && x[first] == y[first]) ++first;
  for (std::size_t i = first; i < x.rank(); ++i)
    if (!y[i].is(1)) return std::nullopt;
  return first == x.rank() ? std::nullopt : std::optional(first);
}

/// Along the last axis, rows are what is normalised.
std::optional<std::size_t> last_axis(std::span<const Type> operands, const Type&,
                                     const Attributes& attributes) {
  const std::size_t rank = operands[0].shape.rank();
  return axis_of(attributes.as<AxisAttributes>().axis, rank) + 1 == rank ? std::optional(rank - 1)
                                                                         : std::nullopt;
}

bool reduces_outermost(const Attributes& attributes, std::size_t) {
  const auto& axes = attributes.as<ReduceAttributes>().axes;
  return axes.empty() || axes[0] == 0;
}

template <class F>
Kernel arg_kernel(F pick) {
  Kernel kernel = simple([pick](const KernelCall& call) {
    const ConstView& x = call.operands[0];
    const auto axis =
        static_cast<std::int64_t>(axis_of(call.attributes.as<ArgAttributes>().axis, x.dims.size()));
    arithmetic(x.dtype, [&]<class T>(T) { pick(x.dims, axis, x.as<T>(), call.result.as<std::int64_t>()); });
  });
  return with_batch_unless(std::move(kernel), along_outermost<ArgAttributes>);
}

template <class F>
Kernel along_axis(F function) {
  Kernel kernel = simple([function](const KernelCall& call) {
    const ConstView& x = call.operands[0];
    const auto axis =
        static_cast<std::int64_t>(axis_of(call.attributes.as<AxisAttributes>().axis, x.dims.size()));
    floating(x.dtype, [&]<class T>(T) { function(x.dims, axis, x.as<T>(), call.result.as<T>()); });
  });
  kernel.in_place = true;
  kernel.row_axis = last_axis;
  return with_batch_unless(std::move(kernel), along_outermost<AxisAttributes>);
}

}  // namespace

void bind_reductions(Kernels& all) {
  for (const auto& [name, op] : reductions) {
    Kernel kernel = simple([op = op](const KernelCall& call) {
      const ConstView& x = call.operands[0];
      const Ints axes = reduced_axes(call.attributes.as<ReduceAttributes>(), x.dims.size());
      arithmetic(x.dtype, [&]<class T>(T) { reduce(op, x.dims, axes, x.as<T>(), call.result.as<T>()); });
    });
    kernel.row_axis = first_reduced;
    all.set(name, with_batch_unless(std::move(kernel), reduces_outermost));
  }
  all.set("first_max", with_batch_unless(simple([](const KernelCall& call) {
                                           const ConstView& x = call.operands[0];
                                           const Ints axes = reduced_axes(
                                               call.attributes.as<ReduceAttributes>(), x.dims.size());
                                           arithmetic(x.dtype, [&]<class T>(T) {
                                             first_max(x.dims, axes, x.as<T>(), call.result.as<bool>());
                                           });
                                         }),
                                         reduces_outermost));
  all.set("argmax", arg_kernel([](auto... arguments) { argmax(arguments...); }));
  all.set("argmin", arg_kernel([](auto... arguments) { argmin(arguments...); }));
  Kernel stretched = simple([](const KernelCall& call) {
    const ConstView& x = call.operands[0];
    arithmetic(x.dtype,
               [&]<class T>(T) { sum_to(x.dims, x.as<T>(), call.result.dims, call.result.as<T>()); });
  });
  stretched.same_elements = [](std::span<const Type> operands, const Type& result, const Attributes&) {
    return operands[0].shape.count() == result.shape.count();
  };
  stretched.rows = [](std::span<const Type> operands, const Type& result, const Attributes&) {
    return operands[0].shape.rank() == result.shape.rank() ? Rows{0} : Rows{};
  };
  stretched.row_axis = first_summed;
  all.set("sum_to", std::move(stretched));
  all.set("softmax", along_axis([](auto... arguments) { softmax(arguments...); }));
  all.set("log_softmax", along_axis([](auto... arguments) { log_softmax(arguments...); }));
  all.set("quantile", with_batch(simple([](const KernelCall& call) {
                                   const ConstView& x = call.operands[0];
                                   const std::int64_t samples = x.dims.empty() ? 1 : x.dims[0];
                                   floating(x.dtype, [&]<class T>(T) {
                                     quantile(call.attributes.as<QuantileAttributes>().q, samples,
                                              x.count() / samples, x.as<T>(), call.result.as<T>());
                                   });
                                 }),
                                 {0}));
}

}  // namespace rulegrad::kernels
