#include <algorithm>
#include <array>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "kernels/common/parallel.hpp"
#include "kernels/common/words.hpp"
#include "kernels/move/movement.hpp"

namespace rulegrad::kernels {
namespace {

constexpr std::int64_t outside_place = -1;

/// For each position along a padded axis the position it is copied from.
using Sources = std::vector<std::int64_t>;

Sources sources(PadMode mode, std::int64_t extent, std::int64_t begin, std::int64_t end) {
  if (mode == PadMode::reflect &&
      (begin >= std::max<std::int64_t>(extent, 1) || end >= std::max<std::int64_t>(extent, 1)))
    throw Error(ErrorCode::shape, "[pad] reflection needs less padding than elements along the axis");
  Sources from;
  for (std::int64_t i = -begin; i < extent + end; ++i) {
    std::int64_t at = i;
    if (i < 0 || i >= extent) switch (mode) {
        case PadMode::constant:
          at = outside_place;
          break;
        case PadMode::edge:
          at = i < 0 ? 0 : extent - 1;
          break;
        case PadMode::reflect:
          at = i < 0 ? -i : 2 * (extent - 1) - i;
          break;
      }
    from.push_back(at);
  }
  return from;
}

struct Padding {
  std::vector<Sources> axis;  ///< of the axes from the first padded one on
  std::vector<std::int64_t> extent;
  std::int64_t outer = 1, x_inner = 1, y_inner = 1;  ///< blocks before the first padded axis, and their sizes
};

Padding padding(PadMode mode, DimsView dims, DimsView begin, DimsView end) {
  Padding p;
  std::size_t first = 0;
  while (first + 1 < dims.size() && begin[first] == 0 && end[first] == 0) p.outer *= dims[first++];
  for (std::size_t i = first; i < dims.size(); ++i) {
    p.axis.push_back(sources(mode, dims[i], begin[i], end[i]));
    p.extent.push_back(dims[i]);
    p.x_inner *= dims[i];
    p.y_inner *= static_cast<std::int64_t>(p.axis.back().size());
  }
  return p;
}

/// Calls f(source row or outside_place, first position) for rows [begin, end) of the innermost axis of a padded
/// block.
template <class F>
void for_each_padded_row(const Padding& p, std::int64_t begin, std::int64_t end, F&& f) {
  const auto width = static_cast<std::int64_t>(p.axis.back().size());
  for (std::int64_t row = begin; row < end; ++row) {
    std::int64_t rest = row, source = 0, step = p.extent.back();
    for (std::size_t i = p.axis.size() - 1; i-- > 0 && source != outside_place;) {
      const auto size = static_cast<std::int64_t>(p.axis[i].size());
      const std::int64_t at = p.axis[i][static_cast<std::size_t>(rest % size)];
      source = at == outside_place ? outside_place : source + at * step;
      rest /= size;
      step *= p.extent[i];
    }
    f(source, row * width);
  }
}

}  // namespace

void pad(std::size_t element_bytes, PadMode mode, DimsView x_dims, DimsView begin, DimsView end,
         const void* value, const void* x, void* y) {
  with_word(element_bytes, [&]<class W>(W) {
    const W fill = mode == PadMode::constant ? *static_cast<const W*>(value) : W(0);
    const W* const in = static_cast<const W*>(x);
    W* const out = static_cast<W*>(y);
    if (x_dims.empty()) {
      *out = *in;
      return;
    }
    const Padding p = padding(mode, x_dims, begin, end);
    const Sources& inner = p.axis.back();
    if (p.outer * p.y_inner == 0) return;
    const std::int64_t rows = p.y_inner / static_cast<std::int64_t>(inner.size());
    parallel_each(p.outer * rows, static_cast<std::int64_t>(inner.size()) * 2, [&](std::int64_t task) {
      const std::int64_t block = task / rows, row = task % rows;
      for_each_padded_row(p, row, row + 1, [&](std::int64_t source, std::int64_t first) {
        W* const to = out + block * p.y_inner + first;
        if (source == outside_place) {
          std::fill_n(to, inner.size(), fill);
          return;
        }
        const W* const from = in + block * p.x_inner + source;
        for (std::size_t i = 0; i < inner.size(); ++i)
          to[i] = inner[i] == outside_place ? fill : from[inner[i]];
      });
    });
  });
}

template <class T>
void pad_adjoint(PadMode mode, DimsView x_dims, DimsView begin, DimsView end, const T* g, T* gx) {
  if (x_dims.empty()) {
    *gx = *g;
    return;
  }
  const Padding p = padding(mode, x_dims, begin, end);
  const Sources& inner = p.axis.back();
  const std::int64_t rows = inner.empty() ? 0 : p.y_inner / static_cast<std::int64_t>(inner.size());
  parallel_each(p.outer, p.y_inner * 2, [&](std::int64_t block) {
    T* const out = gx + block * p.x_inner;
    std::fill_n(out, p.x_inner, T(0));
    for_each_padded_row(p, 0, rows, [&](std::int64_t source, std::int64_t first) {
      if (source == outside_place) return;
      const T* const from = g + block * p.y_inner + first;
      for (std::size_t i = 0; i < inner.size(); ++i)
        if (inner[i] != outside_place) out[source + inner[i]] += from[i];
    });
  });
}

template void pad_adjoint(PadMode, DimsView, DimsView, DimsView, const float*, float*);
template void pad_adjoint(PadMode, DimsView, DimsView, DimsView, const double*, double*);

}  // namespace rulegrad::kernels
