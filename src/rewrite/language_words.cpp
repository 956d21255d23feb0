#include "rewrite/language_words.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <unordered_map>

#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

using enum WordKind;

constexpr Word value_word(std::string_view name, std::string_view parameters, std::string_view doc,
                          Value (*answer)(const ValueCall&), bool gives_tensor = false) {
  return {name, parameters, doc, value, answer, nullptr, gives_tensor};
}
constexpr Word fact_word(std::string_view name, std::string_view parameters, std::string_view doc,
                         Value (*answer)(const FactCall&), bool gives_tensor = false) {
  return {name, parameters, doc, fact, nullptr, answer, gives_tensor};
}
constexpr Word word(std::string_view name, std::string_view parameters, std::string_view doc, WordKind kind) {
  return {name, parameters, doc, kind, nullptr, nullptr, true};
}

template <DType dtype>
Value element_type(const ValueCall&) {
  return AttrValue(dtype);
}
template <DType dtype>
constexpr Word type_word(std::string_view name) {
  return value_word(name, "", "that element type, to compare `dtype(v)` with and to cast to",
                    element_type<dtype>);
}

constexpr std::array table{
    word("grad", "y, g", "the gradient node of y that received g: what a rule rewrites; only on the left",
         gradient),
    word("vjp", "E, g",
         "the mathematical derivative: what cotangent g at the operation E sends to the operand that the "
         "rule is for",
         gradient),
    word("next", "g", "what the rules below this one make of cotangent g at the same node", gradient),
    word("diff", "e, x, g",
         "g times the derivative of the whole expression e by the expression x below it, by ordinary "
         "differentiation",
         gradient),
    word("const", "e", "e, which `diff` takes to be constant", gradient),
    word("aux", "y, key, [like]",
         "an array that was given for the node y under this name, such as a pattern; `like` says whose shape "
         "it has",
         gradient),

    value_word("shape", "v", "all extents of v", answers::shape),
    value_word("spatial", "[v]", "the extents of v behind batch and channels; without v those axes, 2 and up",
               answers::spatial),
    value_word("channels", "", "the axis of channels, 1, as a set of axes", answers::channels),
    value_word("batch", "", "the extent of the batch, in a shape: `[batch, 1, 7, 7]`", answers::batch),
    value_word("per_sample", "", "written `per sample`: all axes but the batch", answers::per_sample),
    value_word("range", "from, to", "written `from..to`: the whole numbers between, both included",
               answers::range),
    value_word("kernel", "w", "the spatial extents of weights w", answers::spatial),
    value_word("rank", "v", "the number of axes of v", answers::rank),
    value_word("dtype", "v", "the element type of v", answers::dtype),
    type_word<DType::float32>("float32"),
    type_word<DType::float64>("float64"),
    type_word<DType::int32>("int32"),
    type_word<DType::int64>("int64"),
    type_word<DType::uint8>("uint8"),
    type_word<DType::int8>("int8"),
    type_word<DType::boolean>("boolean"),
    value_word("dim", "v, axis", "the extent of one axis of v; negative axes count from the back",
               answers::dim),
    value_word("extent", "v, axis", "the same as dim", answers::dim),
    value_word("axes_but", "v, axis", "all axes of v but one", answers::axes_but),
    value_word("axes_from", "v, axis", "the axes of v from one on", answers::axes_from),
    value_word("count", "axes", "how many numbers a list has", answers::count),
    value_word("inverse", "permutation", "the permutation that undoes another", answers::inverse),
    value_word("offset", "y", "where the matched operand of a concatenation begins along its axis",
               answers::offset),
    value_word("along", "v, axis, like",
               "the vector v as one number for each entry of an axis of like, shaped to broadcast with it",
               answers::along, true),
    value_word("in_channels", "v, y",
               "the vector v as one number for each input channel of the affine operation y, shaped to "
               "multiply its weights",
               answers::in_channels, true),
    value_word("out_channels", "v, y",
               "the vector v as one number for each output channel of the affine operation y, shaped to "
               "multiply its weights",
               answers::out_channels, true),
    value_word(
        "per_channel", "v, y",
        "is v a number for each output channel of the affine operation y beside which it stands, or one "
        "for all?",
        answers::per_channel),
    value_word("channel_vector", "v, y", "such a v as a vector of one number a channel",
               answers::channel_vector, true),
    value_word("moved", "v", "what v moves: v without the transpositions and reshapes that it ends with",
               answers::moved, true),
    value_word("before", "k, t",
               "the constant k, which stands beside the movement t, as it would stand beside what t moves",
               answers::before, true),
    value_word(
        "has_before", "k, t",
        "can `before` say so: is k one number, or one for each entry of an axis that t moves as a whole?",
        answers::has_before),
    value_word("pads_space_only", "y", "does the padding y leave batch and channels alone?",
               answers::pads_space_only),
    value_word("one_number", "v", "is v a constant that is the same number everywhere?", answers::one_number),
    value_word("joins_maxima", "y, z", "can the maximum y of the maxima z be taken at once?",
               answers::joins_maxima),
    value_word("joined_maxima", "y, z", "the maximum y of the maxima z, taken at once",
               answers::joined_maxima, true),
    value_word("merge_padding", "y, p", "the convolution y with the padding p as its own",
               answers::merge_padding, true),

    fact_word("first", "class, [through = class]",
              "no operation of that class comes before this one on any way from an explained input; "
              "`through` names what is looked through",
              answers::first),
    fact_word("last", "class, [through = class]",
              "no operation of that class comes after this one on any way to the output", answers::last),
    fact_word(
        "index", "[class], range",
        "this is the operation of its class (or of that one) with these numbers, counted from 0 at the input",
        answers::index),
    fact_word("depth", "[node]", "the number of operations on the longest way from an explained input",
              answers::depth),
    fact_word(
        "depends", "v",
        "does v change with an explained input? What follows from a decision alone, as a mask does, counts "
        "as constant",
        answers::depends),
    fact_word(
        "decided", "[node]",
        "does an operand of the node change with an explained input by a decision alone, as a mask or an "
        "index does, so that no attribution flows to it?",
        answers::decided),
    fact_word("ancestor", "a, b", "is a below b in the network?", answers::ancestor),
    fact_word("skip", "a, b",
              "is a the short branch of the sum a + b: the identity, or a projection of what the other "
              "branch starts from?",
              answers::skip),
    fact_word(
        "producer", "v",
        "the operation that makes v: what moves numbers or puts them among constants, and arithmetic with "
        "constants, is looked through",
        answers::producer, true),
    fact_word("statistic", "c, a",
              "is c, through a reduction, made of a or of what a is made of, by elementwise operations, "
              "reductions and movements alone, as a standard deviation is?",
              answers::statistic),
    fact_word("gate", "v",
              "does v lie between 0 and 1, up to a factor: what a sigmoid, a hard sigmoid, a softmax or "
              "another function with "
              "such bounds gives, or a product of those?",
              answers::gate),
    fact_word(
        "layers", "class, v",
        "how many operations of that class lie on the longest way from an explained input to v, v among "
        "them",
        answers::layers),
    fact_word("only_use", "v", "is this the only place that uses v?", answers::only_use),
    fact_word("name", "[node], glob",
              "does a name of the node (or of that node) fit the glob, in which * and ? stand for others?",
              answers::name),
    word("is", "v, node", "written `v is node`: is v of that operator or class, or that very node?", fact),

    word("at_least", "v, bound", "is every element of v known to be at least the bound, whatever the inputs?",
         simplifier),
    word("vanishes", "v, z", "is v known to be 0 wherever z is negative?", simplifier),
    word("fixed", "v", "is v made of constants alone?", simplifier),
    word("same_form", "u, v", "are u and v the same operator with the same attributes and types?",
         simplifier),
    word("undecided", "y",
         "does nothing depend on y that decides by it: a comparison, a sign, a rounding, the choice of a "
         "maximum, an operator that is not known?",
         simplifier),

    word("onehot", "index", "1 at the index of each sample and 0 elsewhere, over the scores", recipe),
    word("score", "", "the explained score of each sample", recipe),
    word("relevance", "[node], [of = method]",
         "the total that reached the input, or that node; `relevance of M` is the attribution of another "
         "analyzer",
         recipe),
    word("pick", "values, key, i", "a row of values for each sample, drawn at random by key and i", recipe),
    word("uniform", "[axes], key, i",
         "random numbers between 0 and 1 that depend on key and i alone, one for each entry, or the same "
         "along axes",
         recipe),
    word("normal", "[axes], key, i", "standard normal random numbers, in the same way", recipe),
};

