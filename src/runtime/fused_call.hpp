#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "rulegrad/kernel.hpp"

namespace rulegrad {

/// Operations that work element by element over the same extents, in order. Each reads operands of the whole group or results of
/// operations before it.
struct FusedGroup {
  /// Operand k of the group, or, from `operand_count` on, the result of operation k - operand_count.
  using Reads = std::vector<std::uint32_t>;
  struct Operation {
    std::shared_ptr<const Kernel> kernel;
    Attributes attributes;
    DType dtype;
    Reads reads;
  };
  std::size_t operand_count = 0;
  std::vector<Operation> operations;
  std::vector<std::uint32_t> results;         ///< the operations whose results are written
  std::vector<std::uint32_t> looked_through;  ///< operands that are tested for values that are not finite
};

/// What a fused call throws when an operand that it looks through is not finite: the first place of one, as the memory lies.
struct NonFiniteOperand {
  std::size_t operand;
  std::int64_t position;
  double value;
};

/// A group made ready for operands of given extents: it goes over all of them in tiles that stay in the nearest cache, and calls the
/// kernel of each operation for a tile. What only operations of the group read is never written to memory. The bits are those of
/// the operations one by one.
class FusedCall {
 public:
  /// Data pointers of `shapes` may be null.
  FusedCall(std::shared_ptr<const FusedGroup> group, const KernelCall& shapes);
  void run(const KernelCall& call) const;

 private:
  class Tiles;
  /// How an operand is spread over the result.
  enum class Form : std::uint8_t { whole, number, spread };

  void place_results();

  std::shared_ptr<const FusedGroup> group_;
  std::int64_t count_;
  std::vector<Form> forms_;
  std::vector<Dims> dims_;             // of spread operands
  Dims result_dims_;
  std::vector<std::uint32_t> slots_;   // by operand and operation: the tile of the cache it lies in
  std::size_t slot_count_ = 0;
};

/// A kernel that runs the group; each of its results has the extents of all.
[[nodiscard]] Kernel fused_kernel(FusedGroup group);

}  // namespace rulegrad
