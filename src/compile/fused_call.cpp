#include "compile/fused_call.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

#include "kernels/common/parallel.hpp"
#include "kernels/common/strided_walk.hpp"
#include "kernels/common/words.hpp"
#include "kernels/finite.hpp"
#include "kernels/kernel_paths.hpp"

namespace rulegrad {

using kernels::DimsView;

namespace {

// Stays: fused calls are a pass of the compiler that saves memory (CompileOptions::fuse); 1.13 times as long without.
const KernelPath tiles_path("fused: tiles");
// Stays: as above, for rows; 1.06 times as long without.
const KernelPath rows_path("fused: tiles of rows");
// Only counted: kernels want an operand for each element.
const KernelPath spread_path("fused: an operand is spread", KernelPath::Choice::only);

/// Elements of a tile: a handful of them fit into the nearest cache, and a call of a kernel costs little
/// beside them.
constexpr std::int64_t tile = 2048;
constexpr std::uint32_t no_slot = ~std::uint32_t{0};
constexpr std::size_t alignment = 64;

/// The elements [begin, end) of an array that is broadcast to `out`, one after the other.
void spread(DimsView out, DimsView dims, const ConstView& from, std::int64_t begin, std::int64_t end,
            std::byte* to) {
  const auto walk = kernels::broadcast_walk<1>(out, {dims});
  kernels::with_word(size_of(from.dtype), [&]<class W>(W) {
    const auto* const x = reinterpret_cast<const W*>(from.data);
    auto* const y = reinterpret_cast<W*>(to);
    const bool moves = walk.stride[0][walk.rank - 1] != 0;
    kernels::for_each_row(
        walk, begin, end,
        [&](std::int64_t at, std::int64_t length, const std::array<std::int64_t, 1>& offset) {
          if (moves)
            std::copy_n(x + offset[0], length, y + (at - begin));
          else
            std::fill_n(y + (at - begin), length, x[offset[0]]);
        });
  });
}

double value_at(const ConstView& view, std::int64_t position) {
  return dispatch(view.dtype, [&]<class T>(T) { return static_cast<double>(view.as<T>()[position]); });
}

/// The first failure of several threads, told once all are done.
class Failures {
 public:
  void keep(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  void keep(std::size_t operand, std::int64_t position, double value) {
    const std::lock_guard lock(mutex_);
    if (!found_ || std::pair(operand, position) < std::pair(found_->operand, found_->position))
      found_ = {operand, position, value};
  }
  void tell() const {
    if (found_) throw NonFiniteOperand(*found_);
    if (error_) std::rethrow_exception(error_);
  }

 private:
  std::mutex mutex_;
  std::exception_ptr error_;
  std::optional<NonFiniteOperand> found_;
};

}  // namespace

/// The tiles of one thread.
class FusedCall::Tiles {
 public:
  Tiles(const FusedCall& fused, const KernelCall& call, Failures& failures)
      : fused_(fused),
        group_(*fused.group_),
        call_(call),
        failures_(failures),
        slot_bytes_(static_cast<std::size_t>(fused.tile_rows_ * fused.row_size_) * sizeof(double)) {
    for (const FusedGroup::Operation& operation : group_.operations) reads_ += operation.reads.size();
    const std::size_t buffers = fused.slot_count_ + group_.results.size();
    memory_.reset(
        static_cast<std::byte*>(::operator new[](buffers* slot_bytes_, std::align_val_t{alignment})));
    make_dims();
    values_.resize(operand_count() + group_.operations.size());
    for (std::size_t k = 0; k < operand_count(); ++k) {
      values_[k] = {call.operands[k].dtype, tile_dims(group_.operands[k]), call.operands[k].data};
    }
    for (std::size_t i = 0; i < group_.operations.size(); ++i) {
      const std::uint32_t slot = fused.slots_[operand_count() + i];
      const FusedGroup::Operation& operation = group_.operations[i];
      values_[operand_count() + i] = {operation.dtype, tile_dims(operation.place),
                                      slot == no_slot ? nullptr : buffer(slot)};
    }
    for (std::size_t r = 0; r < group_.results.size(); ++r) in_buffer_.push_back(would_be_read_later(r));
  }

