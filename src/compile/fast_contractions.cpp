#include "compile/fast_contractions.hpp"

#include <algorithm>
#include <string_view>

#include "rulegrad/expr/expr.hpp"
#include "rulegrad/expr/leaves.hpp"

#include "compile/fold.hpp"
#include "passes/support.hpp"

namespace rulegrad {
namespace {

// What a value is asked for.
constexpr std::uint8_t sign = 1;    ///< on which side of 0 it lies
constexpr std::uint8_t zero = 2;    ///< whether it is 0
constexpr std::uint8_t equal_ = 4;  ///< whether it is the same as another value
constexpr std::uint8_t size = 8;    ///< how large it is beside its own error: what is surely not 0

bool any_of_names(Expr e, std::initializer_list<std::string_view> names) {
  return std::any_of(names.begin(), names.end(), [&](std::string_view name) { return e.is(name); });
}

/// Its channels are counted in front of the places that windows go over.
bool is_convolution(Expr e) {
  return e.op().channels && e.op().channels->result == 1;
}
/// Computed from parts of its numbers: what has oneDNN's products behind it (kernels/onednn/split_matmul.hpp).
bool is_split(Expr e) {
  return any_of_names(e, {"dense", "matmul"});
}
/// A bias is an operand that may be left out; without one it is the scalar 0.
bool has_bias(Expr e) {
  return e.op().is(OpClass::affine) && e.op().position_of("b") == std::size_t{2} && e.operands().size() > 2;
}

bool nowhere_zero(const Tensor& values) {
  for (std::int64_t i = 0; i < values.size(); ++i)
    if (values.at(i) == 0) return false;
  return true;
}

}  // namespace

FastContractions::FastContractions(std::span<const Expr> outputs, const Kernels& kernels,
                                   const CompileOptions& options)
    : transforms_(options.transforms), split_products_(options.split_products) {
  const std::vector<Expr> order = topological_order(outputs);
  find_constants(order, kernels);
  for (auto it = order.rbegin(); it != order.rend(); ++it) ask(*it);
  for (const Expr e : order) open_.emplace(e, holds_open_quotient(e));
}

void FastContractions::find_constants(std::span<const Expr> order, const Kernels& kernels) {
  NodeSet biases;
  for (const Expr e : order) {
    const bool leaf = any_of_names(e, {"input", "sample_index", "batch_index"});
    constant_.emplace(e, !leaf && e.shape().static_dims().has_value() &&
                             std::all_of(e.operands().begin(), e.operands().end(),
                                         [&](Expr operand) { return constant_.at(operand); }));
    const auto kernel = kernels.find(e.op().name);
    if (kernel != nullptr && kernel->contraction) {
      contractions_.push_back(e);
      is_contraction_.insert(e);
    }
    if (!has_bias(e) || !constant_.at(e.operand(2))) continue;
    const Expr bias = e.operand(2);
    if (is_constant(bias))
      off_zero_.emplace(bias, nowhere_zero(bias.attributes<ConstantAttributes>().value));
    else
      biases.insert(bias);
  }
  if (biases.empty()) return;
  for (const auto& [bias, value] : fold_constants({order.begin(), order.end()}, biases, kernels,
                                                  {.check_finite = false}, *store_of(order[0].graph())))
    off_zero_.emplace(bias, nowhere_zero(*value->value()));
}

void FastContractions::ask(Expr user) {
  for (std::size_t i = 0; i < user.operands().size(); ++i) {
    const Asked asked = asked_of(user, i);
    if (asked != 0) asked_[user.operand(i)] |= asked;
    // How large a standard deviation is, for one, is off by no more than what it is made of.
    if ((asked & ~size) != 0 || decides_.contains(user)) decides_.insert(user.operand(i));
  }
}

FastContractions::Asked FastContractions::asked_of(Expr user, std::size_t position) {
  const Expr operand = user.operand(position);
  if (constant_.at(operand)) return 0;
  switch (user.op().asks_of(user, position)) {
    case Asks::sign:
      return sign;
    case Asks::zero:
    case Asks::divisor:
      return is_off_zero(operand) ? size : zero;
    case Asks::order:
      return constant_.at(user.operand(1 - position)) ? zero : zero | equal_;
    case Asks::everything:
      return sign | zero | equal_;
    case Asks::nothing:
    case Asks::dividend:
      break;  // whether a quotient is bounded is found out below
  }
  const auto found = asked_.find(user);
  Asked asked = found == asked_.end() ? Asked{0} : found->second;
  if (asked == 0) return 0;
  if (has_bias(user)) {
    const auto off_zero = off_zero_.find(user.operand(2));
    if (off_zero != off_zero_.end() && off_zero->second) asked &= equal_;
  }
  // A sign is kept where it is inferred on the whole way; elsewhere only the values themselves tell it.
  if ((asked & sign) != 0 && !has_sign(user)) asked |= zero;
  // A difference is 0 where its parts are the same.
  const bool difference = user.is("sub") || (any_of_names(user, {"add", "accum"}) &&
                                             std::any_of(user.operands().begin(), user.operands().end(),
                                                         [](Expr e) { return e.is("neg"); }));
  if ((asked & (zero | size)) != 0 && difference) asked |= equal_;
  return asked;
}

/// The answer is inferred: a standard deviation to which something is added, for one.
bool FastContractions::is_off_zero(Expr expr) {
  const Interval interval = intervals_.of(expr);
  return interval.low > 0 || interval.high < 0;
}

bool FastContractions::has_sign(Expr expr) {
  const Interval interval = intervals_.of(expr);
  return interval.low >= 0 || interval.high <= 0;
}

bool FastContractions::allowed(Expr contraction) {
  const bool transformed = is_convolution(contraction);
  if (transformed ? !transforms_ || open_.at(contraction.operand(0))
                  : !split_products_ || !is_split(contraction))
    return false;
  const auto found = asked_.find(contraction);
  const Asked asked = found == asked_.end() ? Asked{0} : found->second;
  // Parts are the same wherever numbers are, and so are sums of their products, whose errors are those of their terms.
  if (transformed && (asked & equal_) != 0) return false;
  const auto bias = has_bias(contraction) ? off_zero_.find(contraction.operand(2)) : off_zero_.end();
  const bool off_zero = bias != off_zero_.end() && bias->second;
  const Asked decides = transformed ? sign | zero | size : sign | zero;
  return (asked & decides) == 0 || off_zero || ((asked & decides & ~sign) == 0 && has_sign(contraction));
}

bool FastContractions::allowed_in_bfloat16(Expr contraction) {
  return !asked_.contains(contraction) && !decides_.contains(contraction) && allowed(contraction);
}

ContractionPrecisions FastContractions::within_parts(Precision wanted) {
  ContractionPrecisions result;
  for (const Expr e : contractions_) {
    if (is_convolution(e) && has_sign(e)) continue;
    if (wanted == Precision::bfloat16 && allowed_in_bfloat16(e))
      result.emplace(e, Precision::bfloat16);
    else if (allowed(e))
      result.emplace(e, Precision::fast);
  }
  return result;
}

bool FastContractions::holds_open_quotient(Expr expr) {
  if (constant_.at(expr) || is_contraction_.contains(expr) || expr.dtype() == DType::boolean) return false;
  if (any_of_names(expr, {"div", "over"}) && !bounded(expr)) return true;
  return std::any_of(expr.operands().begin(), expr.operands().end(),
                     [&](Expr operand) { return open_.at(operand); });
}

bool FastContractions::bounded(Expr quotient) {
  Expr divisor = quotient.operand(1);
  if (divisor.is("stabilize")) divisor = divisor.operand(0);
  if (constant_.at(divisor)) return true;
  return has_factor(quotient.operand(0), [&](Expr f) {
    return f.shape() == divisor.shape() &&
           (f == divisor || is_cut(f, [&](Expr z) { return dominates(divisor, z); }));
  });
}

bool FastContractions::dominates(Expr divisor, Expr z) {
  if (divisor == z) return true;
  if (!is_contraction_.contains(z) || divisor.op().name != z.op().name ||
      divisor.attributes() != z.attributes() || divisor.operand(0) != z.operand(0))
    return false;
  return intervals_.of(z.operand(0)).low >= 0 && at_least(divisor.operand(1), z.operand(1)) &&
         (!has_bias(z) || at_least(divisor.operand(2), z.operand(2)));
}

bool FastContractions::at_least(Expr a, Expr b) {
  if (a == b) return true;
  if (a.is("expand")) return at_least(a.operand(0), b);
  if (a.is("max")) return at_least(a.operand(0), b) || at_least(a.operand(1), b);
  if (!a.is("add")) return false;
  return (at_least(a.operand(0), b) && intervals_.of(a.operand(1)).low >= 0) ||
         (at_least(a.operand(1), b) && intervals_.of(a.operand(0)).low >= 0);
}

}  // namespace rulegrad
