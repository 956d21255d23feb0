#include "kernels/onednn/conv.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/support/error.hpp"

#include "kernels/blocked/between_copies.hpp"
#include "kernels/blocked/layout.hpp"
#include "kernels/blocked/narrow_conv.hpp"
#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/onednn/call.hpp"
#include "kernels/onednn/version.hpp"

namespace rulegrad::kernels::onednn {
namespace {

// Without it an analysis takes 1.6 times as long (ResNet-8, lrp.epsilon_plus_flat, batch 4): benchmarks/kernel_worth.
const KernelPath forward_path("conv: oneDNN");
// Without it an analysis takes 1.6 times as long (MobileNet, lrp.alpha_2_beta_1, batch 4): benchmarks/kernel_worth.
const KernelPath input_path("conv input: oneDNN");
// Stays: weight gradients are training, which no analysis does.
const KernelPath weight_path("conv weights: oneDNN");
// Stays: it is what `--precision fast` asks for.
const KernelPath winograd_path("conv: Winograd by oneDNN");
// Stays: it is what `--precision fast` asks for.
const KernelPath winograd_input_path("conv input: Winograd by oneDNN");
// Stays: it is what `--precision bf16` asks for.
const KernelPath bfloat16_path("conv: bfloat16 by oneDNN");
// Stays: it is what `--precision bf16` asks for.
const KernelPath bfloat16_input_path("conv input: bfloat16 by oneDNN");
// Only counted: what is inferred of signs must hold behind transforms.
const KernelPath restored_path("conv: signs restored behind Winograd", KernelPath::Choice::only);
// Only counted: oneDNN has no place for such a bias.
const KernelPath bias_path("conv: a bias is added behind oneDNN", KernelPath::Choice::only);

using dnnl::memory;

enum class Direction { forward, input, weight };

/// Which of operands and result are what a convolution reads, weighs and writes; `result` is the result.
struct Roles {
  std::size_t x, w, y;
};
constexpr std::size_t result = ~std::size_t{0};

Roles roles_of(Direction direction) {
  if (direction == Direction::forward) return {0, 1, result};
  return direction == Direction::input ? Roles{result, 1, 0} : Roles{0, result, 1};
}

/// A convolution as the attributes and extents of any of its three forms tell.
struct Geometry {
  Dims x, w, y;  ///< a batch extent that is not known yet is 1
  Ints strides, pads_begin, pads_end, dilations;
  std::int64_t groups = 1;

  [[nodiscard]] bool depthwise() const { return groups > 1 && groups == x[1] && groups == y[1]; }
  /// Of one entry of the batch.
  [[nodiscard]] double products() const {
    return static_cast<double>(element_count(std::span(y).subspan(1))) *
           static_cast<double>(element_count(std::span(w).subspan(1)));
  }
};

template <class A>
Geometry with_windows(const A& a, Dims x, Dims w, Dims y) {
  return {std::move(x), std::move(w), std::move(y), a.strides,
          a.pads_begin, a.pads_end,   a.dilations,  a.groups};
}

Geometry geometry_of(Direction direction, const Attributes& attributes, Dims x, Dims w, Dims y) {
  if (direction == Direction::forward) return with_windows(attributes.as<ConvAttributes>(), x, w, y);
  if (direction == Direction::input) return with_windows(attributes.as<ConvTransposeAttributes>(), x, w, y);
  return with_windows(attributes.as<ConvWeightGradAttributes>(), x, w, y);
}

/// Below so many products the portable kernel is done before a primitive has been looked up.
constexpr double least_products = 1 << 17;
/// Narrower sides leave most of a vector empty: the portable kernel takes positions for its vectors, not
/// channels. As measured for the first layers of VGG-16 and ResNet-50: forward oneDNN has a form for them,
/// backward it has not. Sums over whole blocks pay earlier, as measured for the second layer of LeNet.
constexpr std::int64_t least_channels = 8, least_channels_back = 5;

const KernelPath& path_of(Direction direction) {
  if (direction == Direction::forward) return forward_path;
  return direction == Direction::input ? input_path : weight_path;
}

/// Where oneDNN is faster than the portable kernel.
bool worth_it(Direction direction, const Geometry& g) {
  if (!path_of(direction).open()) return false;
  if (g.products() < least_products || g.strides.size() > 3) return false;
  const auto negative = [](std::int64_t pad) { return pad < 0; };
  if (std::any_of(g.pads_begin.begin(), g.pads_begin.end(), negative) ||
      std::any_of(g.pads_end.begin(), g.pads_end.end(), negative))
    return false;
  if (g.depthwise()) return direction != Direction::weight && g.x[1] % preferred_block() == 0;
  const std::int64_t in = g.x[1] / g.groups, out = g.y[1] / g.groups;
  if (g.groups > 1) return in >= 4 && out >= 4;
  if (direction == Direction::input && in >= least_channels_back && out >= 16) return true;
  return (in >= least_channels || (direction == Direction::forward && out >= 16)) && out >= least_channels;
}

class Conv {
 public:
  Conv(Direction direction, Kernel portable)
      : direction_(direction), roles_(roles_of(direction)), portable_(std::move(portable)) {}

