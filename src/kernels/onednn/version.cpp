#include "kernels/onednn/version.hpp"

namespace rulegrad::kernels::onednn {
namespace {

using dnnl::convolution_backward_data;
using dnnl::convolution_backward_weights;
using dnnl::convolution_forward;
using dnnl::memory;

dnnl::primitive_attr attributes(Into into = Into::fresh) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (into == Into::sum) {
    dnnl::post_ops sum;
    sum.append_sum(1);
    attr.set_post_ops(sum);
  }
  return attr;
}

/// What a backward pass is told of its forward pass, which reads numbers of the weight's type where the way back makes
/// float32 ones.
ConvDescription hint(ConvDescription c);

#if DNNL_VERSION_MAJOR >= 3

memory::dims dims_of(const memory::desc& desc) {
  return desc.get_dims();
}
memory::data_type type_of(const memory::desc& desc) {
  return desc.get_data_type();
}

convolution_forward::primitive_desc forward(const dnnl::engine& engine, const ConvDescription& c) {
  const auto kind = dnnl::prop_kind::forward_inference;
  if (c.bias.get_size() == 0)
    return {engine,    kind,        c.algorithm,  c.x,        c.w,         c.y,
            c.strides, c.dilations, c.pads_begin, c.pads_end, attributes()};
  return {engine, kind,      c.algorithm, c.x,          c.w,        c.bias,
          c.y,    c.strides, c.dilations, c.pads_begin, c.pads_end, attributes()};
}
convolution_backward_data::primitive_desc backward_data(const dnnl::engine& engine,
                                                        const ConvDescription& c) {
  return {engine,      c.algorithm, c.x,          c.w,        c.y,
          c.strides,   c.dilations, c.pads_begin, c.pads_end, forward(engine, hint(c)),
          attributes()};
}
convolution_backward_weights::primitive_desc backward_weights(const dnnl::engine& engine,
                                                              const ConvDescription& c) {
  return {engine,     c.algorithm,        c.x,         c.w, c.y, c.strides, c.dilations, c.pads_begin,
          c.pads_end, forward(engine, c), attributes()};
}

dnnl::matmul::primitive_desc product(const dnnl::engine& engine, const memory::desc& x, const memory::desc& w,
                                     const memory::desc& bias, const memory::desc& y, Into into) {
  if (bias.get_size() == 0) return {engine, x, w, y, attributes(into)};
  return {engine, x, w, bias, y, attributes(into)};
}

#else

memory::dims dims_of(const memory::desc& desc) {
  return desc.dims();
}
memory::data_type type_of(const memory::desc& desc) {
  return desc.data_type();
}

dnnl::matmul::primitive_desc product(const dnnl::engine& engine, const memory::desc& x, const memory::desc& w,
                                     const memory::desc& bias, const memory::desc& y, Into into) {
  if (bias.get_size() == 0) return {{x, w, y}, attributes(into), engine};
  return {{x, w, bias, y}, attributes(into), engine};
}
convolution_forward::primitive_desc forward(const dnnl::engine& engine, const ConvDescription& c) {
  const auto kind = dnnl::prop_kind::forward_inference;
  if (c.bias.get_size() == 0)
    return {{kind, c.algorithm, c.x, c.w, c.y, c.strides, c.dilations, c.pads_begin, c.pads_end},
            attributes(),
            engine};
  return {{kind, c.algorithm, c.x, c.w, c.bias, c.y, c.strides, c.dilations, c.pads_begin, c.pads_end},
          attributes(),
          engine};
}
convolution_backward_data::primitive_desc backward_data(const dnnl::engine& engine,
                                                        const ConvDescription& c) {
  return {{c.algorithm, c.x, c.w, c.y, c.strides, c.dilations, c.pads_begin, c.pads_end},
          attributes(),
          engine,
          forward(engine, hint(c))};
}
convolution_backward_weights::primitive_desc backward_weights(const dnnl::engine& engine,
                                                              const ConvDescription& c) {
  return {{c.algorithm, c.x, c.w, c.y, c.strides, c.dilations, c.pads_begin, c.pads_end},
          attributes(),
          engine,
          forward(engine, c)};
}

#endif

ConvDescription hint(ConvDescription c) {
  if (type_of(c.x) != type_of(c.w)) c.x = memory::desc(dims_of(c.x), type_of(c.w), memory::format_tag::any);
  return c;
}

/// oneDNN says "no such primitive" by an exception.
template <class F>
std::optional<ConvPrimitive> made(F make) {
  try {
    return make();
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments) return std::nullopt;
    throw;
  }
}

}  // namespace

std::optional<ConvPrimitive> make_forward(const dnnl::engine& engine, const ConvDescription& conv) {
  return made([&] {
    const auto d = forward(engine, conv);
    return ConvPrimitive{convolution_forward(d), d.src_desc(),        d.weights_desc(),
                         d.dst_desc(),           d.scratchpad_desc(), d.impl_info_str()};
  });
}

std::optional<ConvPrimitive> make_backward_data(const dnnl::engine& engine, const ConvDescription& conv) {
  return made([&] {
    const auto d = backward_data(engine, conv);
    return ConvPrimitive{convolution_backward_data(d), d.diff_src_desc(), d.weights_desc(), d.diff_dst_desc(),
                         d.scratchpad_desc(),          d.impl_info_str()};
  });
}

std::optional<ConvPrimitive> make_backward_weights(const dnnl::engine& engine, const ConvDescription& conv) {
  return made([&] {
    const auto d = backward_weights(engine, conv);
    return ConvPrimitive{convolution_backward_weights(d),
                         d.src_desc(),
                         d.diff_weights_desc(),
                         d.diff_dst_desc(),
                         d.scratchpad_desc(),
                         d.impl_info_str()};
  });
}

std::optional<ConvPrimitive> make_matmul(const dnnl::engine& engine, const dnnl::memory::desc& x,
                                         const dnnl::memory::desc& w, const dnnl::memory::desc& bias,
                                         const dnnl::memory::desc& y, Into into) {
  return made([&] {
    const auto d = product(engine, x, w, bias, y, into);
    return ConvPrimitive{dnnl::matmul(d), d.src_desc(),        d.weights_desc(),
                         d.dst_desc(),    d.scratchpad_desc(), d.impl_info_str()};
  });
}

std::int64_t preferred_block() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return 0;
    case dnnl::cpu_isa::avx:
    case dnnl::cpu_isa::avx2:
    case dnnl::cpu_isa::avx2_vnni:
      return 8;
    default:
      return 16;
  }
}

}  // namespace rulegrad::kernels::onednn
