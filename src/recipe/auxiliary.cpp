#include <fmt/format.h>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/support/error.hpp"

#include "support/text.hpp"

namespace rulegrad {

void AuxiliaryArrays::add(std::string key, Tensor value) {
  arrays_.insert_or_assign(std::move(key), std::move(value));
}

Tensor AuxiliaryArrays::find(Expr node, std::string_view name, Expr like) const {
  const Tensor* found = nullptr;
  std::string found_key;
  const std::vector<std::string> names = node.graph().names(node);
  for (const std::string& node_name : names) {
    const std::string key = fmt::format("{}/{}", node_name, name);
    const auto entry = arrays_.find(key);
    if (entry == arrays_.end()) continue;
    if (found != nullptr)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} holds both '{}' and '{}', but they are one node, {}; leave one of them out",
                              source_, found_key, key, describe(node)));
    found = &entry->second;
    found_key = key;
  }
  if (found == nullptr) {
    std::vector<std::string> known;
    for (const auto& [key, array] : arrays_) known.push_back(key);
    throw Error(
        ErrorCode::unknown_name,
        names.empty()
            ? fmt::format("{} has no name, so {} cannot hold its '{}'", describe(node), source_, name)
            : fmt::format("{} has no array for {}: {}", source_, describe(node),
                          unknown_name_message("array", fmt::format("{}/{}", names.front(), name), known)));
  }
  if (Shape::of(found->dims()) != like.shape())
    throw Error(ErrorCode::shape,
                fmt::format("'{}' of {} has shape {}, but for {} it must have the shape {} of {}", found_key,
                            source_, to_string(std::span(found->dims())), describe(node),
                            to_string(like.shape()), describe(like)));
  return found->cast(like.dtype());
}

}  // namespace rulegrad
