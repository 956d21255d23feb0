#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "rulegrad/expr/expr.hpp"

/// Networks from ONNX files (https://onnx.ai, operator sets 6 to 28) as expressions, and back.
namespace [[gnu::visibility("default")]] rulegrad {

/// What the first axis of a model's inputs becomes.
enum class BatchPolicy : std::uint8_t {
  automatic,  ///< the symbolic batch B where the file leaves it free or says 1; as declared if the model then
              ///< breaks
  symbolic,   ///< the same, but a model that breaks is an Error
  fixed,      ///< as declared; 1 where the file leaves it free
};

/// A set of operators by name, see operators.hpp.
class Operators;

/// How a file becomes a model.
struct LoadOptions {
  /// What every floating-point type of the file becomes: float32 or float64.
  DType dtype = DType::float32;
  BatchPolicy batch = BatchPolicy::automatic;
  /// Extents of free axes that are not the batch: by the name the file gives them ("seq"), or by input and
  /// axis
  /// ("tokens.1") where it gives none.
  std::map<std::string, std::int64_t> extents = {};
  /// Off: a weight that is NaN or infinite and can reach an output is an Error(non_finite) that names tensor
  /// and index. -inf in a mask ends in the softmax behind it.
  bool allow_non_finite = false;
  /// Where nodes of operators that ONNX does not have, or of other domains, are looked up by their `op_type`;
  /// their attributes are those of the same names. Null: they are errors. The model keeps what it uses.
  const Operators* operators = nullptr;
};

/// An input of a model.
struct ModelInput {
  std::string name;
  Expr expr;
  std::string declared;  ///< as the file has it: `float16[N, 3, 224, 224]`
};
/// An output of a model.
struct ModelOutput {
  std::string name;
  Expr expr;
};

/// What an explanation starts from when a model ends in softmax or sigmoid.
enum class HeadKind : std::uint8_t { logit, probability };
/// What an output of a model is, by what ends it: a softmax or sigmoid, a log-softmax, or neither.
enum class OutputKind : std::uint8_t { score, probability, log_probability };

/// What a model file says about itself.
struct ModelSummary {
  /// An input or output, as the file declares it.
  struct Value {
    std::string name;
    std::string type;  ///< `float16[N, 3, 224, 224]`
  };
  std::string producer, graph_name;
  std::int64_t opset = 0;                            ///< version of ONNX's own operator set
  std::map<std::string, std::int64_t> other_opsets;  ///< by domain
  std::vector<Value> inputs, outputs;                ///< weights left out
  std::map<std::string, int> operators;              ///< how many nodes of each
  std::map<std::string, std::vector<std::string>>
      unmapped;                                      ///< operators that are not supported, and their nodes
  std::map<std::string, std::string> nearest;        ///< supported ones with names like theirs, if any
  std::int64_t parameters = 0, parameter_bytes = 0;  ///< of the weights, as stored
  std::map<std::string, std::string> metadata;
};

/// A network, read from a file or made in C++ (network.hpp). Owns its graph, so it moves and is not copied;
/// expressions stay valid when it moves.
class Model {
 public:
  /// What a model is made of.
  struct Parts {
    std::shared_ptr<const void> operators = {};  ///< keeps operators of the program's own that the graph uses
    std::unique_ptr<Graph> graph;
    std::vector<ModelInput> inputs;
    std::vector<ModelOutput> outputs;
    ModelSummary summary;
    std::vector<std::string> notes;
    std::vector<std::string> files;
  };
  /// Inputs and outputs must be expressions of the graph.
  explicit Model(Parts parts);
  Model(Model&& other) noexcept;
  Model& operator=(Model&& other) noexcept;
  ~Model();

