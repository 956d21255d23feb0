#include "cli/options.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <fmt/format.h>
#include <sstream>
#include <sys/ioctl.h>
#include <unistd.h>

#include "rulegrad/api/plugin.hpp"
#include "rulegrad/compile/memory_limit.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {

void add_model_options(CLI::App& command, ModelOptions& options) {
  command.add_option("model", options.path, "The network, an ONNX file")->required()->type_name("MODEL");
  command.add_option("--dtype", options.dtype, "Compute in float32 (default) or float64")
      ->type_name("float32|float64");
  add_plugin_option(command, options);
  command.add_flag("--allow-non-finite", options.allow_non_finite,
                   "Accept NaN and infinity in weights, inputs and results");
  add_shape_options(command, options);
}

void add_shape_options(CLI::App& command, ModelOptions& options) {
  command
      .add_option("--dim", options.dims,
                  "The extent of an axis that the model leaves free, such as seq=128 (or INPUT.AXIS=128); "
                  "without it\nthat of the arrays; may be given several times")
      ->type_name("NAME=EXTENT");
  command
      .add_option("--output-node", options.output_node,
                  "Which of the model's outputs is meant (default: the first)")
      ->type_name("NAME");
}

void add_plugin_option(CLI::App& command, ModelOptions& options) {
  command
      .add_option("--plugin", options.plugins,
                  "Shared libraries with operators and rules of your own (rulegrad/api/plugin.hpp)")
      ->type_name("FILE.so");
}

const Registry& ModelOptions::registry() const {
  if (registry_ == nullptr) {
    Registry registry;
    for (const std::string& plugin : plugins) load_plugin(registry, plugin);
    registry_ = std::make_shared<const Registry>(std::move(registry));
  }
  return *registry_;
}

void add_input_options(CLI::App& command, InputOptions& options) {
  command
      .add_option("--input,-i", options.files,
                  "What the network sees: a .npy array (batch first, in the model's own layout), or pictures "
                  "(.png, .jpg),\n"
                  "each of which becomes one sample; may be given several times. Models with several inputs "
                  "take NAME=FILE\n"
                  "for each of them, or a .npz archive of arrays with their names")
      ->required()
      ->type_name("[NAME=]FILE");
  command
      .add_option("--preprocess", options.recipe,
                  "How pictures become numbers: raw (0..255), unit (pixel/255), signed (pixel/127.5 - "
                  "1),\nimagenet, caffe; needed for pictures, unless the model's metadata entry 'preprocess' "
                  "or a file\nMODEL.preprocess says it")
      ->type_name("RECIPE");
  command.add_option("--mean", options.mean, "Subtracted after scaling, in the model's channel order")
      ->delimiter(',')
      ->type_name("M,M,M");
  command.add_option("--std", options.std, "Divides after the mean is gone")
      ->delimiter(',')
      ->type_name("S,S,S");
  command.add_option("--scale", options.scale, "Multiplies the pixel (0..255) first")->type_name("FACTOR");
  command.add_option("--layout", options.layout, "Where the model keeps its channels")
      ->type_name("nchw|nhwc");
  command.add_option("--color", options.color, "The model's channel order")->type_name("rgb|bgr");
  command
      .add_option("--short-side", options.short_side,
                  "Resize the shorter side to this before the centre crop")
      ->type_name("PIXELS")
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{65536}));
}

void add_run_choices(CLI::App& command, RunChoices& choices) {
  command.add_option("--threads", choices.threads, "Threads to use, at most 1024 (default: all)")
      ->type_name("N")
      ->check(CLI::Range(0, 1024));
  command.add_option("--batch-size", choices.batch_size, "Samples computed at once (default: up to 16)")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  command
      .add_option(
          "--precision", choices.precision_name,
          "exact (default), fast: Winograd's transforms for 3x3 convolutions, and products of matrices "
          "from bfloat16 parts where\nthe processor has units for them, where no sign or zero hangs "
          "on them, or auto:\nthose where they change no result by more than 1e-4 of its largest "
          "value, which is tried first; bf16: as fast,\nand what nothing decides or divides by reads its "
          "operands "
          "as bfloat16 numbers: two or three digits of most maps")
      ->type_name("exact|fast|bf16|auto");
  command
      .add_option_function<std::uint64_t>(
          "--max-memory", [](const std::uint64_t& bytes) { set_memory_limit(bytes); },
          "What a program may allocate, as 8GB (default: three quarters of the machine's)")
      ->type_name("SIZE")
      ->transform(CLI::AsSizeValue(false));
  command.add_flag("--exact", choices.exact, "Simplify by rewrites that keep every bit alone");
}

