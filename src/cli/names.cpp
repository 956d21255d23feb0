#include "cli/names.hpp"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <sstream>

#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {
namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  return problem == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(value)
                                                                                     : std::nullopt;
}

}  // namespace

std::vector<std::int64_t> indices_in(const std::string& text) {
  std::vector<std::int64_t> result;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const auto number = whole_number(std::string_view(text).substr(at, comma - at));
    if (!number) return {};
    result.push_back(*number);
    at = comma + 1;
  }
  return result;
}

std::vector<std::string> read_lines(const std::string& path, const std::string& what) {
  std::error_code none;
  if (std::filesystem::is_directory(path, none))
    throw Error(ErrorCode::io,
                fmt::format("{} '{}' is a directory; give a text file with one name a line", what, path));
  std::istringstream file([&] {
    try {
      return io::read_text(path);
    } catch (const Error& error) {
      throw Error(error.code(),
                  fmt::format("{}: {}; give a text file with one name a line", what, error.what()));
    }
  }());
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    lines.push_back(line);
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

std::string kind_of_output(const Model& model, std::size_t output) {
  switch (model.kind(output)) {
    case OutputKind::probability:
      return "probability";
    case OutputKind::log_probability:
      return "log probability";
    case OutputKind::score:
      break;
  }
  return "score";
}

ScoreNames::ScoreNames(const Model& model, std::size_t output, const std::string& labels_file) {
  const Shape& shape = model.outputs().at(output).expr.shape();
  for (std::size_t axis = 1; axis < shape.rank(); ++axis) dims_.push_back(shape[axis].factor);
  for (const std::int64_t dim : dims_) count_ *= dim;
  labels_ = labels_file.empty() ? model.labels() : read_lines(labels_file, "the labels");
  const auto fits = static_cast<std::int64_t>(labels_.size());
  if (fits == count_ || (dims_.size() > 1 && fits == dims_.back())) return;
  if (!labels_file.empty())
    throw Error(
        ErrorCode::shape,
        fmt::format(
            "'{}' has {} label{} but the model's output '{}' has {} score{}; one line a score is needed",
            labels_file, fits, fits == 1 ? "" : "s", model.outputs()[output].name, count_,
            count_ == 1 ? "" : "s"));
  labels_.clear();
}

std::string ScoreNames::label(std::int64_t index) const {
  if (labels_.empty()) return "";
  const auto count = static_cast<std::int64_t>(labels_.size());
  return labels_[static_cast<std::size_t>(count == count_ ? index : index % count)];
}

std::string ScoreNames::name(std::int64_t index) const {
  const std::string text = label(index);
  if (dims_.size() < 2) return labels_.empty() ? fmt::format("class {}", index) : text;
  std::vector<std::string> place(dims_.size());
  std::int64_t rest = index;
  for (std::size_t axis = dims_.size(); axis-- > 0; rest /= std::max<std::int64_t>(dims_[axis], 1))
    place[axis] = fmt::format("{}", rest % std::max<std::int64_t>(dims_[axis], 1));
  return fmt::format("{}{}[{}]", text, text.empty() ? "" : " ", join(place));
}

std::int64_t ScoreNames::find(const std::string& text) const {
  for (std::size_t i = 0; i < labels_.size(); ++i)
    if (labels_[i] == text && static_cast<std::int64_t>(labels_.size()) == count_)
      return static_cast<std::int64_t>(i);
  const std::vector<std::int64_t> indices = indices_in(text);
  if (indices.empty()) {
    if (!labels_.empty() && static_cast<std::int64_t>(labels_.size()) == count_)
      throw Error(ErrorCode::unknown_name,
                  fmt::format("--target '{}' is no class index, argmax, all or .npy file, and no label: {}",
                              text, unknown_name_message("label", text, labels_)));
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--target '{}' is no class index, argmax, all or .npy file{}", text,
                            labels_.empty() ? "; labels are known with --labels" : ""));
  }
  if (indices.size() == 1) {
    if (indices[0] < 0 || indices[0] >= count_)
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("target {} is out of range: the output has {} scores, 0 to {}", indices[0],
                              count_, count_ - 1));
    return indices[0];
  }
  if (indices.size() != dims_.size())
    throw Error(ErrorCode::invalid_argument,
                fmt::format("--target {}: one sample's output has {} ax{}, {}; give an index for each, or "
                            "one for the flattened output",
                            text, dims_.size(), dims_.size() == 1 ? "is" : "es", to_string(dims_)));
  std::int64_t flat = 0;
  for (std::size_t axis = 0; axis < dims_.size(); ++axis) {
    if (indices[axis] < 0 || indices[axis] >= dims_[axis])
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--target {}: {} is out of range along axis {} of one sample's output {}", text,
                              indices[axis], axis, to_string(dims_)));
    flat = flat * dims_[axis] + indices[axis];
  }
  return flat;
}

TokenNames::TokenNames(const std::string& file) : file_(file) {
  if (!file.empty()) lines_ = read_lines(file, "the tokens");
}

std::vector<std::string> TokenNames::of(const Tensor& ids, std::int64_t sample, std::int64_t samples,
                                        std::int64_t rows) const {
  const std::int64_t length = samples == 0 ? 0 : ids.size() / samples,
                     lines = static_cast<std::int64_t>(lines_.size());
  std::vector<std::string> result;
  const bool vocabulary = lines == rows;
  if (!lines_.empty() && !vocabulary && lines != length && lines != length * samples)
    throw Error(ErrorCode::shape,
                fmt::format("'{}' has {} lines: a vocabulary of this model has {} (one for each row of its "
                            "table), and the samples have {} tokens each, {} together",
                            file_, lines, rows, length, length * samples));
  for (std::int64_t i = 0; i < length; ++i) {
    const auto id = static_cast<std::int64_t>(ids.at(sample * length + i));
    const std::int64_t wrapped = id < 0 ? id + rows : id;
    if (lines_.empty())
      result.push_back(fmt::format("{}", id));
    else if (vocabulary)
      result.push_back(wrapped >= 0 && wrapped < lines ? lines_[static_cast<std::size_t>(wrapped)]
                                                       : fmt::format("{}", id));
    else
      result.push_back(lines_[static_cast<std::size_t>(lines == length ? i : sample * length + i)]);
  }
  return result;
}

}  // namespace rulegrad::cli