  [[nodiscard]] Blocks layouts(std::span<const Type> operands, const Type& type,
                               const Attributes& attributes) const {
    Blocks blocks{std::vector<std::int64_t>(operands.size(), 0), 0};
    const std::int64_t block = preferred_block();
    const auto type_of = [&](std::size_t role) -> const Type& {
      return role == result ? type : operands[role];
    };
    const auto dims_of = [&](std::size_t role) { return type_of(role).shape.with_samples(false).at({}); };
    if (block == 0 || type.dtype != DType::float32) return blocks;
    const Geometry g =
        geometry_of(direction_, attributes, dims_of(roles_.x), dims_of(roles_.w), dims_of(roles_.y));
    if (narrow(g, block)) blocks.operands[roles_.y] = block;
    if (!worth_it(direction_, g)) return blocks;
    for (const std::size_t role : {roles_.x, roles_.y})
      if (dims_of(role)[1] % block == 0) (role == result ? blocks.result : blocks.operands[role]) = block;
    if (direction_ != Direction::weight && operands[2].shape.rank() == type.shape.rank() &&
        dims_of(2)[1] != 1)
      blocks.operands[2] = blocks.result;
    return blocks;
  }

  [[nodiscard]] std::optional<PreparedCall> prepare(const Preparation& preparation) const {
    const KernelCall& call = preparation.call;
    if (call.result.dtype != DType::float32) return std::nullopt;
    const Geometry g = geometry_of(direction_, call.attributes, dims(call, roles_.x), dims(call, roles_.w),
                                   dims(call, roles_.y));
    if (narrow(g, block(call, roles_.y))) return narrow_input_grad(g, call);
    if (worth_it(direction_, g))
      if (auto primitive = best(preparation, g)) return ready(preparation, g, *primitive);
    return blocked::between_copies(portable_, call);
  }

 private:
  static Dims dims(const KernelCall& call, std::size_t role) {
    const auto d = role == result ? call.result.dims : call.operands[role].dims;
    return {d.begin(), d.end()};
  }
  static std::int64_t block(const KernelCall& call, std::size_t role) {
    return role == result ? call.result.block : call.operands[role].block;
  }

  /// To few channels, oneDNN is slow, and matrix products are.
  [[nodiscard]] bool narrow(const Geometry& g, std::int64_t block) const {
    return direction_ == Direction::input && g.strides.size() <= 3 && !worth_it(direction_, g) &&
           blocked::is_narrow(portable_geometry(g), block);
  }

  static ConvGeometry portable_geometry(const Geometry& g) {
    const auto spatial = [](const Dims& dims) { return std::span(dims).subspan(2); };
    return {make_window_to(spatial(g.x), spatial(g.y), spatial(g.w), g.strides, g.pads_begin, g.pads_end,
                           g.dilations),
            g.x[0], g.x[1], g.y[1], g.groups};
  }

  static PreparedCall narrow_input_grad(const Geometry& g, const KernelCall& shapes) {
    const ConvGeometry geometry = portable_geometry(g);
    return {[geometry, block = shapes.operands[0].block](const KernelCall& call) {
              blocked::narrow_input_grad(geometry, block, call.operands[0].as<float>(),
                                         call.operands[1].as<float>(), call.result.as<float>(),
                                         reinterpret_cast<float*>(call.scratch.data()));
              add_bias(call.operands[2], call.result);
            },
            blocked::narrow_input_grad_scratch(geometry) * sizeof(float), "narrow"};
  }

  /// The weight with its groups as an axis of their own, where there are some.
  static Dims weight_dims(const Geometry& g) {
    Dims w = g.w;
    if (g.groups == 1) return w;
    w[0] /= g.groups;
    w.insert(w.begin(), g.groups);
    return w;
  }

  /// Only numbers by channel that are there for certain: the others are added afterwards.
  [[nodiscard]] bool fused_bias(const KernelCall& call) const {
    return direction_ == Direction::forward && call.operands[2].dims.size() == 1;
  }

  /// How x and y lie, and so does what the primitive reads and writes.
  struct Form {
    memory::desc x, y;
  };

