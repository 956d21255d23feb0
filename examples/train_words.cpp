// Trains a classifier of sentences with an LSTM, examples/demo/words_lstm.onnx, with rulegrad's own
// gradients, on reviews that it makes up itself, and says what each word of one of them counted for:
//   train_words OUTPUT.onnx VOCABULARY.txt
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

constexpr std::int64_t width = 12, units = 16;

Expr part(Expr x, std::int64_t axis, std::int64_t from, std::int64_t to) {
  return x.graph().apply(op("slice"), {x}, SliceAttributes{{axis}, {from}, {to}, {1}});
}

/// An LSTM over the vectors of the words [B, length, width] and a layer on its last state: two scores.
/// `value` gives the parameters by their names.
template <class Value>
Expr scores_of(Network& net, Expr vectors, const Value& value) {
  const Expr w = net.parameter("lstm.w", value("lstm.w", Dims{4 * units, width}));
  const Expr r = net.parameter("lstm.r", value("lstm.r", Dims{4 * units, units}));
  const Expr b = net.parameter("lstm.b", value("lstm.b", Dims{4 * units}));
  const Expr inputs = dense(vectors, w, b);
  const auto named = [&](std::int64_t t, const char* name, Expr expr) {
    net.graph().add_name(expr, "lstm.t" + std::to_string(t) + "." + name);
    return expr;
  };
  Expr h, memory;
  for (std::int64_t t = 0; t < length; ++t) {
    Expr sum = reshape(part(inputs, 1, t, t + 1), Shape{B, 4 * units});
    if (h) sum = sum + dense(h, r);
    const auto gate = [&](std::int64_t i) { return part(sum, 1, i * units, (i + 1) * units); };
    const Expr in = named(t, "input", sigmoid(gate(0))), out = named(t, "output", sigmoid(gate(1)));
    const Expr forget = named(t, "forget", sigmoid(gate(2))),
               candidate = named(t, "candidate", tanh(gate(3)));
    memory = named(t, "cell", memory ? forget * memory + in * candidate : in * candidate);
    h = named(t, "hidden", out * tanh(memory));
  }
  return dense(h, net.parameter("scores.w", value("scores.w", Dims{2, units})),
               net.parameter("scores.b", value("scores.b", Dims{2})));
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
  std::mt19937 random(3);
  const auto begin = [&](const std::string& name, Dims dims) {
    Tensor value(DType::float32, dims);
    const float size = name.ends_with(".b") ? 0.0F : 1 / std::sqrt(static_cast<float>(dims.back()));
    std::uniform_real_distribution<float> uniform(-1, 1);
    for (float& v : value.mutable_values<float>()) v = size * uniform(random);
    return value;
  };
  const auto count = static_cast<std::int64_t>(all.size());
  Network net;
  const Expr words = net.input("words", {B, length}, DType::int64);
  const Expr table = net.parameter("table", begin("table", {width, count}));
  Trainer trainer(net.finish(scores_of(net, dense(one_hot(words, count, DType::float32), table), begin)),
                  cross_entropy, {DType::int64, {B}});
  constexpr int steps = 600;
  for (int step = 0; step <= steps; ++step) {
    const Reviews batch = reviews(all, 128, static_cast<unsigned>(1000 + step));
    const double loss = trainer.step(batch.words, batch.moods, 2e-2 * (1 - 0.95 * step / steps));
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
      std::fprintf(stderr, "usage: train_words OUTPUT.onnx VOCABULARY.txt\n");
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

    const std::vector<std::int64_t> row = row_of(all, "the plot was good but the cast is not very brilliant");
    const Explanation got = Explainer(model, "lrp.lstm", {.nodes = {"vectors"}})
                                .run(Tensor({1, length}, std::span<const std::int64_t>(row)));
    std::printf("score of '%s': %.2f\n", got.predictions()[0] == 1 ? "good" : "bad",
                got.scores().at(got.predictions()[0]));
    for (std::int64_t t = 0; t < length; ++t) {
      double relevance = 0;
      for (std::int64_t i = 0; i < width; ++i) relevance += got.attribution().at(t * width + i);
      if (row[static_cast<std::size_t>(t)] != 0)
        std::printf("  %-6s %6.2f\n", all[static_cast<std::size_t>(row[static_cast<std::size_t>(t)])].c_str(),
                    relevance);
    }

    const Expr y = model.outputs()[0].expr;
    save_onnx(argv[1], std::span(&y, 1),
              {.graph_name = "words", .output_names = {"scores"}, .labels = {"bad", "good"}});
    std::ofstream list(argv[2]);
    for (const std::string& word : all) list << word << '\n';
    return right > 1900 && list.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "train_words: error: %s\n", error.what());
    return 2;
  }
}
