#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/compile/compile_options.hpp"
#include "rulegrad/kernels/kernel.hpp"

#include "compile/constants.hpp"
#include "compile/fast_contractions.hpp"
#include "passes/intervals.hpp"

namespace rulegrad {

using ValueId = std::uint32_t;

/// Where a value comes from.
enum class Source : std::uint8_t { input, constant, instruction, same_elements };

/// Everything that a program reads or writes.
struct FlowValue {
  Source source;
  std::uint32_t index;  ///< in inputs, constants or instructions; the value it shares its elements with
  Type type;
  std::int64_t block = 0;  ///< of its memory layout, as in ConstView
  Interval interval =
      {};  ///< what is inferred of its elements; of contractions and where facts are checked only
};

struct ProgramInput {
  std::string name;
  Type type;
  bool needed = false;  ///< the outputs depend on it
};

struct ProgramConstant {
  std::string name;  ///< empty if the graph has none
  std::shared_ptr<Constant> constant;
};

struct Instruction {
  std::string op;
  std::string label;  ///< as messages speak of it: `conv 'features.0' float32[B, 64, 224, 224]`
  std::shared_ptr<const Kernel> kernel;
  Attributes attributes;
  std::vector<ValueId> operands;
  std::vector<ValueId> results;  ///< one, unless the planner made it of several operations

  Precision precision = Precision::exact;  ///< of this contraction
  /// Of a contraction: what reads its result looks through it for values that are not finite.
  bool checked_by_reader = false;

  /// Of each result, where there are several.
  std::vector<std::string> result_labels = {};

  [[nodiscard]] ValueId result() const { return results.front(); }
  [[nodiscard]] const std::string& label_of(std::size_t result) const {
    return result_labels.empty() ? label : result_labels[result];
  }
};

/// A program before memory is given to it: kernel calls in order, operands before users. Refers to no graph.
struct Flow {
  std::vector<FlowValue> values;
  std::vector<ProgramInput>
      inputs;  ///< all of the graph: even one that is not needed may say what the batch is
  std::vector<ProgramConstant> constants;
  std::vector<Instruction> instructions;
  std::vector<ValueId> outputs;

  /// The constants that instructions and outputs read, each once.
  [[nodiscard]] std::vector<std::shared_ptr<Constant>> constants_read() const;
  std::size_t fused = 0;  ///< operations that others' calls compute

  /// The value whose memory this one has.
  [[nodiscard]] ValueId root(ValueId value) const {
    while (values[value].source == Source::same_elements) value = values[value].index;
    return value;
  }
};

/// Orders the operations below the outputs, evaluates those that depend on no input and no batch, drops those
/// whose users can do without (see `read_through`).
/// `renewed`: nodes that messages speak of by the names of others (simplify.hpp). `intervals`: those that are known
/// already. `decided`: the precisions of the contractions, of a part of a graph; else they are found here.
[[nodiscard]] Flow flow_of(std::span<const Expr> outputs, const CompileOptions& options,
                           std::span<const std::pair<Expr, Expr>> renewed = {}, Intervals intervals = {},
                           const ContractionPrecisions* decided = nullptr);

}  // namespace rulegrad
