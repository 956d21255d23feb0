#include <algorithm>
#include <fmt/format.h>

#include "onnx/writer.hpp"

// Arithmetic, activations and products.
namespace rulegrad::io {
namespace {

Form plain(const char* op_type) {
  return [op_type](Writer& w, Expr e) { w.node(op_type, e); };
}

void write_dense(Writer& w, Expr e) {
  const bool bias = !Writer::absent(e, 2);
  if (e.shape().rank() == 2) {
    w.node("Gemm", e).set("transB", std::int64_t{1});
    return;
  }
  // Gemm is for matrices only.
  const std::string& y = w.name(e);
  const std::string weight = w.unused(y + ".weight"), product = bias ? w.unused(y + ".product") : y;
  w.node("Transpose", {w.name(e.operand(1))}, weight).set("perm", Ints{1, 0});
  w.node("MatMul", {w.name(e.operand(0)), weight}, product);
  if (bias) w.node("Add", {product, w.name(e.operand(2))}, y);
}

void write_dense_weight_grad(Writer& w, Expr e) {
  Steps s(w, e);
  const auto rows = [&](std::size_t i) {
    const Shape& shape = e.operand(i).shape();
    const auto last = shape[shape.rank() - 1].factor;
    return shape.rank() == 2 ? s.operand(i) : s("Reshape", {s.operand(i), s.ints({-1, last})});
  };
  const std::string x = rows(0), g = rows(1);
  s.last("Gemm", {g, x}, [](NodeWriter& n) { n.set("transA", std::int64_t{1}); });
}

void write_matmul(Writer& w, Expr e) {
  const auto& a = e.attributes<MatmulAttributes>();
  Steps s(w, e);
  const auto side = [&](std::size_t i, bool swapped) {
    const std::size_t rank = e.operand(i).shape().rank();
    if (!swapped) return s.operand(i);
    Ints perm;
    for (std::size_t axis = 0; axis < rank; ++axis) perm.push_back(static_cast<std::int64_t>(axis));
    std::swap(perm[rank - 1], perm[rank - 2]);
    return s.transpose(s.operand(i), perm);
  };
  const std::string left = side(0, a.transpose_a), right = side(1, a.transpose_b);
  s.last("MatMul", {left, right});
}

void write_clip(Writer& w, Expr e) {
  const auto& a = e.attributes<ClipAttributes>();
  w.node("Clip", e)
      .input("min", Tensor::scalar(e.dtype(), a.low))
      .input("max", Tensor::scalar(e.dtype(), a.high));
}

void write_silu(Writer& w, Expr e) {
  Steps s(w, e);
  s.last("Mul", {s.operand(0), s("Sigmoid", {s.operand(0)})});
}

/// The arm that is not taken stays finite too.
void write_over(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string none = s("Equal", {s.operand(1), s.number(0)});
  const std::string divisor = s("Where", {none, s.number(1), s.operand(1)});
  s.last("Where", {none, s.number(0), s("Div", {s.operand(0), divisor})});
}

void write_stabilize(Writer& w, Expr e) {
  Steps s(w, e);
  const std::string negative = s("Less", {s.operand(0), s.number(0)});
  const std::string below = s("Sub", {s.operand(0), s.operand(1)});
  s.last("Where", {negative, below, s("Add", {s.operand(0), s.operand(1)})});
}

void write_mod(Writer& w, Expr e) {
  Steps s(w, e);
  if (!is_floating(e.dtype())) {
    s.last("Mod", {s.operand(0), s.operand(1)});
    return;
  }
  const std::string whole = s("Floor", {s("Div", {s.operand(0), s.operand(1)})});
  s.last("Sub", {s.operand(0), s("Mul", {whole, s.operand(1)})});
}

void write_not_equal(Writer& w, Expr e) {
  Steps s(w, e);
  s.last("Not", {s("Equal", {s.operand(0), s.operand(1)})});
}

}  // namespace

void add_arithmetic_forms(Forms& f) {
  // What is read in other ways too has no row (rows.cpp).
  const std::pair<const char*, const char*> plains[] = {{"prelu", "PRelu"},       {"add", "Add"},
                                                        {"pow", "Pow"},           {"max", "Max"},
                                                        {"min", "Min"},           {"where", "Where"},
                                                        {"identity", "Identity"}, {"const", "Identity"},
                                                        {"accum", "Sum"},         {"round_through", "Round"}};
  for (const auto& [name, op_type] : plains) f[name] = plain(op_type);
  f["dense"] = write_dense;
  f["dense_weight_grad"] = write_dense_weight_grad;
  f["matmul"] = write_matmul;
  f["clip"] = write_clip;
  f["silu"] = write_silu;
  f["over"] = write_over;
  f["stabilize"] = write_stabilize;
  f["mod"] = write_mod;
  f["not_equal"] = write_not_equal;
  f["cast"] = [](Writer& w, Expr e) { w.node("Cast", e).set("to", std::int64_t{onnx_type(e.dtype())}); };
}

const Forms& forms() {
  static const Forms all = [] {
    Forms f;
    add_rows(f);
    add_arithmetic_forms(f);
    add_window_forms(f);
    add_resize_forms(f);
    add_movement_forms(f);
    add_index_forms(f);
    add_norm_forms(f);
    add_random_forms(f);
    add_loop_forms(f);
    return f;
  }();
  return all;
}

std::string why_unwritten(const OpSchema& op) {
  const std::string& name = op.name;
  if (name == "tree_ensemble") return " (decision trees have no form among ONNX's own operators)";
  if (name == "conv_weight_grad") return " (it is what a weight gets, summed over the batch)";
  if (name == "grad" || name == "vjp") return " (no rule has closed it)";
  return " (it has no form)";
}

}  // namespace rulegrad::io
