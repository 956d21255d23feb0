#pragma once

#include <random>

namespace [[gnu::visibility("default")]] rulegrad {

/// What operators draw the extents of their examples from (OpSchema::examples): the Mersenne Twister of the
/// standard library, in a header of its own because <random> takes long to compile.
class RandomEngine : public std::mt19937_64 {
 public:
  using mersenne_twister_engine::mersenne_twister_engine;
};

}  // namespace rulegrad
