#include "rulegrad/prove/properties.hpp"

#include <algorithm>
#include <doctest/doctest.h>

#include "rulegrad/recipe/rule_library.hpp"

using namespace rulegrad;

namespace {

PropertyTrial one_of(const std::string& items, const std::string& analyzer) {
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text("rulegrad 1\n" + items, "mine.rules");
  const std::vector<PropertyTrial> trials = try_properties(library, analyzer);
  REQUIRE(trials.size() == 1);
  CHECK(trials[0].networks > 0);
  return trials[0];
}

}  // namespace

TEST_CASE("what the shipped methods declare of themselves holds on layers and random networks") {
  const RuleLibrary& library = RuleLibrary::builtin();
  int declared = 0;
  for (const std::string& name : library.analyzer_names())
    for (const PropertyTrial& trial : try_properties(library, name)) {
      ++declared;
      INFO(name << " declares " << trial.property << ": " << trial.network << ": " << trial.what);
      CHECK(trial.holds);
      CHECK(trial.networks >= 20);
    }
  CHECK(declared >= 10);
}

TEST_CASE("properties that do not hold are found on the smallest network that shows it") {
  PropertyTrial trial = one_of(
      "rules cut { grad(relu(x), g) => max(g, 0) }\nanalyzer a { use cut  default gradient  declare linear "
      "}\n",
      "a");
  CHECK_FALSE(trial.holds);
  CHECK(trial.network == "x [1, 1] -> relu, without biases");
  CHECK(trial.what.find("2 A(s) - 3 A(t)") != std::string::npos);

  trial = one_of(
      "rules cut { grad(y: relu(x), g) => vjp(y, max(g, 0)) }\nanalyzer a { use cut  default gradient  "
      "declare adjoint }\n",
      "a");
  CHECK_FALSE(trial.holds);
  CHECK(trial.network == "x [1, 2] -> relu, without biases");

  trial = one_of("analyzer a { extends gradient  declare positive }\n", "a");
  CHECK_FALSE(trial.holds);
  CHECK(trial.network == "x [1, 1] -> dense(1), without biases");

  trial = one_of(
      "rules half { grad(relu(x), r) => r / 2 }\nanalyzer a { use half  use lrp.z  use lrp.rest  declare "
      "conserves }\n",
      "a");
  CHECK_FALSE(trial.holds);
  CHECK(trial.network == "x [1, 1] -> relu, without biases");
  CHECK(trial.what.find("biases take 0, stabilisers 0, units to which nothing contributes 0, and ") !=
        std::string::npos);

  // What shows with a bias only is told with one, and what biases take is told apart from it.
  trial = one_of(
      "rules twice { grad(y: dense(x), r) => x * vjp(y(b = 0), r / stabilize(y(b = 0), 1e-9)) }\nanalyzer a "
      "{ use twice  use lrp.rest  declare conserves }\n",
      "a");
  CHECK(trial.holds);
}

TEST_CASE("a sum over steps completes if more steps bring it there") {
  const std::string path = "for (t, q) in right(steps)  at input = baseline + t * (input - baseline)  ";
  CHECK(one_of("analyzer a(steps = 20, baseline = 0) { extends gradient  " + path +
                   "result (sum over t (q * relevance)) * (input - baseline)  declare completes }\n",
               "a")
            .holds);
  CHECK_FALSE(
      one_of("analyzer a(steps = 20, baseline = 0) { extends gradient  " + path +
                 "result 1.5 * (sum over t (q * relevance)) * (input - baseline)  declare completes }\n",
             "a")
          .holds);
}

TEST_CASE("properties that hold pass, whatever biases and stabilisers take") {
  CHECK(one_of("analyzer a { use lrp.epsilon(0.5)  use lrp.rest  declare conserves }\n", "a").holds);
  CHECK(one_of("analyzer a { use { grad(y: affine(x), r) => vjp(y(w = max(y.w, 0)), r) }  use { "
               "grad(activation(x), r) => r }  default gradient  declare positive }\n",
               "a")
            .holds);
  CHECK(try_properties(RuleLibrary::builtin(), "gradient").size() == 2);
}
