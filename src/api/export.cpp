#include "rulegrad/api/export.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <set>
#include <unordered_map>

#include "rulegrad/expr/leaves.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/ops/given_values.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/passes/simplify.hpp"
#include "rulegrad/prove/verify.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

#include "api/explained.hpp"
#include "api/explainer_data.hpp"
#include "api/labels.hpp"
#include "compile/constants.hpp"
#include "compile/fold.hpp"
#include "expr/rebuild.hpp"
#include "passes/unroll.hpp"
#include "support/hash.hpp"
#include "support/text.hpp"

namespace rulegrad {
namespace {

/// The input that says which score is explained: that of an earlier file, or a new one, `target` unless the
/// model has a value of that name.
Expr target_input(Graph& graph, const Model& model, Dim batch) {
  const Type type{DType::int64, Shape{batch}};
  for (std::string name = "target";; name += "_") {
    const auto named = [&](Expr input) { return input.attributes<InputAttributes>().name == name; };
    const auto owned = [&](const ModelInput& input) { return input.name == name; };
    const auto& inputs = graph.inputs();
    const auto found = std::find_if(inputs.begin(), inputs.end(), named);
    const bool own = std::any_of(model.inputs().begin(), model.inputs().end(), owned);
    if (found != inputs.end() && !own && found->type() == type) return *found;
    if (found == inputs.end() && !own && graph.find(name).empty()) return graph.input(name, type);
  }
}

/// Larger values that depend on constants alone are left to those who load the file, which need not be larger
/// for them.
constexpr std::int64_t largest_fold = std::int64_t{16} << 20;

/// Values that depend on constants alone, computed; broadcasts of them stay as they are.
std::vector<Expr> folded(std::span<const Expr> outputs, const Kernels& kernels) {
  const std::vector<Expr> order = topological_order(outputs);
  NodeSet known, wanted;
  const auto want = [&](Expr e) {
    const bool as_it_is = is_given(e) || e.is("expand");
    if (!as_it_is && known.contains(e) &&
        e.shape().count().factor * static_cast<std::int64_t>(size_of(e.dtype())) <= largest_fold)
      wanted.insert(e);
  };
  for (const Expr e : order) {
    const bool leaf = is_constant(e) || (fill_of(e) && e.shape().static_dims());
    const auto operands = e.operands();
    if (leaf || (!operands.empty() && !e.shape().has_batch() &&
                 std::all_of(operands.begin(), operands.end(), [&](Expr o) { return known.contains(o); })))
      known.insert(e);
    else
      for (const Expr operand : operands) want(operand);
  }
  for (const Expr output : outputs) want(output);
  std::unordered_map<Expr, Expr> images;
  const std::unordered_map<Expr, Tensor> values = folded_values(order, wanted, kernels);
  for (const Expr expr : order)
    if (const auto value = values.find(expr); value != values.end())
      images.emplace(expr, expr.graph().constant(value->second));
  if (images.empty()) return {outputs.begin(), outputs.end()};
  const Rebuild rebuild{no_boundary,
                        [](Expr e, std::span<const Expr> operands) { return again(e, operands); }};
  std::vector<Expr> result;
  for (const Expr output : outputs) result.push_back(rebuild(output, images));
  return result;
}

class Exporting {
 public:
  Exporting(const Model& model, std::span<const AnalyzerCall> calls, const ExportOptions& options,
            const Registry& registry)
      : model_(model), calls_(calls), options_(options), registry_(registry), labels_(labels_of(calls)) {
    if (calls.empty()) throw Error(ErrorCode::invalid_argument, "[export] it needs at least one method");
    if (options.seed == Question::Seed::tensor)
      throw Error(ErrorCode::invalid_argument,
                  "[export] a seed of one's own is no part of a file; take the method's own, one or value");
    values_ = explained_values(model, options.nodes, options.output);
  }

  ExportedFile write(const std::string& path) {
    ask();
    for (std::size_t i = 0; i < calls_.size(); ++i)
      add(i, analyze(registry_.rules, calls_[i], question_, registry_.operators, registry_.samplers));
    // Loops first become less, then many.
    const std::vector<Expr> small = unrolled(simplify(written_out(outputs_)).outputs, options_.most_samples);
    const std::vector<Expr> outputs = folded(small, registry_.kernels);
    SaveOptions save{.graph_name = "explanation",
                     .output_names = names_,
                     .labels = options_.labels.empty() ? model_.labels() : options_.labels,
                     .metadata = metadata_,
                     .opset = options_.opset,
                     .external_data = options_.external_data,
                     .share_with = shared_file(),
                     .most_samples = options_.most_samples};
    describe_file(save.metadata);
    save_onnx(path, outputs, save);
    ExportedFile file{{}, names_};
    for (const Expr e : topological_order(outputs))
      if (is_input(e)) file.inputs.push_back(e.attributes<InputAttributes>().name);
    return file;
  }

