#include "rewrite/products.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"

#include "expr/rebuild.hpp"
#include "rewrite/product_factors.hpp"

namespace rulegrad {
namespace {

/// Factors that are multiplied before others are.
struct Unit {
  std::vector<std::size_t> own;  ///< factors of one source, or a statistic
  std::vector<Unit> parts;       ///< units that a statistic in `own` is made of
  [[nodiscard]] std::vector<std::size_t> all() const {
    std::vector<std::size_t> result = own;
    for (const Unit& part : parts) {
      const auto inner = part.all();
      result.insert(result.end(), inner.begin(), inner.end());
    }
    std::sort(result.begin(), result.end());
    return result;
  }
};

class Regrouping {
 public:
  Regrouping(Graph& graph, const ForwardFacts& facts, std::span<const Expr> kept,
             const ProductOperators& operators)
      : graph_(graph), facts_(facts), factoring_(graph, facts, kept), operators_(operators) {}

  /// What takes the place of a node, over the images of its factors; nothing: it stays.
  std::optional<Expr> operator()(Expr root, const NodeMap<Expr>& image) {
    auto taken_apart = factoring_(root);
    if (!taken_apart) return std::nullopt;
    product_ = std::move(*taken_apart);
    const std::vector<Unit> units = united();
    if (flowing_ < 2) return std::nullopt;
    const bool many = operators_.three != nullptr && units.size() > 2;
    const bool turned = std::any_of(units.begin(), units.end(),
                                    [&](const Unit& unit) { return becomes_reciprocal(unit, units.size()); });
    const auto in_place = [&](const Unit& unit) { return stands(unit); };
    // Beside one of the factors a constant would look like a part of the layer that makes it.
    const bool behind = std::all_of(
        product_.constants.begin(), product_.constants.end(),
        [&](const ProductConstant& constant) { return constant.factors == product_.factors.size(); });
    if (!many && !turned && behind && std::all_of(units.begin(), units.end(), in_place)) return std::nullopt;
    image_ = &image;
    numbers_taken_ = false;
    Expr result = product(units);
    for (const ProductConstant& constant : product_.constants)
      if (!numbers_taken_ || constant.value.shape().rank() > 0)
        result = times(result, constant.value, constant.divides);
    return result.type() == root.type() ? std::optional(result) : std::nullopt;
  }

 private:
  /// What stands for a factor or a constant.
  [[nodiscard]] Expr image_of(Expr value) const {
    const auto found = image_->find(value);
    return found == image_->end() ? value : found->second;
  }
  [[nodiscard]] Expr times(Expr result, Expr value, bool divides) const {
    return divides ? result / image_of(value) : result * image_of(value);
  }

  [[nodiscard]] Expr source(std::size_t factor) const {
    return factoring_.source_of(product_.factors[factor].value);
  }

  /// The factors put together: by source, then statistics with what they are made of.
  std::vector<Unit> united() {
    std::vector<Unit> units;
    std::vector<Expr> unit_sources;
    for (std::size_t i = 0; i < product_.factors.size(); ++i) {
      const auto same = std::find(unit_sources.begin(), unit_sources.end(), source(i));
      if (same == unit_sources.end()) {
        unit_sources.push_back(source(i));
        units.push_back({{i}, {}});
      } else {
        units[static_cast<std::size_t>(same - unit_sources.begin())].own.push_back(i);
      }
    }
    take_decisions_out(units);
    // Two factors that are multiplied stand together whatever they are.
    if (flowing_ == 2 && product_.factors.size() == 2 && !product_.factors[0].divides &&
        !product_.factors[1].divides)
      return units;
    for (bool again = true; again;) {
      again = false;
      // A statistic of a normalised value is made of that one's own statistic: the lower one first.
      std::vector<std::size_t> order(units.size());
      std::iota(order.begin(), order.end(), std::size_t{0});
      std::sort(order.begin(), order.end(),
                [&](std::size_t a, std::size_t b) { return rank(units[a]) < rank(units[b]); });
      for (std::size_t i = 0; i < order.size() && !again; ++i) {
        const std::size_t s = order[i];
        if (!units[s].parts.empty()) continue;
        const auto made_of = parts_of_statistic(units, s);
        if (made_of.empty()) continue;
        Unit joined{units[s].own, {}};
        std::vector<Unit> rest;
        for (std::size_t u = 0; u < units.size(); ++u) {
          if (u == s) continue;
          const bool part = std::find(made_of.begin(), made_of.end(), u) != made_of.end();
          (part ? joined.parts : rest).push_back(units[u]);
        }
        rest.push_back(std::move(joined));
        units = std::move(rest);
        again = true;
      }
    }
    return units;
  }

