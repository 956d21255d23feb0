#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <typeindex>
#include <unordered_map>
#include <vector>

#include "rulegrad/expr/schema.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

class Graph;
struct Node;

/// A handle to an immutable node of a Graph; cheap to copy, valid as long as the graph lives. Equal handles
/// are equal expressions: nodes are hash-consed.
class Expr {
 public:
  Expr() = default;
  explicit Expr(const Node* node) : node_(node) {}

  /// The node behind the handle, which must not be empty.
  [[nodiscard]] const Node& node() const { return *node_; }
  /// The same.
  [[nodiscard]] const Node* operator->() const { return node_; }
  /// False for a default-constructed handle.
  [[nodiscard]] explicit operator bool() const { return node_ != nullptr; }

  /// What is computed.
  [[nodiscard]] const OpSchema& op() const;
  /// Is it an operation of that name?
  [[nodiscard]] bool is(std::string_view operator_name) const;
  /// What it is computed from, in the order of the operator's operands; valid as long as the graph lives.
  [[nodiscard]] std::span<const Expr> operands() const;
  /// One of them; the position must exist.
  [[nodiscard]] Expr operand(std::size_t position) const;
  /// Strides, axes and the like, in their normal form.
  [[nodiscard]] const Attributes& attributes() const;
  /// The struct itself; throws Error(internal) when it is another one.
  template <class T>
  [[nodiscard]] const T& attributes() const {
    return attributes().as<T>();
  }
  /// The struct itself, or null when it is another one: of a struct that only one operator has, its node.
  template <class T>
  [[nodiscard]] const T* attributes_if() const {
    return attributes().as_if<T>();
  }
  /// Element type and symbolic shape.
  [[nodiscard]] const Type& type() const;
  /// Symbolic: it may hold the batch B and a sample axis.
  [[nodiscard]] const Shape& shape() const { return type().shape; }
  /// Of the elements.
  [[nodiscard]] DType dtype() const { return type().dtype; }
  /// A bit for each depth at which the value depends on a sample loop.
  [[nodiscard]] std::uint32_t loops() const;
  /// The graph that owns the node.
  [[nodiscard]] Graph& graph() const;

  friend bool operator==(Expr, Expr) = default;

 private:
  const Node* node_ = nullptr;
};

/// An operation, an input or a constant; immutable.
struct Node {
  std::uint32_t id;    ///< order of creation: operands come first. Never an order that results depend on.
  std::uint32_t hash;  ///< of operator, operands and attributes
  const OpSchema* op;
  std::span<const Expr> operands;  ///< the graph holds them
  Attributes attributes;
  Type type;
  Graph* graph;
  std::uint32_t loops =
      0;               ///< a bit for each depth at which the value depends on a sample loop (samples.hpp)
  bool named = false;  ///< does the graph have names for it? Most have none, and are asked often
  bool apart = false;  ///< never the same node as another, whatever that holds (Graph::parameter)
};

inline const OpSchema& Expr::op() const {
  return *node_->op;
}
inline bool Expr::is(std::string_view operator_name) const {
  return node_->op->name == operator_name;
}
inline std::span<const Expr> Expr::operands() const {
  return node_->operands;
}
inline Expr Expr::operand(std::size_t position) const {
  return node_->operands[position];
}
inline const Attributes& Expr::attributes() const {
  return node_->attributes;
}
inline const Type& Expr::type() const {
  return node_->type;
}
inline std::uint32_t Expr::loops() const {
  return node_->loops;
}
inline Graph& Expr::graph() const {
  return *node_->graph;
}

/// Owner of nodes. Building is for one thread at a time; finished graphs may be read by many.
class Graph {
 public:
  /// Literals in rules and builders take this dtype.
  explicit Graph(DType real = DType::float32);
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph();

  /// The dtype of literals.
  [[nodiscard]] DType real() const { return real_; }
  /// The node `op(operands...) {attributes}`: the existing one if there is one. Missing optional operands
  /// become the scalar 0. Throws Error that names operator, operands and what disagrees.
  Expr make(const OpSchema& op, std::vector<Expr> operands, Attributes attributes = {});
  /// As make, or something simpler with the same bits. What builders use.
  Expr apply(const OpSchema& op, std::vector<Expr> operands, Attributes attributes = {});

  /// A named input; the name must be new.
  Expr input(const std::string& name, Type type);
  /// Shares the tensor's buffer.
  Expr constant(Tensor value);
  /// A constant that stays one of its own, even if others hold the same numbers: two biases that both begin as zeros
  /// are two, and training changes each by its own gradient.
  Expr parameter(Tensor value);
  /// A rank-0 constant of dtype `real()`, or of the given one.
  Expr scalar(double value);
  Expr scalar(double value, DType dtype);

  /// Notes a name beside a node; a node may have many and several nodes one name (merged or split by
  /// rewriting).
  void add_name(Expr expr, std::string name);
  /// In the order they were noted.
  [[nodiscard]] const std::vector<std::string>& names(Expr expr) const;
  /// The nodes of that name, in the order they were named.
  [[nodiscard]] std::vector<Expr> find(std::string_view name) const;

