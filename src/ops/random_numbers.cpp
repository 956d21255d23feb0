#include <algorithm>

#include "rulegrad/ops/random.hpp"

#include "ops/normal_pairs.hpp"

namespace rulegrad {

using random::Blocks;
using random::Kind;

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  Blocks<1> block{{{counter[0]}, {counter[1]}, {counter[2]}, {counter[3]}}};
  random::philox_rounds(block, key[0], key[1]);
  return {block[0][0], block[1][0], block[2][0], block[3][0]};
}

double uniform_at(const RandomPlace& place) {
  const auto bits = random::blocks<1>(place, place.element, Kind::uniform);
  return random::unit(bits[0][0], bits[1][0]);
}

double normal_at(const RandomPlace& place) {
  return random::normals<1>(place, place.element / 2)[static_cast<std::size_t>(place.element % 2)];
}

void normals_at(const RandomPlace& first, std::span<double> numbers) {
  random::draw_normals<8>(first, numbers);
}

std::int64_t index_at(const RandomPlace& place, std::int64_t count) {
  const auto bits = random::blocks<1>(place, 0, Kind::index);
  return static_cast<std::int64_t>(random::unit(bits[0][0], bits[1][0]) * static_cast<double>(count));
}

}  // namespace rulegrad
