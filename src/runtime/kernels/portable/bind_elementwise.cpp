#include <algorithm>
#include <array>
#include <vector>

#include "runtime/kernels/portable/bind.hpp"
#include "runtime/kernels/portable/elementwise.hpp"
#include "runtime/kernels/portable/elementwise_loops.hpp"
#include "runtime/kernels/portable/parallel.hpp"

namespace rulegrad::kernels {
namespace {

/// Functions of one value without constants.
constexpr std::pair<const char*, Unary> plain[] = {{"relu", Unary::relu},
                                                   {"silu", Unary::silu},
                                                   {"sigmoid", Unary::sigmoid},
                                                   {"tanh", Unary::tanh},
                                                   {"softplus", Unary::softplus},
                                                   {"hardswish", Unary::hardswish},
                                                   {"erf", Unary::erf},
                                                   {"exp", Unary::exp},
                                                   {"log", Unary::log},
                                                   {"sqrt", Unary::sqrt},
                                                   {"abs", Unary::abs},
                                                   {"neg", Unary::neg},
                                                   {"sign", Unary::sign},
                                                   {"reciprocal", Unary::reciprocal},
                                                   {"floor", Unary::floor},
                                                   {"ceil", Unary::ceil},
                                                   {"round", Unary::round},
                                                   {"round_through", Unary::round},
                                                   {"sin", Unary::sin},
                                                   {"cos", Unary::cos},
                                                   {"tan", Unary::tan},
                                                   {"asin", Unary::asin},
                                                   {"acos", Unary::acos},
                                                   {"atan", Unary::atan},
                                                   {"sinh", Unary::sinh},
                                                   {"cosh", Unary::cosh},
                                                   {"asinh", Unary::asinh},
                                                   {"acosh", Unary::acosh},
                                                   {"atanh", Unary::atanh}};

constexpr std::pair<const char*, Binary> binaries[] = {
    {"add", Binary::add}, {"sub", Binary::sub}, {"mul", Binary::mul},
    {"div", Binary::div}, {"pow", Binary::pow}, {"max", Binary::max},
    {"min", Binary::min}, {"mod", Binary::mod}, {"over", Binary::over}};

constexpr std::pair<const char*, Comparison> comparisons[] = {
    {"less", Comparison::less},       {"less_equal", Comparison::less_equal},
    {"greater", Comparison::greater}, {"greater_equal", Comparison::greater_equal},
    {"equal", Comparison::equal},     {"not_equal", Comparison::not_equal}};

constexpr std::pair<const char*, Logical> logicals[] = {{"logical_and", Logical::logical_and},
                                                        {"logical_or", Logical::logical_or}};

/// The operands are added in their order, element by element, so that the result may lie over any of them.
template <class T>
void accumulate(const KernelCall& call) {
  constexpr std::int64_t piece = 512;
  std::vector<const T*> operands;
  for (const ConstView& operand : call.operands) operands.push_back(operand.as<T>());
  T* const y = call.result.as<T>();
  parallel_chunks(call.result.count(), kGrain, [&](std::int64_t begin, std::int64_t end) {
    std::array<T, piece> sum;
    for (std::int64_t at = begin; at < end; at += piece) {
      const std::int64_t length = std::min(piece, end - at);
      std::copy_n(operands[0] + at, length, sum.data());
      for (std::size_t k = 1; k < operands.size(); ++k)
        for (std::int64_t i = 0; i < length; ++i)
          sum[static_cast<std::size_t>(i)] =
              static_cast<T>(sum[static_cast<std::size_t>(i)] + operands[k][at + i]);
      std::copy_n(sum.data(), length, y + at);
    }
  });
}

void run_unary(Unary op, UnaryParameters parameters, const KernelCall& call) {
  arithmetic(call.result.dtype, [&]<class T>(T) {
    unary(op, parameters, call.result.count(), call.operands[0].as<T>(), call.result.as<T>());
  });
}

}  // namespace

void bind_elementwise(Kernels& all) {
  for (const auto& [name, op] : plain)
    all.set(name,
            elementwise(Access::elementwise, [op = op](const KernelCall& call) { run_unary(op, {}, call); }));
  for (const auto& [name, op] : binaries)
    all.set(name, elementwise(Access::broadcast, [op = op](const KernelCall& call) {
              const ConstView &a = call.operands[0], &b = call.operands[1];
              arithmetic(call.result.dtype, [&]<class T>(T) {
                binary(op, a.dims, a.as<T>(), b.dims, b.as<T>(), call.result.dims, call.result.as<T>());
              });
            }));
  for (const auto& [name, op] : comparisons)
    all.set(name, elementwise(Access::broadcast, [op = op](const KernelCall& call) {
              const ConstView &a = call.operands[0], &b = call.operands[1];
              dispatch(a.dtype, [&]<class T>(T) {
                compare(op, a.dims, a.as<T>(), b.dims, b.as<T>(), call.result.dims, call.result.as<bool>());
              });
            }));
  for (const auto& [name, op] : logicals)
    all.set(name, elementwise(Access::broadcast, [op = op](const KernelCall& call) {
              const ConstView &a = call.operands[0], &b = call.operands[1];
              logical(op, a.dims, a.as<bool>(), b.dims, b.as<bool>(), call.result.dims,
                      call.result.as<bool>());
            }));
  all.set("logical_not", elementwise(Access::elementwise, [](const KernelCall& call) {
            logical_not(call.result.count(), call.operands[0].as<bool>(), call.result.as<bool>());
          }));
  all.set("where", elementwise(Access::broadcast, [](const KernelCall& call) {
            const ConstView &condition = call.operands[0], &a = call.operands[1], &b = call.operands[2];
            dispatch(call.result.dtype, [&]<class T>(T) {
              where(condition.dims, condition.as<bool>(), a.dims, a.as<T>(), b.dims, b.as<T>(),
                    call.result.dims, call.result.as<T>());
            });
          }));
  all.set("prelu", elementwise(Access::broadcast, [](const KernelCall& call) {
            const ConstView &x = call.operands[0], &slope = call.operands[1];
            floating(call.result.dtype, [&]<class T>(T) {
              const auto leaky = [](T value, T factor) { return value < T(0) ? factor * value : value; };
              map_broadcast(leaky, x.dims, x.as<T>(), slope.dims, slope.as<T>(), call.result.dims,
                            call.result.as<T>());
            });
          }));
  all.set("stabilize", elementwise(Access::broadcast, [](const KernelCall& call) {
            const ConstView &z = call.operands[0], &epsilon = call.operands[1];
            floating(call.result.dtype, [&]<class T>(T) {
              const auto stabilized = [](T value, T eps) { return value + (value < T(0) ? -eps : eps); };
              map_broadcast(stabilized, z.dims, z.as<T>(), epsilon.dims, epsilon.as<T>(), call.result.dims,
                            call.result.as<T>());
            });
          }));
  Kernel accum = elementwise(Access::elementwise, [](const KernelCall& call) {
    arithmetic(call.result.dtype, [&]<class T>(T) { accumulate<T>(call); });
  });
  accum.same_elements = [](std::span<const Type> operands, const Type&, const Attributes&) {
    return operands.size() == 1;
  };
  all.set("accum", std::move(accum));
}

}  // namespace rulegrad::kernels
