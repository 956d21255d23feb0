#pragma once

#include <dnnl.hpp>
#include <vector>

#include "rulegrad/kernels/kernel.hpp"

namespace rulegrad::kernels::onednn {

[[nodiscard]] const dnnl::engine& engine();
/// The calling thread's.
[[nodiscard]] dnnl::stream& stream();

/// An array of these extents; axis 1 in blocks of `block` channels (padded to whole ones), 0: row-major.
[[nodiscard]] dnnl::memory::desc array_desc(const dnnl::memory::dims& dims, std::int64_t block,
                                            dnnl::memory::data_type type = dnnl::memory::data_type::f32);
/// One whose layout the primitive may choose.
[[nodiscard]] dnnl::memory::desc any_desc(const dnnl::memory::dims& dims,
                                          dnnl::memory::data_type type = dnnl::memory::data_type::f32);

/// A primitive and where its memory comes from. What lies in another form than the primitive wants is copied
/// in and out within each call, but for constants, which are copied once for all programs of a graph.
class Call {
 public:
  Call(dnnl::primitive primitive, const dnnl::memory::desc& scratchpad);

  /// A constant among `constants` is kept in the wanted form.
  void operand(int argument, std::size_t position, const dnnl::memory::desc& wanted, dnnl::memory::desc given,
               ConstantOperands& constants);
  void result(int argument, const dnnl::memory::desc& wanted, dnnl::memory::desc given);
  [[nodiscard]] std::size_t scratch_bytes() const { return scratch_bytes_; }
  /// Operands of which only a kept form is read.
  [[nodiscard]] std::vector<std::size_t> unread() const;

  void run(const KernelCall& call) const;

 private:
  struct Part {
    int argument;
    std::size_t position;  ///< of the operand; unused for the result
    dnnl::memory::desc wanted, given;
    bool is_result = false, copied = false;
    std::size_t offset = 0;  ///< of the copy in scratch memory
    dnnl::reorder copy{};
    std::shared_ptr<const dnnl::memory> kept{};
  };
  void add(Part part);
  std::size_t reserve(std::size_t bytes);

  dnnl::primitive primitive_;
  dnnl::memory::desc scratchpad_;
  std::size_t scratch_bytes_ = 0;
  std::size_t scratchpad_offset_;  ///< reserved first, once scratch_bytes_ is there
  std::vector<Part> parts_;
};

}  // namespace rulegrad::kernels::onednn
