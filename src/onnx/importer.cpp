#include "onnx/importer.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <utility>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/fold.hpp"
#include "onnx/lookup.hpp"
#include "onnx/module_names.hpp"
#include "onnx/needed.hpp"
#include "support/text.hpp"

namespace rulegrad::io {
namespace {

/// Constants up to this many elements are computed while the model is read, even if they grow by it.
constexpr std::int64_t foldable = 1 << 20;
/// All constants that are computed while a model is read, beside those that are no larger than what they are
/// computed from: so many bytes, or four times as many as the model's weights have.
constexpr std::int64_t least_budget = std::int64_t{256} << 20;
/// A node of the file may become many operations, such as the steps of a recurrent layer; all together so
/// many, or a hundred for each node of a large file.
constexpr std::size_t least_room = std::size_t{1} << 22, room_a_node = 100;
/// Nearest names are worked out for so many missing ones: looking through all names takes long.
constexpr int most_misses = 20;

bool same_elements(const Tensor& a, const Tensor& b) {
  return a.dtype() == b.dtype() && a.dims() == b.dims() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

/// The integer kernels divide as C++ does, which has no answer for a divisor of 0.
bool divides_by_zero(Expr expr) {
  if (is_floating(expr.dtype()) || !(expr.is("div") || expr.is("mod"))) return false;
  const Expr divisor = expr.operand(1);
  if (const auto* fill = fill_of(divisor)) return fill->value == 0;
  const Tensor& values = *array_of(divisor);
  for (std::int64_t i = 0; i < values.size(); ++i)
    if (values.at(i) == 0) return true;
  return false;
}

}  // namespace

/// What the first axes of the inputs have in common.
struct Importer::Leading {
  std::string symbol;       ///< the name of the free axis that is the batch, if it has one
  std::string place;        ///< what LoadOptions::extents calls it
  bool promoted = false;    ///< a literal extent becomes the batch
  std::int64_t extent = 1;  ///< that extent
};

Importer::Importer(const ModelFile& file, const LoadOptions& options, TensorReader& reader,
                   const Weights& weights, bool symbolic)
    : file_(file),
      options_(options),
      reader_(reader),
      weights_(weights),
      symbolic_(symbolic),
      budget_(least_budget),
      opset_(file.opset()),
      graph_(std::make_unique<Graph>(options.dtype)),
      specials_(!options.allow_non_finite) {
  std::int64_t stored = 0;
  for (const auto& [name, tensor] : weights) stored += static_cast<std::int64_t>(tensor.bytes());
  budget_ = std::max(budget_, 4 * stored);
  most_nodes_ =
      std::max(least_room, room_a_node * static_cast<std::size_t>(file.graph().node_size()) + weights.size());
}

bool Importer::has_batch() const {
  return std::any_of(inputs_.begin(), inputs_.end(),
                     [](const ModelInput& input) { return input.expr.shape().has_batch(); });
}

void Importer::fail_steps(const std::string& what) const {
  if (promoted_ || batch_name_.empty()) fail(what);
  throw NoBatch(
      ErrorCode::model,
      fmt::format("{}; say how many there are, so that it is none: LoadOptions::extents[\"{}\"], --dim {}=N",
                  what, batch_name_, batch_name_));
}

Importer::Leading Importer::decide_batch() const {
  Leading leading;
  if (!symbolic_) return leading;
  bool any_free = false, all_equal = true, any = false;
  for (const auto& input : file_.graph().input()) {
    if (weights_.contains(input.name())) continue;
    const auto& shape = input.type().tensor_type().shape();
    if (shape.dim_size() == 0) continue;
    const auto& first = shape.dim(0);
    if (is_free(first) && !options_.extents.contains(first.dim_param()) &&
        !options_.extents.contains(input.name() + ".0")) {
      any_free = true;
      if (leading.symbol.empty()) leading.symbol = first.dim_param();
      if (leading.place.empty())
        leading.place = first.dim_param().empty() ? input.name() + ".0" : first.dim_param();
    }
    if (shape.dim_size() < 2) continue;
    if (!any && first.has_dim_value()) leading.extent = first.dim_value();
    any = true;
    all_equal = all_equal && first.has_dim_value() && first.dim_value() == leading.extent;
  }
  leading.promoted = any && all_equal && !any_free && leading.extent > 0;
  return leading;
}

Type Importer::input_type(const onnx::ValueInfoProto& input, const Leading& leading) const {
  const std::string what = fmt::format("input '{}'", input.name());
  if (!input.type().has_tensor_type()) fail(fmt::format("{} is no tensor", what));
  const auto& tensor = input.type().tensor_type();
  if (!tensor.has_shape()) fail(fmt::format("{} has no declared shape; export the model with one", what));
  std::vector<Dim> dims;
  double count = 1;
  for (int axis = 0; axis < tensor.shape().dim_size(); ++axis) {
    const auto& dim = tensor.shape().dim(axis);
    const std::string place = fmt::format("{}.{}", input.name(), axis);
    const auto chosen = options_.extents.contains(place) ? options_.extents.find(place)
                                                         : options_.extents.find(dim.dim_param());
    const bool literal_one =
        axis == 0 && leading.promoted && tensor.shape().dim_size() > 1 && dim.dim_value() == leading.extent;
    if (is_free(dim) && chosen != options_.extents.end() && chosen->second >= 0)
      dims.emplace_back(chosen->second);
    else if (symbolic_ &&
             (literal_one || (is_free(dim) &&
                              (axis == 0 || (!leading.symbol.empty() && dim.dim_param() == leading.symbol)))))
      dims.push_back(B);
    else if (!is_free(dim))
      dims.emplace_back(dim.dim_value());
    else if (axis == 0)
      dims.emplace_back(1);
    else
      fail(fmt::format("axis {} of {} {} is free; say its extent with LoadOptions::extents[\"{}\"]", axis,
                       what, declared_type(input), dim.dim_param().empty() ? place : dim.dim_param()));
    count *= static_cast<double>(dims.back().factor);
  }
  if (count > 0x1p40)
    fail(fmt::format("{} {} is larger than anything that could be stored", what, declared_type(input)));
  return {mapped_dtype(tensor.elem_type(), options_.dtype, what), Shape(std::move(dims))};
}

void Importer::add_inputs() {
  const Leading leading = decide_batch();
  promoted_ = leading.promoted;
  batch_name_ = leading.place;
  samples_in_file_ = leading.extent;
  for (const auto& input : file_.graph().input()) {
    if (weights_.contains(input.name())) continue;
    if (input.name().empty()) fail("an input of the graph has no name");
    const Expr expr = graph_->input(input.name(), input_type(input, leading));
    inputs_.push_back({input.name(), expr, declared_type(input)});
    define(input.name(), {expr});
  }
  for (const auto& [name, tensor] : weights_) {
    // What a file calls by two names are two parameters.
    const bool trainable = is_floating(tensor.dtype()) && !tensor.dims().empty();
    const Expr expr = trainable ? graph_->parameter(tensor) : graph_->constant(tensor);
    if (const auto problem = reader_.problem(tensor))
      not_finite_.emplace(&expr.node(), *problem);
    else if (!options_.allow_non_finite)
      specials_.note_finite(expr);
    if (uses(name) > 0) graph_->add_name(expr, name);
    define(name, {expr});
  }
}

void Importer::define(const std::string& name, Value value) {
  if (value.expr) (void)is_static(value.expr);
  if (!scopes_.back().emplace(name, std::move(value)).second)
    fail(fmt::format("the name '{}' is given to two values", name));
}

int Importer::uses(const std::string& name) const {
  const auto found = uses_.find(name);
  return found == uses_.end() ? 0 : found->second;
}

const Value& Importer::value(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
    if (const auto found = scope->find(name); found != scope->end()) return found->second;
  if (++misses_ > most_misses) fail(fmt::format("there is no input, weight or node output '{}'", name));
  for (const auto& node : file_.graph().node())
    for (int output = 0; output < node.output_size(); ++output)
      if (node.output(output) == name)
        fail(output > 0 ? fmt::format("'{}' is output {} of {} {}, which is not supported", name, output,
                                      qualified_name(node), name_of_node(node))
                        : fmt::format("'{}' is computed by a node that comes later, {} {}", name,
                                      qualified_name(node), name_of_node(node)));
  std::vector<std::string> known;
  for (const Scope& scope : scopes_)
    for (const auto& [candidate, value] : scope) known.push_back(candidate);
  std::sort(known.begin(), known.end());
  for (const auto& node : file_.graph().node())
    known.insert(known.end(), node.output().begin(), node.output().end());
  const std::string nearest = nearest_name(name, known);
  fail(fmt::format("there is no input, weight or node output '{}'{}", name,
                   nearest.empty() ? "" : fmt::format("; the nearest name is '{}'", nearest)));
}

Expr Importer::apply(std::string_view op_name, std::vector<Expr> operands, Attributes attributes) {
  if (promoted_ && samples_in_file_ > 1 && operands.size() > 1 && op(op_name).is(OpClass::elementwise))
    unrepeat(operands);
  require_room();
  return folded(graph_->apply(op(op_name), std::move(operands), std::move(attributes)));
}

void Importer::require_room() const {
  if (graph_->size() > most_nodes_)
    fail(fmt::format("the model would become more than {} operations", most_nodes_));
}

void Importer::spend(std::int64_t bytes, const char* what) {
  if (bytes > budget_ - spent_)
    fail(
        fmt::format("{} would be the last of {} MB of constants to compute while the model is read, and {} "
                    "MB are allowed",
                    what, (spent_ >> 20) + (bytes >> 20), budget_ >> 20));
  spent_ += bytes;
}

Expr Importer::folded(Expr expr) {
  if (expr.operands().empty() || !expr.shape().static_dims()) return expr;
  std::int64_t most = foldable;
  for (const Expr operand : expr.operands()) {
    const bool small_fill =
        fill_of(operand) && operand.shape().static_dims() && operand.shape().count().factor <= foldable;
    if (!is_constant(operand) && !small_fill) return expr;
    most = std::max(most, operand.shape().count().factor);
  }
  if (expr.shape().count().factor > most) return expr;
  spend(expr.shape().count().factor * static_cast<std::int64_t>(size_of(expr.dtype())), "a folded constant");
  if (divides_by_zero(expr)) fail("an integer constant is divided by 0");
  const Expr result = graph_->constant(folded_value(expr, Kernels::best()));
  for (const Expr operand : expr.operands())
    if (const auto origin = not_finite_.find(&operand.node()); origin != not_finite_.end())
      not_finite_.emplace(&result.node(), origin->second);
  // What only moves elements of weights need not be looked through again.
  const auto finite = [&](Expr operand) { return specials_.of(operand).stored == 0; };
  if (expr.op().is(OpClass::routing) && std::all_of(expr.operands().begin(), expr.operands().end(), finite))
    specials_.note_finite(result);
  return result;
}

Expr Importer::constant(const onnx::TensorProto& tensor, const std::string& name) {
  const Tensor value = reader_.read(tensor, name);
  const Expr expr = graph_->constant(value);
  if (const auto problem = reader_.problem(value)) not_finite_.emplace(&expr.node(), *problem);
  return expr;
}

Expr Importer::materialize(const Symbolic& symbols) {
  const auto one_element = [&](Dim element) {
    if (!element.batch) return graph_->scalar(static_cast<double>(element.factor), symbols.dtype);
    const Expr ones = graph_->apply(op("fill"), {}, FillAttributes{1, symbols.dtype, Shape{B}});
    const Expr batch = graph_->apply(op("sum"), {ones}, ReduceAttributes{{0}, false});
    return graph_->apply(op("mul"),
                         {batch, graph_->scalar(static_cast<double>(element.factor), symbols.dtype)});
  };
  if (symbols.dims.empty() && symbols.elements.size() == 1) return one_element(symbols.elements[0]);
  std::vector<Expr> parts;
  for (const Dim element : symbols.elements)
    parts.push_back(graph_->apply(op("reshape"), {one_element(element)}, ShapeAttributes{Shape{1}}));
  if (parts.empty()) return graph_->constant(Tensor(symbols.dtype, symbols.dims));
  return graph_->apply(op("reshape"), {graph_->apply(op("concat"), parts, AxisAttributes{0})},
                       ShapeAttributes{Shape::of(symbols.dims)});
}

Expr Importer::expression(const Value& value) {
  if (value.sequence) fail("a sequence stands where an array is expected");
  if (!value.absent.empty()) throw LeftOut(ErrorCode::model, value.absent);
  return value.expr ? value.expr : materialize(*value.symbolic);
}

void Importer::map_other(NodeContext& context, const onnx::NodeProto& node) {
  const OpSchema* const custom = custom_operator(options_, node);
  if (custom == nullptr) fail("the operator is not supported");
  map_custom(context, *custom);
}

void Importer::add_node(const onnx::NodeProto& node) {
  try {
    NodeContext context(*this, node);
    if (add_random(context, node)) return;
    bool symbolic = false;
    for (std::size_t i = 0; i < context.input_count(); ++i)
      symbolic = symbolic || (context.has(i) && context.value(i).symbolic);
    if (symbolic && fold_symbols(context)) return;
    if (const auto handler = handlers().find(qualified_name(node)); handler != handlers().end())
      handler->second(context);
    else
      map_other(context, node);
    context.check_attributes();
  } catch (const LeftOut&) {
    throw;
  } catch (const NoBatch& error) {
    throw NoBatch(error.code(),
                  fmt::format("{} {}: {}", qualified_name(node), name_of_node(node), error.what()));
  } catch (const Error& error) {
    throw Error(error.code() == ErrorCode::non_finite ? error.code() : ErrorCode::model,
                fmt::format("{} {}: {}", qualified_name(node), name_of_node(node), error.what()));
  }
}

/// A body may read any value around it.
void Importer::count_uses(const onnx::GraphProto& graph) {
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) ++uses_[input];
    for (const auto& attribute : node.attribute())
      if (attribute.has_g()) count_uses(attribute.g());
  }
  for (const auto& output : graph.output()) ++uses_[output.name()];
}

