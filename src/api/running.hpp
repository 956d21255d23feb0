#pragma once

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <string>
#include <vector>

#include "rulegrad/support/error.hpp"

#include "api/explainer_data.hpp"
#include "api/sample_batch.hpp"

namespace rulegrad {

/// One run: what is computed at once, and where results of parts go.
class Running {
 public:
  Running(const Explainer::Data& data, const Inputs& given, const ExplainChoices& choices)
      : d_(data),
        choices_(choices),
        inputs_(with_batch_axes(data.inputs, given)),
        batch_(batch_of(data.inputs, inputs_)),
        passes_(std::max<std::int64_t>(choices.stacked, 1)) {
    if (choices.batch_size < 0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[explainer] a batch of {} samples was asked for; 0 means all at once",
                              choices.batch_size));
    if (choices.stacked < 0)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("[explainer] {} stacked targets were asked for; 0 means one", choices.stacked));
    if (batch_.fixed) place_in_fixed_batches();
    decide_cut();
    find_targets();
    find_seed();
  }

  [[nodiscard]] std::int64_t samples() const { return batch_.samples; }
  [[nodiscard]] const std::vector<ExplainedResult>& results() const {
    return results_.empty() ? d_.results : results_;
  }
  [[nodiscard]] const std::vector<std::int64_t>& targets() const { return targets_; }
  [[nodiscard]] std::int64_t passes() const { return passes_; }

  /// Of a result for all samples.
  [[nodiscard]] Dims dims_of(std::size_t result) const {
    const ExplainedResult& r = results()[result];
    Dims dims = r.type.shape.at({batch_.samples, 1});
    if (batch_.fixed && r.has_batch)
      dims[r.axis] *= std::max<std::int64_t>(batch_.samples / batch_.at_once, 1);
    if (!r.has_batch && result > 0) dims.insert(dims.begin(), batch_.samples);
    if (stacks(result))
      dims.insert(dims.begin() + static_cast<std::ptrdiff_t>(r.has_batch ? r.axis + 1 : 1), passes_);
    return dims;
  }
  [[nodiscard]] std::string name_of_result(std::size_t result) const {
    if (result == 0) return "the scores";
    if (result > d_.attributions()) return "a total";
    return fmt::format("{} of '{}'", d_.methods[(result - 1) / d_.nodes.size()],
                       d_.nodes[(result - 1) % d_.nodes.size()]);
  }

  void into(std::span<const OutputBuffer> buffers);

 private:
  void run_whole(std::span<const OutputBuffer> buffers) const;
  void run_part(std::int64_t first, std::int64_t count, std::int64_t pass,
                std::span<const OutputBuffer> buffers) const;
  /// Holds the results of a call of the program on so many samples against the plain float64 path.
  void verify(const Inputs& inputs, std::span<const Tensor> results, std::int64_t count) const;
  [[nodiscard]] bool stacks(std::size_t result) const { return choices_.stacked > 0 && result > 0; }

  /// Without a symbolic batch the first axis is taken to be it: what the file says is a number of samples.
  void place_in_fixed_batches() {
    results_ = d_.results;
    for (ExplainedResult& r : results_) {
      const Shape& shape = r.type.shape;
      if (shape.rank() == 0 || shape[0].factor % batch_.at_once != 0) continue;
      r.has_batch = true;
      r.axis = 0;
      r.inner = shape[0].factor / batch_.at_once;
    }
    if (batch_.samples % batch_.at_once != 0)
      throw Error(ErrorCode::shape,
                  fmt::format("[explainer] the model takes {} samples at once, which {} is no multiple of",
                              batch_.at_once, batch_.samples));
  }

  void decide_cut() {
    at_once_ = batch_.fixed              ? batch_.at_once
               : choices_.batch_size > 0 ? std::min(choices_.batch_size, batch_.samples)
                                         : batch_.samples;
    for (std::size_t i = 1; i < results().size(); ++i) {
      if (results()[i].has_batch) continue;
      if (batch_.fixed && batch_.at_once > 1)
        throw Error(ErrorCode::shape,
                    fmt::format("[explainer] {} holds no batch ({}), and the model computes {} samples at "
                                "once, so that it cannot be explained for each of them",
                                name_of_result(i), to_string(results()[i].type), batch_.at_once));
      at_once_ = 1;
      alone_ = name_of_result(i);
    }
    if (!d_.mixing.empty() && at_once_ < batch_.samples && !batch_.fixed)
      throw Error(ErrorCode::model,
                  alone_.empty() ? fmt::format("the {} samples cannot be cut into runs of {}, because {} "
                                               "mixes them; run them at once with a batch size of {}",
                                               batch_.samples, at_once_, d_.mixing, batch_.samples)
                                 : fmt::format("[explainer] {} holds no batch, and {} mixes samples, so that "
                                               "it cannot be explained for each of them; give one sample",
                                               alone_, d_.mixing));
  }

  void find_targets() {
    if (d_.targets == Targets::largest) {
      if (!choices_.targets.empty() || choices_.stacked > 0)
        throw Error(ErrorCode::invalid_argument,
                    "[explainer] it was made for the largest score of each sample and takes no targets; make "
                    "it with Targets::given");
      return;
    }
    const auto wanted = static_cast<std::size_t>(batch_.samples * passes_), given = choices_.targets.size();
    targets_ = choices_.targets;
    if (given == static_cast<std::size_t>(passes_)) {
      targets_.clear();
      for (std::int64_t i = 0; i < batch_.samples; ++i)
        targets_.insert(targets_.end(), choices_.targets.begin(), choices_.targets.end());
    }
    if (targets_.size() != wanted)
      throw Error(
          ErrorCode::shape,
          choices_.stacked > 0
              ? fmt::format("[explainer] {} targets were given for {} samples with {} each; give {}, or as "
                            "many for each",
                            given, batch_.samples, passes_, passes_)
              : fmt::format("[explainer] {} targets were given for {} samples; give one, or one for each",
                            given, batch_.samples));
    const std::int64_t count = d_.results[0].type.shape[1].factor;
    for (const std::int64_t target : targets_)
      if (target < 0 || target >= count)
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("[explainer] target {} is out of range: the output has {} scores, 0 to {}",
                                target, count, count - 1));
  }

  void find_seed() {
    if (d_.seed != Question::Seed::tensor) return;
    const Type& scores = d_.results[0].type;
    const Dims wanted{batch_.samples, scores.shape[1].factor};
    if (choices_.seed.dims() != wanted || choices_.seed.dtype() != scores.dtype)
      throw Error(
          ErrorCode::shape,
          fmt::format("[explainer] the seed must be {}{} but is {}{}", name_of(scores.dtype),
                      to_string(wanted), name_of(choices_.seed.dtype()), to_string(choices_.seed.dims())));
    inputs_[d_.seed_input] = choices_.seed;
  }

  /// The targets of all samples in one pass.
  [[nodiscard]] Tensor targets_of(std::int64_t pass) const {
    std::vector<std::int64_t> chosen;
    for (std::int64_t i = 0; i < batch_.samples; ++i)
      chosen.push_back(targets_[static_cast<std::size_t>(i * passes_ + pass)]);
    return Tensor({batch_.samples}, std::span<const std::int64_t>(chosen));
  }

  [[nodiscard]] Inputs part(std::int64_t first, std::int64_t count) const {
    Inputs result = samples_of(d_.inputs, batch_, inputs_, first, count);
    for (const std::string& name : {d_.target_input, d_.seed_input})
      if (const auto found = result.find(name); found != result.end())
        found->second = found->second.rows(first, count);
    return result;
  }

  /// Copies a result for some samples into that for all.
  void place(std::size_t result, const Tensor& from, std::int64_t first, std::int64_t count,
             std::int64_t pass, const OutputBuffer& to) const {
    const ExplainedResult& r = results()[result];
    const std::size_t element = size_of(to.dtype);
    const std::int64_t stacked = stacks(result) ? passes_ : 1;
    if (!r.has_batch) {  // one sample
      if (result == 0) return (void)std::memcpy(to.data, from.data(), from.bytes());
      std::memcpy(to.data + static_cast<std::size_t>(first * stacked + pass) * from.bytes(), from.data(),
                  from.bytes());
      return;
    }
    const Dims& dims = from.dims();
    const std::int64_t outer = element_count(std::span(dims).first(r.axis)) * r.outer;
    const std::size_t rest =
        static_cast<std::size_t>(element_count(std::span(dims).subspan(r.axis + 1))) * element;
    const std::int64_t entries = count * r.inner;  // in a row
    for (std::int64_t o = 0; o < outer; ++o) {
      const std::int64_t row = (o * batch_.samples + first) * r.inner;
      if (stacked == 1) {
        std::memcpy(to.data + static_cast<std::size_t>(row) * rest,
                    from.data() + static_cast<std::size_t>(o * entries) * rest,
                    static_cast<std::size_t>(entries) * rest);
        continue;
      }
      for (std::int64_t e = 0; e < entries; ++e)
        std::memcpy(to.data + static_cast<std::size_t>((row + e) * stacked + pass) * rest,
                    from.data() + static_cast<std::size_t>(o * entries + e) * rest, rest);
    }
  }

  const Explainer::Data& d_;
  const ExplainChoices& choices_;
  Inputs inputs_;
  SampleBatch batch_;
  std::int64_t passes_, at_once_ = 1;
  std::string alone_;                     ///< a result that makes samples be explained one by one
  std::vector<ExplainedResult> results_;  ///< where a fixed batch changes where the batch lies
  std::vector<std::int64_t> targets_;     ///< of each sample, all passes in turn
};

}  // namespace rulegrad
