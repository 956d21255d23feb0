#include "rulegrad/evaluation/scores.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <memory>
#include <string>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "tensor/largest.hpp"

namespace rulegrad {
namespace {

Expr score_expression(const Model& model, ScoreKind kind, std::size_t index) {
  const Expr output = model.head(HeadKind::probability, index);
  if (kind == ScoreKind::logit) return model.head(HeadKind::logit, index);
  const OutputKind given = model.kind(index);
  if (given == OutputKind::score && output.shape().count().factor == 1)
    throw Error(
        ErrorCode::invalid_argument,
        fmt::format(
            "[evaluation] the output {} is one score and no probability; measure the score itself (logit)",
            to_string(output.type())));
  if (given == OutputKind::log_probability) return exp(output);
  return given == OutputKind::score ? softmax(flatten(output), 1) : output;
}

/// Rows [first, first + count), the last one repeated where there are fewer.
Tensor padded_rows(const Tensor& batch, std::int64_t first, std::int64_t count) {
  const std::int64_t last = batch.dims()[0] - 1;
  const std::size_t row = batch.bytes() / static_cast<std::size_t>(last + 1);
  Dims dims = batch.dims();
  dims[0] = count;
  Tensor result = Tensor::uninitialized(batch.dtype(), std::move(dims));
  std::byte* to = result.mutable_data();
  for (std::int64_t i = 0; i < count; ++i)
    std::memcpy(to + static_cast<std::size_t>(i) * row,
                batch.data() + static_cast<std::size_t>(std::min(first + i, last)) * row, row);
  return result;
}

}  // namespace

ScoreKind score_kind_from_name(std::string_view name) {
  const std::vector<std::string> known{"probability", "logit"};
  if (name == known[0]) return ScoreKind::probability;
  if (name == known[1]) return ScoreKind::logit;
  throw Error(ErrorCode::unknown_name, unknown_name_message("score", name, known));
}

bool has_probability(const Model& model, std::size_t index) {
  return model.kind(index) != OutputKind::score;
}

namespace {

const ModelInput& input_of(const Model& model, const std::string& name) {
  if (name.empty() && model.inputs().size() == 1) return model.inputs()[0];
  std::vector<std::string> known;
  for (const ModelInput& input : model.inputs()) {
    if (input.name == name) return input;
    known.push_back(input.name);
  }
  if (name.empty())
    throw Error(
        ErrorCode::model,
        fmt::format(
            "[evaluation] the model has {} inputs ({}); say which one is measured, and what the others are",
            known.size(), join(known)));
  throw Error(ErrorCode::unknown_name, "[evaluation] " + unknown_name_message("input", name, known));
}

}  // namespace

ScoreFunction scores_of(const Model& model, ScoreKind kind, const ScoreOptions& options) {
  const ModelInput& input = input_of(model, options.input);
  if (options.batch_size < 1)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[evaluation] a batch of {} samples was asked for; it needs at least one",
                            options.batch_size));
  const Expr scores = flatten(score_expression(model, kind, options.output));
  if (const auto mixing = first_mixing(std::span(&scores, 1)))
    throw Error(
        ErrorCode::model,
        fmt::format(
            "[evaluation] the score of a sample depends on the others beside it, because {} mixes them",
            describe(*mixing)));
  const auto program = std::make_shared<const Program>(Program::compile(
      std::span(&scores, 1), {.check_finite = options.check_finite, .kernels = options.kernels}));
  const Dim batch = input.expr.shape()[0];
  std::vector<std::string> beside;  // other inputs that hold the batch
  for (const ModelInput& other : model.inputs())
    if (other.name != input.name && other.expr.shape().rank() > 0 && options.others.contains(other.name) &&
        (other.expr.shape()[0].batch || !batch.batch))
      beside.push_back(other.name);
  const std::int64_t at_once = std::max<std::int64_t>(batch.batch ? options.batch_size : batch.factor, 1);
  return [program, name = input.name, beside = std::move(beside), at_once, fixed = !batch.batch,
          options](const Tensor& samples) {
    const std::int64_t count = samples.rank() == 0 ? 0 : samples.dims()[0];
    if (count == 0) throw Error(ErrorCode::shape, "[evaluation] there are no samples to score");
    for (const std::string& other : beside)
      if (const Dims& dims = options.others.at(other).dims(); dims.empty() || dims[0] != count)
        throw Error(ErrorCode::shape,
                    fmt::format("[evaluation] {} samples of '{}' are to be scored beside '{}', which is {}",
                                count, name, other, to_string(dims)));
    Tensor result;
    for (std::int64_t first = 0; first < count; first += at_once) {
      const std::int64_t wanted = std::min(at_once, count - first);
      Inputs inputs = options.others;
      for (const std::string& other : beside)
        inputs[other] = padded_rows(options.others.at(other), first, fixed ? at_once : wanted);
      inputs[name] = padded_rows(samples, first, fixed ? at_once : wanted);
      const Tensor part =
          program->run(inputs, {.threads = options.threads, .stop = options.stop, .batch_offset = first})[0];
      const std::int64_t width = part.dims()[1];
      if (first == 0) result = Tensor::uninitialized(part.dtype(), {count, width});
      const std::size_t row = static_cast<std::size_t>(width) * size_of(part.dtype());
      std::memcpy(result.mutable_data() + static_cast<std::size_t>(first) * row, part.data(),
                  static_cast<std::size_t>(wanted) * row);
    }
    return result;
  };
}

std::vector<double> target_scores(const Tensor& scores, std::span<const std::int64_t> targets) {
  if (scores.rank() != 2 || scores.dims()[0] != static_cast<std::int64_t>(targets.size()))
    throw Error(ErrorCode::shape,
                fmt::format("[evaluation] there are {} targets for scores {}; give one for each sample",
                            targets.size(), to_string(scores.dims())));
  const std::int64_t width = scores.dims()[1];
  std::vector<double> result;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (targets[i] < 0 || targets[i] >= width)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[evaluation] target {} of sample {} is out of range: there are {} scores, 0 to {}",
                      targets[i], i, width, width - 1));
    result.push_back(scores.at(static_cast<std::int64_t>(i) * width + targets[i]));
  }
  return result;
}

std::vector<std::int64_t> largest_scores(const Tensor& scores) {
  return largest_in_rows(scores);
}

}  // namespace rulegrad
