// The house rule: a lower layer never includes a higher one, and public headers bring no third-party ones
// along.
#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "places.hpp"

namespace {

namespace fs = std::filesystem;

/// The rooms of src and include/rulegrad, a layer each, from the lowest to the highest: one may include those
/// before it.
const std::vector<std::string> layers{"support", "tensor",     "rule",   "expr",    "ops",     "rewrite",
                                      "check",   "autodiff",   "passes", "kernels", "compile", "run",
                                      "recipe",  "explain",    "prove",  "files",   "draw",    "onnx",
                                      "api",     "evaluation", "cli"};

/// Headers that stand in no room, and the layer they are of: the doors of the library.
const std::map<std::string, std::string> doors{
    {"rulegrad.hpp", "cli"}, {"dsl.hpp", "rule"}, {"version.hpp", "support"}};

std::size_t height(const std::string& layer) {
  return std::find(layers.begin(), layers.end(), layer) - layers.begin();
}

std::string layer_of_header(const std::string& path) {
  if (const auto door = doors.find(path); door != doors.end()) return door->second;
  const std::string room = path.substr(0, path.find('/'));
  return room == "dsl" ? "rule" : room;
}

struct Include {
  std::string path;
  bool quoted;
  int line;
};

std::vector<Include> includes_of(const fs::path& file) {
  static const std::regex pattern(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::vector<Include> result;
  std::ifstream in(file);
  std::string line;
  for (int number = 1; std::getline(in, line); ++number)
    if (std::smatch match; std::regex_search(line, match, pattern))
      result.push_back({match[2], match[1] == "\"", number});
  return result;
}

bool is_source(const fs::path& path) {
  return path.extension() == ".cpp" || path.extension() == ".hpp";
}

const fs::path& root = source_root();

}  // namespace

TEST_CASE("a lower layer never includes a higher one") {
  int files = 0;
  const auto check = [&](const fs::path& file, const std::string& layer) {
    ++files;
    for (const Include& include : includes_of(file)) {
      std::string target;
      if (include.path.starts_with("rulegrad/")) {
        target = layer_of_header(include.path.substr(9));
        INFO(file.string(), ":", include.line, " includes ", include.path,
             ", whose layer this test does not know");
        CHECK(height(target) < layers.size());
      } else if (include.quoted) {
        target = include.path.substr(0, include.path.find('/'));
      }
      if (height(target) == layers.size()) continue;  // of another library
      INFO(file.string(), ":", include.line, ": layer ", layer, " must not include ", include.path,
           " of layer ", target);
      CHECK(height(target) <= height(layer));
    }
  };
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    if (!entry.is_regular_file() || !is_source(entry.path())) continue;
    const std::string layer = *fs::relative(entry.path(), root / "src").begin();
    INFO("src/", layer, " is a layer this test does not know");
    REQUIRE(height(layer) < layers.size());
    check(entry.path(), layer);
  }
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file() || !is_source(entry.path())) continue;
    const std::string layer =
        layer_of_header(fs::relative(entry.path(), root / "include/rulegrad").generic_string());
    INFO(entry.path().string(), " has no layer in this test");
    REQUIRE(height(layer) < layers.size());
    check(entry.path(), layer);
  }
  CHECK(files > 20);
}

TEST_CASE("public headers include the standard library and each other only") {
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), root / "include/rulegrad").generic_string();
    const bool may_use_hana = name.starts_with("dsl");
    const bool may_use_xtensor = name == "tensor/xtensor.hpp";
    for (const Include& include : includes_of(entry.path())) {
      INFO(entry.path().string(), ":", include.line, " includes ", include.path);
      const bool standard =
          !include.quoted && include.path.find('/') == std::string::npos && !include.path.ends_with(".h");
      const bool hana = may_use_hana && include.path.starts_with("boost/hana");
      const bool xtensor = may_use_xtensor && include.path.starts_with("xtensor/");
      CHECK((include.path.starts_with("rulegrad/") || standard || hana || xtensor));
    }
  }
}

TEST_CASE("the command is a program like any other: it uses public headers only") {
  for (const auto& entry : fs::directory_iterator(root / "src/cli")) {
    if (!is_source(entry.path())) continue;
    for (const Include& include : includes_of(entry.path())) {
      INFO(entry.path().string(), ":", include.line, " includes ", include.path,
           "; what the command needs, other programs need too: give it a public header");
      CHECK((!include.quoted || include.path.starts_with("rulegrad/") || include.path.starts_with("cli/")));
    }
  }
}

TEST_CASE(
    "public headers open their namespace with default visibility, or the library would hide what they "
    "declare") {
  static const std::regex hidden(R"(^namespace rulegrad(::\w+)? \{)");
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file() || entry.path().parent_path().filename() == "dsl")
      continue;  // header-only but flat.hpp
    std::ifstream in(entry.path());
    for (std::string line; std::getline(in, line);) {
      INFO(entry.path().string(), ": write `namespace [[gnu::visibility(\"default\")]] rulegrad {`");
      CHECK_FALSE(std::regex_search(line, hidden));
    }
  }
}

TEST_CASE("no source file is longer than 800 lines") {
  for (const char* folder : {"src", "include", "tests", "benchmarks", "examples"}) {
    if (!fs::exists(root / folder)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      if (!entry.is_regular_file() || !is_source(entry.path())) continue;
      std::ifstream in(entry.path());
      const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
      INFO(entry.path().string(), " has ", lines, " lines");
      CHECK(lines <= 800);
    }
  }
}
