#include "rulegrad/explainer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "rulegrad/error.hpp"
#include "rulegrad/io/npy.hpp"
#include "rulegrad/leaves.hpp"
#include "rulegrad/separable.hpp"
#include "rulegrad/text.hpp"
#include "rulegrad/verify.hpp"

#include "runtime/constants.hpp"

namespace rulegrad {

struct Explainer::Data {
  std::vector<std::string> methods, nodes;
  std::vector<std::pair<std::string, Type>> inputs;  ///< the model's own
  Targets targets = Targets::largest;
  Question::Seed seed = Question::Seed::own;
  Program program;
  std::vector<Type> types;  ///< of the program's outputs
  std::string mixing = {};  ///< the operation by which samples act on each other, if there is one
  std::int64_t verified = 0;  ///< samples of each run
  std::optional<NumberVerifier> verifier = {};
  std::function<void(std::string_view line)> log = {};
};

namespace {

/// Names of graph inputs that carry what a run chooses beside the samples.
constexpr const char* target_input = "rulegrad.target";
constexpr const char* seed_input = "rulegrad.seed";

Expr run_input(Graph& graph, const std::string& name, const Type& type) {
  for (const Expr input : graph.inputs())
    if (input.attributes<InputAttributes>().name == name && input.type() == type) return input;
  // Outputs of one model may differ in their number of scores.
  std::string fresh = name;
  while (!graph.find(fresh).empty()) fresh += "'";
  return graph.input(fresh, type);
}

std::vector<Expr> explained_nodes(const Model& model, const std::vector<std::string>& names) {
  std::vector<Expr> result;
  for (const std::string& name : names) {
    const std::vector<Expr> found = model.graph().find(name);
    if (found.empty()) {
      std::vector<std::string> known;
      const Expr output = model.outputs()[0].expr;
      for (const Expr node : topological_order(std::span(&output, 1)))
        for (const std::string& other : model.graph().names(node)) known.push_back(other);
      throw Error(ErrorCode::unknown_name, "[explainer] " + unknown_name_message("node", name, known));
    }
    result.push_back(found.front());
  }
  if (!names.empty()) return result;
  for (const ModelInput& input : model.inputs())
    if (is_floating(input.expr.dtype())) result.push_back(input.expr);
  if (result.empty())
    throw Error(ErrorCode::invalid_argument,
                "[explainer] the model's inputs are integers, which have no relevance; name nodes to explain, such as the "
                "output of its embedding, in ExplainerOptions::nodes");
  return result;
}

/// `lrp.epsilon:epsilon=0.1`
std::string text_of(const AnalyzerCall& call) {
  std::string text = call.name;
  for (const auto& [name, value] : call.arguments) {
    text += text.size() == call.name.size() ? ':' : ',';
    if (!name.empty()) text += name + "=";
    if (const auto* number = std::get_if<double>(&value))
      text += shortest(*number);
    else if (const auto* word = std::get_if<std::string>(&value))
      text += *word;
    else
      text += "array";
  }
  return text;
}

/// Two calls of one method are told apart by their arguments.
std::vector<std::string> labels_of(std::span<const AnalyzerCall> calls) {
  std::vector<std::string> labels;
  for (const AnalyzerCall& call : calls) {
    const auto same = std::count_if(calls.begin(), calls.end(), [&](const AnalyzerCall& other) { return other.name == call.name; });
    labels.push_back(same == 1 ? call.name : text_of(call));
  }
  return labels;
}

/// The axis that holds the batch, if there is one.
std::optional<std::size_t> batch_axis(const Shape& shape) {
  for (std::size_t axis = 0; axis < shape.rank(); ++axis)
    if (shape[axis].batch) return axis;
  return std::nullopt;
}

/// Copies entries along one axis from an array of a part of the batch into that of the whole.
void place(const Shape& shape, const std::byte* part, std::int64_t first, std::int64_t count, const OutputBuffer& whole, std::int64_t samples) {
  const std::size_t axis = *batch_axis(shape);
  const Dims dims = shape.at({samples, 1});
  const std::int64_t outer = element_count(std::span(dims).first(axis));
  const std::size_t entry = static_cast<std::size_t>(element_count(std::span(dims).subspan(axis + 1)) * shape[axis].factor) * size_of(whole.dtype);
  const auto part_row = static_cast<std::size_t>(count) * entry, whole_row = static_cast<std::size_t>(samples) * entry;
  for (std::int64_t o = 0; o < outer; ++o)
    std::memcpy(whole.data + static_cast<std::size_t>(o) * whole_row + static_cast<std::size_t>(first) * entry,
                part + static_cast<std::size_t>(o) * part_row, part_row);
}

/// Entries [first, first + count) of the first axis, in the same memory.
Tensor rows_of(const Tensor& batch, std::int64_t first, std::int64_t count) {
  Dims dims = batch.dims();
  const std::size_t row = batch.bytes() / static_cast<std::size_t>(dims[0]);
  dims[0] = count;
  return Tensor::borrow(batch.dtype(), std::move(dims), batch.data() + static_cast<std::size_t>(first) * row, std::make_shared<Tensor>(batch));
}

}  // namespace

std::vector<std::int64_t> Explanation::predictions() const {
  std::vector<std::int64_t> result;
  const std::int64_t n = scores_.dims()[1];
  for (std::int64_t row = 0; row < scores_.dims()[0]; ++row) {
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < n; ++k)
      if (scores_.at(row * n + k) > scores_.at(row * n + best)) best = k;
    result.push_back(best);
  }
  return result;
}

