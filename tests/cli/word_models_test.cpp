// The demo networks of words: what trained them, how well they judge reviews that no training saw, and what
// relevance says of them.
#include <cmath>
#include <cstdlib>
#include <doctest/doctest.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "../../examples/reviews.hpp"
#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::read_text;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

constexpr std::int64_t count = 2000;

Model loaded(const std::string& name) {
  return load_onnx(demo(name), {.dtype = DType::float64});
}

std::string word_at(const examples::Words& all, const Tensor& words, std::int64_t place) {
  return all[static_cast<std::size_t>(words.at(place))];
}

bool holds(const examples::Words& list, const std::string& word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

bool judges(const std::string& word) {
  using namespace examples;
  return holds(good, word) || holds(splendid, word) || holds(bad, word) || holds(dreadful, word);
}

}  // namespace

TEST_CASE("both networks of words judge at least 199 of 200 new reviews right") {
  const examples::Words all = examples::vocabulary();
  std::string lines;
  for (const std::string& word : all) lines += word + "\n";
  CHECK(read_text(demo("words.txt")) == lines);
  const examples::Reviews fresh = examples::reviews(all, count, 77);
  for (const std::string name : {"words.onnx", "words_lstm.onnx"}) {
    const Model model = loaded(name);
    const Expr y = model.outputs()[0].expr;
    const Tensor scores = evaluate(std::span(&y, 1), {{"words", fresh.words}})[0];
    int right = 0;
    for (std::int64_t i = 0; i < count; ++i)
      right += (scores.at(2 * i + 1) > scores.at(2 * i)) == (fresh.moods.at(i) == 1);
    MESSAGE(name << ": " << right << " of " << count << " new reviews are judged right");
    CHECK(right >= count * 199 / 200);
  }
}

TEST_CASE("training the LSTM again gives a network of the same shape that has learnt as much") {
  const ScratchDirectory scratch;
  const std::string program = (std::filesystem::path(train_program()).parent_path() / "train_lstm").string();
  REQUIRE(std::system(("OMP_WAIT_POLICY=passive '" + program + "' '" + scratch.file("words_lstm.onnx") +
                       "' '" + scratch.file("words.txt") + "' >'" + scratch.file("out") + "'")
                          .c_str()) == 0);
  // On one machine the file is the same byte for byte; the last bits of a product may differ between
  // processors, and training carries them on.
  const std::string said = read_text(scratch.file("out"));
  const std::size_t end = said.find(" of 2000 new reviews are judged right");
  REQUIRE_MESSAGE(end != std::string::npos, said);
  CHECK(std::stoi(said.substr(said.rfind('\n', end) + 1)) >= 1990);
  CHECK(read_text(scratch.file("words.txt")) == read_text(demo("words.txt")));
  const auto shown = [&](const std::string& model) {
    const std::string text = run_command({"inspect", model}).out;
    return text.substr(text.find('\n'));
  };
  CHECK(shown(scratch.file("words_lstm.onnx")) == shown(demo("words_lstm.onnx")));
}

TEST_CASE(
    "the LSTM of the demo has no biases: what its words get is the score, however gate and signal share") {
  const Model model = loaded("words_lstm.onnx");
  const Tensor words = examples::reviews(examples::vocabulary(), 200, 5).words;
  const Explanation found = Explainer(model, {"lrp.lstm:epsilon=1e-12", "lrp.lstm:gates=half,epsilon=1e-12",
                                              "lrp.lstm:gates=abs(1e-12),epsilon=1e-12", "lrp.lstm"})
                                .run(words);
  REQUIRE(found.attribution(0).dims() == words.dims());
  double furthest = 0;
  for (std::int64_t i = 0; i < 200; ++i) {
    const double score = found.scores().at(2 * i + found.predictions()[static_cast<std::size_t>(i)]);
    for (std::size_t method = 0; method < 4; ++method) {
      double sum = 0, size = 0;
      for (std::int64_t t = 0; t < examples::length; ++t) {
        const double relevance = found.attribution(method).at(i * examples::length + t);
        sum += relevance;
        size += std::abs(relevance);
        if (words.at(i * examples::length + t) == 0) CHECK(relevance == 0);  // no word
      }
      if (method < 3)
        CHECK(std::abs(sum - score) < 1e-8 * size);
      else
        furthest = std::max(furthest, std::abs(sum - score) / score);
    }
  }
  // The usual epsilon keeps a share.
  CHECK(furthest > 1e-6);
  MESSAGE("lrp.lstm with its usual epsilon: sums are within " << furthest << " of the score");
}

TEST_CASE(
    "the word that decides gets the largest relevance: the one that judges, or 'not' where it turns that "
    "around") {
  const examples::Words all = examples::vocabulary();
  const Model model = loaded("words_lstm.onnx");
  const examples::Reviews fresh = examples::reviews(all, count, 78);
  const Explanation found = Explainer(model, "lrp.lstm").run(fresh.words);
  int sentences = 0, right = 0, turned = 0, turning = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = i * examples::length;
    int clauses = 0;
    std::int64_t largest = 0, turns = -1;
    for (std::int64_t t = 0; t < examples::length; ++t) {
      clauses += judges(word_at(all, fresh.words, row + t));
      if (word_at(all, fresh.words, row + t) == "not") turns = t;
      if (found.attribution().at(row + t) > found.attribution().at(row + largest)) largest = t;
    }
    if (clauses != 1) continue;
    if (turns < 0) {
      ++sentences;
      right += judges(word_at(all, fresh.words, row + largest));
    } else {
      ++turned;
      turning += largest == turns;
    }
  }
  MESSAGE("the judging word is first in " << right << " of " << sentences << " sentences, 'not' in "
                                          << turning << " of " << turned << " with it");
  CHECK(sentences > 200);
  CHECK(right >= sentences * 98 / 100);
  CHECK(turned > 100);
  CHECK(turning >= turned * 98 / 100);
}

TEST_CASE("gates of the demo's LSTM keep their names in its file") {
  const Model model = loaded("words_lstm.onnx");
  for (const char* part : {"input", "output", "forget", "candidate", "cell", "hidden"})
    CHECK(model.graph().find(std::string("lstm.t3.") + part).size() == 1);
  const Explanation found = Explainer(model, "lrp.lstm", {.nodes = {"lstm.t11.cell"}})
                                .run(examples::reviews(examples::vocabulary(), 4, 9).words);
  CHECK(found.attribution().dims() == Dims{4, 16});
}
