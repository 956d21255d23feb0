#include "rulegrad/onnx/model.hpp"

#include <fmt/format.h>
#include <sstream>

#include "rulegrad/support/error.hpp"

#include "support/hash.hpp"
#include "support/read_file.hpp"

namespace rulegrad {

Model::Model(Parts parts) : parts_(std::move(parts)) {}
Model::Model(Model&& other) noexcept = default;
Model& Model::operator=(Model&& other) noexcept = default;
Model::~Model() = default;

Graph& Model::graph() const {
  if (parts_.graph == nullptr)
    throw Error(ErrorCode::invalid_argument,
                "[model] it was moved from and holds no network; use the model it was moved to");
  return *parts_.graph;
}

namespace {

/// The operation that ends a model, below what only moves elements.
struct Ending {
  Expr operation;
  std::vector<Expr> moves;  ///< from the output down
  OutputKind kind = OutputKind::score;
};

Ending end_of(Expr output) {
  Ending result{output, {}, OutputKind::score};
  Expr& node = result.operation;
  while (node.is("reshape") || node.is("transpose") || node.is("identity")) {
    result.moves.push_back(node);
    node = node.operand(0);
  }
  if (node.is("softmax") || node.is("sigmoid")) result.kind = OutputKind::probability;
  if (node.is("log_softmax")) result.kind = OutputKind::log_probability;
  return result;
}

Expr output_of(const Model& model, std::size_t output) {
  if (output < model.outputs().size()) return model.outputs()[output].expr;
  std::string missing;
  for (const std::string& note : model.notes())
    if (note.starts_with("output '")) missing += "; " + note;
  throw Error(ErrorCode::invalid_argument, fmt::format("output {} was asked for but the model has {}{}",
                                                       output, model.outputs().size(), missing));
}

}  // namespace

Expr Model::head(HeadKind kind, std::size_t output) const {
  const Expr top = output_of(*this, output);
  if (kind == HeadKind::probability) return top;
  const Ending ending = end_of(top);
  if (ending.kind == OutputKind::score) return top;
  // What only moves elements is done to the logits instead.
  Expr logits = ending.operation.operand(0);
  for (auto move = ending.moves.rbegin(); move != ending.moves.rend(); ++move)
    logits = graph().apply(move->op(), {logits}, move->attributes());
  return logits;
}

OutputKind Model::kind(std::size_t output) const {
  return end_of(output_of(*this, output)).kind;
}

std::vector<std::string> Model::labels() const {
  std::vector<std::string> result;
  const auto found = summary().metadata.find("labels");
  if (found == summary().metadata.end()) return result;
  std::istringstream lines(found->second);
  for (std::string line; std::getline(lines, line);) result.push_back(line);
  return result;
}

std::string Model::digest() const {
  std::size_t hash = hash_bytes("");
  for (const auto& file : parts_.files)
    for (const std::byte byte : read_regular_file(file, "digest"))
      hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3ULL;
  return fmt::format("{:016x}", hash);
}

}  // namespace rulegrad
