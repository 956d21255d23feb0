// The command with plugins: what they bring is tried as what ships is tried.
#include <doctest/doctest.h>

#include "cli/command.hpp"

using namespace rulegrad::testing;

TEST_CASE("check tries the operators and methods of a plugin, and says what holds on how many examples") {
  const CommandResult result = run_command({"check", "--plugin", RULEGRAD_PLUGIN});
  INFO(result.err);
  CHECK(result.code == 0);
  CHECK(result.out ==
        "squash: on so many examples hold shapes (1), kernel (1), derivative (1), interval (1), batch (1), "
        "decisions (1), "
        "classes (1), finite (1), passes (1)\n"
        "squash: gradient gives finite numbers, adjoint, linear\n"
        "squash: lrp.epsilon gives finite numbers, conserves, linear\n"
        "squash: lrp_through_squash gives finite numbers\n"
        "1 operator, 0 kernels and 1 analyzer of 1 plugin: no problems\n");
}

TEST_CASE(
    "check names each thing that a plugin's operator is not, with the sample and both numbers, and ends with "
    "2") {
  const CommandResult result = run_command({"check", "--plugin", RULEGRAD_FAULTY_PLUGIN});
  CHECK(result.code == 2);
  for (const char* told :
       {"error: [square] it says nothing of decides, finite, passes; set OpSchema::decides",
        "error: [square] derivative on square(x [2, 3]): along a random direction of x differences give ",
        "error: [square] interval on square(x [2, 3]): element ", "outside of [0, 1]",
        "error: [square] halves declares `conserves`, which does not hold on x [2, 3] -> square(x [2, 3]): ",
        "error: `halves` declares `conserves`, which does not hold on x [1, 1] -> "}) {
    INFO(told);
    CHECK(result.out.find(told) != std::string::npos);
  }
  CHECK(result.err.starts_with("rulegrad: error: "));
}

TEST_CASE(
    "check with a plugin still reads rule files, which may name its operators; with neither it says what it "
    "wants") {
  const ScratchDirectory scratch;
  std::ofstream(scratch.file("mine.rules")) << "rulegrad 1\nrules a { grad(squash(x), g) => 2 * g }\n";
  const CommandResult result =
      run_command({"check", scratch.file("mine.rules"), "--plugin", RULEGRAD_PLUGIN});
  CHECK(result.code == 0);
  CHECK(result.out.ends_with(
      "1 rule in 1 set, 0 analyzers; 1 operator, 0 kernels and 1 analyzer of 1 plugin: no problems\n"));
  const CommandResult nothing = run_command({"check"});
  CHECK(nothing.code != 0);
  CHECK(nothing.err.find("file is required") != std::string::npos);
}
