#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <optional>

#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "api/explainer_data.hpp"

namespace rulegrad {
namespace {

/// How many samples the inputs hold.
struct Batch {
  std::int64_t samples = 1;
  bool fixed = false;        ///< does the model see a given number of them, and no other?
  std::int64_t at_once = 1;  ///< that number
};

Batch batch_of(const std::vector<std::pair<std::string, Type>>& declared, const Inputs& given) {
  Batch batch;
  std::string first;  // the input that said how many there are
  const auto each = [&](bool symbolic, auto&& look) {
    for (const auto& [name, type] : declared) {
      const auto found = given.find(name);
      if (type.shape.rank() == 0 || type.shape[0].batch != symbolic || found == given.end() ||
          found->second.rank() == 0)
        continue;
      look(name, type.shape[0].factor, found->second.dims()[0]);
    }
  };
  each(true, [&](const std::string& name, std::int64_t factor, std::int64_t extent) {
    const std::int64_t samples = extent / std::max<std::int64_t>(factor, 1);
    if (first.empty()) {
      first = name;
      batch.samples = samples;
    } else if (samples != batch.samples) {
      throw Error(ErrorCode::shape, fmt::format("[explainer] input '{}' holds {} samples but '{}' holds {}; "
                                                "inputs go together sample by sample",
                                                first, batch.samples, name, samples));
    }
  });
  if (!first.empty()) return batch;
  batch.fixed = true;
  each(false, [&](const std::string& name, std::int64_t factor, std::int64_t extent) {
    if (!first.empty() || factor < 1) return;
    first = name;
    batch.samples = extent;
    batch.at_once = factor;
  });
  return batch;
}

/// Entries [first, first + count) of the first axis, in the same memory.
Tensor rows_of(const Tensor& batch, std::int64_t first, std::int64_t count) {
  Dims dims = batch.dims();
  const std::size_t row = dims[0] == 0 ? 0 : batch.bytes() / static_cast<std::size_t>(dims[0]);
  dims[0] = count;
  return Tensor::borrow(batch.dtype(), std::move(dims), batch.data() + static_cast<std::size_t>(first) * row,
                        std::make_shared<Tensor>(batch));
}

Inputs only_input(const std::vector<std::pair<std::string, Type>>& inputs, const Tensor& value) {
  if (inputs.size() == 1) return {{inputs[0].first, value}};
  std::vector<std::string> names;
  for (const auto& [name, type] : inputs) names.push_back("'" + name + "'");
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("[explainer] the model has {} inputs ({}) and one value was given; give each by its name",
                  inputs.size(), join(names)));
}

/// One run: what is computed at once, and where results of parts go.
class Running {
 public:
  Running(const Explainer::Data& data, const Inputs& given, const ExplainChoices& choices)
      : d_(data),
        choices_(choices),
        inputs_(given),
        batch_(batch_of(data.inputs, given)),
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
    Inputs result = inputs_;
    const auto cut = [&](const std::string& name, std::int64_t factor) {
      if (const auto found = result.find(name); found != result.end() && found->second.rank() > 0)
        found->second = rows_of(found->second, first * factor, count * factor);
    };
    for (const auto& [name, type] : d_.inputs) {
      if (type.shape.rank() == 0) continue;
      const Dim extent = type.shape[0];
      if (extent.batch) {
        cut(name, extent.factor);
      } else if (batch_.fixed) {
        // What is as large for every run is the same for all samples.
        const auto found = result.find(name);
        if (found != result.end() && found->second.rank() > 0 && found->second.dims()[0] != extent.factor)
          cut(name, extent.factor / batch_.at_once);
      }
    }
    cut(d_.target_input, 1);
    cut(d_.seed_input, 1);
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
  Batch batch_;
  std::int64_t passes_, at_once_ = 1;
  std::string alone_;                     ///< a result that makes samples be explained one by one
  std::vector<ExplainedResult> results_;  ///< where a fixed batch changes where the batch lies
  std::vector<std::int64_t> targets_;     ///< of each sample, all passes in turn
};

void Running::verify(const Inputs& inputs, std::span<const Tensor> results, std::int64_t count) const {
  const std::int64_t wanted = std::min(d_.verified, count);
  std::vector<std::int64_t> chosen;
  for (std::int64_t k = 0; k < wanted; ++k)
    chosen.push_back(wanted == 1 ? 0 : k * (count - 1) / (wanted - 1));
  const std::vector<NumberCheck> checks = d_.verifier->check(inputs, results, chosen);
  std::string beyond;
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const std::string line = fmt::format(
        "{}: {:.1e} of the largest value off the plain float64 path, where rounding explains {:.1e}",
        name_of_result(i), checks[i].difference, checks[i].explained);
    if (d_.log) d_.log(line);
    if (!checks[i].within()) beyond += "\n  " + line;
  }
  if (!beyond.empty())
    throw Error(
        ErrorCode::internal,
        "[explainer] results are wrong; please report it, and compute in float64 until it is repaired:" +
            beyond);
}

void Running::into(std::span<const OutputBuffer> buffers) {
  const bool direct = alone_.empty() && at_once_ == batch_.samples && choices_.stacked == 0;
  for (std::int64_t pass = 0; pass < passes_; ++pass) {
    if (d_.targets == Targets::given) inputs_[d_.target_input] = targets_of(pass);
    for (std::int64_t first = 0; first < batch_.samples; first += at_once_) {
      const std::int64_t count = std::min(at_once_, batch_.samples - first);
      if (direct) {
        d_.program.run_into(inputs_, buffers, {.threads = choices_.threads, .stop = choices_.stop});
        if (d_.verifier) {
          std::vector<Tensor> found;
          for (std::size_t i = 0; i < buffers.size(); ++i)
            found.push_back(Tensor::borrow(buffers[i].dtype, dims_of(i), buffers[i].data, nullptr));
          verify(inputs_, found, count);
        }
      } else {
        const std::vector<Tensor> found = d_.program.run(
            part(first, count), {.threads = choices_.threads, .stop = choices_.stop, .batch_offset = first});
        if (d_.verifier && pass == 0 && first == 0) verify(part(first, count), found, count);
        for (std::size_t i = pass > 0 ? 1 : 0; i < found.size(); ++i)
          place(i, found[i], first, count, pass, buffers[i]);
      }
      if (choices_.progress)
        choices_.progress(pass * batch_.samples + first + count, passes_ * batch_.samples);
    }
  }
}

