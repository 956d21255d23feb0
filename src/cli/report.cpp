#include "cli/report.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>

#include "rulegrad/error.hpp"
#include "rulegrad/io/colormap.hpp"
#include "rulegrad/io/grid.hpp"
#include "rulegrad/io/npy.hpp"
#include "rulegrad/text.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

enum class Form { none, array, picture, directory };

Form form_of(const std::string& output) {
  if (output.empty()) return Form::none;
  const std::string extension = fs::path(output).extension().string();
  if (extension == ".npy") return Form::array;
  if (extension == ".png") return Form::picture;
  if (fs::is_directory(output) || extension.empty() || output.back() == '/') return Form::directory;
  throw Error(ErrorCode::invalid_argument, fmt::format("--output '{}' ends in '{}': give a .npy file, a .png file or a directory", output, extension));
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

/// Method labels hold `:` and `=`; file names do without.
std::string file_name(std::string text) {
  for (char& c : text)
    if (std::string_view("/\\:*?\"<>|=, ").find(c) != std::string_view::npos) c = '_';
  return text;
}

/// Fails early and by name where a file cannot be made.
void require_writable_parent(const std::string& output) {
  const fs::path parent = fs::absolute(output).parent_path();
  if (!fs::is_directory(parent))
    throw Error(ErrorCode::io, fmt::format("cannot write '{}': there is no directory '{}'", output, parent.string()));
}

}  // namespace

void add_report_options(CLI::App& command, ReportOptions& options) {
  command.add_option("--output,-o", options.output,
                     "x.npy: the raw attribution, with the input's shape; x.png: a heat map, or a grid of several;\n"
                     "a directory: arrays and heat maps of everything. Without it a summary is printed")
      ->type_name("PATH");
  command.add_option("--colormap", options.colormap, "Colours of heat maps: " + join(io::ColorMap::names()))->type_name("NAME");
  command.add_option("--reduce", options.reduce, "How channels become one map: sum (default), mean, max_abs, none")->type_name("HOW");
  command.add_option("--percentile", options.percentile, "Full colour at this percentile of the magnitudes (default 100)")->type_name("P")->check(CLI::Range(0.0, 100.0));
  command.add_flag("--overlay", options.overlay, "Lay heat maps over the picture");
  command.add_option("--upscale", options.upscale, "Pixels a side for each value (default: at least 128 a map)")->type_name("N")->check(CLI::NonNegativeNumber);
}

void check_output_choice(const ReportOptions& options, std::size_t methods, std::size_t passes) {
  (void)reduction_from_name(options.reduce);
  (void)io::ColorMap::named(options.colormap);
  const Form form = form_of(options.output);
  if (form == Form::none) return;
  require_writable_parent(options.output);
  if (form == Form::array && methods > 1)
    throw Error(ErrorCode::invalid_argument, fmt::format("--output '{}' holds one method's array but {} methods were asked for; give a directory",
                                                         options.output, methods));
  if (form == Form::picture && passes > 1)
    throw Error(ErrorCode::invalid_argument, "--target all gives one map a class; give a directory as --output");
}

Report::Report(const ReportOptions& options, const Samples& samples, std::vector<std::string> labels)
    : options_(options),
      samples_(samples),
      labels_(std::move(labels)),
      best_(static_cast<std::size_t>(samples.count())),
      best_score_(static_cast<std::size_t>(samples.count())) {}

void Report::add_batch(std::size_t pass, std::int64_t first, const Tensor& scores, std::span<const Tensor> attributions) {
  const std::int64_t count = attributions[0].dims()[0];
  scores_ = scores.size() / count;
  for (std::int64_t row = 0; row < count; ++row) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < scores_; ++k)
      if (scores.at(row * scores_ + k) > scores.at(row * scores_ + best)) best = k;
    best_[static_cast<std::size_t>(first + row)] = best;
    best_score_[static_cast<std::size_t>(first + row)] = scores.at(row * scores_ + best);
  }
  for (std::size_t m = 0; m < methods_.size(); ++m) {
    Method& method = methods_[m];
    if (method.passes.size() == pass) {
      Dims dims = attributions[m].dims();
      dims[0] = samples_.count();
      method.passes.push_back(Tensor::uninitialized(attributions[m].dtype(), dims));
    }
    const std::size_t row_bytes = attributions[m].bytes() / static_cast<std::size_t>(count);
    std::memcpy(method.passes[pass].mutable_data() + static_cast<std::size_t>(first) * row_bytes, attributions[m].data(), attributions[m].bytes());
  }
}

