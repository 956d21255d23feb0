#include <algorithm>
#include <cctype>
#include <fmt/format.h>
#include <functional>
#include <map>

#include "rulegrad/ops/operators.hpp"

#include "onnx/recurrent.hpp"
#include "support/text.hpp"

// The activations that ONNX's recurrent operators may name. Constants are taken in order by those that have
// some.
namespace rulegrad::io {
namespace {

struct Known {
  /// The constants that it has, and their values where the file gives none; nothing: the file must.
  bool has_alpha, has_beta;
  std::optional<double> alpha, beta;
  std::function<Expr(const NodeContext&, const CellActivation&, Expr)> make;
};

auto plain(const char* op_name) {
  return [op_name](const NodeContext& c, const CellActivation&, Expr x) {
    return c.graph().make(op(op_name), {x});
  };
}

Expr scaled(const NodeContext& c, double factor, Expr x) {
  return factor == 1 ? x : c.apply("mul", {x, c.scalar(factor, x)});
}

const std::map<std::string, Known, std::less<>>& known() {
  static const std::map<std::string, Known, std::less<>> all{
      {"relu", {false, false, {}, {}, plain("relu")}},
      {"tanh", {false, false, {}, {}, plain("tanh")}},
      {"sigmoid", {false, false, {}, {}, plain("sigmoid")}},
      {"softplus", {false, false, {}, {}, plain("softplus")}},
      {"softsign",
       {false,
        false,
        {},
        {},
        [](const NodeContext& c, const CellActivation&, Expr x) {
          return c.apply("div", {x, c.apply("add", {c.apply("abs", {x}), c.scalar(1, x)})});
        }}},
      {"affine",
       {true, true, 1.0, 0.0,
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          const Expr y = scaled(c, f.alpha, x);
          return f.beta == 0 ? y : c.apply("add", {y, c.scalar(f.beta, x)});
        }}},
      {"leakyrelu",
       {true,
        false,
        0.01,
        {},
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          return c.apply("leaky_relu", {x}, LeakyReluAttributes{f.alpha});
        }}},
      {"thresholdedrelu",
       {true,
        false,
        1.0,
        {},
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          return c.apply("where", {c.apply("greater", {x, c.scalar(f.alpha, x)}), x, c.scalar(0, x)});
        }}},
      {"scaledtanh",
       {true,
        true,
        {},
        {},
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          return scaled(c, f.alpha, c.apply("tanh", {scaled(c, f.beta, x)}));
        }}},
      {"hardsigmoid",
       {true, true, 0.2, 0.5,
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          return c.apply("hardsigmoid", {x}, HardsigmoidAttributes{f.alpha, f.beta});
        }}},
      {"elu",
       {true,
        false,
        1.0,
        {},
        [](const NodeContext& c, const CellActivation& f, Expr x) {
          return c.apply("elu", {x}, EluAttributes{f.alpha});
        }}},
  };
  return all;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return text;
}

}  // namespace

std::vector<CellActivation> read_activations(NodeContext& context, std::size_t directions,
                                             const std::vector<std::string>& defaults) {
  std::vector<std::string> names = context.strings("activations");
  const std::vector<double> alphas = context.reals("activation_alpha"),
                            betas = context.reals("activation_beta");
  const std::size_t count = directions * defaults.size();
  if (names.empty())
    for (std::size_t i = 0; i < count; ++i) names.push_back(defaults[i % defaults.size()]);
  if (names.size() != count)
    context.fail(fmt::format("activations names {} functions, but {} are needed: {} for each direction",
                             names.size(), count, defaults.size()));
  std::vector<CellActivation> result;
  std::size_t alpha = 0, beta = 0;
  const auto next = [&](const std::vector<double>& given, std::size_t& place, std::optional<double> otherwise,
                        const std::string& name, const char* what) {
    if (place < given.size()) return given[place++];
    if (!otherwise) context.fail(fmt::format("{} has no {}, and ONNX gives it no default", name, what));
    return *otherwise;
  };
  for (const std::string& name : names) {
    const auto found = known().find(lower(name));
    if (found == known().end()) {
      std::vector<std::string> all;
      for (const auto& [known_name, known_function] : known()) all.push_back(known_name);
      context.fail(fmt::format("activation '{}' is none of ONNX's recurrent operators: {}", name, join(all)));
    }
    const Known& function = found->second;
    CellActivation& f = result.emplace_back(CellActivation{found->first});
    if (function.has_alpha) f.alpha = next(alphas, alpha, function.alpha, name, "activation_alpha");
    if (function.has_beta) f.beta = next(betas, beta, function.beta, name, "activation_beta");
  }
  return result;
}

Expr activated(const NodeContext& context, const CellActivation& f, Expr x) {
  return known().at(f.name).make(context, f, x);
}

}  // namespace rulegrad::io
