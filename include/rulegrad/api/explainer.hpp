#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/api/registry.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

struct ExportedFile;  // export.hpp
struct FileOptions;

/// Which score of each sample is explained.
enum class Targets : std::uint8_t {
  largest,  ///< the largest one
  given,    ///< what each run says, ExplainChoices::targets
};

/// What an explainer is compiled for.
struct ExplainerOptions {
  /// Methods, operators and kernels; null: what ships. Not needed any more once the explainer is made.
  const Registry* registry = nullptr;
  Targets targets = Targets::largest;
  /// What is sent back from the score: what the method says, 1, the score itself, or what each run gives
  /// (`tensor`, ExplainChoices::seed).
  Question::Seed seed = Question::Seed::own;
  /// Which output, and whether from below its softmax or sigmoid.
  std::size_t output = 0;
  HeadKind head = HeadKind::logit;
  /// What is explained: names of inputs or of inner nodes (hidden layers). An input of integers, such as
  /// token ids, stands for the values that look them up in tables: its attribution is that of the looked-up
  /// values, summed over their last axis, and so of the input's own shape. None: every input of a floating
  /// dtype that the output needs; where there is none, every one that is looked up.
  std::vector<std::string> nodes = {};
  /// What rules may look up by `aux`: patterns, and whatever else belongs to nodes.
  std::shared_ptr<const AuxiliaryArrays> aux = {};
  bool check_finite = true;
  /// As in CompileOptions; `automatic` is decided when the explainer is made, for all its methods together.
  Precision precision = Precision::exact;
  bool rounding = true;
  /// Computes the model's output before and after the method's canonizers on random inputs while the
  /// explainer is made, once for all its runs; Error(rule) where it changes beyond rounding (verify.hpp).
  bool prove_canonizers = true;
  /// So many samples of each run, spread over it, are computed again on the plain float64 path (verify.hpp),
  /// which takes many times as long as the run itself; Error(internal) that names method and node where a
  /// result is off by more than rounding explains. `log` is told the differences.
  std::int64_t verify_numbers = 0;
  /// Told what was done to the network while the explainer was made: a line for each rewrite, fold and
  /// choice.
  std::function<void(std::string_view line)> log = {};
  /// Canonizers leave explained inner nodes as they are. Off: what they fold into others is an error that
  /// says so.
  bool keep_explained = true;
  /// Names of further nodes that canonizers leave as they are.
  std::vector<std::string> keep = {};
  /// Bytes of working memory that the samples of a method's loops may take together, as in CompileOptions.
  std::size_t memory = std::size_t{1} << 30;
  /// Computes beside the attributions what they should add up to, where methods declare it:
  /// Explanation::totals.
  bool totals = false;
  /// Told of each method's analysis, by its index, before anything is compiled.
  std::function<void(std::size_t method, const Analysis& analysis)> on_analysis = {};
};

/// What one run does.
struct ExplainChoices {
  /// With Targets::given: one index for all samples, or one for each; with `stacked` so many for all, or for
  /// each.
  std::vector<std::int64_t> targets = {};
  /// With Question::Seed::tensor: [N, scores], of the model's dtype.
  Tensor seed = {};
  /// Samples computed at once; 0: all of them.
  std::int64_t batch_size = 0;
  /// At most; 0: as many as OpenMP gives. Results depend on it by roundings at most (docs/precision.md).
  int threads = 0;
  /// Called after each batch, by the thread that runs.
  std::function<void(std::int64_t done, std::int64_t samples)> progress = {};
  /// Asked between kernel calls; a run that is to stop throws Error(cancelled).
  std::stop_token stop = {};
  /// So many targets are explained for each sample: attributions get an axis of them right behind that of the
  /// batch, [N, stacked, ...]. 0: one target, no such axis.
  std::int64_t stacked = 0;
};