void Importer::run() {
  count_uses(file_.graph());
  random_ = find_random(file_.graph(), opset_, [&](const std::string& name, const onnx::TensorProto& other) {
    const auto stored = weights_.find(name);
    return stored != weights_.end() && same_elements(stored->second, reader_.read(other, name));
  });
  add_inputs();
  std::unordered_set<std::string_view> given;
  given.reserve(static_cast<std::size_t>(file_.graph().node_size()));
  for (const auto& node : file_.graph().node())
    for (const auto& output : node.output())
      if (!output.empty() && !given.insert(output).second)
        fail(fmt::format("the name '{}' is given to two values", output));
  // What no output needs is not read; what only later outputs need may be left out, as these are then.
  const auto outputs = output_names(file_.graph());
  const auto needed = nodes_below(file_.graph(), outputs, random_);
  const auto first = outputs.size() < 2 ? needed : nodes_below(file_.graph(), {outputs[0]}, random_);
  for (const auto& node : file_.graph().node()) {
    if (!needed.contains(&node)) continue;
    try {
      add_node(node);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::model || first.contains(&node)) throw;
      for (const auto& output : node.output())
        if (!output.empty() && !is_defined(output))
          define(output, Value{.absent = error.what(), .told = true});
    }
  }
  add_module_names();
}