  /// The first form that oneDNN has an implementation for, other than its reference, which is a thousand
  /// times slower.
  [[nodiscard]] std::optional<ConvPrimitive> best(const Preparation& preparation, const Geometry& g) const {
    const KernelCall& call = preparation.call;
    constexpr auto type = memory::data_type::f32;
    std::vector<dnnl::algorithm> algorithms{dnnl::algorithm::convolution_direct};
    if (preparation.precision != Precision::exact && winograd_pays(g))
      algorithms.insert(algorithms.begin(), dnnl::algorithm::convolution_winograd);
    if (preparation.precision == Precision::bfloat16)
      if (auto narrow = in_bfloat16(g, call)) return narrow;
    for (const auto algorithm : algorithms)
      for (const Form& form : forms(g, call, type, type)) {
        auto made = make(g, call, algorithm, form, type);
        if (made && made->implementation.find("ref") == std::string::npos) return made;
      }
    return std::nullopt;
  }

  [[nodiscard]] std::optional<ConvPrimitive> make(const Geometry& g, const KernelCall& call,
                                                  dnnl::algorithm algorithm, const Form& form,
                                                  memory::data_type weight) const {
    memory::dims dilations = g.dilations;
    for (auto& d : dilations) --d;
    const ConvDescription description{algorithm,
                                      form.x,
                                      any_desc(weight_dims(g), weight),
                                      fused_bias(call) ? array_desc({g.y[1]}, 0) : memory::desc(),
                                      form.y,
                                      g.strides,
                                      dilations,
                                      g.pads_begin,
                                      g.pads_end};
    if (direction_ == Direction::forward) return make_forward(engine(), description);
    return direction_ == Direction::input ? make_backward_data(engine(), description)
                                          : make_backward_weights(engine(), description);
  }

  /// How x and y may lie, in the order of preference: as they do; in blocks of channels padded to whole ones; as oneDNN
  /// likes best.
  [[nodiscard]] std::vector<Form> forms(const Geometry& g, const KernelCall& call, memory::data_type x,
                                        memory::data_type y) const {
    std::vector<Form> descs{
        {array_desc(g.x, block(call, roles_.x), x), array_desc(g.y, block(call, roles_.y), y)}};
    const std::int64_t preferred = preferred_block();
    if (preferred != 0 && g.x[1] >= least_channels && g.y[1] >= least_channels)
      descs.push_back({array_desc(g.x, preferred, x), array_desc(g.y, preferred, y)});
    descs.push_back({any_desc(g.x, x), any_desc(g.y, y)});
    return descs;
  }

  /// What is read as bfloat16 numbers, the result in float32; the call rounds what it is given. Matrix units (AMX) want
  /// other layouts than ours, and are worth the copies.
  [[nodiscard]] std::optional<ConvPrimitive> in_bfloat16(const Geometry& g, const KernelCall& call) const {
    const bool forward = direction_ == Direction::forward;
    if (direction_ == Direction::weight || g.depthwise() ||
        !(forward ? bfloat16_path : bfloat16_input_path).open())
      return std::nullopt;
    constexpr auto narrow = memory::data_type::bf16, wide = memory::data_type::f32;
    std::optional<ConvPrimitive> best;
    for (const Form& form : forms(g, call, forward ? narrow : wide, forward ? wide : narrow)) {
      auto made = make(g, call, dnnl::algorithm::convolution_direct, form, narrow);
      if (!made || !on_bfloat16_units(*made)) continue;
      const bool on_matrix_units = made->implementation.find("amx") != std::string::npos;
      if (best && !on_matrix_units) continue;
      made->implementation = "bfloat16:" + made->implementation;
      best = std::move(made);
      if (on_matrix_units) break;
    }
    return best;
  }

  /// 3x3 windows one apart over enough channels, measured on the layers of VGG-16 and ResNet-50.
  [[nodiscard]] bool winograd_pays(const Geometry& g) const {
    const auto all = [](const Ints& values, std::int64_t wanted) {
      return std::all_of(values.begin(), values.end(), [&](std::int64_t v) { return v == wanted; });
    };
    return direction_ != Direction::weight &&
           (direction_ == Direction::forward ? winograd_path : winograd_input_path).open() && g.groups == 1 &&
           g.w.size() == 4 && g.w[2] == 3 && g.w[3] == 3 && all(g.strides, 1) && all(g.dilations, 1) &&
           g.x[1] >= 64 && g.y[1] >= 64 && g.y[2] >= 14 && g.y[3] >= 14;
  }

