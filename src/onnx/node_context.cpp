#include "onnx/node_context.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/support/error.hpp"

#include "support/number.hpp"
#include "support/text.hpp"
#include "tensor/checked.hpp"

namespace rulegrad::io {

using onnx::AttributeProto;

namespace {

/// Lists of extents are short; longer ones are damage that doubles from node to node.
constexpr std::size_t most_symbols = 65536;

}  // namespace

NodeContext::NodeContext(Importer& importer, const onnx::NodeProto& node)
    : importer_(importer), node_(node) {}

void NodeContext::fail(const std::string& what) const {
  throw Error(ErrorCode::model, what);
}

std::string NodeContext::plain_name() const {
  if (!node_.name().empty()) return importer_.label(node_.name());
  for (const std::string& output : node_.output())
    if (!output.empty()) return importer_.label(output);
  return importer_.label(node_.op_type());
}

bool NodeContext::has(std::size_t input) const {
  return input < input_count() && !input_name(input).empty();
}

const Value& NodeContext::value(std::size_t input) const {
  if (!has(input)) fail(fmt::format("input {} is missing: the node has {}", input, input_count()));
  return importer_.value(input_name(input));
}

Expr NodeContext::operand(std::size_t input) const {
  const Value& v = value(input);
  if (v.told) throw LeftOut(ErrorCode::model, v.absent);
  if (!v.absent.empty()) fail(fmt::format("input '{}' cannot be read: {}", input_name(input), v.absent));
  if (v.sequence) fail(fmt::format("'{}' is a sequence where an array is expected", input_name(input)));
  return importer_.expression(v);
}

std::optional<Expr> NodeContext::optional_operand(std::size_t input) const {
  return has(input) ? std::optional(operand(input)) : std::nullopt;
}

std::optional<Tensor> NodeContext::constant(std::size_t input) const {
  const Value& v = value(input);
  if (!v.expr) return std::nullopt;
  if (const Tensor* array = array_of(v.expr)) return *array;
  if (const auto* fill = fill_of(v.expr)) {
    const auto dims = fill->shape.static_dims();
    if (dims && element_count(*dims) <= 65536) return Tensor::full(fill->dtype, *dims, fill->value);
  }
  return std::nullopt;
}

Tensor NodeContext::required_constant(std::size_t input, const char* meaning) const {
  if (const auto tensor = constant(input)) return *tensor;
  fail(fmt::format("{} (input '{}') must be known when the model is read, but depends on the model's inputs",
                   meaning, input_name(input)));
}

namespace {

Ints within(const NodeContext& c, std::span<const std::int64_t> list, const std::string& what,
            Beyond beyond) {
  Ints result(list.begin(), list.end());
  if (beyond == Beyond::keep) return result;
  for (std::int64_t& number : result) {
    const std::int64_t near = std::clamp<std::int64_t>(number, -INT32_MAX, INT32_MAX);
    if (near != number && beyond == Beyond::refuse)
      c.fail(fmt::format("{} holds {}, which is out of range", what, number));
    number = near;
  }
  return result;
}

}  // namespace

Ints NodeContext::integers_of(std::size_t input, const char* meaning, Beyond beyond) const {
  const Tensor tensor = required_constant(input, meaning);
  if (is_floating(tensor.dtype()))
    fail(fmt::format("{} (input '{}') must hold integers but is {}", meaning, input_name(input),
                     name_of(tensor.dtype())));
  if (tensor.size() > 65536)
    fail(fmt::format("{} (input '{}') has {} elements", meaning, input_name(input), tensor.size()));
  const Tensor wide = tensor.cast(DType::int64);
  return within(*this, wide.values<std::int64_t>(),
                fmt::format("{} (input '{}')", meaning, input_name(input)), beyond);
}

std::int64_t NodeContext::integer_of(std::size_t input, const char* meaning) const {
  const Ints list = integers_of(input, meaning);
  if (list.size() != 1)
    fail(fmt::format("{} (input '{}') must be one number but has {} elements", meaning, input_name(input),
                     list.size()));
  return list[0];
}

Tensor NodeContext::array(DType dtype, Dims dims) const {
  if (std::any_of(dims.begin(), dims.end(), [](std::int64_t extent) { return extent < 0; }))
    fail(fmt::format("an array cannot be {}", to_string(dims)));
  importer_.spend(checked::product(element_count(dims), static_cast<std::int64_t>(size_of(dtype))),
                  "an array that the node stands for");
  return Tensor(dtype, std::move(dims));
}

void NodeContext::spend_list(std::int64_t count) const {
  importer_.spend(checked::product(count, static_cast<std::int64_t>(sizeof(std::int64_t))),
                  "a list that the node stands for");
}

std::vector<Dim> NodeContext::dims_of(std::size_t input, const char* meaning, Beyond beyond) const {
  if (const Value& v = value(input); v.symbolic) {
    Ints factors;
    for (const Dim dim : v.symbolic->elements) factors.push_back(dim.factor);
    factors = within(*this, factors, fmt::format("{} (input '{}')", meaning, input_name(input)), beyond);
    std::vector<Dim> dims;
    for (std::size_t i = 0; i < factors.size(); ++i)
      dims.emplace_back(factors[i], v.symbolic->elements[i].batch);
    return dims;
  }
  const Ints list = integers_of(input, meaning, beyond);
  return {list.begin(), list.end()};
}

std::optional<Symbolic> NodeContext::symbols(std::size_t input) const {
  if (!has(input)) return std::nullopt;
  if (const Value& v = value(input); v.symbolic) return v.symbolic;
  const auto tensor = constant(input);
  if (!tensor || is_floating(tensor->dtype()) || tensor->size() > 65536) return std::nullopt;
  const Tensor wide = tensor->cast(DType::int64);
  const auto values = wide.values<std::int64_t>();
  return Symbolic{tensor->dims(), {values.begin(), values.end()}, tensor->dtype()};
}

const AttributeProto* NodeContext::find(std::string_view name) {
  read_.emplace(name);
  for (const auto& attribute : node_.attribute())
    if (attribute.name() == name) return &attribute;
  return nullptr;
}

const AttributeProto* NodeContext::find(std::string_view name, AttributeProto::AttributeType type,
                                        const char* word) {
  const AttributeProto* const found = find(name);
  if (found == nullptr) return nullptr;
  if (!found->ref_attr_name().empty())
    fail(fmt::format("attribute '{}' refers to an attribute of a function, which is not supported", name));
  // Files of the first versions do not say the type.
  if (found->has_type() && found->type() != AttributeProto::UNDEFINED && found->type() != type)
    fail(fmt::format("attribute '{}' must be {}", name, word));
  return found;
}

bool NodeContext::has_attribute(std::string_view name) {
  return std::any_of(node_.attribute().begin(), node_.attribute().end(),
                     [&](const auto& a) { return a.name() == name; });
}

std::int64_t NodeContext::integer(std::string_view name, std::int64_t otherwise) {
  const auto* const found = find(name, AttributeProto::INT, "an integer");
  if (found == nullptr) return otherwise;
  // What counts, indexes or selects; larger numbers are damage and would overflow where extents are computed.
  if (found->i() > INT32_MAX || found->i() < -INT32_MAX)
    fail(fmt::format("attribute '{}' is {}, which is out of range", name, found->i()));
  return found->i();
}

std::int64_t NodeContext::any_integer(std::string_view name, std::int64_t otherwise) {
  const auto* const found = find(name, AttributeProto::INT, "an integer");
  return found == nullptr ? otherwise : found->i();
}

double NodeContext::real(std::string_view name, double otherwise) {
  const auto* const found = find(name, AttributeProto::FLOAT, "a number");
  if (found == nullptr) return otherwise;
  // The nearest short decimal is what was meant: 0.1f is 0.1 and not 0.10000000149.
  return number_from(fmt::format("{}", found->f()));
}

double NodeContext::real_or_integer(std::string_view name, double otherwise) {
  const auto* const found = find(name);
  if (found == nullptr) return otherwise;
  return found->type() == AttributeProto::FLOAT ? real(name, otherwise)
                                                : static_cast<double>(integer(name, 0));
}

std::string NodeContext::text(std::string_view name, const std::string& otherwise) {
  const auto* const found = find(name, AttributeProto::STRING, "a string");
  return found == nullptr ? otherwise : found->s();
}

Ints NodeContext::integers(std::string_view name, const Ints& otherwise, Beyond beyond) {
  const auto* const found = find(name, AttributeProto::INTS, "a list of integers");
  if (found == nullptr) return otherwise;
  const Ints list(found->ints().begin(), found->ints().end());
  return within(*this, list, fmt::format("attribute '{}'", name), beyond);
}

std::vector<double> NodeContext::reals(std::string_view name) {
  const auto* const found = find(name, AttributeProto::FLOATS, "a list of numbers");
  return found == nullptr ? std::vector<double>{}
                          : std::vector<double>(found->floats().begin(), found->floats().end());
}

std::vector<double> NodeContext::exact_reals(const std::string& name) {
  if (const auto* const stored = tensor(name + "_as_tensor")) {
    const Tensor values = importer_.read(*stored, name).cast(DType::float64);
    return {values.values<double>().begin(), values.values<double>().end()};
  }
  return reals(name);
}

std::vector<std::string> NodeContext::strings(std::string_view name) {
  const auto* const found = find(name, AttributeProto::STRINGS, "a list of strings");
  return found == nullptr ? std::vector<std::string>{}
                          : std::vector<std::string>(found->strings().begin(), found->strings().end());
}

const onnx::GraphProto& NodeContext::body(std::string_view name) {
  const auto* const found = find(name, AttributeProto::GRAPH, "a graph");
  if (found == nullptr || !found->has_g()) fail(fmt::format("attribute '{}' is missing", name));
  return found->g();
}

const onnx::TensorProto* NodeContext::tensor(std::string_view name) {
  const auto* const found = find(name, AttributeProto::TENSOR, "a tensor");
  return found == nullptr || !found->has_t() ? nullptr : &found->t();
}

void NodeContext::ignore(std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) read_.emplace(name);
}

