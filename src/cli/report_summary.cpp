#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <numeric>
#include <unistd.h>

#include "cli/report.hpp"
#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

constexpr std::size_t most_named = 20;

}  // namespace

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
        if (parts_.tokens.contains(found_.nodes()[map.node]) && isatty(1) != 0) {
          say(text);
          text.clear();
          fmt::print("    {}\n",
                     io::tokens_line(tokens_of(map, sample, target), {.colormap = options_.colormap}));
          continue;
        }
        const Tensor values = found_.of_sample(map.method, map.node, sample, target);
        const std::vector<std::string> names = features_of(map, sample, values.size());
        std::vector<std::int64_t> order(names.size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
          return std::abs(values.at(a)) > std::abs(values.at(b));
        });
        if (maps_.size() > 1 && !names.empty()) text += fmt::format("    by {}:\n", map.name);
        order.resize(std::min(order.size(), most_named));
        for (const std::int64_t k : order)
          text +=
              fmt::format("    {:>12.6g}  {:>4}  {}\n", values.at(k), k, names[static_cast<std::size_t>(k)]);
      }
    }
  if (!options_.output.empty()) text += fmt::format("wrote {}\n", options_.output);
  say(text);
}

}  // namespace rulegrad::cli
