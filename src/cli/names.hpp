#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"

/// What people call scores, features and tokens: text files of one name a line.
namespace rulegrad::cli {

/// The lines of a file, empty ones at its end left out. Throws Error(io) that names `what` for what is no
/// readable file.
[[nodiscard]] std::vector<std::string> read_lines(const std::string& path, const std::string& what);

/// `5,1`: whole numbers with commas between them; none where the text is anything else.
[[nodiscard]] std::vector<std::int64_t> indices_in(const std::string& text);

/// What the numbers of an output are, in words: `probability` or `log probability` where a softmax or sigmoid ends the model, else `score`.
[[nodiscard]] std::string kind_of_output(const Model& model, std::size_t output);

/// The scores of an output, flattened, and what they are called.
class ScoreNames {
 public:
  /// Labels of --labels, or those of the model if they fit. Throws Error(shape) unless there is one for each
  /// score, or for each index along the last axis of an output of several axes.
  ScoreNames(const Model& model, std::size_t output, const std::string& labels_file);

  [[nodiscard]] std::int64_t count() const { return count_; }
  /// `cat`; `class 3` without labels; `[5, 1]` and its label for outputs of several axes.
  [[nodiscard]] std::string name(std::int64_t index) const;
  /// A label alone, or nothing.
  [[nodiscard]] std::string label(std::int64_t index) const;
  /// An index, `5,1` by the output's axes, or a label. Throws Error(invalid_argument) or Error(unknown_name).
  [[nodiscard]] std::int64_t find(const std::string& text) const;

 private:
  std::vector<std::int64_t> dims_;  ///< of one sample's output
  std::int64_t count_ = 1;
  std::vector<std::string> labels_;
};

/// Reads --tokens: the words of a vocabulary, or those of the samples by position.
class TokenNames {
 public:
  TokenNames() = default;
  explicit TokenNames(const std::string& file);

  /// Of a sample's ids, where there are so many samples and the table that looks ids up has so many rows.
  /// Throws Error(shape) where the file has another number of lines.
  [[nodiscard]] std::vector<std::string> of(const Tensor& ids, std::int64_t sample, std::int64_t samples,
                                            std::int64_t rows) const;

 private:
  std::string file_;
  std::vector<std::string> lines_;
};

}  // namespace rulegrad::cli
