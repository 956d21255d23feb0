#pragma once

#include "rulegrad/support/json.hpp"

namespace CLI {
class App;
}  // namespace CLI

namespace rulegrad::cli {

/// Prints the whole, and a line end.
void print_answer(const Json& json);

void add_json_option(CLI::App& command, bool& json);

}  // namespace rulegrad::cli
