#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Where what is relevant is known: two of the XAI-TRIS scenarios (Clark et al. 2023, arXiv 2306.12816,
/// section 3) at 8x8 with white background noise. A T-shaped tetromino has its place at row 1, column 1, an
/// L-shaped one at row 4, column 5.
enum class XaiTrisScenario : std::uint8_t {
  linear,        ///< class 0 shows the T, class 1 the L
  exclusive_or,  ///< both are there, each with a sign: class 0 where the signs are equal, class 1 where they
                 ///< differ
};
/// `linear` or `xor`. Throws Error(unknown_name).
[[nodiscard]] XaiTrisScenario xai_tris_scenario_from_name(std::string_view name);

/// How many samples, how hard, which ones.
struct XaiTrisOptions {
  std::int64_t samples = 1000;
  /// The weight of the signal, in [0, 1]; the background has the rest. Nothing: the paper's, 0.18 (linear)
  /// and 0.35 (xor).
  std::optional<double> alpha = {};
  std::int64_t key = 0;
};

/// Samples with what is true of them.
struct XaiTrisData {
  Tensor samples;  ///< float32 [N, 1, 8, 8], the largest magnitude 1
  Tensor labels;   ///< int64 [N]; the classes and signs take turns
  /// boolean [1, 8, 8]: both tetrominoes, for every sample; where the one is missing, that tells as much as
  /// the other's presence.
  Tensor mask;
};

/// x = alpha * signal / |signal| + (1 - alpha) * noise / |noise|, each norm over all samples, then scaled to
/// a magnitude of 1. Throws Error(invalid_argument) for fewer than 4 samples and for an alpha outside [0, 1].
[[nodiscard]] XaiTrisData xai_tris(XaiTrisScenario scenario, const XaiTrisOptions& options = {});

}  // namespace rulegrad
