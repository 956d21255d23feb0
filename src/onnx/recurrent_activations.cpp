#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>
#include <functional>
#include <map>

#include "onnx/recurrent.hpp"
#include "onnx/rows.hpp"
#include "support/text.hpp"

// The activations that ONNX's recurrent operators may name. Constants are taken in order by those that have
// some.
namespace rulegrad::io {
namespace {

/// A function of a row, or one that no operator is.
struct Known {
  /// The constants that it has, and their values where the file gives none; nothing: the file must.
  bool has_alpha = false, has_beta = false;
  std::optional<double> alpha, beta;
  std::function<Expr(const NodeContext&, const CellActivation&, Expr)> make;
};

Expr scaled(const NodeContext& c, double factor, Expr x) {
  return factor == 1 ? x : c.apply("mul", {x, c.scalar(factor, x)});
}

Known of_row(const Row& row) {
  Known result{!row.numbers.empty(), row.numbers.size() > 1, {}, {}, {}};
  const auto number = [&](std::size_t i) { return std::get<double>(row.numbers[i].otherwise); };
  if (result.has_alpha) result.alpha = number(0);
  if (result.has_beta) result.beta = number(1);
  result.make = [&row](const NodeContext& c, const CellActivation& f, Expr x) {
    return apply_row(c, row, x, std::array{f.alpha, f.beta});
  };
  return result;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return text;
}

const std::map<std::string, Known, std::less<>>& known() {
  static const std::map<std::string, Known, std::less<>> all = [] {
    std::map<std::string, Known, std::less<>> result;
    for (const Row& row : rows())
      if (row.in_cells) result.emplace(lower(row.onnx), of_row(row));
    result["affine"] = {true, true, 1.0, 0.0, [](const NodeContext& c, const CellActivation& f, Expr x) {
                          const Expr y = scaled(c, f.alpha, x);
                          return f.beta == 0 ? y : c.apply("add", {y, c.scalar(f.beta, x)});
                        }};
    result["thresholdedrelu"] = {
        true, false, 1.0, {}, [](const NodeContext& c, const CellActivation& f, Expr x) {
          return c.apply("where", {c.apply("greater", {x, c.scalar(f.alpha, x)}), x, c.scalar(0, x)});
        }};
    result["scaledtanh"] = {true, true, {}, {}, [](const NodeContext& c, const CellActivation& f, Expr x) {
                              return scaled(c, f.alpha, c.apply("tanh", {scaled(c, f.beta, x)}));
                            }};
    return result;
  }();
  return all;
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
