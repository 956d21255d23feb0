#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "cli/commands.hpp"
#include "cli/question.hpp"
#include "rulegrad/analyzer.hpp"
#include "rulegrad/rule_library.hpp"
#include "rulegrad/rule_text.hpp"

namespace rulegrad::cli {
namespace {

std::string first_sentence(const std::string& doc) {
  std::string line = doc;
  std::replace(line.begin(), line.end(), '\n', ' ');
  // A sentence ends where the next begins with a capital; "et al." and "e.g." go on.
  std::size_t end = line.find(". ");
  while (end != std::string::npos && (line[end + 2] < 'A' || line[end + 2] > 'Z')) end = line.find(". ", end + 1);
  return end == std::string::npos ? line : line.substr(0, end + 1);
}

std::string parameters_text(const AnalyzerDefinition& analyzer) {
  std::string text;
  for (const Parameter& parameter : analyzer.parameters) {
    text += text.empty() ? "" : ", ";
    text += parameter.fallback == no_term ? parameter.name
                                          : fmt::format("{}={}", parameter.name, print_term(analyzer.terms, parameter.fallback));
  }
  return text;
}

}  // namespace

void add_methods(CLI::App& app, Run& run) {
  auto files = std::make_shared<std::vector<std::string>>();
  CLI::App* command = app.add_subcommand("methods", "List every method with a line of description and its parameters");
  command->add_option("--rules", *files, "Rule files to read beside the shipped ones")->type_name("FILE.rules");
  command->callback([files, &run] {
    run = [files] {
      const RuleLibrary library = library_with(*files);
      for (const std::string& name : library.analyzer_names()) {
        const AnalyzerDefinition& analyzer = library.analyzer(name);
        const std::string parameters = parameters_text(analyzer);
        fmt::print("{}{}\n    {}\n", name, parameters.empty() ? "" : "  (" + parameters + ")", first_sentence(analyzer.doc));
      }
    };
  });
}

void add_show(CLI::App& app, Run& run) {
  struct Options {
    std::string method;
    std::vector<std::string> files;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("show", "Print the rules of a method as text that can be copied and changed");
  command->add_option("method", options->method, "A method, as `rulegrad methods` lists them")->required()->type_name("METHOD");
  command->add_option("--rules", options->files, "Rule files to read beside the shipped ones")->type_name("FILE.rules");
  command->callback([options, &run] {
    run = [options] {
      const RuleLibrary library = library_with(options->files);
      fmt::print("{}", show_method(library, options->method));
    };
  });
}

}  // namespace rulegrad::cli
