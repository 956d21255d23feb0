#include <algorithm>
#include <array>
#include <vector>

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/move/window.hpp"
#include "kernels/plain/blas.hpp"
#include "kernels/plain/plain.hpp"
#include "kernels/plain/views.hpp"

namespace rulegrad::kernels::plain {
namespace {

/// A matrix of `rows` and `columns`, or its transpose.
template <class T>
struct Matrix {
  const T* data;
  std::int64_t rows, columns;
  bool transposed = false;

  [[nodiscard]] std::int64_t height() const { return transposed ? columns : rows; }
  [[nodiscard]] std::int64_t width() const { return transposed ? rows : columns; }
};

/// c = a b, or c += a b.
template <class T>
void multiply(const Matrix<T>& a, const Matrix<T>& b, T* c, bool add = false) {
  const std::int64_t m = a.height(), n = b.width(), k = a.width();
  if (m * n == 0) return;
  if (k == 0) {
    if (!add) std::fill_n(c, m * n, T(0));
    return;
  }
  blas_gemm(a.transposed, b.transposed, m, n, k, a.data, a.columns, b.data, b.columns, add ? T(1) : T(0), c,
            n);
}

/// The bias, broadcast; none is the scalar 0.
template <class T>
void add_bias(const ConstView& bias, const MutableView& result, DimsView bias_dims) {
  if (result.count() == 0 || (bias.dims.empty() && *bias.as<T>() == T(0))) return;
  auto y = array(result.as<T>(), result.dims);
  xt::noalias(y) += array(bias.as<T>(), bias_dims);
}

/// x [..., I] as rows of I.
template <class T>
Matrix<T> rows_of(const ConstView& x, bool transposed = false) {
  return {x.as<T>(), count_of(x.dims.first(x.dims.size() - 1)), x.dims.back(), transposed};
}

void run_dense(const KernelCall& call) {
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    multiply(rows_of<T>(call.operands[0]), rows_of<T>(call.operands[1], true), call.result.as<T>());
    add_bias<T>(call.operands[2], call.result, call.operands[2].dims);
  });
}

void run_dense_weight_grad(const KernelCall& call) {
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    multiply(rows_of<T>(call.operands[1], true), rows_of<T>(call.operands[0]), call.result.as<T>());
  });
}

/// NumPy's: the axes before the last two are broadcast, and each pair of matrices is a product.
void run_matmul(const KernelCall& call) {
  const auto& attributes = call.attributes.as<MatmulAttributes>();
  const ConstView &a = call.operands[0], &b = call.operands[1];
  const bool row = a.dims.size() == 1, column = b.dims.size() == 1;
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    const std::size_t ra = a.dims.size(), rb = b.dims.size();
    const Matrix<T> left{a.as<T>(), row ? 1 : a.dims[ra - 2], a.dims[ra - 1], !row && attributes.transpose_a};
    const Matrix<T> right{b.as<T>(), column ? b.dims[0] : b.dims[rb - 2], column ? 1 : b.dims[rb - 1],
                          !column && attributes.transpose_b};
    const std::int64_t a_size = left.rows * left.columns, b_size = right.rows * right.columns,
                       y_size = left.height() * right.width();
    const DimsView y = call.result.dims, batch = y.first(y.size() - (row ? 0 : 1) - (column ? 0 : 1));
    // Which matrix of either operand meets which: numbers of matrices, broadcast as the matrices are.
    const auto matrices = [&](DimsView dims) {
      xt::xarray<std::int64_t> number = xt::xarray<std::int64_t>::from_shape(extents(dims));
      std::int64_t next = 0;
      for (std::int64_t& n : number) n = next++;
      return xt::xarray<std::int64_t>(xt::broadcast(number, extents(batch)));
    };
    const auto lefts = matrices(a.dims.first(row ? 0 : ra - 2)),
               rights = matrices(b.dims.first(column ? 0 : rb - 2));
    for (std::int64_t i = 0; i < count_of(batch); ++i) {
      Matrix<T> l = left, r = right;
      l.data += lefts.flat(static_cast<std::size_t>(i)) * a_size;
      r.data += rights.flat(static_cast<std::size_t>(i)) * b_size;
      multiply(l, r, call.result.as<T>() + i * y_size);
    }
  });
}

