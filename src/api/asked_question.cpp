#include <algorithm>
#include <fmt/format.h>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "api/explained.hpp"

namespace rulegrad {
namespace {

/// A graph input that carries what a run chooses beside the samples.
Expr run_input(Graph& graph, const std::string& name, const Type& type) {
  std::string fresh = name;
  for (;; fresh += "'") {  // outputs of one model may differ in their number of scores
    const auto inputs = graph.inputs();
    const auto found = std::find_if(inputs.begin(), inputs.end(), [&](Expr input) {
      return input.attributes<InputAttributes>().name == fresh;
    });
    if (found != inputs.end() && found->type() == type) return *found;
    if (found == inputs.end() && graph.find(fresh).empty()) return graph.input(fresh, type);
  }
}

}  // namespace

AskedQuestion question_about(const Model& model, std::span<const ExplainedValue> values,
                             const ExplainerOptions& options) {
  AskedQuestion asked;
  Question& question = asked.question;
  question.output = model.head(options.head, options.output);
  for (const ExplainedValue& value : values)
    question.explained.insert(question.explained.end(), value.nodes.begin(), value.nodes.end());
  question.seed = options.seed;
  if (options.keep_explained) question.keep = question.explained;
  for (const std::string& name : options.keep) question.keep.push_back(find_node(question.output, name));
  question.aux = options.aux;
  question.read_array = [](const std::string& path) { return io::read_npy(path); };
  const Shape& shape = question.output.shape();
  const Dim batch = shape.rank() == 0 ? Dim(1) : shape[0];
  if (shape.count().factor == 0)
    throw Error(ErrorCode::invalid_argument,
                fmt::format("[explainer] the output is {}: there is no score to explain",
                            to_string(question.output.type())));
  const Dim scores(shape.count().factor / batch.factor);
  if (options.targets == Targets::given) {
    question.target = run_input(model.graph(), "rulegrad.target", {DType::int64, Shape{batch}});
    asked.target_input = question.target.attributes<InputAttributes>().name;
  }
  if (options.seed == Question::Seed::tensor) {
    question.seed_tensor =
        run_input(model.graph(), "rulegrad.seed", {question.output.dtype(), Shape{batch, scores}});
    asked.seed_input = question.seed_tensor.attributes<InputAttributes>().name;
  }
  return asked;
}

AskedQuestion question_for(const Model& model, const ExplainerOptions& options) {
  return question_about(model, explained_values(model, options.nodes, options.output), options);
}

}  // namespace rulegrad
