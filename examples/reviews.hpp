#pragma once

#include <algorithm>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <rulegrad/rulegrad.hpp>

/// Reviews of films that programs make up for themselves: what the classifiers of words are trained on.
namespace examples {

using rulegrad::DType;
using rulegrad::Tensor;

constexpr std::int64_t length = 13;

using Words = std::vector<std::string>;
inline const Words things{"film",   "plot", "story",  "acting", "music",
                          "ending", "cast", "camera", "script", "sound"};
inline const Words degrees{"very", "quite", "really", "so", "too", "rather"};
inline const Words good{"good", "nice", "fine", "clever", "funny"},
    splendid{"great", "brilliant", "superb", "moving"};
inline const Words bad{"bad", "dull", "weak", "silly", "stale"},
    dreadful{"awful", "terrible", "horrible", "boring"};
inline const Words small{"<none>", "the", "this", "was", "is", "not", "and", "but"};

/// Numbers of words; 0 stands before a sentence that is shorter than `length`.
inline Words vocabulary() {
  Words all = small;
  for (const Words& list : {things, degrees, good, splendid, bad, dreadful})
    all.insert(all.end(), list.begin(), list.end());
  return all;
}

inline std::int64_t number_of(const Words& all, const std::string& word) {
  return std::find(all.begin(), all.end(), word) - all.begin();
}

/// The sentence as a row, its end at the end.
inline std::vector<std::int64_t> row_of(const Words& all, const std::string& sentence) {
  std::vector<std::int64_t> row;
  std::istringstream in(sentence);
  for (std::string word; in >> word;) row.push_back(number_of(all, word));
  row.insert(row.begin(), static_cast<std::size_t>(length) - row.size(), 0);
  return row;
}

/// "the plot was not very good but this cast is brilliant": words count 1 or 2, "not" turns them around, and
/// the sum decides.
class Reviewer {
 public:
  explicit Reviewer(unsigned seed) : random_(seed) {}

  std::pair<std::string, std::int64_t> review() {
    auto [text, sum] = clause();
    while (chance(2)) {
      const auto [more, change] = clause();
      if (sum + change == 0) continue;
      return {text + ((change > 0) == (sum > 0) ? " and " : " but ") + more, sum + change > 0 ? 1 : 0};
    }
    return {text, sum > 0 ? 1 : 0};
  }

 private:
  bool chance(int in) { return random_() % static_cast<unsigned>(in) == 0; }
  const std::string& one(const Words& words) { return words[random_() % words.size()]; }

  std::pair<std::string, int> clause() {
    const bool kind = chance(2), strong = chance(2), turned = chance(3);
    std::string text = (chance(2) ? "the " : "this ") + one(things) + (chance(2) ? " was " : " is ");
    if (turned) text += "not ";
    if (chance(2)) text += one(degrees) + " ";
    text += one(kind ? (strong ? splendid : good) : (strong ? dreadful : bad));
    return {text, (strong ? 2 : 1) * (kind != turned ? 1 : -1)};
  }

  std::mt19937 random_;
};

struct Reviews {
  Tensor words, moods;
};

inline Reviews reviews(const Words& all, std::int64_t count, unsigned seed) {
  Reviewer reviewer(seed);
  Reviews result{Tensor(DType::int64, {count, length}), Tensor(DType::int64, {count})};
  for (std::int64_t i = 0; i < count; ++i) {
    const auto [sentence, mood] = reviewer.review();
    const std::vector<std::int64_t> row = row_of(all, sentence);
    std::copy(row.begin(), row.end(), result.words.mutable_values<std::int64_t>().begin() + i * length);
    result.moods.mutable_values<std::int64_t>()[static_cast<std::size_t>(i)] = mood;
  }
  return result;
}

}  // namespace examples
