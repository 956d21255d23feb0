#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rulegrad/expr/attributes.hpp"

/// The attribute structs of the built-in operators. Empty lists mean "the neutral value for every spatial
/// axis" and are filled in by the builders, so that equal operations are equal nodes.
namespace [[gnu::visibility("default")]] rulegrad {

/// Extents, axes, strides.
using Ints = std::vector<std::int64_t>;

/// conv(x, w, b) and its weight gradient's common part. x [N, C, spatial...], w [O, C / groups, kernel...].
struct ConvAttributes {
  Ints strides{}, pads_begin{}, pads_end{}, dilations{};
  std::int64_t groups = 1;
};
/// conv_transpose(x, w, b): the adjoint of conv for its input. x [N, O, ...], w [O, C / groups, kernel...]
/// gives [N, C, spatial...]; `spatial` is needed because several input extents have the same output extent
/// under a stride.
struct ConvTransposeAttributes {
  Ints strides{}, pads_begin{}, pads_end{}, dilations{};
  std::int64_t groups = 1;
  Ints spatial{};
};
/// conv_weight_grad(x, g) [O, C / groups, kernel...].
struct ConvWeightGradAttributes {
  Ints strides{}, pads_begin{}, pads_end{}, dilations{};
  std::int64_t groups = 1;
  Ints kernel{};
};
/// max_pool(x), max_pool_vjp(x, g), max_pool_jvp(x, t): windows of `kernel` over the spatial axes of [N, C,
/// spatial...].
struct PoolAttributes {
  Ints kernel{}, strides{}, pads_begin{}, pads_end{}, dilations{};
  bool ceil = false;  ///< the last window may reach beyond the padded input
};
/// avg_pool(x).
struct AvgPoolAttributes {
  Ints kernel{}, strides{}, pads_begin{}, pads_end{}, dilations{};
  bool ceil = false;
  bool count_padding = false;  ///< ONNX count_include_pad
};
/// avg_pool_vjp(g): the adjoint; `spatial` are the extents of the pooled input.
struct AvgPoolVjpAttributes {
  Ints kernel{}, strides{}, pads_begin{}, pads_end{}, dilations{};
  bool ceil = false;
  bool count_padding = false;
  Ints spatial{};
};
/// batch_norm(x, scale, bias, mean, var): per channel of `axis`.
struct BatchNormAttributes {
  double epsilon = 1e-5;
  std::int64_t axis = 1;
};
/// lrn(x), ONNX LRN over the channel axis 1: x / (bias + alpha / size * sum of squares over the window)^beta.
struct LrnAttributes {
  std::int64_t size = 5;
  double alpha = 1e-4, beta = 0.75, bias = 1;
};
/// channel_window_sum(x): sums over `size` neighbouring channels; `reversed` is the adjoint of an even
/// window.
struct ChannelWindowAttributes {
  std::int64_t size = 5;
  bool reversed = false;
};
/// layer_norm(x, w, b), rms_norm(x, w): over the axes from `axis` on.
struct LayerNormAttributes {
  std::int64_t axis = -1;
  double epsilon = 1e-5;
};
/// lp_normalize(x): x / max((sum of |x|^p along `axis` + epsilon)^(1/p), least), p 1 or 2; 0 where that divisor is 0.
struct LpNormalizeAttributes {
  std::int64_t axis = -1, p = 2;
  double epsilon = 0, least = 0;
};
/// matmul(a, b): NumPy's, with the last two axes of an operand optionally swapped first.
struct MatmulAttributes {
  bool transpose_a = false, transpose_b = false;
};

/// leaky_relu(x): x where x > 0, else alpha x (Maas et al. 2013).
struct LeakyReluAttributes {
  double alpha = 0.01;
};
/// elu(x): x where x > 0, else alpha (e^x - 1) (Clevert et al. 2016, arXiv 1511.07289, eq. 15).
struct EluAttributes {
  double alpha = 1;
};
/// selu(x): gamma x where x > 0, else gamma alpha (e^x - 1) (Klambauer et al. 2017, arXiv 1706.02515, eq. 2).
struct SeluAttributes {
  double alpha = 1.6732632423543772, gamma = 1.0507009873554805;
};
/// By the error function, or by its approximation with tanh.
enum class GeluForm : std::uint8_t { exact, tanh };
/// gelu(x): x times the normal distribution function of x (Hendrycks and Gimpel 2016, arXiv 1606.08415).
struct GeluAttributes {
  GeluForm approximate = GeluForm::exact;
};
/// quick_gelu(x): x sigmoid(alpha x), the sigmoid approximation of gelu (Hendrycks and Gimpel 2016, arXiv 1606.08415,
/// section 2).
struct QuickGeluAttributes {
  double alpha = 1.702;
};
/// hardsigmoid(x): alpha x + beta, kept in [0, 1].
struct HardsigmoidAttributes {
  double alpha = 1.0 / 6, beta = 0.5;
};
/// clip(x): x, kept in [low, high].
struct ClipAttributes {
  double low = 0, high = 6;
};
/// cast(x): each element converted as `static_cast` does.
struct CastAttributes {
  DType dtype = DType::float32;
};

/// sum, mean, amax, amin, prod, first_max: over `axes` (empty: all; nodes hold them from the front,
/// ascending); `keep` leaves extents of 1.
struct ReduceAttributes {
  Ints axes{};
  bool keep = false;
};
/// argmax, argmin: the first along `axis`.
struct ArgAttributes {
  std::int64_t axis = 0;
  bool keep = false;
};
/// softmax, log_softmax, concat, gather.
struct AxisAttributes {
  std::int64_t axis = 0;
};
/// reshape, expand (NumPy broadcast_to), sum_to (its adjoint).
struct ShapeAttributes {
  Shape shape{};
};
/// transpose: axis i of the result is axis perm[i]; an empty perm reverses them.
struct TransposeAttributes {
  Ints perm{};
};
/// slice(x): along each of `axes` from `starts` to `stops` (exclusive; already clamped to the extent, -1 -
/// extent never occurs) by `steps`, negative ones included: x[starts:stops:steps] of NumPy with stop = -1
/// meaning "past the front".
struct SliceAttributes {
  Ints axes{}, starts{}, stops{}, steps{};
};
/// slice_vjp(g): g placed into zeros of `shape`.
struct SliceVjpAttributes {
  Ints axes{}, starts{}, stops{}, steps{};
  Shape shape{};
};
/// What stands in the padding: one value, the array mirrored without its border, or its border.
enum class PadMode : std::uint8_t { constant, reflect, edge };
/// pad(x): `begin` and `end` elements before and after each axis; negative ones crop.
struct PadAttributes {
  Ints begin{}, end{};
  PadMode mode = PadMode::constant;
  double value = 0;
};
/// pad_vjp(g): the adjoint, back to an array without the padding.
struct PadVjpAttributes {
  Ints begin{}, end{};
  PadMode mode = PadMode::constant;
};
/// scatter_add(g, i): zeros of extent `extent` along `axis` with the slices of g added at i; the adjoint of
/// gather.
struct ScatterAttributes {
  std::int64_t axis = 0, extent = 0;
};
/// one_hot(i): a new last axis of extent `depth`, 1 at the index; values of `dtype`.
struct OneHotAttributes {
  std::int64_t depth = 0;
  DType dtype = DType::float32;
};
/// The nearest element, or linear between neighbours along each axis.
enum class ResizeMode : std::uint8_t { nearest, linear };
/// Where an element of the result lies in x: ONNX's coordinate_transformation_mode.
enum class ResizeCoordinates : std::uint8_t { half_pixel, pytorch_half_pixel, align_corners, asymmetric };
/// Which element is the nearest one between two: ONNX's nearest_mode.
enum class NearestRounding : std::uint8_t { round_prefer_floor, round_prefer_ceil, floor, ceil };
/// resize(x): the spatial axes of [N, C, spatial...] to `spatial`; `scales` as the model gives them (empty:
/// the ratio of the extents).
struct ResizeAttributes {
  Ints spatial{};
  std::vector<double> scales{};
  ResizeMode mode = ResizeMode::nearest;
  ResizeCoordinates coordinates = ResizeCoordinates::half_pixel;
  NearestRounding rounding = NearestRounding::round_prefer_floor;
};
/// resize_vjp(g): the adjoint; `spatial` and `scales` are those of the resize, `input_spatial` the extents
/// before it.
struct ResizeVjpAttributes {
  Ints spatial{};
  std::vector<double> scales{};
  ResizeMode mode = ResizeMode::nearest;
  ResizeCoordinates coordinates = ResizeCoordinates::half_pixel;
  NearestRounding rounding = NearestRounding::round_prefer_floor;
  Ints input_spatial{};
};
/// quantile(x): of all values of a sample (axes but 0, keeping their extents as 1), q in [0, 1], linear
/// between ranks.
struct QuantileAttributes {
  double q = 0.5;
};
/// random_normal, random_uniform (row, sample): numbers of `shape`, whose axis 0 is that of `row`.
struct RandomAttributes {
  std::int64_t key = 0, stream = 0;
  DType dtype = DType::float32;
  Shape shape{};
};
/// random_index(row, sample): an index below `count` for each row.
struct RandomIndexAttributes {
  std::int64_t key = 0, stream = 0, count = 1;
};
/// window_mask(i): true inside of window i of those that slide over `extents`, the last axis first.
struct WindowMaskAttributes {
  Ints extents{}, window{}, strides{};
  bool wrap = false;
};
/// fill(): the same number everywhere.
struct FillAttributes {
  double value = 0;
  DType dtype = DType::float32;
  Shape shape{};
};
/// grad(y, g), vjp(y, g): for the operand `slot` of y, whose dtype and shape it has.
struct SlotAttributes {
  std::int64_t slot = 0;
  DType dtype = DType::float32;
  Shape shape{};
};

// Their fields, which the source of their operator lists.
template <>
const AttrType& attr_type<ConvAttributes>();
template <>
const AttrType& attr_type<ConvTransposeAttributes>();
template <>
const AttrType& attr_type<ConvWeightGradAttributes>();
template <>
const AttrType& attr_type<PoolAttributes>();
template <>
const AttrType& attr_type<AvgPoolAttributes>();
template <>
const AttrType& attr_type<AvgPoolVjpAttributes>();
template <>
const AttrType& attr_type<BatchNormAttributes>();
template <>
const AttrType& attr_type<LrnAttributes>();
template <>
const AttrType& attr_type<ChannelWindowAttributes>();
template <>
const AttrType& attr_type<LayerNormAttributes>();
template <>
const AttrType& attr_type<MatmulAttributes>();
template <>
const AttrType& attr_type<LeakyReluAttributes>();
template <>
const AttrType& attr_type<EluAttributes>();
template <>
const AttrType& attr_type<SeluAttributes>();
template <>
const AttrType& attr_type<GeluAttributes>();
template <>
const AttrType& attr_type<HardsigmoidAttributes>();
template <>
const AttrType& attr_type<ClipAttributes>();
template <>
const AttrType& attr_type<CastAttributes>();
template <>
const AttrType& attr_type<ReduceAttributes>();
template <>
const AttrType& attr_type<ArgAttributes>();
template <>
const AttrType& attr_type<AxisAttributes>();
template <>
const AttrType& attr_type<ShapeAttributes>();
template <>
const AttrType& attr_type<TransposeAttributes>();
template <>
const AttrType& attr_type<SliceAttributes>();
template <>
const AttrType& attr_type<SliceVjpAttributes>();
template <>
const AttrType& attr_type<PadAttributes>();
template <>
const AttrType& attr_type<PadVjpAttributes>();
template <>
const AttrType& attr_type<ScatterAttributes>();
template <>
const AttrType& attr_type<OneHotAttributes>();
template <>
const AttrType& attr_type<ResizeAttributes>();
template <>
const AttrType& attr_type<ResizeVjpAttributes>();
template <>
const AttrType& attr_type<QuantileAttributes>();
template <>
const AttrType& attr_type<RandomAttributes>();
template <>
const AttrType& attr_type<RandomIndexAttributes>();
template <>
const AttrType& attr_type<WindowMaskAttributes>();
template <>
const AttrType& attr_type<FillAttributes>();
template <>
const AttrType& attr_type<SlotAttributes>();

}  // namespace rulegrad
