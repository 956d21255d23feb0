#include "api/sample_batch.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/support/error.hpp"

namespace rulegrad {
namespace {

DeclaredInputs declared_by(const Model& model) {
  DeclaredInputs result;
  for (const ModelInput& input : model.inputs()) result.emplace_back(input.name, input.expr.type());
  return result;
}

}  // namespace

SampleBatch batch_of(const DeclaredInputs& declared, const Inputs& given) {
  SampleBatch batch;
  std::string first;  // the input that said how many there are
  const auto each = [&](bool symbolic, auto&& look) {
    for (const auto& [name, type] : declared) {
      const auto found = given.find(name);
      if (type.shape.rank() == 0 || type.shape[0].batch != symbolic || found == given.end() ||
          found->second.rank() == 0)
        continue;
      look(name, type.shape[0].factor, found->second.dims()[0]);
    }
  };
  each(true, [&](const std::string& name, std::int64_t factor, std::int64_t extent) {
    const std::int64_t samples = extent / std::max<std::int64_t>(factor, 1);
    if (first.empty()) {
      first = name;
      batch.samples = samples;
    } else if (samples != batch.samples) {
      throw Error(ErrorCode::shape, fmt::format("[explainer] input '{}' holds {} samples but '{}' holds {}; "
                                                "inputs go together sample by sample",
                                                first, batch.samples, name, samples));
    }
  });
  if (!first.empty()) return batch;
  batch.fixed = true;
  each(false, [&](const std::string& name, std::int64_t factor, std::int64_t extent) {
    if (!first.empty() || factor < 1) return;
    first = name;
    batch.samples = extent;
    batch.at_once = factor;
  });
  return batch;
}

Inputs with_batch_axes(const DeclaredInputs& declared, Inputs given) {
  const bool symbolic = std::any_of(declared.begin(), declared.end(), [](const auto& input) {
    return input.second.shape.rank() > 0 && input.second.shape[0].batch;
  });
  for (const auto& [name, type] : declared) {
    const auto found = given.find(name);
    const Shape& shape = type.shape;
    if (found == given.end() || shape.rank() == 0 || shape[0].factor != 1 || shape[0].batch != symbolic)
      continue;
    Dims one = shape.at({1, 1});
    if (std::ranges::equal(found->second.dims(), std::span(one).subspan(1)))
      found->second = found->second.reshaped(std::move(one));
  }
  return given;
}

Inputs samples_of(const DeclaredInputs& declared, const SampleBatch& batch, Inputs given, std::int64_t first,
                  std::int64_t count) {
  for (const auto& [name, type] : declared) {
    const auto found = given.find(name);
    if (type.shape.rank() == 0 || found == given.end() || found->second.rank() == 0) continue;
    const Dim extent = type.shape[0];
    Tensor& values = found->second;
    if (extent.batch)
      values = values.rows(first * extent.factor, count * extent.factor);
    else if (batch.fixed &&
             values.dims()[0] != extent.factor)  // what is as large for every run is the same for all samples
      values = values.rows(first * (extent.factor / batch.at_once), count * (extent.factor / batch.at_once));
  }
  return given;
}

Inputs samples_of(const Model& model, const Inputs& inputs, std::int64_t first, std::int64_t count) {
  const DeclaredInputs declared = declared_by(model);
  return samples_of(declared, batch_of(declared, inputs), inputs, first, count);
}

std::int64_t fixed_batch(const Model& model) {
  std::int64_t fixed = 0;
  for (const ModelInput& input : model.inputs()) {
    const Shape& shape = input.expr.shape();
    if (shape.rank() == 0) continue;
    if (shape[0].batch) return 0;
    if (fixed == 0) fixed = std::max<std::int64_t>(shape[0].factor, 1);
  }
  return fixed;
}

}  // namespace rulegrad
