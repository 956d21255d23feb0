// The checker: what it finds, in which words, and that what ships is free of it.
#include "rulegrad/check/check.hpp"

#include <cstdlib>
#include <doctest/doctest.h>
#include <fstream>
#include <regex>
#include <set>

#include "rulegrad/dsl.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "rule/rule_files.hpp"
#include "support/timing.hpp"

using namespace rulegrad;

namespace {

std::string found_in(std::string_view text, const std::string& path, const CheckContext& context) {
  try {
    return render(check(parse_rules(text, path), context), text);
  } catch (const RuleError& error) {
    return std::string("does not parse: ") + error.what();
  }
}

std::string found_in(std::string_view text) {
  return found_in(text, "test.rules", RuleLibrary::builtin().check_context());
}

std::vector<std::string> codes_in(const std::string& text) {
  std::vector<std::string> codes;
  for (std::size_t at = text.find("[R"); at != std::string::npos; at = text.find("[R", at + 1))
    codes.push_back(text.substr(at + 1, 4));
  return codes;
}

}  // namespace

TEST_CASE("every file with rules that do not hold together gets exactly the message that stands beside it") {
  const bool update = std::getenv("RULEGRAD_UPDATE_SNAPSHOTS") != nullptr;
  int files = 0;
  for (const auto& path : test::files_in("tests/rules_bad", ".rules")) {
    ++files;
    if (!path.filename().string().starts_with("check_")) continue;
    const std::string text = test::read_text(path);
    // Where the shipped rules stand may change.
    static const std::regex shipped_place("(^|\n)(rules/[a-z_]+\\.rules):[0-9]+:[0-9]+:");
    const std::string message =
        std::regex_replace(found_in(text, path.filename().string(), RuleLibrary::builtin().check_context()),
                           shipped_place, "$1$2:LINE:COLUMN:") +
        '\n';
    INFO(path.filename().string());
    CHECK_FALSE(message.starts_with("does not parse"));
    CHECK(codes_in(message).size() > 0);
    auto expected = path;
    expected.replace_extension(".expected");
    if (update)
      std::ofstream(expected, std::ios::binary) << message;
    else
      CHECK(message == test::read_text(expected));
  }
  CHECK(files >= 60);
}

TEST_CASE("the files of rules_ok that are meant to run, and every rule file that ships, have no findings") {
  int files = 0;
  for (const char* folder : {"tests/rules_ok", "rules"})
    for (const auto& path : test::files_in(folder, ".rules")) {
      // The files design_* show notation to the parser; they name sets that nobody wrote.
      if (path.filename().string().starts_with("design_")) continue;
      // Its words are refused everywhere else; tests/passes/simplify_test.cpp has it.
      if (path.filename() == "simplify.rules") continue;
      ++files;
      INFO(path.string());
      std::string findings;
      const std::string text = test::read_text(path);
      for (const Diagnostic& finding :
           check(parse_rules(text, path.filename().string()), RuleLibrary::builtin().check_context()))
        // One set above another in an analyzer may well be meant to win: that is a note.
        if (finding.severity != Severity::note) findings += render(finding, text) + '\n';
      CHECK(findings == "");
    }
  CHECK(files >= 6);
}

TEST_CASE("the derivative rules that operators carry, written in C++, have no findings") {
  RuleFile file;
  file.path = "derivatives";
  for (const auto& op : Operators::builtin().all()) {
    if (op->derivatives.empty()) continue;
    RuleSet set;
    set.name = "derivatives." + op->name;
    set.rules = op->derivatives;
    file.rule_sets.push_back(std::move(set));
  }
  CHECK(file.rule_sets.size() > 40);
  CHECK(render(check(file), {}) == "");
}

TEST_CASE("rules of the C++ language are checked in the same way when a library takes them") {
  using namespace dsl;
  using namespace dsl::letters;
  RuleLibrary library = RuleLibrary::builtin();
  library.add(lower(rules("guided_tanh_in_cpp", rewrite(grad(tanh(x), g), vjp(tanh(x), max(g, 0))))));
  CHECK_NOTHROW((void)library.rule_set("guided_tanh_in_cpp"));
  try {
    library.add(lower(rules("wrong_shape", rewrite(grad(y = dense(x), r), r * y))));
    FAIL("the result has the shape of the layer's output");
  } catch (const RuleError& error) {
    REQUIRE(error.diagnostics().size() == 1);
    CHECK(error.diagnostics()[0].code == "R260");
    CHECK(error.diagnostics()[0].where.file.ends_with("check_test.cpp"));
  }
  CHECK_THROWS((void)library.rule_set("wrong_shape"));
}

