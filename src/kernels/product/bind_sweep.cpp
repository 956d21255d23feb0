#include "kernels/product/bind_sweep.hpp"

#include "kernels/common/bind.hpp"
#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/product/matmul.hpp"

namespace rulegrad::kernels {
namespace {

template <class T>
void run(const SweepDescription& description, const KernelCall& call) {
  const ConstView& w = call.operands[0];
  const std::int64_t columns = w.dims[description.transposed ? 0 : 1],
                     depth = w.dims[description.transposed ? 1 : 0];
  const auto result_of = [&](std::size_t product) -> const MutableView& {
    return product == 0 ? call.result : call.others[product - 1];
  };
  std::vector<ElementFunction<T>> functions;
  for (const auto& function : description.functions)
    if (function)
      functions.push_back([&function](std::int64_t count, const T* in, T* out) {
        function(count, reinterpret_cast<const std::byte*>(in), reinterpret_cast<std::byte*>(out));
      });
    else
      functions.emplace_back();
  std::vector<SweptForm<T>> forms;
  for (const ElementFunction<T>& function : functions) forms.push_back({function ? &function : nullptr, {}});
  for (std::size_t k = 0; k < description.products.size(); ++k) {
    const auto& product = description.products[k];
    const ConstView& x = call.operands[product.x];
    const std::int64_t rows = x.dims.empty() ? 1 : count_of(x.dims.first(x.dims.size() - 1));
    SweptForm<T>& form = forms[product.function];
    T* const y = result_of(k).template as<T>();
    if (rows <= thin_rows && sweeps(description.transposed))
      form.products.push_back({rows, x.as<T>(), y});
    else  // arithmetic limits it, not reading the weight
      product_of_function(description.transposed, rows, columns, depth, x.as<T>(), w.as<T>(), form.function,
                          y);
  }
  sweep<T>(description.transposed, columns, depth, w.as<T>(), forms);
  for (std::size_t k = 0; k < description.products.size(); ++k) {
    if (description.products[k].bias == 0) continue;
    const ConstView& bias = call.operands[description.products[k].bias];
    if (bias.dims.empty() && *bias.as<T>() == T(0)) continue;
    const MutableView& y = result_of(k);
    add(y.dims, y.template as<T>(), bias.dims, bias.as<T>(), y.dims, y.template as<T>());
  }
}

}  // namespace

Kernel sweep_kernel(SweepDescription description) {
  Kernel kernel = simple([description](const KernelCall& call) {
    floating(call.result.dtype, [&]<class T>(T) { run<T>(description, call); });
  });
  kernel.contraction = true;
  Rows rows;
  for (const auto& product : description.products) rows.push_back(product.x);
  return with_batch(std::move(kernel), std::move(rows));
}

}  // namespace rulegrad::kernels
