#include "cli/streaming.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <set>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/npy_rows.hpp"
#include "rulegrad/passes/separable.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/loading.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_told = 20;

/// What --input names, by input.
std::vector<GivenInput> given_inputs(const std::vector<std::string>& texts) {
  std::vector<GivenInput> result;
  for (const std::string& text : texts) {
    const auto [name, file] = name_and_file(text);
    if (fs::path(file).extension() == ".npz")
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("'{}' is an archive, which cannot be read row by row; save the array as a .npy file",
                      file));
    result.push_back({name, file, false, {}});
  }
  return result;
}

/// One sample of arrays, for models whose axes are free.
std::vector<GivenInput> first_samples(std::vector<GivenInput> given) {
  std::erase_if(given, [](GivenInput& one) {
    if (fs::path(one.file).extension() != ".npy") return true;
    const io::NpyRows rows(one.file);
    if (rows.count() > 0) one.values = rows.read(0, 1);
    return rows.count() == 0;
  });
  return given;
}

SampleType sample_type(const ModelInput& input) {
  const Shape& shape = input.expr.shape();
  if (shape[0].factor != 1)
    throw Error(ErrorCode::model,
                fmt::format("streams take samples one by one, but the model's input '{}' is {}", input.name,
                            to_string(input.expr.type())));
  SampleType type{input.name, input.expr.dtype(), {}};
  for (std::size_t axis = 1; axis < shape.rank(); ++axis) type.dims.push_back(shape[axis].factor);
  return type;
}

class Streaming {
 public:
  Streaming(const AnalysisOptions& options, const StreamChoices& choices, const ReportOptions& report)
      : options_(options), choices_(choices), report_(report), case_(options) {
    if (report.output.empty() || !is_directory_name(report.output))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("{} samples go out in shards: give a folder as --output{}",
                              report.output.empty() ? "many" : "so many",
                              report.output.empty() ? "" : fmt::format(", not '{}'", report.output)));
    const std::vector<std::string> known{"stop", "skip"};
    if (!choices.on_error.empty() && std::ranges::find(known, choices.on_error) == known.end())
      throw Error(ErrorCode::unknown_name, unknown_name_message("--on-error", choices.on_error, known));
  }

  void run() {
    const std::vector<GivenInput> given = given_inputs(options_.input.files);
    case_.load(first_samples(given));
    const Model& model = case_.model();
    open(given);
    const SampleSource& source = *inputs_.front().source;
    const bool each = options_.question.target.ends_with(".npy");
    const Chosen chosen =
        resolve_targets(options_.question.target, each ? source.count() : 1, case_.scores());
    note_output(options_.model, model);
    const Explainer explainer(model, case_.calls(), case_.explainer_options(chosen));
    require_separable();
    case_.note_other_inputs(explainer.nodes());

    StreamOptions how;
    how.shard = choices_.shard;
    share_memory(explainer.program(), how);
    how.threads = options_.run.threads;
    how.resume = choices_.resume;
    how.skip = choices_.on_error == "skip";
    how.targets = chosen.targets;
    how.shared = shared_;
    StreamQuestion question = case_.stream_question(explainer, preprocessing_);
    if (chosen.each > 1) question.stacked = chosen.each;
    how.seed = case_.seed_array(1);
    if (how.seed.size() > 0) how.seed = how.seed.reshaped({how.seed.size()});
    Progress progress("analyzing", source.count());
    how.progress = [&, before = std::int64_t{0}](std::int64_t done, std::int64_t) mutable {
      progress.advance(done - std::exchange(before, done));
    };
    how.on_shard = [&](const StreamShard& shard) { draw(shard, source, explainer); };
    const StreamSummary summary = rulegrad::run_stream(explainer, inputs_, report_.output, question, how);
    tell(summary, source.count());
  }

 private:
  /// Sources of the inputs that hold samples, and the values of those that every sample shares.
  void open(const std::vector<GivenInput>& given) {
    const Model& model = case_.model();
    for (const GivenInput& one : given) check_input_name(model, one);
    for (const ModelInput& input : model.inputs()) {
      std::vector<std::string> files;
      for (const GivenInput& one : given)
        if (one.name.empty() || one.name == input.name) files.push_back(one.file);
      if (files.empty()) {
        if (is_needed(model, input, case_.output())) throw_missing(input);
        continue;
      }
      if (holds_batch(input)) {
        const SampleType type = sample_type(input);
        inputs_.push_back({type, open_samples(files, sample_files(type))});
        continue;
      }
      if (files.size() > 1 || fs::path(files[0]).extension() != ".npy")
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("--input {}: the model's input is {} for all samples; give one .npy file",
                                input.name, to_string(input.expr.type())));
      shared_[input.name] = fitted_shared({input.name, files[0], false, io::read_npy(files[0])}, input);
    }
    if (inputs_.empty())
      throw Error(ErrorCode::model, fmt::format("streams take samples one by one, but none of the model's "
                                                "inputs ({}) has an axis for them",
                                                names_of(model)));
  }

  SampleFiles sample_files(const SampleType& type) {
    const std::string written = written_recipe(options_.model, case_.model());
    preprocessing_ = options_.input.preprocessing(written);
    SampleFiles files{type, std::nullopt, missing_recipe(options_.model)};
    if (options_.input.has_recipe() || !written.empty()) files.recipe = preprocessing_;
    return files;
  }

  /// Half of --memory is for what is computed at once, the rest for samples and results in flight.
  void share_memory(const Program& program, StreamOptions& how) const {
    const auto working = [&](std::int64_t batch) {
      return program.stats({.batch = batch, .samples = 1}).arena_bytes;
    };
    const std::size_t all = options_.memory_bytes();
    if (options_.run.batch_size > 0)
      how.batch_size = options_.run.batch_size;
    else
      while (how.batch_size > 1 && working(how.batch_size) > all / 2) how.batch_size /= 2;
    how.memory = all - std::min(working(how.batch_size), all / 2);
  }

  void require_separable() const {
    const Expr y = case_.model().outputs()[case_.output()].expr;
    if (const auto mixing = first_mixing(std::span(&y, 1)))
      throw Error(ErrorCode::model,
                  fmt::format("the samples cannot be explained shard by shard, because {} mixes them",
                              describe(*mixing)));
  }

  /// Pictures of the first samples, as long as so many were not drawn.
  void draw(const StreamShard& shard, const SampleSource& source, const Explainer& explainer) {
    if (shard.found == nullptr || drawn_ >= most_drawn()) return;
    Samples samples;
    samples.samples = static_cast<std::int64_t>(shard.samples.size());
    samples.inputs = shard.inputs;
    samples.preprocessing = preprocessing_;
    for (const StreamInput& input : inputs_)
      if (samples.pictures.empty())
        samples.pictures = pictures_of(shard.inputs.at(input.type.input), preprocessing_);
    for (const std::int64_t sample : shard.samples)
      samples.names.push_back(fs::path(source.name(sample)).stem().string());
    ReportOptions looks = report_;
    looks.pictures = most_drawn() - drawn_;
    const fs::path folder = fs::path(report_.output) / "pictures";
    Report(looks, samples, *shard.found,
           {case_.scores(), case_.seed_name(case_.seed_array(1)), case_.tokens_of(explainer.nodes(), samples),
            case_.score_kind()})
        .write_pictures(folder.string(), drawn_ == 0 ? "grid" : fmt::format("grid-{}", shard.number));
    drawn_ += std::min(samples.samples, looks.pictures);
  }
  [[nodiscard]] std::int64_t most_drawn() const { return report_.pictures < 0 ? 16 : report_.pictures; }

  void tell(const StreamSummary& summary, std::int64_t samples) const {
    for (std::size_t i = 0; i < std::min(summary.failed.size(), most_told); ++i)
      warn(fmt::format("left out: {}: {}", summary.failed[i].first, summary.failed[i].second));
    if (summary.failed.size() > most_told)
      warn(fmt::format("left out: {} more, which manifest.json names", summary.failed.size() - most_told));
    if (summary.explained == 0)
      throw Error(ErrorCode::io,
                  fmt::format("none of the {} samples could be explained; the first: {}", samples,
                              summary.failed.empty() ? "" : summary.failed[0].second));
    say(fmt::format("{} samples in {} shard{} of {}, {} left out; wrote {}\n", summary.explained,
                    summary.shards, summary.shards == 1 ? "" : "s", summary.shard_size, summary.failed.size(),
                    (fs::path(report_.output) / "manifest.json").string()));
  }

  const AnalysisOptions& options_;
  const StreamChoices& choices_;
  const ReportOptions& report_;
  AnalysisCase case_;
  io::Preprocessing preprocessing_;
  std::vector<StreamInput> inputs_;
  Inputs shared_;
  std::int64_t drawn_ = 0;
};

}  // namespace

