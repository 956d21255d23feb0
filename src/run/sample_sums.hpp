#pragma once

#include <vector>

#include "rulegrad/ops/samples.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace rulegrad {

/// Takes the samples of a loop in their order, some at a time, and keeps one number an element: sums and
/// means in float64, variances by Welford's recurrence (1962), so that the result does not depend on how the
/// samples were cut. `stack` keeps them all.
class SampleSums {
 public:
  SampleSums(SampleReduction kind, std::int64_t count) : kind_(kind), count_(count) {}

  /// `samples` [how many, ...]: the next ones, always of the same extents behind the first axis.
  void add(const Tensor& samples);
  /// After `count` samples: the reduction, in their dtype.
  [[nodiscard]] Tensor result() const;

 private:
  template <class T>
  void add_values(const Tensor& samples, std::int64_t how_many);

  SampleReduction kind_;
  std::int64_t count_, taken_ = 0, elements_ = 0;
  DType dtype_ = DType::float32;
  Dims dims_;                             ///< of one sample
  std::vector<double> values_, squares_;  ///< running sum, mean or maximum; squared distances from the mean
  Tensor stacked_;
};

}  // namespace rulegrad
