#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/api/stream.hpp"

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

  StreamFolder(std::filesystem::path folder, Facts facts, const std::vector<std::string>& methods,
               const std::vector<std::string>& nodes);

  /// The number of samples in a shard of the run that lies there; 0 where there is none.
  [[nodiscard]] static std::int64_t shard_size_in(const std::filesystem::path& folder);

  /// Makes the folder, or goes on with it: how many shards, from the first on, are there. Throws as
  /// run_stream says.
  [[nodiscard]] std::int64_t begin(bool resume);
  /// Writes the files of a shard, and its record last: a shard without one is made again.
  void write(const StreamShard& shard, std::int64_t shard_size, const SampleSource& source,
             const StreamQuestion& question, const LeftOut& failed) const;
  /// Puts all records together as manifest.json.
  StreamSummary finish(std::int64_t shards) const;

 private:
  [[nodiscard]] std::filesystem::path record(std::int64_t number) const;

  std::filesystem::path folder_;
  Facts facts_;
  std::vector<std::string> method_folders_, node_folders_;
};

/// The facts of a run: what must be the same for going on with it.
[[nodiscard]] StreamFolder::Facts stream_facts(const Explainer& explainer, const SampleSource& source,
                                               const StreamQuestion& question, const StreamOptions& options);

}  // namespace rulegrad