TEST_CASE(
    "a misspelt operator in a pattern is an error that names the right one, on every way into a library") {
  const std::string text = "rulegrad 1\nrules mine {\n  grad(rleu(x), g) => g\n}\n";
  const auto what = [](const auto& load) {
    try {
      load();
    } catch (const RuleError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  RuleLibrary library = RuleLibrary::builtin();
  CHECK(what([&] { library.add_text(text, "mine.rules"); }) ==
        "mine.rules:3:8: error[R202]: unknown operator or class 'rleu'; did you mean 'relu'?\n"
        "    3 |   grad(rleu(x), g) => g\n"
        "      |        ^~~~");
  CHECK(what([&] { library.add(parse_rules(text, "mine.rules")); }).find("did you mean 'relu'?") !=
        std::string::npos);
  CHECK(what([&] {
          library.add(parse_rules(text, "mine.rules").rule_sets[0]);
        }).find("did you mean 'relu'?") != std::string::npos);
  CHECK_THROWS((void)library.rule_set("mine"));
}

TEST_CASE("a file with an error adds nothing to the library") {
  RuleLibrary library = RuleLibrary::builtin();
  CHECK_THROWS_AS(
      library.add_text(
          "rulegrad 1\nrules right { grad(relu(x), g) => g }\nrules wrong { grad(relu(x), g) => h }\n", "t"),
      RuleError);
  CHECK_THROWS((void)library.rule_set("right"));
}

TEST_CASE(
    "what a file holds may refer to what the library holds, and a copy of a shipped method may be loaded") {
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text("rulegrad 1\nfn half(v) = v / 2\nrules a { grad(relu(x), g) => half(g) }\n", "a.rules");
  CHECK_NOTHROW(library.add_text("rulegrad 1\nrules b { grad(tanh(x), g) => half(g)  use a }\n", "b.rules"));
  const RuleSet& shipped = library.rule_set("guided_backprop");
  CHECK_NOTHROW(library.add_text("rulegrad 1\n\n" + print(shipped) + "\n", "copy.rules"));
  CHECK_THROWS_WITH_AS(
      library.add_text("rulegrad 1\nrules guided_backprop { grad(relu(x), g) => g }\n", "other.rules"),
      doctest::Contains("there is another rule set named `guided_backprop`"), RuleError);
}

TEST_CASE("a rule set given as an argument may be named from inside of the analyzer's own name space") {
  const std::string sets =
      "rulegrad 1\nrules own.flat(k = 1) { grad(y: affine(x), r) => k * vjp(y, r) }\nanalyzer own.lrp(rule: "
      "rules = own.flat) { use rule  default gradient }\n";
  CHECK(found_in(sets + "analyzer b { extends own.lrp(flat(2)) }\n") == "");
  CHECK(codes_in(found_in(sets + "analyzer b { extends own.lrp(flta) }\n")) ==
        std::vector<std::string>{"R204"});
  CHECK(codes_in(found_in(sets + "analyzer b { extends own.lrp(flat(q = 2)) }\n")) ==
        std::vector<std::string>{"R206"});
}

TEST_CASE("findings come in the order of the file, and each once") {
  const std::string text = test::read_text(source_root() / "tests/rules_bad/check_many_problems.rules");
  const std::vector<Diagnostic> findings =
      check(parse_rules(text, "t"), RuleLibrary::builtin().check_context());
  CHECK(findings.size() >= 7);
  for (std::size_t i = 1; i < findings.size(); ++i) {
    const SourceRange &before = findings[i - 1].where, &here = findings[i].where;
    CHECK((before.line < here.line || (before.line == here.line && before.column <= here.column)));
  }
}

TEST_CASE(
    "every code of the documentation is shown by a bad file, and every code of the checker is documented") {
  std::set<std::string> documented, shown, used;
  for (const std::string& code : codes_in([] {
         std::string text = test::read_text(source_root() / "docs/rule-checks.md"), marked;
         for (std::size_t at = text.find("\n### R"); at != std::string::npos;
              at = text.find("\n### R", at + 1))
           marked += "[" + text.substr(at + 5, 4);
         return marked;
       }()))
    documented.insert(code);
  for (const auto& path : test::files_in("tests/rules_bad", ".expected"))
    if (path.filename().string().starts_with("check_"))
      for (const std::string& code : codes_in(test::read_text(path))) shown.insert(code);
  for (const char* folder : {"src/rewrite", "src/check", "src/recipe", "src/explain", "src/prove", "src/cli"})
    for (const auto& path : test::files_in(folder, ".cpp")) {
      const std::string text = test::read_text(path);
      for (std::string& code : codes_in(text)) used.insert(std::move(code));
      for (std::size_t at = text.find("\"R2"); at != std::string::npos; at = text.find("\"R2", at + 1))
        if (text.size() > at + 5 && text[at + 5] == '"') used.insert(text.substr(at + 1, 4));
    }
  CHECK(used.size() >= 35);
  CHECK(documented == used);
  for (const std::string& code : shown) {
    INFO(code);
    CHECK(used.contains(code));
  }
  // Those that need a model or numbers are shown by tests of their own.
  for (const std::string& code : used) {
    if (code >= "R270") continue;
    INFO(code);
    CHECK(shown.contains(code));
  }
}

TEST_CASE("guards leave the shapes of other samples alone, and rules above claim theirs first") {
  // Right for one orientation of the weights, and told apart by the guard.
  CHECK(found_in("rulegrad 1\nrules m {\n  grad(y: matmul(a, b), g) wrt a when rank(a) == 2 and rank(b) == 2 "
                 "and y.transpose_b == 0 and y.transpose_a == 0 => "
                 "matmul(g, b, transpose_b = 1)\n}\n") == "");
  CHECK(codes_in(found_in("rulegrad 1\nrules m {\n  grad(y: matmul(a, b), g) wrt a when y.transpose_a == 0 "
                          "=> matmul(g, b)\n}\n")) == std::vector<std::string>{"R262"});
}

TEST_CASE(
    "an operand that an elementwise operator spreads over its result may be given what has the result's "
    "shape") {
  CHECK(found_in("rulegrad 1\nrules m { grad(y: a + b, r) wrt a => a * r / stabilize(y, 1) }\n") == "");
  CHECK(codes_in(found_in("rulegrad 1\nrules m { grad(y: dense(x), r) => y * r }\n")) ==
        std::vector<std::string>{"R260"});
}

TEST_CASE(
    "subsumption knows classes, omitted operands, commutative operators, slots and repeated variables") {
  const auto unreachable = [](const std::string& first, const std::string& second) {
    return found_in("rulegrad 1\nrules m {\n  " + first + "\n  " + second + "\n}\n").find("[R240]") !=
           std::string::npos;
  };
  CHECK(unreachable("grad(affine(x), r) => next(x * 0)", "grad(y: conv(x, w), r) => vjp(y(w = w * w), r)"));
  CHECK_FALSE(unreachable("grad(y: conv(x), r) => vjp(y, r)", "grad(y: affine(x), r) => vjp(y, r)"));
  CHECK_FALSE(
      unreachable("grad(y: affine(x), r) => vjp(y, r)", "grad(y: affine(x, w), r) wrt w => vjp(y, r)"));
  CHECK(unreachable("grad(a * b, r) wrt a => r * b", "grad(a * b, r) wrt b => r * a"));
  CHECK(unreachable("grad(a * b: tanh(_), r) wrt a => r * b", "grad(b: tanh(_) * a, r) wrt a => r * b"));
  CHECK_FALSE(
      unreachable("grad(a * b: tanh(_), r) wrt a => r * b", "grad(a * b: tanh(_), r) wrt b => r * a"));
  CHECK_FALSE(unreachable("grad(a / b, r) wrt a => r / b", "grad(a / b, r) wrt b => -r * a / b"));
  CHECK_FALSE(unreachable("grad(a * a, r) wrt a => r * a", "grad(a * b, r) wrt a => r * b"));
  CHECK(unreachable("grad(a * b, r) wrt a => r * b", "grad(a * a, r) wrt a => r * a"));
  CHECK(unreachable("grad(softmax(x), r) => r", "grad(softmax(x, axis = 1), r) => r"));
  CHECK_FALSE(unreachable("grad(softmax(x, axis = 1), r) => r", "grad(softmax(x), r) => r"));
  CHECK_FALSE(unreachable("grad(relu(x), g) when name(\"a\") => g", "grad(relu(x), g) => 2 * g"));
  CHECK(unreachable("rewrite identity(x) => x", "rewrite identity(relu(x)) => relu(x)"));
}

TEST_CASE("checking a file takes milliseconds, and the library that ships loads in less than ten") {
  const std::string text = test::read_text(source_root() / "rules/lrp.rules");
  double best = 1e9;
  for (int i = 0; i < 3; ++i) {
    const testing::ThreadTimer timer;
    (void)check(parse_rules(text, "lrp.rules"), RuleLibrary::builtin().check_context());
    best = std::min(best, 1000 * timer.seconds());
  }
  MESSAGE("checking rules/lrp.rules: ", best, " ms");
  CHECK(best < 500);
}
