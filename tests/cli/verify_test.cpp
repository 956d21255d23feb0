// Canonizers are proved harmless once for a model and its rules, and again with --verify.
#include <cstdlib>
#include <doctest/doctest.h>
#include <filesystem>

#include "cli/command.hpp"

using namespace rulegrad::testing;
namespace fs = std::filesystem;

namespace {

/// Sends the cache of the commands that run meanwhile elsewhere.
class OwnCache {
 public:
  explicit OwnCache(std::string path) : path_(std::move(path)) {
    if (const char* before = std::getenv("XDG_CACHE_HOME")) before_ = before;
    ::setenv("XDG_CACHE_HOME", path_.c_str(), 1);
  }
  ~OwnCache() {
    before_.empty() ? ::unsetenv("XDG_CACHE_HOME") : ::setenv("XDG_CACHE_HOME", before_.c_str(), 1);
  }
  OwnCache(const OwnCache&) = delete;
  OwnCache& operator=(const OwnCache&) = delete;

  [[nodiscard]] std::vector<fs::path> proofs() const {
    std::vector<fs::path> result;
    if (fs::exists(path_))
      for (const auto& entry : fs::recursive_directory_iterator(path_))
        if (entry.is_regular_file()) result.push_back(entry.path());
    return result;
  }

 private:
  std::string path_, before_;
};

CommandResult explain(const std::string& rules, const std::string& method, bool verify = false) {
  std::vector<std::string> arguments{"explain", demo("mlp.onnx"), "--rules", rules, "--method", method};
  if (verify) arguments.emplace_back("--verify");
  return run_command(arguments);
}

std::string written(const ScratchDirectory& scratch, const std::string& text) {
  const std::string path = scratch.file("mine.rules");
  std::ofstream(path) << "rulegrad 1\n" << text;
  return path;
}

}  // namespace

TEST_CASE("a harmless canonizer is proved once; a cached proof is not made again, --verify makes it") {
  const ScratchDirectory scratch;
  const OwnCache cache(scratch.file("cache"));
  const std::string rules = written(
      scratch,
      "rules same { rewrite relu(x) => max(x, 0) }\nanalyzer a { canonize same  default gradient }\n");
  CommandResult result = explain(rules, "a");
  CHECK(result.code == 0);
  CHECK(result.err == "");
  REQUIRE(cache.proofs().size() == 1);
  const fs::path proof = cache.proofs()[0];
  const auto long_ago = fs::file_time_type::clock::now() - std::chrono::hours(48);
  fs::last_write_time(proof, long_ago);
  CHECK(explain(rules, "a").code == 0);
  CHECK(cache.proofs().size() == 1);
  CHECK(fs::last_write_time(proof) < long_ago + std::chrono::hours(1));  // it was not made again
  result = explain(rules, "a", true);
  CHECK(result.code == 0);
  CHECK(result.err.find("rewrites by canonizers change the output by 0 at most, where it is as large as ") !=
        std::string::npos);
  CHECK(fs::last_write_time(proof) > long_ago + std::chrono::hours(1));
}

TEST_CASE("a canonizer that changes the output is an error that names the rule, the node and by how much") {
  const ScratchDirectory scratch;
  const OwnCache cache(scratch.file("cache"));
  const std::string rules = written(
      scratch,
      "rules other { rewrite relu(x) => max(x, 0.5) }\nanalyzer a { canonize other  default gradient }\n");
  for (int again = 0; again < 2; ++again) {
    const CommandResult result = explain(rules, "a");
    CHECK(result.code == 2);
    CHECK(result.out == "");
    CHECK(result.err.find("canonizers must leave the output as it is, but on random inputs it changes by ") !=
          std::string::npos);
    CHECK(result.err.find("mine.rules:2:15: other changes relu '") != std::string::npos);
    CHECK(cache.proofs().empty());  // only proofs are remembered
  }
  const CommandResult analyzed =
      run_command({"analyze", demo("mlp.onnx"), "--input", demo("features.npy"), "--rules", rules, "--method",
                   "a", "--out", scratch.file("maps")});
  CHECK(analyzed.code == 2);
  CHECK_FALSE(fs::exists(scratch.file("maps")));
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"diff", demo("mlp.onnx"), "--rules", rules, "--method", "gradient",
                                 "--method", "a"},
        {"evaluate", demo("mlp.onnx"), "--input", demo("features.npy"), "--rules", rules, "--method", "a"}}) {
    const CommandResult result = run_command(arguments);
    CHECK(result.code == 2);
    CHECK(result.out == "");
    CHECK_MESSAGE(result.err.find("mine.rules:2:15: other changes relu '") != std::string::npos, result.err);
  }
}

TEST_CASE("other rules need a proof of their own, and without a place to write it is made each time") {
  const ScratchDirectory scratch;
  const OwnCache cache(scratch.file("cache"));
  const std::string same =
      "rules same { rewrite relu(x) => max(x, 0) }\nanalyzer a { canonize same  default gradient }\n";
  CHECK(explain(written(scratch, same), "a").code == 0);
  CHECK(explain(written(scratch,
                        "rules same { rewrite relu(x) => max(x, 1) }\nanalyzer a { canonize same  default "
                        "gradient }\n"),
                "a")
            .code == 2);
  {
    const OwnCache nowhere("/proc/no/such/folder");
    CHECK(explain(written(scratch, same), "a").code == 0);
    CHECK(explain(written(scratch, same), "gradient", true).err ==
          "gradient: no canonizer changes this model\n");
  }
}

TEST_CASE(
    "a rule file that another takes the place of, of the same size and time, needs a proof of its own") {
  const ScratchDirectory scratch;
  const OwnCache cache(scratch.file("cache"));
  const std::string path = written(scratch,
                                   "fn same_as(x) = max(x, 0)\nrules same { rewrite relu(x) => same_as(x) "
                                   "}\nanalyzer a { canonize same  default gradient }\n");
  const auto time = fs::last_write_time(path);
  CHECK(explain(path, "a").code == 0);
  (void)written(scratch,
                "fn same_as(x) = max(x, 9)\nrules same { rewrite relu(x) => same_as(x) }\nanalyzer a { "
                "canonize same  default gradient }\n");
  fs::last_write_time(path, time);
  CHECK(explain(path, "a").code == 2);
}

TEST_CASE("--verify-numbers says how far each method is off the plain float64 path") {
  const ScratchDirectory scratch;
  const std::string plain = scratch.file("plain.npy"), verified = scratch.file("verified.npy");
  std::vector<std::string> arguments{"analyze",  demo("mlp.onnx"), "--input",  demo("features.npy"),
                                     "--method", "lrp.epsilon",    "--output", plain};
  const CommandResult without = run_command(arguments);
  REQUIRE(without.code == 0);
  arguments.back() = verified;
  arguments.emplace_back("--verify-numbers");
  const CommandResult with = run_command(arguments);
  CHECK(with.code == 0);
  CHECK_MESSAGE(with.err.find("the scores: ") != std::string::npos, with.err);
  CHECK_MESSAGE(with.err.find("lrp.epsilon of 'x': ") != std::string::npos, with.err);
  CHECK_MESSAGE(with.err.find(" of the largest value off the plain float64 path") != std::string::npos,
                with.err);
  CHECK(read_text(verified) == read_text(plain));
}
