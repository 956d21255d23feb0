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
constexpr Word fact_word(std::string_view name, std::string_view parameters, Value (*answer)(const FactCall&),
                         bool gives_tensor = false) {
  return {name, parameters, fact, nullptr, answer, gives_tensor};
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
    word("aux", "y, key, [like]", gradient),

    value_word("shape", "v", answers::shape),
    value_word("spatial", "[v]", answers::spatial),
    value_word("channels", "", answers::channels),
    value_word("per_sample", "", answers::per_sample),
    value_word("range", "from, to", answers::range),
    value_word("kernel", "w", answers::spatial),
    value_word("rank", "v", answers::rank),
    value_word("dtype", "v", answers::dtype),
    value_word("dim", "v, axis", answers::dim),
    value_word("extent", "v, axis", answers::dim),
    value_word("axes_but", "v, axis", answers::axes_but),
    value_word("axes_from", "v, axis", answers::axes_from),
    value_word("count", "axes", answers::count),
    value_word("inverse", "permutation", answers::inverse),
    value_word("offset", "y", answers::offset),
    value_word("along", "v, axis, like", answers::along, true),
    value_word("in_channels", "v, y", answers::in_channels, true),
    value_word("out_channels", "v, y", answers::out_channels, true),
    value_word("per_channel", "v, y", answers::per_channel),
    value_word("channel_vector", "v, y", answers::channel_vector, true),
    value_word("pads_space_only", "y", answers::pads_space_only),
    value_word("merge_padding", "y, p", answers::merge_padding, true),

    fact_word("first", "class, [through = class]", answers::first),
    fact_word("last", "class, [through = class]", answers::last),
    fact_word("index", "[class], range", answers::index),
    fact_word("depth", "[node]", answers::depth),
    fact_word("depends", "v", answers::depends),
    fact_word("ancestor", "a, b", answers::ancestor),
    fact_word("skip", "a, b", answers::skip),
    fact_word("producer", "v", answers::producer, true),
    fact_word("statistic", "c, a", answers::statistic),
    fact_word("only_use", "v", answers::only_use),
    fact_word("name", "[node], glob", answers::name),
    word("is", "v, node", fact),

    word("at_least", "v, bound", simplifier),
    word("vanishes", "v, z", simplifier),
    word("fixed", "v", simplifier),
    word("same_form", "u, v", simplifier),
    word("undecided", "y", simplifier),

    word("onehot", "index", recipe),
    word("score", "", recipe),
    word("relevance", "[node], [of = method]", recipe),
    word("pick", "values, key, i", recipe),
    word("uniform", "[axes], key, i", recipe),
    word("normal", "[axes], key, i", recipe),
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
  if (const auto* value = attribute_in(arguments[position])) {
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

const std::string& FactCall::text(std::size_t position) const {
  if (const auto* attribute = attribute_in(arguments[position]))
    if (const auto* text = std::get_if<std::string>(attribute)) return *text;
  throw Error(ErrorCode::rule, fmt::format("{} takes a class, an operator or a \"name\" here, not {}", term.name,
                                           describe(arguments[position])));
}

std::vector<double> FactCall::range(std::size_t position) const {
  if (const auto* number = std::get_if<double>(&arguments[position])) return {*number, *number};
  if (const auto* attribute = attribute_in(arguments[position]))
    if (const auto* ends = std::get_if<std::vector<double>>(attribute); ends != nullptr && ends->size() == 2) return *ends;
  throw Error(ErrorCode::rule, fmt::format("{} takes a position or a range of positions such as 0..3, not {}", term.name,
                                           describe(arguments[position])));
}

std::string_view Word::parameter(std::size_t position, std::size_t given) const {
  if (parameters.starts_with('[') && given < most) position += most - given;
  std::string_view rest = parameters;
  for (; position > 0 && !rest.empty(); --position) {
    const std::size_t comma = rest.find(',');
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 2);
  }
  std::string_view found = rest.substr(0, rest.find(','));
  if (found.starts_with('[')) found = found.substr(1, found.size() - 2);
  return found;
}

std::optional<std::size_t> Word::position_of(std::string_view option) const {
  for (std::size_t i = 0; i < most; ++i) {
    const std::string_view found = parameter(i, most);
    if (const std::size_t equals = found.find(" = "); equals != std::string_view::npos && found.substr(0, equals) == option) return i;
  }
  return std::nullopt;
}

bool Word::takes_class(std::size_t position, std::size_t given) const {
  if (parameters.find("class") == std::string_view::npos) return false;
  const std::string_view found = parameter(position, given);
  return found == "class" || found.ends_with(" = class");
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
