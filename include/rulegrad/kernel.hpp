#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/schema.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// Memory of one operand during a kernel call: concrete extents, row-major, contiguous.
struct ConstView {
  DType dtype;
  std::span<const std::int64_t> dims;
  const std::byte* data;

  template <class T>
  [[nodiscard]] const T* as() const {
    return reinterpret_cast<const T*>(data);
  }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }
};
struct MutableView {
  DType dtype;
  std::span<const std::int64_t> dims;
  std::byte* data;

  template <class T>
  [[nodiscard]] T* as() const {
    return reinterpret_cast<T*>(data);
  }
  [[nodiscard]] std::int64_t count() const { return element_count(dims); }
};

struct KernelCall {
  std::span<const ConstView> operands;
  MutableView result;
  const Attributes& attributes;
  std::span<std::byte> scratch;
};

/// Where element i of a result looks for what it needs: tells the executor what it may do around a kernel.
enum class Access : std::uint8_t {
  any,          ///< anywhere
  elementwise,  ///< at element i of operands that all have the shape of the result
  broadcast,    ///< the same after NumPy broadcasting to the result: operands may be smaller than the graph
                ///< says
};

/// How an operator is computed. It sees no sample axis: the executor maps over it.
struct Kernel {
  std::function<void(const KernelCall&)> run;
  /// Bytes of scratch memory a call of these shapes needs (its data pointers are null); empty: none.
  std::function<std::size_t(const KernelCall& shapes)> scratch;
  Access access = Access::any;
  /// The result may be written over an operand of its own shape and dtype that nobody reads later.
  bool in_place = false;
  /// A convolution or matrix product: counted by stats, checked for finite results.
  bool contraction = false;
  /// True if the result has the elements of operand 0 in the same order and may share its memory; empty:
  /// never.
  std::function<bool(std::span<const Type> operands, const Type& result, const Attributes&)> same_elements;
  /// The operands whose entries along axis 0 give the entries of the result along its axis 0, each for
  /// itself, while all other operands are shared: a batch. Samples of such a call are one larger batch. Empty
  /// or no operand: none.
  std::function<std::vector<std::size_t>(std::span<const Type> operands, const Type& result,
                                         const Attributes&)>
      rows;
};

/// Kernels by operator name: the portable ones, and whatever a program puts into a copy of its own (kernels
/// for operators it added, faster ones for some).
class Kernels {
 public:
  /// The kernels that ship and run everywhere.
  [[nodiscard]] static const Kernels& portable();

  /// Adds or replaces the kernel of an operator.
  void set(std::string operator_name, Kernel kernel);
  /// Null if there is none.
  [[nodiscard]] std::shared_ptr<const Kernel> find(std::string_view operator_name) const;
  /// Throws Error(unknown_name) if there is none.
  [[nodiscard]] std::shared_ptr<const Kernel> at(std::string_view operator_name) const;
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, std::shared_ptr<const Kernel>, std::less<>> by_name_;
};

}  // namespace rulegrad
