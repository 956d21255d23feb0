// Mixtures of experts: which experts a token takes, and with which weights, in the many ways in which it is
// written. What moves weights, or puts them among zeros, is no part of what decides a gate.
#include "rulegrad/ops/index_attributes.hpp"

#include "property/spelling_trials.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

constexpr std::int64_t tokens = 4, width = 6, experts = 4;
constexpr std::size_t routers = 4;

/// The weights of the experts [B, T, E], 0 for those that a token does not take; the chosen ones apart, or
/// nothing where the spelling has none.
struct Routed {
  Expr weights;        ///< [B, T, E]
  Expr chosen, index;  ///< [B, T, k]
};

/// Softmax of the largest one or two scores, the largest two of a softmax, the sigmoids of the largest two.
class Router {
 public:
  Router(Speller& spell, Expr scores, std::size_t which)
      : spell_(spell), scores_(scores), which_(which), count_(which == 0 ? 1 : 2) {
    index_ = spell_.apply("top_index", {scores}, TopAttributes{2, count_, false});
  }

  Routed operator()() {
    const bool masks = spell_.plain() || spell_.coin();
    Routed result;
    if (!masks || spell_.coin()) {
      result.index = index_;
      result.chosen = chosen();
    }
    result.weights = masks ? masked() : placed(result.chosen);
    return result;
  }

 private:
  Expr picked(Expr x) { return spell_.apply("gather_rows", {x, index_}, GatherRowsAttributes{2}); }
  Expr zeros(Expr like) {
    return spell_.coin()
               ? number(0, like)
               : like.graph().apply(op("fill"), {}, FillAttributes{0, like.dtype(), scores_.shape()});
  }
  Expr number(double value, Expr like) { return like.graph().scalar(value, like.dtype()); }
  Expr scattered(Expr values) {
    return spell_.apply("scatter_rows", {values, index_}, ScatterRowsAttributes{2, experts});
  }
  Expr ones() {
    return scores_.graph().apply(op("fill"), {}, FillAttributes{1, scores_.dtype(), index_.shape()});
  }
  Expr hot() { return spell_.apply("one_hot", {index_}, OneHotAttributes{experts, scores_.dtype()}); }

  Expr chosen() {
    switch (which_) {
      case 2:
        return picked(spell_.softmax(scores_));
      case 3:
        return spell_.coin() ? picked(spell_.sigmoid(scores_)) : spell_.sigmoid(picked(scores_));
      default:
        // Of one number nobody writes a softmax out.
        return count_ == 1 ? rulegrad::softmax(picked(scores_), 2) : spell_.softmax(picked(scores_));
    }
  }
  Expr placed(Expr values) {
    switch (spell_.pick(4)) {
      case 0:  // ScatterElements and ScatterND, as they are read
        return spell_.apply("where", {spell_.apply("greater", {scattered(ones()), number(0, scores_)}),
                                      scattered(values), zeros(scores_)});
      case 1:
        return spell_.coin() ? scattered(values) : spell_.add(zeros(scores_), scattered(values));
      case 2: {
        const Expr v = reshape(values, Shape{B, tokens, count_, 1});
        return sum(spell_.mul(v, hot()), {2});
      }
      default: {
        const Expr v = reshape(values, Shape{B, tokens, 1, count_});
        return reshape(matmul(v, hot()), Shape{B, tokens, experts});
      }
    }
  }
  /// Of which experts are taken, as truth or as 0 and 1.
  Expr taken() {
    switch (spell_.pick(3)) {
      case 1: {
        const Expr least =
            spell_.apply("slice", {picked(scores_)}, SliceAttributes{{2}, {count_ - 1}, {count_}, {1}});
        return spell_.apply("greater_equal", {scores_, least});
      }
      case 2:
        return spell_.apply("greater", {sum(hot(), {2}), number(0.5, scores_)});
      default:
        return spell_.apply("greater", {scattered(ones()), number(0, scores_)});
    }
  }
  Expr taken_numbers() {
    switch (spell_.pick(3)) {
      case 1:
        return sum(hot(), {2});
      case 2:
        return scattered(ones());
      default:
        return spell_.apply("cast", {taken()}, CastAttributes{scores_.dtype()});
    }
  }
  Expr masked() {
    if (which_ < 2) {
      const Expr low = number(spell_.coin() ? -1e9 : -INFINITY, scores_);
      if (spell_.pick(4) == 3)
        return spell_.softmax(
            spell_.add(scores_, spell_.apply("where", {taken(), number(0, scores_), number(-1e9, scores_)})));
      return rulegrad::softmax(spell_.apply("where", {taken(), scores_, low}), 2);
    }
    const Expr all = which_ == 2 ? spell_.softmax(scores_) : spell_.sigmoid(scores_);
    return spell_.coin() ? spell_.mul(all, taken_numbers())
                         : spell_.apply("where", {taken(), all, number(0, all)});
  }

