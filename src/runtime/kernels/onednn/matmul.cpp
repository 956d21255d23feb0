#include "runtime/kernels/onednn/matmul.hpp"

#include "rulegrad/op_attributes.hpp"

#include "runtime/kernels/onednn/call.hpp"
#include "runtime/kernels/onednn/version.hpp"
#include "runtime/kernels/portable/dims.hpp"
#include "runtime/kernels/portable/elementwise.hpp"
#include "runtime/kernels/portable/sweep.hpp"

namespace rulegrad::kernels::onednn {
namespace {

using dnnl::memory;

/// Below so many products the portable kernel is done before a primitive has been looked up.
constexpr std::int64_t least_products = 1 << 20;

/// x [rows, depth] times w [columns, depth] if it is transposed, [depth, columns] otherwise.
struct Product {
  std::int64_t rows, depth, columns;
  bool transposed;
};

/// One matrix on the right serves all rows on the left.
std::optional<Product> product_of(const KernelCall& call, bool is_dense) {
  const auto x = call.operands[0].dims, w = call.operands[1].dims;
  if (x.size() < 2 || w.size() != 2) return std::nullopt;
  bool transposed = true;
  if (!is_dense) {
    const auto& attributes = call.attributes.as<MatmulAttributes>();
    if (attributes.transpose_a) return std::nullopt;
    transposed = attributes.transpose_b;
  }
  return Product{count_of(x.first(x.size() - 1)), x.back(), w[transposed ? 0 : 1], transposed};
}

/// As measured in float32 for 17 to 1024 rows and 768 to 6272 inputs and outputs, on one AVX-512 core: a transposed weight as it
/// lies takes 0.4 to 0.9 of the portable kernel's time, a packed one 0.4 to 0.9; one that lies the other way is no faster.
bool worth_it(const Product& p, bool constant) {
  return p.rows > (p.transposed ? 16 : kThin) && p.columns > kThin && p.rows * p.columns * p.depth >= least_products && (p.transposed || constant);
}

std::optional<PreparedCall> prepare(const Preparation& preparation, bool is_dense) {
  const KernelCall& call = preparation.call;
  if (call.result.dtype != DType::float32) return std::nullopt;
  const auto p = product_of(call, is_dense);
  if (!p || !worth_it(*p, preparation.constants.is_constant(1))) return std::nullopt;
  const memory::dims x_dims{p->rows, p->depth}, w_dims{p->depth, p->columns}, y_dims{p->rows, p->columns};
  const memory::desc x = array_desc(x_dims, 0), y = array_desc(y_dims, 0);
  const memory::desc w = p->transposed ? memory::desc(w_dims, memory::data_type::f32, memory::format_tag::ba) : array_desc(w_dims, 0);
  const auto made = make_matmul(engine(), x, p->transposed ? w : any_desc(w_dims), y);
  if (!made || made->implementation.find("ref") != std::string::npos) return std::nullopt;
  Call prepared(made->primitive, made->scratchpad);
  prepared.operand(DNNL_ARG_SRC, 0, made->x, x, preparation.constants);
  prepared.operand(DNNL_ARG_WEIGHTS, 1, made->w, w, preparation.constants);
  prepared.result(DNNL_ARG_DST, made->y, y);
  const std::size_t scratch = prepared.scratch_bytes();
  std::vector<std::size_t> unread = prepared.unread();
  return PreparedCall{[run = std::make_shared<const Call>(std::move(prepared))](const KernelCall& now) {
                        run->run(now);
                        if (now.operands.size() < 3) return;
                        const ConstView& bias = now.operands[2];
                        if (bias.dims.empty() && *bias.as<float>() == 0) return;
                        float* const sum = now.result.as<float>();
                        binary(Binary::add, now.result.dims, sum, bias.dims, bias.as<float>(), now.result.dims, sum);
                      },
                      scratch, made->implementation, std::move(unread)};
}

Kernel with(const Kernel& portable, bool is_dense) {
  Kernel kernel = portable;
  kernel.prepare = [is_dense](const Preparation& preparation) { return prepare(preparation, is_dense); };
  return kernel;
}

}  // namespace

Kernel dense(const Kernel& portable) { return with(portable, true); }
Kernel matmul(const Kernel& portable) { return with(portable, false); }

}  // namespace rulegrad::kernels::onednn
