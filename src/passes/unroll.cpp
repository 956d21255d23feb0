#include "passes/unroll.hpp"

#include <fmt/format.h>
#include <map>
#include <unordered_map>

#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/ops/samples.hpp"
#include "rulegrad/support/error.hpp"

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

/// Samples of the loop and of those around it together: so often the value is written.
std::int64_t copies(Expr reduction, const std::map<std::int64_t, std::int64_t>& counts) {
  std::int64_t product = 1;
  for (const auto& [depth, count] : counts)
    if ((reduction.operand(0).loops() & bit(depth)) != 0) product *= count;
  return product;
}

}  // namespace

std::vector<Expr> unrolled(std::span<const Expr> outputs, std::int64_t most) {
  const std::vector<Expr> order = topological_order(outputs);
  std::map<std::int64_t, std::int64_t> counts;
  for (const Expr e : order)
    if (e.is("reduce_samples"))
      counts[e.attributes<ReduceSamplesAttributes>().depth] = e.attributes<ReduceSamplesAttributes>().count;
  if (counts.empty()) return {outputs.begin(), outputs.end()};
  for (const Expr e : order)
    if (e.is("reduce_samples") && copies(e, counts) > most)
      throw Error(ErrorCode::model,
                  fmt::format("{} cannot be written as ONNX: its loop has {} samples, which would be as many "
                              "copies of the network; at most {} are "
                              "written out. Ask the method for fewer samples or steps, or for a larger file "
                              "(--most-samples, ExportOptions::most_samples)",
                              describe(e), copies(e, counts), most));
  // Inner loops come first; what they become is copied with the outer ones.
  std::unordered_map<Expr, Expr> images;
  const Rebuild rebuild{no_boundary, [&](Expr e, std::span<const Expr> operands) {
                          if (!e.is("reduce_samples")) return again(e, operands);
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
