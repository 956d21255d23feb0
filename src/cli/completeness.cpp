#include "cli/completeness.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>

#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

constexpr double tolerated = 0.05;

bool completes(const AnalyzerDefinition& analyzer) {
  return std::find(analyzer.properties.begin(), analyzer.properties.end(), "completes") !=
         analyzer.properties.end();
}

/// `steps=256` for a method whose number of steps can be raised.
std::string more_steps(const AnalyzerDefinition& analyzer, const AnalyzerCall& call) {
  for (const Parameter& parameter : analyzer.parameters) {
    if (parameter.name != "steps" && parameter.name != "n_steps" && parameter.name != "n_iter") continue;
    double now = parameter.fallback == no_term
                     ? 32
                     : analyzer.terms[static_cast<std::size_t>(parameter.fallback)].number;
    for (const auto& [name, value] : call.arguments)
      if (const auto* number = std::get_if<double>(&value); name == parameter.name && number != nullptr)
        now = *number;
    return fmt::format("{}={}", parameter.name, static_cast<std::int64_t>(4 * now));
  }
  return "";
}

std::string advice(const AnalyzerDefinition& analyzer, const AnalyzerCall& call, const std::string& model) {
  const std::string where =
      fmt::format("`rulegrad explain {} --method {} --input ...` shows at which layer", model, call.name);
  if (const std::string steps = more_steps(analyzer, call); !steps.empty())
    return fmt::format("take more steps ({}:{}), or another baseline", call.name, steps);
  if (completes(analyzer)) return "its rules do not cover an operation of this network: " + where;
  return "biases, stabilisers or a rule that does not conserve take the rest: " + where;
}

}  // namespace

void warn_of_lost_parts(const Explanation& found, std::span<const AnalyzerCall> calls,
                        const RuleLibrary& library, const std::vector<std::string>& samples,
                        const std::string& model) {
  for (const Explanation::Total& total : found.totals()) {
    std::size_t off = 0, worst = 0;
    double most = 0;
    for (std::size_t i = 0; i < total.expected.size(); ++i) {
      // What rounds to nothing beside the score is no difference at all.
      const double scale =
                       std::max(std::abs(total.expected[i]), 1e-6 * std::abs(found.explained_scores()[i])),
                   error = std::abs(total.reached[i] - total.expected[i]);
      if (error == 0 || error <= tolerated * scale) continue;
      ++off;
      if (error / scale >= most) {
        most = error / scale;
        worst = i;
      }
    }
    if (off == 0) continue;
    const std::size_t each = total.expected.size() / std::max<std::size_t>(samples.size(), 1);
    const AnalyzerCall& call = calls[total.method];
    warn(fmt::format("{}: {:.4g} of {:.4g} reached {} for {}{}; {}", found.methods()[total.method],
                     total.reached[worst], total.expected[worst],
                     total.nodes.size() == 1 ? "'" + found.nodes()[total.nodes[0]] + "'" : "the inputs",
                     samples[worst / std::max<std::size_t>(each, 1)],
                     off == 1 ? ""
                              : fmt::format(" ({} of {} explanations are off by more than 5 %)", off,
                                            total.expected.size()),
                     advice(library.analyzer(call.name), call, model)));
  }
}

}  // namespace rulegrad::cli
