#include "onnx/large_networks.hpp"

#include <cmath>

namespace rulegrad::testing {
namespace {

constexpr std::int64_t features = 4, steps = 3, heads = 2;

/// Writes nodes one behind the other; each of them has a name of its own, as has each weight.
class Writer {
 public:
  Writer() = default;

  [[nodiscard]] int nodes() const { return b_.model.graph().node_size(); }

  std::string node(const std::string& op_type, const std::vector<std::string>& inputs, int outputs = 1) {
    const std::string name = "n" + std::to_string(nodes());
    std::vector<std::string> made{name + ".out"};
    for (int i = 1; i < outputs; ++i) made.push_back(name + ".out" + std::to_string(i));
    last_ = &b_.node(op_type, inputs, made, name);
    return made[0];
  }
  template <class T>
  void set(const std::string& attribute, const T& value) {
    OnnxBuilder::set(*last_, attribute, value);
  }

  std::string weight(const std::vector<std::int64_t>& dims) {
    std::int64_t count = 1;
    for (const std::int64_t extent : dims) count *= extent;
    std::vector<float> values;
    for (std::int64_t i = 0; i < count; ++i) {
      state_ = state_ * 1664525U + 1013904223U;
      values.push_back(static_cast<float>(state_ >> 8) / 16777216.0F - 0.5F);
    }
    const std::string name = "w" + std::to_string(weights_++);
    b_.floats(name, dims, values);
    return name;
  }
  /// As exporters write them: a node `Constant` for each place where the number is needed.
  std::string number(float value) {
    const std::string result = node("Constant", {});
    auto& a = *last_->add_attribute();
    a.set_name("value");
    a.set_type(onnx::AttributeProto::TENSOR);
    a.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
    a.mutable_t()->set_raw_data(&value, sizeof value);
    return result;
  }
  std::string zero_point(int type, int value) {
    const std::string name = "z" + std::to_string(weights_++);
    b_.tensor(name, {}, type).add_int32_data(value);
    return name;
  }
  std::string eights(const std::vector<std::int64_t>& dims) {
    const std::string name = "w" + std::to_string(weights_++);
    auto& tensor = b_.tensor(name, dims, onnx::TensorProto::INT8);
    std::int64_t count = 1;
    for (const std::int64_t extent : dims) count *= extent;
    for (std::int64_t i = 0; i < count; ++i) {
      state_ = state_ * 1664525U + 1013904223U;
      tensor.add_int32_data(static_cast<int>(state_ >> 25) - 64);
    }
    return name;
  }

  std::string dense(const std::string& x, std::int64_t in = features, std::int64_t out = features) {
    return node("Add", {node("MatMul", {x, weight({in, out})}), weight({out})});
  }
  std::string layer_norm(const std::string& x) {
    const std::string centred = node("Sub", {x, mean(x)});
    const std::string square = node("Pow", {centred, number(2)});
    const std::string deviation = node("Sqrt", {node("Add", {mean(square), number(1e-5F)})});
    const std::string normal = node("Div", {centred, deviation});
    return node("Add", {node("Mul", {normal, weight({features})}), weight({features})});
  }
  std::string gelu(const std::string& x) {
    const std::string erf = node("Erf", {node("Div", {x, number(std::sqrt(2.0F))})});
    return node("Mul", {node("Mul", {x, node("Add", {erf, number(1)})}), number(0.5F)});
  }
  std::string quantised(const std::string& x) {
    const std::string scale = weight_number(0.02F), zero = zero_point(onnx::TensorProto::UINT8, 128);
    return node("DequantizeLinear", {node("QuantizeLinear", {x, scale, zero}), scale, zero});
  }
  std::string weight_number(float value) {
    const std::string name = "s" + std::to_string(weights_++);
    b_.floats(name, {}, {value + 1e-6F * static_cast<float>(weights_)});
    return name;
  }
  std::string integers(const std::vector<std::int64_t>& values) {
    const std::string name = "i" + std::to_string(weights_++);
    b_.integers(name, {static_cast<std::int64_t>(values.size())}, values);
    return name;
  }

  std::string mean(const std::string& x) {
    const std::string result = node("ReduceMean", {x});
    set("axes", std::vector<std::int64_t>{-1});
    set("keepdims", std::int64_t{1});
    return result;
  }
  std::string transposed(const std::string& x, const std::vector<std::int64_t>& perm) {
    const std::string result = node("Transpose", {x});
    set("perm", perm);
    return result;
  }

  OnnxBuilder finished(const std::string& last) {
    b_.node("Identity", {last}, {"y"});
    b_.output("y");
    return std::move(b_);
  }
  OnnxBuilder& builder() { return b_; }

