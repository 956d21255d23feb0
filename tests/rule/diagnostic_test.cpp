#include "rulegrad/rule/diagnostic.hpp"

#include <doctest/doctest.h>

using namespace rulegrad;

namespace {

Diagnostic problem(std::string code, SourceRange where, std::string message) {
  Diagnostic result;
  result.code = std::move(code);
  result.where = std::move(where);
  result.message = std::move(message);
  return result;
}

}  // namespace

TEST_CASE("a diagnostic shows place, line, carets, notes and help") {
  Diagnostic diagnostic = problem("R999", {"a.rules", 2, 3, 4}, "unknown operator 'rlux'");
  diagnostic.notes.push_back({"said here first", SourceRange{"a.rules", 1, 1, 2}});
  diagnostic.notes.push_back({"elsewhere", SourceRange{"b.rules", 7, 2, 1}});
  diagnostic.notes.push_back({"a thought", std::nullopt});
  diagnostic.help = "write `relu`";
  CHECK(render(diagnostic, "fn f\n\trlux(x)\n") ==
        "a.rules:2:3: error[R999]: unknown operator 'rlux'\n"
        "    2 | \trlux(x)\n"
        "      | \t ^~~~\n"
        "a.rules:1:1: note: said here first\n"
        "    1 | fn f\n"
        "      | ^~\n"
        "b.rules:7:2: note: elsewhere\n"
        "note: a thought\n"
        "help: write `relu`");
}

TEST_CASE("carets count characters, stop at the end of the line and may stand behind it") {
  CHECK(render(problem("R1", {"f", 1, 4, 100}, "m"), "äö xyz\nnext") ==
        "f:1:4: error[R1]: m\n    1 | äö xyz\n      |    ^~~");
  CHECK(render(problem("R1", {"f", 1, 4, 1}, "m"), "abc\r\n") ==
        "f:1:4: error[R1]: m\n    1 | abc\n      |    ^");
  CHECK(render(problem("R1", {"f", 9, 1, 1}, "m"), "abc") == "f:9:1: error[R1]: m\n    9 | \n      | ^");
}

TEST_CASE("without a source or a place only the message is shown") {
  CHECK(render(problem("R1", {"f", 1, 4, 1}, "m"), "") == "f:1:4: error[R1]: m");
  CHECK(render(problem("R1", {}, "m"), "abc") == "error[R1]: m");
}

TEST_CASE("an error of a rule file carries and shows all its diagnostics") {
  const RuleError error({problem("R1", {"f", 1, 1, 1}, "one"), problem("R2", {"f", 1, 2, 1}, "two")}, "ab");
  CHECK(error.code() == ErrorCode::rule);
  CHECK(error.diagnostics().size() == 2);
  CHECK(std::string(error.what()) ==
        "f:1:1: error[R1]: one\n    1 | ab\n      | ^\n\nf:1:2: error[R2]: two\n    1 | ab\n      |  ^");
}
