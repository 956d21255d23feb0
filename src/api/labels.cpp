#include "api/labels.hpp"

#include <algorithm>

#include "rulegrad/support/text.hpp"

namespace rulegrad {

std::string text_of(const AnalyzerCall& call) {
  std::string text = call.name;
  for (const auto& [name, value] : call.arguments) {
    text += text.size() == call.name.size() ? ':' : ',';
    if (!name.empty()) text += name + "=";
    if (const auto* number = std::get_if<double>(&value))
      text += shortest(*number);
    else if (const auto* word = std::get_if<std::string>(&value))
      text += *word;
    else
      text += "array";
  }
  return text;
}

std::vector<std::string> labels_of(std::span<const AnalyzerCall> calls) {
  std::vector<std::string> labels;
  for (const AnalyzerCall& call : calls) {
    const auto same = std::count_if(calls.begin(), calls.end(),
                                    [&](const AnalyzerCall& other) { return other.name == call.name; });
    labels.push_back(same == 1 ? call.name : text_of(call));
  }
  return labels;
}

}  // namespace rulegrad
