#include "cli/print_json.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace rulegrad::cli {

void print_answer(const Json& json) {
  fmt::print("{}\n", json.whole());
}

void add_json_option(CLI::App& command, bool& json) {
  command.add_flag("--json", json, "Print the answer as JSON");
}

}  // namespace rulegrad::cli
