#pragma once

#include <array>
#include <cstdint>
#include <span>

/// Random numbers without a state: each is a function of where it is wanted. Philox4x32-10 (Salmon et al.
/// 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3), a counter-based generator: ten rounds
/// of multiplications mix a 128-bit counter under a 64-bit key. By hand, because Random123 is a package for
/// these ten lines, of which exported files hold the same in operations.
namespace [[gnu::visibility("default")]] rulegrad {

/// Where a number is wanted. Two numbers with the same place are the same number, on any machine, whatever
/// the threads, chunks and other methods of a program; numbers of different places are independent.
struct RandomPlace {
  std::int64_t key = 0;      ///< chosen by the user (low 32 bits)
  std::int64_t stream = 0;   ///< tells apart the inputs of one analyzer (low 32 bits)
  std::int64_t sample = 0;   ///< of the loop (low 32 bits)
  std::int64_t row = 0;      ///< global batch index (low 32 bits)
  std::int64_t element = 0;  ///< row-major within its entry of the batch (low 40 bits)
};

/// The block of 128 random bits that belongs to a counter and a key.
[[nodiscard]] std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter,
                                                  std::array<std::uint32_t, 2> key);

/// In [0, 1), a multiple of 2^-53.
[[nodiscard]] double uniform_at(const RandomPlace& place);
/// Standard normal, by the Box-Muller transform: elements 2k and 2k + 1 are the two numbers of one pair. Its
/// logarithm, sine and cosine are rounded alike on every machine, and within 2 units in the last place.
[[nodiscard]] double normal_at(const RandomPlace& place);
/// Standard normal numbers of the elements from `first.element` on, one behind the other: the bits of
/// `normal_at`, at a fraction of its cost.
void normals_at(const RandomPlace& first, std::span<double> numbers);
/// In 0 .. count - 1.
[[nodiscard]] std::int64_t index_at(const RandomPlace& place, std::int64_t count);

}  // namespace rulegrad
