#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "rulegrad/ops/operators.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// What stands behind `in` of `for (t, q) in midpoint(64)` is given: numbers, lists, words or values of the
/// graph.
using SamplerArgument = std::variant<double, std::vector<double>, std::string, Expr>;

/// Of one loop, and of all loops that stand within each other together: more would take years, and are a slip
/// of the pen.
inline constexpr std::int64_t most_samples = 10'000'000;

/// A sampler at work: its arguments, and the graph in which its values are made.
struct SamplerCall {
  std::string_view sampler;
  std::span<const std::string> parameters;
  std::span<const SamplerArgument> arguments;
  Graph& graph;
  const Operators& operators;

  /// Was the parameter at this position given?
  [[nodiscard]] bool has(std::size_t position) const { return position < arguments.size(); }
  /// The arguments as what they must be; throw Error(invalid_argument) that names the sampler, the parameter
  /// and both.
  [[nodiscard]] double number(std::size_t position) const;
  /// A whole number from `least` to `most`.
  [[nodiscard]] std::int64_t count(std::size_t position, std::int64_t least = 1,
                                   std::int64_t most = most_samples) const;
  /// A value of the graph; numbers become scalars.
  [[nodiscard]] Expr expr(std::size_t position) const;
  /// A list, or one number for each of `length` entries.
  [[nodiscard]] std::vector<double> numbers(std::size_t position, std::size_t length) const;
};

/// Where the values of a `for` loop come from.
struct Sampler {
  std::string name;
  std::string doc;                      ///< one sentence: what the values are
  std::vector<std::string> parameters;  ///< `[stride]` may be left out
  std::vector<std::string> variables;   ///< what each sample gives, as t and q
  /// How many samples; throws for arguments that make no sense.
  std::function<std::int64_t(const SamplerCall&)> count;
  /// One expression for each variable, of the sample's number `index` (int64).
  std::function<std::vector<Expr>(const SamplerCall&, Expr index)> values;
};

/// Samplers by name: those that ship, and whatever a program adds to a copy of its own.
class Samplers {
 public:
  /// midpoint, left, right, trapezoid, gauss_legendre, samples, rows, windows, rolled_windows, onehots.
  [[nodiscard]] static const Samplers& builtin();

  /// Throws Error(invalid_argument) if the name is taken.
  void add(Sampler sampler);
  /// Throws Error(unknown_name) with the nearest name.
  [[nodiscard]] const Sampler& at(std::string_view name) const;
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::map<std::string, Sampler, std::less<>> by_name_;
};

/// Nodes and weights of the n-point quadrature rules on [0, 1]; the weights sum to 1.
struct Quadrature {
  std::vector<double> nodes, weights;
};
/// Nodes (k + 1/2) / n, equal weights.
[[nodiscard]] Quadrature midpoint_rule(std::int64_t n);
/// Nodes k / n from 0, equal weights.
[[nodiscard]] Quadrature left_rule(std::int64_t n);
/// Nodes k / n up to 1, equal weights.
[[nodiscard]] Quadrature right_rule(std::int64_t n);
/// Both ends included, with half the weight each; n is at least 2.
[[nodiscard]] Quadrature trapezoid_rule(std::int64_t n);
/// Exact for polynomials of degree 2 n - 1: the nodes are the roots of the Legendre polynomial, by Newton's
/// method.
[[nodiscard]] Quadrature gauss_legendre_rule(std::int64_t n);

}  // namespace rulegrad
