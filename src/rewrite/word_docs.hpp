#pragma once

#include <string_view>

namespace rulegrad {

/// What a word of the rule language means, in a sentence for its reference; empty for words that have none.
[[nodiscard]] std::string_view word_doc(std::string_view word);

}  // namespace rulegrad
