#include <algorithm>
#include <array>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/conv/conv.hpp"
#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/product/matmul.hpp"

namespace rulegrad::kernels {
namespace {

using Matrix = std::array<std::int64_t, 2>;

template <class F>
Kernel contraction(F run) {
  Kernel kernel = simple(std::move(run));
  kernel.contraction = true;
  return kernel;
}

/// No bias is the scalar 0.
template <class T>
bool absent(const ConstView& bias) {
  return bias.dims.empty() && *bias.as<T>() == T(0);
}

template <class T>
void add_bias(const ConstView& bias, const MutableView& result) {
  if (absent<T>(bias)) return;
  T* const y = result.as<T>();
  add(result.dims, y, bias.dims, bias.as<T>(), result.dims, y);
}

/// x is a batch; so is a bias that is a map of the result's own, one for each entry.
Rows rows_of_affine(std::span<const Type> operands, const Type& result, const Attributes&) {
  const Shape &x = operands[0].shape, &b = operands[2].shape;
  if (x.rank() < 2) return {};
  return b.rank() < result.shape.rank() || b[0].is(1) ? Rows{0} : Rows{0, 2};
}

/// Axis 0 of a product is that of the operand of higher rank, or of both; a matrix a alone has rows there.
Rows rows_of_matmul(std::span<const Type> operands, const Type&, const Attributes& attributes) {
  const Shape &a = operands[0].shape, &b = operands[1].shape;
  if (a.rank() == 2 && b.rank() <= 2) return attributes.as<MatmulAttributes>().transpose_a ? Rows{} : Rows{0};
  if (a.rank() < 3 && b.rank() < 3) return {};
  if (a.rank() != b.rank()) return a.rank() > b.rank() ? Rows{0} : Rows{1};
  if (a[0] == b[0]) return {0, 1};
  return b[0].is(1) ? Rows{0} : Rows{1};
}

/// The bias as the convolutions take it, one value a channel; empty where there is none or it has another
/// form.
template <class T>
std::span<const T> channel_bias(const ConstView& bias, const MutableView& result) {
  if (bias.dims.size() != 1 || bias.dims[0] != result.dims[1]) return {};
  return {bias.as<T>(), static_cast<std::size_t>(bias.dims[0])};
}

/// `x` and `y` are what a convolution reads and writes, whichever of them is the result of the operator.
template <class A>
ConvGeometry geometry_of(const A& a, DimsView x, DimsView kernel, DimsView y) {
  return {
      make_window_to(spatial_of(x), spatial_of(y), kernel, a.strides, a.pads_begin, a.pads_end, a.dilations),
      x[0], x[1], y[1], a.groups};
}

Kernel conv_kernel() {
  Kernel kernel = contraction([](const KernelCall& call) {
    const ConstView &x = call.operands[0], &w = call.operands[1], &b = call.operands[2];
    const ConvGeometry geometry =
        geometry_of(call.attributes.as<ConvAttributes>(), x.dims, spatial_of(w.dims), call.result.dims);
    floating(call.result.dtype, [&]<class T>(T) {
      const auto bias = channel_bias<T>(b, call.result);
      conv(geometry, x.as<T>(), w.as<T>(), bias, call.result.as<T>());
      if (bias.empty()) add_bias<T>(b, call.result);
    });
  });
  kernel.rows = rows_of_affine;
  return kernel;
}

Kernel conv_transpose_kernel() {
  const auto geometry = [](const KernelCall& call) {
    return geometry_of(call.attributes.as<ConvTransposeAttributes>(), call.result.dims,
                       spatial_of(call.operands[1].dims), call.operands[0].dims);
  };
  Kernel kernel = contraction([geometry](const KernelCall& call) {
    const ConstView &x = call.operands[0], &w = call.operands[1], &b = call.operands[2];
    floating(call.result.dtype, [&]<class T>(T) {
      const auto bias = channel_bias<T>(b, call.result);
      conv_input_grad(geometry(call), x.as<T>(), w.as<T>(), bias, call.result.as<T>(), call.scratch);
      if (bias.empty()) add_bias<T>(b, call.result);
    });
  });
  kernel.rows = rows_of_affine;
  kernel.scratch = [geometry](const KernelCall& shapes) {
    std::size_t bytes = 0;
    floating(shapes.result.dtype,
             [&]<class T>(T) { bytes = conv_input_grad_scratch_bytes<T>(geometry(shapes)); });
    return bytes;
  };
  return kernel;
}

Kernel conv_weight_grad_kernel() {
  const auto geometry = [](const KernelCall& call) {
    return geometry_of(call.attributes.as<ConvWeightGradAttributes>(), call.operands[0].dims,
                       spatial_of(call.result.dims), call.operands[1].dims);
  };
  Kernel kernel = contraction([geometry](const KernelCall& call) {
    floating(call.result.dtype, [&]<class T>(T) {
      conv_weight_grad(geometry(call), call.operands[0].as<T>(), call.operands[1].as<T>(),
                       call.result.as<T>(), call.scratch);
    });
  });
  kernel.scratch = [geometry](const KernelCall& shapes) {
    std::size_t bytes = 0;
    floating(shapes.result.dtype,
             [&]<class T>(T) { bytes = conv_weight_grad_scratch_bytes<T>(geometry(shapes)); });
    return bytes;
  };
  return kernel;
}

/// What matmul is told of the operands `first` and `second`.
template <class D>
struct Product {
  D a, b, y;
  bool transpose_a = false, transpose_b = false;
  std::size_t first = 0, second = 1;
};

/// A matrix product as `form` tells; operand 2, if there is one, is a bias.
template <class Form>
Kernel product(Form form, decltype(Kernel::rows) rows = {}) {
  Kernel kernel = contraction([form](const KernelCall& call) {
    const auto p = form(call);
    const ConstView &a = call.operands[p.first], &b = call.operands[p.second];
    floating(call.result.dtype, [&]<class T>(T) {
      matmul<T>(p.a, a.as<T>(), p.transpose_a, p.b, b.as<T>(), p.transpose_b, p.y, call.result.as<T>());
      if (call.operands.size() > 2) add_bias<T>(call.operands[2], call.result);
    });
  });
  kernel.rows = std::move(rows);
  return kernel;
}

/// x [..., I] as rows of I.
Matrix rows_of(DimsView x) {
  return {x.empty() ? 1 : count_of(x.first(x.size() - 1)), x.back()};
}

}  // namespace

void bind_contractions(Kernels& all) {
  all.set("conv", conv_kernel());
  all.set("conv_transpose", conv_transpose_kernel());
  all.set("conv_weight_grad", conv_weight_grad_kernel());
  all.set("matmul", product(
                        [](const KernelCall& call) {
                          const auto& a = call.attributes.as<MatmulAttributes>();
                          return Product<DimsView>{call.operands[0].dims, call.operands[1].dims,
                                                   call.result.dims, a.transpose_a, a.transpose_b};
                        },
                        rows_of_matmul));
  all.set("dense", product(
                       [](const KernelCall& call) {
                         const Matrix x = rows_of(call.operands[0].dims), w = rows_of(call.operands[1].dims);
                         return Product<Matrix>{x, w, {x[0], w[0]}, false, true};
                       },
                       rows_of_affine));
  all.set("dense_weight_grad", product([](const KernelCall& call) {
            const Matrix x = rows_of(call.operands[0].dims), g = rows_of(call.operands[1].dims);
            return Product<Matrix>{g, x, {g[1], x[1]}, true, false, 1, 0};
          }));
}

}  // namespace rulegrad::kernels
