#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/options.hpp"
#include "rulegrad/io/picture.hpp"
#include "rulegrad/model.hpp"
#include "rulegrad/program.hpp"

/// What predict and analyze share: a model, the samples it is shown, and their pictures.
namespace rulegrad::cli {

struct Samples {
  Tensor values;                       ///< batch first
  std::vector<io::Picture> pictures;   ///< what the model sees, one a sample; empty for arrays that are no images
  std::vector<std::string> names;      ///< one a sample: file stems, or file stem and index
  io::Preprocessing preprocessing;

  [[nodiscard]] std::int64_t count() const { return values.dims().empty() ? 0 : values.dims()[0]; }
};

[[nodiscard]] Model load_model(const ModelOptions& options);
/// Reads all files and brings them to the shape and dtype of the model's input.
[[nodiscard]] Samples load_samples(const InputOptions& options, const Model& model);

/// Rows [first, first + count) of a batch.
[[nodiscard]] Tensor rows(const Tensor& batch, std::int64_t first, std::int64_t count);

/// One line a class; Error(io) if it cannot be read.
[[nodiscard]] std::vector<std::string> read_labels(const std::string& path);
[[nodiscard]] std::string label_of(const std::vector<std::string>& labels, std::int64_t index);

/// How many samples go into one run.
[[nodiscard]] std::int64_t batch_size_for(const RunChoices& choices, const Model& model, std::int64_t samples);

/// `12 / 50` on a terminal, rewritten in place; silent elsewhere and for short work.
class Progress {
 public:
  Progress(std::string what, std::int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(std::int64_t count);

 private:
  std::string what_;
  std::int64_t done_ = 0, total_;
  bool shown_;
};

}  // namespace rulegrad::cli
