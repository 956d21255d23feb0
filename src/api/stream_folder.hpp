#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/api/stream.hpp"
#include "rulegrad/support/json.hpp"

/// What lies in the folder of a stream, and how it is written down.
namespace rulegrad {

/// Names of methods and nodes as names of folders, each its own.
[[nodiscard]] std::vector<std::string> folder_names(const std::vector<std::string>& names);

/// What was left out: name and error.
using LeftOut = std::vector<std::pair<std::string, std::string>>;

/// The folder of one run.
class StreamFolder {
 public:
  /// What a run is: JSON values by name, in the order of the names.
  using Facts = std::vector<std::pair<std::string, std::string>>;

  /// How arrays are cut.
  struct Layout {
    std::int64_t count = 0;  ///< samples, or SampleSource::unknown
    std::int64_t shard = 1;  ///< samples in a file
    bool stacked = false;    ///< several targets of each sample have an axis
  };

  StreamFolder(std::filesystem::path folder, Facts facts, const std::vector<std::string>& methods,
               const std::vector<std::string>& nodes, Layout layout);

  /// The number of samples in a shard of the run that lies there; 0 where there is none.
  [[nodiscard]] static std::int64_t shard_size_in(const std::filesystem::path& folder);

  /// Makes the folder, or goes on with it: how many shards, from the first on, are there. Throws as
  /// run_stream says.
  [[nodiscard]] std::int64_t begin(bool resume);
  /// Writes the files of a shard, and its record last: a shard without one is made again.
  void write(const StreamShard& shard, const SampleSource& source, const StreamQuestion& question,
             const LeftOut& failed) const;
  /// Puts all records together as manifest.json.
  StreamSummary finish(std::int64_t shards) const;

 private:
  [[nodiscard]] std::filesystem::path record(std::int64_t number) const;
  /// An array of a shard whose samples, with those that were left out, are `read`.
  void write_array(const StreamShard& shard, const std::filesystem::path& where, const Tensor& array,
                   std::int64_t read) const;

  std::filesystem::path folder_;
  Facts facts_;
  std::vector<std::string> method_folders_, node_folders_;
  Layout layout_;
  bool zarr_;  ///< chunks of Zarr arrays, not .npy files
};

/// The facts of a run: what must be the same for going on with it.
[[nodiscard]] StreamFolder::Facts stream_facts(const Explainer& explainer,
                                               std::span<const StreamInput> inputs,
                                               const StreamQuestion& question, const StreamOptions& options);

/// An explained score as a row: the sample's name, what was explained, and its score.
void write_sample(Json& json, const std::string& name, const Explanation& found, std::size_t place,
                  const StreamQuestion& question);

}  // namespace rulegrad
