#pragma once

#include <algorithm>
#include <span>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"
#include "rulegrad/ops/operators.hpp"

#include "ops/infer.hpp"

/// Operators of a test's own, with kernels that are plain loops over float32: what a user who adds operators
/// writes, and one of each kind the executor treats differently.
namespace toy {

using rulegrad::Access;
using rulegrad::Attributes;
using rulegrad::ConstView;
using rulegrad::Dim;
using rulegrad::Kernel;
using rulegrad::KernelCall;
using rulegrad::OpSchema;
using rulegrad::Shape;
using rulegrad::Type;

inline OpSchema schema(std::string name, std::vector<rulegrad::OperandSpec> operands,
                       rulegrad::infer::Inference infer) {
  OpSchema s;
  s.name = std::move(name);
  s.operands = std::move(operands);
  s.infer = std::move(infer);
  return s;
}

/// The element of an operand that NumPy broadcasting pairs with element `flat` of the result.
inline float paired(const ConstView& operand, std::span<const std::int64_t> result, std::int64_t flat) {
  std::int64_t at = 0, step = 1;
  for (std::size_t back = 1; back <= result.size(); ++back) {
    const std::int64_t extent = result[result.size() - back], index = flat % extent;
    flat /= extent;
    if (back > operand.dims.size()) continue;
    const std::int64_t own = operand.dims[operand.dims.size() - back];
    if (own != 1) at += index * step;
    step *= own;
  }
  return operand.as<float>()[at];
}

template <class F>
Kernel broadcasting(F f) {
  Kernel kernel;
  kernel.access = Access::broadcast;
  kernel.in_place = true;
  kernel.run = [f](const KernelCall& call) {
    for (std::int64_t i = 0; i < call.result.count(); ++i)
      call.result.as<float>()[i] =
          f(paired(call.operands[0], call.result.dims, i), paired(call.operands[1], call.result.dims, i));
  };
  return kernel;
}

struct Toys {
  rulegrad::Operators operators;
  rulegrad::Kernels kernels = rulegrad::Kernels::portable();

  Toys() {
    operators.add(schema("mul", {{"a"}, {"b"}}, rulegrad::infer::broadcasting("mul")));
    kernels.set("mul", broadcasting([](float a, float b) { return a * b; }));
    operators.add(schema("sub", {{"a"}, {"b"}}, rulegrad::infer::broadcasting("sub")));
    kernels.set("sub", broadcasting([](float a, float b) { return a - b; }));

    operators.add(schema("half", {{"x"}}, rulegrad::infer::same_as_first("half")));
    Kernel half;
    half.access = Access::elementwise;
    half.in_place = true;
    half.run = [](const KernelCall& call) {
      for (std::int64_t i = 0; i < call.result.count(); ++i)
        call.result.as<float>()[i] = call.operands[0].as<float>()[i] / 2;
    };
    kernels.set("half", half);

    // y = x read backwards: in place it would be wrong, sample axes must not be merged.
    operators.add(schema("flip", {{"x"}}, rulegrad::infer::same_as_first("flip")));
    Kernel flip;
    flip.run = [](const KernelCall& call) {
      const std::int64_t n = call.result.count();
      for (std::int64_t i = 0; i < n; ++i)
        call.result.as<float>()[i] = call.operands[0].as<float>()[n - 1 - i];
    };
    kernels.set("flip", flip);

    // [r, k] and [c, k] give [r, c], through scratch memory of the result's size.
    operators.add(schema("dot", {{"a"}, {"b"}}, [](std::span<const Type> t, const Attributes&) {
      if (t[0].shape[1] != t[1].shape[1]) rulegrad::infer::fail("dot", "inner extents differ");
      return Type{t[0].dtype, Shape{t[0].shape[0], t[1].shape[0]}};
    }));
    Kernel dot;
    dot.contraction = true;
    dot.rows = [](std::span<const Type>, const Type&, const Attributes&) {
      return std::vector<std::size_t>{0};
    };
    dot.scratch = [](const KernelCall& shapes) {
      return static_cast<std::size_t>(shapes.result.count()) * sizeof(float);
    };
    dot.run = [](const KernelCall& call) {
      const ConstView &a = call.operands[0], &b = call.operands[1];
      auto* sums = reinterpret_cast<float*>(call.scratch.data());
      for (std::int64_t r = 0; r < a.dims[0]; ++r)
        for (std::int64_t c = 0; c < b.dims[0]; ++c) {
          float& sum = sums[r * b.dims[0] + c] = 0;
          for (std::int64_t k = 0; k < a.dims[1]; ++k)
            sum += a.as<float>()[r * a.dims[1] + k] * b.as<float>()[c * a.dims[1] + k];
        }
      std::copy_n(sums, call.result.count(), call.result.as<float>());
    };
    kernels.set("dot", dot);

    // The same elements as one row.
    operators.add(schema("flat", {{"x"}}, [](std::span<const Type> t, const Attributes&) {
      return Type{t[0].dtype, Shape{Dim{1}, t[0].shape.count()}};
    }));
    Kernel flat;
    flat.same_elements = [](std::span<const Type>, const Type&, const Attributes&) { return true; };
    flat.run = [](const KernelCall& call) {
      std::copy_n(call.operands[0].as<float>(), call.result.count(), call.result.as<float>());
    };
    kernels.set("flat", flat);
  }

  [[nodiscard]] const OpSchema& op(std::string_view name) const {
    const OpSchema* own = operators.find(name);
    return own != nullptr ? *own : rulegrad::op(name);
  }
};

}  // namespace toy
