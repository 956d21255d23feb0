#include <limits>
#include <numeric>
#include <type_traits>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/plain/plain.hpp"
#include "kernels/plain/views.hpp"

namespace rulegrad::kernels::plain {
namespace {

using Axes = std::vector<std::size_t>;

template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, std::int64_t>;

/// xt::amax takes NaN for no number and goes on; for us it is larger than all.
struct Larger {
  template <class T>
  T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
};
struct Smaller {
  template <class T>
  T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
};

template <class T>
constexpr T least() {
  return std::is_floating_point_v<T> ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::lowest();
}
template <class T>
constexpr T most() {
  return std::is_floating_point_v<T> ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::max();
}

struct Sum {
  template <class T, class X>
  static auto of(const X& x, const Axes& axes, std::int64_t) {
    return xt::sum<Wide<T>>(x, axes);
  }
};
struct Mean {
  template <class T, class X>
  static auto of(const X& x, const Axes& axes, std::int64_t count) {
    return xt::sum<Wide<T>>(x, axes) / static_cast<Wide<T>>(count == 0 && std::is_integral_v<T> ? 1 : count);
  }
};
struct Product {
  template <class T, class X>
  static auto of(const X& x, const Axes& axes, std::int64_t) {
    return xt::prod<Wide<T>>(x, axes);
  }
};
struct Largest {
  template <class T, class X>
  static auto of(const X& x, const Axes& axes, std::int64_t) {
    return xt::reduce(xt::make_xreducer_functor(Larger{}, xt::const_value<T>(least<T>())), x, axes);
  }
};
struct Smallest {
  template <class T, class X>
  static auto of(const X& x, const Axes& axes, std::int64_t) {
    return xt::reduce(xt::make_xreducer_functor(Smaller{}, xt::const_value<T>(most<T>())), x, axes);
  }
};

/// y, whose memory has the kept extents only, is the reduction of x.
template <class Reduction>
void reduced(const KernelCall& call, const Axes& axes) {
  const ConstView& x = call.operands[0];
  if (call.result.count() == 0) return;
  if (axes.empty()) return copy_operand(call);
  Ints kept;
  std::int64_t count = 1;
  for (std::size_t i = 0; i < x.dims.size(); ++i)
    if (std::find(axes.begin(), axes.end(), i) == axes.end())
      kept.push_back(x.dims[i]);
    else
      count *= x.dims[i];
  arithmetic(x.dtype, [&]<class T>(T) {
    const auto from = array(x.as<T>(), x.dims);
    auto y = array(call.result.as<T>(), DimsView(kept));
    xt::noalias(y) = xt::cast<T>(Reduction::template of<T>(from, axes, count));
  });
}

template <class Reduction>
void over_named_axes(const KernelCall& call) {
  const ReduceAttributes& a = call.attributes.as<ReduceAttributes>();
  Axes axes(a.axes.begin(), a.axes.end());
  if (axes.empty()) {
    axes.resize(call.operands[0].dims.size());
    std::iota(axes.begin(), axes.end(), std::size_t{0});
  }
  reduced<Reduction>(call, axes);
}

/// Over what broadcasting stretched.
void run_sum_to(const KernelCall& call) {
  const DimsView x = call.operands[0].dims, y = call.result.dims;
  const std::size_t added = x.size() - y.size();
  Axes axes;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i < added || (y[i - added] == 1 && x[i] != 1)) axes.push_back(i);
  reduced<Sum>(call, axes);
}

/// e^(x - largest) / sum, or its logarithm, along one axis.
template <bool logarithm>
void run_softmax(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  if (x.count() == 0) return;
  const std::size_t axis = axis_of(call.attributes.as<AxisAttributes>().axis, x.dims.size());
  Ints ones(x.dims.begin(), x.dims.end());
  ones[axis] = 1;
  floating(x.dtype, [&]<class T>(T) {
    const auto from = array(x.as<T>(), x.dims);
    auto y = array(call.result.as<T>(), x.dims);
    const xt::xarray<T> top = xt::reshape_view(
        xt::eval(xt::reduce(xt::make_xreducer_functor(Larger{}, xt::const_value<T>(least<T>())), from,
                            Axes{axis})),
        extents(ones));
    const xt::xarray<T> shifted = from - top;
    const xt::xarray<double> sum =
        xt::reshape_view(xt::eval(xt::sum<double>(xt::exp(shifted), Axes{axis})), extents(ones));
    if constexpr (logarithm)
      xt::noalias(y) = shifted - xt::cast<T>(xt::log(sum));
    else
      xt::noalias(y) = xt::exp(shifted) * xt::cast<T>(1 / sum);
  });
}

}  // namespace

void bind_reductions(Kernels& all) {
  compute(all, "sum", over_named_axes<Sum>);
  compute(all, "mean", over_named_axes<Mean>);
  compute(all, "prod", over_named_axes<Product>);
  compute(all, "amax", over_named_axes<Largest>);
  compute(all, "amin", over_named_axes<Smallest>);
  compute(all, "sum_to", run_sum_to);
  compute(all, "softmax", run_softmax<false>);
  compute(all, "log_softmax", run_softmax<true>);
}

}  // namespace rulegrad::kernels::plain
