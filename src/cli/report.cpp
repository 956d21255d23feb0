#include "cli/report.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <numeric>
#include <unistd.h>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/draw/series.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

enum class Form { none, array, archive, picture, page, directory };

Form form_of(const std::string& output) {
  if (output.empty()) return Form::none;
  const std::string extension = fs::path(output).extension().string();
  if (extension == ".npy") return Form::array;
  if (extension == ".npz") return Form::archive;
  if (extension == ".png") return Form::picture;
  if (extension == ".html") return Form::page;
  if (fs::is_directory(output) || extension.empty() || output.back() == '/') return Form::directory;
  throw Error(ErrorCode::invalid_argument,
              fmt::format("--output '{}' ends in '{}': give a .npy, .npz, .png or .html file, or a directory",
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

/// Runs of a loop stand behind the samples, [N, n, ...], so that rows are samples.
Tensor samples_first(const Tensor& stacked, std::size_t axis) {
  Dims dims = stacked.dims();
  const std::int64_t loops = element_count(std::span(dims).first(axis)), samples = dims[axis];
  const std::size_t each =
      stacked.bytes() / static_cast<std::size_t>(std::max<std::int64_t>(loops * samples, 1));
  std::rotate(dims.begin(), dims.begin() + static_cast<std::ptrdiff_t>(axis),
              dims.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  Tensor result = Tensor::uninitialized(stacked.dtype(), dims);
  for (std::int64_t b = 0; b < samples; ++b)
    for (std::int64_t k = 0; k < loops; ++k)
      std::copy_n(stacked.data() + static_cast<std::size_t>(k * samples + b) * each, each,
                  result.mutable_data() + static_cast<std::size_t>(b * loops + k) * each);
  return result;
}

constexpr std::int64_t most_bars_in_words = 20;
/// A table of so many columns is read as a table, what is longer as a series, unless features have names.
constexpr std::int64_t longest_table = 64;
constexpr std::int64_t most_series_channels = 16;

}  // namespace

void add_report_options(CLI::App& command, ReportOptions& options) {
  command
      .add_option(
          "--output,-o", options.output,
          "x.npy: the raw attribution, with the input's shape; x.npz: those of all methods and nodes; x.png: "
          "a\n"
          "heat map, or a grid of several; x.html: coloured tokens; a directory: arrays and pictures of\n"
          "everything. Without it a summary is printed")
      ->type_name("PATH");
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
      .add_option("--percentile", options.percentile,
                  "Full colour at this percentile of the magnitudes (default 100)")
      ->type_name("P")
      ->check(CLI::Range(0.0, 100.0));
  command.add_flag("--overlay", options.overlay, "Lay heat maps over the picture");
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
  if (form == Form::picture && targets > 1)
    throw Error(ErrorCode::invalid_argument,
                "--target all gives one map a class; give a directory as --output");
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
  if (values.rank() < 2)
    return features_.empty() && values.size() > longest_table ? Look::series : Look::bars;
  const auto input = samples_.inputs.find(found_.nodes()[map.node]);
  const bool channels_of_time =
      values.rank() == 2 && values.dims()[0] <= most_series_channels && values.dims()[1] > values.dims()[0];
  return channels_of_time && input != samples_.inputs.end() ? Look::series : Look::picture;
}

Tensor Report::array_of(const Map& map) const {
  const Tensor& whole = found_.attribution(map.method, map.node);
  const auto& layout = found_.layout(map.method, map.node);
  return layout.loops > 0 && layout.axis == layout.loops ? samples_first(whole, layout.axis) : whole;
}

std::string Report::explained_name(std::int64_t sample, std::int64_t target) const {
  return found_.targets().empty()
             ? parts_.seed
             : parts_.scores.name(found_.targets()[static_cast<std::size_t>(sample * targets_ + target)]);
}

double Report::explained_score(std::int64_t sample, std::int64_t target) const {
  return found_.explained_scores()[static_cast<std::size_t>(sample * targets_ + target)];
}

io::HeatmapOptions Report::heatmap_options() const {
  io::HeatmapOptions options;
  options.reduce = reduction_from_name(options_.reduce);
  options.layout = samples_.preprocessing.layout;
  options.colormap = options_.colormap;
  options.percentile = options_.percentile;
  options.upscale = options_.upscale;
  return options;
}

/// The signal that a map is drawn over: the sample itself where the input is explained.
Tensor Report::series_of(const Map& map, const Tensor& values, std::int64_t sample) const {
  const auto input = samples_.inputs.find(found_.nodes()[map.node]);
  if (input == samples_.inputs.end() || input->second.rank() == 0 ||
      input->second.dims()[0] != samples_.count())
    return values;
  const Tensor row = rows(input->second, sample, 1);
  return row.size() == values.size() ? row.reshaped(values.dims()) : values;
}

std::vector<std::string> Report::features_of(const Map& map, std::int64_t sample, std::int64_t count) const {
  if (const auto input = parts_.tokens.find(found_.nodes()[map.node]); input != parts_.tokens.end())
    return token_names_.of(input->second.ids, sample, samples_.count(), input->second.rows);
  return static_cast<std::int64_t>(features_.size()) == count ? features_ : std::vector<std::string>{};
}

io::TokenMap Report::tokens_of(const Map& map, std::int64_t sample, std::int64_t target) const {
  const Tensor values = found_.of_sample(map.method, map.node, sample, target);
  const TokenInput& input = parts_.tokens.at(found_.nodes()[map.node]);
  io::TokenMap result{fmt::format("{}: {} ({:.4g})", samples_.names[static_cast<std::size_t>(sample)],
                                  explained_name(sample, target), explained_score(sample, target)),
                      map.name,
                      token_names_.of(input.ids, sample, samples_.count(), input.rows),
                      {}};
  for (std::int64_t i = 0; i < values.size(); ++i) result.values.push_back(values.at(i));
  return result;
}

io::Picture Report::drawn(const Map& map, std::int64_t sample, std::int64_t target) const {
  Tensor values = found_.of_sample(map.method, map.node, sample, target);
  const Look look = look_of(map, values);
  const io::HeatmapOptions how = heatmap_options();
  if (look == Look::series)
    return io::series_plot(values.rank() == 0 ? values.reshaped({1}) : values, series_of(map, values, sample),
                           {.title = map.name, .colormap = how.colormap, .percentile = how.percentile});
  if (look == Look::bars || look == Look::tokens) {
    values = values.reshaped({values.size()});
    return io::bar_chart(values, features_of(map, sample, values.size()),
                         {.title = map.name,
                          .colormap = how.colormap,
                          .limit = values.size() > 0 && io::symmetric_limit(values, how.percentile) > 0
                                       ? std::optional(io::symmetric_limit(values, how.percentile))
                                       : std::nullopt});
  }
  if (options_.overlay && !samples_.pictures.empty())
    return io::overlay(samples_.pictures[static_cast<std::size_t>(sample)], values, how);
  return io::render(values, how);
}

io::Picture Report::grid(std::int64_t target) const {
  std::vector<std::string> columns;
  for (const Map& map : maps_) columns.push_back(map.name);
  std::vector<io::GridRow> lines;
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample) {
    const auto index = static_cast<std::size_t>(sample);
    io::GridRow row;
    row.label = explained_name(sample, target);
    row.detail =
        targets_ > 1 ? samples_.names[index] : fmt::format("{:.4g}", explained_score(sample, target));
    if (!samples_.pictures.empty()) row.input = samples_.pictures[index];
    for (const Map& map : maps_) {
      Tensor values = found_.of_sample(map.method, map.node, sample, target);
      const Look look = look_of(map, values);
      if (look == Look::bars || look == Look::tokens || values.rank() == 0)
        values = values.reshaped({values.size()});
      row.series.push_back(look == Look::series ? series_of(map, values, sample) : Tensor());
      if (values.rank() == 1 && look != Look::series) row.features = features_of(map, sample, values.size());
      row.attributions.push_back(std::move(values));
    }
    lines.push_back(std::move(row));
  }
  io::GridOptions options;
  options.heatmap = heatmap_options();
  if (options_.overlay && !samples_.pictures.empty()) options.overlay = io::OverlayOptions{};
  return io::grid(columns, lines, options);
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
      io::write_png(options_.output,
                    maps_.size() == 1 && samples_.count() == 1 ? drawn(maps_[0], 0, 0) : grid(0));
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

std::string Report::page() const {
  std::vector<io::TokenMap> maps;
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample)
    for (std::int64_t target = 0; target < targets_; ++target)
      for (const Map& map : maps_)
        if (parts_.tokens.contains(found_.nodes()[map.node])) maps.push_back(tokens_of(map, sample, target));
  if (maps.empty())
    throw Error(ErrorCode::invalid_argument, fmt::format("--output '{}' shows tokens, and no input of token "
                                                         "ids is explained; give a .png file or a directory",
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
  const fs::path directory = options_.output;
  const auto of_class = [&](std::int64_t target) {
    return targets_ > 1 ? fmt::format(".class{}", target) : std::string();
  };
  for (const Map& map : maps_) {
    io::write_npy(directory / (file_name(map.name) + ".npy"), array_of(map));
    for (std::int64_t target = 0; target < targets_; ++target)
      for (std::int64_t sample = 0; sample < samples_.count(); ++sample)
        io::write_png(
            directory / (file_name(samples_.names[static_cast<std::size_t>(sample)] + "." + map.name) +
                         of_class(target) + ".png"),
            drawn(map, sample, target));
  }
  for (std::int64_t target = 0; target < targets_; ++target)
    io::write_png(directory / ("grid" + of_class(target) + ".png"), grid(target));
  if (!parts_.tokens.empty()) io::write_text(directory / "tokens.html", page());
}

std::string Report::summary_of(const Map& map, std::int64_t sample, std::int64_t target) const {
  const Tensor values = found_.of_sample(map.method, map.node, sample, target);
  double sum = 0, largest = 0;
  for (std::int64_t i = 0; i < values.size(); ++i) {
    sum += values.at(i);
    largest = std::max(largest, std::abs(values.at(i)));
  }
  std::string line = fmt::format("  {:<28} sum {:>12.6g}   largest {:>12.6g}", map.name, sum, largest);
  for (const Explanation::Total& total : found_.totals())
    if (total.method == map.method && total.nodes == std::vector{map.node})
      line += fmt::format("   should be {:>10.6g}",
                          total.expected[static_cast<std::size_t>(sample * targets_ + target)]);
  return line + "\n";
}

void Report::summarize() const {
  std::string text;
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample)
    for (std::int64_t target = 0; target < targets_; ++target) {
      text += fmt::format("{}: {} ({:.6g})\n", samples_.names[static_cast<std::size_t>(sample)],
                          explained_name(sample, target), explained_score(sample, target));
      for (const Map& map : maps_) text += summary_of(map, sample, target);
      for (const Explanation::Total& total : found_.totals()) {
        if (total.nodes.size() < 2) continue;
        const auto at = static_cast<std::size_t>(sample * targets_ + target);
        text += fmt::format("  {:<28} sum {:>12.6g}   of all {:>2} inputs           should be {:>10.6g}\n",
                            found_.methods()[total.method], total.reached[at], total.nodes.size(),
                            total.expected[at]);
      }
      for (const Map& map : maps_) {
        if (!parts_.tokens.contains(found_.nodes()[map.node])) continue;
        const io::TokenMap tokens = tokens_of(map, sample, target);
        if (isatty(1) != 0) {
          say(text);
          text.clear();
          fmt::print("    {}\n", io::tokens_line(tokens, {.colormap = options_.colormap}));
          continue;
        }
        std::vector<std::size_t> order(tokens.tokens.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
          return std::abs(tokens.values[a]) > std::abs(tokens.values[b]);
        });
        if (maps_.size() > 1) text += fmt::format("    by {}:\n", map.name);
        for (std::size_t k = 0; k < std::min<std::size_t>(order.size(), most_bars_in_words); ++k)
          text += fmt::format("    {:>12.6g}  {:>4}  {}\n", tokens.values[order[k]], order[k],
                              tokens.tokens[order[k]]);
      }
    }
  if (!options_.output.empty()) text += fmt::format("wrote {}\n", options_.output);
  say(text);
}

}  // namespace rulegrad::cli
