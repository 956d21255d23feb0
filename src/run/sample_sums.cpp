#include "run/sample_sums.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/parallel.hpp"

namespace rulegrad {

void SampleSums::add(const Tensor& samples) {
  if (taken_ == 0) {
    dims_.assign(samples.dims().begin() + 1, samples.dims().end());
    elements_ = element_count(dims_);
    dtype_ = samples.dtype();
    if (kind_ == SampleReduction::stack) {
      Dims all = samples.dims();
      all[0] = count_;
      stacked_ = Tensor::uninitialized(dtype_, std::move(all));
    } else {
      values_.assign(static_cast<std::size_t>(elements_), 0.0);
      if (kind_ == SampleReduction::var) squares_.assign(values_.size(), 0.0);
    }
  }
  const std::int64_t how_many = samples.dims()[0];
  if (kind_ == SampleReduction::stack) {
    const std::size_t each = samples.bytes() / static_cast<std::size_t>(how_many);
    if (samples.bytes() != 0)
      std::memcpy(stacked_.mutable_data() + static_cast<std::size_t>(taken_) * each, samples.data(),
                  samples.bytes());
  } else if (dtype_ == DType::float32) {
    add_values<float>(samples, how_many);
  } else {
    add_values<double>(samples, how_many);
  }
  taken_ += how_many;
}

template <class T>
void SampleSums::add_values(const Tensor& samples, std::int64_t how_many) {
  const T* from = samples.values<T>().data();
  kernels::parallel_chunks(elements_, kernels::grain_size, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t s = 0; s < how_many; ++s) {
      const T* sample = from + s * elements_;
      const auto number = static_cast<double>(taken_ + s + 1);
      for (std::int64_t i = begin; i < end; ++i) {
        const double x = static_cast<double>(sample[i]);
        double& value = values_[static_cast<std::size_t>(i)];
        if (kind_ == SampleReduction::var) {
          const double before = x - value;
          value += before / number;
          squares_[static_cast<std::size_t>(i)] += before * (x - value);
        } else if (kind_ == SampleReduction::max) {
          value = number == 1 || x > value || std::isnan(x) ? x : value;
        } else {
          value += x;
        }
      }
    }
  });
}

Tensor SampleSums::result() const {
  if (kind_ == SampleReduction::stack) return stacked_;
  const std::vector<double>& numbers = kind_ == SampleReduction::var ? squares_ : values_;
  const bool divides = kind_ == SampleReduction::var || kind_ == SampleReduction::mean;
  const double divisor = divides ? static_cast<double>(count_) : 1;
  Tensor result = Tensor::uninitialized(dtype_, dims_);
  const auto write = [&]<class T>(std::span<T> to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] = static_cast<T>(numbers[i] / divisor);
  };
  if (dtype_ == DType::float32)
    write(result.mutable_values<float>());
  else
    write(result.mutable_values<double>());
  return result;
}

}  // namespace rulegrad