  /// Every value name and node name of the file is a name of its node here.
  /// Throws Error(invalid_argument) for a model that was moved from, as do `inputs`, `outputs`, `head` and
  /// whatever takes a model.
  [[nodiscard]] Graph& graph() const;
  /// Without the weights that old files list among their inputs. Runs take them by these names.
  [[nodiscard]] const std::vector<ModelInput>& inputs() const { return (void)graph(), parts_.inputs; }
  /// In the order of the file.
  [[nodiscard]] const std::vector<ModelOutput>& outputs() const { return (void)graph(), parts_.outputs; }
  /// The output itself (`probability`), or, where a softmax, log-softmax or sigmoid ends the model, what it
  /// is applied to (`logit`), in the shape of the output. Throws Error(invalid_argument) if there is no such
  /// output.
  [[nodiscard]] Expr head(HeadKind kind, std::size_t output = 0) const;
  /// What ends the model there, looked for below what only moves elements. Throws as `head` does.
  [[nodiscard]] OutputKind kind(std::size_t output = 0) const;
  /// What keeps operators of the program's own that the graph uses, if there are any.
  [[nodiscard]] const std::shared_ptr<const void>& operators() const { return parts_.operators; }
  /// What the file says about itself.
  [[nodiscard]] const ModelSummary& summary() const { return parts_.summary; }
  /// What was decided while reading, a sentence each: a batch made symbolic, one that had to stay fixed.
  [[nodiscard]] const std::vector<std::string>& notes() const { return parts_.notes; }
  /// Names of the classes, if the file holds them (metadata `labels`, a line each).
  [[nodiscard]] std::vector<std::string> labels() const;
  /// The files it was read from: the model's own and those of its weights.
  [[nodiscard]] const std::vector<std::string>& files() const { return parts_.files; }
  /// 16 hexadecimal digits of the bytes of all files of the model (64-bit FNV-1a); reads them again.
  [[nodiscard]] std::string digest() const;

 private:
  Parts parts_;
};

/// Reads a network. Throws Error(model) for files that are damaged, no ONNX, of another operator set, use
/// operators or attributes that are not mapped (all of them at once), or do not fit together; Error(io) for
/// those that cannot be read; Error(non_finite) for weights; Error(missing_feature) where rulegrad was built
/// without ONNX, as do the two below.
///
/// Weights of 1 MB and more stay in the file, which is mapped, where they have the wanted dtype and are
/// aligned to it; the file must not be written to while the model lives.
[[nodiscard]] Model load_onnx(const std::string& path, const LoadOptions& options = {});

/// Reads what a file says about itself without building the network; works for unmapped operators too.
[[nodiscard]] ModelSummary inspect_onnx(const std::string& path);

/// What is written beside the network.
struct SaveOptions {
  std::string graph_name = "network";
  /// One for each output; `y`, `y_1`, ... where there are none.
  std::vector<std::string> output_names = {};
  /// Names of the classes, which Model::labels gives back.
  std::vector<std::string> labels = {};
  std::map<std::string, std::string> metadata = {};
  /// The operator set, 13 to 23. 0: the lowest that the operators need, which is 13 for almost all.
  std::int64_t opset = 0;
  /// Arrays of 1 kB and more go to a file of the same name with `.data` behind it, which may be larger than
  /// the 2 GB that end an ONNX file.
  bool external_data = false;
  /// An ONNX file whose large weights are referred to, by place, instead of being written once more: those
  /// that lie in files beside it, and those of 1 MB and more within it. It must lie in the folder of the
  /// written file or below.
  std::string share_with = {};
  /// Sample loops of at most so many samples, nested ones counted together, are written out; longer ones
  /// become a `Loop`.
  std::int64_t most_samples = 16;
};

/// Writes the expressions as ONNX; the same graph gives the same bytes. Constants become initializers, inputs
/// keep their names, a batch extent is written as the free axis `N`, sample loops are written out or become a
/// `Loop`. Shapes of all values are in the file. Throws Error(model) that names the nodes that have no
/// counterpart and says why. The file appears whole or not at all.
void save_onnx(const std::string& path, std::span<const Expr> outputs, const SaveOptions& options = {});

}  // namespace rulegrad
