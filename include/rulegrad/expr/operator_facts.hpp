#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "rulegrad/expr/expr.hpp"

/// The usual answers to what every operator says of itself (`OpSchema::interval`, `batch`, `decides`, `finite`
/// and `passes`), and what others are made of:
///
///     cube.interval = intervals::rising([](double x) { return x * x * x; });
///     cube.batch = batches::aligned;
///     cube.decides = decisions::none;
///     cube.finite = finite::always;
///     cube.passes = passing::moved;
namespace [[gnu::visibility("default")]] rulegrad {

using IntervalOf =
    std::function<Interval(Expr value, std::span<const Interval> operands)>;  ///< OpSchema::interval
using BatchOf = std::function<BatchFlow(
    Expr value, std::span<const std::optional<BatchPlace>> operands)>;        ///< OpSchema::batch
using AsksOf = std::function<Asks(Expr value, std::size_t position)>;         ///< OpSchema::decides
using FiniteOf = std::function<FiniteFor(Expr value, std::size_t position)>;  ///< OpSchema::finite
using PassesOf = std::function<NonFinite(Expr value, std::span<const NonFinite> operands,
                                         std::span<const Interval> bounds)>;  ///< OpSchema::passes

namespace intervals {

inline constexpr double infinite = std::numeric_limits<double>::infinity();  ///< no bound
inline constexpr Interval not_negative{0, infinite}, not_positive{-infinite, 0}, zero{0, 0}, unit{0, 1},
    positive{0, infinite, true};  ///< as they are called

/// Nothing is known.
Interval anything(Expr, std::span<const Interval>);
/// That of the first operand, whose elements these are.
Interval same(Expr, std::span<const Interval> operands);
/// That of all operands together, whose elements these are.
Interval any_of(Expr, std::span<const Interval> operands);
/// The sign of sums of elements of the first operand, and of its means, which may round beyond the largest
/// element, never beyond 0.
Interval sums_of_first(Expr, std::span<const Interval> operands);
/// The same of sums that each have an element: those of positive ones are positive.
Interval totals_of_first(Expr, std::span<const Interval> operands);
/// The sign of sums of products of the first two operands, a third added where there is one.
Interval contraction(Expr, std::span<const Interval> operands);
/// These bounds, whatever the operands.
[[nodiscard]] IntervalOf within(Interval bounds);
/// Of a function of the first operand that never falls.
[[nodiscard]] IntervalOf rising(double (*f)(double));

/// The least interval that holds both, or all of at least one.
[[nodiscard]] Interval either(Interval a, Interval b);
[[nodiscard]] Interval either(std::span<const Interval> all);
/// Bounds worked out in float64 hold in float32 only where no rounding is involved: others give a little way.
/// Signs are exact.
[[nodiscard]] Interval rounded(Interval x);
/// What is known of sums of any number of such terms: their sign.
[[nodiscard]] Interval sums(Interval term);
[[nodiscard]] Interval negated(Interval x);            ///< of -x
[[nodiscard]] Interval added(Interval a, Interval b);  ///< of a + b
/// 0 times what is not bounded is 0: values are finite.
[[nodiscard]] Interval product(Interval a, Interval b);
/// The sign of a quotient; what is divided by 0 is not finite, and so has none.
[[nodiscard]] Interval quotient(Interval a, Interval b);

}  // namespace intervals

namespace batches {

using Places = std::span<const std::optional<BatchPlace>>;  ///< of each operand

/// Entries of the batch act on each other, or nothing is known.
BatchFlow mixing(Expr, Places);
/// Element i of the result is made of elements i of the operands, broadcast as NumPy does.
BatchFlow aligned(Expr value, Places operands);
/// The batch stands in front of all operands that have it, parameters of affine operators do not have it, and
/// each of its entries is computed by itself.
BatchFlow in_front(Expr value, Places operands);
/// Where the first operand has it; no other operand does.
BatchFlow same(Expr value, Places operands);
/// Where the type of the value says so: for what has no operands.
BatchFlow declared(Expr value, Places operands);
/// The value does not depend on the batch.
BatchFlow nowhere(Expr, Places);

/// Is the first operand the only one that has the batch?
[[nodiscard]] bool alone(Places operands);
/// As the first operand has it, if it alone does and `axis`, counted from the back where negative, is another
/// one.
[[nodiscard]] BatchFlow but_along(Expr value, Places operands, std::int64_t axis);

}  // namespace batches

namespace decisions {

/// A small change of an operand is a small change of the result.
Asks none(Expr, std::size_t);
/// Nothing is known.
Asks everything(Expr, std::size_t);
/// For each operand in turn; the last one counts for all that follow.
[[nodiscard]] AsksOf each(std::vector<Asks> operands);

}  // namespace decisions

namespace finite {

/// Numbers make numbers.
FiniteFor always(Expr, std::size_t);
/// Nothing is known.
FiniteFor never(Expr, std::size_t);
/// For each operand in turn; the last one counts for all that follow.
[[nodiscard]] FiniteOf each(std::vector<FiniteFor> operands);
/// Do bounds say that all elements are such numbers?
[[nodiscard]] bool holds(FiniteFor wanted, Interval elements);

}  // namespace finite

namespace passing {

using Given = std::span<const NonFinite>;  ///< of each operand
using Bounds = std::span<const Interval>;  ///< of each operand

/// Nothing is known: of what is no number anything may come.
NonFinite anything(Expr, Given operands, Bounds);
/// The elements of the result are elements of the operands, or made as a sign keeps them.
NonFinite moved(Expr, Given operands, Bounds);
/// Sums of elements: infinities of both signs have none.
NonFinite summed(Expr, Given operands, Bounds);
/// A function of the first operand that grows without end and has a least value: -inf becomes a number.
NonFinite from_below(Expr, Given operands, Bounds);
/// A function of the first operand that has a limit on either side.
NonFinite bounded(Expr, Given operands, Bounds);

[[nodiscard]] NonFinite united(Given operands);           ///< of any operand
[[nodiscard]] NonFinite negated(NonFinite x);             ///< of -x
[[nodiscard]] NonFinite added(NonFinite a, NonFinite b);  ///< of a + b

}  // namespace passing

}  // namespace rulegrad
