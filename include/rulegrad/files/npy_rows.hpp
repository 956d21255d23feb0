#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "rulegrad/tensor/shape.hpp"
#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// A .npy file of any size, of which rows (entries of its first axis) are read when they are asked for:
/// nothing of it stays in memory. A value; copies share the open file. May be asked from several threads.
class NpyRows {
 public:
  /// Reads the header. Error(io) as `read_npy` says it, and for arrays in Fortran order, whose rows lie
  /// scattered.
  explicit NpyRows(const std::string& path);

  /// Extents, rows first. An array without axes has no rows.
  [[nodiscard]] const Dims& dims() const;
  /// Entries of the first axis.
  [[nodiscard]] std::int64_t count() const;
  /// Rows [first, first + count), of the dtype that `read_npy` gives. Error(invalid_argument) for rows that
  /// are not there, Error(io).
  [[nodiscard]] Tensor read(std::int64_t first, std::int64_t count) const;

 private:
  struct File;
  std::shared_ptr<const File> file_;
};

}  // namespace io
}  // namespace rulegrad
