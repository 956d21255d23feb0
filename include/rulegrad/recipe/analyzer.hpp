#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/recipe/sampler.hpp"
#include "rulegrad/rewrite/provenance.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

/// An analyzer with arguments for its parameters, as in `lrp.epsilon:epsilon=0.1`.
struct AnalyzerCall {
  /// A number; a word (a node, a sampler, an analyzer such as `lrp.epsilon(epsilon=0.1)`, a file `x.npy`); an
  /// array.
  using Argument = std::variant<double, std::string, Tensor>;
  std::string name;
  std::vector<std::pair<std::string, Argument>> arguments;  ///< a name may be empty: by position

  /// Reads `name`, `name:key=value,key=value` or `name(value, key=value)`; numbers become numbers. Commas
  /// inside of brackets belong to the value. Throws Error(invalid_argument).
  [[nodiscard]] static AnalyzerCall parse(std::string_view text);
};

/// Arrays that belong to nodes of a model, such as the patterns of PatternNet; rules ask for them by `aux(y,
/// "pattern")`.
class AuxiliaryArrays {
 public:
  /// `source` is what messages call them: the path of a file.
  explicit AuxiliaryArrays(std::string source) : source_(std::move(source)) {}
  /// `key` is NODE/NAME: `features.0/pattern`.
  void add(std::string key, Tensor value);

  /// The array under one of the node's names, of the type of `like`. Throws Error that names source, node and
  /// shapes when it is missing, is there under two names, or has another shape.
  [[nodiscard]] Tensor find(Expr node, std::string_view name, Expr like) const;

 private:
  std::string source_;
  std::map<std::string, Tensor, std::less<>> arrays_;
};

/// What is explained: which output of the model, for which of its inputs, and for which target.
struct Question {
  Expr output;  ///< of shape [B, ...]; flattened to one row of scores a sample
  /// Inputs, or inner nodes. Analyzers that move the `input` (noise, paths, windows) move all inputs
  /// together, and each inner node by itself.
  std::vector<Expr> explained;
  /// int64 [B]: the index of the explained score of each sample; absent: the largest on the user's own input.
  Expr target;
  /// Overrides the analyzer's seed: of the flattened output's shape. What is explained, the `score` of rules,
  /// is the inner product of seed and output, the seed taken on the person's own input; an analyzer that asks
  /// for neither relevance nor score refuses a `tensor`.
  enum class Seed { own, one, value, tensor };
  Seed seed = Seed::own;
  Expr seed_tensor;
  /// Nodes that canonizers must leave as they are, so that they can be explained.
  std::vector<Expr> keep = {};
  /// How arrays are read that arguments and rules name as files; absent: naming one is an error.
  std::function<Tensor(const std::string& path)> read_array = {};
  /// What rules may look up by `aux`.
  std::shared_ptr<const AuxiliaryArrays> aux = {};
};

/// An analyzer applied to a graph: expressions to compile, and how each gradient node was closed.
struct Analysis {
  /// One for each explained value, of its shape; where the analyzer's result stacks a loop of n samples, [n,
  /// shape...].
  std::vector<Expr> attributions;
  /// The totals that reached them in the last reverse walk, before any `result`. They depend on the samples
  /// of the analyzer's loops (`loops()`) where it has some; absent where the analyzer asks for no relevance.
  std::vector<Expr> relevance;
  Expr seed;    ///< absent where there was no walk
  Expr output;  ///< the canonised, flattened output [B, n]
  Provenance steps;
  std::vector<Expr> explained;  ///< the canonised explained values
  std::vector<ForwardRewrite> rewrites;
  std::vector<std::string> notes;  ///< what was chosen for the user: `layer = relu 'r4' float32[B, 64, 7, 7]`
  /// What attributions add up to by what the analyzer declares: `conserves` the seed, `completes` the score
  /// less the score at the baseline.
  struct Total {
    Expr expected;  ///< [B]
    std::vector<std::size_t>
        members;  ///< indices of the explained values whose attributions add up to it together
  };
  /// None where the analyzer declares neither, or where ways around the explained values carry a part of it.
  std::vector<Total> totals;
};

/// Builds the explanation as expressions of the question's graph. Throws Error: unclaimed nodes (all of them,
/// with the nearest rule and what to type), unknown names, parameters out of range, rules that do not fit.
[[nodiscard]] Analysis analyze(const RuleLibrary& library, const AnalyzerCall& call, const Question& question,
                               const Operators& operators = Operators::builtin(),
                               const Samplers& samplers = Samplers::builtin());

/// The node of that name below `output`; of several, the last. Throws Error(unknown_name) with the nearest
/// name.
[[nodiscard]] Expr find_node(Expr output, const std::string& name);

/// The rules of a method and of everything it builds on, as text that stands on its own.
[[nodiscard]] std::string show_method(const RuleLibrary& library, std::string_view method);

}  // namespace rulegrad
