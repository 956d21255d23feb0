#include "cli/report.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/api/stream.hpp"
#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/series.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

enum class Form { none, array, archive, picture, page, directory };

Form form_of(const std::string& output) {
  if (output.empty()) return Form::none;
  const std::string extension = fs::path(output).extension().string();
  if (extension == ".npy") return Form::array;
  if (extension == ".npz") return Form::archive;
  if (extension == ".png" || extension == ".svg" || extension == ".pdf") return Form::picture;
  if (extension == ".html") return Form::page;
  if (fs::is_directory(output) || extension.empty() || extension == ".zarr" || output.back() == '/')
    return Form::directory;
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format(
          "--output '{}' ends in '{}': give a .npy, .npz, .png, .svg, .pdf or .html file, or a directory",
          output, extension));
}

io::ChannelReduction reduction_from_name(const std::string& name) {
  const std::map<std::string, io::ChannelReduction> known{{"sum", io::ChannelReduction::sum},
                                                          {"mean", io::ChannelReduction::mean},
                                                          {"max_abs", io::ChannelReduction::max_abs},
                                                          {"none", io::ChannelReduction::none}};
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [word, reduction] : known) names.push_back(word);
  throw Error(ErrorCode::unknown_name, unknown_name_message("--reduce", name, names));
}

/// Labels of methods and names of nodes hold what file names do without.
std::string file_name(std::string text) {
  for (char& c : text)
    if (std::string_view("/\\:*?\"<>|=, ").find(c) != std::string_view::npos ||
        static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '_';
  while (text.starts_with('.')) text[0] = '_';
  return text;
}

/// Fails early and by name where a file cannot be made.
void require_writable_parent(const std::string& output) {
  const fs::path parent = fs::absolute(output).parent_path();
  if (!fs::is_directory(parent))
    throw Error(ErrorCode::io,
                fmt::format("cannot write '{}': there is no directory '{}'", output, parent.string()));
}

/// A figure of one sample has so many rows.
constexpr std::int64_t most_classes = 16;

}  // namespace

void add_look_options(CLI::App& command, ReportOptions& options) {
  command
      .add_option("--show-as", options.shown_as,
                  "How maps are drawn: picture, series (over the input as a line), bars or tokens; by "
                  "default what the\ninput looks like")
      ->type_name("LOOK");
  command
      .add_option("--features", options.features,
                  "A text file with one name a line, for the features of a table")
      ->type_name("FILE");
  command
      .add_option("--tokens", options.tokens,
                  "A text file with one token a line: a vocabulary, or the tokens of the samples")
      ->type_name("FILE");
  command.add_option("--colormap", options.colormap, "Colours of heat maps: " + join(io::ColorMap::names()))
      ->type_name("NAME");
  command
      .add_option("--reduce", options.reduce,
                  "How channels become one map: sum (default), mean, max_abs, none")
      ->type_name("HOW");
  command
      .add_option(
          "--percentile", options.percentile,
          "Full colour at this percentile of the magnitudes (default 99 for pictures, so that one outlier "
          "does not pale the rest, and\n100 for bars, series and tokens)")
      ->type_name("P")
      ->check(CLI::Range(0.0, 100.0));
}

void add_report_options(CLI::App& command, ReportOptions& options) {
  command
      .add_option(
          "--output,-o", options.output,
          "x.npy: the raw attribution, with the input's shape; x.npz: those of all methods and nodes; x.png, "
          "x.svg, x.pdf: a\n"
          "heat map, or a grid of several; x.html: coloured tokens; a directory: arrays and pictures of\n"
          "everything; x.zarr: arrays in Zarr's format, a chunk a shard. Without it a summary is printed")
      ->type_name("PATH");
  add_look_options(command, options);
  command
      .add_option("--pictures", options.pictures,
                  "Draw the first so many samples of a directory only (default: all, of a stream 16)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command.add_flag("--overlay", options.overlay, "Lay heat maps over the picture");
  command.add_flag("--dark", options.dark, "Draw for a dark page");
  command
      .add_option("--upscale", options.upscale, "Pixels a side for each value (default: at least 128 a map)")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{4096}));
}

