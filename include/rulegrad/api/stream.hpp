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
  virtual ~SampleSource() = default;
  /// How many there are.
  [[nodiscard]] virtual std::int64_t count() const = 0;
  /// What messages and manifests call a sample.
  [[nodiscard]] virtual std::string name(std::int64_t sample) const = 0;
  /// The sample as the model takes it. Asked from several threads. Throws Error.
  [[nodiscard]] virtual Tensor read(std::int64_t sample) const = 0;
  /// Which files are meant: the same text for the same ones; empty for arrays, whose count says enough.
  [[nodiscard]] virtual std::string digest() const = 0;
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
  bool rounding = true;
  std::vector<std::string> keep;
  io::Preprocessing preprocessing;
  /// The name of an explained score, and of outputs with several axes its place.
  std::function<std::string(std::int64_t score)> label;
  std::vector<std::int64_t> score_dims;  ///< axes of one sample's output
};

/// A part of a run, before it is written.
struct StreamShard {
  std::int64_t number = 0;
  std::vector<std::int64_t> samples;   ///< numbers of those that were explained
  Tensor values;                       ///< what the model was given, [n, ...]
  const Explanation* found = nullptr;  ///< null: none of its samples could be explained
};

/// How a run goes on its way.
struct StreamOptions {
  std::int64_t shard =
      0;  ///< samples in a file; 0: at most 256, as `memory` allows, and on going on what it was
  std::size_t memory = std::size_t{1} << 30;  ///< bytes that samples and results in flight may take
  std::int64_t batch_size = 16;               ///< samples computed at once
  int threads = 0;
  int readers = 2;                         ///< shards that are read and decoded while one is computed
  bool resume = false;                     ///< go on at the first shard that is missing
  bool skip = false;                       ///< what cannot be read or explained is counted and left out
  std::vector<std::int64_t> targets = {};  ///< with Targets::given: one for all, or one for each sample
  Tensor seed = {};                        ///< with Question::Seed::tensor: [scores]
  std::function<void(std::int64_t done, std::int64_t samples)> progress = {};
  std::function<void(const StreamShard& shard)> on_shard = {};  ///< told before a shard is written
  std::stop_token stop = {};
};

/// What a run has done.
struct StreamSummary {
  std::int64_t explained = 0, shards = 0, shard_size = 0;
  std::vector<std::pair<std::string, std::string>> failed;  ///< name and error of what was left out
};

/// Explains all samples of a source and writes shards, their records and, last, `manifest.json` to `folder`.
/// The next shards are read and the one before is written while one is computed. Throws what reading and
/// explaining throw unless they are skipped; Error(io) where the folder holds something and `resume` is off;
/// Error(invalid_argument) where it holds another run, which names what differs.
StreamSummary run_stream(const Explainer& explainer, const SampleSource& source, const SampleType& type,
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

/// An attribution with the samples first: loops of a method's own stand behind them, [N, n, ...].
[[nodiscard]] Tensor samples_first(const Explanation& found, std::size_t method, std::size_t node);

}  // namespace rulegrad
