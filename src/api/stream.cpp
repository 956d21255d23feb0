#include "rulegrad/api/stream.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <future>
#include <limits>

#include "rulegrad/support/error.hpp"

#include "api/stream_folder.hpp"

namespace rulegrad {
namespace {

constexpr std::int64_t largest_shard = 256;

std::int64_t bytes_of(DType dtype, const Dims& dims) {
  return element_count(dims) * static_cast<std::int64_t>(size_of(dtype));
}

/// Bytes of what an explainer gives for one sample.
std::int64_t result_bytes(const Explainer& explainer) {
  std::int64_t bytes = 0;
  const std::size_t values = 1 + explainer.methods().size() * explainer.nodes().size();  // totals are small
  for (std::size_t i = 0; i < values; ++i) {
    const Type type = explainer.program().output_types()[i];
    std::int64_t count = static_cast<std::int64_t>(size_of(type.dtype));
    for (const Dim& dim : type.shape.dims()) count *= dim.factor;
    bytes += count;
  }
  return bytes;
}

std::size_t row_bytes(const Tensor& values) {
  return values.dims()[0] == 0 ? 0 : values.bytes() / static_cast<std::size_t>(values.dims()[0]);
}

/// Samples of a shard as they were read.
struct Loaded {
  std::int64_t number = 0;
  std::vector<std::int64_t> samples;
  std::vector<Tensor> values;                                ///< of each input
  std::vector<std::pair<std::int64_t, std::string>> failed;  ///< number and error
  bool ended = false;                                        ///< there is nothing behind it
};

/// How many samples all sources have.
std::int64_t common_count(std::span<const StreamInput> inputs) {
  if (inputs.empty()) throw Error(ErrorCode::invalid_argument, "a stream needs an input that holds samples");
  for (const StreamInput& input : inputs) {
    if (input.source->count() == inputs[0].source->count()) continue;
    if (input.source->count() == SampleSource::unknown || inputs[0].source->count() == SampleSource::unknown)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("how many samples '{}' and '{}' hold is known of one of them only; inputs go "
                              "together sample by sample",
                              inputs[0].type.input, input.type.input));
    throw Error(ErrorCode::shape,
                fmt::format("'{}' holds {} samples but '{}' holds {}; inputs go together sample by sample",
                            inputs[0].type.input, inputs[0].source->count(), input.type.input,
                            input.source->count()));
  }
  return inputs[0].source->count();
}

class Running {
 public:
  Running(const Explainer& explainer, std::span<const StreamInput> inputs, const std::string& folder,
          const StreamQuestion& question, StreamOptions options)
      : explainer_(explainer),
        inputs_(inputs),
        count_(common_count(inputs)),
        question_(question),
        options_(with_shard(std::move(options), folder)),
        folder_(folder, stream_facts(explainer, inputs, question, options_), explainer.methods(),
                explainer.nodes(), {count_, options_.shard, question.stacked > 0}) {
    if (question_.stacked == 0 && options_.targets.size() > 1 && known() &&
        options_.targets.size() != static_cast<std::size_t>(count_))
      throw Error(ErrorCode::shape,
                  fmt::format("{} targets were given for {} samples; give one, or one for each",
                              options_.targets.size(), count_));
  }

  StreamSummary run() {
    const std::int64_t there = folder_.begin(options_.resume);
    first_ = options_.part ? options_.part->first : there;
    last_ =
        known() ? (count_ + options_.shard - 1) / options_.shard : std::numeric_limits<std::int64_t>::max();
    if (options_.part) last_ = std::min(last_, options_.part->second);
    if (!known()) skip_samples(first_ * options_.shard);
    next_ = first_;
    std::int64_t made = first_;
    std::future<void> writing;
    for (;; ++made) {
      fill();
      if (reading_.empty()) break;
      Loaded loaded = reading_.front().get();
      reading_.pop_front();
      if (loaded.ended) last_ = next_;
      if (loaded.samples.empty() && loaded.failed.empty()) break;
      fill();
      std::shared_ptr<const Explanation> found = explained(loaded);
      if (writing.valid()) writing.get();
      StreamShard shard{loaded.number, loaded.samples, inputs_of(loaded), found.get()};
      if (options_.on_shard) options_.on_shard(shard);
      shard.inputs.clear();  // only results wait for the disk
      loaded.values.clear();
      writing = std::async(std::launch::async, [this, shard = std::move(shard), found = std::move(found),
                                                failed = std::move(loaded.failed)]() mutable {
        std::ranges::sort(failed);
        LeftOut named;
        for (const auto& [sample, error] : failed) named.emplace_back(inputs_[0].source->name(sample), error);
        folder_.write(shard, *inputs_[0].source, question_, named);
      });
      if (options_.progress) {
        const std::int64_t done = (made + 1) * options_.shard;
        options_.progress(known() ? std::min(done, count_) : done, known() ? count_ : done);
      }
    }
    if (writing.valid()) writing.get();
    StreamSummary summary;
    if (!options_.part) summary = folder_.finish(made);
    summary.shard_size = options_.shard;
    return summary;
  }