  /// Nodes refer to operators without owning them: one that does not ship lives as long as the graph does.
  void keep_alive(std::shared_ptr<const OpSchema> op);

  /// How many nodes there are.
  [[nodiscard]] std::size_t size() const { return size_; }
  /// In the order they were made.
  [[nodiscard]] const std::vector<Expr>& inputs() const { return inputs_; }

  /// What others keep for as long as the graph lives, one of a type (what programs compute ahead of runs and
  /// share); null where nothing of the type is kept.
  template <class T>
  [[nodiscard]] std::shared_ptr<T> annex() const {
    const auto found = annexes_.find(typeid(T));
    return found == annexes_.end() ? nullptr : std::static_pointer_cast<T>(found->second);
  }
  /// Keeps it, in place of another of its type.
  template <class T>
  void set_annex(std::shared_ptr<T> kept) {
    annexes_[typeid(T)] = std::move(kept);
  }

 private:
  DType real_;
  static constexpr std::size_t block_size = 512;
  std::vector<std::vector<Node>> nodes_;  ///< in blocks that never grow beyond what they reserved
  std::size_t size_ = 0;
  [[nodiscard]] const Node& node(std::size_t id) const { return nodes_[id / block_size][id % block_size]; }
  std::vector<std::vector<Expr>>
      operands_;  ///< of all nodes, in blocks that never grow beyond what they reserved
  [[nodiscard]] std::span<const Expr> kept(std::span<const Expr> operands);
  /// Numbers of nodes, by what they are, in an open table that every construction asks. A node first looks
  /// for a place in the cache line that belongs to its youngest operand: what is built together is found
  /// together, however large the graph.
  struct Interned {
    std::uint32_t hash = 0;
    std::uint32_t node = 0;  ///< its number plus one; 0: free
  };
  std::vector<Interned> interned_;
  /// Where a node of that hash and youngest operand stands for which `same` holds, or the free place where it
  /// would.
  template <class Same>
  [[nodiscard]] std::size_t place_of(std::uint32_t hash, std::span<const Expr> operands,
                                     const Same& same) const;
  void grow_interned();
  /// The node, with the next number.
  Node& appended(Node node);
  std::vector<Expr> inputs_;
  std::vector<std::shared_ptr<const OpSchema>> kept_;
  std::map<std::pair<std::uint64_t, DType>, Expr>
      scalars_;  ///< by the bits of the value: rules ask for them often
  std::unordered_map<const Node*, std::vector<std::string>> names_;
  std::unordered_map<std::string, std::vector<Expr>> named_;
  std::map<std::type_index, std::shared_ptr<void>> annexes_;
};

/// `conv 'features.0' float32[B, 64, 224, 224]`: how messages speak of a node.
[[nodiscard]] std::string describe(Expr expr);

/// Is it a value that runs give by name (leaves.hpp)?
[[nodiscard]] inline bool is_input(Expr expr) {
  return expr.is("input");
}
/// Is it an array that the graph holds (leaves.hpp)?
[[nodiscard]] inline bool is_constant(Expr expr) {
  return expr.is("constant");
}
/// The value of a rank-0 or all-equal constant, if the node is one.
[[nodiscard]] std::optional<double> constant_value(Expr expr);
/// Is it a constant all of whose elements are 0?
[[nodiscard]] inline bool is_zero(Expr expr) {
  return constant_value(expr) == 0.0;
}

/// All nodes that the roots depend on, operands before users; the order depends only on the structure below
/// the roots, not on what else is in the graph.
[[nodiscard]] std::vector<Expr> topological_order(std::span<const Expr> roots);

/// The roots with every operator that is defined by its expansion written out; the roots themselves where
/// there is none. Operators for which `keep` holds (kernels exist for them) stay.
[[nodiscard]] std::vector<Expr> written_out(std::span<const Expr> roots,
                                            const std::function<bool(const OpSchema&)>& keep = {});

/// Text of the roots, a line a node: `%2 = conv(%0, %1) {strides = [2, 2]} : float32[B, 8, 14, 14]`, inputs
/// by name and large constants by reference, `@c0`.
[[nodiscard]] std::string print(std::span<const Expr> roots);

/// The same text with the constants it refers to: `@c0` is the first. `parse_graph` reads it back.
struct PrintedGraph {
  std::string text;
  std::vector<Tensor> constants;
};
/// As `print`, with the constants; `parse_graph` takes both.
[[nodiscard]] PrintedGraph print_with_constants(std::span<const Expr> roots);

}  // namespace rulegrad

template <>
struct std::hash<rulegrad::Expr> {
  std::size_t operator()(rulegrad::Expr expr) const noexcept {
    return std::hash<const rulegrad::Node*>()(expr ? &expr.node() : nullptr);
  }
};
