#pragma once

#include <string>

#include "rulegrad/onnx/model.hpp"

#include "cli/options.hpp"

namespace rulegrad::cli {

/// How many samples go into one run.
[[nodiscard]] std::int64_t batch_size_for(const RunChoices& choices, const Model& model,
                                          std::int64_t samples);

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
