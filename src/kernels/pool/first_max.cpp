#include "kernels/pool/first_max.hpp"

#include <algorithm>
#include <vector>

#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"

namespace rulegrad::kernels {
namespace {

/// The arrays read along axes of x: x itself, and the groups of elements among which one is the largest.
Walk<2> group_walk(DimsView x_dims, DimsView axes) {
  std::vector<std::int64_t> group_steps(x_dims.size());
  std::int64_t groups = 1, elements = count_of(x_dims);
  for (std::size_t axis = x_dims.size(); axis-- > 0;) {
    if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end()) continue;
    group_steps[axis] = groups;
    groups *= x_dims[axis];
  }
  Walk<2> walk;
  for (std::size_t axis = 0; axis < x_dims.size(); ++axis) {
    elements /= x_dims[axis];
    walk.push(x_dims[axis], {elements, group_steps[axis]});
  }
  walk.finish();
  return walk;
}

/// Elements [begin, end), none of which shares a group with others.
template <class T>
void mark(const Walk<2>& walk, std::int64_t begin, std::int64_t end, std::int64_t groups, const T* x,
          bool* y) {
  std::fill(y + begin, y + end, false);
  std::vector<std::int64_t> best(static_cast<std::size_t>(groups), -1);
  // The groups of a slab are neighbours: the first one met is the lowest.
  std::int64_t first_group = -1;
  const std::int64_t step = walk.stride[1][walk.rank - 1];
  for_each_row(walk, begin, end,
               [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 2>& from) {
                 if (first_group < 0) first_group = from[1];
                 for (std::int64_t i = 0; i < length; ++i) {
                   std::int64_t& leader = best[static_cast<std::size_t>(from[1] - first_group + i * step)];
                   const T value = x[at + i];
                   if (leader < 0 || value > x[leader] || (value != value && x[leader] == x[leader]))
                     leader = at + i;
                 }
               });
  for (const std::int64_t leader : best) y[leader] = true;
}

}  // namespace

template <class T>
void first_max(DimsView x_dims, DimsView axes, const T* x, bool* y) {
  const std::int64_t count = count_of(x_dims);
  if (count == 0) return;
  std::int64_t groups = count;
  for (const std::int64_t axis : axes) groups /= x_dims[static_cast<std::size_t>(axis)];
  // Axes in front of the reduced ones cut the array into slabs of their own.
  std::int64_t slabs = 1;
  for (std::size_t axis = 0; axis < x_dims.size(); ++axis) {
    if (std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(axis)) != axes.end()) break;
    slabs *= x_dims[axis];
  }
  const Walk<2> walk = group_walk(x_dims, axes);
  const std::int64_t size = count / slabs;
  parallel_each(slabs, 4 * size,
                [&](std::int64_t slab) { mark(walk, slab * size, (slab + 1) * size, groups / slabs, x, y); });
}

template void first_max(DimsView, DimsView, const float*, bool*);
template void first_max(DimsView, DimsView, const double*, bool*);
template void first_max(DimsView, DimsView, const std::int32_t*, bool*);
template void first_max(DimsView, DimsView, const std::int64_t*, bool*);

}  // namespace rulegrad::kernels