  /// What carries nothing back, as a mask of the largest, is a constant to the others, unless it decides by the
  /// value that it is multiplied with.
  void take_decisions_out(std::vector<Unit>& units) {
    const auto decides = [&](const Unit& unit) {
      return std::none_of(unit.own.begin(), unit.own.end(),
                          [&](std::size_t i) { return facts_.depends(product_.factors[i].value); });
    };
    std::vector<std::size_t> taken, left;
    for (const Unit& unit : units) {
      auto& into = decides(unit) ? taken : left;
      into.insert(into.end(), unit.own.begin(), unit.own.end());
    }
    flowing_ = left.size();
    if (taken.empty()) return;
    std::erase_if(units, decides);
    std::sort(left.begin(), left.end());
    const bool behind = product_.subsets.contains(left);
    for (const std::size_t i : taken)
      product_.constants.push_back(
          {product_.factors[i].value, product_.factors[i].divides, behind ? product_.factors.size() : 0});
  }

  [[nodiscard]] std::size_t rank(const Unit& unit) const {
    std::size_t result = 0;
    for (const std::size_t i : unit.own) result = std::max(result, facts_.rank(product_.factors[i].value));
    return result;
  }

  [[nodiscard]] std::vector<Expr> values(const Unit& unit) const {
    std::vector<Expr> result;
    for (const std::size_t i : unit.all()) result.push_back(product_.factors[i].value);
    return result;
  }

  [[nodiscard]] bool made_of_it(const Unit& unit, const Unit& other) const {
    const std::vector<Expr> above = values(unit), below = values(other);
    return std::any_of(above.begin(), above.end(), [&](Expr a) {
      return std::any_of(below.begin(), below.end(), [&](Expr b) { return facts_.is_ancestor(b, a); });
    });
  }

  /// The other units that a unit is a statistic of; empty: of none.
  [[nodiscard]] std::vector<std::size_t> parts_of_statistic(const std::vector<Unit>& units,
                                                            std::size_t s) const {
    const auto statistic_of = [&](const std::vector<std::size_t>& others) {
      std::vector<Expr> parts;
      for (const std::size_t i : others) {
        const auto more = values(units[i]);
        parts.insert(parts.end(), more.begin(), more.end());
      }
      return !parts.empty() && std::all_of(units[s].own.begin(), units[s].own.end(), [&](std::size_t factor) {
        return facts_.is_statistic(product_.factors[factor].value, parts);
      });
    };
    std::vector<std::size_t> others;
    for (std::size_t i = 0; i < units.size(); ++i)
      if (i != s && !made_of_it(units[i], units[s])) others.push_back(i);
    if (!statistic_of(others)) return {};
    for (const std::size_t one : others)
      if (statistic_of({one})) return {one};
    for (std::size_t i = 0; i < others.size() && others.size() > 1;) {
      std::vector<std::size_t> fewer = others;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (statistic_of(fewer))
        others = std::move(fewer);
      else
        ++i;
    }
    return others;
  }

  /// Is the unit a product of its own in what the model writes?
  [[nodiscard]] bool stands(const Unit& unit) const {
    const std::vector<std::size_t> all = unit.all();
    if (all.size() > 1 && all.size() < product_.factors.size() && !product_.subsets.contains(all))
      return false;
    if (unit.parts.size() > 1) {
      std::vector<std::size_t> parts;
      for (const Unit& part : unit.parts) {
        const auto inner = part.all();
        parts.insert(parts.end(), inner.begin(), inner.end());
      }
      std::sort(parts.begin(), parts.end());
      if (!product_.subsets.contains(parts)) return false;
    }
    return std::all_of(unit.parts.begin(), unit.parts.end(), [&](const Unit& part) { return stands(part); });
  }

