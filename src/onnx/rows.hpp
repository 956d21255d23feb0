#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/expr/expr.hpp"

namespace rulegrad::io {

class NodeContext;
class Writer;

/// A number that ONNX and the operator have under these names, and what ONNX takes where a file says nothing.
struct RowNumber {
  const char* onnx;
  const char* ours;
  std::variant<double, std::int64_t> otherwise;
};

/// A word that both have, and how each spells it; the first one is what ONNX takes where a file says nothing.
struct RowWord {
  const char* name;
  std::vector<std::pair<const char*, const char*>> spellings;  ///< ONNX's, then the operator's
};

/// Of operators that no operator set of ONNX has.
inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// An operator that ONNX has under another name: read and written by this row alone.
struct Row {
  const char* onnx = "";
  const char* op = "";
  std::int64_t since = 6;  ///< the operator set that it came with
  std::vector<RowNumber> numbers = {};
  std::optional<RowWord> word = {};
  std::size_t operands = 1;
  bool in_cells = false;  ///< may recurrent operators name it?
  /// How it is written in operator sets that lack it; empty: the file gets one that has it.
  std::function<void(Writer&, Expr)> before = {};
};
[[nodiscard]] std::span<const Row> rows();
/// That of an operator of ONNX, or null.
[[nodiscard]] const Row* row_of(std::string_view onnx);

/// A function of one value, its numbers in the order of the row; those that are missing are as ONNX says.
[[nodiscard]] Expr apply_row(const NodeContext& context, const Row& row, Expr x,
                             std::span<const double> numbers);

}  // namespace rulegrad::io
