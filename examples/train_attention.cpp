// Trains a classifier of sentences with attention, examples/demo/words.onnx, with rulegrad's own gradients,
// on reviews that it makes up itself: vectors of words and positions, two blocks of attention and a small
// network each, norms in front, and a layer on the last word.
//   train_attention OUTPUT.onnx VOCABULARY.txt
#include <cmath>
#include <cstdio>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include <rulegrad/rulegrad.hpp>

#include "reviews.hpp"

using namespace rulegrad;
using namespace examples;

namespace {

constexpr std::int64_t width = 16, heads = 2, hidden = 24, blocks = 2;

/// What the vectors of the words [B, length, width] give: two scores. `value` gives the parameters by their
/// names.
template <class Value>
Expr scores_of(Network& net, Expr vectors, const Value& value) {
  const auto parameter = [&](const std::string& name, Dims dims) {
    return net.parameter(name, value(name, dims));
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
      named(dense(net.graph().constant(places), parameter("positions.table", {width, length})), "positions");
  Expr stream = named(vectors + positions, "stream");
  for (std::int64_t i = 0; i < blocks; ++i) {
    const std::string block = "block" + std::to_string(i);
    const auto norm = [&](const std::string& name) {
      return named(apply("layer_norm",
                         {stream, parameter(name + ".scale", {width}), parameter(name + ".shift", {width})},
                         LayerNormAttributes{2, 1e-5}),
                   name);
    };
    const auto split = [&](Expr x) {
      return apply("transpose", {reshape(x, Shape{B, length, heads, width / heads})},
                   TransposeAttributes{{0, 2, 1, 3}});
    };
    const Expr n = norm(block + ".norm1");
    const Expr q = split(dense(n, parameter(block + ".queries", {width, width}))),
               k = split(dense(n, parameter(block + ".keys", {width, width}))),
               v = split(dense(n, parameter(block + ".values", {width, width})));
    const Expr scores = matmul(q, k, {.transpose_a = false, .transpose_b = true}) *
                        (1 / std::sqrt(static_cast<double>(width / heads)));
    const Expr mixed = reshape(apply("transpose", {matmul(named(softmax(scores, 3), block + ".weights"), v)},
                                     TransposeAttributes{{0, 2, 1, 3}}),
                               Shape{B, length, width});
    stream = stream + named(dense(mixed, parameter(block + ".mixed", {width, width})), block + ".attention");
    const Expr inner = apply("gelu", {dense(norm(block + ".norm2"), parameter(block + ".up", {hidden, width}),
                                            parameter(block + ".up.b", {hidden}))});
    stream = stream + named(dense(inner, parameter(block + ".down", {width, hidden})), block + ".mlp");
  }
  const Expr last =
      reshape(apply("slice", {stream}, SliceAttributes{{1}, {length - 1}, {length}, {1}}), Shape{B, width});
  return dense(last, parameter("scores", {2, width}));
}

/// Row i of the result is column i of the matrix.
Tensor turned(const Tensor& matrix) {
  const std::int64_t rows = matrix.dims()[0], columns = matrix.dims()[1];
  Tensor result(DType::float32, {columns, rows});
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j)
      result.mutable_values<float>()[static_cast<std::size_t>(j * rows + i)] =
          matrix.values<float>()[static_cast<std::size_t>(i * columns + j)];
  return result;
}

/// Trains a network that takes the words as rows of 0 and a 1, whose first layer is the table of vectors; the
/// one that is kept looks the vectors up.
Model train(const Words& all) {
  std::mt19937 random(5);
  const auto begin = [&](const std::string& name, Dims dims) {
    Tensor value(DType::float32, dims);
    // Equal constants are one: no two parameters begin alike.
    const bool scale = name.ends_with(".scale"), small = scale || dims.size() == 1;
    const float size = small ? 0.01F : 1 / std::sqrt(static_cast<float>(dims.back()));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& v : value.mutable_values<float>()) v = (scale ? 1.0F : 0.0F) + size * uniform(random);
    return value;
  };
  const auto count = static_cast<std::int64_t>(all.size());
  Network net;
  const Expr words = net.input("words", {B, length}, DType::int64);
  const Expr table = net.parameter("table", begin("table", {width, count}));
  Trainer trainer(net.finish(scores_of(net, dense(one_hot(words, count, DType::float32), table), begin)),
                  cross_entropy, {DType::int64, {B}});
  constexpr int steps = 400;
  for (int step = 0; step <= steps; ++step) {
    const Reviews batch = reviews(all, 128, static_cast<unsigned>(1000 + step));
    const double loss = trainer.step(batch.words, batch.moods, 1e-2 * (1 - 0.95 * step / steps));
    if (step % 100 == 0) std::printf("step %3d: loss %.4f\n", step, loss);
  }
  const auto trained = [&](const std::string& name, const Dims&) { return trainer.parameters().at(name); };
  Network kept;
  const Expr numbers = kept.input("words", {B, length}, DType::int64);
  const Expr vectors = kept.graph().apply(
      op("gather"), {kept.parameter("table", turned(trainer.parameters().at("table"))), numbers},
      AxisAttributes{0});
  kept.graph().add_name(vectors, "vectors");
  return kept.finish(scores_of(kept, vectors, trained));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 3) {
      std::fprintf(stderr, "usage: train_attention OUTPUT.onnx VOCABULARY.txt\n");
      return 2;
    }
    const Words all = vocabulary();
    const Model model = train(all);
    const Reviews fresh = reviews(all, 2000, 7);
    const Explanation told = Explainer(model, "gradient", {.nodes = {"vectors"}}).run(fresh.words);
    int right = 0;
    for (std::size_t i = 0; i < 2000; ++i)
      right += told.predictions()[i] == fresh.moods.values<std::int64_t>()[i];
    std::printf("%d of 2000 new reviews are judged right\n", right);
    const Expr y = model.outputs()[0].expr;
    save_onnx(argv[1], std::span(&y, 1),
              {.graph_name = "words", .output_names = {"scores"}, .labels = {"bad", "good"}});
    std::ofstream list(argv[2]);
    for (const std::string& word : all) list << word << '\n';
    return right > 1900 && list.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_attention: error: %s\n", error.what());
    return 2;
  }
}
