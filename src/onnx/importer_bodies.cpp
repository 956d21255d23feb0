#include <fmt/format.h>
#include <utility>

#include "rulegrad/support/error.hpp"

#include "onnx/importer.hpp"
#include "onnx/needed.hpp"
#include "onnx/node_context.hpp"

/// What the importer does with nodes that stand for more than themselves: bodies of control flow, and the last ones of
/// random numbers.
namespace rulegrad::io {
namespace {

/// What a node of a body counts for each time that it is written out again.
constexpr std::int64_t bytes_a_node = 512;

}  // namespace

const std::map<std::string, Expr>& Importer::weights_of(const onnx::GraphProto& body) {
  const auto [place, fresh] = body_weights_.try_emplace(&body);
  if (!fresh)
    spend(bytes_a_node * (1 + body.node_size()), "what is written out again");
  else
    for (const auto& tensor : body.initializer())
      place->second.emplace(tensor.name(), constant(tensor, tensor.name()));
  return place->second;
}

std::vector<Value> Importer::run_body(const onnx::GraphProto& body, std::vector<Value> arguments,
                                      const std::string& prefix) {
  constexpr std::size_t deepest = 64;
  if (scopes_.size() > deepest)
    fail(fmt::format("bodies of control flow lie in each other, more than {} deep", deepest));
  if (arguments.size() != static_cast<std::size_t>(body.input_size()))
    fail(fmt::format("its body takes {} values but gets {}", body.input_size(), arguments.size()));
  const std::string around = std::exchange(prefix_, prefix + ".");
  scopes_.emplace_back();
  for (std::size_t i = 0; i < arguments.size(); ++i)
    define(body.input(static_cast<int>(i)).name(), std::move(arguments[i]));
  for (const auto& [name, weight] : weights_of(body)) define(name, {weight});
  const auto& needed = needed_of(body);
  for (const auto& node : body.node())
    if (needed.contains(&node)) add_node(node);
  std::vector<Value> results;
  for (const auto& output : body.output()) results.push_back(value(output.name()));
  scopes_.pop_back();
  prefix_ = around;
  return results;
}

bool Importer::draws_numbers(Expr node) {
  return node.is("random_normal") || node.is("random_uniform") || node.is("random_index");
}

bool Importer::add_random(const NodeContext& context, const onnx::NodeProto& node) {
  const auto found = random_.find(&node);
  if (found == random_.end()) return false;
  const RandomCall& call = found->second;
  const Expr row = expression(value(call.row)), sample = expression(value(call.sample));
  Attributes attributes = call.attributes;
  if (call.op != "random_index" && row.shape().rank() == 1) {
    // Of as many rows as there are now, and of the type that all numbers have.
    auto own = attributes.as<RandomAttributes>();
    std::vector<Dim> dims = own.shape.dims();
    dims[0] = row.shape()[0];
    attributes = RandomAttributes{own.key, own.stream, real(), Shape(std::move(dims))};
  }
  context.result(apply(call.op, {row, sample}, attributes));
  return true;
}

const std::unordered_set<const onnx::NodeProto*>& Importer::needed_of(const onnx::GraphProto& body) {
  const auto [place, fresh] = body_needs_.try_emplace(&body);
  if (fresh) place->second = nodes_below(body, output_names(body), random_);
  return place->second;
}

}  // namespace rulegrad::io
