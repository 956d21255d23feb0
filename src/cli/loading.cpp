#include "cli/loading.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <sstream>

#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

constexpr std::int64_t largest_extent = std::int64_t{1} << 31;

/// `float[batch, seq, 6]` as `batch`, `seq`, `6`.
std::vector<std::string> axes_of(const std::string& type) {
  std::vector<std::string> axes;
  const std::size_t open = type.find('[');
  if (open == std::string::npos || !type.ends_with(']')) return axes;
  std::string rest = type.substr(open + 1, type.size() - open - 2);
  while (!rest.empty()) {
    const std::size_t comma = rest.find(", ");
    axes.push_back(rest.substr(0, comma));
    rest = comma == std::string::npos ? "" : rest.substr(comma + 2);
  }
  return axes;
}

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

std::map<std::string, std::int64_t> typed_extents(const std::vector<std::string>& dims) {
  std::map<std::string, std::int64_t> result;
  for (const std::string& text : dims) {
    const std::size_t equals = text.rfind('=');
    std::int64_t extent = 0;
    const char* const end = text.data() + text.size();
    const auto parsed = equals == std::string::npos ? std::from_chars_result{end, std::errc::invalid_argument}
                                                    : std::from_chars(text.data() + equals + 1, end, extent);
    if (equals == 0 || parsed.ec != std::errc() || parsed.ptr != end || extent < 1 || extent > largest_extent)
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("--dim '{}': write NAME=EXTENT with an extent of at least 1, as in --dim seq=128",
                      text));
    result[text.substr(0, equals)] = extent;
  }
  return result;
}

/// The names of --dim must be axes of the model.
void check_names(const std::map<std::string, std::int64_t>& extents, const ModelSummary& summary) {
  std::vector<std::string> known;
  for (const auto& input : summary.inputs) {
    const std::vector<std::string> axes = axes_of(input.type);
    for (std::size_t axis = 0; axis < axes.size(); ++axis) {
      if (is_number(axes[axis])) continue;
      if (axes[axis] != "?" && std::find(known.begin(), known.end(), axes[axis]) == known.end())
        known.push_back(axes[axis]);
      known.push_back(fmt::format("{}.{}", input.name, axis));
    }
  }
  for (const auto& [name, extent] : extents)
    if (std::find(known.begin(), known.end(), name) == known.end())
      throw Error(
          ErrorCode::unknown_name,
          "--dim: " + (known.empty() ? fmt::format("the inputs of this model have no free axis '{}'", name)
                                     : unknown_name_message("free axis", name, known)));
}

/// What a free axis is by the array or picture that is given for its input.
std::optional<std::int64_t> extent_in(const GivenInput& given, const FreeAxis& free,
                                      const io::Preprocessing& preprocessing) {
  const std::size_t rank = axes_of(free.type).size();
  if (given.is_picture) {
    if (rank != 4 || preprocessing.short_side != 0) return std::nullopt;
    const std::size_t height = preprocessing.layout == io::Layout::nchw ? 2 : 1;
    if (free.axis != height && free.axis != height + 1) return std::nullopt;
    const io::Picture picture = io::read_picture(given.file);
    return free.axis == height ? picture.height : picture.width;
  }
  const std::size_t given_rank = given.values.rank();
  if (given_rank != rank && given_rank + 1 != rank) return std::nullopt;
  return given.values.dims()[free.axis - (rank - given_rank)];
}

void add_extents(std::map<std::string, std::int64_t>& extents, const std::vector<FreeAxis>& axes,
                 std::span<const GivenInput> given, bool one_input, const io::Preprocessing& preprocessing) {
  std::map<std::string, std::string> from;
  for (const FreeAxis& free : axes)
    for (const GivenInput& one : given) {
      if (one.name.empty() ? !one_input : one.name != free.input) continue;
      const auto extent = extent_in(one, free, preprocessing);
      if (!extent) continue;
      const auto [entry, fresh] = extents.try_emplace(free.key, *extent);
      if (!fresh && entry->second != *extent && from.contains(free.key))
        throw Error(ErrorCode::shape,
                    fmt::format("the axis '{}' is {} in {} but {} in {}; it has one extent in all of them",
                                free.key, entry->second, from[free.key], *extent, one.file));
      if (fresh) from[free.key] = one.file;
    }
}

std::string first_line_of(const std::string& path) {
  std::error_code none;
  if (!std::filesystem::is_regular_file(path, none)) return {};
  const std::string text = io::read_text(path);
  return text.substr(0, text.find('\n'));
}

}  // namespace

std::vector<FreeAxis> free_axes(const ModelSummary& summary) {
  std::vector<FreeAxis> result;
  std::string batch;  // an axis of the first one's name is the batch wherever it stands
  for (const auto& input : summary.inputs)
    if (const auto axes = axes_of(input.type);
        batch.empty() && !axes.empty() && !is_number(axes[0]) && axes[0] != "?")
      batch = axes[0];
  for (const auto& input : summary.inputs) {
    const std::vector<std::string> axes = axes_of(input.type);
    for (std::size_t axis = 1; axis < axes.size(); ++axis)
      if (!is_number(axes[axis]) && (batch.empty() || axes[axis] != batch))
        result.push_back({input.name, input.type, axis,
                          axes[axis] == "?" ? fmt::format("{}.{}", input.name, axis) : axes[axis]});
  }
  return result;
}

