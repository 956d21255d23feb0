#pragma once

#include <string>

#include "rulegrad/api/network.hpp"

/// Networks with random weights, to time.
namespace rulegrad::benchmarks {

/// 784-512-512-10, with ReLUs.
[[nodiscard]] Model mlp();
/// LeCun et al. 1998 at 28x28, with ReLUs and max-pooling.
[[nodiscard]] Model lenet();
/// Simonyan and Zisserman 2014, arXiv 1409.1556, configuration D, at 224x224.
[[nodiscard]] Model vgg16();
/// Two layers of an encoder (Vaswani et al. 2017, arXiv 1706.03762) with the norms in front: 64 tokens of 128
/// features, 4 heads.
[[nodiscard]] Model encoder();
/// Blocks of a dense layer of 8 units with weights of its own, a ReLU, a tanh, a sigmoid and a sum; `nodes`
/// operations.
[[nodiscard]] Model deep(std::size_t nodes);

/// Values between -1 and 1.
[[nodiscard]] Tensor random_tensor(Dims dims);
/// Standard normal values for a model's only input.
[[nodiscard]] Tensor random_input(const Model& model, std::int64_t batch);

}  // namespace rulegrad::benchmarks
