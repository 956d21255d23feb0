#include "kernels/common/scratch.hpp"

namespace rulegrad::kernels {
namespace {

struct Free {
  void operator()(std::byte* p) const { ::operator delete[](p, std::align_val_t{64}); }
};

class Growing {
 public:
  std::byte* of(std::size_t bytes) {
    if (bytes > capacity_) {
      buffer_.reset();
      capacity_ = 0;
      buffer_.reset(static_cast<std::byte*>(::operator new[](bytes, std::align_val_t{64})));
      capacity_ = bytes;
    }
    return buffer_.get();
  }

 private:
  std::unique_ptr<std::byte[], Free> buffer_;
  std::size_t capacity_ = 0;
};

}  // namespace

std::byte* thread_scratch(std::size_t bytes) {
  thread_local Growing memory;
  return memory.of(bytes);
}

}  // namespace rulegrad::kernels
