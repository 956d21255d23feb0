#include "support/text.hpp"

#include <doctest/doctest.h>

using namespace rulegrad;

TEST_CASE("unknown names come with the nearest known one") {
  const std::vector<std::string> known{"relu", "tanh", "lrp.epsilon"};
  CHECK(unknown_name_message("operator", "rleu", known) == "unknown operator 'rleu'; did you mean 'relu'?");
  CHECK(unknown_name_message("method", "epsilon", known) ==
        "unknown method 'epsilon'; did you mean 'lrp.epsilon'?");
  CHECK(unknown_name_message("operator", "zzzzzz", known) ==
        "unknown operator 'zzzzzz'; known: relu, tanh, lrp.epsilon");
}

TEST_CASE("globs match whole names") {
  CHECK(glob_match("layer4.*", "layer4.0.conv1"));
  CHECK(glob_match("*conv?", "layer4.0.conv1"));
  CHECK_FALSE(glob_match("conv", "conv1"));
  CHECK(glob_match("*", ""));
}

TEST_CASE("numbers print shortest and read back") {
  CHECK(shortest(1e-7) == "1e-07");
  CHECK(shortest(0.25) == "0.25");
  CHECK(shortest(2) == "2");
}
