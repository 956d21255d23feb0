#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>

#include "rulegrad/draw/chart.hpp"
#include "rulegrad/draw/series.hpp"

#include "cli/report.hpp"

namespace rulegrad::cli {
namespace {

/// A map that is mostly one outlier would be white elsewhere.
constexpr double percentile_of_pictures = 99;
constexpr std::size_t most_answers = 5;

io::ChannelReduction reduction_from(const std::string& name) {
  return name == "mean"      ? io::ChannelReduction::mean
         : name == "max_abs" ? io::ChannelReduction::max_abs
         : name == "none"    ? io::ChannelReduction::none
                             : io::ChannelReduction::sum;
}

}  // namespace

io::HeatmapOptions Report::heatmap_options() const {
  io::HeatmapOptions options;
  options.reduce = reduction_from(options_.reduce);
  options.layout = samples_.preprocessing.layout;
  options.colormap = options_.colormap;
  options.percentile = options_.percentile.value_or(percentile_of_pictures);
  options.upscale = options_.upscale;
  return options;
}

/// The signal that a map is drawn over: the sample itself where the input is explained.
Tensor Report::series_of(const Map& map, const Tensor& values, std::int64_t sample) const {
  const auto input = samples_.inputs.find(found_.nodes()[map.node]);
  if (input == samples_.inputs.end() || input->second.rank() == 0 ||
      input->second.dims()[0] != samples_.count())
    return values;
  const Tensor row = input->second.rows(sample, 1);
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

/// What is drawn of a map: volumes [C, D, H, W] as a table of slices.
Tensor Report::shown_values(const Map& map, std::int64_t sample, std::int64_t target) const {
  Tensor values = found_.of_sample(map.method, map.node, sample, target);
  if (values.rank() != 4 || look_of(map, values) != Look::picture) return values;
  return io::slices(values, reduction_from(options_.reduce), samples_.preprocessing.layout);
}

/// What the model saw: the picture, or the slices of a volume in gray from its smallest to its largest value.
io::Picture Report::shown_input(std::int64_t sample) const {
  if (!samples_.pictures.empty()) return samples_.pictures[static_cast<std::size_t>(sample)];
  const auto input = samples_.inputs.find(found_.nodes()[0]);
  if (input == samples_.inputs.end() || input->second.rank() != 5 || !is_floating(input->second.dtype()) ||
      input->second.dims()[0] != samples_.count())
    return {};
  const Tensor volume = input->second.rows(sample, 1);
  const Tensor flat = io::slices(volume.reshaped(Dims(volume.dims().begin() + 1, volume.dims().end())),
                                 io::ChannelReduction::mean, samples_.preprocessing.layout);
  const auto values = flat.values<double>();
  const auto [low, high] = std::ranges::minmax(values);
  io::Picture picture(flat.dims()[1], flat.dims()[0], 1);
  for (std::size_t i = 0; i < values.size(); ++i)
    picture.pixels[i] =
        high > low ? static_cast<std::uint8_t>(std::lround((values[i] - low) / (high - low) * 255)) : 128;
  return picture;
}

io::Figure Report::drawn(const Map& map, std::int64_t sample, std::int64_t target) const {
  Tensor values = shown_values(map, sample, target);
  const Look look = look_of(map, values);
  const io::HeatmapOptions how = heatmap_options();
  const double percentile = options_.percentile.value_or(100);
  if (look == Look::series)
    return io::series_figure(values.rank() == 0 ? values.reshaped({1}) : values,
                             series_of(map, values, sample),
                             {.title = map.name, .colormap = how.colormap, .percentile = percentile});
  if (look == Look::bars || look == Look::tokens) {
    values = values.reshaped({values.size()});
    const double limit = values.size() > 0 ? io::symmetric_limit(values, percentile) : 0;
    return io::bar_figure(values, features_of(map, sample, values.size()),
                          {.title = map.name,
                           .colormap = how.colormap,
                           .limit = limit > 0 ? std::optional(limit) : std::nullopt});
  }
  if (options_.overlay && !samples_.pictures.empty())
    return io::Figure(io::overlay(samples_.pictures[static_cast<std::size_t>(sample)], values, how));
  return io::Figure(io::render(values, how));
}

io::Figure Report::grid(std::int64_t first, std::int64_t last, std::int64_t first_target,
                        std::int64_t last_target) const {
  std::vector<std::string> columns;
  for (const Map& map : maps_) columns.push_back(map.name);
  std::vector<io::GridRow> lines;
  bool only_pictures = true;
  for (std::int64_t sample = first; sample < last; ++sample)
    for (std::int64_t target = first_target; target < last_target; ++target) {
      io::GridRow row;
      row.label = explained_name(sample, target);
      row.detail = fmt::format("{} {:.4g}", parts_.score_kind, explained_score(sample, target));
      if (targets_ > 1)
        row.detail = fmt::format("{}, {}", samples_.names[static_cast<std::size_t>(sample)], row.detail);
      row.input = shown_input(sample);
      for (const Map& map : maps_) {
        Tensor values = shown_values(map, sample, target);
        const Look look = look_of(map, values);
        only_pictures = only_pictures && look == Look::picture;
        if (look == Look::bars || look == Look::tokens || values.rank() == 0)
          values = values.reshaped({values.size()});
        row.series.push_back(look == Look::series ? series_of(map, values, sample) : Tensor());
        if (values.rank() == 1 && look != Look::series)
          row.features = features_of(map, sample, values.size());
        row.attributions.push_back(std::move(values));
      }
      lines.push_back(std::move(row));
    }
  io::GridOptions options;
  options.heatmap = heatmap_options();
  if (!only_pictures) options.heatmap.percentile = options_.percentile.value_or(100);
  if (options_.overlay && !samples_.pictures.empty()) options.overlay = io::OverlayOptions{};
  return io::grid_figure(columns, lines, options);
}

std::vector<io::PageSample> Report::page_samples() const {
  std::vector<io::PageSample> result;
  const Tensor& scores = found_.scores();
  const std::int64_t width = scores.size() / std::max<std::int64_t>(samples_.count(), 1);
  for (std::int64_t sample = 0; sample < drawn_; ++sample)
    for (std::int64_t target = 0; target < targets_; ++target) {
      io::PageSample shown{fmt::format("{}: {}, {} {:.4g}", samples_.names[static_cast<std::size_t>(sample)],
                                       explained_name(sample, target), parts_.score_kind,
                                       explained_score(sample, target))};
      std::optional<std::size_t> input;
      if (io::Picture picture = shown_input(sample); !picture.empty()) {
        input = 0;
        shown.parts.push_back({.kind = io::PagePart::Kind::picture,
                               .caption = samples_.names[static_cast<std::size_t>(sample)],
                               .picture = std::move(picture)});
      }
      for (const Map& map : maps_) shown.parts.push_back(page_part(map, sample, target, input));
      std::vector<std::int64_t> order(static_cast<std::size_t>(width));
      std::iota(order.begin(), order.end(), 0);
      const auto score = [&](std::int64_t index) { return scores.at(sample * width + index); };
      std::ranges::stable_sort(order, std::greater(), score);
      order.resize(std::min<std::size_t>(order.size(), most_answers));
      for (const std::int64_t index : order)
        shown.answers.emplace_back(parts_.scores.name(index), score(index));
      result.push_back(std::move(shown));
    }
  return result;
}

io::PagePart Report::page_part(const Map& map, std::int64_t sample, std::int64_t target,
                               std::optional<std::size_t> input) const {
  Tensor values = shown_values(map, sample, target);
  const Look look = look_of(map, values);
  io::PagePart part{.caption = map.name};
  if (look == Look::picture && values.rank() >= 2) {
    part.kind = io::PagePart::Kind::map;
    const io::ChannelReduction reduction = reduction_from(options_.reduce);
    part.values =
        values.rank() == 2
            ? values
            : io::reduce_channels(
                  values, reduction == io::ChannelReduction::none ? io::ChannelReduction::sum : reduction,
                  samples_.preprocessing.layout);
    // The picture lies below the maps of what it shows.
    if (input && samples_.inputs.contains(found_.nodes()[map.node])) part.over = input;
    return part;
  }
  if (look == Look::series) {
    part.kind = io::PagePart::Kind::series;
    part.values = values.rank() == 0 ? values.reshaped({1}) : values;
    part.signal = series_of(map, part.values, sample);
    return part;
  }
  part.kind = look == Look::tokens ? io::PagePart::Kind::tokens : io::PagePart::Kind::bars;
  part.values = values.reshaped({values.size()});
  part.names = features_of(map, sample, values.size());
  for (std::int64_t i = static_cast<std::int64_t>(part.names.size()); i < values.size(); ++i)
    part.names.push_back(fmt::format("f{}", i));
  return part;
}

}  // namespace rulegrad::cli
