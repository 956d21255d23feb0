#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <vector>

#include "places.hpp"

namespace rulegrad::testing {

/// A directory that is gone after the test.
class ScratchDirectory {
 public:
  ScratchDirectory()
      : path_(std::filesystem::temp_directory_path() /
              ("rulegrad-test-" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directories(path_);
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string read_text(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

struct CommandResult {
  int code = -1;
  std::string out, err;
};

/// Runs the command `rulegrad` with these arguments.
inline CommandResult run_command(const std::vector<std::string>& arguments) {
  const ScratchDirectory scratch;
  std::string line = "'" + rulegrad_command() + "'";
  for (const std::string& argument : arguments) line += " '" + argument + "'";
  line += " >'" + scratch.file("out") + "' 2>'" + scratch.file("err") + "' </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(scratch.file("out")),
          read_text(scratch.file("err"))};
}

/// A file of the demo that ships.
inline std::string demo(const std::string& name) {
  return source_root().string() + "/examples/demo/" + name;
}

}  // namespace rulegrad::testing