 private:
  [[nodiscard]] bool known() const { return count_ != SampleSource::unknown; }

  /// What is read while something is computed; what can be read in its order only, by one thread.
  void fill() {
    const std::size_t readers = known() ? static_cast<std::size_t>(std::max(options_.readers, 1)) : 1;
    for (; next_ < last_ && reading_.size() < readers; ++next_)
      reading_.push_back(std::async(std::launch::async, [this, number = next_] { return load(number); }));
  }

  /// Goes on to a sample of sources that are read in their order.
  void skip_samples(std::int64_t count) const {
    for (std::int64_t sample = 0; sample < count; ++sample)
      for (const StreamInput& input : inputs_)
        if (input.source->has(sample)) (void)input.source->read(sample);
  }

  StreamOptions with_shard(StreamOptions options, const std::string& folder) const {
    if (options.shard == 0 && options.resume) options.shard = StreamFolder::shard_size_in(folder);
    if (options.shard == 0) {
      // In flight are the shards that are read, the one that is computed with its results, and the results
      // that are written.
      std::int64_t sample = 0;
      for (const StreamInput& input : inputs_) sample += bytes_of(input.type.dtype, input.type.dims);
      const std::int64_t each = (std::max(options.readers, 1) + 1) * sample +
                                2 * result_bytes(explainer_) * std::max<std::int64_t>(question_.stacked, 1);
      options.shard = std::clamp<std::int64_t>(
          static_cast<std::int64_t>(options.memory) / std::max<std::int64_t>(each, 1), 1, largest_shard);
    }
    if (options.shard < 1)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("a shard holds {} samples; it holds at least 1", options.shard));
    return options;
  }

  [[nodiscard]] Loaded load(std::int64_t number) const {
    Loaded result;
    result.number = number;
    const std::int64_t first = number * options_.shard,
                       count = known() ? std::min(options_.shard, count_ - first) : options_.shard;
    for (const StreamInput& input : inputs_) {
      Dims dims = input.type.dims;
      dims.insert(dims.begin(), count);
      result.values.push_back(Tensor::uninitialized(input.type.dtype, std::move(dims)));
    }
    for (std::int64_t sample = first; sample < first + count; ++sample) {
      if (options_.stop.stop_requested()) throw Error(ErrorCode::cancelled, "the run was stopped");
      const auto has = [&](const StreamInput& input) { return input.source->has(sample); };
      if (!known() && !std::ranges::all_of(inputs_, has)) {
        result.ended = true;
        if (std::ranges::any_of(inputs_, has))
          throw Error(ErrorCode::shape, fmt::format("one input ends after {} samples and another does not; "
                                                    "inputs go together sample by sample",
                                                    sample));
        break;
      }
      try {
        const auto row = result.samples.size();
        for (std::size_t k = 0; k < inputs_.size(); ++k) {
          const Tensor values = inputs_[k].source->read(sample);
          std::memcpy(result.values[k].mutable_data() + row * values.bytes(), values.data(), values.bytes());
        }
        result.samples.push_back(sample);
      } catch (const Error& error) {
        if (!options_.skip || error.code() == ErrorCode::cancelled) throw;
        result.failed.emplace_back(sample, error.what());
      }
    }
    return result;
  }

  /// The inputs of the samples that are left.
  [[nodiscard]] Inputs inputs_of(const Loaded& loaded) const {
    Inputs result = options_.shared;
    if (!loaded.samples.empty())
      for (std::size_t k = 0; k < inputs_.size(); ++k)
        result[inputs_[k].type.input] =
            loaded.values[k].rows(0, static_cast<std::int64_t>(loaded.samples.size()));
    return result;
  }