bool Importer::is_defined(const std::string& name) const {
  return std::any_of(scopes_.begin(), scopes_.end(),
                     [&](const Scope& scope) { return scope.contains(name); });
}

void Importer::add_module_names() {
  for (const auto& [module, output] : module_outputs(file_.graph())) {
    if (!is_defined(output) || !graph_->find(module).empty()) continue;
    if (const Value& v = value(output); v.expr) graph_->add_name(v.expr, module);
  }
}

Model::Parts Importer::take() {
  Model::Parts parts;
  for (const auto& output : file_.graph().output()) {
    const Value& v = value(output.name());
    if (!v.absent.empty()) {
      parts.notes.push_back(fmt::format("output '{}' is left out: {}", output.name(), v.absent));
      continue;
    }
    if (v.sequence) fail(fmt::format("output '{}' is a sequence; only arrays can be outputs", output.name()));
    Expr expr = expression(v);
    // Quantised values are held as real numbers; a file that gives them out has integers.
    if (const int declared = output.type().tensor_type().elem_type();
        declared != 0 && is_floating(expr.dtype()))
      if (const DType dtype = mapped_dtype(declared, options_.dtype, "the output"); !is_floating(dtype))
        expr = apply("cast", {expr}, CastAttributes{dtype});
    // A batch that left its axis, or one that was squeezed away, is no batch of independent samples any more.
    if (promoted_ && expr.shape().has_batch() && !expr.shape()[0].batch)
      fail(fmt::format("output '{}' would be {}: the batch is not its first axis", output.name(),
                       to_string(expr.type())));
    if (depends_on_place(expr))
      fail(fmt::format("output '{}' depends on the place of a sample in its batch", output.name()));
    parts.outputs.push_back({output.name(), expr});
  }
  if (parts.outputs.empty()) fail("the graph has no outputs");
  parts.inputs = std::move(inputs_);
  parts.graph = std::move(graph_);
  return parts;
}

}  // namespace rulegrad::io
