#pragma once

#include <utility>

namespace rulegrad::syntax {

/// Gives a variable another value for the time of a block, however the block is left.
template <class T>
class Within {
 public:
  Within(T& slot, T value) : slot_(slot), before_(std::exchange(slot, std::move(value))) {}
  ~Within() { slot_ = std::move(before_); }
  Within(const Within&) = delete;
  Within& operator=(const Within&) = delete;

 private:
  T& slot_;
  T before_;
};

}  // namespace rulegrad::syntax