void check_output_choice(const ReportOptions& options, std::size_t maps, std::int64_t targets) {
  (void)reduction_from_name(options.reduce);
  (void)io::ColorMap::named(options.colormap);
  const std::vector<std::string> looks{"picture", "series", "bars", "tokens"};
  if (!options.shown_as.empty() && std::find(looks.begin(), looks.end(), options.shown_as) == looks.end())
    throw Error(ErrorCode::unknown_name, unknown_name_message("--show-as", options.shown_as, looks));
  const Form form = form_of(options.output);
  if (form == Form::none) return;
  require_writable_parent(options.output);
  if (form == Form::array && maps > 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--output '{}' holds one array but {} methods or nodes were asked for, one array "
                            "each; give a .npz file or a directory, or choose one with --at",
                            options.output, maps));
  if (form == Form::picture && targets > most_classes)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format("--target asks for {} scores of each sample, a row of the figure each; at most {} fit; "
                    "give a directory as --output",
                    targets, most_classes));
}

bool is_directory_name(const std::string& output) {
  return form_of(output) == Form::directory;
}

Report::Report(const ReportOptions& options, const Samples& samples, const Explanation& found, Parts parts)
    : options_(options),
      samples_(samples),
      found_(found),
      parts_(std::move(parts)),
      token_names_(options.tokens) {
  for (std::size_t m = 0; m < found.methods().size(); ++m)
    for (std::size_t n = 0; n < found.nodes().size(); ++n)
      maps_.push_back({m, n,
                       found.nodes().size() < 2
                           ? found.methods()[m]
                           : fmt::format("{}@{}", found.methods()[m], found.nodes()[n])});
  if (!options.features.empty()) features_ = read_lines(options.features, "the features");
  targets_ =
      static_cast<std::int64_t>(found.explained_scores().size()) / std::max<std::int64_t>(samples.count(), 1);
  drawn_ = options.pictures < 0 ? samples.count() : std::min(options.pictures, samples.count());
  if (!options.tokens.empty() && parts_.tokens.empty())
    throw Error(ErrorCode::invalid_argument,
                "--tokens belongs to inputs of token ids, and none is explained");
  for (const auto& [node, input] : parts_.tokens)
    (void)token_names_.of(input.ids, 0, samples_.count(), input.rows);  // told before anything is written
  if (features_.empty()) return;
  bool fits = false;
  for (const Map& map : maps_)
    fits = fits ||
           features_.size() == static_cast<std::size_t>(found_.of_sample(map.method, map.node, 0).size());
  if (!fits)
    throw Error(ErrorCode::shape,
                fmt::format("'{}' has {} names but a sample of what is explained has {} values",
                            options.features, features_.size(), found_.of_sample(0, 0, 0).size()));
}

Report::Look Report::look_of(const Map& map, const Tensor& values) const {
  const std::string& asked = options_.shown_as;
  if (asked == "tokens" && !parts_.tokens.contains(found_.nodes()[map.node]))
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--show-as tokens: '{}' holds no token ids", found_.nodes()[map.node]));
  if (!asked.empty())
    return asked == "picture"  ? Look::picture
           : asked == "series" ? Look::series
           : asked == "bars"   ? Look::bars
                               : Look::tokens;
  if (parts_.tokens.contains(found_.nodes()[map.node])) return Look::tokens;
  const bool series = io::looks_like_series(values.dims(), !features_.empty());
  if (values.rank() < 2) return series ? Look::series : Look::bars;
  return series && samples_.inputs.contains(found_.nodes()[map.node]) ? Look::series : Look::picture;
}

Tensor Report::array_of(const Map& map) const {
  return samples_first(found_, map.method, map.node, targets_ > 1);
}

std::string Report::explained_name(std::int64_t sample, std::int64_t target) const {
  return found_.targets().empty()
             ? parts_.seed
             : parts_.scores.name(found_.targets()[static_cast<std::size_t>(sample * targets_ + target)]);
}

double Report::explained_score(std::int64_t sample, std::int64_t target) const {
  return found_.explained_scores()[static_cast<std::size_t>(sample * targets_ + target)];
}