  void run(std::int64_t begin, std::int64_t end) {
    if (!group_.rows || group_.rows->axes > 0)
      for (Dims& dims : dims_) dims[0] = end - begin;
    for (std::size_t k = 0; k < operand_count(); ++k) {
      const ConstView& operand = call_.operands[k];
      const std::int64_t size = elements(group_.operands[k]);
      if (!fused_.is_spread_[k]) {
        values_[k].data = operand.data + static_cast<std::size_t>(begin * size) * size_of(operand.dtype);
      } else {
        std::byte* const to = buffer(fused_.slots_[k]);
        spread(fused_.targets_[k], fused_.dims_[k], operand, begin * size, end * size, to);
        values_[k].data = to;
      }
    }
    for (const std::uint32_t k : group_.looked_through)
      if (const auto at =
              first_non_finite(values_[k].dtype, values_[k].data, (end - begin) * fused_.row_size_))
        failures_.keep(k, begin * fused_.row_size_ + *at, value_at(values_[k], *at));
    for (std::size_t r = 0; r < group_.results.size(); ++r)
      values_[operand_count() + group_.results[r]].data =
          in_buffer_[r] ? buffer(fused_.slot_count_ + r) : result(r, begin);
    compute();
    for (std::size_t r = 0; r < group_.results.size(); ++r)
      if (in_buffer_[r])
        std::memcpy(result(r, begin), buffer(fused_.slot_count_ + r),
                    static_cast<std::size_t>((end - begin) * elements(place(r))) * size_of(view(r).dtype));
  }

 private:
  struct Free {
    void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{alignment}); }
  };

  std::size_t operand_count() const { return group_.operands.size(); }
  /// Of a row.
  std::int64_t elements(FusedGroup::Place place) const { return place.per_row ? 1 : fused_.row_size_; }

  /// The extents of tiles by place: of all elements, and of a value for each row by its rank. The axes before
  /// the rows become one and others of extent 1.
  void make_dims() {
    const Dims leading = group_.rows ? Dims(group_.rows->axes, 1) : Dims{1};
    dims_.push_back(fused_.dims_of(leading, {}));
    if (!group_.rows) return;
    for (std::size_t more = 0; more <= group_.rows->extents.size(); ++more)
      dims_.push_back(fused_.dims_of(leading, {true, leading.size() + more}));
  }
  DimsView tile_dims(FusedGroup::Place place) const {
    return dims_[place.per_row ? place.rank - group_.rows->axes + 1 : 0];
  }

  std::byte* buffer(std::size_t slot) const { return memory_.get() + slot * slot_bytes_; }
  const MutableView& view(std::size_t r) const { return r == 0 ? call_.result : call_.others[r - 1]; }
  FusedGroup::Place place(std::size_t r) const { return group_.operations[group_.results[r]].place; }
  std::byte* result(std::size_t r, std::int64_t begin) const {
    return view(r).data + static_cast<std::size_t>(begin * elements(place(r))) * size_of(view(r).dtype);
  }

  /// True if a result lies over an operand that the group reads once more behind it, or while it is written
  /// by a kernel that may not work in place.
  bool would_be_read_later(std::size_t r) const {
    const std::uint32_t written = group_.results[r];
    for (std::size_t k = 0; k < operand_count(); ++k) {
      if (call_.operands[k].data != view(r).data) continue;
      for (std::uint32_t i = written; i < group_.operations.size(); ++i) {
        const auto& reads = group_.operations[i].reads;
        if (i == written && group_.operations[i].kernel->in_place) continue;
        if (std::find(reads.begin(), reads.end(), k) != reads.end()) return true;
      }
    }
    return false;
  }

  void compute() {
    operands_.reserve(reads_);
    for (std::size_t i = 0; i < group_.operations.size(); ++i) {
      const FusedGroup::Operation& operation = group_.operations[i];
      operands_.clear();
      for (const std::uint32_t k : operation.reads) operands_.push_back(values_[k]);
      const ConstView& to = values_[operand_count() + i];
      operation.kernel->run(
          {operands_, {to.dtype, to.dims, const_cast<std::byte*>(to.data)}, operation.attributes, {}});
    }
  }

  const FusedCall& fused_;
  const FusedGroup& group_;
  const KernelCall& call_;
  Failures& failures_;
  std::size_t slot_bytes_, reads_ = 0;
  std::unique_ptr<std::byte[], Free> memory_;
  std::vector<Dims> dims_;
  std::vector<ConstView> values_, operands_;
  std::vector<bool> in_buffer_;
};

