#pragma once

#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <utility>

#include <rulegrad/rulegrad.hpp>

#include "reviews.hpp"

/// Classifiers of reviews, trained with rulegrad's own gradients: what the networks of words share.
namespace examples {

using rulegrad::Dims;
using rulegrad::Expr;
using rulegrad::Model;
using rulegrad::Network;

/// Parameters to begin with: no two are equal, for equal constants are one.
class Beginning {
 public:
  explicit Beginning(unsigned seed) : random_(seed) {}
  /// Within `size` of `middle`; without a size, within 1 / sqrt(the last extent) of 0.
  Tensor operator()(Dims dims, float size = 0, float middle = 0) {
    if (size == 0) size = 1 / std::sqrt(static_cast<float>(dims.back()));
    std::uniform_real_distribution<float> uniform(-1, 1);
    Tensor value(DType::float32, std::move(dims));
    for (float& v : value.mutable_values<float>()) v = middle + size * uniform(random_);
    return value;
  }

 private:
  std::mt19937 random_;
};

/// How a network is trained, and on how wide vectors of words.
struct Training {
  std::int64_t width;
  int steps;
  double rate;
  double decay = 0;  ///< how much parameters shrink, as a part of the rate
};

/// A network that looks the words up as `vectors` [B, length, width], of which `scores_of` makes two scores.
inline Model trained(const Words& all, const Training& how, Beginning& begin,
                     const std::function<Expr(Network&, Expr)>& scores_of) {
  const auto rows = static_cast<std::int64_t>(all.size());
  Network net;
  const Expr words = net.input("words", {rulegrad::B, length}, DType::int64);
  const Expr vectors = net.embedding(words, begin({rows, how.width}, 0.154F), "vectors");
  rulegrad::Trainer trainer(net.finish(scores_of(net, vectors)), rulegrad::cross_entropy,
                            {DType::int64, {rulegrad::B}});
  // Parameters decay by themselves (Loshchilov and Hutter 2019, arXiv 1711.05101): what need not matter ceases
  // to. What is no word says nothing.
  const auto decay = [&](double share) {
    const rulegrad::Inputs now = trainer.parameters();
    for (const auto& [name, value] : now) {
      Tensor kept = value;
      const auto values = kept.mutable_values<float>();
      for (float& v : values) v *= static_cast<float>(1 - share);
      if (name == "vectors.w") std::fill_n(values.begin(), how.width, 0.0F);
      trainer.set_parameter(name, std::move(kept));
    }
  };
  decay(0);
  for (int step = 0; step <= how.steps; ++step) {
    const Reviews batch = reviews(all, 128, static_cast<unsigned>(1000 + step));
    const double rate = how.rate * (1 - 0.95 * step / how.steps);
    const double loss = trainer.step(batch.words, batch.moods, rate);
    decay(rate * how.decay);
    if (step % 100 == 0) std::printf("step %3d: loss %.4f\n", step, loss);
  }
  return trainer.trained();
}

/// How many of 2000 reviews that no training saw are judged right.
inline int judged_right(const Model& model, const Words& all) {
  const Reviews fresh = reviews(all, 2000, 7);
  const Expr y = model.outputs()[0].expr;
  const Tensor scores = rulegrad::evaluate(std::span(&y, 1), {{"words", fresh.words}})[0];
  int right = 0;
  for (std::int64_t i = 0; i < 2000; ++i)
    right += (scores.at(2 * i + 1) > scores.at(2 * i)) == (fresh.moods.at(i) == 1);
  std::printf("%d of 2000 new reviews are judged right\n", right);
  return right;
}

/// What the program does: trains, says how well, writes the network and its vocabulary. 0 where at least 19 of
/// 20 reviews are judged right.
inline int train_and_save(int argc, char** argv, const std::function<Model(const Words&)>& train) {
  const std::string name = argv[0];
  try {
    if (argc != 3) {
      std::fprintf(stderr, "usage: %s OUTPUT.onnx VOCABULARY.txt\n", name.c_str());
      return 2;
    }
    const Words all = vocabulary();
    const Model model = train(all);
    const bool learnt = judged_right(model, all) >= 1900;
    const Expr y = model.outputs()[0].expr;
    rulegrad::save_onnx(argv[1], std::span(&y, 1),
                        {.graph_name = "words", .output_names = {"scores"}, .labels = {"bad", "good"}});
    std::ofstream list(argv[2]);
    for (const std::string& word : all) list << word << '\n';
    return learnt && list.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: error: %s\n", name.c_str(), error.what());
    return 2;
  }
}

}  // namespace examples