/// A convolution as a product: for each window a column of what it covers.
struct Columns {
  Window window;
  std::int64_t batch, in_channels, out_channels, groups;
  Triple padded{};  ///< extents of the input with its padding, at least what windows reach

  template <class A>
  Columns(const A& a, DimsView x, DimsView kernel, DimsView y)
      : window(make_window_to(spatial_of(x), spatial_of(y), kernel, a.strides, a.pads_begin, a.pads_end,
                              a.dilations)),
        batch(x[0]),
        in_channels(x[1]),
        out_channels(y[1]),
        groups(a.groups) {
    for (std::size_t i = 0; i < 3; ++i)
      padded[i] =
          std::max(window.in[i] + window.pad_begin[i],
                   (window.out[i] - 1) * window.stride[i] + (window.kernel[i] - 1) * window.dilation[i] + 1);
  }

  [[nodiscard]] std::int64_t channels() const { return in_channels / groups; }
  [[nodiscard]] std::int64_t filters() const { return out_channels / groups; }
  [[nodiscard]] std::int64_t depth() const { return channels() * window.taps(); }
  [[nodiscard]] Ints padded_dims() const { return {channels(), padded[0], padded[1], padded[2]}; }
  [[nodiscard]] Ints in_dims() const { return {channels(), window.in[0], window.in[1], window.in[2]}; }

  /// The places of the input within its padding.
  [[nodiscard]] Box inside() const {
    const Ints start{0, window.pad_begin[0], window.pad_begin[1], window.pad_begin[2]};
    return {padded_dims(), start, Ints(4, 1), in_dims()};
  }
  /// All that windows read, [channel, kernel..., out...].
  [[nodiscard]] Box reads() const {
    const Steps step = steps(padded_dims());
    const Ints none(4, 0);
    Box box(padded_dims(), none, Ints(4, 1), padded_dims());
    box.count = {static_cast<std::size_t>(channels())};
    box.step = {step[0]};
    for (std::size_t i = 0; i < 3; ++i) {
      box.count.push_back(static_cast<std::size_t>(window.kernel[i]));
      box.step.push_back(step[i + 1] * window.dilation[i]);
    }
    for (std::size_t i = 0; i < 3; ++i) {
      box.count.push_back(static_cast<std::size_t>(window.out[i]));
      box.step.push_back(step[i + 1] * window.stride[i]);
    }
    return box;
  }
  /// What one tap of all windows reads, [channel, out...].
  [[nodiscard]] Box tap(const Triple& k) const {
    const Ints start{0, k[0] * window.dilation[0], k[1] * window.dilation[1], k[2] * window.dilation[2]};
    return {padded_dims(), start, Ints{1, window.stride[0], window.stride[1], window.stride[2]},
            Ints{channels(), window.out[0], window.out[1], window.out[2]}};
  }

  /// The columns [channel and tap, window] of a group of channels.
  template <class T>
  [[nodiscard]] std::vector<T> of(const T* x) const {
    const Ints dims = padded_dims();
    std::vector<T> memory(static_cast<std::size_t>(count_of(dims)), T(0));
    auto with_padding = array(memory.data(), DimsView(dims));
    auto input = inside().of(with_padding);
    xt::noalias(input) = array(x, DimsView(in_dims()));
    const Box all = reads();
    std::vector<T> columns(static_cast<std::size_t>(depth() * window.out_count()));
    const Ints shape(all.count.begin(), all.count.end());
    auto to = array(columns.data(), DimsView(shape));
    xt::noalias(to) = all.of(with_padding);
    return columns;
  }
  /// The adjoint: each column is added to what its window read.
  template <class T>
  void add(const std::vector<T>& columns, T* x) const {
    const Ints dims = padded_dims();
    std::vector<T> memory(static_cast<std::size_t>(count_of(dims)), T(0));
    auto with_padding = array(memory.data(), DimsView(dims));
    const Ints shape{channels(), window.taps(), window.out[0], window.out[1], window.out[2]};
    const auto all = array(columns.data(), DimsView(shape));
    const Steps step = steps(shape);
    std::int64_t t = 0;
    for (std::int64_t a = 0; a < window.kernel[0]; ++a)
      for (std::int64_t b = 0; b < window.kernel[1]; ++b)
        for (std::int64_t c = 0; c < window.kernel[2]; ++c, ++t) {
          const Box box = tap({a, b, c});
          auto read = box.of(with_padding);
          xt::noalias(read) += strided(all, box.count, {step[0], step[2], step[3], step[4]}, t * step[1]);
        }
    auto to = array(x, DimsView(in_dims()));
    xt::noalias(to) = inside().of(with_padding);
  }
};