  [[nodiscard]] std::shared_ptr<const Explanation> run_once(const Inputs& inputs,
                                                            std::span<const std::int64_t> samples) const {
    const auto count = static_cast<std::int64_t>(samples.size());
    ExplainChoices choices{.batch_size = std::min<std::int64_t>(options_.batch_size, count),
                           .threads = options_.threads,
                           .stop = options_.stop,
                           .stacked = question_.stacked};
    if (question_.stacked > 0 || options_.targets.size() == 1)
      choices.targets = options_.targets;
    else if (!options_.targets.empty())
      for (const std::int64_t sample : samples) choices.targets.push_back(target_of(sample));
    if (options_.seed.size() > 0) {
      choices.seed = Tensor::uninitialized(options_.seed.dtype(), {count, options_.seed.size()});
      for (std::int64_t i = 0; i < count; ++i)
        std::memcpy(choices.seed.mutable_data() + static_cast<std::size_t>(i) * options_.seed.bytes(),
                    options_.seed.data(), options_.seed.bytes());
    }
    return std::make_shared<const Explanation>(explainer_.run(inputs, choices));
  }

  [[nodiscard]] std::int64_t target_of(std::int64_t sample) const {
    if (static_cast<std::size_t>(sample) >= options_.targets.size())
      throw Error(ErrorCode::cancelled,
                  fmt::format("{} targets were given but there are more samples; give one, or one for each",
                              options_.targets.size()));
    return options_.targets[static_cast<std::size_t>(sample)];
  }

  /// Explains what was read; what cannot be explained is moved to `failed` where that is asked for.
  [[nodiscard]] std::shared_ptr<const Explanation> explained(Loaded& loaded) const {
    if (loaded.samples.empty()) return nullptr;
    try {
      return run_once(inputs_of(loaded), loaded.samples);
    } catch (const Error& error) {
      if (!options_.skip || error.code() == ErrorCode::cancelled) throw;
    }
    // Which of them it was: those that can be explained alone are explained together again.
    std::vector<std::int64_t> good;
    for (std::size_t row = 0; row < loaded.samples.size(); ++row) {
      const std::int64_t sample = loaded.samples[row];
      Loaded alone{loaded.number, {sample}, {}, {}};
      for (const Tensor& values : loaded.values)
        alone.values.push_back(values.rows(static_cast<std::int64_t>(row), 1));
      try {
        (void)run_once(inputs_of(alone), alone.samples);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) throw;
        loaded.failed.emplace_back(sample, error.what());
        continue;
      }
      alone.values.clear();
      for (Tensor& values : loaded.values)
        if (good.size() < row)
          std::memcpy(values.mutable_data() + good.size() * row_bytes(values),
                      values.data() + row * row_bytes(values), row_bytes(values));
      good.push_back(sample);
    }
    loaded.samples = std::move(good);
    if (loaded.samples.empty()) return nullptr;
    return run_once(inputs_of(loaded), loaded.samples);
  }

  const Explainer& explainer_;
  std::span<const StreamInput> inputs_;
  std::int64_t count_;
  const StreamQuestion& question_;
  StreamOptions options_;
  StreamFolder folder_;
  std::int64_t first_ = 0, next_ = 0, last_ = 0;
  std::deque<std::future<Loaded>> reading_;
};

}  // namespace

Tensor samples_first(const Explanation& found, std::size_t method, std::size_t node, bool stacked) {
  const Tensor& whole = found.attribution(method, node);
  const Explanation::Layout& layout = found.layout(method, node);
  if (layout.loops == 0 || layout.axis != layout.loops) return whole;
  Dims dims = whole.dims();
  const auto axis = static_cast<std::ptrdiff_t>(layout.axis);
  const std::ptrdiff_t behind = axis + (stacked ? 2 : 1);
  const std::int64_t loops = element_count(std::span(dims).first(layout.axis)),
                     rows = element_count(
                         std::span(dims).subspan(layout.axis, static_cast<std::size_t>(behind - axis)));
  const std::size_t each = whole.bytes() / static_cast<std::size_t>(std::max<std::int64_t>(loops * rows, 1));
  std::rotate(dims.begin(), dims.begin() + axis, dims.begin() + behind);
  Tensor result = Tensor::uninitialized(whole.dtype(), dims);
  std::byte* to = result.mutable_data();
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::int64_t k = 0; k < loops; ++k)
      std::copy_n(whole.data() + static_cast<std::size_t>(k * rows + row) * each, each,
                  to + static_cast<std::size_t>(row * loops + k) * each);
  return result;
}

StreamSummary run_stream(const Explainer& explainer, std::span<const StreamInput> inputs,
                         const std::string& folder, const StreamQuestion& question,
                         const StreamOptions& options) {
  return Running(explainer, inputs, folder, question, options).run();
}

}  // namespace rulegrad
