#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/registry.hpp"
#include "rulegrad/prove/verify.hpp"

namespace rulegrad {

/// A result of the program.
struct ExplainedResult {
  Type type;
  bool has_batch = false;  ///< else one run gives one value, whatever the samples
  std::size_t axis = 0;    ///< where its entries lie: outer * B * inner
  std::int64_t outer = 1, inner = 1;
  std::size_t loops = 0;  ///< axes of a method's own in front
};

struct Explainer::Data {
  struct Sum {
    std::size_t method;
    std::vector<std::size_t> nodes;
  };
  std::vector<std::string> methods, nodes;
  std::vector<std::pair<std::string, Type>> inputs;  ///< the model's own
  Targets targets = Targets::largest;
  Question::Seed seed = Question::Seed::own;
  Program program;
  std::vector<ExplainedResult> results;  ///< of the program: scores, attributions, totals
  std::vector<Sum> sums;                 ///< what the totals are of
  std::string mixing;                    ///< the operation that mixes samples, if one does
  std::string target_input, seed_input;  ///< graph inputs for what a run chooses beside the samples
  std::int64_t verified = 0;  ///< so many samples of each run are held against the plain float64 path
  std::optional<NumberVerifier> verifier = {};
  std::function<void(std::string_view line)> log = {};  ///< is told the differences

  /// What it was made of, for those who make it again as a file.
  struct Origin {
    const Graph* graph;
    std::vector<AnalyzerCall> calls;
    ExplainerOptions options;
    Registry registry;
  };
  std::shared_ptr<const Origin> origin = {};

  [[nodiscard]] std::size_t attributions() const { return methods.size() * nodes.size(); }
};

}  // namespace rulegrad
