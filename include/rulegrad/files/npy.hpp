#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rulegrad/tensor/tensor.hpp"

namespace [[gnu::visibility("default")]] rulegrad {
namespace io {

/// Reads an array in NumPy's .npy format, versions 1 to 3 (NEP 1 and numpy.lib.format). By hand, because cnpy
/// trusts what a header says, and knows neither big-endian values nor halves.
///
/// float32, float64, int32, int64, uint8, int8 and bool arrive as they are; float16 becomes float32, int16
/// and uint16 become int32, uint32 becomes int64 (each value exactly). Big-endian values are swapped and
/// Fortran-ordered arrays are transposed into row-major order. Anything else (structured or object dtypes,
/// complex numbers, uint64), a header that does not parse, a file that is shorter or longer than its header
/// says: Error(io), which names the file, what was found and what was expected.
[[nodiscard]] Tensor read_npy(const std::string& path);

/// Writes version 1.0, little-endian, C order. The file appears whole or not at all; Error(io) names path and
/// reason.
void write_npy(const std::string& path, const Tensor& tensor);

/// One array of a .npz archive (a ZIP file of .npy files, stored or deflated), by its name without `.npy`.
/// Error(unknown_name) lists the arrays that are there; Error(io) for damaged archives;
/// Error(missing_feature) where rulegrad was built without zlib.
[[nodiscard]] Tensor read_npz(const std::string& path, std::string_view name);
/// All arrays of a .npz archive, in its order, with their names without `.npy`. Error(io) as above.
[[nodiscard]] std::vector<std::pair<std::string, Tensor>> read_npz(const std::string& path);

/// Writes the arrays as a .npz archive, stored without compression; the same arrays give the same bytes. The
/// file appears whole or not at all. Error(invalid_argument) for two arrays of one name, Error(io) for more
/// than 4 GiB and for what the disk refuses; Error(missing_feature) where rulegrad was built without zlib.
void write_npz(const std::string& path, std::span<const std::pair<std::string, Tensor>> arrays);

}  // namespace io
}  // namespace rulegrad
