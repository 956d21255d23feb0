#include "rewrite/words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "rulegrad/error.hpp"

namespace rulegrad {
namespace {

using enum WordKind;

constexpr Word value_word(std::string_view name, std::string_view parameters, Value (*answer)(const ValueCall&),
                          bool gives_tensor = false) {
  return {name, parameters, value, answer, nullptr, gives_tensor};
}
constexpr Word fact_word(std::string_view name, std::string_view parameters, bool (*answer)(const FactCall&)) {
  return {name, parameters, fact, nullptr, answer, false};
}
constexpr Word word(std::string_view name, std::string_view parameters, WordKind kind) {
  return {name, parameters, kind, nullptr, nullptr, kind != planned};
}

constexpr std::array table{
    word("grad", "y, g", gradient),
    word("vjp", "E, g", gradient),
    word("next", "g", gradient),
    word("diff", "e, x, g", gradient),
    word("const", "e", gradient),

    value_word("shape", "v", answers::shape),
    value_word("spatial", "v", answers::spatial),
    value_word("kernel", "w", answers::spatial),
    value_word("rank", "v", answers::rank),
    value_word("dtype", "v", answers::dtype),
    value_word("dim", "v, axis", answers::dim),
    value_word("extent", "v, axis", answers::dim),
    value_word("axes_but", "v, axis", answers::axes_but),
    value_word("axes_from", "v, axis", answers::axes_from),
    value_word("inverse", "permutation", answers::inverse),
    value_word("offset", "y", answers::offset),
    value_word("along", "v, axis, like", answers::along, true),
    value_word("out_channels", "v, y", answers::out_channels, true),
    value_word("pads_space_only", "y", answers::pads_space_only),
    value_word("merge_padding", "y, p", answers::merge_padding, true),

    fact_word("first", "class", answers::first),
    fact_word("last", "class", answers::last),
    fact_word("depends", "v", answers::depends),
    fact_word("only_use", "v", answers::only_use),
    fact_word("name", "[node], glob", answers::name),

    word("onehot", "index", recipe),
    word("score", "", recipe),
    word("relevance", "[node]", recipe),
    word("pick", "values, key, i", recipe),
    word("uniform", "[axes], key, i", recipe),
    word("normal", "[axes], key, i", recipe),

    word("in_channels", "v, y", planned),
    word("aux", "y, pattern", planned),
    word("is", "y, node", planned),
    word("index", "range", planned),
    word("range", "from, to", planned),
    word("skip", "a, b", planned),
    word("depth", "[node]", planned),
    word("ancestor", "class", planned),
    word("producer", "v", planned),
    word("channels", "", planned),
    word("per_sample", "", planned),
};

}  // namespace

Expr ValueCall::expr(std::size_t position) const {
  if (const auto* value = std::get_if<Expr>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes an expression as argument {}, not {}", term.name, position + 1,
                                           describe(arguments[position])));
}

double ValueCall::number(std::size_t position) const {
  if (const auto* value = std::get_if<double>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes a number as argument {}, not {}", term.name, position + 1,
                                           describe(arguments[position])));
}

std::vector<double> ValueCall::numbers(std::size_t position) const {
  if (const auto* value = std::get_if<AttrValue>(&arguments[position])) {
    if (const auto* doubles = std::get_if<std::vector<double>>(value)) return *doubles;
    if (const auto* integers = std::get_if<std::vector<std::int64_t>>(value)) return {integers->begin(), integers->end()};
  }
  throw Error(ErrorCode::rule, fmt::format("{} takes a list of numbers such as y.perm as argument {}, not {}", term.name,
                                           position + 1, describe(arguments[position])));
}

Expr FactCall::expr(std::size_t position) const {
  if (const auto* value = std::get_if<Expr>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes an expression that the pattern bound, not {}", term.name,
                                           describe(arguments[position])));
}

std::string FactCall::text(std::size_t position) const {
  if (const auto* attribute = std::get_if<AttrValue>(&arguments[position]))
    if (const auto* text = std::get_if<std::string>(attribute)) return *text;
  throw Error(ErrorCode::rule, fmt::format("{} takes a class, an operator or a \"name\" here, not {}", term.name,
                                           describe(arguments[position])));
}

std::size_t Word::most_arguments() const {
  return parameters.empty() ? 0 : 1 + static_cast<std::size_t>(std::count(parameters.begin(), parameters.end(), ','));
}

std::size_t Word::least_arguments() const {
  return most_arguments() - static_cast<std::size_t>(std::count(parameters.begin(), parameters.end(), '['));
}

std::string Word::usage() const {
  return parameters.empty() ? std::string(name) : fmt::format("{}({})", name, parameters);
}

std::span<const Word> words() { return table; }

const Word* find_word(std::string_view name) {
  static const auto by_name = [] {
    std::unordered_map<std::string_view, const Word*> result;
    for (const Word& entry : table) result.emplace(entry.name, &entry);
    return result;
  }();
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : found->second;
}

std::string wrong_argument_count(const Word& word, std::size_t given) {
  const std::size_t least = word.least_arguments(), most = word.most_arguments();
  if (given >= least && given <= most) return {};
  const std::string wanted = least == most ? fmt::format("{}", most) : fmt::format("{} or {}", least, most);
  return fmt::format("{} takes {} argument{} but {} {} given", word.usage(), wanted, wanted == "1" ? "" : "s", given,
                     given == 1 ? "is" : "are");
}

}  // namespace rulegrad
