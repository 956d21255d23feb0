#pragma once

#include <algorithm>

#include "oracle/arrays.hpp"

namespace oracle {

/// The geometry of a convolution over any number of spatial axes.
struct Conv {
  std::int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  Dims in, kernel, strides, pads_begin, pads_end, dilations;

  [[nodiscard]] Dims out() const {
    Dims extents;
    for (std::size_t i = 0; i < in.size(); ++i)
      extents.push_back(
          (in[i] + pads_begin[i] + pads_end[i] - (kernel[i] - 1) * dilations[i] - 1) / strides[i] + 1);
    return extents;
  }
  [[nodiscard]] Dims x_dims() const { return join({batch, in_channels}, in); }
  [[nodiscard]] Dims w_dims() const { return join({out_channels, in_channels / groups}, kernel); }
  [[nodiscard]] Dims y_dims() const { return join({batch, out_channels}, out()); }

  /// Calls f(flat index into x, into w, into y) for every product of the convolution.
  template <class F>
  void for_each_product(F&& f) const {
    const Dims xd = x_dims(), wd = w_dims(), yd = y_dims();
    const Dims window(wd.begin() + 1, wd.end());
    Dims x(xd.size()), w(wd.size());
    for_each_index(yd, [&](const Dims& y) {
      for_each_index(window, [&](const Dims& k) {
        x[0] = y[0];
        x[1] = k[0] + y[1] / (out_channels / groups) * (in_channels / groups);
        for (std::size_t i = 0; i < in.size(); ++i) {
          x[2 + i] = y[2 + i] * strides[i] + k[1 + i] * dilations[i] - pads_begin[i];
          if (x[2 + i] < 0 || x[2 + i] >= in[i]) return;
        }
        w[0] = y[1];
        std::copy(k.begin(), k.end(), w.begin() + 1);
        f(flat(xd, x), flat(wd, w), flat(yd, y));
      });
    });
  }

 private:
  static Dims join(Dims a, const Dims& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  }
};

inline Values conv(const Conv& c, const Values& x, const Values& w) {
  Values y(static_cast<std::size_t>(count(c.y_dims())));
  c.for_each_product([&](std::size_t i, std::size_t j, std::size_t k) { y[k] += x[i] * w[j]; });
  return y;
}

inline Values conv_input_grad(const Conv& c, const Values& g, const Values& w) {
  Values gx(static_cast<std::size_t>(count(c.x_dims())));
  c.for_each_product([&](std::size_t i, std::size_t j, std::size_t k) { gx[i] += g[k] * w[j]; });
  return gx;
}

inline Values conv_weight_grad(const Conv& c, const Values& x, const Values& g) {
  Values gw(static_cast<std::size_t>(count(c.w_dims())));
  c.for_each_product([&](std::size_t i, std::size_t j, std::size_t k) { gw[j] += g[k] * x[i]; });
  return gw;
}

}  // namespace oracle
