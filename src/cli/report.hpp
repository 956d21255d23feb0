#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/draw/grid.hpp"
#include "rulegrad/draw/heatmap.hpp"
#include "rulegrad/draw/page.hpp"
#include "rulegrad/draw/tokens.hpp"

#include "cli/inputs.hpp"
#include "cli/names.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace rulegrad::cli {

struct ReportOptions {
  std::string output;
  std::string colormap = "rulegrad";
  std::string reduce = "sum";
  std::string shown_as;
  std::string features, tokens;
  std::optional<double> percentile;  ///< 99 for pictures and 100 for the rest unless said
  bool overlay = false, dark = false;
  std::int64_t upscale = 0;
  std::int64_t pictures = -1;  ///< so many samples are drawn; -1: all of them, of a stream 16
};

/// Colours, names and reductions alone.
void add_look_options(CLI::App& command, ReportOptions& options);
/// All of them.
void add_report_options(CLI::App& command, ReportOptions& options);

/// Tells before anything is computed that what --output names cannot hold what is asked for.
void check_output_choice(const ReportOptions& options, std::size_t maps, std::int64_t targets);

/// Does --output name a directory?
[[nodiscard]] bool is_directory_name(const std::string& output);

/// An input of integers whose attribution is shown token by token.
struct TokenInput {
  Tensor ids;             ///< of all samples
  std::int64_t rows = 0;  ///< of the table that looks them up
};

/// Shows what an explanation found, and writes it: raw arrays, heat maps, bars, plots, coloured tokens, or
/// all of them.
class Report {
 public:
  struct Parts {
    const ScoreNames& scores;
    std::string seed;                          ///< the file of a seed of the person's own
    std::map<std::string, TokenInput> tokens;  ///< by the node's name
    std::string score_kind = "score";  ///< what the explained number is: a logit, a probability, a score
    std::string manifest = {};         ///< what manifest.json of a directory holds
  };
  Report(const ReportOptions& options, const Samples& samples, const Explanation& found, Parts parts);

  /// What --output asks for, then a summary.
  void write() const;
  /// Pictures of the first samples, and one of all of them under the name `grid`.
  void write_pictures(const std::string& directory, const std::string& grid) const;
  /// The samples that are drawn, as parts of a page.
  [[nodiscard]] std::vector<io::PageSample> page_samples() const;

 private:
  /// A method's attribution of a node.
  struct Map {
    std::size_t method, node;
    std::string name;  ///< `lrp.epsilon`, or `lrp.epsilon@conv1` where several nodes are explained
  };
  enum class Look { picture, series, bars, tokens };

  [[nodiscard]] Look look_of(const Map& map, const Tensor& values) const;
  [[nodiscard]] Tensor array_of(const Map& map) const;
  [[nodiscard]] std::string explained_name(std::int64_t sample, std::int64_t target) const;
  [[nodiscard]] double explained_score(std::int64_t sample, std::int64_t target) const;
  [[nodiscard]] Tensor series_of(const Map& map, const Tensor& values, std::int64_t sample) const;
  [[nodiscard]] std::vector<std::string> features_of(const Map& map, std::int64_t sample,
                                                     std::int64_t count) const;
  [[nodiscard]] io::TokenMap tokens_of(const Map& map, std::int64_t sample, std::int64_t target) const;
  [[nodiscard]] Tensor shown_values(const Map& map, std::int64_t sample, std::int64_t target) const;
  [[nodiscard]] io::Picture shown_input(std::int64_t sample) const;
  [[nodiscard]] io::Figure drawn(const Map& map, std::int64_t sample, std::int64_t target) const;
  /// Samples [first, last), of each the targets [first_target, last_target).
  [[nodiscard]] io::Figure grid(std::int64_t first, std::int64_t last, std::int64_t first_target,
                                std::int64_t last_target) const;
  [[nodiscard]] io::PagePart page_part(const Map& map, std::int64_t sample, std::int64_t target,
                                       std::optional<std::size_t> input) const;
  [[nodiscard]] io::HeatmapOptions heatmap_options() const;
  [[nodiscard]] std::string page() const;
  void require_finite() const;
  void write_figure(const std::string& path, const io::Figure& figure) const;
  void write_directory() const;
  void write_archive() const;
  void summarize() const;
  [[nodiscard]] std::string summary_of(const Map& map, std::int64_t sample, std::int64_t target) const;

  const ReportOptions& options_;
  const Samples& samples_;
  const Explanation& found_;
  Parts parts_;
  std::vector<Map> maps_;
  std::vector<std::string> features_;
  TokenNames token_names_;
  std::int64_t targets_ = 1;  ///< of each sample
  std::int64_t drawn_ = 0;    ///< how many samples are drawn
};

}  // namespace rulegrad::cli
