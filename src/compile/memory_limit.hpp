#pragma once

#include <cstddef>
#include <string>

namespace rulegrad {

/// Looks at what a program is going to allocate, and refuses before anything is.
class MemoryBudget {
 public:
  /// A value of so many bytes; Error(invalid_argument) that names it when it alone is beyond the limit.
  void add(std::size_t bytes, const std::string& label);
  /// Error(invalid_argument) that names the largest value when all are beyond it.
  void require(std::size_t together) const;

 private:
  std::size_t largest_ = 0;
  std::string label_;
};

}  // namespace rulegrad
