#include "kernels/onednn/call.hpp"

#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/support/error.hpp"

#include "kernels/kernel_paths.hpp"

namespace rulegrad::kernels::onednn {
namespace {

// Without it an analysis takes 2.0 times as long (MLP, gradient, batch 8): benchmarks/kernel_worth.
const KernelPath kept_path("oneDNN: a packed constant");
// Only counted: the primitive wants another layout.
const KernelPath copied_path("oneDNN: operands are copied", KernelPath::Choice::only);
// Only counted: the primitive wants another layout.
const KernelPath copied_back_path("oneDNN: the result is copied", KernelPath::Choice::only);

using dnnl::memory;
using tag = memory::format_tag;

constexpr std::size_t alignment = 64;

memory at(const memory::desc& desc, const std::byte* data) {
  // oneDNN takes constants by pointers that are not; it only reads them.
  return {desc, engine(), const_cast<std::byte*>(data)};
}

tag tag_of(std::size_t rank, std::int64_t block) {
  static constexpr tag plain[] = {tag::a, tag::ab, tag::abc, tag::abcd, tag::abcde, tag::abcdef};
  static constexpr tag by_8[] = {tag::nCw8c, tag::nChw8c, tag::nCdhw8c};
  static constexpr tag by_16[] = {tag::nCw16c, tag::nChw16c, tag::nCdhw16c};
  if (block == 0) return plain[rank - 1];
  return block == 8 ? by_8[rank - 3] : by_16[rank - 3];
}

/// A constant, read as `given`, copied into the layout `wanted`: what lies in the same wanted layout may
/// still be another matrix, the transpose of a weight for one.
struct Packing {
  memory::desc given, wanted;

  friend bool operator==(const Packing&, const Packing&) = default;
  [[nodiscard]] ConstantForm make(const ConstView& constant) const {
    auto packed = std::make_shared<memory>(wanted, engine());
    memory plain = at(given, constant.data);
    dnnl::reorder(plain, *packed).execute(stream(), plain, *packed);
    stream().wait();
    return {std::move(packed), wanted.get_size()};
  }
};

}  // namespace

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  thread_local dnnl::stream own(engine());
  return own;
}

memory::desc array_desc(const memory::dims& dims, std::int64_t block, memory::data_type type) {
  return {dims, type, tag_of(dims.size(), block)};
}

memory::desc any_desc(const memory::dims& dims, memory::data_type type) {
  return {dims, type, tag::any};
}

Call::Call(dnnl::primitive primitive, const memory::desc& scratchpad)
    : primitive_(std::move(primitive)),
      scratchpad_(scratchpad),
      scratchpad_offset_(reserve(scratchpad.get_size())) {}

std::size_t Call::reserve(std::size_t bytes) {
  const std::size_t offset = scratch_bytes_;
  scratch_bytes_ += (bytes + alignment - 1) / alignment * alignment;
  return offset;
}

void Call::add(Part part) {
  part.copied = part.wanted != part.given;
  if (part.copied) {
    part.offset = reserve(part.wanted.get_size());
    const auto& from = part.is_result ? part.wanted : part.given;
    const auto& to = part.is_result ? part.given : part.wanted;
    part.copy = dnnl::reorder(dnnl::reorder::primitive_desc(engine(), from, engine(), to));
  }
  parts_.push_back(std::move(part));
}

void Call::operand(int argument, std::size_t position, const memory::desc& wanted, memory::desc given,
                   ConstantOperands& constants) {
  Part part{.argument = argument, .position = position, .wanted = wanted, .given = std::move(given)};
  if (!kept_path.open() || !constants.is_constant(position) || wanted == part.given)
    return add(std::move(part));
  part.kept =
      std::static_pointer_cast<const memory>(constants.form(position, Packing{part.given, part.wanted}));
  parts_.push_back(std::move(part));
}

std::vector<std::size_t> Call::unread() const {
  std::vector<std::size_t> positions;
  for (const Part& part : parts_)
    if (part.kept) positions.push_back(part.position);
  return positions;
}

void Call::result(int argument, const memory::desc& wanted, memory::desc given) {
  add({.argument = argument, .position = 0, .wanted = wanted, .given = std::move(given), .is_result = true});
}

void Call::run(const KernelCall& call) const {
  std::byte* const scratch = call.scratch.data();
  std::unordered_map<int, memory> arguments;
  for (const Part& part : parts_) {
    if (part.kept) {
      kept_path.taken();
      arguments.emplace(part.argument, *part.kept);
      continue;
    }
    const std::byte* const data = part.is_result ? call.result.data : call.operands[part.position].data;
    memory used = at(part.wanted, part.copied ? scratch + part.offset : data);
    if (part.copied && !part.is_result) {
      copied_path.taken();
      memory given = at(part.given, data);
      part.copy.execute(stream(), given, used);
    }
    arguments.emplace(part.argument, std::move(used));
  }
  arguments.emplace(DNNL_ARG_SCRATCHPAD, at(scratchpad_, scratch + scratchpad_offset_));
  primitive_.execute(stream(), arguments);
  for (const Part& part : parts_)
    if (part.is_result && part.copied) {
      copied_back_path.taken();
      memory given = at(part.given, call.result.data);
      part.copy.execute(stream(), arguments.at(part.argument), given);
    }
  stream().wait();
}

}  // namespace rulegrad::kernels::onednn
