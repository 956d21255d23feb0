#include <algorithm>
#include <limits>

#include "onnx/writer.hpp"

// Convolutions and pooling, with their reverse forms.
namespace rulegrad::io {
namespace {

/// A bias that is no list of numbers, one a channel, is added afterwards.
void with_bias(Writer& w, Expr e, const char* op_type, const Steps::Setting& setting) {
  Steps s(w, e);
  if (Writer::absent(e, 2)) {
    s.last(op_type, {s.operand(0), s.operand(1)}, setting);
  } else if (e.operand(2).shape().rank() == 1) {
    s.last(op_type, {s.operand(0), s.operand(1), s.operand(2)}, setting);
  } else {
    s.last("Add", {s(op_type, {s.operand(0), s.operand(1)}, setting), s.operand(2)});
  }
}

void write_conv(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvAttributes>();
  with_bias(w, e, "Conv", [&](NodeWriter& n) {
    n.set("strides", a.strides)
        .set("pads", joined(a.pads_begin, a.pads_end))
        .set("dilations", a.dilations)
        .set("group", a.groups);
  });
}

/// So that windows over `spatial` have their places in the result, whatever a stride leaves over.
template <class A>
Steps::Setting transposed(const A& a, const Ints& in, const Ints& kernel, const Ints& spatial,
                          std::int64_t groups) {
  Ints pads_end, extra;
  for (std::size_t i = 0; i < spatial.size(); ++i) {
    const std::int64_t reach =
        (in[i] - 1) * a.strides[i] + a.dilations[i] * (kernel[i] - 1) + 1 - a.pads_begin[i];
    pads_end.push_back(std::max<std::int64_t>(0, reach - spatial[i]));
    extra.push_back(std::max<std::int64_t>(0, spatial[i] - reach));
  }
  return [a, groups, pads = joined(a.pads_begin, pads_end), extra](NodeWriter& n) {
    n.set("strides", a.strides)
        .set("pads", pads)
        .set("dilations", a.dilations)
        .set("group", groups)
        .set("output_padding", extra);
  };
}

void write_conv_transpose(Writer& w, Expr e) {
  const auto& a = e.attributes<ConvTransposeAttributes>();
  with_bias(
      w, e, "ConvTranspose",
      transposed(a, spatial_of(e.operand(0).shape()), spatial_of(e.operand(1).shape()), a.spatial, a.groups));
}

template <class A>
Steps::Setting pooling(const A& a) {
  return [&a](NodeWriter& n) {
    n.set("kernel_shape", a.kernel)
        .set("strides", a.strides)
        .set("pads", joined(a.pads_begin, a.pads_end))
        .set("ceil_mode", std::int64_t{a.ceil});
  };
}

void write_max_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<PoolAttributes>();
  Steps(w, e).last("MaxPool", {w.name(e.operand(0))}, [&](NodeWriter& n) {
    pooling(a)(n);
    n.set("dilations", a.dilations);
  });
}

/// The positions of a kernel in row-major order.
std::vector<Ints> offsets(const Ints& kernel) {
  std::vector<Ints> all{Ints{}};
  for (const std::int64_t extent : kernel) {
    std::vector<Ints> longer;
    for (const Ints& offset : all)
      for (std::int64_t k = 0; k < extent; ++k) {
        longer.push_back(offset);
        longer.back().push_back(k);
      }
    all = std::move(longer);
  }
  return all;
}

/// Beyond so many positions of a window, masks are worth less than the indices that operator set 16 can add
/// up at.
constexpr std::size_t most_masks = 32;

/// The windows of a pooling, taken apart: for each position of the kernel what all windows have there.
class Windows {
 public:
  Windows(Steps& steps, const Shape& x, const Shape& pooled, const PoolAttributes& a)
      : s_(steps), a_(a), x_(x), pooled_(pooled), offsets_(offsets(a.kernel)) {}