void add_width_option(CLI::App& command, std::size_t& width) {
  command
      .add_option("--width", width, "Characters a line of a table may take (default: the terminal's, or 160)")
      ->type_name("N")
      ->check(CLI::Range(40, 10000));
}

std::size_t text_width(std::size_t chosen) {
  if (chosen != 0) return chosen;
  winsize size{};
  const bool terminal = isatty(1) != 0 && ioctl(1, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40;
  return terminal ? size.ws_col : 160;
}

namespace {

std::size_t word_index(const std::string& word, const std::vector<std::string>& words,
                       std::string_view what) {
  for (std::size_t i = 0; i < words.size(); ++i)
    if (words[i] == word) return i;
  throw Error(ErrorCode::unknown_name, unknown_name_message(what, word, words));
}

}  // namespace

Precision RunChoices::precision() const {
  const std::size_t word = word_index(precision_name, {"exact", "fast", "bf16", "auto"}, "--precision");
  if (exact && word != 0)
    throw Error(ErrorCode::invalid_argument, "--exact and --precision " + precision_name +
                                                 " contradict each other; leave one of them out");
  constexpr Precision known[] = {Precision::exact, Precision::fast, Precision::bfloat16,
                                 Precision::automatic};
  return known[word];
}

CompileOptions compile_options(const ModelOptions& model, const RunChoices& choices) {
  return {.check_finite = !model.allow_non_finite,
          .kernels = model.kernels(),
          .rounding = !choices.exact,
          .precision = choices.precision()};
}

namespace {

std::vector<double> numbers_of(const std::string& text, const std::string& what) {
  std::vector<double> result;
  for (const char *at = text.data(), *const end = at + text.size(); at < end; ++at) {
    const auto [next, problem] = std::from_chars(at, end, result.emplace_back());
    if (problem != std::errc() || (next != end && *next != ','))
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("the model's recipe for pictures: '{}={}' is no list of numbers", what, text));
    at = next;
  }
  if (result.empty())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("the model's recipe for pictures: '{}=' lacks its number", what));
  return result;
}

/// `imagenet short_side=256 layout=nhwc`
InputOptions recipe_from(const std::string& written) {
  InputOptions result;
  std::istringstream words(written);
  for (std::string word; words >> word;) {
    const std::size_t equals = word.find('=');
    const std::string key = word.substr(0, equals),
                      value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (equals == std::string::npos)
      result.recipe = key;
    else if (key == "mean")
      result.mean = numbers_of(value, key);
    else if (key == "std")
      result.std = numbers_of(value, key);
    else if (key == "scale")
      result.scale = numbers_of(value, key).at(0);
    else if (key == "layout")
      result.layout = value;
    else if (key == "color")
      result.color = value;
    else if (key == "short_side")
      result.short_side = static_cast<std::int64_t>(numbers_of(value, key).at(0));
    else
      throw Error(ErrorCode::unknown_name,
                  "the model's recipe for pictures: " +
                      unknown_name_message(
                          "word", key,
                          std::vector<std::string>{"mean", "std", "scale", "layout", "color", "short_side"}));
  }
  return result;
}

void lay_over(io::Preprocessing& result, const InputOptions& typed) {
  if (!typed.mean.empty()) result.mean = typed.mean;
  if (!typed.std.empty()) result.std = typed.std;
  if (typed.scale) result.scale = *typed.scale;
  if (!typed.layout.empty())
    result.layout =
        word_index(typed.layout, {"nchw", "nhwc"}, "--layout") == 0 ? io::Layout::nchw : io::Layout::nhwc;
  if (!typed.color.empty())
    result.color =
        word_index(typed.color, {"rgb", "bgr"}, "--color") == 0 ? io::ColorOrder::rgb : io::ColorOrder::bgr;
  if (typed.short_side != 0) result.short_side = typed.short_side;
}

}  // namespace

io::Preprocessing InputOptions::preprocessing(const std::string& written) const {
  io::Preprocessing result;
  if (!recipe.empty()) {
    result = io::preprocessing_from_name(recipe);
  } else if (!written.empty()) {
    const InputOptions noted = recipe_from(written);
    if (!noted.recipe.empty()) result = io::preprocessing_from_name(noted.recipe);
    lay_over(result, noted);
  }
  lay_over(result, *this);
  return result;
}

}  // namespace rulegrad::cli
