#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>

#include "rulegrad/expr/schema.hpp"
#include "rulegrad/tensor/tensor.hpp"

#include "fuzz/target.hpp"

/// Numbers and arrays for targets that run what they read.
namespace rulegrad::fuzz {

/// Mostly small; now and then one that overflows, vanishes or is none.
[[nodiscard]] double any_real(RandomEngine& random);

/// Small numbers of both signs under the type, zeros and repetitions among them; nothing if they were more
/// than 8 MB.
[[nodiscard]] std::optional<Tensor> small_values(const Type& type, std::int64_t batch, std::uint64_t seed);

/// A token that asks for the end in a second: what an input makes a program compute is its own affair.
[[nodiscard]] std::stop_token soon();

}  // namespace rulegrad::fuzz
