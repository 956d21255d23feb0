#include <vector>

#include "rulegrad/ops/index_attributes.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/move/gathering.hpp"
#include "kernels/move/indices.hpp"

namespace rulegrad::kernels {
namespace {

RowsAt rows_at(DimsView dims, std::size_t axis) {
  return {count_of(dims.first(axis)), dims[axis], count_of(dims.subspan(axis + 1))};
}

void run_gather_rows(const KernelCall& call) {
  const ConstView &x = call.operands[0], &i = call.operands[1];
  const auto shared = static_cast<std::size_t>(call.attributes.as<GatherRowsAttributes>().batch);
  gather_rows(size_of(x.dtype), rows_at(x.dims, shared), count_of(i.dims.subspan(shared)), indices_of(i),
              x.data, call.result.data);
}

void run_scatter_rows(const KernelCall& call) {
  const ConstView &g = call.operands[0], &i = call.operands[1];
  const auto shared = static_cast<std::size_t>(call.attributes.as<ScatterRowsAttributes>().batch);
  floating(g.dtype, [&]<class T>(T) {
    scatter_rows(rows_at(call.result.dims, shared), count_of(i.dims.subspan(shared)), indices_of(i),
                 g.as<T>(), call.result.as<T>());
  });
}

void run_cumsum(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<CumsumAttributes>();
  arithmetic(x.dtype, [&]<class T>(T) {
    cumsum(rows_at(x.dims, axis_of(a.axis, x.dims.size())), a.exclusive, a.reverse, x.as<T>(),
           call.result.as<T>());
  });
}

void run_top_index(const KernelCall& call) {
  const ConstView& x = call.operands[0];
  const auto& a = call.attributes.as<TopAttributes>();
  arithmetic(x.dtype, [&]<class T>(T) {
    top_index(rows_at(x.dims, axis_of(a.axis, x.dims.size())), a.count, a.smallest, x.as<T>(),
              call.result.as<std::int64_t>());
  });
}

/// Both operands begin with the shared axes.
template <class A>
Kernel by_shared_axes(Kernel kernel) {
  kernel.rows = [](std::span<const Type>, const Type&, const Attributes& attributes) {
    return attributes.as<A>().batch > 0 ? Rows{0, 1} : Rows{};
  };
  return kernel;
}

}  // namespace

void bind_gathering(Kernels& all) {
  all.set("gather_rows", by_shared_axes<GatherRowsAttributes>(simple(run_gather_rows)));
  all.set("scatter_rows", by_shared_axes<ScatterRowsAttributes>(simple(run_scatter_rows)));
  all.set("cumsum", with_batch_unless(simple(run_cumsum), along_outermost<CumsumAttributes>));
  all.set("top_index", with_batch_unless(simple(run_top_index), along_outermost<TopAttributes>));
}

}  // namespace rulegrad::kernels
