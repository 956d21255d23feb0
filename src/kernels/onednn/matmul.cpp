#include "kernels/onednn/matmul.hpp"

#include "rulegrad/ops/op_attributes.hpp"

#include "kernels/common/dims.hpp"
#include "kernels/elementwise/arithmetic.hpp"
#include "kernels/kernel_paths.hpp"
#include "kernels/onednn/call.hpp"
#include "kernels/onednn/split_matmul.hpp"
#include "kernels/onednn/version.hpp"
#include "kernels/product/sweep.hpp"

namespace rulegrad::kernels::onednn {
namespace {

// Without it an analysis takes 1.4 times as long (MLP, lrp.alpha_2_beta_1, batch 8): benchmarks/kernel_worth.
const KernelPath packed_path("matmul: oneDNN, the weight packed");
// Only counted: oneDNN has no place for such a bias.
const KernelPath bias_path("matmul: a bias is added behind oneDNN", KernelPath::Choice::only);
// Stays: it is what `--precision bf16` asks for.
const KernelPath bfloat16_path("matmul: bfloat16 by oneDNN");

using dnnl::memory;

/// Below so many products the portable kernel is done before a primitive has been looked up.
constexpr std::int64_t least_products = 1 << 20;

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
  const std::int64_t columns = w[transposed ? 0 : 1];
  const bool biased =
      call.operands.size() > 2 && call.operands[2].dims.size() == 1 && call.operands[2].dims[0] == columns;
  return Product{count_of(x.first(x.size() - 1)), x.back(), columns, transposed, biased};
}

/// Up to so many bytes a packed weight stays in a cache; larger ones are streamed past thin operands as they
/// lie.
constexpr std::int64_t most_packed = 4 << 20;
/// A transposed weight is packed up to so many bytes: programs with gradients keep another form of it for the way
/// back, and a second copy of a large weight is not worth the third that it saves.
constexpr std::int64_t most_copied = 64 << 20;

/// Whether oneDNN should compute it, with a packed weight. As measured in float32 on AVX-512 cores: from 8 to 32 rows
/// that takes 0.6 to 0.95 of the portable kernel's time where the weight has a cache's size, and 0.9 to 1.5 where it
/// is large; of more rows 0.8. Of a weight that is not packed oneDNN takes 0.8 of that time at best.
bool worth_packing(const Product& p) {
  if (!packed_path.open() || p.columns <= thin_rows || p.rows * p.columns * p.depth < least_products)
    return false;
  const std::int64_t bytes = p.columns * p.depth * std::int64_t{sizeof(float)};
  return p.rows <= thin_rows ? bytes <= most_packed && p.rows >= 8 : !p.transposed || bytes <= most_copied;
}

/// How oneDNN reads x and the weight.
enum class Operands : std::uint8_t { float32, bfloat16 };

/// The product by oneDNN, the weight packed. Nothing where oneDNN has no way of its own for such operands.
std::optional<PreparedCall> product_by_onednn(const Preparation& preparation, const Product& p, Operands as) {
  const bool narrow = as == Operands::bfloat16;
  const auto type = narrow ? memory::data_type::bf16 : memory::data_type::f32;
  const memory::dims x_dims{p.rows, p.depth}, w_dims{p.depth, p.columns}, y_dims{p.rows, p.columns};
  const memory::desc bias = p.biased ? array_desc({1, p.columns}, 0) : memory::desc();
  const memory::desc y = array_desc(y_dims, 0);
  const auto made = make_matmul(engine(), array_desc(x_dims, 0, type), any_desc(w_dims, type), bias, y);
  if (!made || made->implementation.find("ref") != std::string::npos) return std::nullopt;
  if (narrow && !on_bfloat16_units(*made)) return std::nullopt;
  Call prepared(made->primitive, made->scratchpad);
  prepared.operand(DNNL_ARG_SRC, 0, made->x, array_desc(x_dims, 0), preparation.constants);
  using tag = memory::format_tag;
  prepared.operand(DNNL_ARG_WEIGHTS, 1, made->w,
                   {w_dims, memory::data_type::f32, p.transposed ? tag::ba : tag::ab}, preparation.constants);
  if (p.biased) prepared.operand(DNNL_ARG_BIAS, 2, bias, bias, preparation.constants);
  prepared.result(DNNL_ARG_DST, made->y, y);
  const std::size_t scratch = prepared.scratch_bytes();
  std::vector<std::size_t> unread = prepared.unread();
  return PreparedCall{[run = std::make_shared<const Call>(std::move(prepared)), biased = p.biased,
                       &path = narrow ? bfloat16_path : packed_path](const KernelCall& now) {
                        path.taken();
                        run->run(now);
                        if (!biased) add_bias(now);
                      },
                      scratch, (narrow ? "bfloat16:" : "") + made->implementation, std::move(unread)};
}

/// Rounding x to bfloat16 pays.
bool worth_rounding(const Product& p) {
  return bfloat16_path.open() && p.rows > thin_rows && p.columns > thin_rows &&
         p.rows * p.columns * p.depth >= least_products;
}

std::optional<PreparedCall> prepare(const Preparation& preparation, bool is_dense) {
  const KernelCall& call = preparation.call;
  if (call.result.dtype != DType::float32 || !preparation.constants.is_constant(1)) return std::nullopt;
  const auto p = product_of(call, is_dense);
  if (!p) return std::nullopt;
  if (preparation.precision == Precision::bfloat16 && worth_rounding(*p))
    if (auto narrow = product_by_onednn(preparation, *p, Operands::bfloat16)) return narrow;
  if (preparation.precision != Precision::exact)
    if (auto split = split_matmul(preparation, *p)) return split;
  return worth_packing(*p) ? product_by_onednn(preparation, *p, Operands::float32) : std::nullopt;
}

Kernel with(const Kernel& portable, bool is_dense) {
  Kernel kernel = portable;
  kernel.prepare = [is_dense](const Preparation& preparation) { return prepare(preparation, is_dense); };
  return kernel;
}

}  // namespace

void add_bias(const KernelCall& call) {
  if (call.operands.size() < 3) return;
  const ConstView& added = call.operands[2];
  if (added.dims.empty() && *added.as<float>() == 0) return;
  bias_path.taken();
  float* const sum = call.result.as<float>();
  add(call.result.dims, sum, added.dims, added.as<float>(), call.result.dims, sum);
}

Kernel dense(const Kernel& portable) {
  return with(portable, true);
}
Kernel matmul(const Kernel& portable) {
  return with(portable, false);
}

}  // namespace rulegrad::kernels::onednn
