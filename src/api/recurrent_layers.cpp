#include <fmt/format.h>

#include "rulegrad/api/network.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/error.hpp"

#include "ops/steps.hpp"

namespace rulegrad {
namespace {

struct CellKind {
  const char* op;
  std::string name;  ///< of the layer
  std::int64_t gates;
};

/// A layer as it is written out.
class CellsInARow {
 public:
  CellsInARow(Network& net, CellKind kind, Expr x, Tensor w, const Dims& r, Tensor b)
      : net_(net), kind_(std::move(kind)), units_(r.size() == 2 ? r[1] : 0) {
    const Shape& shape = x.shape();
    if (shape.rank() != 3 || shape[1].batch || shape[2].batch || shape[1].factor < 1)
      throw Error(ErrorCode::shape,
                  fmt::format("[{}] needs x [B, steps, values] of a known number of steps, but x is {}",
                              kind_.op, to_string(x.type())));
    const auto require = [&](const char* what, const Dims& dims, const Dims& wanted) {
      if (dims != wanted)
        throw Error(ErrorCode::shape,
                    fmt::format("[{}] {} must be {} for x {} and {} units but is {}", kind_.op, what,
                                to_string(wanted), to_string(x.type()), units_, to_string(dims)));
    };
    const std::int64_t rows = kind_.gates * units_;
    require("r", r, {rows, units_});
    require("w", w.dims(), {rows, shape[2].factor});
    if (b.size() != 0) require("b", b.dims(), {rows});
    const Expr weight = net.parameter(kind_.name + ".w", std::move(w));
    sums_ = cut_steps(
        application(),
        b.size() == 0 ? dense(x, weight) : dense(x, weight, net.parameter(kind_.name + ".b", std::move(b))),
        1);
  }

  [[nodiscard]] const std::string& name() const { return kind_.name; }
  [[nodiscard]] std::int64_t units() const { return units_; }

  /// `cell` gives the next state of a sum of inputs and the last state.
  template <class Cell>
  RecurrentStates run(Cell&& cell) {
    std::vector<Expr> states;
    for (step_ = 0; step_ < sums_.size(); ++step_)
      states.push_back(named("hidden", cell(sums_[step_], states.empty() ? zeros() : states.back())));
    const Expr all = join_steps(application(), states, 1);
    net_.graph().add_name(all, kind_.name);
    return {all, states.back()};
  }

  /// What a cell begins with [B, units].
  [[nodiscard]] Expr zeros() const {
    const Expr like = sums_.front();
    return application()("fill", {}, FillAttributes{0, like.dtype(), Shape{like.shape()[0], Dim{units_}}});
  }
  Expr named(const char* part, Expr value) const {
    net_.graph().add_name(value, fmt::format("{}.t{}.{}", kind_.name, step_, part));
    return value;
  }
  /// What gates [from, to) have in a row of all of them.
  [[nodiscard]] Expr gates(Expr all, std::int64_t from, std::int64_t to) const {
    return application()("slice", {all}, SliceAttributes{{1}, {from * units_}, {to * units_}, {1}});
  }
  [[nodiscard]] Expr gate(Expr all, std::int64_t index) const { return gates(all, index, index + 1); }

 private:
  [[nodiscard]] Application application() const {
    return
        [&graph = net_.graph()](std::string_view op_name, std::vector<Expr> operands, Attributes attributes) {
          return graph.apply(op(op_name), std::move(operands), std::move(attributes));
        };
  }

  Network& net_;
  CellKind kind_;
  std::int64_t units_;
  std::size_t step_ = 0;
  std::vector<Expr> sums_;
};

}  // namespace

RecurrentStates Network::lstm(Expr x, std::int64_t units, const std::string& name) {
  auto [w, r, b] = random_cell("lstm", 4, x, units);
  return lstm(x, std::move(w), std::move(r), std::move(b), name);
}

RecurrentStates Network::lstm(Expr x, Tensor w, Tensor r, Tensor b, const std::string& name) {
  CellsInARow cells(*this, {"lstm", layer_name("lstm", name), 4}, x, std::move(w), r.dims(), std::move(b));
  const Expr state_weight = parameter(cells.name() + ".r", std::move(r));
  Expr memory = cells.zeros();
  return cells.run([&](Expr inputs, Expr h) {
    const Expr sum = cells.named("sum", inputs + rulegrad::dense(h, state_weight));
    const auto gate = [&](const char* what, std::int64_t index) {
      return cells.named(what, sigmoid(cells.gate(sum, index)));
    };
    const Expr i = gate("input", 0), o = gate("output", 1);
    const Expr fresh = i * cells.named("candidate", tanh(cells.gate(sum, 3)));
    memory = cells.named("cell", gate("forget", 2) * memory + fresh);
    return o * tanh(memory);
  });
}

RecurrentStates Network::gru(Expr x, std::int64_t units, const std::string& name) {
  auto [w, r, b] = random_cell("gru", 3, x, units);
  return gru(x, std::move(w), std::move(r), std::move(b), name);
}

RecurrentStates Network::gru(Expr x, Tensor w, Tensor r, Tensor b, const std::string& name) {
  CellsInARow cells(*this, {"gru", layer_name("gru", name), 3}, x, std::move(w), r.dims(), std::move(b));
  // The candidate reads another state than the gates.
  const std::int64_t units = cells.units();
  const Expr gate_weight = parameter(cells.name() + ".r", r.rows(0, 2 * units));
  const Expr state_weight = parameter(cells.name() + ".r.candidate", r.rows(2 * units, units));
  return cells.run([&](Expr inputs, Expr h) {
    const Expr gates = cells.gates(inputs, 0, 2) + rulegrad::dense(h, gate_weight);
    const Expr z = cells.named("update", sigmoid(cells.gate(gates, 0)));
    const Expr reset = cells.named("reset", sigmoid(cells.gate(gates, 1)));
    const Expr sum = cells.gate(inputs, 2) + rulegrad::dense(reset * h, state_weight);
    return (1 - z) * cells.named("candidate", tanh(sum)) + z * h;
  });
}

}  // namespace rulegrad
