// Trains a classifier of sentences with attention, examples/demo/words.onnx, with rulegrad's own gradients,
// on reviews that it makes up itself: vectors of words and positions, two blocks of attention and a small
// network each, norms in front, and a layer on the last word.
//   train_attention OUTPUT.onnx VOCABULARY.txt
#include <cmath>
#include <string>
#include <vector>

#include <rulegrad/rulegrad.hpp>

#include "train_reviews.hpp"

using namespace rulegrad;
using namespace examples;

namespace {

constexpr std::int64_t width = 16, heads = 2, hidden = 24, blocks = 2;

/// What the vectors of the words [B, length, width] give: two scores.
Expr scores_of(Network& net, Expr vectors, Beginning& begin) {
  const auto matrix = [&](const std::string& name, std::int64_t out, std::int64_t in) {
    return net.parameter(name, begin({out, in}));
  };
  const auto vector = [&](const std::string& name, std::int64_t count, float middle = 0) {
    return net.parameter(name, begin({count}, 0.01F, middle));
  };
  const auto named = [&](Expr expr, const std::string& name) {
    net.graph().add_name(expr, name);
    return expr;
  };
  const auto apply = [&](const char* name, std::vector<Expr> operands, Attributes attributes = {}) {
    return net.graph().apply(op(name), std::move(operands), std::move(attributes));
  };
  Tensor places(DType::float32, {length, length});
  for (std::int64_t t = 0; t < length; ++t)
    places.mutable_values<float>()[static_cast<std::size_t>(t * length + t)] = 1;
  const Expr positions =
      named(dense(net.graph().constant(places), matrix("positions.table", width, length)), "positions");
  Expr stream = named(vectors + positions, "stream");
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::string block = "block" + std::to_string(i);
    const auto norm = [&](const std::string& name) {
      return named(
          apply("layer_norm", {stream, vector(name + ".scale", width, 1), vector(name + ".shift", width)},
                LayerNormAttributes{2, 1e-5}),
          name);
    };
    const auto split = [&](Expr x) {
      return apply("transpose", {reshape(x, Shape{B, length, heads, width / heads})},
                   TransposeAttributes{{0, 2, 1, 3}});
    };
    const Expr n = norm(block + ".norm1");
    const Expr q = split(dense(n, matrix(block + ".queries", width, width))),
               k = split(dense(n, matrix(block + ".keys", width, width))),
               v = split(dense(n, matrix(block + ".values", width, width)));
    const Expr scores = matmul(q, k, {.transpose_a = false, .transpose_b = true}) *
                        (1 / std::sqrt(static_cast<double>(width / heads)));
    const Expr mixed = reshape(apply("transpose", {matmul(named(softmax(scores, 3), block + ".weights"), v)},
                                     TransposeAttributes{{0, 2, 1, 3}}),
                               Shape{B, length, width});
    stream = stream + named(dense(mixed, matrix(block + ".mixed", width, width)), block + ".attention");
    const Expr n2 = norm(block + ".norm2"), up = matrix(block + ".up", hidden, width);
    const Expr inner = apply("gelu", {dense(n2, up, vector(block + ".up.b", hidden))});
    stream = stream + named(dense(inner, matrix(block + ".down", width, hidden)), block + ".mlp");
  }
  const Expr last =
      reshape(apply("slice", {stream}, SliceAttributes{{1}, {length - 1}, {length}, {1}}), Shape{B, width});
  return dense(last, matrix("scores", 2, width));
}

}  // namespace

int main(int argc, char** argv) {
  return train_and_save(argc, argv, [](const Words& all) {
    Beginning begin(5);
    return trained(all, {.width = width, .steps = 400, .rate = 1e-2}, begin,
                   [&](Network& net, Expr vectors) { return scores_of(net, vectors, begin); });
  });
}
