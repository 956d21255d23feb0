// The text of rules alone: parser and printer. Small enough to be built with sanitizers wherever the tests
// are.
#include "rulegrad/rule/rule_text.hpp"

#include <string>

#include "rulegrad/support/error.hpp"

#include "fuzz/rule_words.hpp"
#include "fuzz/target.hpp"
#include "rule/random_rules.hpp"

namespace rulegrad::fuzz {
namespace {

Bytes fresh(RandomEngine& random) {
  const std::string text = print(test::RandomRules(random()).file());
  return {text.begin(), text.end()};
}

void mutate(Bytes& input, RandomEngine& random) {
  static const std::vector<std::string> words(std::begin(rule_words), std::end(rule_words));
  mutate_text(input, random, words);
  if (input.size() > 20000) input.resize(20000);
}

Reached run(std::span<const std::uint8_t> input) {
  const std::string text(input.begin(), input.end());
  RuleFile file;
  if (!answers([&] { file = parse_rules(text, "fuzz"); })) return Reached::refused;
  if (!answers([&] {
        if (!equal(parse_rules(print(file), "printed"), file))
          finding("a rule file that is printed and read is another one");
      }))
    finding("a rule file that was printed cannot be read");
  return Reached::explained;
}

}  // namespace

const Target& target() {
  static const Target rule_text{"rule_text", run, fresh, mutate};
  return rule_text;
}

}  // namespace rulegrad::fuzz
