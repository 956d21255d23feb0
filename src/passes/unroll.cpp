#include "passes/unroll.hpp"

#include <map>
#include <unordered_map>
#include <unordered_set>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/ops/samples.hpp"

#include "expr/rebuild.hpp"

namespace rulegrad {
namespace {

constexpr std::uint32_t bit(std::int64_t depth) {
  return std::uint32_t{1} << depth;
}

/// The value in sample `index` of the loop at that depth.
Expr in_sample(Expr value, std::int64_t depth, std::int64_t index) {
  Graph& graph = value.graph();
  std::unordered_map<Expr, Expr> images;
  return Rebuild{[&](Expr e) { return (e.loops() & bit(depth)) == 0; },
                 [&](Expr e, std::span<const Expr> operands) {
                   const bool here =
                       e.is("sample_index") && e.attributes<SampleIndexAttributes>().depth == depth;
                   return here ? graph.scalar(static_cast<double>(index), DType::int64) : again(e, operands);
                 }}(value, images);
}

Expr mean_of(Graph& graph, const std::vector<Expr>& values) {
  const Expr sum = graph.apply(op("accum"), values);
  return graph.apply(op("div"), {sum, graph.scalar(static_cast<double>(values.size()), sum.dtype())});
}

Expr reduced(Graph& graph, const std::vector<Expr>& values, SampleReduction kind) {
  switch (kind) {
    case SampleReduction::sum:
      return graph.apply(op("accum"), values);
    case SampleReduction::mean:
      return mean_of(graph, values);
    case SampleReduction::var: {
      const Expr mean = mean_of(graph, values);
      std::vector<Expr> squares;
      for (const Expr value : values) {
        const Expr distance = graph.apply(op("sub"), {value, mean});
        squares.push_back(graph.apply(op("mul"), {distance, distance}));
      }
      return mean_of(graph, squares);
    }
    case SampleReduction::max: {
      Expr largest = values.front();
      for (const Expr value : values)
        if (value != largest) largest = graph.apply(op("max"), {largest, value});
      return largest;
    }
    case SampleReduction::stack:
      break;
  }
  std::vector<Expr> layers;
  for (const Expr value : values) {
    std::vector<Dim> dims = value.shape().dims();
    dims.insert(dims.begin(), Dim(1));
    layers.push_back(graph.apply(op("reshape"), {value}, ShapeAttributes{Shape(dims)}));
  }
  return graph.apply(op("concat"), layers, AxisAttributes{0});
}

/// Reductions that are written out.
class Short {
 public:
  Short(std::span<const Expr> order, std::int64_t most) : most_(most) {
    for (const Expr e : order)  // inner ones first
      if (e.is("reduce_samples") && few(e)) short_.insert(e);
  }
  [[nodiscard]] bool contains(Expr e) const { return short_.contains(e); }
  [[nodiscard]] bool empty() const { return short_.empty(); }

 private:
  /// Samples of the loop and of those around it together, which is how often the value is written, are few,
  /// and so are those of every loop within.
  [[nodiscard]] bool few(Expr reduction) const {
    const std::int64_t depth = reduction.attributes<ReduceSamplesAttributes>().depth;
    std::map<std::int64_t, std::int64_t> counts{
        {depth, reduction.attributes<ReduceSamplesAttributes>().count}};
    bool few_within = true;
    for_each_below(
        reduction.operand(0), [&](Expr e) { return few_within && e.loops() != 0; },
        [&](Expr e) {
          if (e.is("reduce_samples") && (e.loops() & bit(depth)) != 0 && !short_.contains(e))
            few_within = false;
          if (!e.is("sample_index")) return;
          const auto& index = e.attributes<SampleIndexAttributes>();
          if ((reduction.operand(0).loops() & bit(index.depth)) != 0)
            counts.emplace(index.depth, index.count);
        });
    if (!few_within) return false;
    std::int64_t product = 1;
    for (const auto& [at, count] : counts) product = count > most_ / product ? most_ + 1 : product * count;
    return product <= most_;
  }

  std::int64_t most_;
  std::unordered_set<Expr> short_;
};

}  // namespace

std::vector<Expr> unrolled(std::span<const Expr> outputs, std::int64_t most) {
  const Short few(topological_order(outputs), most);
  if (few.empty()) return {outputs.begin(), outputs.end()};
  // Inner loops come first; what they become is copied with the outer ones.
  std::unordered_map<Expr, Expr> images;
  const Rebuild rebuild{no_boundary, [&](Expr e, std::span<const Expr> operands) {
                          if (!few.contains(e)) return again(e, operands);
                          const auto& loop = e.attributes<ReduceSamplesAttributes>();
                          std::vector<Expr> values;
                          for (std::int64_t i = 0; i < loop.count; ++i)
                            values.push_back(in_sample(operands[0], loop.depth, i));
                          return reduced(e.graph(), values, loop.kind);
                        }};
  std::vector<Expr> result;
  for (const Expr output : outputs) result.push_back(rebuild(output, images));
  return result;
}

}  // namespace rulegrad