/// What one run gives.
class Explanation {
 public:
  /// Of no method.
  Explanation() = default;
  /// Attributions of each method in turn for each node.
  Explanation(std::vector<std::string> methods, std::vector<std::string> nodes, Tensor scores,
              std::vector<Tensor> attributions)
      : methods_(std::move(methods)),
        nodes_(std::move(nodes)),
        scores_(std::move(scores)),
        attributions_(std::move(attributions)) {}

  /// The output that was explained, flattened: [N, scores].
  [[nodiscard]] const Tensor& scores() const { return scores_; }
  /// The index of each sample's largest score.
  [[nodiscard]] std::vector<std::int64_t> predictions() const;
  /// Of a method for a node, both in the order they were asked for; of the node's shape [N, ...]. A node
  /// without a batch, such as a position embedding, has one explanation for each sample, [N, ...] in front of
  /// its own axes.
  [[nodiscard]] const Tensor& attribution(std::size_t method = 0, std::size_t node = 0) const;
  /// By name; the first node unless one is named. Throws Error(unknown_name) with the nearest name.
  [[nodiscard]] const Tensor& attribution(std::string_view method, std::string_view node = {}) const;
  /// One sample's part of an attribution, without the axis of the batch unless several of its entries are one
  /// sample's (steps of a sequence, merged with the batch); with stacked targets that of one of them. A loop
  /// of a method's own stays in front.
  [[nodiscard]] Tensor of_sample(std::size_t method, std::size_t node, std::int64_t sample,
                                 std::int64_t target = 0) const;
  /// As they were asked for.
  [[nodiscard]] const std::vector<std::string>& methods() const { return methods_; }
  /// The explained inputs and inner nodes, as they were asked for.
  [[nodiscard]] const std::vector<std::string>& nodes() const { return nodes_; }

  /// What attributions should add up to by what their method declares, and what they do add up to.
  struct Total {
    std::size_t method = 0;
    std::vector<std::size_t> nodes;  ///< whose attributions add up to it together
    std::vector<double> expected;    ///< for each sample; with stacked targets for each of them in turn
    std::vector<double> reached;
  };
  /// With ExplainerOptions::totals, for methods that declare something of the kind.
  [[nodiscard]] const std::vector<Total>& totals() const { return totals_; }
  /// The indices of the explained scores: each sample's, with stacked targets each of them in turn. A seed of
  /// the caller's own has none.
  [[nodiscard]] const std::vector<std::int64_t>& targets() const { return targets_; }
  /// What was explained: the inner product of seed and output, in the order of `targets`; for seeds that are
  /// the method's own, 1 or the score, the score itself.
  [[nodiscard]] const std::vector<double>& explained_scores() const { return explained_scores_; }

  /// Where the batch lies in an attribution: the extent of `axis` is outer * N * inner, a sample's entries
  /// `inner` in a row.
  struct Layout {
    std::size_t axis = 0;
    std::int64_t outer = 1, inner = 1;
    std::size_t loops = 0;  ///< axes of a method's own loops, in front of everything
  };
  /// Of a method's attribution of a node.
  [[nodiscard]] const Layout& layout(std::size_t method, std::size_t node) const;

 private:
  friend class Explainer;
  std::vector<std::string> methods_, nodes_;
  Tensor scores_;
  std::vector<Tensor> attributions_;
  std::vector<Layout> layouts_;
  std::vector<Total> totals_;
  std::vector<std::int64_t> targets_;
  std::vector<double> explained_scores_;
  std::int64_t stacked_ = 0;
};

/// One or several methods, compiled for a model: run it as often as you like, from as many threads as you
/// like. A value; copies share everything, and the model may be moved or gone. Methods share the forward pass
/// and whatever else is equal.
///
/// Making one adds nodes to the model's graph; explainers of one model may be made from several threads,
/// which take turns. Samples are told apart by where the batch lies in a value. Throws Error(model) where a
/// batch is to be cut into runs, or to be explained sample by sample, that an operation mixes.
class Explainer {
 public:
  struct Data;  ///< not for programs