  [[nodiscard]] std::size_t size() const { return offsets_.size(); }
  /// For each position: has a window its first maximum there?
  [[nodiscard]] std::vector<std::string> first_maxima(const std::string& x) {
    const std::string padded = with_padding(x, -std::numeric_limits<double>::infinity());
    std::vector<std::string> parts;
    for (const Ints& offset : offsets_) parts.push_back(part(padded, offset));
    const std::string largest = parts.size() == 1 ? parts[0] : s_("Max", parts);
    std::vector<std::string> masks;
    std::string taken;
    for (const std::string& values : parts) {
      const std::string hit = s_("Equal", {values, largest});
      masks.push_back(taken.empty() ? hit : s_("And", {hit, s_("Not", {taken})}));
      taken = taken.empty() ? hit : s_("Or", {taken, hit});
    }
    return masks;
  }
  [[nodiscard]] std::vector<std::string> parts(const std::string& x) {
    const std::string padded = with_padding(x, 0);
    std::vector<std::string> all;
    for (const Ints& offset : offsets_) all.push_back(part(padded, offset));
    return all;
  }
  [[nodiscard]] const std::vector<Ints>& places() const { return offsets_; }

 private:
  /// So that every window lies inside.
  std::string with_padding(const std::string& x, double value) {
    const std::size_t rank = x_.rank();
    Ints pads(2 * rank, 0);
    for (std::size_t i = 0; i < a_.kernel.size(); ++i) {
      const std::int64_t reach =
          (pooled_[i + 2].factor - 1) * a_.strides[i] + a_.dilations[i] * (a_.kernel[i] - 1) + 1;
      pads[i + 2] = a_.pads_begin[i];
      pads[rank + i + 2] = std::max<std::int64_t>(0, reach - a_.pads_begin[i] - x_[i + 2].factor);
    }
    if (std::all_of(pads.begin(), pads.end(), [](std::int64_t p) { return p == 0; })) return x;
    return s_("Pad", {x, s_.ints(pads), s_.number(value)});
  }
  std::string part(const std::string& padded, const Ints& offset) {
    Ints axes, starts, stops;
    for (std::size_t i = 0; i < offset.size(); ++i) {
      axes.push_back(static_cast<std::int64_t>(i) + 2);
      starts.push_back(offset[i] * a_.dilations[i]);
      stops.push_back(starts.back() + (pooled_[i + 2].factor - 1) * a_.strides[i] + 1);
    }
    return s_("Slice", {padded, s_.ints(starts), s_.ints(stops), s_.ints(axes), s_.ints(a_.strides)});
  }

