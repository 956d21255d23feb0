#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "rulegrad/attributes.hpp"

namespace rulegrad {

/// Memory of one operand during a kernel call: concrete extents, row-major, contiguous.
struct ConstView {
  DType dtype;
  std::span<const std::int64_t> dims;
  const std::byte* data;

  template <class T>
  [[nodiscard]] const T* as() const { return reinterpret_cast<const T*>(data); }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }
};
struct MutableView {
  DType dtype;
  std::span<const std::int64_t> dims;
  std::byte* data;

  template <class T>
  [[nodiscard]] T* as() const { return reinterpret_cast<T*>(data); }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }
};

struct KernelCall {
  std::span<const ConstView> operands;
  MutableView result;
  const Attributes& attributes;
  std::span<std::byte> scratch;
};

/// How an operator is computed. Sees no sample axis: the executor maps over it.
struct Kernel {
  std::function<void(const KernelCall&)> run;
  /// Bytes of scratch memory a call of these shapes needs; empty: none.
  std::function<std::size_t(std::span<const ConstView> operands, const MutableView& result, const Attributes&)> scratch;
  /// The result may be written over an operand of the same size and dtype (elementwise kernels).
  bool in_place = false;
  /// A convolution or matrix product: counted by stats, checked for finite results.
  bool contraction = false;
};

/// The portable kernel of an operator; throws Error(unknown_name) if there is none.
[[nodiscard]] const Kernel& portable_kernel(std::string_view operator_name);
[[nodiscard]] bool has_portable_kernel(std::string_view operator_name);

}  // namespace rulegrad