Tensor Report::array_of(const Method& method) const {
  if (method.passes.size() == 1) return method.passes[0];
  // --target all: the classes stand after the samples, [N, classes, ...].
  Dims dims = method.passes[0].dims();
  dims.insert(dims.begin() + 1, static_cast<std::int64_t>(method.passes.size()));
  Tensor result = Tensor::uninitialized(method.passes[0].dtype(), dims);
  const std::size_t row = method.passes[0].bytes() / static_cast<std::size_t>(samples_.count());
  for (std::size_t pass = 0; pass < method.passes.size(); ++pass)
    for (std::size_t sample = 0; sample < static_cast<std::size_t>(samples_.count()); ++sample)
      std::memcpy(result.mutable_data() + (sample * method.passes.size() + pass) * row, method.passes[pass].data() + sample * row, row);
  return result;
}

Tensor Report::sample_of(const Tensor& batch, std::int64_t sample) const {
  const Tensor one = rows(batch, sample, 1);
  return one.reshaped(Dims(one.dims().begin() + 1, one.dims().end()));
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

io::Picture Report::heatmap(const Method& method, std::size_t pass, std::int64_t sample) const {
  const Tensor map = sample_of(method.passes[pass], sample);
  if (options_.overlay && !samples_.pictures.empty())
    return io::overlay(samples_.pictures[static_cast<std::size_t>(sample)], map, heatmap_options());
  return io::render(map, heatmap_options());
}

io::Picture Report::grid(std::size_t pass) const {
  std::vector<std::string> columns;
  for (const Method& method : methods_) columns.push_back(method.name);
  std::vector<io::GridRow> lines;
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample) {
    const auto index = static_cast<std::size_t>(sample);
    io::GridRow row;
    const std::int64_t shown = methods_[0].passes.size() > 1 ? static_cast<std::int64_t>(pass) : best_[index];
    row.label = label_of(labels_, shown);
    row.detail = methods_[0].passes.size() > 1 ? samples_.names[index] : fmt::format("{:.4g}", best_score_[index]);
    if (!samples_.pictures.empty()) row.input = samples_.pictures[index];
    for (const Method& method : methods_) row.attributions.push_back(sample_of(method.passes[pass], sample));
    lines.push_back(std::move(row));
  }
  io::GridOptions options;
  options.heatmap = heatmap_options();
  if (options_.overlay && !samples_.pictures.empty()) options.overlay = io::OverlayOptions{};
  return io::grid(columns, lines, options);
}

void Report::write() const {
  for (const Method& method : methods_)
    for (const Tensor& map : method.passes)
      for (std::int64_t i = 0; i < map.size(); ++i)
        if (!std::isfinite(map.at(i)))
          throw Error(ErrorCode::non_finite, fmt::format("{} gives {} at element {} of {}; nothing was written", method.name, map.at(i), i,
                                                         to_string(std::span(map.dims()))));
  switch (form_of(options_.output)) {
    case Form::none: break;
    case Form::array: io::write_npy(options_.output, array_of(methods_[0])); break;
    case Form::picture: {
      const bool single = methods_.size() == 1 && samples_.count() == 1;
      io::write_png(options_.output, single ? heatmap(methods_[0], 0, 0) : grid(0));
      break;
    }
    case Form::directory: write_directory(); break;
  }
  summarize();
}

void Report::write_directory() const {
  std::error_code problem;
  fs::create_directories(options_.output, problem);
  if (problem) throw Error(ErrorCode::io, fmt::format("cannot make the directory '{}': {}", options_.output, problem.message()));
  const fs::path directory = options_.output;
  const std::size_t passes = methods_[0].passes.size();
  for (const Method& method : methods_) {
    io::write_npy(directory / (file_name(method.name) + ".npy"), array_of(method));
    for (std::size_t pass = 0; pass < passes; ++pass)
      for (std::int64_t sample = 0; sample < samples_.count(); ++sample) {
        const std::string of_class = passes > 1 ? fmt::format(".class{}", pass) : std::string();
        io::write_png(directory / (file_name(samples_.names[static_cast<std::size_t>(sample)] + "." + method.name) + of_class + ".png"),
                      heatmap(method, pass, sample));
      }
  }
  for (std::size_t pass = 0; pass < passes; ++pass)
    io::write_png(directory / (passes > 1 ? fmt::format("grid.class{}.png", pass) : std::string("grid.png")), grid(pass));
}

void Report::summarize() const {
  for (std::int64_t sample = 0; sample < samples_.count(); ++sample) {
    const auto index = static_cast<std::size_t>(sample);
    fmt::print("{}: {} ({:.6g})\n", samples_.names[index], label_of(labels_, best_[index]), best_score_[index]);
    for (const Method& method : methods_) {
      const Tensor map = sample_of(method.passes[0], sample);
      double sum = 0, largest = 0;
      for (std::int64_t i = 0; i < map.size(); ++i) {
        sum += map.at(i);
        largest = std::max(largest, std::abs(map.at(i)));
      }
      fmt::print("  {:<28} sum {:>12.6g}   largest {:>12.6g}\n", method.name, sum, largest);
    }
  }
  if (!options_.output.empty()) fmt::print("wrote {}\n", options_.output);
}

}  // namespace rulegrad::cli
