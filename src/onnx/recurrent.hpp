#pragma once

#include <optional>
#include <string>
#include <vector>

#include "onnx/node_context.hpp"

// What LSTM, GRU and RNN share: they are unrolled, a cell for each step, while a model is read.
namespace rulegrad::io {

/// A function that ONNX's recurrent operators name, with its constants.
struct CellActivation {
  std::string name;  ///< in lower case
  double alpha = 0, beta = 0;
};

/// The functions of all cells in order, `count` for each of `directions`; `defaults` where the node names
/// none.
[[nodiscard]] std::vector<CellActivation> read_activations(NodeContext& context, std::size_t directions,
                                                           const std::vector<std::string>& defaults);
[[nodiscard]] Expr activated(const NodeContext& context, const CellActivation& f, Expr x);

/// What a state is called, and its value before the first step [N, hidden].
struct CellState {
  Expr hidden, cell;
};

/// One direction of a recurrent node.
struct CellWeights {
  Expr w;          ///< of the input [gates hidden, inputs]
  Expr r;          ///< of the state [gates hidden, hidden]
  Expr bias;       ///< beside w: [gates hidden], or the number 0
  Expr recurrent;  ///< beside r, the same
  std::vector<CellActivation> functions;
  std::optional<Expr> peephole;  ///< [3 hidden]
};

/// A recurrent node as it is unrolled.
class RecurrentNode {
 public:
  /// `gates` is how many matrices a cell has; `functions` its activations where the file says nothing.
  RecurrentNode(NodeContext& context, std::int64_t gates, const std::vector<std::string>& functions);

  [[nodiscard]] std::size_t directions() const { return directions_; }
  [[nodiscard]] std::int64_t hidden() const { return hidden_; }
  [[nodiscard]] CellWeights weights(std::size_t direction) const;
  /// The part of a direction of an input [directions, ...], such as peepholes.
  [[nodiscard]] Expr part(Expr whole, std::size_t direction, std::vector<Dim> dims) const;
  /// An initial state [N, hidden]; zeros where the node has none.
  [[nodiscard]] Expr initial(std::size_t input, std::size_t direction) const;

  /// x w^T + b for all steps in one product, then cut: [N, rows of w] for each step.
  [[nodiscard]] std::vector<Expr> projections(Expr w, Expr b) const;
  /// The steps of a direction in the order in which it takes them.
  [[nodiscard]] std::vector<std::size_t> order(std::size_t direction) const;
  /// `next`, but `previous` in the samples that have ended before that step.
  [[nodiscard]] Expr kept(std::size_t step, Expr next, Expr previous) const;
  /// `lstm1.t3.forget`; with both directions `lstm1.reverse.t3.forget`.
  Expr named(std::size_t direction, std::size_t step, const char* part, Expr value) const;

  /// The function of a sum of inputs, clipped if the node asks for it.
  [[nodiscard]] Expr activate(const CellActivation& f, Expr x) const;
  /// A node that stays as it is written: cells look alike in every step, whatever is known of the first
  /// state.
  [[nodiscard]] Expr make(std::string_view op_name, std::vector<Expr> operands,
                          Attributes attributes = {}) const;
  /// Columns [from, to) of a matrix.
  [[nodiscard]] Expr columns(Expr x, std::int64_t from, std::int64_t to) const;
  /// What one gate of several has in a matrix of all of them.
  [[nodiscard]] Expr gate(Expr x, std::int64_t index) const {
    return columns(x, index * hidden_, (index + 1) * hidden_);
  }

  /// Notes the state after a step, of the samples that take part in it, and after the last one.
  void put(std::size_t direction, std::size_t step, Expr hidden);
  void finish(std::size_t direction, const CellState& last);
  /// Gives Y, Y_h and, where there is one, Y_c.
  void results(bool with_cell) const;

 private:
  void read_lengths();

  NodeContext& context_;
  std::int64_t gates_, hidden_ = 0;
  bool batch_first_ = false;
  std::string direction_;
  std::size_t directions_ = 1, steps_ = 0;
  Dim batch_;
  Expr x_, zero_;
  std::optional<double> clip_;
  std::vector<CellActivation> functions_;
  std::vector<Expr> running_;  ///< for each step, which samples [N, 1] have it; empty where all do
  std::vector<std::vector<Expr>> hidden_states_;
  std::vector<CellState> last_;
};

}  // namespace rulegrad::io