 private:
  /// The model's own file, where its weights are shared.
  [[nodiscard]] std::string shared_file() const {
    if (!options_.share_weights) return {};
    if (model_.files().empty())
      throw Error(ErrorCode::invalid_argument,
                  "[export] weights cannot be shared: the model was not loaded from a file");
    return model_.files().front();
  }

  void ask() {
    question_.output = model_.head(options_.head, options_.output);
    for (const ExplainedValue& value : values_)
      question_.explained.insert(question_.explained.end(), value.nodes.begin(), value.nodes.end());
    question_.seed = options_.seed;
    question_.keep = question_.explained;
    for (const std::string& name : options_.keep) question_.keep.push_back(find_node(question_.output, name));
    question_.aux = options_.aux;
    question_.read_array = [](const std::string& file) { return io::read_npy(file); };
    if (options_.targets != Targets::given) return;
    const Shape& shape = question_.output.shape();
    question_.target = target_input(model_.graph(), model_, shape.rank() == 0 ? Dim(1) : shape[0]);
  }

  void add(std::size_t method, const Analysis& analysis) {
    if (!analysis.rewrites.empty())
      (void)prove_canonizers(question_.output, analysis, {.kernels = &registry_.kernels});
    if (outputs_.empty()) {
      outputs_.push_back(analysis.output);
      names_.emplace_back("scores");
    }
    std::size_t first = 0;
    for (const ExplainedValue& value : values_) {
      const Expr attribution =
          attribution_of(value, std::span(analysis.attributions).subspan(first, value.nodes.size()));
      first += value.nodes.size();
      if (question_.output.shape().has_batch() && !attribution.shape().has_batch())
        throw Error(ErrorCode::model,
                    fmt::format("[export] the attribution that {} gives '{}', {}, has no batch: a file would "
                                "add up what belongs to "
                                "each sample",
                                labels_[method], value.name, to_string(attribution.type())));
      outputs_.push_back(attribution);
      names_.push_back(values_.size() == 1 ? labels_[method] : labels_[method] + "/" + value.name);
    }
    std::set<std::string> sets;
    for (const Step& step : analysis.steps)
      if (step.by != nullptr) sets.insert(step.by->rule_set);
    const std::string text = show_method(registry_.rules, calls_[method].name);
    metadata_["rulegrad.rules." + labels_[method]] = fmt::format(
        "{} ({:016x})", join(std::vector<std::string>(sets.begin(), sets.end())), hash_bytes(text));
  }

  void describe_file(std::map<std::string, std::string>& metadata) const {
    std::vector<std::string> texts;
    for (const AnalyzerCall& call : calls_) texts.push_back(text_of(call));
    metadata["rulegrad.version"] = std::string(version());
    metadata["rulegrad.methods"] = join(texts, "\n");
    metadata["rulegrad.target"] = options_.targets == Targets::given ? "given" : "largest";
    if (!model_.files().empty()) metadata["rulegrad.model"] = model_.digest();
    const auto& own = model_.summary().metadata;
    if (const auto recipe = own.find("preprocess"); recipe != own.end()) metadata.insert(*recipe);
  }

  const Model& model_;
  std::span<const AnalyzerCall> calls_;
  const ExportOptions& options_;
  const Registry& registry_;
  std::vector<std::string> labels_;
  std::vector<ExplainedValue> values_;
  Question question_;
  std::vector<Expr> outputs_;
  std::vector<std::string> names_;
  std::map<std::string, std::string> metadata_;
};

}  // namespace

ExportedFile export_explanation(const Model& model, std::span<const AnalyzerCall> methods,
                                const std::string& path, const ExportOptions& options) {
  const Registry registry = options.registry == nullptr ? Registry{} : *options.registry;
  const std::shared_ptr<ConstantStore> store = store_of(model.graph());
  const auto building = store->building();
  return Exporting(model, methods, options, registry).write(path);
}

ExportedFile export_explanation(const Model& model, std::span<const std::string> methods,
                                const std::string& path, const ExportOptions& options) {
  std::vector<AnalyzerCall> calls;
  for (const std::string& method : methods) calls.push_back(AnalyzerCall::parse(method));
  return export_explanation(model, calls, path, options);
}

ExportedFile Explainer::export_onnx(const Model& model, const std::string& path) const {
  return export_onnx(model, path, {});
}

ExportedFile Explainer::export_onnx(const Model& model, const std::string& path,
                                    const FileOptions& how) const {
  const Data::Origin& origin = *data().origin;
  if (&model.graph() != origin.graph)
    throw Error(ErrorCode::invalid_argument,
                "[export] the explainer was made for another model; give it the one it was made for");
  const ExplainerOptions& asked = origin.options;
  return export_explanation(model, origin.calls, path,
                            {.registry = &origin.registry,
                             .targets = asked.targets,
                             .seed = asked.seed,
                             .output = asked.output,
                             .head = asked.head,
                             .nodes = asked.nodes,
                             .keep = asked.keep,
                             .aux = asked.aux,
                             .opset = how.opset,
                             .most_samples = how.most_samples,
                             .external_data = how.external_data,
                             .share_weights = how.share_weights,
                             .labels = how.labels});
}

}  // namespace rulegrad