  Speller& spell_;
  Expr scores_, index_;
  std::size_t which_;
  std::int64_t count_;
};

/// sum_e w_e f_e(h): over all experts, one after another or side by side, or over the chosen ones alone.
Expr mixed(Speller& spell, const Routed& routed, const std::vector<Expr>& values) {
  std::vector<Expr> rows;
  for (const Expr value : values) rows.push_back(reshape(value, Shape{B, tokens, 1, width}));
  const auto stacked = [&] { return concat(rows, 2); };
  const std::size_t way = spell.pick(routed.chosen ? 5 : 3);
  switch (way) {
    case 1:
      return sum(spell.mul(reshape(routed.weights, Shape{B, tokens, experts, 1}), stacked()), {2});
    case 2:
      return reshape(matmul(reshape(routed.weights, Shape{B, tokens, 1, experts}), stacked()),
                     Shape{B, tokens, width});
    case 3:
    case 4: {
      const Expr some = spell.apply("gather_rows", {stacked(), routed.index}, GatherRowsAttributes{2});
      const std::int64_t count = routed.index.shape()[2].factor;
      if (way == 3) return sum(spell.mul(reshape(routed.chosen, Shape{B, tokens, count, 1}), some), {2});
      return reshape(matmul(reshape(routed.chosen, Shape{B, tokens, 1, count}), some),
                     Shape{B, tokens, width});
    }
    default: {
      Expr total;
      for (std::size_t e = 0; e < values.size(); ++e) {
        const auto from = static_cast<std::int64_t>(e);
        const Expr weight =
            spell.apply("slice", {routed.weights}, SliceAttributes{{2}, {from}, {from + 1}, {1}});
        const Expr part = spell.mul(weight, values[e]);
        total = total ? spell.add(total, part) : part;
      }
      return total;
    }
  }
}

/// `spread`: how much the scores of the router depend on the token.
void build_mixture(Spelt& net, std::uint64_t seed, std::size_t which, double spread) {
  Speller spell(seed);
  Weights weight;
  Graph& graph = net.graph;
  net.x = graph.input("x", {DType::float64, Shape{B, tokens, width}});
  const Expr h = dense(net.x, weight(graph, {width, width}), weight(graph, {width}, 0.3));
  const Expr prior = graph.constant(Tensor({experts}, {0.5, -0.5, 0.8, -0.2}));
  const Expr scores = dense(h, weight(graph, {experts, width}, spread), prior);
  std::vector<Expr> values;
  for (std::int64_t e = 0; e < experts; ++e)
    values.push_back(dense(spell.relu(dense(h, weight(graph, {width, width}), weight(graph, {width}, 0.3))),
                           weight(graph, {width, width})));
  const Expr y = spell.add(h, mixed(spell, Router(spell, scores, which)(), values));
  net.y = dense(mean(y, {1}), weight(graph, {3, width}), weight(graph, {3}));
}

}  // namespace

TEST_CASE("random spellings of mixtures of experts get the same attribution or an error") {
  std::vector<std::string> tried;
  for (const std::string& method : product_methods)
    if (!method.starts_with("deeplift")) tried.push_back(method);
  try_spellings([](Spelt& net, std::uint64_t seed, std::size_t which) { build_mixture(net, seed, which, 1); },
                routers, tried);
}

// A comparison with the least score that is taken, of which ties are taken too, is no choice of so many, and refused.
TEST_CASE("random spellings of mixtures of experts get the same DeepLIFT, which is complete, or an error") {
  for (const double spread : {0.03, 1.0})
    try_spellings(
        [&](Spelt& net, std::uint64_t seed, std::size_t which) { build_mixture(net, seed, which, spread); },
        routers, {"deeplift.rescale:baseline=0.3", "deeplift.reveal_cancel:baseline=0.3"},
        {.refusing = "deeplift."});
}
