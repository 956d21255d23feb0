#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad {

/// Operations that work element by element over the same extents, in order, or on one row after the other:
/// reductions of rows, and what works on their results. Each reads operands of the whole group or results of
/// operations before it.
struct FusedGroup {
  /// Operand k of the group, or, from `operands` on, the result of operation k - operands.size().
  using Reads = std::vector<std::uint32_t>;
  /// How a value lies over the elements of the group: one for each, or one for each row.
  struct Place {
    bool per_row = false;
    std::size_t rank = 0;  ///< of a value for each row: the axes of the rows, and more of extent 1
    friend auto operator<=>(const Place&, const Place&) = default;
  };
  struct Operation {
    std::shared_ptr<const Kernel> kernel;
    Attributes attributes;
    DType dtype;
    Reads reads;
    Place place = {};  ///< of the result
  };
  /// Where operations go by rows: how many axes stand before them, and the extents of a row.
  struct Rows {
    std::size_t axes = 0;
    Dims extents;
  };
  std::optional<Rows> rows;
  std::vector<Place> operands;  ///< as those lie that read them: operands may be broadcast to it
  std::vector<Operation> operations;
  std::vector<std::uint32_t> results;         ///< the operations whose results are written
  std::vector<std::uint32_t> looked_through;  ///< operands that are tested for values that are not finite
};

/// What a fused call throws when an operand that it looks through is not finite: the first place of one, as
/// the memory lies.
struct NonFiniteOperand {
  std::size_t operand;
  std::int64_t position;
  double value;
};

/// A group made ready for operands of given extents: it goes over all of them in tiles that stay in the
/// nearest cache, of whole rows where there are such, and calls the kernel of each operation for a tile. What
/// only operations of the group read is never written to memory. The bits are those of the operations one by
/// one.
class FusedCall {
 public:
  /// Data pointers of `shapes` may be null.
  FusedCall(std::shared_ptr<const FusedGroup> group, const KernelCall& shapes);
  void run(const KernelCall& call) const;

 private:
  class Tiles;

  [[nodiscard]] Dims dims_of(Dims leading, FusedGroup::Place place) const;
  void place_results();

  std::shared_ptr<const FusedGroup> group_;
  Dims leading_;                      // the axes before the rows, or all axes
  std::int64_t rows_, row_size_ = 1;  // without rows, each element is one
  std::int64_t tile_rows_;
  std::vector<Dims> dims_, targets_;  // of operands, and what they are spread over
  std::vector<bool> is_spread_;
  std::vector<std::uint32_t> slots_;  // by operand and operation: the tile of the cache it lies in
  std::size_t slot_count_ = 0;
};

/// Elements of the longest row that operations share tiles of.
inline constexpr std::int64_t longest_fused_row = 16384;

/// Whether the paths of such calls, and of calls of rows, are open.
[[nodiscard]] bool fuses();
[[nodiscard]] bool fuses_rows();

/// A kernel that runs the group.
[[nodiscard]] Kernel fused_kernel(FusedGroup group);

}  // namespace rulegrad