 private:
  OnnxBuilder b_;
  onnx::NodeProto* last_ = nullptr;
  int weights_ = 0;
  std::uint32_t state_ = 1;
};

std::string attention(Writer& w, const std::string& x) {
  const std::int64_t size = features / heads;
  const auto split = [&](const std::string& value, const std::vector<std::int64_t>& perm) {
    return w.transposed(w.node("Reshape", {value, w.integers({0, steps, heads, size})}), perm);
  };
  const std::string q = split(w.dense(x), {0, 2, 1, 3}), k = split(w.dense(x), {0, 2, 3, 1}),
                    v = split(w.dense(x), {0, 2, 1, 3});
  const std::string scores =
      w.node("Div", {w.node("MatMul", {q, k}), w.number(std::sqrt(static_cast<float>(size)))});
  const std::string weights = w.node("Softmax", {scores});
  w.set("axis", std::int64_t{-1});
  const std::string mixed = w.transposed(w.node("MatMul", {weights, v}), {0, 2, 1, 3});
  return w.dense(w.node("Reshape", {mixed, w.integers({0, steps, features})}));
}

std::string block(Writer& w, LargeKind kind, const std::string& x) {
  switch (kind) {
    case LargeKind::chain:
      return w.node("Tanh", {w.node("Sigmoid", {x})});
    case LargeKind::scaled:
      return w.node("Tanh", {w.node("Add", {w.node("Mul", {x, w.weight_number(1.1F)}), w.number(0.1F)})});
    case LargeKind::residual:
      return w.node("Add", {x, w.dense(w.node("Relu", {w.dense(x)}))});
    case LargeKind::layer_norm:
      return w.layer_norm(w.dense(x));
    case LargeKind::quantised: {
      const std::string scale = w.weight_number(0.01F), zero = w.zero_point(onnx::TensorProto::INT8, 0);
      const std::string weight = w.node("DequantizeLinear", {w.eights({features, features}), scale, zero});
      const std::string sum = w.node("Add", {w.node("MatMul", {x, weight}), w.weight({features})});
      return w.quantised(w.node("Relu", {w.quantised(sum)}));
    }
    case LargeKind::transformer: {
      const std::string attended = w.layer_norm(w.node("Add", {x, attention(w, x)}));
      const std::string hidden = w.gelu(w.dense(attended, features, 2 * features));
      return w.layer_norm(w.node("Add", {attended, w.dense(hidden, 2 * features, features)}));
    }
    case LargeKind::recurrent:
      break;
  }
  return x;
}

/// One weight for all steps, a part of the input for each.
OnnxBuilder recurrent(int nodes) {
  Writer w;
  const std::int64_t count = std::max(1, nodes / 16);
  w.builder().input("x", {-1, count * features});
  const std::string of_x = w.weight({features, 4 * features}), of_h = w.weight({features, 4 * features}),
                    bias = w.weight({4 * features}), first = w.weight({1, features});
  std::string h = first, c = first;
  for (std::int64_t step = 0; step < count; ++step) {
    const std::string at = w.node(
        "Slice", {"x", w.integers({step * features}), w.integers({(step + 1) * features}), w.integers({1})});
    const std::string sum =
        w.node("Add", {w.node("Add", {w.node("MatMul", {at, of_x}), w.node("MatMul", {h, of_h})}), bias});
    const std::string gate = w.node("Split", {sum}, 4);
    w.set("axis", std::int64_t{1});
    const std::string in = w.node("Sigmoid", {gate}), forget = w.node("Sigmoid", {gate + "1"}),
                      fresh = w.node("Tanh", {gate + "2"}), out = w.node("Sigmoid", {gate + "3"});
    c = w.node("Add", {w.node("Mul", {forget, c}), w.node("Mul", {in, fresh})});
    h = w.node("Mul", {out, w.node("Tanh", {c})});
  }
  return w.finished(h);
}

}  // namespace

const std::vector<NamedKind>& large_kinds() {
  static const std::vector<NamedKind> kinds{{"chain", LargeKind::chain},
                                            {"scaled", LargeKind::scaled},
                                            {"residual", LargeKind::residual},
                                            {"layer_norm", LargeKind::layer_norm},
                                            {"quantised", LargeKind::quantised},
                                            {"recurrent", LargeKind::recurrent},
                                            {"transformer", LargeKind::transformer}};
  return kinds;
}

OnnxBuilder large_network(LargeKind kind, int nodes) {
  if (kind == LargeKind::recurrent) return recurrent(nodes);
  Writer w;
  if (kind == LargeKind::transformer)
    w.builder().input("x", {-1, steps, features});
  else
    w.builder().input("x", {-1, features});
  std::string last = "x";
  while (w.nodes() + 1 < nodes) last = block(w, kind, last);
  return w.finished(last);
}

}  // namespace rulegrad::testing
