#include <doctest/doctest.h>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/random_rules.hpp"
#include "rule/rule_files.hpp"

using namespace rulegrad;

namespace {

void check_round_trip(const RuleFile& file) {
  const std::string text = print(file);
  INFO(text);
  const RuleFile again = parse_rules(text, "printed.rules");
  CHECK(equal(file, again));
  CHECK(print(again) == text);
}

}  // namespace

TEST_CASE("rule files parse, and print to text that parses to the same rules") {
  std::vector<std::filesystem::path> files = test::files_in("tests/rules_ok", ".rules");
  CHECK(files.size() >= 3);
  for (const auto& path : test::files_in("rules", ".rules")) files.push_back(path);
  for (const auto& path : files) {
    INFO(path.string());
    check_round_trip(parse_rules(test::read_text(path), path.filename().string()));
  }
}

TEST_CASE("random rule files survive printing and parsing") {
  constexpr int cases = 2000;
  int rules = 0, terms = 0;
  for (int i = 0; i < cases; ++i) {
    const std::uint64_t seed = 71000U + static_cast<std::uint64_t>(i);
    CAPTURE(seed);
    const RuleFile file = test::RandomRules(seed).file();
    for (const RuleSet& set : file.rule_sets)
      for (const Rule& rule : set.rules) {
        ++rules;
        terms += static_cast<int>(rule.terms.size());
      }
    check_round_trip(file);
  }
  // The generator must have something to say.
  CHECK(rules > cases);
  CHECK(terms > 10 * rules);
}

TEST_CASE("each kind of rule survives printing on its own") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    const Rule rule = test::RandomRules(seed).rule({});
    const RuleFile file = parse_rules("rulegrad 1\nrules s {\n" + print(rule) + "\n}\n", "rule");
    REQUIRE(file.rule_sets.size() == 1);
    REQUIRE(file.rule_sets[0].rules.size() == 1);
    INFO(print(rule));
    CHECK(equal(rule, file.rule_sets[0].rules[0]));
  }
}

TEST_CASE("equality tells every part of a file from every other") {
  // Any change of the text that leaves it well formed and is more than a change of layout must be seen.
  const std::string text = test::read_text(source_root() / "tests/rules_ok/design_words.rules");
  const RuleFile file = parse_rules(text, "a");
  int seen = 0;
  for (const auto& change : std::vector<std::pair<std::string, std::string>>{
           {"x * sigmoid(x)", "x + sigmoid(x)"},
           {"common.rules", "other.rules"},
           {"op silu", "op swish"},
           {": activation = x", ": elementwise = x"},
           {"op shift(x, t)", "op shift(x, u)"},
           {"c = 3", "c = 4"},
           {"[-1, 1]", "(-1, 1]"},
           {"layer: node", "layer: tensor"},
           {"axis = 1", "axis = 2"},
           {"rule pass:", "rule passed:"},
           {"concat(...)", "concat(_)"},
           {"activation, _", "activation, r"},
           {"s: sigmoid", "t: sigmoid"},
           {"wrt s when", "wrt a when"},
           {"wrt w =>", "wrt x =>"},
           {"x@base", "x@user"},
           {".axis", ".mode"},
           {"..y", "..p"},
           {"use routing", "use lrp.flat"},
           {"lrp.epsilon(0.1)", "lrp.epsilon(0.2)"},
           {"extends method", "extends other"},
           {"canonize lrp.default", "canonize lrp.other"},
           {"seed target * y", "seed target / y"},
           {"point base:", "point user:"},
           {"level * normal", "normal"},
           {"for i in", "for j in"},
           {"mask = ones", "mask = zeros"},
           {"default pass", "default zero"},
           {"mean over i", "sum over i"},
           {"var over i", "var over j"},
           {"conserves linear", "linear"},
           {"\"layer4.*\") =>", "\"layer3.*\") =>"},
           {"indented text", "other text"},
           {"only_use(y)", "only_use(n)"},
           {"let k = scale", "let j = scale"},
           {"rewrite identity(x) => x", "rewrite identity(x) => 0"},
           {"vjp(y: dense", "grad(y: dense"}}) {
    std::string changed = text;
    const std::size_t at = changed.find(change.first);
    INFO(change.first, " -> ", change.second);
    REQUIRE(at != std::string::npos);
    changed.replace(at, change.first.size(), change.second);
    CHECK_FALSE(equal(file, parse_rules(changed, "b")));
    ++seen;
  }
  CHECK(seen == 37);
  CHECK(equal(file, parse_rules(text, "another path")));
}
