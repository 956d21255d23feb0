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

Expr Model::head(HeadKind kind, std::size_t output) const {
  (void)graph();
  if (output >= outputs().size()) {
    std::string missing;
    for (const std::string& note : notes())
      if (note.starts_with("output '")) missing += "; " + note;
    throw Error(ErrorCode::invalid_argument, fmt::format("output {} was asked for but the model has {}{}",
                                                         output, outputs().size(), missing));
  }
  const Expr top = outputs()[output].expr;
  if (kind == HeadKind::probability) return top;
  // Below what only moves elements, which is then done to the logits instead.
  std::vector<Expr> moves;
  Expr node = top;
  while (node.is("reshape") || node.is("transpose") || node.is("identity")) {
    moves.push_back(node);
    node = node.operand(0);
  }
  if (!node.is("softmax") && !node.is("log_softmax") && !node.is("sigmoid")) return top;
  Expr logits = node.operand(0);
  for (auto move = moves.rbegin(); move != moves.rend(); ++move)
    logits = graph().apply(move->op(), {logits}, move->attributes());
  return logits;
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