const Tensor& Explanation::attribution(std::size_t method, std::size_t node) const {
  if (method >= methods_.size() || node >= nodes_.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("[explanation] method {} of node {} was asked for, but there are {} methods and {} nodes",
                                                         method, node, methods_.size(), nodes_.size()));
  return attributions_[method * nodes_.size() + node];
}

const Tensor& Explanation::attribution(std::string_view method, std::string_view node) const {
  const auto index = [](const std::vector<std::string>& names, std::string_view name, std::string_view what) {
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw Error(ErrorCode::unknown_name, "[explanation] " + unknown_name_message(what, name, names));
    return static_cast<std::size_t>(found - names.begin());
  };
  return attribution(index(methods_, method, "method"), node.empty() ? 0 : index(nodes_, node, "node"));
}

namespace {

struct Compiling {
  std::vector<std::string> nodes;
  std::vector<Expr> outputs;
};

Compiling expressions_of(const Model& model, std::span<const AnalyzerCall> calls, const std::vector<std::string>& labels,
                         const ExplainerOptions& options, const Registry& registry) {
  if (calls.empty()) throw Error(ErrorCode::invalid_argument, "[explainer] it needs at least one method");
  Graph& graph = model.graph();
  Question question;
  question.output = model.head(options.head, options.output);
  question.explained = explained_nodes(model, options.nodes);
  question.seed = options.seed;
  question.keep = question.explained;
  question.aux = options.aux;
  question.read_array = [](const std::string& path) { return io::read_npy(path); };
  const Shape& shape = question.output.shape();
  const Dim batch = shape.rank() == 0 ? Dim(1) : shape[0];
  const Dim scores(shape.count().factor / batch.factor);
  if (options.targets == Targets::given) question.target = run_input(graph, target_input, {DType::int64, Shape{batch}});
  if (options.seed == Question::Seed::tensor)
    question.seed_tensor = run_input(graph, seed_input, {question.output.dtype(), Shape{batch, scores}});
  const auto log = [&](const std::string& line) {
    if (options.log) options.log(line);
  };

  Compiling result;
  result.nodes = options.nodes;
  for (std::size_t i = result.nodes.size(); i < question.explained.size(); ++i) result.nodes.push_back(graph.names(question.explained[i]).front());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Analysis analysis = analyze(registry.rules, calls[i], question, registry.operators, registry.samplers);
    for (const std::string& line : analysis.notes) log(fmt::format("{}: {}", labels[i], line));
    for (const ForwardRewrite& rewrite : analysis.rewrites)
      log(fmt::format("{}: {} -> {}  ({})", labels[i], describe(rewrite.before), describe(rewrite.after), rewrite.rule_set));
    if (options.prove_canonizers && !analysis.rewrites.empty()) {
      const CanonizerProof proof = prove_canonizers(question.output, analysis, {.kernels = &registry.kernels});
      log(fmt::format("{}: {} rewrites by canonizers change the output by {:.3g} at most, where it is as large as {:.3g}", labels[i], proof.rewrites, proof.difference, proof.largest));
    }
    if (result.outputs.empty()) result.outputs.push_back(analysis.output);
    for (const Expr attribution : analysis.attributions) result.outputs.push_back(attribution);
  }
  return result;
}

Explainer compile_texts(const Model& model, std::span<const std::string_view> methods, const ExplainerOptions& options) {
  std::vector<AnalyzerCall> calls;
  for (const std::string_view method : methods) calls.push_back(AnalyzerCall::parse(method));
  return Explainer(model, calls, options);
}

}  // namespace