static_assert(std::none_of(table.begin(), table.end(), [](const Word& entry) { return entry.doc.empty(); }),
              "a word without a sentence");

}  // namespace

Expr ValueCall::expr(std::size_t position) const {
  if (const auto* value = std::get_if<Expr>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes an expression as argument {}, not {}", term.name,
                                           position + 1, describe(arguments[position])));
}

double ValueCall::number(std::size_t position) const {
  if (const auto* value = std::get_if<double>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes a number as argument {}, not {}", term.name,
                                           position + 1, describe(arguments[position])));
}

std::vector<double> ValueCall::numbers(std::size_t position) const {
  if (const auto* value = attribute_in(arguments[position])) {
    if (const auto* doubles = std::get_if<std::vector<double>>(value)) return *doubles;
    if (const auto* integers = std::get_if<std::vector<std::int64_t>>(value))
      return {integers->begin(), integers->end()};
  }
  throw Error(ErrorCode::rule, fmt::format("{} takes a list of numbers such as y.perm as argument {}, not {}",
                                           term.name, position + 1, describe(arguments[position])));
}

Expr FactCall::expr(std::size_t position) const {
  if (const auto* value = std::get_if<Expr>(&arguments[position])) return *value;
  throw Error(ErrorCode::rule, fmt::format("{} takes an expression that the pattern bound, not {}", term.name,
                                           describe(arguments[position])));
}