  Steps& s_;
  const PoolAttributes& a_;
  const Shape &x_, &pooled_;
  std::vector<Ints> offsets_;
};

/// One window, all of x: its first maximum is a place among the elements of a channel.
bool is_global(const PoolAttributes& a, const Shape& x) {
  for (std::size_t i = 0; i < a.kernel.size(); ++i)
    if (a.kernel[i] != x[i + 2].factor || a.dilations[i] != 1 || a.pads_begin[i] != 0 || a.pads_end[i] != 0)
      return false;
  return true;
}

/// [N, C, 1...] of a global pooling: true at the first maximum, [N, C, elements].
std::string global_first_maximum(Steps& s, const Shape& x, std::int64_t elements) {
  const std::string rows = s.reshape(s.operand(0), Shape{x[0], x[1], Dim(elements)});
  const std::string at = s("ArgMax", {rows}, [](NodeWriter& n) {
    n.set("axis", std::int64_t{2}).set("keepdims", std::int64_t{1});
  });
  std::vector<std::int64_t> places(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<std::int64_t>(i);
  return s("Equal", {at, s.ints(places)});
}

std::int64_t elements_of(const Ints& extents) {
  std::int64_t product = 1;
  for (const std::int64_t extent : extents) product *= extent;
  return product;
}

/// The adjoint of a window sum: v [N, C * positions, windows...] to [N, C, spatial...], each position to its
/// place.
std::string placed(Steps& s, std::vector<std::string> values, const Shape& x, const Shape& pooled,
                   const PoolAttributes& a, DType dtype) {
  const auto count = static_cast<std::int64_t>(values.size());
  for (std::string& value : values) value = s("Unsqueeze", {value, s.ints({2})});
  std::string all = s("Concat", values, [](NodeWriter& n) { n.set("axis", std::int64_t{2}); });
  std::vector<Dim> dims = pooled.dims();
  dims[1] = Dim(x[1].factor * count);
  all = s.reshape(all, Shape(dims));
  // weight [C * positions, 1, kernel...]: 1 at the position.
  Dims weight{x[1].factor * count, 1};
  weight.insert(weight.end(), a.kernel.begin(), a.kernel.end());
  const std::int64_t kernel = elements_of(a.kernel);
  Tensor ones = zeros(dtype, weight);
  dispatch(dtype, [&]<class T>(T) {
    auto elements = ones.mutable_values<T>();
    for (std::int64_t row = 0; row < weight[0]; ++row)
      elements[static_cast<std::size_t>(row * kernel + row % count)] = T(1);
  });
  return s("ConvTranspose", {all, s.shared(ones)},
           transposed(a, spatial_of(pooled), a.kernel, spatial_of(x), x[1].factor));
}

void write_max_pool_vjp(Writer& w, Expr e) {
  const auto& a = e.attributes<PoolAttributes>();
  const Shape &x = e.operand(0).shape(), &pooled = e.operand(1).shape();
  Steps s(w, e);
  if (is_global(a, x)) {
    const std::int64_t elements = elements_of(a.kernel);
    const std::string mask = global_first_maximum(s, x, elements);
    const std::string g = s.reshape(s.operand(1), Shape{x[0], x[1], Dim(1)});
    s.last(s.reshape(s("Where", {mask, g, s.number(0)}), x));
    return;
  }
  Windows windows(s, x, pooled, a);
  if (windows.size() <= most_masks) {
    std::vector<std::string> values;
    for (const std::string& mask : windows.first_maxima(s.operand(0)))
      values.push_back(s("Where", {mask, s.operand(1), s.number(0)}));
    s.last(placed(s, std::move(values), x, pooled, a, e.dtype()));
    return;
  }
  // Indices count in x as one list.
  w.need(e, 16);
  std::string indices = w.unused(w.name(e) + ".indices");
  (void)s("MaxPool", {s.operand(0)}, [&](NodeWriter& n) {
    pooling(a)(n);
    n.set("dilations", a.dilations).output(indices);
  });
  indices = s("Reshape", {indices, s.ints({-1})});
  const std::string zeros = s("Expand", {s.number(0), w.extents(e, Shape{x.count()})});
  const std::string sums =
      s("ScatterElements", {zeros, indices, s("Reshape", {s.operand(1), s.ints({-1})})},
        [](NodeWriter& n) { n.set("axis", std::int64_t{0}).set("reduction", std::string("add")); });
  s.last(s.reshape(sums, x));
}

void write_max_pool_jvp(Writer& w, Expr e) {
  const auto& a = e.attributes<PoolAttributes>();
  const Shape& x = e.operand(0).shape();
  Steps s(w, e);
  if (is_global(a, x)) {
    const std::int64_t elements = elements_of(a.kernel);
    const std::string mask = global_first_maximum(s, x, elements);
    const std::string t = s.reshape(s.operand(1), Shape{x[0], x[1], Dim(elements)});
    s.last(s.reshape(s.reduce("ReduceSum", s("Where", {mask, t, s.number(0)}), {2}, true), e.shape()));
    return;
  }
  Windows windows(s, x, e.shape(), a);
  const std::vector<std::string> masks = windows.first_maxima(s.operand(0)),
                                 parts = windows.parts(s.operand(1));
  std::vector<std::string> values;
  for (std::size_t i = 0; i < masks.size(); ++i)
    values.push_back(s("Where", {masks[i], parts[i], s.number(0)}));
  s.last("Sum", values);
}

/// 1 / the number of positions that count, for each window: [1, 1, windows...].
template <class A>
Tensor shares(const A& a, const Ints& spatial, const Ints& windows, DType dtype) {
  Dims dims{1, 1};
  dims.insert(dims.end(), windows.begin(), windows.end());
  Tensor result = zeros(dtype, dims);
  std::vector<double> all{1};
  for (std::size_t i = 0; i < spatial.size(); ++i) {
    const std::int64_t low = a.count_padding ? -a.pads_begin[i] : 0;
    const std::int64_t high = a.count_padding ? spatial[i] + a.pads_end[i] : spatial[i];
    std::vector<double> longer;
    for (const double before : all)
      for (std::int64_t o = 0; o < windows[i]; ++o) {
        std::int64_t count = 0;
        for (std::int64_t k = 0; k < a.kernel[i]; ++k) {
          const std::int64_t at = o * a.strides[i] - a.pads_begin[i] + k * a.dilations[i];
          count += at >= low && at < high ? 1 : 0;
        }
        longer.push_back(before * static_cast<double>(std::max<std::int64_t>(count, 1)));
      }
    all = std::move(longer);
  }
  dispatch(dtype, [&]<class T>(T) {
    auto values = result.mutable_values<T>();
    for (std::size_t i = 0; i < all.size(); ++i) values[i] = static_cast<T>(all[i]);
  });
  return result;
}

/// A kernel of ones for each channel: [C, 1, kernel...].
Tensor ones_of(std::int64_t channels, const Ints& kernel, DType dtype) {
  Dims dims{channels, 1};
  dims.insert(dims.end(), kernel.begin(), kernel.end());
  return filled(dtype, std::move(dims), 1);
}

void write_avg_pool(Writer& w, Expr e) {
  const auto& a = e.attributes<AvgPoolAttributes>();
  Steps s(w, e);
  const bool dilated =
      std::any_of(a.dilations.begin(), a.dilations.end(), [](std::int64_t d) { return d != 1; });
  if (!dilated && !(a.ceil && a.count_padding)) {
    s.last("AveragePool", {s.operand(0)}, [&](NodeWriter& n) {
      pooling(a)(n);
      n.set("count_include_pad", std::int64_t{a.count_padding});
    });
    return;
  }
  // Sums by a convolution: average pooling has no dilations before operator set 19, and runtimes disagree on
  // what counts beyond the padding.
  const Shape& x = e.operand(0).shape();
  const Ints in = spatial_of(x), out = spatial_of(e.shape());
  Ints pads_end;
  for (std::size_t i = 0; i < in.size(); ++i) {
    const std::int64_t reach = (out[i] - 1) * a.strides[i] + a.dilations[i] * (a.kernel[i] - 1) + 1;
    pads_end.push_back(std::max<std::int64_t>(0, reach - a.pads_begin[i] - in[i]));
  }
  const std::string sums =
      s("Conv", {s.operand(0), s.shared(ones_of(x[1].factor, a.kernel, e.dtype()))}, [&](NodeWriter& n) {
        n.set("strides", a.strides)
            .set("pads", joined(a.pads_begin, pads_end))
            .set("dilations", a.dilations)
            .set("group", x[1].factor);
      });
  s.last("Div", {sums, s.shared(shares(a, in, out, e.dtype()))});
}

void write_avg_pool_vjp(Writer& w, Expr e) {
  const auto& a = e.attributes<AvgPoolVjpAttributes>();
  const Shape& g = e.operand(0).shape();
  Steps s(w, e);
  const std::string each = s("Div", {s.operand(0), s.shared(shares(a, a.spatial, spatial_of(g), e.dtype()))});
  const PoolAttributes window{a.kernel, a.strides, a.pads_begin, a.pads_end, a.dilations, a.ceil};
  if (is_global(window, e.shape())) {
    s.last("Expand", {each, s.ints(joined({1, 1}, a.spatial))});
    return;
  }
  s.last("ConvTranspose", {each, s.shared(ones_of(g[1].factor, a.kernel, e.dtype()))},
         transposed(a, spatial_of(g), a.kernel, a.spatial, g[1].factor));
}

}  // namespace

void add_window_forms(Forms& f) {
  f["conv"] = write_conv;
  f["conv_transpose"] = write_conv_transpose;
  f["max_pool"] = write_max_pool;
  f["max_pool_vjp"] = write_max_pool_vjp;
  f["max_pool_jvp"] = write_max_pool_jvp;
  f["avg_pool"] = write_avg_pool;
  f["avg_pool_vjp"] = write_avg_pool_vjp;
}

}  // namespace rulegrad::io
