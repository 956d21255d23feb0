#pragma once

#include <span>
#include <string>
#include <vector>

#include "rewrite/rule_list.hpp"

namespace rulegrad {

/// What rules hand down, which decides what a rule beside them should: shares of relevance, which add up;
/// multipliers of differences from a baseline (DeepLIFT); or gradients.
enum class Currency : std::uint8_t { relevance, multipliers, gradient };

/// As far as the rules say it themselves.
[[nodiscard]] Currency currency_of(const RuleList& rules);

/// An operand of one of the nodes that the input decides, so that it differs between two runs and no
/// difference flows back to it; or nothing.
[[nodiscard]] Expr decision_below(std::span<const Expr> nodes, const ForwardFacts& facts);

/// The lines of a rule set that would claim these unclaimed slots, operands of nodes of one operator, in that
/// currency: they load as they are, each once, and what reaches a node in shares of relevance goes on whole
/// wherever that is possible (a comment says where it is not).
[[nodiscard]] std::vector<std::string> proposed_rules(Currency currency, std::span<const Expr> nodes,
                                                      std::span<const std::size_t> slots,
                                                      const ForwardFacts& facts);

}  // namespace rulegrad
