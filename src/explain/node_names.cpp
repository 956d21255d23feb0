#include "explain/node_names.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad {

NodeNames::NodeNames(const Analysis& analysis)
    : analysis_(analysis), order_(topological_order(std::span(&analysis.output, 1))) {
  for (std::size_t i = 0; i < order_.size(); ++i) place_.emplace(order_[i], i);
}

std::string NodeNames::of(Expr node) const {
  const std::vector<std::string> names = node.graph().names(node);
  if (!names.empty()) return names.front();
  const auto found = place_.find(node);
  return found == place_.end() ? node.op().name : fmt::format("{}({})", node.op().name, found->second);
}

std::vector<Expr> NodeNames::find(std::string_view name) const {
  std::vector<Expr> result;
  std::vector<std::string> known;
  for (const Step& step : analysis_.steps) {
    std::vector<std::string> names = step.node.graph().names(step.node);
    if (names.empty()) names.push_back(of(step.node));
    const bool meant = std::find(names.begin(), names.end(), name) != names.end();
    if (meant && std::find(result.begin(), result.end(), step.node) == result.end())
      result.push_back(step.node);
    known.insert(known.end(), names.begin(), names.end());
  }
  if (!result.empty()) return result;
  std::sort(known.begin(), known.end());
  known.erase(std::unique(known.begin(), known.end()), known.end());
  throw Error(ErrorCode::unknown_name, unknown_name_message("node with a gradient", name, known));
}

}  // namespace rulegrad