std::optional<Ints> NodeContext::attribute_or_input(std::string_view name, std::size_t input, Beyond beyond) {
  if (has_attribute(name)) return integers(name, {}, beyond);
  if (has(input)) return integers_of(input, std::string(name).c_str(), beyond);
  return std::nullopt;
}

void NodeContext::keep_apart(bool mixes, const char* what) const {
  if (mixes && importer_.promoted())
    fail(fmt::format("{}, so the model cannot be freed of the batch size {} that it was exported with", what,
                     importer_.samples_in_file()));
}

bool NodeContext::wanted(std::size_t output) const {
  if (output >= output_count()) return false;
  const std::string& name = node_.output(static_cast<int>(output));
  return !name.empty() && importer_.uses(name) > 0;
}

void NodeContext::result(Expr expr, std::size_t output) const {
  if (output >= output_count()) {
    if (output == 0) fail("the node has no output");
    return;
  }
  const std::string& name = node_.output(static_cast<int>(output));
  if (name.empty()) return;
  if (output == 0 && then_) expr = then_(expr);
  importer_.define(name, {expr});
  graph().add_name(expr, importer_.label(name));
  if (output == 0 && !node_.name().empty()) graph().add_name(expr, importer_.label(node_.name()));
}

void NodeContext::result(const Value& value, std::size_t output) const {
  if (value.expr) return result(value.expr, output);
  if (output >= output_count()) fail("the node has no output");
  const std::string& name = node_.output(static_cast<int>(output));
  if (!name.empty()) importer_.define(name, value);
}

