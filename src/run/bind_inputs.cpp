#include "run/bind_inputs.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"

#include "kernels/finite.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

std::string quoted(const std::vector<std::string>& names) {
  if (names.empty()) return "none";
  std::vector<std::string> parts;
  for (const std::string& name : names) parts.push_back("'" + name + "'");
  return join(parts);
}

std::string text_of(const Tensor& tensor) {
  return std::string(name_of(tensor.dtype())) + to_string(std::span(tensor.dims()));
}

/// Fixes the extents from one input after the other and remembers who said so.
class Matching {
 public:
  void add(const ProgramInput& input, const Tensor& tensor) {
    input_ = &input;
    tensor_ = &tensor;
    const Shape& shape = input.type.shape;
    if (tensor.dtype() != input.type.dtype)
      fail(ErrorCode::dtype, fmt::format("cast it to {}", name_of(input.type.dtype)));
    const std::size_t outer = shape.sampled() ? 1 : 0;
    if (tensor.rank() != shape.rank() + outer)
      fail(ErrorCode::shape, fmt::format("it needs {} axes and has {}", shape.rank() + outer, tensor.rank()));
    if (shape.sampled()) agree("samples", extents_.samples, samples_from_, tensor.dims()[0], 0);
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) {
      const std::int64_t extent = tensor.dims()[axis + outer];
      const Dim dim = shape[axis];
      if (!dim.batch) {
        if (extent != dim.factor)
          fail(ErrorCode::shape,
               fmt::format("dim {} must be {} and is {}", axis + outer, dim.factor, extent));
      } else if (extent % dim.factor != 0) {
        fail(ErrorCode::shape,
             fmt::format("dim {} must be a multiple of {} and is {}", axis + outer, dim.factor, extent));
      } else {
        agree("batch", extents_.batch, batch_from_, extent / dim.factor, axis + outer);
      }
    }
  }

  [[nodiscard]] const Extents& extents() const { return extents_; }

 private:
  struct Witness {
    std::string input, dims;
    std::size_t axis = 0;
  };

  [[noreturn]] void fail(ErrorCode code, const std::string& what) const {
    throw Error(code, fmt::format("[input '{}'] expects {} but got {}; {}", input_->name,
                                  to_string(input_->type), text_of(*tensor_), what));
  }

  void agree(const char* symbol, std::int64_t& extent, Witness& from, std::int64_t found, std::size_t axis) {
    if (found < 1) fail(ErrorCode::shape, fmt::format("dim {} holds no elements", axis));
    if (from.input.empty()) {
      extent = found;
      from = {input_->name, to_string(std::span(tensor_->dims())), axis};
    } else if (extent != found) {
      throw Error(
          ErrorCode::shape,
          fmt::format(
              "[input '{}'] gives the {} extent {} (dim {} of {}) but input '{}' gives {} (dim {} of {}); "
              "all inputs of a run need the same one",
              input_->name, symbol, found, axis, to_string(std::span(tensor_->dims())), from.input, extent,
              from.axis, from.dims));
    }
  }

  const ProgramInput* input_ = nullptr;
  const Tensor* tensor_ = nullptr;
  Extents extents_;
  Witness batch_from_, samples_from_;
};

void check_names(const Flow& flow, const Inputs& given) {
  std::vector<std::string> known;
  for (const ProgramInput& input : flow.inputs) known.push_back(input.name);
  for (const auto& entry : given)
    if (std::find(known.begin(), known.end(), entry.first) == known.end())
      throw Error(ErrorCode::unknown_name, "[program] " + unknown_name_message("input", entry.first, known) +
                                               (known.empty() ? "; it has none" : ""));
}

[[noreturn]] void fail_missing(const Flow& flow, const ProgramInput& missing, const Inputs& given) {
  std::vector<std::string> there, needed;
  for (const auto& entry : given) there.push_back(entry.first);
  for (const ProgramInput& input : flow.inputs)
    if (input.needed) needed.push_back(input.name);
  throw Error(ErrorCode::invalid_argument,
              fmt::format("[program] input '{}' {} is missing; needed: {}; given: {}", missing.name,
                          to_string(missing.type), quoted(needed), quoted(there)));
}

}  // namespace

BoundInputs bind_inputs(const Flow& flow, const Inputs& given, bool check_finite) {
  BoundInputs bound;
  Matching matching;
  std::size_t used = 0;
  for (const ProgramInput& input : flow.inputs) {
    const auto found = given.find(input.name);
    bound.tensors.push_back(found == given.end() ? nullptr : &found->second);
    if (found != given.end()) ++used;
  }
  if (used != given.size()) check_names(flow, given);
  for (std::size_t i = 0; i < flow.inputs.size(); ++i) {
    const ProgramInput& input = flow.inputs[i];
    if (bound.tensors[i] != nullptr)
      matching.add(input, *bound.tensors[i]);
    else if (input.needed)
      fail_missing(flow, input, given);
  }
  bound.extents = matching.extents();
  for (std::size_t i = 0; check_finite && i < flow.inputs.size(); ++i) {
    if (!flow.inputs[i].needed) continue;
    const Tensor& tensor = *bound.tensors[i];
    if (const auto at = first_non_finite(tensor.dtype(), tensor.data(), tensor.size()))
      fail_non_finite(fmt::format("input '{}'", flow.inputs[i].name), "holds",
                      "give finite values, or compile with check_finite off", tensor.dtype(), tensor.dims(),
                      tensor.data(), *at);
  }
  return bound;
}

}  // namespace rulegrad
