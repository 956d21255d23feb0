// The house rule: a lower layer never includes a higher one, and public headers bring no third-party ones along.
#include <doctest/doctest.h>

#include <algorithm>
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

/// Which layers a layer may include, itself left out.
const std::map<std::string, std::set<std::string>> allowed{
    {"support", {}},
    {"tensor", {"support"}},
    {"rule", {"support"}},
    {"expr", {"support", "tensor", "rule"}},
    {"ops", {"support", "tensor", "rule", "expr"}},
    {"rewrite", {"support", "tensor", "rule", "expr", "ops"}},
    {"autodiff", {"support", "tensor", "rule", "expr", "ops", "rewrite"}},
    {"analysis", {"support", "tensor", "rule", "expr", "ops", "rewrite", "autodiff", "passes", "runtime"}},
    {"passes", {"support", "tensor", "rule", "expr", "ops", "rewrite"}},
    {"runtime", {"support", "tensor", "rule", "expr", "ops", "rewrite", "passes"}},
    {"io", {"support", "tensor", "rule", "expr", "ops", "rewrite", "passes", "runtime"}},
    {"api", {"support", "tensor", "rule", "expr", "ops", "rewrite", "autodiff", "analysis", "passes", "runtime", "io"}},
    {"evaluation", {"support", "tensor", "rule", "expr", "ops", "rewrite", "autodiff", "analysis", "passes", "runtime", "io", "api"}},
    {"everything", {"api", "evaluation", "support", "tensor", "rule", "expr", "ops", "rewrite", "autodiff", "analysis", "passes", "runtime", "io"}},
    {"cli", {"api", "evaluation", "everything", "support", "tensor", "rule", "expr", "ops", "rewrite", "autodiff", "analysis", "passes", "runtime", "io"}},
};

/// The layer of each public header.
const std::map<std::string, std::string> header_layer{
    {"error.hpp", "support"},         {"dtype.hpp", "tensor"},        {"shape.hpp", "tensor"},
    {"tensor.hpp", "tensor"},         {"rule.hpp", "rule"},           {"diagnostic.hpp", "rule"},
    {"rule_text.hpp", "rule"},        {"dsl.hpp", "rule"},            {"attributes.hpp", "expr"},
    {"schema.hpp", "expr"},           {"leaves.hpp", "expr"},         {"expr.hpp", "expr"},
    {"op_attributes.hpp", "ops"},     {"index_attributes.hpp", "ops"}, {"operators.hpp", "ops"},       {"build.hpp", "ops"},
    {"check.hpp", "rewrite"},         {"properties.hpp", "analysis"}, {"verify.hpp", "analysis"},
    {"parse_graph.hpp", "ops"},       {"provenance.hpp", "rewrite"},  {"gradient.hpp", "autodiff"},
    {"rule_library.hpp", "analysis"}, {"analyzer.hpp", "analysis"},   {"program.hpp", "runtime"},
    {"version.hpp", "support"},        {"text.hpp", "support"},         {"xtensor.hpp", "tensor"},
    {"define_attributes.hpp", "expr"}, {"rebuild.hpp", "expr"},      {"registry.hpp", "api"},
    {"plugin.hpp", "api"},            {"explainer.hpp", "api"},      {"network.hpp", "api"},
    {"export.hpp", "api"},
    {"training.hpp", "api"},
    {"kernel.hpp", "runtime"},        {"model.hpp", "io"},            {"rulegrad.hpp", "everything"},
    {"samples.hpp", "ops"},           {"random.hpp", "ops"},          {"sampler.hpp", "analysis"},
    {"separable.hpp", "passes"},      {"simplify.hpp", "passes"},      {"method_page.hpp", "analysis"},
    {"explain.hpp", "analysis"},      {"relevance_flow.hpp", "analysis"}, {"comparison.hpp", "analysis"},
    {"interval.hpp", "expr"},         {"operator_facts.hpp", "expr"},  {"index_attributes.hpp", "ops"},
    {"patterns.hpp", "evaluation"},   {"random_engine.hpp", "expr"},   {"unapplied.hpp", "analysis"},
    {"memory.hpp", "runtime"},         {"process.hpp", "support"},
};

std::string layer_of_header(const std::string& path) {
  if (path.starts_with("io/")) return "io";
  if (path.starts_with("evaluation/")) return "evaluation";
  if (path.starts_with("dsl/")) return "rule";
  const auto found = header_layer.find(path);
  return found == header_layer.end() ? std::string() : found->second;
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
    if (std::smatch match; std::regex_search(line, match, pattern)) result.push_back({match[2], match[1] == "\"", number});
  return result;
}

bool is_source(const fs::path& path) { return path.extension() == ".cpp" || path.extension() == ".hpp"; }

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
        INFO(file.string(), ":", include.line, " includes ", include.path, ", whose layer this test does not know");
        CHECK_FALSE(target.empty());
      } else if (include.quoted) {
        target = include.path.substr(0, include.path.find('/'));
      }
      if (target.empty() || target == layer || !allowed.contains(target)) continue;
      INFO(file.string(), ":", include.line, ": layer ", layer, " must not include ", include.path, " of layer ", target);
      CHECK(allowed.at(layer).contains(target));
    }
  };
  for (const auto& entry : fs::recursive_directory_iterator(root / "src")) {
    if (!entry.is_regular_file() || !is_source(entry.path())) continue;
    const std::string layer = *fs::relative(entry.path(), root / "src").begin();
    INFO("src/", layer, " is a layer this test does not know");
    REQUIRE(allowed.contains(layer));
    check(entry.path(), layer);
  }
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file() || !is_source(entry.path())) continue;
    const std::string layer = layer_of_header(fs::relative(entry.path(), root / "include/rulegrad").generic_string());
    INFO(entry.path().string(), " has no layer in this test");
    REQUIRE_FALSE(layer.empty());
    check(entry.path(), layer);
  }
  CHECK(files > 20);
}

TEST_CASE("public headers include the standard library and each other only") {
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file()) continue;
    const std::string name = fs::relative(entry.path(), root / "include/rulegrad").generic_string();
    const bool may_use_hana = name.starts_with("dsl");
    const bool may_use_xtensor = name == "xtensor.hpp";
    for (const Include& include : includes_of(entry.path())) {
      INFO(entry.path().string(), ":", include.line, " includes ", include.path);
      const bool standard = !include.quoted && include.path.find('/') == std::string::npos && !include.path.ends_with(".h");
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

TEST_CASE("public headers open their namespace with default visibility, or the library would hide what they declare") {
  static const std::regex hidden(R"(^namespace rulegrad(::\w+)? \{)");
  for (const auto& entry : fs::recursive_directory_iterator(root / "include/rulegrad")) {
    if (!entry.is_regular_file() || entry.path().parent_path().filename() == "dsl") continue;  // header-only but flat.hpp
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
