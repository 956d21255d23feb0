#pragma once

#include <span>
#include <string>
#include <vector>

#include "cli/session.hpp"
#include "rulegrad/io/heatmap.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace rulegrad::cli {

struct ReportOptions {
  std::string output;
  std::string colormap = "rulegrad";
  std::string reduce = "sum";
  double percentile = 100;
  bool overlay = false;
  std::int64_t upscale = 0;
};

void add_report_options(CLI::App& command, ReportOptions& options);

/// Tells before anything is computed that what --output names cannot hold what is asked for.
void check_output_choice(const ReportOptions& options, std::size_t methods, std::size_t passes);

/// Gathers the maps of a call and writes them: raw arrays, single heat maps, a grid, or a directory of all of them.
class Report {
 public:
  Report(const ReportOptions& options, const Samples& samples, std::vector<std::string> labels);

  void add_method(std::string name) { methods_.push_back({std::move(name), {}}); }
  /// Scores and one map a method for samples `first`, `first` + 1, ... of a pass over the targets.
  void add_batch(std::size_t pass, std::int64_t first, const Tensor& scores, std::span<const Tensor> attributions);
  void write() const;

 private:
  struct Method {
    std::string name;
    std::vector<Tensor> passes;  ///< the whole batch, one array a pass
  };

  [[nodiscard]] Tensor array_of(const Method& method) const;
  [[nodiscard]] Tensor sample_of(const Tensor& batch, std::int64_t sample) const;
  [[nodiscard]] io::Picture heatmap(const Method& method, std::size_t pass, std::int64_t sample) const;
  [[nodiscard]] io::Picture grid(std::size_t pass) const;
  [[nodiscard]] io::HeatmapOptions heatmap_options() const;
  void write_directory() const;
  void summarize() const;

  const ReportOptions& options_;
  const Samples& samples_;
  std::vector<std::string> labels_;
  std::vector<Method> methods_;
  std::vector<std::int64_t> best_;  ///< of each sample: the largest score's index
  std::vector<double> best_score_;
  std::int64_t scores_ = 0;
};

}  // namespace rulegrad::cli
