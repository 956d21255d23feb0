#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/kernels/plain_kernels.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/prove/verify.hpp"
#include "rulegrad/support/error.hpp"

#include "expr/rebuild.hpp"

namespace rulegrad {
namespace {

constexpr double shake = 0x1p-18;  // of an element of the input
constexpr int shakes = 4;
constexpr double times_shaken = 4, least = 1e-4, least_fast = 1e-3, least_bfloat16 = 5e-2;

void widen(AttrValue& value) {
  if (auto* dtype = std::get_if<DType>(&value); dtype != nullptr && *dtype == DType::float32)
    *dtype = DType::float64;
  if (auto* tensor = std::get_if<Tensor>(&value); tensor != nullptr && tensor->dtype() == DType::float32)
    *tensor = tensor->cast(DType::float64);
}

Attributes in_double(const Attributes& attributes) {
  std::vector<NamedValue> values = attributes.values();
  for (auto& [name, value] : values) widen(value);
  return Attributes::make(attributes.type(), values);
}

/// The expressions once more in a graph of float64.
std::vector<Expr> in_double(Graph& into, std::span<const Expr> outputs) {
  std::unordered_map<Expr, Expr> images;
  // All inputs of the graph take part in saying what the batch is.
  for (const Expr input : outputs[0].graph().inputs()) {
    const auto a = in_double(input.attributes());
    images.emplace(input, into.input(a.as<InputAttributes>().name,
                                     {a.as<InputAttributes>().dtype, a.as<InputAttributes>().shape}));
  }
  const Rebuild widened{
      no_boundary, [&](Expr node, std::span<const Expr> operands) {
        return into.make(node.op(), {operands.begin(), operands.end()}, in_double(node.attributes()));
      }};
  std::vector<Expr> result;
  for (const Expr output : outputs) result.push_back(widened(output, images));
  return result;
}

std::optional<std::size_t> batch_axis(const Shape& shape) {
  for (std::size_t axis = 0; axis < shape.rank(); ++axis)
    if (shape[axis].batch) return axis;
  return std::nullopt;
}

/// What belongs to one sample; all of it where there is no batch.
Tensor sample_of(const Tensor& whole, const Shape& shape, std::int64_t sample) {
  const auto axis = batch_axis(shape);
  if (!axis) return whole;
  const std::int64_t each = shape[*axis].factor;
  Dims dims = whole.dims();
  const std::int64_t extent = std::exchange(dims[*axis], each);
  const auto outer = static_cast<std::size_t>(element_count(std::span(dims).first(*axis)));
  const std::size_t inner =
      static_cast<std::size_t>(element_count(std::span(dims).subspan(*axis + 1))) * size_of(whole.dtype());
  Tensor part = Tensor::uninitialized(whole.dtype(), dims);
  for (std::size_t o = 0; o < outer; ++o)
    std::memcpy(part.mutable_data() + o * static_cast<std::size_t>(each) * inner,
                whole.data() +
                    (o * static_cast<std::size_t>(extent) + static_cast<std::size_t>(sample * each)) * inner,
                static_cast<std::size_t>(each) * inner);
  return part;
}

double distance(const Tensor& a, const Tensor& b) {
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) {
    const double off = std::abs(a.at(i) - b.at(i));
    most = std::isnan(off) ? INFINITY : std::max(most, off);
  }
  return most;
}

double largest(const Tensor& a) {
  double most = 0;
  for (std::int64_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a.at(i)));
  return most;
}

/// As a share of the largest value; of nothing, a difference is infinitely much.
double share(double off, double of) {
  return off == 0 ? 0 : of == 0 ? INFINITY : off / of;
}

}  // namespace

struct NumberVerifier::Data {
  Program program;
  std::vector<std::pair<std::string, Type>> inputs;
  std::vector<Type> types;
  bool mixes;
  double least;
};

