#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "rulegrad/run/program.hpp"

#include "differential/subjects.hpp"

namespace differential {

/// One way of compiling and running: an optimisation alone, all of them, all but one, another precision.
struct Setting {
  std::string name;
  CompileOptions options;
  int threads = 1;
};
/// All there are, for one thread and two. The first is the plain float32 path: portable kernels and no
/// optimisation.
[[nodiscard]] std::vector<Setting> settings();
/// The same in CompileOptions alone.
[[nodiscard]] CompileOptions plain_options();

/// A result that is off by more than rounding.
struct Finding {
  std::string text;
};

/// What has been compared so far.
struct Tally {
  std::size_t programs = 0;  ///< runs of programs whose results were compared
  std::size_t networks = 0;
  std::size_t detours = 0;       ///< of those, runs with paths closed that are taken otherwise
  std::size_t next_setting = 0;  ///< of those that take turns
  std::size_t plain_loops = 0;   ///< results of the reference that were compared with plain loops
  double worst = 0;              ///< the largest share of what is allowed
  std::string worst_text;
  std::map<std::string, std::size_t> by_setting, by_method, by_kind;
  std::set<std::string> operations;  ///< that ran in float32, fused or not
  std::set<std::string> paths;       ///< kernel paths that float32 runs took
  std::vector<Finding> findings;
};

/// Compares one network, with one method or several at once, now and then with gradients of weights, on two
/// batches each, under the plain float32 setting, the default and four that are next in turn, half of these with
/// paths closed that were taken before (kernel_paths.hpp), with the float64 path of plain kernels with all
/// optimisations off. Sample by sample: the largest difference over the largest value.
void compare_one(Kind kind, std::uint64_t seed, Tally& tally);

/// Holds that path itself to plain loops, on a small network.
void compare_reference(Kind kind, std::uint64_t seed, Tally& tally);

}  // namespace differential