/// A result with memory of its own.
struct Held {
  Tensor tensor;
  OutputBuffer buffer;
  Held(const Running& run, std::size_t result)
      : tensor(Tensor::uninitialized(run.results()[result].type.dtype, run.dims_of(result))),
        buffer(tensor.dtype(), tensor.mutable_data(), tensor.size()) {}
};

std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < tensor.size(); ++i) result.push_back(tensor.at(i));
  return result;
}

double sum_of(const Tensor& tensor) {
  double sum = 0;
  for (const double value : numbers(tensor)) sum += value;
  return sum;
}

}  // namespace

void Explainer::run_into(const Inputs& given, std::span<const OutputBuffer> attributions,
                         const OutputBuffer& scores, const ExplainChoices& choices) const {
  const Data& d = data();
  Running run(d, given, choices);
  if (attributions.size() != d.attributions())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[explainer] {} buffers were given for {} methods of {} nodes each",
                            attributions.size(), d.methods.size(), d.nodes.size()));
  std::vector<OutputBuffer> buffers{scores};
  std::vector<Held> held;
  held.reserve(d.results.size());
  if (scores.data == nullptr) buffers[0] = held.emplace_back(run, 0).buffer;
  buffers.insert(buffers.end(), attributions.begin(), attributions.end());
  while (buffers.size() < d.results.size()) buffers.push_back(held.emplace_back(run, buffers.size()).buffer);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const DType dtype = d.results[i].type.dtype;
    const Dims dims = run.dims_of(i);
    if (buffers[i].dtype != dtype || buffers[i].count != element_count(dims))
      throw Error(
          buffers[i].dtype != dtype ? ErrorCode::dtype : ErrorCode::shape,
          fmt::format("[explainer] {} for {} samples is {}{}, {} elements, but the buffer holds {} of {}",
                      run.name_of_result(i), run.samples(), name_of(dtype), to_string(dims),
                      element_count(dims), buffers[i].count, name_of(buffers[i].dtype)));
    if (buffers[i].data == nullptr && buffers[i].count != 0)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[explainer] the buffer for {} has no memory behind it", run.name_of_result(i)));
  }
  run.into(buffers);
}

Explanation Explainer::run(const Inputs& inputs, const ExplainChoices& choices) const {
  const Data& d = data();
  Running run(d, inputs, choices);
  std::vector<Held> held;
  std::vector<OutputBuffer> buffers;
  for (std::size_t i = 0; i < d.results.size(); ++i) buffers.push_back(held.emplace_back(run, i).buffer);
  run.into(buffers);

  std::vector<Tensor> attributions;
  for (std::size_t i = 1; i <= d.attributions(); ++i) attributions.push_back(std::move(held[i].tensor));
  Explanation result(d.methods, d.nodes, std::move(held[0].tensor), std::move(attributions));
  result.stacked_ = choices.stacked;
  for (std::size_t i = 1; i <= d.attributions(); ++i) {
    const ExplainedResult& r = run.results()[i];
    result.layouts_.push_back({r.axis, r.outer, r.inner, r.loops});
  }
  const std::int64_t width = result.scores_.dims().back();
  if (d.seed != Question::Seed::tensor)
    result.targets_ = d.targets == Targets::given ? run.targets() : result.predictions();
  for (std::int64_t sample = 0; sample < run.samples(); ++sample) {
    if (d.seed == Question::Seed::tensor) {
      double product = 0;
      for (std::int64_t k = 0; k < width; ++k)
        product += result.scores_.at(sample * width + k) * choices.seed.at(sample * width + k);
      result.explained_scores_.insert(result.explained_scores_.end(), static_cast<std::size_t>(run.passes()),
                                      product);
    } else {
      for (std::int64_t pass = 0; pass < run.passes(); ++pass)
        result.explained_scores_.push_back(result.scores_.at(
            sample * width + result.targets_[static_cast<std::size_t>(sample * run.passes() + pass)]));
    }
  }
  for (std::size_t t = 0; t < d.sums.size(); ++t) {
    Explanation::Total total{d.sums[t].method, d.sums[t].nodes, {}, {}};
    const Tensor& expected = held[1 + d.attributions() + t].tensor;
    total.expected = numbers(expected);
    for (std::int64_t sample = 0; sample < run.samples(); ++sample)
      for (std::int64_t pass = 0; pass < run.passes(); ++pass) {
        double reached = 0;
        for (const std::size_t node : total.nodes)
          reached += sum_of(result.of_sample(total.method, node, sample, pass));
        total.reached.push_back(reached);
      }
    result.totals_.push_back(std::move(total));
  }
  return result;
}

Explanation Explainer::run(const Tensor& input, const ExplainChoices& choices) const {
  return run(only_input(data().inputs, input), choices);
}

void Explainer::run_into(const Tensor& input, std::span<const OutputBuffer> attributions,
                         const OutputBuffer& scores, const ExplainChoices& choices) const {
  run_into(only_input(data().inputs, input), attributions, scores, choices);
}

}  // namespace rulegrad
