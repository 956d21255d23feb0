#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace rulegrad {

/// Rows of text in columns under their titles. Columns are as wide as their widest cell, two spaces apart;
/// where that is more than there is, the last column is wrapped at spaces and then the widest others lose
/// their middle.
class TextTable {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// Missing cells are empty.
  void add(std::vector<std::string> cells);
  [[nodiscard]] std::string text(std::size_t width) const;

 private:
  [[nodiscard]] std::vector<std::size_t> widths(std::size_t total) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// At most `width` characters (at least 5): the middle of longer texts becomes `...`.
[[nodiscard]] std::string without_middle(const std::string& text, std::size_t width);

}  // namespace rulegrad
