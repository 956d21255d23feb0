#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "kernels/common/bind.hpp"
#include "kernels/common/parallel.hpp"

namespace rulegrad::kernels {
namespace {

template <class T>
bool goes_true(std::int64_t kind, T x, T threshold, bool missing_is_true) {
  if (std::isnan(x)) return missing_is_true;
  switch (kind) {
    case 1:
      return x <= threshold;
    case 2:
      return x < threshold;
    case 3:
      return x >= threshold;
    case 4:
      return x > threshold;
    case 5:
      return x == threshold;
    default:
      return x != threshold;
  }
}

/// Every number that a row names must exist, and children stand behind their parents, so that ways end.
void check(const KernelCall& call) {
  const auto* const nodes = call.operands[1].as<std::int64_t>();
  const std::int64_t count = call.operands[1].dims[0], features = call.operands[0].dims[1],
                     leaves = call.operands[4].dims[0];
  const auto fail = [](std::int64_t at) {
    throw Error(ErrorCode::invalid_argument, fmt::format("[tree_ensemble] node {} leads nowhere", at));
  };
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t* const node = nodes + 5 * i;
    if (node[1] == 0 ? node[2] < 0 || node[2] >= leaves
                     : node[1] < 0 || node[1] > 6 || node[0] < 0 || node[0] >= features || node[2] <= i ||
                           node[2] >= count || node[3] <= i || node[3] >= count)
      fail(i);
  }
  for (std::int64_t k = 0; k < call.operands[3].count(); ++k)
    if (const std::int64_t root = call.operands[3].as<std::int64_t>()[k]; root < 0 || root >= count)
      fail(root);
}

void run_trees(const KernelCall& call) {
  check(call);
  const auto* const nodes = call.operands[1].as<std::int64_t>();
  const auto* const roots = call.operands[3].as<std::int64_t>();
  const std::int64_t features = call.operands[0].dims[1], trees = call.operands[3].count(),
                     width = call.result.dims[1];
  floating(call.result.dtype, [&]<class T>(T) {
    const T *const x = call.operands[0].as<T>(), *const thresholds = call.operands[2].as<T>(),
                   *const values = call.operands[4].as<T>();
    T* const y = call.result.as<T>();
    parallel_each(call.result.dims[0], trees * 16, [&](std::int64_t n) {
      std::fill_n(y + n * width, width, T(0));
      for (std::int64_t tree = 0; tree < trees; ++tree) {
        std::int64_t at = roots[tree];
        while (nodes[5 * at + 1] != 0) {
          const std::int64_t* const node = nodes + 5 * at;
          at =
              goes_true(node[1], x[n * features + node[0]], thresholds[at], node[4] != 0) ? node[2] : node[3];
        }
        for (std::int64_t t = 0; t < width; ++t) y[n * width + t] += values[nodes[5 * at + 2] * width + t];
      }
    });
  });
}

}  // namespace

void bind_trees(Kernels& all) {
  all.set("tree_ensemble", with_batch(simple(run_trees), {0}));
}

}  // namespace rulegrad::kernels
