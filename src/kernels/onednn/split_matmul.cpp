#include "kernels/onednn/split_matmul.hpp"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "kernels/kernel_paths.hpp"
#include "kernels/onednn/call.hpp"
#include "kernels/onednn/version.hpp"
#include "kernels/product/split.hpp"
#include "kernels/product/sweep.hpp"

namespace rulegrad::kernels::onednn {
namespace {

// Stays: it is what `--precision fast` asks for.
const KernelPath path("matmul: oneDNN, parts of bfloat16");

using dnnl::memory;

/// Below so many products, splitting the operand takes as long as what it saves.
constexpr std::int64_t least_products = 1 << 22;
/// So many rows at once: their parts stay in the second cache. With eight times as many a product took half as long
/// again; blocks of columns, which would keep the weight there too, gain nothing.
constexpr std::int64_t most_rows = 128;

struct WeightParts {
  memory high, low;
};

/// The parts of a weight, in the layout that a primitive wants.
struct SplitPacking {
  memory::desc given, wanted;

  friend bool operator==(const SplitPacking&, const SplitPacking&) = default;
  [[nodiscard]] ConstantForm make(const ConstView& constant) const {
    memory high(given, engine()), low(given, engine());
    const auto bits = [](const memory& m) { return static_cast<std::uint16_t*>(m.get_data_handle()); };
    split(static_cast<std::int64_t>(given.get_size() / sizeof(std::uint16_t)), constant.as<float>(),
          bits(high), bits(low));
    auto parts =
        std::make_shared<WeightParts>(WeightParts{memory(wanted, engine()), memory(wanted, engine())});
    dnnl::reorder(high, parts->high).execute(stream(), high, parts->high);
    dnnl::reorder(low, parts->low).execute(stream(), low, parts->low);
    stream().wait();
    return {std::move(parts), 2 * wanted.get_size()};
  }
};

/// The products of so many rows: y = x w + bias, and y += x w.
struct Rows {
  std::int64_t count;
  ConvPrimitive first, more;
};

std::optional<Rows> make_rows(std::int64_t count, const Product& p, const memory::desc& w,
                              const memory::desc& bias) {
  const memory::desc x({count, p.depth}, memory::data_type::bf16, memory::format_tag::ab);
  const memory::desc y = array_desc({count, p.columns}, 0);
  const auto on_units = [](const std::optional<ConvPrimitive>& made) {
    return made && made->implementation.find("amx") != std::string::npos;
  };
  auto first = make_matmul(engine(), x, w, bias, y);
  if (!on_units(first)) return std::nullopt;
  auto more = make_matmul(engine(), x, first->w, memory::desc(), y, Into::sum);
  return on_units(more) ? std::optional(Rows{count, std::move(*first), std::move(*more)}) : std::nullopt;
}

class SplitMatmul {
 public:
  /// `rows`: as many as are taken at once, and the last ones if those are fewer.
  SplitMatmul(const Product& product, std::vector<Rows> rows, memory::desc bias,
              std::shared_ptr<const WeightParts> weight)
      : product_(product), rows_(std::move(rows)), bias_(std::move(bias)), weight_(std::move(weight)) {
    const auto values = static_cast<std::size_t>(rows_[0].count * product.depth);
    part_bytes_ = (values * sizeof(std::uint16_t) + 63) / 64 * 64;
    for (const Rows& rows_of : rows_)
      pad_bytes_ =
          std::max({pad_bytes_, rows_of.first.scratchpad.get_size(), rows_of.more.scratchpad.get_size()});
  }

  [[nodiscard]] std::size_t scratch_bytes() const { return 2 * part_bytes_ + pad_bytes_; }

  void run(const KernelCall& call) const {
    path.taken();
    auto* const high = reinterpret_cast<std::uint16_t*>(call.scratch.data());
    auto* const low = reinterpret_cast<std::uint16_t*>(call.scratch.data() + part_bytes_);
    for (std::int64_t row = 0; row < product_.rows; row += rows_[0].count) {
      const Rows& rows = product_.rows - row >= rows_[0].count ? rows_[0] : rows_.back();
      split(rows.count * product_.depth, call.operands[0].as<float>() + row * product_.depth, high, low);
      float* const y = call.result.as<float>() + row * product_.columns;
      multiply(rows.first, high, weight_->high, y, call, product_.biased);
      multiply(rows.more, low, weight_->high, y, call, false);
      multiply(rows.more, high, weight_->low, y, call, false);
    }
    stream().wait();
    if (!product_.biased) add_bias(call);
  }

 private:
  void multiply(const ConvPrimitive& primitive, const std::uint16_t* x, const memory& w, const float* y,
                const KernelCall& call, bool biased) const {
    const auto at = [](const memory::desc& desc, const void* data) {
      // oneDNN takes what it reads by pointers that are not to constants.
      return memory(desc, engine(), const_cast<void*>(data));
    };
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, at(primitive.x, x)},
        {DNNL_ARG_WEIGHTS, w},
        {DNNL_ARG_DST, at(primitive.y, y)},
        {DNNL_ARG_SCRATCHPAD, at(primitive.scratchpad, call.scratch.data() + 2 * part_bytes_)}};
    if (biased) arguments.emplace(DNNL_ARG_BIAS, at(bias_, call.operands[2].data));
    primitive.primitive.execute(stream(), arguments);
  }

  Product product_;
  std::vector<Rows> rows_;
  memory::desc bias_;
  std::shared_ptr<const WeightParts> weight_;
  std::size_t part_bytes_ = 0, pad_bytes_ = 0;
};

}  // namespace

std::optional<PreparedCall> split_matmul(const Preparation& preparation, const Product& p) {
  if (!path.open() || !preparation.constants.is_constant(1) || p.rows <= thin_rows ||
      p.columns <= thin_rows || p.rows * p.columns * p.depth < least_products)
    return std::nullopt;
  using tag = memory::format_tag;
  const auto weight_desc = [&](tag layout) {
    return memory::desc({p.depth, p.columns}, memory::data_type::bf16, layout);
  };
  memory::desc bias = p.biased ? array_desc({1, p.columns}, 0) : memory::desc();
  auto whole = make_rows(std::min(p.rows, most_rows), p, weight_desc(tag::any), bias);
  if (!whole) return std::nullopt;
  std::vector<Rows> rows{std::move(*whole)};
  if (const std::int64_t left = p.rows % rows[0].count; left != 0) {
    auto last = make_rows(left, p, rows[0].first.w, bias);
    if (!last) return std::nullopt;
    rows.push_back(std::move(*last));
  }
  std::string implementation = "split:" + rows[0].first.implementation;
  auto weight = std::static_pointer_cast<const WeightParts>(preparation.constants.form(
      1, SplitPacking{weight_desc(p.transposed ? tag::ba : tag::ab), rows[0].first.w}));
  auto product = std::make_shared<const SplitMatmul>(p, std::move(rows), std::move(bias), std::move(weight));
  const std::size_t scratch = product->scratch_bytes();
  return PreparedCall{
      [product](const KernelCall& call) { product->run(call); }, scratch, std::move(implementation), {1}};
}

}  // namespace rulegrad::kernels::onednn
