// Examples are read before they are run: each fits on a page, and each is run by a test.
#include <algorithm>
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

#include "places.hpp"

namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("every example has at most 40 lines and is run by a test") {
  const fs::path folder = source_root() / "examples";
  const std::string build = text_of(folder / "meson.build"),
                    page = text_of(source_root() / "docs/negative-values.md");
  const std::size_t from = build.find("foreach name : [");
  REQUIRE(from != std::string::npos);
  const std::string tested = build.substr(from, build.find(']', from) - from);  // the tests `example NAME`
  std::set<std::string> seen;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".cpp" || name == "train" || name == "train_lstm" ||
        name == "train_attention")
      continue;  // the programs that trained the demo networks
    seen.insert(name);
    const std::string text = text_of(entry.path());
    INFO("examples/", name, ".cpp");
    CHECK(std::count(text.begin(), text.end(), '\n') <= 40);
    CHECK(text.starts_with("// "));
    // By a test of its own, or by a page whose commands are run.
    CHECK((tested.find("'" + name + "'") != std::string::npos ||
           build.find("test('example " + name + "'") != std::string::npos ||
           page.find("\n$ " + name + " ") != std::string::npos));
  }
  for (const char* wanted : {"explain_picture", "tanh_rule", "rule_from_paper", "stream", "custom_path",
                             "train_small", "hidden_layers"}) {
    INFO(wanted);
    CHECK(seen.contains(wanted));
  }
}
