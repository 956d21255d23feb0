#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "onnx/importer.hpp"

namespace rulegrad::io {

/// What becomes of a number in a list that is larger than any extent: it is damage where it counts something,
/// "to the end" where it is a position of Slice, and itself where it is data.
enum class Beyond { refuse, clamp, keep };

/// One ONNX node while it is mapped: its inputs, attributes and results. Attributes that nobody asked for are
/// an error in the end: what they mean would be ignored.
class NodeContext {
 public:
  NodeContext(Importer& importer, const onnx::NodeProto& node);

  [[nodiscard]] Importer& importer() const { return importer_; }
  [[nodiscard]] Graph& graph() const { return importer_.graph(); }
  [[nodiscard]] std::int64_t opset() const { return importer_.opset(); }
  [[nodiscard]] const std::string& op_type() const { return node_.op_type(); }
  [[nodiscard]] std::string node_name() const { return name_of_node(node_); }
  /// The node's name, or that of its first output: what its parts are named after.
  [[nodiscard]] std::string plain_name() const;
  [[noreturn]] void fail(const std::string& what) const;

  [[nodiscard]] std::size_t input_count() const { return static_cast<std::size_t>(node_.input_size()); }
  [[nodiscard]] std::size_t output_count() const { return static_cast<std::size_t>(node_.output_size()); }
  [[nodiscard]] bool has(std::size_t input) const;
  [[nodiscard]] const std::string& input_name(std::size_t input) const {
    return node_.input(static_cast<int>(input));
  }
  [[nodiscard]] const Value& value(std::size_t input) const;
  /// The input as an expression.
  [[nodiscard]] Expr operand(std::size_t input) const;
  [[nodiscard]] std::optional<Expr> optional_operand(std::size_t input) const;
  [[nodiscard]] const Shape& shape(std::size_t input) const { return operand(input).shape(); }
  /// The input's value, if it is constant.
  [[nodiscard]] std::optional<Tensor> constant(std::size_t input) const;
  [[nodiscard]] Tensor required_constant(std::size_t input, const char* meaning) const;
  /// A constant integer input as a list.
  [[nodiscard]] Ints integers_of(std::size_t input, const char* meaning,
                                 Beyond beyond = Beyond::refuse) const;
  /// An integer input that may hold multiples of the batch.
  [[nodiscard]] std::vector<Dim> dims_of(std::size_t input, const char* meaning,
                                         Beyond beyond = Beyond::refuse) const;
  /// A constant integer input that holds one number.
  [[nodiscard]] std::int64_t integer_of(std::size_t input, const char* meaning) const;
  /// Zeros, counted among what is computed while the model is read before they are allocated: extents may
  /// come from the file, so nothing else in this folder makes arrays.
  [[nodiscard]] Tensor array(DType dtype, Dims dims) const;
  /// The same for a list of so many numbers.
  void spend_list(std::int64_t count) const;
  [[nodiscard]] std::optional<Symbolic> symbols(std::size_t input) const;

  [[nodiscard]] bool has_attribute(std::string_view name);
  [[nodiscard]] std::int64_t integer(std::string_view name, std::int64_t otherwise);
  /// As the file has it, however large.
  [[nodiscard]] std::int64_t any_integer(std::string_view name, std::int64_t otherwise);
  [[nodiscard]] double real(std::string_view name, double otherwise);
  /// A number that some versions write as an integer.
  [[nodiscard]] double real_or_integer(std::string_view name, double otherwise);
  [[nodiscard]] std::string text(std::string_view name, const std::string& otherwise);
  [[nodiscard]] Ints integers(std::string_view name, const Ints& otherwise = {},
                              Beyond beyond = Beyond::refuse);
  [[nodiscard]] std::vector<double> reals(std::string_view name);
  /// The same, which may stand in a tensor of the name with `_as_tensor` behind it.
  [[nodiscard]] std::vector<double> exact_reals(const std::string& name);
  [[nodiscard]] std::vector<std::string> strings(std::string_view name);
  [[nodiscard]] std::int64_t string_count(std::string_view name) {
    return static_cast<std::int64_t>(strings(name).size());
  }
  /// A body of control flow.
  [[nodiscard]] const onnx::GraphProto& body(std::string_view name);
  [[nodiscard]] const onnx::TensorProto* tensor(std::string_view name);
  /// Attributes without a meaning here: for training, or hints.
  void ignore(std::initializer_list<std::string_view> names);
  /// A list that is an attribute in old operator sets and an input in new ones; nothing if it is neither.
  [[nodiscard]] std::optional<Ints> attribute_or_input(std::string_view name, std::size_t input,
                                                       Beyond beyond = Beyond::refuse);