Explainer::Explainer(const Model& model, std::string_view method, const ExplainerOptions& options)
    : Explainer(compile_texts(model, std::span(&method, 1), options)) {}

Explainer::Explainer(const Model& model, std::initializer_list<std::string_view> methods, const ExplainerOptions& options)
    : Explainer(compile_texts(model, std::span(methods.begin(), methods.size()), options)) {}

Explainer::Explainer(const Model& model, std::span<const std::string> methods, const ExplainerOptions& options)
    : Explainer(compile_texts(model, std::vector<std::string_view>(methods.begin(), methods.end()), options)) {}

Explainer::Explainer(const Model& model, std::span<const AnalyzerCall> methods, const ExplainerOptions& options) {
  const Registry shipped = options.registry == nullptr ? Registry{} : *options.registry;
  std::vector<std::string> labels = labels_of(methods);
  const std::shared_ptr<ConstantStore> store = store_of(model.graph());
  const auto building = store->building();
  Compiling made = expressions_of(model, methods, labels, options, shipped);
  const Program program = Program::compile(made.outputs, {.check_finite = options.check_finite, .kernels = &shipped.kernels, .rounding = options.rounding, .precision = options.precision});
  std::vector<std::pair<std::string, Type>> inputs;
  for (const ModelInput& input : model.inputs()) inputs.emplace_back(input.name, input.expr.type());
  Data data{.methods = std::move(labels), .nodes = std::move(made.nodes), .inputs = std::move(inputs), .targets = options.targets, .seed = options.seed, .program = program,
            .types = program.output_types()};
  if (const auto mixing = first_mixing(made.outputs)) data.mixing = describe(*mixing);
  if (options.verify_numbers > 0) {
    data.verified = options.verify_numbers;
    data.verifier.emplace(made.outputs, options.precision, &shipped.kernels);
    data.log = options.log;
  }
  data_ = std::make_shared<const Data>(std::move(data));
  if (options.log) {
    const ProgramStats stats = program.stats({});
    options.log(fmt::format("compiled {} kernel calls, {} constants folded, {:.1f} MB of constants kept", stats.instructions, stats.folded_constants,
                            static_cast<double>(stats.folded_bytes + stats.packed_bytes) / 1e6));
    for (const std::string& fold : stats.large_folds) options.log("a large constant was folded: " + fold);
  }
}

const Explainer::Data& Explainer::data() const {
  if (data_ == nullptr)
    throw Error(ErrorCode::invalid_argument, "[explainer] it was moved from; run the explainer it was moved to, or copy instead: copies share everything");
  return *data_;
}

const std::vector<std::string>& Explainer::methods() const { return data().methods; }
const std::vector<std::string>& Explainer::nodes() const { return data().nodes; }
const Program& Explainer::program() const { return data().program; }

