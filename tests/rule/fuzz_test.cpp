#include <doctest/doctest.h>
#include <random>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/random_rules.hpp"
#include "rule/rule_files.hpp"

using namespace rulegrad;

namespace {

/// Deletes, doubles, moves and replaces bytes and runs of bytes.
std::string mutated(std::string text, std::mt19937_64& random) {
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  static constexpr std::string_view interesting = "(){}[]=><.,:;@\"#-+*/^_ \n\t\\0e\xC3\xFF";
  for (std::size_t count = 1 + below(3); count > 0 && !text.empty(); --count) {
    const std::size_t at = below(text.size());
    const std::size_t length = std::min(text.size() - at, below(5) == 0 ? 1 + below(60) : 1);
    switch (below(6)) {
      case 0:
        text.erase(at, length);
        break;
      case 1:
        text.insert(at, std::string(text, at, length));
        break;
      case 2:
        text[at] = static_cast<char>(below(256));
        break;
      case 3:
        text[at] = interesting[below(interesting.size())];
        break;
      case 4:
        text.insert(text.begin() + static_cast<std::ptrdiff_t>(at), interesting[below(interesting.size())]);
        break;
      default:
        text.insert(below(text.size()), std::string(text, at, length));
        break;
    }
  }
  return text;
}

}  // namespace

TEST_CASE(
    "broken rule files are errors with a place, never crashes, and what still parses prints as what it is") {
  std::vector<std::string> good, bad;
  for (const char* folder : {"tests/rules_ok", "rules"})
    for (const auto& path : test::files_in(folder, ".rules")) good.push_back(test::read_text(path));
  for (const auto& path : test::files_in("tests/rules_bad", ".rules")) bad.push_back(test::read_text(path));
  for (std::uint64_t i = 0; i < 100; ++i) good.push_back(print(test::RandomRules(i).file()));
  constexpr std::uint64_t seed = 20240607;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  int parsed = 0, refused = 0;
  for (int i = 0; i < 20000; ++i) {
    const auto& sources = i % 8 == 0 ? bad : good;
    const std::string text = mutated(sources[static_cast<std::size_t>(i / 8) % sources.size()], random);
    CAPTURE(i);
    try {
      const RuleFile file = parse_rules(text, "fuzz");
      ++parsed;
      const std::string printed = print(file);
      INFO(text);
      INFO(printed);
      REQUIRE(equal(parse_rules(printed, "printed"), file));
    } catch (const RuleError& error) {
      ++refused;
      INFO(text);
      REQUIRE_FALSE(error.diagnostics().empty());
      for (const Diagnostic& diagnostic : error.diagnostics()) {
        REQUIRE(diagnostic.where.file == "fuzz");
        REQUIRE(diagnostic.where.line >= 1);
        REQUIRE(diagnostic.where.column >= 1);
      }
    }
  }
  MESSAGE(parsed, " of the mutated files parsed, ", refused, " were refused");
  CHECK(parsed > 1000);
  CHECK(refused > 1000);
}