void NodeContext::result(Symbolic symbols) const {
  if (output_count() == 0) fail("the node has no output");
  if (symbols.elements.size() > most_symbols)
    fail(fmt::format("its result holds {} numbers, and shapes are worked out with {} at most",
                     symbols.elements.size(), most_symbols));
  if (symbols.has_batch()) return importer_.define(node_.output(0), {Expr(), std::move(symbols), {}});
  Tensor tensor = Tensor::uninitialized(DType::int64, symbols.dims);
  const auto to = tensor.mutable_values<std::int64_t>();
  for (std::size_t i = 0; i < to.size(); ++i) to[i] = symbols.elements[i].factor;
  result(graph().constant(tensor.cast(symbols.dtype)));
}

void NodeContext::absent(std::size_t output, const std::string& why) const {
  if (output < output_count() && !node_.output(static_cast<int>(output)).empty())
    importer_.define(node_.output(static_cast<int>(output)), {Expr(), std::nullopt, why});
}

void NodeContext::check_attributes() const {
  std::vector<std::string> unread;
  for (const auto& attribute : node_.attribute())
    if (!read_.contains(attribute.name())) unread.push_back(attribute.name());
  if (!unread.empty()) fail(fmt::format("attribute {} is not supported", join(unread)));
}

const Handlers& handlers() {
  static const Handlers all = [] {
    Handlers h;
    add_rows(h);
    add_elementwise(h);
    add_activations(h);
    add_affine(h);
    add_windows(h);
    add_norms(h);
    add_reductions(h);
    add_movement(h);
    add_slicing(h);
    add_resizing(h);
    add_constants(h);
    add_guards(h);
    add_indexing(h);
    add_attention(h);
    add_einsum(h);
    add_sampling(h);
    add_rare(h);
    add_quantized(h);
    add_microsoft(h);
    add_ml(h);
    add_svm(h);
    add_recurrent(h);
    add_control(h);
    add_sequences(h);
    add_spectra(h);
    return h;
  }();
  return all;
}

std::size_t checked_axis(const NodeContext& context, std::int64_t axis, std::size_t rank) {
  const auto extent = static_cast<std::int64_t>(rank);
  if (axis < -extent || axis >= extent)
    context.fail(fmt::format("axis {} does not exist in an array of {} axes", axis, rank));
  return static_cast<std::size_t>(axis < 0 ? axis + extent : axis);
}

Ints axes_from_front(const NodeContext& context, const Ints& axes, std::size_t rank) {
  Ints result;
  for (const std::int64_t axis : axes)
    result.push_back(static_cast<std::int64_t>(checked_axis(context, axis, rank)));
  std::sort(result.begin(), result.end());
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    context.fail(fmt::format("an axis is named twice in {}", to_string(axes)));
  return result;
}

Expr reshaped(const NodeContext& context, Expr x, std::vector<Dim> dims) {
  return context.apply("reshape", {x}, ShapeAttributes{Shape(std::move(dims))});
}

}  // namespace rulegrad::io