namespace {

/// How many samples the inputs hold, and whether the model takes any number of them.
struct Batch {
  std::int64_t samples = 1;
  std::int64_t at_once = 0;  ///< of a model of fixed batch size
};

Batch batch_of(const std::vector<std::pair<std::string, Type>>& declared, const Inputs& given) {
  Batch batch;
  for (const auto& [name, type] : declared) {
    const auto found = given.find(name);
    if (found == given.end() || type.shape.rank() == 0 || found->second.rank() == 0) continue;
    const Dim first = type.shape[0];
    batch.samples = first.batch ? found->second.dims()[0] / first.factor : found->second.dims()[0];
    if (!first.batch && batch.samples != first.factor) batch.at_once = first.factor;
    if (first.batch) return batch;
  }
  return batch;
}

std::vector<std::int64_t> targets_for(const Type& scores, Targets kind, const std::vector<std::int64_t>& given, std::int64_t samples) {
  if (kind == Targets::largest) {
    if (!given.empty())
      throw Error(ErrorCode::invalid_argument, "[explainer] it was made for the largest score of each sample and takes no targets; make it with Targets::given");
    return {};
  }
  std::vector<std::int64_t> targets = given;
  if (targets.size() == 1) targets.assign(static_cast<std::size_t>(samples), given[0]);
  if (static_cast<std::int64_t>(targets.size()) != samples)
    throw Error(ErrorCode::shape, fmt::format("[explainer] {} targets were given for {} samples; give one, or one for each", given.size(), samples));
  const std::int64_t count = scores.shape[1].factor;
  for (const std::int64_t target : targets)
    if (target < 0 || target >= count)
      throw Error(ErrorCode::invalid_argument, fmt::format("[explainer] target {} is out of range: the output has {} scores, 0 to {}", target, count, count - 1));
  return targets;
}

/// Holds some of the first `unit` samples of a run, those that one call of the program took or all, against the plain float64 path.
template <class Data>
void verify(const Data& d, const Inputs& inputs, std::span<const OutputBuffer> buffers, std::int64_t unit, std::int64_t samples) {
  Inputs first = inputs;
  if (unit < samples)
    for (auto& [name, tensor] : first)
      if (tensor.rank() > 0 && tensor.dims()[0] % samples == 0) tensor = rows_of(tensor, 0, unit * (tensor.dims()[0] / samples));
  std::vector<Tensor> results;
  for (std::size_t i = 0; i < buffers.size(); ++i)
    results.push_back(Tensor::borrow(buffers[i].dtype, d.types[i].shape.at({unit, 1}), buffers[i].data, nullptr));
  std::vector<std::int64_t> chosen;
  const std::int64_t count = std::min(d.verified, unit);
  for (std::int64_t k = 0; k < count; ++k) chosen.push_back(count == 1 ? 0 : k * (unit - 1) / (count - 1));
  const std::vector<NumberCheck> checks = d.verifier->check(first, results, chosen);
  std::string beyond;
  for (std::size_t i = 0; i < checks.size(); ++i) {
    const std::string what = i == 0 ? "the scores" : fmt::format("{} of '{}'", d.methods[(i - 1) / d.nodes.size()], d.nodes[(i - 1) % d.nodes.size()]);
    const std::string line = fmt::format("{}: {:.1e} of the largest value off the plain float64 path, where rounding explains {:.1e}", what, checks[i].difference, checks[i].explained);
    if (d.log) d.log(line);
    if (!checks[i].within()) beyond += "\n  " + line;
  }
  if (!beyond.empty())
    throw Error(ErrorCode::internal, "[explainer] results are wrong; please report it, and compute in float64 until it is repaired:" + beyond);
}

}  // namespace

