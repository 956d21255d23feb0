// Each way that kernels go is one that an analysis would miss, as measured, or says why it is there.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

#include "places.hpp"

namespace {

namespace fs = std::filesystem;

/// `1.7 times`, or what needs no figure.
bool tells_why(const std::string& comment) {
  static const std::regex figure(R"(\d+(\.\d+)? times)"), reason(R"(^\s*// (Stays|Only counted): \w.{15,})");
  return std::regex_search(comment, figure) || std::regex_search(comment, reason);
}

}  // namespace

TEST_CASE("each kernel path says in one line above it what an analysis takes without it, or why it stays") {
  int paths = 0;
  for (const auto& entry : fs::recursive_directory_iterator(source_root() / "src")) {
    if (entry.path().extension() != ".cpp") continue;
    std::ifstream in(entry.path());
    std::string above;
    for (std::string line; std::getline(in, line); above = line) {
      if (!line.starts_with("const KernelPath ")) continue;
      const std::string comment = above;
      for (std::string more; line.find(';') == std::string::npos && std::getline(in, more);) line += more;
      ++paths;
      INFO(entry.path().string(), ": ", line);
      CHECK(comment.starts_with("// "));
      CHECK(tells_why(comment));
      CHECK_MESSAGE(
          (line.find("Choice::only") != std::string::npos) == comment.starts_with("// Only counted: "),
          "what is only counted is no choice");
    }
  }
  CHECK(paths > 20);
}
