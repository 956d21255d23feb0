// docs/rule-language-grammar.md must say what the parser does.
#include <doctest/doctest.h>
#include <regex>

#include "rulegrad/rule/rule_text.hpp"

#include "rule/ebnf.hpp"
#include "rule/rule_files.hpp"
#include "rule/syntax_words.hpp"

using namespace rulegrad;

namespace {

std::string document() {
  return test::read_text(source_root() / "docs/rule-language-grammar.md");
}

std::string between(const std::string& text, const std::string& start, const std::string& end) {
  const std::size_t from = text.find(start);
  REQUIRE(from != std::string::npos);
  const std::size_t to = text.find(end, from + start.size());
  REQUIRE(to != std::string::npos);
  return text.substr(from + start.size(), to - from - start.size());
}

std::set<std::string> all_matches(const std::string& text, const std::string& pattern) {
  const std::regex regex(pattern);
  std::set<std::string> result;
  for (std::sregex_iterator it(text.begin(), text.end(), regex), end; it != end; ++it)
    result.insert((*it)[1]);
  return result;
}

template <class Words>
std::set<std::string> as_set(const Words& words) {
  return {words.begin(), words.end()};
}

}  // namespace

TEST_CASE("every sentence of the documented grammar parses, but for what the grammar alone does not say") {
  const test::Ebnf grammar(between(document(), "```ebnf\n", "```"));
  CHECK(grammar.loose_ends().empty());
  // A thing given twice, an empty range, an operation replaced by position, nesting, an attribute of an
  // unbound name.
  const std::set<std::string> beyond_grammar{"R120", "R122", "R123", "R125", "R127"};
  int parsed = 0;
  constexpr int sentences = 4000;
  for (int i = 0; i < sentences; ++i) {
    CAPTURE(i);
    std::mt19937_64 random(static_cast<std::uint64_t>(i));
    const std::string text = grammar.sentence(random, 26);
    INFO(text);
    // Such a line continues the one above, as the text before the grammar says.
    if (text.find("\n-") != std::string::npos) continue;
    try {
      const RuleFile file = parse_rules(text, "sentence");
      ++parsed;
      REQUIRE(equal(file, parse_rules(print(file), "printed")));
    } catch (const RuleError& error) {
      const std::string message = error.what();
      INFO(message);
      for (const Diagnostic& diagnostic : error.diagnostics())
        REQUIRE(beyond_grammar.contains(diagnostic.code));
    }
  }
  MESSAGE(parsed, " of ", sentences, " sentences of the grammar parse");
  CHECK(parsed > sentences * 3 / 4);
}

TEST_CASE("the grammar has the words of the parser") {
  const std::set<std::string> words = test::Ebnf(between(document(), "```ebnf\n", "```")).words();
  const auto check_all = [&](const auto& some) {
    for (const std::string_view word : some) {
      INFO(std::string(word));
      CHECK(words.contains(std::string(word)));
    }
  };
  check_all(syntax::item_words);
  check_all(syntax::rule_words);
  check_all(syntax::statement_words);
  check_all(syntax::parameter_types);
  check_all(syntax::fallback_words);
  check_all(syntax::reduction_words);
  for (const syntax::Infix& op : syntax::infix_operators) CHECK(words.contains(std::string(op.symbol)));
  const std::string reserved =
      between(document(), "These words can name nothing else:", ". Every other word");
  CHECK(all_matches(reserved, "`([a-z]+)`") == as_set(syntax::reserved_words));
}

TEST_CASE(
    "each code of the table has an example among the bad files, and each example's code is in the table") {
  std::set<std::string> shown;
  for (const auto& path : test::files_in("tests/rules_bad", ".expected"))
    if (path.filename().string().starts_with("syntax_"))
      shown.merge(all_matches(test::read_text(path), R"(error\[(R1\d\d)\])"));
  CHECK(all_matches(document(), R"(\| (R1\d\d) \|)") == shown);
}
