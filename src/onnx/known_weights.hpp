#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

#include "onnx/mapped_file.hpp"

namespace rulegrad::io {

/// Weights of an ONNX file that another one can refer to by where they lie.
class KnownWeights {
 public:
  struct Place {
    std::string location;  ///< the path from the folder of the file that refers to it
    std::size_t offset = 0;
    int type = 0;  ///< of its elements, as ONNX counts them
    std::span<const std::byte> bytes;
  };

  /// Those of `model` for `file`, which is about to be written. Throws Error(invalid_argument) where the
  /// model does not lie in the folder of the file or below it, which runtimes refuse.
  KnownWeights(const std::string& model, const std::string& file);

  /// Where the same bytes of the same type lie; null where they do not.
  [[nodiscard]] const Place* find(const Tensor& value) const;

 private:
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::unordered_multimap<std::size_t, Place> places_;  ///< by a hash of the bytes
};

}  // namespace rulegrad::io