void add_stream_options(CLI::App& command, StreamChoices& choices) {
  command
      .add_option(
          "--shard", choices.shard,
          "Write results in files of so many samples as they are made, and read samples when their turn "
          "comes. Folders, lists\nand arrays that --memory does not hold are always taken so, in shards "
          "of at most 256")
      ->type_name("N")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1} << 40));
  command.add_flag("--resume", choices.resume,
                   "Go on in the folder --output at the first shard that is missing");
  command
      .add_option("--on-error", choices.on_error,
                  "What cannot be read or explained: stop (default), or skip it and count it")
      ->type_name("stop|skip");
}

bool is_stream(const AnalysisOptions& options, const StreamChoices& choices, const ReportOptions& report) {
  if (choices.shard > 0 || choices.resume || !choices.on_error.empty()) return true;
  if (fs::path(report.output).extension() == ".zarr") return true;
  std::vector<std::pair<std::string, std::string>> given;
  for (const std::string& text : options.input.files) given.push_back(name_and_file(text));
  if (std::ranges::any_of(given, [](const auto& one) { return is_sample_folder_or_list(one.second); }))
    return true;
  if (!is_directory_name(report.output)) return false;
  std::uintmax_t bytes = 0;
  std::set<std::string> names;
  for (const auto& [name, file] : given) {
    std::error_code none;
    // Several arrays for one input are one after another in memory.
    if (fs::path(file).extension() != ".npy" || !names.insert(name).second) return false;
    const std::uintmax_t size = fs::file_size(file, none);
    if (!none) bytes += size;
  }
  // The arrays, and as much again for each method.
  return bytes > options.memory_bytes() / (1 + options.methods.size());
}

void run_stream(const AnalysisOptions& options, const StreamChoices& choices, const ReportOptions& report) {
  Streaming(options, choices, report).run();
}

}  // namespace rulegrad::cli