/// One value a channel lies along axis 1; everything else broadcasts as it is.
Ints bias_dims(const ConstView& bias, const MutableView& y) {
  Ints dims(bias.dims.begin(), bias.dims.end());
  if (dims.size() == 1 && dims[0] == y.dims[1]) dims.resize(y.dims.size() - 1, 1);
  return dims;
}

/// Calls f(first channel of the input, of the output, index of the weights) for each sample and group.
template <class F>
void for_each_group(const Columns& c, F&& f) {
  const std::int64_t in = c.channels() * c.window.in_count(), out = c.filters() * c.window.out_count(),
                     weights = c.filters() * c.depth();
  for (std::int64_t n = 0; n < c.batch; ++n)
    for (std::int64_t g = 0; g < c.groups; ++g)
      f((n * c.groups + g) * in, (n * c.groups + g) * out, g * weights);
}

void run_conv(const KernelCall& call) {
  const ConstView &x = call.operands[0], &w = call.operands[1], &b = call.operands[2];
  const Columns c(call.attributes.as<ConvAttributes>(), x.dims, spatial_of(w.dims), call.result.dims);
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    for_each_group(c, [&](std::int64_t in, std::int64_t out, std::int64_t weights) {
      const std::vector<T> columns = c.of(x.as<T>() + in);
      multiply<T>({w.as<T>() + weights, c.filters(), c.depth()},
                  {columns.data(), c.depth(), c.window.out_count()}, call.result.as<T>() + out);
    });
    add_bias<T>(b, call.result, bias_dims(b, call.result));
  });
}

void run_conv_transpose(const KernelCall& call) {
  const ConstView &g = call.operands[0], &w = call.operands[1], &b = call.operands[2];
  const Columns c(call.attributes.as<ConvTransposeAttributes>(), call.result.dims, spatial_of(w.dims),
                  g.dims);
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    std::vector<T> columns(static_cast<std::size_t>(c.depth() * c.window.out_count()));
    for_each_group(c, [&](std::int64_t in, std::int64_t out, std::int64_t weights) {
      multiply<T>({w.as<T>() + weights, c.filters(), c.depth(), true},
                  {g.as<T>() + out, c.filters(), c.window.out_count()}, columns.data());
      c.add(columns, call.result.as<T>() + in);
    });
    add_bias<T>(b, call.result, bias_dims(b, call.result));
  });
}

void run_conv_weight_grad(const KernelCall& call) {
  const ConstView &x = call.operands[0], &g = call.operands[1];
  const Columns c(call.attributes.as<ConvWeightGradAttributes>(), x.dims, spatial_of(call.result.dims),
                  g.dims);
  const SingleThreadedBlas single;
  floating(call.result.dtype, [&]<class T>(T) {
    std::fill_n(call.result.as<T>(), call.result.count(), T(0));
    for_each_group(c, [&](std::int64_t in, std::int64_t out, std::int64_t weights) {
      const std::vector<T> columns = c.of(x.as<T>() + in);
      multiply<T>({g.as<T>() + out, c.filters(), c.window.out_count()},
                  {columns.data(), c.depth(), c.window.out_count(), true}, call.result.as<T>() + weights,
                  true);
    });
  });
}

}  // namespace

void bind_products(Kernels& all) {
  compute(all, "matmul", run_matmul);
  compute(all, "dense", run_dense);
  compute(all, "dense_weight_grad", run_dense_weight_grad);
  compute(all, "conv", run_conv);
  compute(all, "conv_transpose", run_conv_transpose);
  compute(all, "conv_weight_grad", run_conv_weight_grad);
}

}  // namespace rulegrad::kernels::plain