  Expr apply(std::string_view op_name, std::vector<Expr> operands, Attributes attributes = {}) const {
    return importer_.apply(op_name, std::move(operands), std::move(attributes));
  }
  /// A number of the dtype of `like`.
  [[nodiscard]] Expr scalar(double value, Expr like) const { return graph().scalar(value, like.dtype()); }
  [[nodiscard]] bool is_static(Expr expr) const { return importer_.is_static(expr); }
  /// Refuses what would mix the entries of a batch that the file knows as 1.
  void keep_apart(bool mixes, const char* what) const;

  /// True if the output has a name that somebody reads.
  [[nodiscard]] bool wanted(std::size_t output) const;
  void result(Expr expr, std::size_t output = 0) const;
  void result(const Value& value, std::size_t output) const;
  void result(Symbolic symbols) const;
  /// The output cannot be told: what reads it is an error that says why.
  void absent(std::size_t output, const std::string& why) const;
  /// What is done to the first result before it gets its names.
  void then(std::function<Expr(Expr)> step) { then_ = std::move(step); }
  void check_attributes() const;

 private:
  [[nodiscard]] const onnx::AttributeProto* find(std::string_view name);
  const onnx::AttributeProto* find(std::string_view name, onnx::AttributeProto::AttributeType type,
                                   const char* word);

  Importer& importer_;
  const onnx::NodeProto& node_;
  std::set<std::string, std::less<>> read_;
  std::function<Expr(Expr)> then_;
};

using Handler = std::function<void(NodeContext&)>;
using Handlers = std::map<std::string, Handler, std::less<>>;

/// How each operator of ONNX's own domain is mapped.
[[nodiscard]] const Handlers& handlers();

/// The operator among LoadOptions::operators that the node names, or null; and how it is mapped.
[[nodiscard]] const OpSchema* custom_operator(const LoadOptions& options, const onnx::NodeProto& node);
void map_custom(NodeContext& context, const OpSchema& op);

void add_rows(Handlers& handlers);
void add_elementwise(Handlers& handlers);
void add_activations(Handlers& handlers);
void add_affine(Handlers& handlers);
void add_windows(Handlers& handlers);
void add_norms(Handlers& handlers);
void add_reductions(Handlers& handlers);
void add_movement(Handlers& handlers);
void add_slicing(Handlers& handlers);
void add_resizing(Handlers& handlers);
void add_constants(Handlers& handlers);
void add_guards(Handlers& handlers);
void add_indexing(Handlers& handlers);
void add_attention(Handlers& handlers);
void add_einsum(Handlers& handlers);
void add_sampling(Handlers& handlers);
void add_rare(Handlers& handlers);
void add_quantized(Handlers& handlers);
void add_microsoft(Handlers& handlers);
void add_ml(Handlers& handlers);
void add_svm(Handlers& handlers);
void add_recurrent(Handlers& handlers);
void add_control(Handlers& handlers);
void add_sequences(Handlers& handlers);
void add_spectra(Handlers& handlers);

/// Shape arithmetic on symbols; true if it gave the node's result.
[[nodiscard]] bool fold_symbols(NodeContext& context);

/// The axis counted from the front; Error if there is none.
[[nodiscard]] std::size_t checked_axis(const NodeContext& context, std::int64_t axis, std::size_t rank);
[[nodiscard]] Ints axes_from_front(const NodeContext& context, const Ints& axes, std::size_t rank);
/// x under another shape of as many elements.
[[nodiscard]] Expr reshaped(const NodeContext& context, Expr x, std::vector<Dim> dims);
/// The shape that a Reshape to `target` gives: 0 copies an extent (unless `allow_zero`), -1 takes the rest,
/// and a batch that the target does not speak of stays where it is.
[[nodiscard]] Shape resolved_shape(const NodeContext& context, const Shape& from, std::vector<Dim> target,
                                   bool allow_zero);

}  // namespace rulegrad::io