const std::string& FactCall::text(std::size_t position) const {
  if (const auto* attribute = attribute_in(arguments[position]))
    if (const auto* text = std::get_if<std::string>(attribute)) return *text;
  throw Error(ErrorCode::rule, fmt::format("{} takes a class, an operator or a \"name\" here, not {}",
                                           term.name, describe(arguments[position])));
}

std::vector<double> FactCall::range(std::size_t position) const {
  if (const auto* number = std::get_if<double>(&arguments[position])) return {*number, *number};
  if (const auto* attribute = attribute_in(arguments[position]))
    if (const auto* ends = std::get_if<std::vector<double>>(attribute); ends != nullptr && ends->size() == 2)
      return *ends;
  throw Error(ErrorCode::rule, fmt::format("{} takes a position or a range of positions such as 0..3, not {}",
                                           term.name, describe(arguments[position])));
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
    if (const std::size_t equals = found.find(" = ");
        equals != std::string_view::npos && found.substr(0, equals) == option)
      return i;
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

std::string_view place_of(WordKind kind) {
  switch (kind) {
    case gradient:
      return "right-hand sides";
    case value:
      return "anywhere";
    case fact:
      return "guards and selectors";
    case recipe:
      return "recipes";
    case simplifier:
      return "rules of the simplifier";
  }
  return {};
}

std::span<const Word> words() {
  return table;
}

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
  return fmt::format("{} takes {} argument{} but {} {} given", word.usage(), wanted, wanted == "1" ? "" : "s",
                     given, given == 1 ? "is" : "are");
}

}  // namespace rulegrad
