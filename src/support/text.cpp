#include "support/text.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "support/usual_names.hpp"

namespace rulegrad {

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i != 0) result += separator;
    result += parts[i];
  }
  return result;
}

int edit_distance(std::string_view a, std::string_view b) {
  const std::size_t columns = b.size() + 1;
  std::vector<int> before(columns), row(columns), next(columns);
  for (std::size_t j = 0; j < columns; ++j) row[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    next[0] = static_cast<int>(i);
    for (std::size_t j = 1; j < columns; ++j) {
      const int change = a[i - 1] == b[j - 1] ? 0 : 1;
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + change});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        next[j] = std::min(next[j], before[j - 2] + 1);
    }
    before.swap(row);
    row.swap(next);
  }
  return row.back();
}

std::string nearest_name(std::string_view name, std::span<const std::string> candidates) {
  const std::string plain = folded(name);
  const std::string_view usual = usual_name(name);
  std::string best;
  int least = static_cast<int>(std::max<std::size_t>(name.size() / 3, 2)) + 1;
  for (const std::string& candidate : candidates) {
    const std::string other = folded(candidate);
    if (other == plain) return candidate;
    // One letter in another case is another letter, behind all that agree.
    const int distance =
        candidate == usual ? 1 : std::min(edit_distance(name, candidate), edit_distance(plain, other) + 1);
    // A name that merely lacks its prefix (`epsilon` for `lrp.epsilon`) is near too, after every misspelling.
    const bool is_tail = candidate.size() > name.size() && candidate.ends_with(name) &&
                         candidate[candidate.size() - name.size() - 1] == '.';
    const int rank = is_tail ? std::min(distance, 2) : distance;
    if (rank < least) {
      least = rank;
      best = candidate;
    }
  }
  return best;
}

std::string unknown_name_message(std::string_view what, std::string_view name,
                                 std::span<const std::string> candidates) {
  std::string message = fmt::format("unknown {} '{}'", what, name);
  if (const std::string nearest = nearest_name(name, candidates); !nearest.empty())
    message += fmt::format("; did you mean '{}'?", nearest);
  else if (!candidates.empty() && candidates.size() <= 24)
    message += fmt::format("; known: {}", join(candidates));
  return message;
}

bool glob_match(std::string_view glob, std::string_view text) {
  std::size_t g = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t]) && glob[g] != '*') {
      ++g;
      ++t;
    } else if (g < glob.size() && glob[g] == '*') {
      star = g++;
      resume = t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

std::string shortest(double value) {
  return fmt::format("{}", value);
}

}  // namespace rulegrad
