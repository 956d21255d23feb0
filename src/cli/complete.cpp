#include <CLI/CLI.hpp>
#include <algorithm>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/draw/colormap.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/recipe/rule_library.hpp"

#include "cli/commands.hpp"

namespace rulegrad::cli {
namespace {

struct Candidate {
  std::string word;
  std::string about = {};
};

std::string first_line(const std::string& text) {
  std::string line = text.substr(0, text.find('\n'));
  std::replace(line.begin(), line.end(), '\t', ' ');
  return line;
}

/// `a|b|FILE` as a type name lists the words that may stand there.
std::vector<Candidate> words_of_type(const std::string& type) {
  std::vector<Candidate> result;
  if (type.find('|') == std::string::npos) return result;
  for (const std::string& word : CLI::detail::split(type, '|'))
    if (std::all_of(word.begin(), word.end(),
                    [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; }))
      result.push_back({word});
  return result;
}

std::vector<Candidate> methods(const std::vector<std::string>& words) {
  RuleLibrary library = RuleLibrary::builtin();
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    if (words[i] != "--rules") continue;
    try {
      library.add_file(words[i + 1]);
    } catch (const std::exception&) {  // a broken file is told of when the command runs
    }
  }
  std::vector<Candidate> result;
  for (const std::string& name : library.analyzer_names())
    result.push_back({name, first_line(library.analyzer(name).doc)});
  return result;
}

std::vector<Candidate> named(const std::vector<std::string>& names) {
  std::vector<Candidate> result;
  for (const std::string& name : names) result.push_back({name});
  return result;
}

std::vector<Candidate> values_of(const CLI::Option& option, const std::vector<std::string>& words) {
  if (option.check_lname("method") || option.get_type_name() == "METHOD") return methods(words);
  if (option.check_lname("colormap")) return named(io::ColorMap::names());
  if (option.check_lname("preprocess")) return named(io::preprocessing_names());
  return words_of_type(option.get_type_name());
}

std::vector<Candidate> candidates(const CLI::App& app, const std::vector<std::string>& words) {
  std::vector<Candidate> result;
  if (words.size() < 2) {
    for (const CLI::App* command :
         app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); }))
      result.push_back({command->get_name(), first_line(command->get_description())});
    return result;
  }
  const auto commands = app.get_subcommands([&](const CLI::App* c) { return c->get_name() == words[0]; });
  if (commands.empty()) return result;
  const CLI::App& command = *commands[0];
  if (const std::string& before = words[words.size() - 2]; before.starts_with('-')) {
    const CLI::Option* option = command.get_option_no_throw(before);
    if (option != nullptr && option->get_expected_max() > 0 && option->get_items_expected_max() > 0)
      return values_of(*option, words);
  }
  if (words.back().starts_with('-')) {
    for (const CLI::Option* option : command.get_options())
      for (const std::string& name : option->get_lnames())
        result.push_back({"--" + name, first_line(option->get_description())});
    return result;
  }
  for (const CLI::Option* option : command.get_options())
    if (option->get_positional() && option->get_type_name() == "METHOD") return methods(words);
  return result;
}

}  // namespace

void add_complete(CLI::App& app, Run& run) {
  auto words = std::make_shared<std::vector<std::string>>();
  CLI::App* command =
      app.add_subcommand("complete",
                         "What may stand where the last of the given words stands; shells ask for it")
          ->group("");
  command->add_option("words", *words, "The words after `rulegrad`, the last of them unfinished")
      ->type_name("WORD");
  command->callback([words, &app, &run] {
    run = [words, &app] {
      if (words->empty()) words->emplace_back();
      for (const Candidate& candidate : candidates(app, *words))
        if (candidate.word.starts_with(words->back()))
          fmt::print("{}{}{}\n", candidate.word, candidate.about.empty() ? "" : "\t", candidate.about);
    };
  });
}

}  // namespace rulegrad::cli
