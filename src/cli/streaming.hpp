#pragma once

#include <cstdint>
#include <string>

#include "cli/analysis.hpp"
#include "cli/report.hpp"

/// `analyze` over more samples than fit into memory: shards, a manifest, and going on after an end.
namespace rulegrad::cli {

struct StreamChoices {
  std::int64_t shard = 0;  ///< samples in a file; 0: as --memory allows
  bool resume = false;
  std::string on_error;  ///< stop or skip; empty: not said
};

void add_stream_options(CLI::App& command, StreamChoices& choices);

/// Is this for a stream: a folder or a list, an option of streams, or a .npy file that --memory does not hold
/// with its results and whose results go to a folder?
[[nodiscard]] bool is_stream(const AnalysisOptions& options, const StreamChoices& choices,
                             const ReportOptions& report);

/// Explains everything that --input names and writes shards to the folder --output.
void run_stream(const AnalysisOptions& options, const StreamChoices& choices, const ReportOptions& report);

}  // namespace rulegrad::cli