FusedCall::FusedCall(std::shared_ptr<const FusedGroup> group, const KernelCall& shapes)
    : group_(std::move(group)) {
  const auto first = shapes.result.dims;
  leading_.assign(first.begin(), group_->rows
                                     ? first.begin() + static_cast<std::ptrdiff_t>(group_->rows->axes)
                                     : first.end());
  rows_ = element_count(leading_);
  if (group_->rows) row_size_ = element_count(group_->rows->extents);
  tile_rows_ = std::max<std::int64_t>(1, tile / row_size_);
  for (std::size_t k = 0; k < group_->operands.size(); ++k) {
    const ConstView& operand = shapes.operands[k];
    dims_.emplace_back(operand.dims.begin(), operand.dims.end());
    targets_.push_back(dims_of(leading_, group_->operands[k]));
    const std::int64_t all = group_->operands[k].per_row ? rows_ : rows_ * row_size_;
    is_spread_.push_back(operand.count() != all);
  }
  place_results();
}

/// The extents of a value that lies there, with those before the rows.
Dims FusedCall::dims_of(Dims leading, FusedGroup::Place place) const {
  if (place.per_row)
    leading.resize(place.rank, 1);
  else if (group_->rows)
    leading.insert(leading.end(), group_->rows->extents.begin(), group_->rows->extents.end());
  return leading;
}

/// Tiles of the cache are used again as soon as nothing of the group reads them.
void FusedCall::place_results() {
  const std::size_t operands = group_->operands.size(), all = operands + group_->operations.size();
  std::vector<std::size_t> last(all, 0);
  for (std::size_t i = 0; i < group_->operations.size(); ++i)
    for (const std::uint32_t k : group_->operations[i].reads) last[k] = i;
  std::vector<std::uint32_t> free;
  const auto take = [&]() -> std::uint32_t {
    if (free.empty()) return static_cast<std::uint32_t>(slot_count_++);
    const std::uint32_t slot = free.back();
    free.pop_back();
    return slot;
  };
  slots_.assign(all, no_slot);
  for (std::size_t k = 0; k < operands; ++k)
    if (is_spread_[k]) slots_[k] = take();
  for (std::size_t i = 0; i < group_->operations.size(); ++i) {
    // Results stand in memory: they are given their place in a run.
    if (std::find(group_->results.begin(), group_->results.end(), i) == group_->results.end())
      slots_[operands + i] = take();
    for (const std::uint32_t k : group_->operations[i].reads)
      if (last[k] == i && slots_[k] != no_slot &&
          std::find(free.begin(), free.end(), slots_[k]) == free.end())
        free.push_back(slots_[k]);
  }
}

void FusedCall::run(const KernelCall& call) const {
  (group_->rows ? rows_path : tiles_path).taken();
  if (std::ranges::find(is_spread_, true) != is_spread_.end()) spread_path.taken();
  Failures failures;
  kernels::parallel_chunks(rows_, std::max<std::int64_t>(tile_rows_, kernels::grain_size / row_size_),
                           [&](std::int64_t begin, std::int64_t end) {
                             try {
                               Tiles tiles(*this, call, failures);
                               for (std::int64_t at = begin; at < end; at += tile_rows_)
                                 tiles.run(at, std::min(at + tile_rows_, end));
                             } catch (...) {
                               failures.keep(std::current_exception());
                             }
                           });
  failures.tell();
}

bool fuses() {
  return tiles_path.open();
}

bool fuses_rows() {
  return rows_path.open();
}

Kernel fused_kernel(FusedGroup group) {
  const auto shared = std::make_shared<const FusedGroup>(std::move(group));
  Kernel kernel;
  // A value for each row may be read by other rows, where it is broadcast to all elements.
  kernel.in_place = std::none_of(shared->results.begin(), shared->results.end(),
                                 [&](std::uint32_t i) { return shared->operations[i].place.per_row; });
  if (!shared->rows)
    kernel.access = Access::broadcast;
  else if (shared->rows->axes > 0)
    kernel.rows = [shared](std::span<const Type> operands, const Type& result, const Attributes&) {
      const std::size_t rank = shared->rows->axes + shared->rows->extents.size();
      std::vector<std::size_t> batch;
      for (std::size_t k = 0; k < operands.size(); ++k) {
        const FusedGroup::Place place = shared->operands[k];
        const Shape& shape = operands[k].shape;
        if (shape.rank() == (place.per_row ? place.rank : rank) && shape[0] == result.shape[0])
          batch.push_back(k);
      }
      return batch;
    };
  kernel.run = [shared](const KernelCall& call) { FusedCall(shared, call).run(call); };
  kernel.prepare = [shared](const Preparation& preparation) -> std::optional<PreparedCall> {
    return PreparedCall{
        [call = FusedCall(shared, preparation.call)](const KernelCall& now) { call.run(now); }, 0,
        shared->rows ? "tiles of rows" : "tiles"};
  };
  return kernel;
}

}  // namespace rulegrad