void Explainer::run_into(const Inputs& given, std::span<const OutputBuffer> attributions, const OutputBuffer& scores,
                         const ExplainChoices& choices) const {
  const Data& d = data();
  if (choices.batch_size < 0)
    throw Error(ErrorCode::invalid_argument, fmt::format("[explainer] a batch of {} samples was asked for; 0 means all at once", choices.batch_size));
  const Batch batch = batch_of(d.inputs, given);
  const std::int64_t samples = batch.samples;
  if (attributions.size() + 1 != d.types.size())
    throw Error(ErrorCode::invalid_argument, fmt::format("[explainer] {} buffers were given for {} methods of {} nodes each", attributions.size(),
                                                         d.methods.size(), d.nodes.size()));
  Tensor own_scores;
  std::vector<OutputBuffer> buffers{scores};
  if (scores.data == nullptr) {
    own_scores = Tensor::uninitialized(d.types[0].dtype, d.types[0].shape.at({samples, 1}));
    buffers[0] = {own_scores.dtype(), own_scores.mutable_data(), own_scores.size()};
  }
  buffers.insert(buffers.end(), attributions.begin(), attributions.end());

  const std::int64_t wanted = batch.at_once > 0 ? batch.at_once : choices.batch_size > 0 ? choices.batch_size : samples;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    const std::string what = i == 0 ? "the scores" : fmt::format("{} of '{}'", d.methods[(i - 1) / d.nodes.size()], d.nodes[(i - 1) % d.nodes.size()]);
    const auto axis = batch_axis(d.types[i].shape);
    Dims dims = d.types[i].shape.at({samples, 1});
    if (batch.at_once > 0 && !axis && !dims.empty()) dims[0] *= samples / batch.at_once;
    if (buffers[i].dtype != d.types[i].dtype || buffers[i].count != element_count(dims))
      throw Error(buffers[i].dtype != d.types[i].dtype ? ErrorCode::dtype : ErrorCode::shape,
                  fmt::format("[explainer] {} for {} samples is {}{}, {} elements, but the buffer holds {} of {}", what, samples,
                              name_of(d.types[i].dtype), to_string(dims), element_count(dims), buffers[i].count, name_of(buffers[i].dtype)));
    if (buffers[i].data == nullptr && buffers[i].count != 0)
      throw Error(ErrorCode::invalid_argument, fmt::format("[explainer] the buffer for {} has no memory behind it", what));
    if (wanted < samples && batch.at_once == 0 && !d.mixing.empty())
      throw Error(ErrorCode::model, fmt::format("[explainer] the {} samples cannot be run in parts of {}, because {} lets them act on each other; run them at once", samples,
                                                wanted, d.mixing));
    if (wanted < samples && !axis && batch.at_once == 0)
      throw Error(ErrorCode::shape, fmt::format("[explainer] {} holds no batch ({}), so the samples cannot be run in parts", what, to_string(d.types[i])));
  }
  if (batch.at_once > 0 && samples % batch.at_once != 0)
    throw Error(ErrorCode::shape, fmt::format("[explainer] the model takes {} samples at once, which {} is no multiple of", batch.at_once, samples));

  Inputs inputs = given;
  const std::vector<std::int64_t> targets = targets_for(d.types[0], d.targets, choices.targets, samples);
  if (d.targets == Targets::given) inputs[target_input] = Tensor({samples}, std::span<const std::int64_t>(targets));
  if (d.seed == Question::Seed::tensor) {
    const std::int64_t count = d.types[0].shape[1].factor;
    if (choices.seed.dims() != Dims{samples, count} || choices.seed.dtype() != d.types[0].dtype)
      throw Error(ErrorCode::shape, fmt::format("[explainer] the seed must be {}{} but is {}{}", name_of(d.types[0].dtype), to_string(Dims{samples, count}),
                                                name_of(choices.seed.dtype()), to_string(choices.seed.dims())));
    inputs[seed_input] = choices.seed;
  }

  for (std::int64_t first = 0; first < samples; first += wanted) {
    const std::int64_t count = std::min(wanted, samples - first);
    if (count == samples) {
      d.program.run_into(inputs, buffers, {.threads = choices.threads, .stop = choices.stop});
    } else {
      Inputs part = inputs;
      for (auto& [name, tensor] : part)
        if (tensor.rank() > 0 && tensor.dims()[0] % samples == 0) tensor = rows_of(tensor, first * (tensor.dims()[0] / samples), count * (tensor.dims()[0] / samples));
      const std::vector<Tensor> results = d.program.run(part, {.threads = choices.threads, .stop = choices.stop, .batch_offset = first});
      for (std::size_t i = 0; i < results.size(); ++i) {
        if (batch_axis(d.types[i].shape))
          place(d.types[i].shape, results[i].data(), first, count, buffers[i], samples);
        else
          std::memcpy(buffers[i].data + static_cast<std::size_t>(first / count) * results[i].bytes(), results[i].data(), results[i].bytes());
      }
    }
    if (choices.progress) choices.progress(first + count, samples);
  }
  if (d.verifier) verify(d, inputs, buffers, batch.at_once > 0 ? batch.at_once : samples, samples);
}

Explanation Explainer::run(const Inputs& inputs, const ExplainChoices& choices) const {
  const Data& d = data();
  const Batch batch = batch_of(d.inputs, inputs);
  std::vector<Tensor> results;
  std::vector<OutputBuffer> buffers;
  for (const Type& type : d.types) {
    Dims dims = type.shape.at({batch.samples, 1});
    if (batch.at_once > 0 && !dims.empty()) dims[0] *= std::max<std::int64_t>(batch.samples / batch.at_once, 1);
    results.push_back(Tensor::uninitialized(type.dtype, std::move(dims)));
    buffers.emplace_back(type.dtype, results.back().mutable_data(), results.back().size());
  }
  run_into(inputs, std::span(buffers).subspan(1), buffers[0], choices);
  Tensor scores = std::move(results[0]);
  results.erase(results.begin());
  return Explanation(d.methods, d.nodes, std::move(scores), std::move(results));
}

namespace {

Inputs only_input(const std::vector<std::pair<std::string, Type>>& inputs, const Tensor& value) {
  if (inputs.size() == 1) return {{inputs[0].first, value}};
  std::vector<std::string> names;
  for (const auto& [name, type] : inputs) names.push_back("'" + name + "'");
  throw Error(ErrorCode::invalid_argument, fmt::format("[explainer] the model has {} inputs ({}) and one value was given; give each by its name", inputs.size(), join(names)));
}

}  // namespace

Explanation Explainer::run(const Tensor& input, const ExplainChoices& choices) const { return run(only_input(data().inputs, input), choices); }

void Explainer::run_into(const Tensor& input, std::span<const OutputBuffer> attributions, const OutputBuffer& scores,
                         const ExplainChoices& choices) const {
  run_into(only_input(data().inputs, input), attributions, scores, choices);
}

}  // namespace rulegrad