  /// Explains nothing until another is assigned to it: its members throw Error(invalid_argument).
  Explainer() = default;
  /// A method as the command takes it: `lrp.epsilon`, `lrp.epsilon:epsilon=0.1`. Throws Error as `analyze`
  /// and `Program::compile` do, and Error(unknown_name) for nodes.
  Explainer(const Model& model, std::string_view method, const ExplainerOptions& options = {});
  Explainer(const Model& model, std::initializer_list<std::string_view> methods,
            const ExplainerOptions& options = {});
  Explainer(const Model& model, std::span<const std::string> methods, const ExplainerOptions& options = {});
  Explainer(const Model& model, std::span<const AnalyzerCall> methods, const ExplainerOptions& options = {});

  /// Explains a batch of samples: the value of the model's only input, [N, ...]; without its first axis where
  /// it is one sample.
  [[nodiscard]] Explanation run(const Tensor& input, const ExplainChoices& choices = {}) const;
  /// The same for models of several inputs.
  [[nodiscard]] Explanation run(const Inputs& inputs, const ExplainChoices& choices = {}) const;
  /// The same with results in memory of the caller: for each method in turn a buffer for each node, of N
  /// times the node's elements; and, unless empty, one for the scores. Throws Error(dtype) or Error(shape)
  /// that names method and node of a buffer that does not fit, before anything is computed.
  void run_into(const Inputs& inputs, std::span<const OutputBuffer> attributions,
                const OutputBuffer& scores = {}, const ExplainChoices& choices = {}) const;
  void run_into(const Tensor& input, std::span<const OutputBuffer> attributions,
                const OutputBuffer& scores = {}, const ExplainChoices& choices = {}) const;

  /// As they were asked for, without arguments where the name is enough to tell them apart.
  [[nodiscard]] const std::vector<std::string>& methods() const;
  /// The explained inputs and inner nodes.
  [[nodiscard]] const std::vector<std::string>& nodes() const;
  /// What runs: the scores, then for each method in turn the attribution of each node, then the totals asked
  /// for.
  [[nodiscard]] const Program& program() const;

  /// Writes what it computes as an ONNX file for other runtimes (export.hpp): scores, and each method's
  /// attribution of each node. `model` is the one that it was made for, whose graph it does not keep.
  /// Precision and what runs choose are no part of a file. Throws as `export_explanation`, and
  /// Error(invalid_argument) for another model.
  ExportedFile export_onnx(const Model& model, const std::string& path) const;
  ExportedFile export_onnx(const Model& model, const std::string& path, const FileOptions& options) const;

 private:
  [[nodiscard]] const Data& data() const;
  std::shared_ptr<const Data> data_;
};

/// A question about a model as an explainer asks it, for those who want the analysis itself
/// (recipe/analyzer.hpp).
struct AskedQuestion {
  Question question;
  /// Inputs of the graph that carry what a run chooses: int64 [N], and [N, scores] of the output's dtype;
  /// empty where it chooses nothing.
  std::string target_input, seed_input;
};
/// Of the options, those that say what is asked count: targets, seed, output, head, nodes, keep, aux. Adds to
/// the model's graph. Throws what making an explainer with them throws before it analyses.
[[nodiscard]] AskedQuestion question_for(const Model& model, const ExplainerOptions& options = {});

/// The model's inputs for samples [first, first + count), in the same memory; what is the same for all
/// samples stays.
[[nodiscard]] Inputs samples_of(const Model& model, const Inputs& inputs, std::int64_t first,
                                std::int64_t count);
/// How many samples the model computes at once whatever is asked for; 0: any number.
[[nodiscard]] std::int64_t fixed_batch(const Model& model);

/// The values that look up an input of integers in tables, such as embeddings: what `Explainer` explains
/// where such an input is named. Found through casts, movements of numbers and arithmetic with constants;
/// none where the input is a mask.
[[nodiscard]] std::vector<Expr> lookups_of(const Model& model, const std::string& input,
                                           std::size_t output = 0);

}  // namespace rulegrad
