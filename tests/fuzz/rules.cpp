// Rule files: parser, printer, checker, and the analyzers they define applied to a network and run.
#include <algorithm>
#include <fmt/format.h>
#include <set>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/check/check.hpp"
#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "fuzz/rule_words.hpp"
#include "fuzz/target.hpp"
#include "fuzz/values.hpp"
#include "recipe/shipped_rules.hpp"
#include "rule/random_rules.hpp"

namespace rulegrad::fuzz {
namespace {

const std::vector<std::string>& vocabulary() {
  static const std::vector<std::string> words = [] {
    std::vector<std::string> all(std::begin(rule_words), std::end(rule_words));
    for (const std::string& name : Operators::builtin().names()) all.push_back(name);
    for (const std::string_view name : op_class_names) all.emplace_back(name);
    return all;
  }();
  return words;
}

Bytes bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

/// A file that defines an analyzer by hand.
Bytes small_file(RandomEngine& random) {
  static constexpr std::string_view files[] = {
      "rulegrad 1\n\nrules mine {\n  grad(y: relu(x), r) => where(x > 0, r, 0)\n  grad(y: affine, r) => "
      "vjp(y(b = 0), r / (y + 0.1 * sign(y)))\n}\n\n"
      "analyzer a { use mine\n default gradient }\n",
      "rulegrad 1\n\nfn twice(v) = v + v\nfn more(v) = twice(twice(v))\n\nanalyzer a(n = 3) {\n  for t in "
      "midpoint(n)\n  point base: input = 0\n"
      "  at input = input@base + t * (input - input@base)\n  default gradient\n  result more(mean over t "
      "(relevance))\n}\n",
      "rulegrad 1\n\nanalyzer a {\n  for t in samples(4)\n  at input = input + 0.1 * normal(t)\n  default "
      "gradient\n  result mean over t (relevance * relevance)\n}\n",
      "rulegrad 1\n\nop swish(v) : activation = v * sigmoid(v)\n\nrules s {\n  when y is last\n  grad(y: "
      "dense(x, w, b), r) if y is dense => next(r)\n}\n\n"
      "analyzer a { default gradient }\nanalyzer b { extends a\n result relevance * input }\n",
      "rulegrad 1\n\nanalyzer a { default gradient\n result relevance of lrp.epsilon(epsilon = 0.1) + "
      "relevance }\n"};
  return bytes_of(pick(random, files));
}

Bytes fresh(RandomEngine& random) {
  switch (below(random, 4)) {
    case 0:
      return bytes_of(print(test::RandomRules(random()).file()));
    case 1:
      return bytes_of(pick(random, shipped_rules()).second);
    default:
      return small_file(random);
  }
}

void mutate(Bytes& input, RandomEngine& random) {
  mutate_text(input, random, vocabulary());
  if (input.size() > 20000) input.resize(20000);
}

Reached run(std::span<const std::uint8_t> input) {
  set_memory_limit(std::size_t{64} << 20);
  const std::string text(input.begin(), input.end());
  RuleFile file;
  if (!answers([&] {
        file = parse_rules(text, "fuzz");
        if (!equal(parse_rules(print(file), "printed"), file))
          finding("a rule file that is printed and read is another one");
      }))
    return Reached::refused;
  if (!answers([&] { (void)check(file, RuleLibrary::builtin().check_context()); })) return Reached::read;
  Registry registry;
  if (!answers([&] { registry.rules.add_text(text, "fuzz"); })) return Reached::read;
  Reached reached = Reached::planned;
  std::size_t tried = 0;
  const Tensor x = *small_values({DType::float32, Shape{B, 1, 6, 6}}, 2, digest(input));
  for (const AnalyzerDefinition& analyzer : file.analyzers) {
    if (++tried > 3) break;
    // A graph of its own each time: what one leaves there is nothing to the next.
    Sequential net({B, 1, 6, 6});
    net.conv(2, {3, 3}).relu().max_pool({2, 2}).flatten().dense(3).relu().dense(2);
    const Model model = net.finish();
    if (!answers([&] {
          const Explainer explainer(model, analyzer.name, {.registry = &registry});
          (void)explainer.run(x, {.threads = 1, .stop = soon()});
        }))
      continue;
    reached = Reached::explained;
  }
  return reached;
}

}  // namespace

const Target& target() {
  static const Target rules{"rules", run, fresh, mutate};
  return rules;
}

}  // namespace rulegrad::fuzz
