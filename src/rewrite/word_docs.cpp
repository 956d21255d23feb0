#include "rewrite/word_docs.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace rulegrad {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 53> docs{{
    {"grad", "the gradient node of y that received g: what a rule rewrites; only on the left"},
    {"vjp", "the mathematical derivative: what cotangent g at the operation E sends to the operand that the rule is for"},
    {"next", "what the rules below this one make of cotangent g at the same node"},
    {"diff", "g times the derivative of the whole expression e by the expression x below it, by ordinary differentiation"},
    {"const", "e, which `diff` takes to be constant"},
    {"aux", "an array that was given for the node y under this name, such as a pattern; `like` says whose shape it has"},
    {"shape", "all extents of v"},
    {"spatial", "the extents of v behind batch and channels; without v those axes, 2 and up"},
    {"kernel", "the spatial extents of weights w"},
    {"rank", "the number of axes of v"},
    {"dtype", "the element type of v"},
    {"dim", "the extent of one axis of v; negative axes count from the back"},
    {"extent", "the same as dim"},
    {"axes_but", "all axes of v but one"},
    {"axes_from", "the axes of v from one on"},
    {"count", "how many numbers a list has"},
    {"inverse", "the permutation that undoes another"},
    {"offset", "where the matched operand of a concatenation begins along its axis"},
    {"along", "the vector v as one number for each entry of an axis of like, shaped to broadcast with it"},
    {"in_channels", "the vector v as one number for each input channel of the affine operation y, shaped to multiply its weights"},
    {"out_channels", "the vector v as one number for each output channel of the affine operation y, shaped to multiply its weights"},
    {"per_channel", "is v a number for each output channel of the affine operation y beside which it stands, and not the same for all?"},
    {"channel_vector", "such a v as a vector of one number a channel"},
    {"pads_space_only", "does the padding y leave batch and channels alone?"},
    {"merge_padding", "the convolution y with the padding p as its own"},
    {"channels", "the axis of channels, 1, as a set of axes"},
    {"per_sample", "written `per sample`: all axes but the batch"},
    {"range", "written `from..to`: the whole numbers between, both included"},
    {"first", "no operation of that class comes before this one on any way from an explained input; `through` names what is looked through"},
    {"last", "no operation of that class comes after this one on any way to the output"},
    {"index", "this is the operation of its class (or of that one) with these numbers, counted from 0 at the input"},
    {"depth", "the number of operations on the longest way from an explained input"},
    {"depends", "does v change when an explained input changes?"},
    {"ancestor", "is a below b in the network?"},
    {"skip", "is a the short branch of the sum a + b: the identity, or a projection of what the other branch starts from?"},
    {"producer", "the operation that makes v, movements of numbers and arithmetic with constants looked through"},
    {"statistic", "is c, through a reduction, made of a or of what a is made of, by elementwise operations, reductions and movements alone, as a standard deviation is?"},
    {"only_use", "is this the only place that uses v?"},
    {"name", "does a name of the node (or of that node) fit the glob, in which * and ? stand for others?"},
    {"is", "written `v is node`: is v of that operator or class, or that very node?"},
    {"at_least", "is every element of v known to be at least the bound, whatever the inputs?"},
    {"vanishes", "is v known to be 0 wherever z is negative?"},
    {"fixed", "is v made of constants alone?"},
    {"same_form", "are u and v the same operator with the same attributes and types?"},
    {"undecided", "does no comparison, sign, argmax, stabilize, over or choice of a maximum depend on y?"},
    {"onehot", "1 at the index of each sample and 0 elsewhere, over the scores"},
    {"score", "the explained score of each sample"},
    {"relevance", "the total that reached the input, or that node; `relevance of M` is the attribution of another analyzer"},
    {"pick", "a row of values for each sample, drawn at random by key and i"},
    {"uniform", "random numbers between 0 and 1 that depend on key and i alone, one for each entry, or the same along axes"},
    {"normal", "standard normal random numbers, in the same way"},
    {"samples", "0, 1, ... n - 1, each with weight 1/n"},
    {"rows", "the rows of an array, one after the other"},
}};

}  // namespace

std::string_view word_doc(std::string_view word) {
  const auto found = std::find_if(docs.begin(), docs.end(), [&](const auto& entry) { return entry.first == word; });
  return found == docs.end() ? std::string_view() : found->second;
}

}  // namespace rulegrad
