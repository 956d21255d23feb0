#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/explain/method_page.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "cli/commands.hpp"
#include "cli/options.hpp"
#include "cli/print_json.hpp"
#include "cli/question.hpp"

namespace rulegrad::cli {
namespace {

struct Sources {
  ModelOptions plugins;
  std::vector<std::string> files;
};

void add_sources(CLI::App& command, Sources& sources) {
  command.add_option("--rules", sources.files, "Rule files to read beside the shipped ones")
      ->type_name("FILE.rules");
  add_plugin_option(command, sources.plugins);
}

RuleLibrary library_of(const Sources& sources) {
  return library_with(sources.plugins.registry(), sources.files);
}

std::string first_sentence(const std::string& doc) {
  std::string line = doc;
  std::replace(line.begin(), line.end(), '\n', ' ');
  // A sentence ends where the next begins with a capital; "et al." and "e.g." go on.
  std::size_t end = line.find(". ");
  while (end != std::string::npos && (line[end + 2] < 'A' || line[end + 2] > 'Z'))
    end = line.find(". ", end + 1);
  return end == std::string::npos ? line : line.substr(0, end + 1);
}

std::string parameters_text(const AnalyzerDefinition& analyzer) {
  std::string text;
  for (const Parameter& parameter : analyzer.parameters) {
    text += text.empty() ? "" : ", ";
    text += parameter.fallback == no_term
                ? parameter.name
                : fmt::format("{}={}", parameter.name, print_term(analyzer.terms, parameter.fallback));
  }
  return text;
}

void print_json(const RuleLibrary& library) {
  Json json;
  json.open('[');
  for (const std::string& name : library.analyzer_names()) {
    const AnalyzerDefinition& analyzer = library.analyzer(name);
    json.open('{')
        .key("name")
        .text(name)
        .key("summary")
        .text(first_sentence(analyzer.doc))
        .key("parameters")
        .open('[');
    for (const Parameter& parameter : analyzer.parameters) {
      json.open('{').key("name").text(parameter.name).key("default");
      if (parameter.fallback == no_term)
        json.null();
      else
        json.text(print_term(analyzer.terms, parameter.fallback));
      json.close('}');
    }
    json.close(']').key("declares").open('[');
    for (const std::string& property : analyzer.properties) json.text(property);
    json.close(']').close('}');
  }
  json.close(']');
  print_answer(json);
}

}  // namespace

void add_methods(CLI::App& app, Run& run) {
  auto sources = std::make_shared<Sources>();
  auto as_page = std::make_shared<bool>(false), as_json = std::make_shared<bool>(false);
  CLI::App* command =
      app.add_subcommand("methods", "List every method with a line of description and its parameters");
  command->add_flag("--markdown", *as_page, "As a page of the documentation");
  add_json_option(*command, *as_json);
  add_sources(*command, *sources);
  command->callback([sources, as_page, as_json, &run] {
    run = [sources, as_page, as_json] {
      const RuleLibrary library = library_of(*sources);
      if (*as_json) return print_json(library);
      if (*as_page) {
        fmt::print("{}", method_index(library));
        return;
      }
      for (const std::string& name : library.analyzer_names()) {
        const AnalyzerDefinition& analyzer = library.analyzer(name);
        const std::string parameters = parameters_text(analyzer);
        fmt::print("{}{}\n    {}\n", name, parameters.empty() ? "" : "  (" + parameters + ")",
                   first_sentence(analyzer.doc));
      }
    };
  });
}

void add_show(CLI::App& app, Run& run) {
  struct Options {
    std::string method;
    Sources sources;
    bool markdown = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("show", "Print the rules of a method as text that can be copied and changed");
  command->add_option("method", options->method, "A method, as `rulegrad methods` lists them")
      ->required()
      ->type_name("METHOD");
  add_sources(*command, options->sources);
  command->add_flag("--markdown", options->markdown, "As a page of the documentation");
  command->callback([options, &run] {
    run = [options] {
      const RuleLibrary library = library_of(options->sources);
      fmt::print("{}", options->markdown ? method_page(library, options->method)
                                         : show_method(library, options->method));
    };
  });
}

void add_reference(CLI::App& app, Run& run) {
  CLI::App* language = app.add_subcommand("words", "Print the words of the rule language as a table");
  language->callback([&run] { run = [] { fmt::print("{}", words_table()); }; });
  CLI::App* operators = app.add_subcommand("operators", "Print the operators that rules may name as a table");
  operators->callback([&run] { run = [] { fmt::print("{}", operators_table()); }; });
  CLI::App* samplers =
      app.add_subcommand("samplers", "Print the samplers that `for` loops of recipes run over as a table");
  samplers->callback([&run] { run = [] { fmt::print("{}", samplers_table()); }; });
}

}  // namespace rulegrad::cli