void Report::require_finite() const {
  for (const Map& map : maps_) {
    const Tensor& values = found_.attribution(map.method, map.node);
    for (std::int64_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values.at(i)))
        throw Error(ErrorCode::non_finite, fmt::format("{} gives {} at element {} of {}; nothing was written",
                                                       map.name, values.at(i), i, to_string(values.dims())));
  }
}

void Report::write() const {
  require_finite();
  switch (form_of(options_.output)) {
    case Form::none:
      break;
    case Form::array:
      io::write_npy(options_.output, array_of(maps_[0]));
      break;
    case Form::archive:
      write_archive();
      break;
    case Form::picture:
      write_figure(options_.output, maps_.size() == 1 && samples_.count() == 1 && targets_ == 1
                                        ? drawn(maps_[0], 0, 0)
                                        : grid(0, samples_.count(), 0, targets_));
      break;
    case Form::page:
      io::write_text(options_.output, page());
      break;
    case Form::directory:
      write_directory();
      break;
  }
  summarize();
}

void Report::write_figure(const std::string& path, const io::Figure& figure) const {
  io::write_figure(path, options_.dark ? figure.dark() : figure);
}

std::string Report::page() const {
  std::vector<io::TokenMap> maps;
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample)
    for (std::int64_t target = 0; target < targets_; ++target)
      for (const Map& map : maps_)
        if (parts_.tokens.contains(found_.nodes()[map.node])) maps.push_back(tokens_of(map, sample, target));
  if (maps.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--output '{}' shows tokens, and no input of token "
                            "ids is explained; `rulegrad report` writes a page of anything, "
                            "and a .png file or a directory holds its pictures",
                            options_.output));
  return io::tokens_html(maps, "What counted", {.colormap = options_.colormap});
}

void Report::write_archive() const {
  std::vector<std::pair<std::string, Tensor>> arrays;
  for (const Map& map : maps_) arrays.emplace_back(map.name, array_of(map));
  arrays.emplace_back("scores", found_.scores());
  io::write_npz(options_.output, arrays);
}

void Report::write_directory() const {
  std::error_code problem;
  fs::create_directories(options_.output, problem);
  if (problem)
    throw Error(ErrorCode::io,
                fmt::format("cannot make the directory '{}': {}", options_.output, problem.message()));
  for (const Map& map : maps_)
    io::write_npy(fs::path(options_.output) / (file_name(map.name) + ".npy"), array_of(map));
  write_pictures(options_.output, "grid");
  if (!parts_.tokens.empty()) io::write_text(fs::path(options_.output) / "tokens.html", page());
  if (!parts_.manifest.empty()) io::write_text(fs::path(options_.output) / "manifest.json", parts_.manifest);
}

void Report::write_pictures(const std::string& directory, const std::string& grid_name) const {
  if (drawn_ == 0) return;
  std::error_code problem;
  fs::create_directories(directory, problem);
  if (problem)
    throw Error(ErrorCode::io,
                fmt::format("cannot make the directory '{}': {}", directory, problem.message()));
  const auto file = [&](std::int64_t sample, const std::string& rest) {
    return fs::path(directory) /
           (file_name(samples_.names[static_cast<std::size_t>(sample)] + rest) + ".png");
  };
  for (std::int64_t sample = 0; sample < drawn_; ++sample) {
    for (std::int64_t target = 0; target < targets_; ++target)
      for (const Map& map : maps_)
        write_figure(file(sample, "." + map.name + (targets_ > 1 ? fmt::format(".class{}", target) : "")),
                     drawn(map, sample, target));
    if (targets_ > 1 && targets_ <= most_classes)
      write_figure(file(sample, ".classes"), grid(sample, sample + 1, 0, targets_));
  }
  for (std::int64_t target = 0; target < targets_; ++target)
    write_figure(
        fs::path(directory) / (grid_name + (targets_ > 1 ? fmt::format(".class{}", target) : "") + ".png"),
        grid(0, drawn_, target, target + 1));
}

}  // namespace rulegrad::cli
