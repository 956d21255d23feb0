#include "rulegrad/explain/method_page.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <regex>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/recipe/sampler.hpp"
#include "rulegrad/rule/rule_text.hpp"

#include "explain/show_method.hpp"
#include "rewrite/language_words.hpp"
#include "rule/number_range.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// Text between `|`s and with links for what it cites.
std::string markdown(std::string text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '|' || c == '*' || c == '_' || c == '<') escaped += '\\';
    escaped += c;
  }
  static const std::regex arxiv(R"(arXiv (\d{4}\.\d{4,5}))");
  return std::regex_replace(escaped, arxiv, "[arXiv $1](https://arxiv.org/abs/$1)");
}

std::string first_sentence(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  // A sentence ends where the next begins with a capital; "et al." and "e.g." go on.
  std::size_t end = text.find(". ");
  while (end != std::string::npos && (text[end + 2] < 'A' || text[end + 2] > 'Z'))
    end = text.find(". ", end + 1);
  return end == std::string::npos ? text : text.substr(0, end + 1);
}

std::string range_text(const Parameter& parameter) {
  if (!parameter.range) return {};
  return range_text(*parameter.range);
}

std::string fallback_sentence(const AnalyzerDefinition& analyzer) {
  if (!analyzer.fallback)
    return analyzer.extends == no_term ? "An operator that no rule below is for is an error that names it."
                                       : std::string();
  switch (*analyzer.fallback) {
    case Fallback::error:
      return "An operator that no rule below is for is an error that names it.";
    case Fallback::gradient:
      return "Operators that no rule below is for send on their derivative.";
    case Fallback::pass:
      return "Operators that no rule below is for hand on what they receive.";
    case Fallback::zero:
      return "Operators that no rule below is for send nothing on.";
  }
  return {};
}

std::string property_sentence(const std::string& property) {
  if (property == "conserves")
    return "what reaches the input sums to what the walk started from, but for biases and stabilisers";
  if (property == "completes")
    return "what reaches the input sums to the score less the score at the baseline";
  if (property == "linear") return "twice the seed gives twice the attribution, and sums of seeds give sums";
  if (property == "positive") return "a positive seed gives no negative attribution";
  if (property == "adjoint") return "the attribution is the derivative of the score";
  return "";
}

std::string base_of(const AnalyzerDefinition& analyzer) {
  return analyzer.extends == no_term ? std::string()
                                     : analyzer.terms[static_cast<std::size_t>(analyzer.extends)].name;
}

std::string list_of(std::span<const std::string> items) {
  return items.empty() ? std::string() : fmt::format("`{}`", join(items, "` `"));
}

}  // namespace

std::string method_page(const RuleLibrary& library, std::string_view method) {
  const AnalyzerDefinition& analyzer = library.analyzer(method);
  std::string text = fmt::format("<!-- Made by scripts/generate_method_pages.sh from {}. -->\n# {}\n\n{}\n\n",
                                 analyzer.where.file, markdown(analyzer.name), markdown(analyzer.doc));
  std::vector<std::string> required;
  for (const Parameter& parameter : analyzer.parameters)
    if (parameter.fallback == no_term) required.push_back(parameter.name + "=...");
  text += fmt::format("```\nrulegrad analyze MODEL --input FILE --method {}{}{}\n```\n\n", method,
                      required.empty() ? "" : ":", join(required, ","));

  if (!analyzer.parameters.empty()) {
    text += "| parameter | type | default | range |\n|---|---|---|---|\n";
    for (const Parameter& parameter : analyzer.parameters)
      text += fmt::format(
          "| `{}` | {} | {} | {} |\n", parameter.name, parameter.type.empty() ? "number" : parameter.type,
          parameter.fallback == no_term ? "must be given"
                                        : fmt::format("`{}`", print_term(analyzer.terms, parameter.fallback)),
          range_text(parameter));
    text += '\n';
  }
  if (const std::string base = base_of(analyzer); !base.empty()) {
    const bool parameter = std::any_of(analyzer.parameters.begin(), analyzer.parameters.end(),
                                       [&](const Parameter& p) { return p.name == base; });
    text +=
        parameter
            ? fmt::format("It wraps the method that its parameter `{}` names, whose rules it runs.\n\n", base)
            : fmt::format("It extends [{}]({}.md): what it does not say itself is said there.\n\n",
                          markdown(base), base);
  }
  if (!analyzer.properties.empty()) {
    text += "Declared properties, which the tests check and `rulegrad check` measures:\n\n";
    for (const std::string& property : analyzer.properties) {
      const std::string sentence = property_sentence(property);
      text += fmt::format("- `{}`{}\n", property, sentence.empty() ? "" : ": " + sentence);
    }
    text += '\n';
  }
  if (const std::string sentence = fallback_sentence(analyzer); !sentence.empty()) text += sentence + "\n\n";
  const GatheredMethod gathered = gather_own_file(library, method);
  text +=
      fmt::format("## Rules\n\nFrom [{0}](../../{0}); `rulegrad show {1}` prints this{2}.\n\n```\n{3}```\n",
                  analyzer.where.file, method,
                  gathered.elsewhere.empty() ? "" : " and what it uses of other files", print(gathered.own));
  if (!gathered.elsewhere.empty()) text += "\nOf other files it uses\n\n";
  for (const auto& [kind, name, file] : gathered.elsewhere)
    text += kind == "method" ? fmt::format("- the method [{}]({}.md)\n", markdown(name), name)
                             : fmt::format("- {} `{}` of [{}](../../{})\n",
                                           kind == "rules" ? "the rules" : "the function", name, file, file);
  return text;
}

std::string method_index(const RuleLibrary& library) {
  std::string text =
      "<!-- Made by scripts/generate_method_pages.sh. -->\n# Methods\n\nEvery method that ships, from its "
      "rule file.\n\n| method | what it is |\n|---|---|\n";
  for (const std::string& name : library.analyzer_names())
    text += fmt::format("| [{}]({}.md) | {} |\n", markdown(name), name,
                        markdown(first_sentence(library.analyzer(name).doc)));
  return text;
}

std::string words_table() {
  std::string text = "| word | where | meaning |\n|---|---|---|\n";
  for (const Word& word : words())
    text += fmt::format("| `{}` | {} | {} |\n", word.usage(), place_of(word.kind),
                        markdown(std::string(word.doc)));
  return text;
}

std::string operators_table() {
  std::string text = "| operator | attributes | classes | meaning |\n|---|---|---|---|\n";
  std::vector<std::string> names = Operators::builtin().names();
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const OpSchema& schema = Operators::builtin().at(name);
    std::vector<std::string> operands, classes;
    for (const OperandSpec& operand : schema.operands)
      operands.push_back(operand.name + (operand.variadic ? "..." : operand.optional ? "?" : ""));
    for (const OpClass c : schema.classes) classes.emplace_back(op_class_names[static_cast<std::size_t>(c)]);
    text += fmt::format("| `{}({})` | {} | {} | {} |\n", name, join(operands),
                        list_of(schema.attributes->fields), join(classes), markdown(schema.doc));
  }
  return text;
}

std::string samplers_table() {
  std::string text = "| sampler | gives | meaning |\n|---|---|---|\n";
  for (const std::string& name : Samplers::builtin().names()) {
    const Sampler& sampler = Samplers::builtin().at(name);
    text += fmt::format("| `{}({})` | {} | {} |\n", name, join(sampler.parameters),
                        list_of(sampler.variables), markdown(sampler.doc));
  }
  return text;
}

}  // namespace rulegrad