Model load_model(const ModelOptions& options, std::span<const GivenInput> given,
                 const io::Preprocessing& preprocessing) {
  const DType dtype = dtype_from_name(options.dtype);
  if (!is_floating(dtype))
    throw Error(ErrorCode::dtype,
                fmt::format("--dtype {}: networks compute in float32 or float64", options.dtype));
  LoadOptions load;
  load.dtype = dtype;
  load.allow_non_finite = options.allow_non_finite;
  load.extents = typed_extents(options.dims);
  if (!options.plugins.empty()) load.operators = &options.registry().operators;
  if (!load.extents.empty()) check_names(load.extents, inspect_onnx(options.path));
  const std::size_t typed = load.extents.size();
  try {
    return load_onnx(options.path, load);
  } catch (const Error& error) {
    // Only then is the file looked at for free axes, which few have.
    if (error.code() != ErrorCode::model) throw;
    const ModelSummary summary = inspect_onnx(options.path);
    const std::vector<FreeAxis> axes = free_axes(summary);
    add_extents(load.extents, axes, given, summary.inputs.size() == 1, preprocessing);
    const bool about_axes = std::string_view(error.what()).find("is free") != std::string_view::npos;
    const auto open = std::find_if(axes.begin(), axes.end(),
                                   [&](const FreeAxis& free) { return !load.extents.contains(free.key); });
    if (about_axes && open != axes.end())
      throw Error(ErrorCode::model,
                  fmt::format("cannot load '{}': axis {} of input '{}' {} is free; say its extent, as in "
                              "--dim {}=128, or give an array that has it",
                              options.path, open->axis, open->input, open->type, open->key));
    if (load.extents.size() == typed) throw;
  }
  return load_onnx(options.path, load);
}

Loaded load(const ModelOptions& options, const InputOptions& input) {
  const std::vector<GivenInput> given = read_inputs(input);
  Model model = load_model(options, given, input.preprocessing(""));
  Samples samples = fit_samples(input, options, model, given);
  return {std::move(model), std::move(samples)};
}

std::vector<LeftOut> left_out(const Model& model) {
  constexpr std::string_view before = "output '", between = "' is left out: ";
  std::vector<LeftOut> result;
  for (const std::string& note : model.notes()) {
    const std::size_t at = note.find(between);
    if (note.starts_with(before) && at != std::string::npos)
      result.push_back({note.substr(before.size(), at - before.size()), note.substr(at + between.size())});
  }
  return result;
}

std::size_t output_index(const ModelOptions& options, const Model& model) {
  if (options.output_node.empty()) {
    // Classifiers of scikit-learn give their answer first, as an integer, and then the scores behind it.
    const auto& outputs = model.outputs();
    const auto scores = std::find_if(outputs.begin(), outputs.end(), [](const ModelOutput& output) {
      return is_floating(output.expr.dtype());
    });
    return scores == outputs.end() ? 0 : static_cast<std::size_t>(scores - outputs.begin());
  }
  std::vector<std::string> known;
  for (const ModelOutput& output : model.outputs()) known.push_back(output.name);
  const auto found = std::find(known.begin(), known.end(), options.output_node);
  for (const LeftOut& missing : left_out(model))
    if (missing.output == options.output_node)
      throw Error(ErrorCode::model, fmt::format("--output-node: output '{}' of '{}' cannot be read: {}",
                                                missing.output, options.path, missing.reason));
  if (found == known.end())
    throw Error(ErrorCode::unknown_name,
                "--output-node: " + unknown_name_message("output", options.output_node, known));
  return static_cast<std::size_t>(found - known.begin());
}

void note_output(const ModelOptions& options, const Model& model) {
  if (!options.output_node.empty()) return;
  for (const LeftOut& missing : left_out(model))
    warn(fmt::format("output '{}' of the file cannot be read and is left out: {}", missing.output,
                     missing.reason));
  if (model.outputs().size() < 2) return;
  const std::string& taken = model.outputs()[output_index(options, model)].name;
  std::vector<std::string> others;
  for (const ModelOutput& output : model.outputs())
    if (output.name != taken) others.push_back("'" + output.name + "'");
  fmt::print(
      stderr, "{}",
      harmless(fmt::format("the output is '{}'; --output-node takes another: {}\n", taken, join(others))));
}

std::string written_recipe(const ModelOptions& options, const Model& model) {
  const auto& metadata = model.summary().metadata;
  if (const auto found = metadata.find("preprocess"); found != metadata.end()) return found->second;
  return first_line_of(options.path + ".preprocess");
}

}  // namespace rulegrad::cli