  [[nodiscard]] bool only_divides(const Unit& unit) const {
    const auto all = unit.all();
    return std::all_of(all.begin(), all.end(), [&](std::size_t i) { return product_.factors[i].divides; });
  }
  /// A divisor that is a function of a value: 1 / (1 + exp(-x)) is one too.
  [[nodiscard]] bool becomes_reciprocal(const Unit& unit, std::size_t units) const {
    return units > 1 && unit.parts.empty() && only_divides(unit) &&
           source(unit.own[0]) != product_.factors[unit.own[0]].value;
  }

  Expr own_product(const Unit& unit) {
    Expr above, below;
    for (const std::size_t i : unit.own) {
      const Expr value = image_of(product_.factors[i].value);
      Expr& side = product_.factors[i].divides ? below : above;
      side = side ? side * value : value;
    }
    // Numbers belong to a function if there is one among the units.
    if (unit.own.size() > 1 && !numbers_taken_ && above) {
      numbers_taken_ = true;
      for (const ProductConstant& constant : product_.constants)
        if (constant.value.shape().rank() == 0) above = times(above, constant.value, constant.divides);
    }
    if (!below) return above;
    return above ? above / below : graph_.apply(op("reciprocal"), {below});
  }

  Expr product_of(const Unit& unit) {
    if (unit.parts.empty()) return own_product(unit);
    // A statistic divides, or multiplies, the product of what it is made of.
    Expr result = product(unit.parts);
    for (const std::size_t i : unit.own)
      result = times(result, product_.factors[i].value, product_.factors[i].divides);
    return result;
  }

  Expr product(const std::vector<Unit>& units) {
    std::vector<Expr> values, divisors;
    for (const Unit& unit : units) {
      // A quotient of two stays one, unless what it divides by is a function.
      const bool divisor = units.size() == 2 && unit.parts.empty() && unit.own.size() == 1 &&
                           only_divides(unit) && !becomes_reciprocal(unit, 2);
      if (divisor)
        divisors.push_back(product_.factors[unit.own[0]].value);
      else
        values.push_back(product_of(unit));
    }
    if (values.empty()) {
      values.push_back(graph_.apply(op("reciprocal"), {image_of(divisors.back())}));
      divisors.pop_back();
    }
    Expr result = values[0];
    std::size_t taken = 1;
    if (operators_.four != nullptr && values.size() > 3) {
      result = graph_.apply(*operators_.four, {values[0], values[1], values[2], values[3]});
      taken = 4;
    } else if (operators_.three != nullptr && values.size() == 3) {
      result = graph_.apply(*operators_.three, {values[0], values[1], values[2]});
      taken = 3;
    }
    for (std::size_t i = taken; i < values.size(); ++i) result = result * values[i];
    for (const Expr divisor : divisors) result = times(result, divisor, true);
    return result;
  }

  Graph& graph_;
  const ForwardFacts& facts_;
  Factoring factoring_;
  const ProductOperators& operators_;
  // Of the product that is looked at:
  FactoredProduct product_;
  const NodeMap<Expr>* image_ = nullptr;
  bool numbers_taken_ = false;
  std::size_t flowing_ = 0;  ///< factors that attribution flows to
};

}  // namespace

Canonized regroup_products(Graph& graph, std::span<const Expr> outputs, std::span<const Expr> explained,
                           std::span<const Expr> kept, const ProductOperators& operators) {
  const ForwardFacts facts(outputs, explained);
  std::vector<Expr> stay(kept.begin(), kept.end());
  stay.insert(stay.end(), explained.begin(), explained.end());
  Canonized result;
  Regrouping regrouped(graph, facts, stay, operators);
  const Rebuild regrouping{no_boundary, [&](Expr node, std::span<const Expr> operands) {
                             const Expr renewed = again(node, operands);
                             const auto other = regrouped(node, result.image);
                             if (other && *other != renewed)
                               result.rewrites.push_back({renewed, *other, "products of several values", {}});
                             const Expr taken = other.value_or(renewed);
                             hand_on_names(node, taken);
                             return taken;
                           }};
  for (const Expr output : outputs) result.outputs.push_back(regrouping(output, result.image));
  return result;
}

Canonized one_after_another(const Canonized& first, Canonized second) {
  NodeMap<Expr> images;
  for (const auto& [before, between] : first.image) {
    const auto found = second.image.find(between);
    images.emplace(before, found != second.image.end() ? found->second : between);
  }
  second.image = std::move(images);
  second.rewrites.insert(second.rewrites.begin(), first.rewrites.begin(), first.rewrites.end());
  return second;
}

}  // namespace rulegrad
