#include "support/table.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <numeric>

namespace rulegrad {
namespace {

constexpr std::size_t gap = 2, least_last = 16, least_other = 12;

/// Lines of at most `width` characters, broken at spaces where there are any.
std::vector<std::string> wrapped(const std::string& text, std::size_t width) {
  std::vector<std::string> lines;
  std::size_t start = 0;
  while (text.size() - start > width) {
    std::size_t end = text.rfind(' ', start + width);
    const bool at_space = end != std::string::npos && end > start;
    if (!at_space) end = start + width;
    lines.push_back(text.substr(start, end - start));
    start = end + (at_space ? 1 : 0);
  }
  lines.push_back(text.substr(start));
  return lines;
}

}  // namespace

std::string without_middle(const std::string& text, std::size_t width) {
  if (text.size() <= width) return text;
  const std::size_t kept = std::max<std::size_t>(width, 5) - 3, front = kept / 2;
  return text.substr(0, front) + "..." + text.substr(text.size() - (kept - front));
}

void TextTable::add(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<std::size_t> TextTable::widths(std::size_t total) const {
  std::vector<std::size_t> result;
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    std::size_t widest = columns_[c].title.size();
    for (const auto& row : rows_) widest = std::max(widest, row[c].size());
    result.push_back(widest);
  }
  const auto sum = [&] { return std::accumulate(result.begin(), result.end(), gap * (result.size() - 1)); };
  if (columns_.back().align == Align::left && sum() > total) {
    const std::size_t over = sum() - total;
    result.back() =
        std::max(result.back() > over ? result.back() - over : 0, std::min(result.back(), least_last));
  }
  while (sum() > total) {
    std::size_t widest = columns_.size();
    for (std::size_t c = 0; c + 1 < columns_.size(); ++c)
      if (columns_[c].align == Align::left && result[c] > least_other &&
          (widest == columns_.size() || result[c] > result[widest]))
        widest = c;
    if (widest == columns_.size()) break;
    --result[widest];
  }
  return result;
}

std::string TextTable::text(std::size_t width) const {
  const std::vector<std::size_t> wide = widths(width);
  std::string result;
  const auto add_row = [&](const std::vector<std::string>& cells) {
    const std::size_t last = cells.size() - 1;
    const std::vector<std::string> lines = wrapped(cells[last], std::max<std::size_t>(wide[last], 1));
    for (std::size_t line = 0; line < lines.size(); ++line) {
      std::string out;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        const std::string cell = c == last   ? lines[line]
                                 : line == 0 ? without_middle(cells[c], wide[c])
                                             : std::string();
        if (c != 0) out.append(gap, ' ');
        out += columns_[c].align == Align::right ? fmt::format("{:>{}}", cell, wide[c])
                                                 : fmt::format("{:<{}}", cell, wide[c]);
      }
      result += out.substr(0, out.find_last_not_of(' ') + 1) + '\n';
    }
  };
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  add_row(titles);
  for (const auto& row : rows_) add_row(row);
  return result;
}

}  // namespace rulegrad
