#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/support/error.hpp"

#include "compile/constants.hpp"
#include "onnx/importer.hpp"

/// What the importer knows of constants: their types in the file, whether they are the same for all samples,
/// whether they are finite.
namespace rulegrad::io {

std::optional<Expr> Importer::same_for_all(Expr constant, std::size_t axis) {
  std::vector<Dim> dims = constant.shape().dims();
  if (axis >= dims.size() || !dims[axis].is(samples_in_file_)) return std::nullopt;
  dims[axis] = Dim{1};
  if (const auto* fill = fill_of(constant))
    return apply("fill", {}, FillAttributes{fill->value, fill->dtype, Shape(std::move(dims))});
  if (!is_constant(constant)) return std::nullopt;
  const Tensor& value = *array_of(constant);
  std::int64_t inner = 1;
  for (std::size_t a = axis + 1; a < dims.size(); ++a) inner *= dims[a].factor;
  const std::size_t bytes = static_cast<std::size_t>(inner) * size_of(value.dtype());
  const std::int64_t outer = value.size() / std::max<std::int64_t>(1, inner * samples_in_file_);
  for (std::int64_t o = 0; o < outer; ++o) {
    const std::byte* const first = value.data() + static_cast<std::size_t>(o * samples_in_file_) * bytes;
    for (std::int64_t n = 1; n < samples_in_file_; ++n)
      if (!std::equal(first, first + bytes, first + static_cast<std::size_t>(n) * bytes)) return std::nullopt;
  }
  return apply("slice", {constant}, SliceAttributes{{static_cast<std::int64_t>(axis)}, {0}, {1}, {1}});
}

/// Beside a batch, constants that hold the same for each sample of the file hold it once.
void Importer::unrepeat(std::vector<Expr>& operands) {
  std::size_t rank = 0;
  for (const Expr operand : operands) rank = std::max(rank, operand.shape().rank());
  for (const Expr batched : operands)
    for (std::size_t axis = 0; axis < batched.shape().rank(); ++axis) {
      if (batched.shape()[axis] != B) continue;
      const std::size_t from_back = batched.shape().rank() - axis;
      for (Expr& operand : operands)
        if (operand.shape().rank() >= from_back && is_static(operand))
          if (const auto once = same_for_all(operand, operand.shape().rank() - from_back)) operand = *once;
    }
}

int Importer::declared_element(const std::string& name, DType otherwise) {
  // Asked by every quantised node.
  if (declared_.empty()) {
    for (const auto& tensor : file_.graph().initializer())
      declared_.emplace(tensor.name(), tensor.data_type());
    for (const auto* values : {&file_.graph().value_info(), &file_.graph().input(), &file_.graph().output()})
      for (const auto& value : *values)
        if (const int type = value.type().tensor_type().elem_type(); type != 0)
          declared_.emplace(value.name(), type);
    for (const auto& node : file_.graph().node())
      for (const auto& output : node.output())
        for (const auto& attribute : node.attribute())
          if (attribute.has_t())
            declared_.emplace(output, attribute.t().data_type());
          else if (node.op_type() == "Cast" && attribute.name() == "to")
            declared_.emplace(output, static_cast<int>(attribute.i()));
    declared_.emplace("", 0);  // not empty any more
  }
  if (const auto found = declared_.find(name); found != declared_.end() && !name.empty())
    return found->second;
  switch (otherwise) {
    case DType::int8:
      return onnx::TensorProto::INT8;
    case DType::int32:
      return onnx::TensorProto::INT32;
    case DType::int64:
      return onnx::TensorProto::INT64;
    case DType::boolean:
      return onnx::TensorProto::BOOL;
    case DType::float32:
    case DType::float64:
      return onnx::TensorProto::FLOAT;
    case DType::uint8:
      break;
  }
  return onnx::TensorProto::UINT8;
}

void Importer::require_finite(const Model::Parts& parts) {
  std::vector<Expr> outputs;
  for (const ModelOutput& output : parts.outputs) outputs.push_back(output.expr);
  for (const Expr output : outputs) {
    if (specials_.of(output).stored == 0) continue;
    const auto source = specials_.source(output);
    const auto known = source ? not_finite_.find(&source->node()) : not_finite_.end();
    throw Error(ErrorCode::non_finite, known != not_finite_.end()
                                           ? known->second
                                           : fmt::format("output '{}' would hold values that are no numbers",
                                                         to_string(output.type())));
  }
  const auto& store = store_of(*parts.graph);
  for (const Expr expr : topological_order(outputs))
    if (is_constant(expr) && is_floating(expr.dtype())) {
      (void)specials_.of(expr);
      store->stored(expr.attributes<ConstantAttributes>().value)->note_finite();
    }
}

}  // namespace rulegrad::io
