#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "api/explainer_data.hpp"
#include "api/running.hpp"

namespace rulegrad {
namespace {

Inputs only_input(const std::vector<std::pair<std::string, Type>>& inputs, const Tensor& value) {
  if (inputs.size() == 1) return {{inputs[0].first, value}};
  std::vector<std::string> names;
  for (const auto& [name, type] : inputs) names.push_back("'" + name + "'");
  throw Error(
      ErrorCode::invalid_argument,
      fmt::format("[explainer] the model has {} inputs ({}) and one value was given; give each by its name",
                  inputs.size(), join(names)));
}

/// A result with memory of its own.
struct Held {
  Tensor tensor;
  OutputBuffer buffer;
  Held(const Running& run, std::size_t result)
      : tensor(Tensor::uninitialized(run.results()[result].type.dtype, run.dims_of(result))),
        buffer(tensor.dtype(), tensor.mutable_data(), tensor.size()) {}
};

std::vector<double> numbers(const Tensor& tensor) {
  std::vector<double> result;
  for (std::int64_t i = 0; i < tensor.size(); ++i) result.push_back(tensor.at(i));
  return result;
}

double sum_of(const Tensor& tensor) {
  double sum = 0;
  for (const double value : numbers(tensor)) sum += value;
  return sum;
}

/// Do the caller's buffers fit the results?
void check_buffers(const Running& run, const Explainer::Data& d, std::span<const OutputBuffer> buffers) {
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const DType dtype = d.results[i].type.dtype;
    const Dims dims = run.dims_of(i);
    if (buffers[i].dtype != dtype || buffers[i].count != element_count(dims))
      throw Error(
          buffers[i].dtype != dtype ? ErrorCode::dtype : ErrorCode::shape,
          fmt::format("[explainer] {} for {} samples is {}{}, {} elements, but the buffer holds {} of {}",
                      run.name_of_result(i), run.samples(), name_of(dtype), to_string(dims),
                      element_count(dims), buffers[i].count, name_of(buffers[i].dtype)));
    if (buffers[i].data == nullptr && buffers[i].count != 0)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("[explainer] the buffer for {} has no memory behind it", run.name_of_result(i)));
  }
}

/// What was explained of each sample, with stacked targets of each of them in turn.
std::vector<double> explained_scores(const Running& run, const Explainer::Data& d, const Tensor& scores,
                                     std::span<const std::int64_t> targets, const Tensor& seed) {
  std::vector<double> result;
  const std::int64_t width = scores.dims().back();
  for (std::int64_t sample = 0; sample < run.samples(); ++sample) {
    if (d.seed == Question::Seed::tensor) {
      double product = 0;
      for (std::int64_t k = 0; k < width; ++k)
        product += scores.at(sample * width + k) * seed.at(sample * width + k);
      result.insert(result.end(), static_cast<std::size_t>(run.passes()), product);
    } else {
      for (std::int64_t pass = 0; pass < run.passes(); ++pass)
        result.push_back(
            scores.at(sample * width + targets[static_cast<std::size_t>(sample * run.passes() + pass)]));
    }
  }
  return result;
}

/// What attributions should add up to, and what they do.
Explanation::Total total_of(const Running& run, const Explainer::Data::Sum& sum, const Tensor& expected,
                            const Explanation& found) {
  Explanation::Total total{sum.method, sum.nodes, numbers(expected), {}};
  for (std::int64_t sample = 0; sample < run.samples(); ++sample)
    for (std::int64_t pass = 0; pass < run.passes(); ++pass) {
      double reached = 0;
      for (const std::size_t node : total.nodes)
        reached += sum_of(found.of_sample(total.method, node, sample, pass));
      total.reached.push_back(reached);
    }
  return total;
}

}  // namespace

void Explainer::run_into(const Inputs& given, std::span<const OutputBuffer> attributions,
                         const OutputBuffer& scores, const ExplainChoices& choices) const {
  const Data& d = data();
  Running run(d, given, choices);
  if (attributions.size() != d.attributions())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[explainer] {} buffers were given for {} methods of {} nodes each",
                            attributions.size(), d.methods.size(), d.nodes.size()));
  std::vector<OutputBuffer> buffers{scores};
  std::vector<Held> held;
  held.reserve(d.results.size());
  if (scores.data == nullptr) buffers[0] = held.emplace_back(run, 0).buffer;
  buffers.insert(buffers.end(), attributions.begin(), attributions.end());
  while (buffers.size() < d.results.size()) buffers.push_back(held.emplace_back(run, buffers.size()).buffer);
  check_buffers(run, d, buffers);
  run.into(buffers);
}

Explanation Explainer::run(const Inputs& inputs, const ExplainChoices& choices) const {
  const Data& d = data();
  Running run(d, inputs, choices);
  std::vector<Held> held;
  std::vector<OutputBuffer> buffers;
  for (std::size_t i = 0; i < d.results.size(); ++i) buffers.push_back(held.emplace_back(run, i).buffer);
  run.into(buffers);

  std::vector<Tensor> attributions;
  for (std::size_t i = 1; i <= d.attributions(); ++i) attributions.push_back(std::move(held[i].tensor));
  Explanation result(d.methods, d.nodes, std::move(held[0].tensor), std::move(attributions));
  result.stacked_ = choices.stacked;
  for (std::size_t i = 1; i <= d.attributions(); ++i) {
    const ExplainedResult& r = run.results()[i];
    result.layouts_.push_back({r.axis, r.outer, r.inner, r.loops});
  }
  if (d.seed != Question::Seed::tensor)
    result.targets_ = d.targets == Targets::given ? run.targets() : result.predictions();
  result.explained_scores_ = explained_scores(run, d, result.scores_, result.targets_, choices.seed);
  for (std::size_t t = 0; t < d.sums.size(); ++t)
    result.totals_.push_back(total_of(run, d.sums[t], held[1 + d.attributions() + t].tensor, result));
  return result;
}

Explanation Explainer::run(const Tensor& input, const ExplainChoices& choices) const {
  return run(only_input(data().inputs, input), choices);
}

void Explainer::run_into(const Tensor& input, std::span<const OutputBuffer> attributions,
                         const OutputBuffer& scores, const ExplainChoices& choices) const {
  run_into(only_input(data().inputs, input), attributions, scores, choices);
}

}  // namespace rulegrad
