#include <type_traits>

#include "rulegrad/ops/operators.hpp"

#include "onnx/node_context.hpp"
#include "onnx/writer.hpp"

// Operators that a program added: nodes of their own names, in the file's way of writing operands and
// attributes.
namespace rulegrad::io {
namespace {

/// The attribute of that name as the kind that its default has.
AttrValue read_as(NodeContext& c, const std::string& name, const AttrValue& otherwise) {
  if (!c.has_attribute(name)) return otherwise;
  return std::visit(
      [&]<class T>(const T& value) -> AttrValue {
        if constexpr (std::is_same_v<T, bool>)
          return c.integer(name, value ? 1 : 0) != 0;
        else if constexpr (std::is_same_v<T, std::int64_t>)
          return c.integer(name, value);
        else if constexpr (std::is_same_v<T, double>)
          return c.real(name, value);
        else if constexpr (std::is_same_v<T, std::string>)
          return c.text(name, value);
        else if constexpr (std::is_same_v<T, std::vector<std::int64_t>>)
          return c.integers(name, value);
        else if constexpr (std::is_same_v<T, std::vector<double>>)
          return c.reals(name);
        else
          c.fail(fmt::format("attribute '{}' is of a kind that ONNX does not have", name));
      },
      otherwise);
}

}  // namespace

const OpSchema* custom_operator(const LoadOptions& options, const onnx::NodeProto& node) {
  if (options.operators == nullptr || Operators::builtin().find(node.op_type()) != nullptr) return nullptr;
  return options.operators->find(node.op_type());
}

void map_custom(NodeContext& context, const OpSchema& op) {
  std::vector<Expr> operands;
  for (std::size_t i = 0; i < context.input_count(); ++i)
    operands.push_back(context.has(i) ? context.operand(i) : context.graph().scalar(0));
  const Attributes defaults = Attributes::make(*op.attributes, {});
  std::vector<NamedValue> values = defaults.values();
  for (auto& [name, value] : values) value = read_as(context, name, value);
  context.result(context.graph().apply(op, std::move(operands), Attributes::make(*op.attributes, values)));
}

bool is_custom(const OpSchema& op) {
  return Operators::builtin().find(op.name) != &op;
}

void write_custom(Writer& writer, Expr expr) {
  NodeWriter node = writer.node(expr.op().name.c_str(), expr);
  node.domain(custom_domain);
  for (const auto& [name, value] : expr.attributes().values())
    std::visit(
        [&, &name = name]<class T>(const T& v) {
          if constexpr (std::is_same_v<T, bool>)
            node.set(name.c_str(), std::int64_t{v ? 1 : 0});
          else if constexpr (std::is_same_v<T, std::int64_t> || std::is_same_v<T, double> ||
                             std::is_same_v<T, std::string> || std::is_same_v<T, std::vector<std::int64_t>>)
            node.set(name.c_str(), v);
          else
            Writer::refuse(expr,
                           fmt::format("its attribute '{}' is of a kind that ONNX does not have", name));
        },
        value);
}

}  // namespace rulegrad::io
