#include <algorithm>
#include <span>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/random.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/common/isa.hpp"
#include "kernels/common/parallel.hpp"
#include "ops/normal_pairs.hpp"

namespace rulegrad::kernels {
namespace {

/// Elements of the cost of one random number.
constexpr std::int64_t draw_cost = 32;

std::int64_t integer_at(const ConstView& view, std::int64_t i) {
  return view.dtype == DType::int32 ? view.as<std::int32_t>()[i] : view.as<std::int64_t>()[i];
}

template <class F>
Kernel random_kernel(F number) {
  return simple([number](const KernelCall& call) {
    const auto& random = call.attributes.as<RandomAttributes>();
    const std::int64_t rows = call.operands[0].count(), sample = integer_at(call.operands[1], 0);
    const std::int64_t each = rows == 0 ? 0 : call.result.count() / rows;
    floating(random.dtype, [&]<class T>(T) {
      T* to = call.result.as<T>();
      parallel_each(rows * each, draw_cost, [&](std::int64_t i) {
        to[i] = static_cast<T>(
            number({random.key, random.stream, sample, integer_at(call.operands[0], i / each), i % each}));
      });
    });
  });
}

/// Elements of the cost of one normal number of a run.
constexpr std::int64_t normal_cost = 8;

/// Pairs of normal numbers share their block, and runs of pairs are computed at once, along a row.
void normals(const KernelCall& call) {
  const auto& how = call.attributes.as<RandomAttributes>();
  const std::int64_t rows = call.operands[0].count(), sample = integer_at(call.operands[1], 0);
  const std::int64_t each = rows == 0 ? 0 : call.result.count() / rows;
  floating(how.dtype, [&]<class T>(T) {
    T* to = call.result.as<T>();
    parallel_chunks(rows * each, 2 * grain_size / normal_cost, [&](std::int64_t begin, std::int64_t end) {
      vectorised([&] {
        for (std::int64_t i = begin; i < end;) {
          const std::int64_t row = i / each, element = i % each, count = std::min(end - i, each - element);
          const RandomPlace first{how.key, how.stream, sample, integer_at(call.operands[0], row), element};
          const std::span<T> run(to + i, static_cast<std::size_t>(count));
          if (count < 32)
            random::draw_normals<8>(first, run);
          else
            random::draw_normals<64>(first, run);
          i += count;
        }
      });
    });
  });
}

/// How many windows fit one behind the other; the last may reach beyond the extent, or, with `wrap`, begin
/// anywhere in it.
std::int64_t window_count(std::int64_t extent, std::int64_t window, std::int64_t stride, bool wrap) {
  if (wrap) return (extent + stride - 1) / stride;
  return extent <= window ? 1 : (extent - window + stride - 1) / stride + 1;
}

void window_mask(const KernelCall& call) {
  const auto& mask = call.attributes.as<WindowMaskAttributes>();
  const std::size_t rank = mask.extents.size();
  std::int64_t index = integer_at(call.operands[0], 0);
  Ints begin(rank);
  for (std::size_t axis = rank; axis-- > 0;) {
    const std::int64_t count =
        window_count(mask.extents[axis], mask.window[axis], mask.strides[axis], mask.wrap);
    begin[axis] = index % count * mask.strides[axis];
    index /= count;
  }
  bool* to = call.result.as<bool>();
  for (std::int64_t i = 0; i < call.result.count(); ++i) {
    std::int64_t rest = i;
    bool inside = true;
    for (std::size_t axis = rank; axis-- > 0; rest /= mask.extents[axis]) {
      const std::int64_t at = rest % mask.extents[axis];
      const std::int64_t from_begin =
          at - begin[axis] + (mask.wrap && at < begin[axis] ? mask.extents[axis] : 0);
      inside = inside && from_begin >= 0 && from_begin < mask.window[axis];
    }
    to[i] = inside;
  }
}

}  // namespace

void bind_random(Kernels& all) {
  all.set("random_normal", simple(normals));
  all.set("random_uniform", random_kernel([](const RandomPlace& place) { return uniform_at(place); }));
  all.set("random_index", simple([](const KernelCall& call) {
            const auto& random = call.attributes.as<RandomIndexAttributes>();
            const std::int64_t sample = integer_at(call.operands[1], 0);
            for (std::int64_t i = 0; i < call.result.count(); ++i)
              call.result.as<std::int64_t>()[i] = index_at(
                  {random.key, random.stream, sample, integer_at(call.operands[0], i), 0}, random.count);
          }));
  all.set("window_mask", simple(window_mask));
}

}  // namespace rulegrad::kernels
