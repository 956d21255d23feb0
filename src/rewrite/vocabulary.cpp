#include "rewrite/vocabulary.hpp"

#include "rewrite/language_words.hpp"
#include "rewrite/match.hpp"

namespace rulegrad {
namespace {

Form form_of(std::string_view name) {
  if (name == "and") return Form::conjunction;
  if (name == "or") return Form::disjunction;
  if (name == "not") return Form::negation;
  if (name == "is") return Form::comparison;
  if (name == "where") return Form::choice;
  return Form::ordinary;
}

}  // namespace

Meaning Vocabulary::meaning(std::string_view name) const {
  const auto function = functions_.find(name);
  return {find_word(name),
          operators_.find(name),
          op_class_from_name(name),
          function == functions_.end() ? nullptr : function->second,
          form_of(name),
          {}};
}

const std::vector<Meaning>& Vocabulary::meanings_of(const Terms& terms) const {
  const auto [entry, fresh] = known_.try_emplace(&terms);
  if (fresh)
    for (const Term& term : terms) {
      entry->second.push_back(meaning(term.name));
      if (term.kind == TermKind::text) entry->second.back().text = StaticValue(AttrValue(term.name));
    }
  return entry->second;
}

}  // namespace rulegrad
