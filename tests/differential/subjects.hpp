#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// Networks of real sizes, drawn from a seed, of the same numbers in float32 and float64.
namespace differential {

using namespace rulegrad;

/// Numbers from a seed, the same on every machine.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 0x632be59bd9b4e019ULL) {}

  std::uint64_t bits();
  /// In [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high);
  std::int64_t one_of(std::initializer_list<std::int64_t> values);
  bool chance(double p);
  /// About normal: sums of uniforms, which every machine rounds alike.
  double normal();

 private:
  std::uint64_t state_;
};

enum class Kind : std::uint8_t {
  dense,
  tokens,
  images,
  signals,
  volumes,
  decoder,
  attention,
  recurrent,
  smooth_images,
  summary
};
inline constexpr Kind kinds[] = {Kind::dense,         Kind::tokens,  Kind::images,    Kind::signals,
                                 Kind::volumes,       Kind::decoder, Kind::attention, Kind::recurrent,
                                 Kind::smooth_images, Kind::summary};
[[nodiscard]] std::string name_of(Kind kind);

/// A network whose decisions are the same in any arithmetic.
///
/// - Where it has kinks (ReLU, maxima), inputs are multiples of 8, weights even and biases odd integers, so
///   that every sum of the forward pass is an integer below 2^24, which float32 holds exactly, in whatever
///   order it is summed; behind a layer with a bias it is odd, so that it is never 0, also half-way to the
///   input of a path of 2 or 4 steps. Means divide by powers of two. No rounding can turn a decision.
/// - Where it is smooth (tanh, GELU, softmax, gates), there is no decision to turn, and numbers are normal.
struct Subject {
  Model model;
  bool smooth = false;
  std::string text;     ///< its layers
  double products = 0;  ///< multiplications of one forward pass of one sample

  [[nodiscard]] Expr input() const { return model.inputs()[0].expr; }
  [[nodiscard]] Expr scores() const { return model.outputs()[0].expr; }
};

/// Equal arguments give equal networks but for the dtype. `small`: small enough for plain loops.
[[nodiscard]] Subject subject(Kind kind, std::uint64_t seed, DType dtype, bool small = false);

/// A batch for it.
[[nodiscard]] Tensor batch_for(const Subject& subject, std::int64_t samples, std::uint64_t seed);

/// What can explain it without a decision of its own: analyzers as the command takes them.
[[nodiscard]] std::vector<std::string> methods_for(Kind kind, const Subject& subject);

}  // namespace differential
