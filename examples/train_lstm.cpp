// Trains a classifier of sentences with an LSTM, examples/demo/words_lstm.onnx, with rulegrad's own gradients,
// on reviews that it makes up itself, and says what each word of one of them counted for. No part has a bias,
// so that relevance is conserved.
//   train_lstm OUTPUT.onnx VOCABULARY.txt
#include <cstdio>
#include <string>
#include <vector>

#include <rulegrad/rulegrad.hpp>

#include "train_reviews.hpp"

using namespace rulegrad;
using namespace examples;

namespace {

constexpr std::int64_t width = 12, units = 16;

void say_words(const Model& model, const Words& all, const std::string& review) {
  const std::vector<std::int64_t> row = row_of(all, review);
  // Numbers of words have no relevance; what is looked up for them has, and is found without asking.
  const Explanation got =
      Explainer(model, "lrp.lstm").run(Tensor({1, length}, std::span<const std::int64_t>(row)));
  const std::int64_t mood = got.predictions()[0];
  std::printf("score of '%s': %.2f\n", mood == 1 ? "good" : "bad", got.scores().at(mood));
  for (std::int64_t t = 0; t < length; ++t)
    if (const auto word = static_cast<std::size_t>(row[static_cast<std::size_t>(t)]); word != 0)
      std::printf("  %-9s %6.2f\n", all[word].c_str(), got.attribution().at(t));
}

}  // namespace

int main(int argc, char** argv) {
  return train_and_save(argc, argv, [](const Words& all) {
    Beginning begin(1);
    Model model = trained(all, {.width = width, .steps = 600, .rate = 2e-2, .decay = 0.2}, begin,
                          [&](Network& net, Expr vectors) {
                            const Tensor w = begin({4 * units, width}), r = begin({4 * units, units});
                            const RecurrentStates states = net.lstm(vectors, w, r, {}, "lstm");
                            return net.dense(states.last, begin({2, units}), {}, "scores");
                          });
    say_words(model, all, "the plot was good but the cast is not very brilliant");
    return model;
  });
}