NumberVerifier::NumberVerifier(std::span<const Expr> outputs, Precision precision, const Kernels* kernels) {
  if (outputs.empty())
    throw Error(ErrorCode::invalid_argument, "[verify] there are no outputs to hold against the plain path");
  Kernels plain = plain_kernels();
  if (kernels != nullptr)
    for (const std::string& name : kernels->names())
      if (plain.find(name) == nullptr) plain.set(name, *kernels->at(name));
  CompileOptions options{.check_finite = false,
                         .kernels = &plain,
                         .simplify = false,
                         .rounding = false,
                         .streamed_weights = 0,
                         .fuse = false};
  options.reuse_memory = options.fold_constants = options.blocked_layouts = false;
  Graph graph(DType::float64);
  const std::vector<Expr> doubled = in_double(graph, outputs);
  std::vector<std::pair<std::string, Type>> inputs;
  for (const Expr input : outputs[0].graph().inputs())
    inputs.emplace_back(input.attributes<InputAttributes>().name, input.type());
  std::vector<Type> types;
  for (const Expr output : outputs) types.push_back(output.type());
  data_ = std::make_shared<const Data>(Data{Program::compile(doubled, options), std::move(inputs),
                                            std::move(types), first_mixing(outputs).has_value(),
                                            precision == Precision::exact      ? rulegrad::least
                                            : precision == Precision::bfloat16 ? least_bfloat16
                                                                               : least_fast});
}

std::vector<NumberCheck> NumberVerifier::check(const Inputs& given, std::span<const Tensor> results,
                                               std::span<const std::int64_t> samples,
                                               std::int64_t batch_offset) const {
  const Data& d = *data_;
  if (results.size() != d.types.size())
    throw Error(ErrorCode::invalid_argument,
                "[verify] there must be one result for each output of the program");
  const bool cut = !d.mixes && std::ranges::any_of(d.inputs, [](const auto& input) {
    return batch_axis(input.second.shape).has_value();
  });
  std::vector<NumberCheck> checks(results.size());
  const auto hold = [&](std::optional<std::int64_t> sample) {
    Inputs inputs;
    for (const auto& [name, type] : d.inputs) {
      const auto found = given.find(name);
      if (found == given.end()) continue;
      const Tensor part = sample ? sample_of(found->second, type.shape, *sample) : found->second;
      inputs.emplace(name, is_floating(part.dtype()) ? part.cast(DType::float64) : part);
    }
    const RunOptions run{.batch_offset = batch_offset + sample.value_or(0)};
    const std::vector<Tensor> want = d.program.run(inputs, run);
    std::vector<double> moved(want.size());
    std::mt19937_64 random(20261130);
    for (int i = 0; i < shakes; ++i) {
      Inputs shaken = inputs;
      for (auto& [name, tensor] : shaken)
        if (is_floating(tensor.dtype()))
          for (double& v : tensor.mutable_values<double>())
            v *= 1 + shake * (static_cast<double>(random() >> 11) * 0x1p-52 - 1);
      const std::vector<Tensor> other = d.program.run(shaken, run);
      for (std::size_t k = 0; k < want.size(); ++k)
        moved[k] = std::max(moved[k], distance(other[k], want[k]));
    }
    for (std::size_t k = 0; k < want.size(); ++k) {
      const Tensor got = sample ? sample_of(results[k], d.types[k].shape, *sample) : results[k];
      if (got.size() != want[k].size())
        throw Error(ErrorCode::shape, "[verify] the results are not those of a run on these inputs");
      const double of = largest(want[k]);
      const NumberCheck check{share(distance(got, want[k]), of),
                              std::max(d.least, share(times_shaken * moved[k], of))};
      if (check.difference / check.explained >= checks[k].difference / std::max(checks[k].explained, d.least))
        checks[k] = check;
    }
  };
  if (!cut)
    hold(std::nullopt);
  else
    for (const std::int64_t sample : samples) hold(sample);
  return checks;
}

}  // namespace rulegrad
