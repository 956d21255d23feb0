#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/rule_files.hpp"

using namespace rulegrad;

namespace {

std::string rendered(const std::filesystem::path& path) {
  try {
    (void)parse_rules(test::read_text(path), path.filename().string());
  } catch (const RuleError& error) {
    return std::string(error.what()) + '\n';
  }
  return "no error\n";
}

}  // namespace

TEST_CASE("every file with a syntax error gets exactly the message that stands beside it") {
  const bool update = std::getenv("RULEGRAD_UPDATE_SNAPSHOTS") != nullptr;
  int files = 0;
  for (const auto& path : test::files_in("tests/rules_bad", ".rules")) {
    if (!path.filename().string().starts_with("syntax_")) continue;
    ++files;
    auto expected = path;
    expected.replace_extension(".expected");
    const std::string message = rendered(path);
    INFO(path.filename().string());
    CHECK(message != "no error\n");
    if (update)
      std::ofstream(expected, std::ios::binary) << message;
    else
      CHECK(message == test::read_text(expected));
  }
  CHECK(files >= 20);
}
