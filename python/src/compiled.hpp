#pragma once

#include <functional>
#include <memory>
#include <pybind11/pybind11.h>
#include <string>
#include <vector>

#include "rulegrad/api/explainer.hpp"

#include "holder.hpp"

namespace rulegrad::python {

/// An explainer beside what it was made for.
class Compiled {
 public:
  Compiled(std::shared_ptr<Network> network, const py::iterable& methods,
           const std::shared_ptr<Registry>& registry, const Settings& settings,
           std::function<void(const std::string&)> log);
  /// The operation that forbids cutting the batch; empty where there is none.
  [[nodiscard]] const std::string& mixing() const { return mixing_; }
  [[nodiscard]] const Network& network() const { return *network_; }
  [[nodiscard]] const Explainer& explainer() const { return explainer_; }
  [[nodiscard]] const std::vector<Type>& types() const { return types_; }

  /// Scores, attributions by method and node, and what is known of them.
  [[nodiscard]] py::dict run(const py::dict& arrays, const std::vector<std::int64_t>& targets,
                             const py::object& seed, std::int64_t batch_size, int threads,
                             std::int64_t stacked, const py::object& progress) const;
  /// Writes it as an ONNX file; gives the names of its inputs and outputs.
  [[nodiscard]] py::dict export_onnx(const std::string& path, std::int64_t opset, std::int64_t most_samples,
                                     bool external_data, bool share_weights,
                                     const std::vector<std::string>& labels) const;

 private:
  std::shared_ptr<Network> network_;
  Explainer explainer_;
  std::vector<Type> types_;
  std::string mixing_;
};

}  // namespace rulegrad::python
