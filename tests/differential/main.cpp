// Networks of real sizes, drawn anew, every optimisation and each alone, against the plain float64 path: see comparison.hpp.
//
//     differential [--seed N] [--networks N | --minutes N] [--only KIND:SEED]
//
// Without arguments: the slice that runs with the tests. It must take every kernel path there is.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <random>
#include <string_view>

#include "differential/comparison.hpp"
#include "rulegrad/kernel.hpp"
#include "runtime/kernel_paths.hpp"

using namespace differential;

namespace {

struct Choices {
  std::uint64_t seed = std::random_device()();
  std::size_t networks = 0;
  double minutes = 0;
  std::string only;
};

Choices choices_of(int argc, char** argv) {
  Choices choices;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 >= argc) throw std::invalid_argument(fmt::format("{} needs a value", name));
    const std::string value = argv[i + 1];
    if (name == "--seed") choices.seed = std::stoull(value);
    else if (name == "--networks") choices.networks = std::stoull(value);
    else if (name == "--minutes") choices.minutes = std::stod(value);
    else if (name == "--only") choices.only = value;
    else throw std::invalid_argument(fmt::format("unknown option {}: --seed N, --networks N, --minutes N, --only KIND:SEED", name));
  }
  return choices;
}

void report(const Tally& tally, double seconds) {
  fmt::print("{} programs of {} networks compared in {:.0f} s, {} results of the reference with plain loops; at most {:.0f} % of what rounding explains\n",
             tally.programs, tally.networks, seconds, tally.plain_loops, 100 * tally.worst);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  const Choices choices = choices_of(argc, argv);
  Tally tally;
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); };
  std::size_t told = 0;
  const auto tell = [&] {
    for (; told < tally.findings.size(); ++told) fmt::print("DIFFERENCE {}\n", tally.findings[told].text);
    std::fflush(stdout);
  };
  if (!choices.only.empty()) {
    const std::size_t colon = choices.only.find(':');
    for (const Kind kind : kinds)
      if (name_of(kind) == choices.only.substr(0, colon)) compare_one(kind, std::stoull(choices.only.substr(colon + 1)), tally);
    tell();
    report(tally, seconds());
    return tally.findings.empty() ? 0 : 1;
  }

  fmt::print("seed {}\n", choices.seed);
  std::fflush(stdout);
  const bool slice = choices.networks == 0 && choices.minutes == 0;
  const auto all_paths = kernel_paths();
  const auto covered = [&] { return tally.paths.size() == all_paths.size(); };
  constexpr std::size_t least = 90, most = 600;
  double next_report = 300;
  Draw draw(choices.seed);
  tally.next_setting = static_cast<std::size_t>(draw.bits() % 1000);
  for (std::size_t i = 0;; ++i) {
    if (choices.minutes > 0 ? seconds() > 60 * choices.minutes : choices.networks > 0 ? i >= choices.networks : (i >= least && covered()) || i >= most) break;
    const Kind kind = kinds[i % std::size(kinds)];
    const std::uint64_t seed = draw.bits() % 1'000'000'000;
    try {
      compare_one(kind, seed, tally);
      if (i % 10 == 0 && kind != Kind::decoder && kind <= Kind::volumes && kind != Kind::tokens) compare_reference(kind, seed, tally);
    } catch (const std::exception& error) {
      tally.findings.push_back({fmt::format("{}:{} failed: {}", name_of(kind), seed, error.what())});
    }
    tell();
    if (seconds() > next_report) {
      report(tally, seconds());
      next_report += 300;
    }
  }
  report(tally, seconds());
  fmt::print("closest: {}\n", tally.worst_text);
  bool missing = false;
  if (slice || choices.minutes > 0)
    for (const auto* path : all_paths)
      if (!tally.paths.contains(std::string(path->name()))) {
        fmt::print("NOT COVERED kernel path '{}'\n", path->name());
        missing = slice;
      }
  fmt::print("{} kernel paths taken; {} of them in this build\n", tally.paths.size(), all_paths.size());
  return tally.findings.empty() && !missing ? 0 : 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "differential: {}\n", error.what());
  return 2;
}
