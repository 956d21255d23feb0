#include "rulegrad/api/stream.hpp"

#include <algorithm>
#include <cstring>
#include <deque>
#include <filesystem>
#include <fmt/format.h>
#include <future>

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

/// Samples of a shard as they were read.
struct Loaded {
  std::int64_t number = 0;
  std::vector<std::int64_t> samples;
  Tensor values;
  std::vector<std::pair<std::int64_t, std::string>> failed;  ///< number and error
};

class Running {
 public:
  Running(const Explainer& explainer, const SampleSource& source, const SampleType& type,
          const std::string& folder, const StreamQuestion& question, StreamOptions options)
      : explainer_(explainer),
        source_(source),
        type_(type),
        question_(question),
        options_(with_shard(std::move(options), folder)),
        folder_(folder, stream_facts(explainer, source, question, options_), explainer.methods(),
                explainer.nodes()) {
    if (options_.targets.size() > 1 && options_.targets.size() != static_cast<std::size_t>(source.count()))
      throw Error(ErrorCode::shape,
                  fmt::format("{} targets were given for {} samples; give one, or one for each",
                              options_.targets.size(), source.count()));
  }

  StreamSummary run() {
    const std::int64_t shards = (source_.count() + options_.shard - 1) / options_.shard;
    std::int64_t next = folder_.begin(options_.resume);
    std::deque<std::future<Loaded>> reading;
    std::future<void> writing;
    for (std::int64_t number = next; number < shards; ++number) {
      for (; next < shards && reading.size() < static_cast<std::size_t>(std::max(options_.readers, 1));
           ++next)
        reading.push_back(std::async(std::launch::async, [this, next] { return load(next); }));
      Loaded loaded = reading.front().get();
      reading.pop_front();
      std::shared_ptr<const Explanation> found = explained(loaded);
      if (writing.valid()) writing.get();
      StreamShard shard{number, loaded.samples,
                        loaded.samples.empty()
                            ? Tensor()
                            : loaded.values.rows(0, static_cast<std::int64_t>(loaded.samples.size())),
                        found.get()};
      if (options_.on_shard) options_.on_shard(shard);
      shard.values = Tensor();  // only results wait for the disk
      loaded.values = Tensor();
      writing = std::async(std::launch::async, [this, shard = std::move(shard), found = std::move(found),
                                                failed = std::move(loaded.failed)]() mutable {
        std::ranges::sort(failed);
        LeftOut named;
        for (const auto& [sample, error] : failed) named.emplace_back(source_.name(sample), error);
        folder_.write(shard, options_.shard, source_, question_, named);
      });
      if (options_.progress)
        options_.progress(std::min((number + 1) * options_.shard, source_.count()), source_.count());
    }
    if (writing.valid()) writing.get();
    StreamSummary summary = folder_.finish(shards);
    summary.shard_size = options_.shard;
    return summary;
  }

