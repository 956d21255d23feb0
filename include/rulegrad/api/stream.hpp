#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/tensor/dtype.hpp"
#include "rulegrad/tensor/shape.hpp"
#include "rulegrad/tensor/tensor.hpp"

/// Many samples: read, explained and written shard by shard, so that memory holds a few shards whatever the
/// samples are; a run that was ended goes on where it stopped. The package for Python writes the same folders
/// (docs/streams.md).
namespace [[gnu::visibility("default")]] rulegrad {

/// What a model takes of one sample.
struct SampleType {
  std::string input;  ///< name of the model's input
  DType dtype = DType::float32;
  Dims dims;  ///< without the axis of the samples
};

/// Samples by number, read when they are asked for.
class SampleSource {
 public:
  static constexpr std::int64_t unknown = -1;

  virtual ~SampleSource() = default;
  /// How many there are; `unknown` where only going on tells: then `has` and `read` are asked for one sample
  /// after another, by one thread at a time.
  [[nodiscard]] virtual std::int64_t count() const = 0;
  /// Is there a sample of that number?
  [[nodiscard]] virtual bool has(std::int64_t sample) const { return sample < count(); }
  /// What messages and manifests call a sample.
  [[nodiscard]] virtual std::string name(std::int64_t sample) const = 0;
  /// The sample as the model takes it. Asked from several threads. Throws Error, which a run may skip, but
  /// for Error(cancelled), which ends it.
  [[nodiscard]] virtual Tensor read(std::int64_t sample) const = 0;
  /// Which files are meant: the same text for the same ones; empty for arrays, whose count says enough.
  [[nodiscard]] virtual std::string digest() const = 0;
};

/// What one of the model's inputs takes its samples from. The sources of several inputs go together sample by
/// sample; the first one's names are those of the samples.
struct StreamInput {
  SampleType type;
  std::shared_ptr<const SampleSource> source;
};

/// How files become samples.
struct SampleFiles {
  SampleType type;
  std::optional<io::Preprocessing> recipe = {};      ///< for pictures; without it they are refused
  std::string no_recipe = "pictures need a recipe";  ///< what is said then
};

/// One `.npy` file (its first axis are the samples; it may be larger than memory), or what folders (their
/// pictures and `.npy` files, in the order of their names), lists (`.txt`, `.lst`: a file a line, relative to
/// the list; `#` begins a comment) and files hold one after another. Nothing but headers is read. Throws
/// Error(io) for what is not there or holds nothing, and Error(shape) for arrays that do not fit.
[[nodiscard]] std::unique_ptr<SampleSource> open_samples(std::span<const std::string> paths,
                                                         const SampleFiles& how);
/// Is this a path that only streams take: a folder or a list?
[[nodiscard]] bool is_sample_folder_or_list(const std::string& path);

/// What a manifest says of how the samples were asked: JSON values where they are not plain text.
struct StreamQuestion {
  /// A method and its parameters.
  struct Method {
    std::string label;                                            ///< as Explainer::methods has it
    std::vector<std::pair<std::string, std::string>> parameters;  ///< name, and value as JSON
    std::string rules;  ///< the rules that it stands for, of which a digest is kept
  };
  std::string model_name, model_digest, model_dtype;
  std::vector<Method> methods;
  std::string target = "null", seed = "null", output = "0", head = "logit", precision = "exact", aux = "null";
  /// So many targets of every sample are explained, and arrays have an axis for them, as with
  /// ExplainChoices::stacked; 0: one, and no axis.
  std::int64_t stacked = 0;
  bool rounding = true;
  std::vector<std::string> keep;
  io::Preprocessing preprocessing;
  /// The name of an explained score, and of outputs with several axes its place.
  std::function<std::string(std::int64_t score)> label;
  std::vector<std::int64_t> score_dims;  ///< axes of one sample's output
};

/// Methods as manifests tell them: their parameters, defaults where nothing else was given, and their rules.
[[nodiscard]] std::vector<StreamQuestion::Method> stream_methods(const Explainer& explainer,
                                                                 std::span<const AnalyzerCall> calls,
                                                                 const RuleLibrary& rules);

/// A part of a run, before it is written.
struct StreamShard {
  std::int64_t number = 0;
  std::vector<std::int64_t> samples;   ///< numbers of those that were explained
  Inputs inputs;                       ///< what the model was given, each [n, ...]
  const Explanation* found = nullptr;  ///< null: none of its samples could be explained
};

/// How a run goes on its way.
struct StreamOptions {
  std::int64_t shard =
      0;  ///< samples in a file; 0: at most 256, as `memory` allows, and on going on what it was
  std::size_t memory = std::size_t{1} << 30;  ///< bytes that samples and results in flight may take
  std::int64_t batch_size = 16;               ///< samples computed at once
  int threads = 0;
  int readers = 2;      ///< shards that are read and decoded while one is computed
  bool resume = false;  ///< go on at the first shard that is missing
  bool skip = false;    ///< what cannot be read or explained is counted and left out
  /// With Targets::given: one for all, or one for each sample; stacked ones for all.
  std::vector<std::int64_t> targets = {};
  Inputs shared = {};  ///< inputs that hold no samples: the same for all
  Tensor seed = {};    ///< with Question::Seed::tensor: [scores]
  /// Shards [first, second) alone, whatever of them is there, and no manifest: for machines that share a run.
  std::optional<std::pair<std::int64_t, std::int64_t>> part = {};
  std::function<void(std::int64_t done, std::int64_t samples)> progress = {};
  std::function<void(const StreamShard& shard)> on_shard = {};  ///< told before a shard is written
  std::stop_token stop = {};
};

/// What a run has done.
struct StreamSummary {
  std::int64_t explained = 0, shards = 0, shard_size = 0;
  std::vector<std::pair<std::string, std::string>> failed;  ///< name and error of what was left out
};

/// Explains all samples and writes shards, their records and, last, `manifest.json` to `folder`; shards are
/// `.npy` files, and where the folder is called `*.zarr` the chunks of Zarr arrays (version 2 of its format,
/// not compressed), in which a sample stands at its own number and what was left out is NaN. The next shards
/// are read and the one before is written while one is computed. Throws what reading and explaining throw
/// unless they are skipped; Error(shape) where inputs have different numbers of samples; Error(io) where the
/// folder holds something and `resume` is off; Error(invalid_argument) where it holds another run, which names
/// what differs.
StreamSummary run_stream(const Explainer& explainer, std::span<const StreamInput> inputs,
                         const std::string& folder, const StreamQuestion& question,
                         const StreamOptions& options);

/// The manifest of an explanation whose arrays lie beside it whole, `METHOD.npy`: a row of `samples` for each
/// sample and each of its targets, in the order of the arrays.
[[nodiscard]] std::string manifest_of(const Explanation& found, std::span<const std::string> names,
                                      const StreamQuestion& question, std::int64_t batch_size);

/// An array in a manifest: the numbers of short lists, else a digest of its bytes and its shape. JSON.
[[nodiscard]] std::string array_json(const Tensor& array, std::int64_t most = 64);

/// The first 16 hexadecimal digits of the SHA-256 of a text: what manifests and pages call a digest.
[[nodiscard]] std::string digest_of(std::string_view text);

/// An attribution with the samples first, behind them their stacked targets and then the loops of a method's
/// own, [N, targets, n, ...].
[[nodiscard]] Tensor samples_first(const Explanation& found, std::size_t method, std::size_t node,
                                   bool stacked = false);

}  // namespace rulegrad
