#pragma once

#include <vector>

namespace rulegrad {

/// As long as this lives, denormal numbers are 0 (operands and results) in the thread that made it and in the
/// OpenMP workers of its team; afterwards each of them has its own mode again. Workers outlive parallel
/// regions and serve the caller's own loops too, hence the region at either end. Within another one of the
/// same thread, and where the processor has no such mode that we know of, nothing happens.
class DenormalsAreZero {
 public:
  explicit DenormalsAreZero(bool wanted = true);
  ~DenormalsAreZero();
  DenormalsAreZero(const DenormalsAreZero&) = delete;
  DenormalsAreZero& operator=(const DenormalsAreZero&) = delete;

 private:
  bool active_ = false;
  std::vector<unsigned> before_;  ///< by number in the team
};

/// Whether denormal numbers are 0 in the calling thread; false where that cannot be told.
[[nodiscard]] bool denormals_are_zero();

}  // namespace rulegrad
