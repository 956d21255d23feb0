// Networks of real sizes, drawn anew, every optimisation and each alone, against the plain float64 path: see
// comparison.hpp.
//
//     differential [--seed N] [--networks N | --minutes N] [--only KIND:SEED]
//
// Without arguments: the slice that runs with the tests. It must take every kernel path there is.
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <fmt/format.h>
#include <set>
#include <string_view>

#include "rulegrad/kernels/kernel.hpp"

#include "differential/comparison.hpp"
#include "kernels/kernel_paths.hpp"
#include "support/seed.hpp"

using namespace differential;

namespace {

struct Choices {
  std::uint64_t seed = drawn_seed();
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
    if (name == "--seed")
      choices.seed = std::stoull(value);
    else if (name == "--networks")
      choices.networks = std::stoull(value);
    else if (name == "--minutes")
      choices.minutes = std::stod(value);
    else if (name == "--only")
      choices.only = value;
    else
      throw std::invalid_argument(
          fmt::format("unknown option {}: --seed N, --networks N, --minutes N, --only KIND:SEED", name));
  }
  return choices;
}

/// The paths that float32 runs can take in this build on this machine.
std::vector<std::string> paths_within_reach() {
  const auto all = rulegrad::kernel_paths();
  const bool onednn = std::ranges::any_of(
      all, [](const auto* path) { return path->name().find("oneDNN") != std::string_view::npos; });
#if defined(__x86_64__)
  const bool transforms = __builtin_cpu_supports("avx512f") != 0;
#else
  constexpr bool transforms = false;
#endif
  std::vector<std::string> names;
  for (const auto* path : all) {
    const std::string name(path->name());
    const auto holds = [&](const char* word) { return name.find(word) != std::string::npos; };
    // oneDNN has Winograd's transforms for AVX-512 alone, and nothing else asks for blocks of channels.
    // What layers as models have them do not reach is told when it is taken, and not waited for.
    if (holds("a bias is added behind oneDNN") || holds("portable between copies")) continue;
    // So do units for bfloat16, which few processors have (`--precision bf16` is held to its rounded operands by
    // tests/kernels/bfloat16_test.cpp), and kernels of smaller ones.
    if (holds("bfloat16") || holds("micro kernels")) continue;
    if ((holds("Winograd") && !transforms) || (!onednn && holds("blocks of channels"))) continue;
    names.push_back(name);
  }
  return names;
}

std::size_t setting_names() {
  std::set<std::string> names;
  for (const Setting& setting : settings()) names.insert(setting.name);
  return names.size();
}

void report(const Tally& tally, double seconds) {
  fmt::print(
      "{} programs of {} networks compared in {:.0f} s, {} of them with paths closed, {} results of the "
      "reference with plain loops; at "
      "most {:.0f} % of what rounding explains\n",
      tally.programs, tally.networks, seconds, tally.detours, tally.plain_loops, 100 * tally.worst);
  std::fflush(stdout);
}

/// Kinds whose every operator the plain loops of tests/oracle compute.
bool has_plain_loops(Kind kind) {
  return kind != Kind::decoder && kind <= Kind::volumes && kind != Kind::tokens;
}

}  // namespace

int main(int argc, char** argv) try {
  const Choices choices = choices_of(argc, argv);
  Tally tally;
  const auto start = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  std::size_t told = 0;
  const auto tell = [&] {
    for (; told < tally.findings.size(); ++told) fmt::print("DIFFERENCE {}\n", tally.findings[told].text);
    std::fflush(stdout);
  };
  if (!choices.only.empty()) {
    const std::size_t colon = choices.only.find(':');
    for (const Kind kind : kinds)
      if (name_of(kind) == choices.only.substr(0, colon)) {
        const std::uint64_t seed = std::stoull(choices.only.substr(colon + 1));
        compare_one(kind, seed, tally);
        if (has_plain_loops(kind)) compare_reference(kind, seed, tally);
      }
    tell();
    report(tally, seconds());
    return tally.findings.empty() ? 0 : 1;
  }

  fmt::print("seed {}\n", choices.seed);
  std::fflush(stdout);
  const bool slice = choices.networks == 0 && choices.minutes == 0;
  const std::vector<std::string> paths = paths_within_reach();
  const auto covered = [&] {
    return std::ranges::all_of(paths, [&](const std::string& path) { return tally.paths.contains(path); });
  };
  constexpr std::size_t least = 90, patience = 150, most = 600;
  constexpr std::uint64_t complete_seed = 2190897030;
  double next_report = 300;
  Draw draw(choices.seed);
  tally.next_setting = static_cast<std::size_t>(draw.bits() % 1000);
  std::size_t first = 0;
  for (std::size_t i = 0;; ++i) {
    // Some seeds draw a rare path late: the slice then goes on with networks that take every path.
    if (slice && i == patience && !covered()) {
      fmt::print("goes on with seed {}\n", complete_seed);
      draw = Draw(complete_seed);
      tally.next_setting = static_cast<std::size_t>(draw.bits() % 1000);
      first = i;
    }
    if (choices.minutes > 0    ? seconds() > 60 * choices.minutes
        : choices.networks > 0 ? i >= choices.networks
                               : (i >= least && covered()) || i >= most)
      break;
    const Kind kind = kinds[(i - first) % std::size(kinds)];
    const std::uint64_t seed = draw.bits() % 1'000'000'000;
    try {
      compare_one(kind, seed, tally);
      if (i % 10 == 0 && has_plain_loops(kind)) compare_reference(kind, seed, tally);
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
    for (const std::string& path : paths)
      if (!tally.paths.contains(path)) {
        fmt::print("NOT COVERED kernel path '{}'\n", path);
        missing = slice;
      }
  fmt::print("{} kernel paths taken, {} are within reach here; {} settings, {} methods\n", tally.paths.size(),
             paths.size(), tally.by_setting.size(), tally.by_method.size());
  if (slice && tally.by_setting.size() < setting_names()) {
    fmt::print("NOT COVERED: {} settings of {}\n", setting_names() - tally.by_setting.size(),
               setting_names());
    missing = true;
  }
  return tally.findings.empty() && !missing ? 0 : 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "differential: {}\n", error.what());
  return 2;
}