  [[nodiscard]] PreparedCall ready(const Preparation& preparation, const Geometry& g,
                                   const ConvPrimitive& made) const {
    const KernelCall& call = preparation.call;
    Call prepared(made.primitive, made.scratchpad);
    const auto operand = [&](int argument, std::size_t role, const memory::desc& wanted, memory::desc given) {
      if (role == result)
        prepared.result(argument, wanted, std::move(given));
      else
        prepared.operand(argument, role, wanted, std::move(given), preparation.constants);
    };
    const bool forward = direction_ == Direction::forward, to_input = direction_ == Direction::input;
    operand(to_input ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, roles_.x, made.x,
            array_desc(g.x, block(call, roles_.x)));
    operand(direction_ == Direction::weight ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, roles_.w, made.w,
            array_desc(weight_dims(g), 0));
    operand(forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, roles_.y, made.y,
            array_desc(g.y, block(call, roles_.y)));
    if (fused_bias(call)) {
      const memory::desc bias = array_desc({g.y[1]}, 0);
      prepared.operand(DNNL_ARG_BIAS, 2, bias, bias, preparation.constants);
    }
    const bool adds = direction_ != Direction::weight && !fused_bias(call) && !always_zero(preparation);
    const std::size_t scratch = prepared.scratch_bytes();
    std::vector<std::size_t> unread = prepared.unread();
    const bool winograd = made.implementation.find("wino") != std::string::npos;
    const bool narrow = made.implementation.starts_with("bfloat16:");
    const KernelPath& path = winograd ? (forward ? winograd_path : winograd_input_path)
                             : narrow ? (forward ? bfloat16_path : bfloat16_input_path)
                                      : path_of(direction_);
    return {[call = std::make_shared<const Call>(std::move(prepared)), adds,
             sign = winograd ? sign_of(preparation) : Sign::any, &path](const KernelCall& now) {
              path.taken();
              call->run(now);
              if (adds) add_bias(now.operands[2], now.result);
              restore(sign, now.result);
            },
            scratch, made.implementation, std::move(unread)};
  }

  static bool always_zero(const Preparation& preparation) {
    const ConstView& bias = preparation.call.operands[2];
    if (!bias.dims.empty() || !preparation.constants.is_constant(2)) return false;
    return *reinterpret_cast<const float*>(preparation.constants.elements(2)) == 0;
  }

  /// What the result is known to be and Winograd's transforms do not keep.
  enum class Sign { any, not_negative, not_positive };
  static Sign sign_of(const Preparation& preparation) {
    if (preparation.low >= 0) return Sign::not_negative;
    return preparation.high <= 0 ? Sign::not_positive : Sign::any;
  }

  static void restore(Sign sign, const MutableView& y) {
    if (sign == Sign::any) return;
    restored_path.taken();
    constexpr float zero = 0;
    (sign == Sign::not_negative ? larger<float> : smaller<float>)(y.dims, y.as<float>(), {}, &zero, y.dims,
                                                                  y.as<float>());
  }

  static bool known_zero(const ConstView& bias) {
    return bias.dims.empty() && bias.data != nullptr && *bias.as<float>() == 0;
  }

  static void add_bias(const ConstView& bias, const MutableView& y) {
    if (known_zero(bias)) return;
    bias_path.taken();
    Dims y_dims(y.dims.begin(), y.dims.end()), b_dims(bias.dims.begin(), bias.dims.end());
    // One number a channel.
    if (b_dims.size() == 1) b_dims.resize(y_dims.size() - 1, 1);
    if (y.block != 0) {
      const std::size_t channel =
          y_dims.size() - b_dims.size() <= 1 ? 1 - (y_dims.size() - b_dims.size()) : b_dims.size();
      b_dims = blocked::shown_dims(b_dims, channel, y.block);
      y_dims = blocked::shown_dims(y_dims, 1, y.block);
    }
    add(y_dims, y.as<float>(), b_dims, bias.as<float>(), y_dims, y.as<float>());
  }

  Direction direction_;
  Roles roles_;
  Kernel portable_;
};

Kernel with(Direction direction, const Kernel& portable) {
  Kernel kernel = portable;
  const auto conv = std::make_shared<const Conv>(direction, portable);
  kernel.prepare = [conv](const Preparation& preparation) { return conv->prepare(preparation); };
  kernel.layouts = [conv](std::span<const Type> operands, std::span<const std::int64_t>, const Type& type,
                          const Attributes& attributes) { return conv->layouts(operands, type, attributes); };
  return kernel;
}

}  // namespace

Kernel conv(const Kernel& portable) {
  return with(Direction::forward, portable);
}
Kernel conv_transpose(const Kernel& portable) {
  return with(Direction::input, portable);
}
Kernel conv_weight_grad(const Kernel& portable) {
  return with(Direction::weight, portable);
}

}  // namespace rulegrad::kernels::onednn
