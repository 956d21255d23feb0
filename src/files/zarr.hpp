#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "rulegrad/tensor/tensor.hpp"

/// Arrays in the format of Zarr, version 2, as a folder of uncompressed chunks that are cut along the first
/// axis alone (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html).
namespace rulegrad::io {

/// Makes the folder a group, unless it is one.
void write_zarr_group(const std::filesystem::path& folder);

/// Writes the chunk of that number of an array with so many rows, `chunk` of them in each: the rows of `values`
/// at the chunk's rows `places`, NaN (0 in integers) elsewhere, and what describes the array beside it. Files
/// appear whole or not at all; Error(io) names path and reason.
void write_zarr_chunk(const std::filesystem::path& array, const Tensor& values,
                      std::span<const std::int64_t> places, std::int64_t number, std::int64_t chunk,
                      std::int64_t rows);

}  // namespace rulegrad::io