 private:
  StreamOptions with_shard(StreamOptions options, const std::string& folder) const {
    if (options.shard == 0 && options.resume) options.shard = StreamFolder::shard_size_in(folder);
    if (options.shard == 0) {
      // In flight are the shards that are read, the one that is computed with its results, and the results
      // that are written.
      const std::int64_t each = (std::max(options.readers, 1) + 1) * bytes_of(type_.dtype, type_.dims) +
                                2 * result_bytes(explainer_);
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
                       count = std::min(options_.shard, source_.count() - first);
    Dims dims = type_.dims;
    dims.insert(dims.begin(), count);
    result.values = Tensor::uninitialized(type_.dtype, std::move(dims));
    std::byte* to = result.values.mutable_data();
    for (std::int64_t sample = first; sample < first + count; ++sample) {
      if (options_.stop.stop_requested()) throw Error(ErrorCode::cancelled, "the run was stopped");
      try {
        const Tensor values = source_.read(sample);
        std::memcpy(to, values.data(), values.bytes());
        to += values.bytes();
        result.samples.push_back(sample);
      } catch (const Error& error) {
        if (!options_.skip) throw;
        result.failed.emplace_back(sample, error.what());
      }
    }
    return result;
  }

  [[nodiscard]] std::shared_ptr<const Explanation> run_once(const Tensor& values,
                                                            std::span<const std::int64_t> samples) const {
    ExplainChoices choices{.batch_size = std::min<std::int64_t>(options_.batch_size, values.dims()[0]),
                           .threads = options_.threads,
                           .stop = options_.stop};
    if (options_.targets.size() == 1)
      choices.targets = options_.targets;
    else if (!options_.targets.empty())
      for (const std::int64_t sample : samples)
        choices.targets.push_back(options_.targets[static_cast<std::size_t>(sample)]);
    if (options_.seed.size() > 0) {
      choices.seed = Tensor::uninitialized(options_.seed.dtype(), {values.dims()[0], options_.seed.size()});
      for (std::int64_t i = 0; i < values.dims()[0]; ++i)
        std::memcpy(choices.seed.mutable_data() + static_cast<std::size_t>(i) * options_.seed.bytes(),
                    options_.seed.data(), options_.seed.bytes());
    }
    Inputs inputs;
    inputs[type_.input] = values;
    return std::make_shared<const Explanation>(explainer_.run(inputs, choices));
  }

  /// Explains what was read; what cannot be explained is moved to `failed` where that is asked for.
  [[nodiscard]] std::shared_ptr<const Explanation> explained(Loaded& loaded) const {
    const auto count = static_cast<std::int64_t>(loaded.samples.size());
    if (count == 0) return nullptr;
    const Tensor values = loaded.values.rows(0, count);
    try {
      return run_once(values, loaded.samples);
    } catch (const Error& error) {
      if (!options_.skip || error.code() == ErrorCode::cancelled) throw;
    }
    // Which of them it was: those that can be explained alone are explained together again.
    std::vector<std::int64_t> good;
    Tensor kept = Tensor::uninitialized(values.dtype(), values.dims());
    std::byte* to = kept.mutable_data();
    for (std::int64_t row = 0; row < count; ++row) {
      const std::int64_t sample = loaded.samples[static_cast<std::size_t>(row)];
      const Tensor one = values.rows(row, 1);
      try {
        (void)run_once(one, std::span(&sample, 1));
        std::memcpy(to, one.data(), one.bytes());
        to += one.bytes();
        good.push_back(sample);
      } catch (const Error& error) {
        if (error.code() == ErrorCode::cancelled) throw;
        loaded.failed.emplace_back(sample, error.what());
      }
    }
    loaded.samples = std::move(good);
    loaded.values = std::move(kept);
    if (loaded.samples.empty()) return nullptr;
    return run_once(loaded.values.rows(0, static_cast<std::int64_t>(loaded.samples.size())), loaded.samples);
  }

  const Explainer& explainer_;
  const SampleSource& source_;
  const SampleType& type_;
  const StreamQuestion& question_;
  StreamOptions options_;
  StreamFolder folder_;
};

}  // namespace

Tensor samples_first(const Explanation& found, std::size_t method, std::size_t node) {
  const Tensor& whole = found.attribution(method, node);
  const Explanation::Layout& layout = found.layout(method, node);
  if (layout.loops == 0 || layout.axis != layout.loops) return whole;
  Dims dims = whole.dims();
  const auto axis = static_cast<std::ptrdiff_t>(layout.axis);
  const std::int64_t loops = element_count(std::span(dims).first(layout.axis)), samples = dims[layout.axis];
  const std::size_t each =
      whole.bytes() / static_cast<std::size_t>(std::max<std::int64_t>(loops * samples, 1));
  std::rotate(dims.begin(), dims.begin() + axis, dims.begin() + axis + 1);
  Tensor result = Tensor::uninitialized(whole.dtype(), dims);
  std::byte* to = result.mutable_data();
  for (std::int64_t b = 0; b < samples; ++b)
    for (std::int64_t k = 0; k < loops; ++k)
      std::copy_n(whole.data() + static_cast<std::size_t>(k * samples + b) * each, each,
                  to + static_cast<std::size_t>(b * loops + k) * each);
  return result;
}

StreamSummary run_stream(const Explainer& explainer, const SampleSource& source, const SampleType& type,
                         const std::string& folder, const StreamQuestion& question,
                         const StreamOptions& options) {
  return Running(explainer, source, type, folder, question, options).run();
}

}  // namespace rulegrad
