#include "files/zarr.hpp"

#include <cstring>
#include <fmt/format.h>
#include <string>

#include "rulegrad/files/text_file.hpp"
#include "rulegrad/support/error.hpp"

#include "files/file.hpp"
#include "files/npy_header.hpp"

namespace rulegrad::io {
namespace {

namespace fs = std::filesystem;

std::string list_of(Dims dims, std::int64_t first) {
  dims[0] = first;
  return to_string(std::span<const std::int64_t>(dims));
}

/// One text for the same array; an array that grows has another number of rows each time.
void describe(const fs::path& array, const Tensor& values, std::int64_t chunk, std::int64_t rows) {
  const std::string text = fmt::format(
      "{{\n \"zarr_format\": 2,\n \"shape\": {},\n \"chunks\": {},\n \"dtype\": \"{}\",\n \"compressor\": "
      "null,"
      "\n \"fill_value\": {},\n \"filters\": null,\n \"order\": \"C\"\n}}\n",
      list_of(values.dims(), rows), list_of(values.dims(), chunk), descr_of(values.dtype()),
      is_floating(values.dtype()) ? "\"NaN\"" : "0");
  std::error_code none;
  const fs::path file = array / ".zarray";
  if (!fs::exists(file, none) || read_text(file.string()) != text) write_text(file.string(), text);
}

}  // namespace

void write_zarr_group(const fs::path& folder) {
  std::error_code problem;
  fs::create_directories(folder, problem);
  if (problem)
    throw Error(ErrorCode::io,
                fmt::format("cannot make the folder '{}': {}", folder.string(), problem.message()));
  const fs::path file = folder / ".zgroup";
  if (!fs::exists(file, problem)) write_text(file.string(), "{\n \"zarr_format\": 2\n}\n");
}

void write_zarr_chunk(const fs::path& array, const Tensor& values, std::span<const std::int64_t> places,
                      std::int64_t number, std::int64_t chunk, std::int64_t rows) {
  if (values.rank() == 0 || values.dims()[0] != static_cast<std::int64_t>(places.size()))
    throw Error(ErrorCode::internal, "[zarr] a place is needed for each row");
  describe(array, values, chunk, rows);
  std::string name = fmt::format("{}", number);
  for (std::size_t axis = 1; axis < values.rank(); ++axis) name += ".0";
  const std::span<const std::byte> whole(values.data(), values.bytes());
  bool full = static_cast<std::int64_t>(places.size()) == chunk;
  for (std::size_t row = 0; full && row < places.size(); ++row)
    full = places[row] == static_cast<std::int64_t>(row);
  if (full) {
    write_atomically(array / name, {whole}, "write_zarr_chunk");
    return;
  }
  Dims dims = values.dims();
  dims[0] = chunk;
  const bool real = is_floating(values.dtype());
  Tensor padded = Tensor::full(values.dtype(), dims, real ? std::numeric_limits<double>::quiet_NaN() : 0.0);
  const std::size_t row_bytes = places.empty() ? 0 : values.bytes() / places.size();
  std::byte* to = padded.mutable_data();
  for (std::size_t row = 0; row < places.size(); ++row)
    std::memcpy(to + static_cast<std::size_t>(places[row]) * row_bytes, values.data() + row * row_bytes,
                row_bytes);
  write_atomically(array / name, {{padded.data(), padded.bytes()}}, "write_zarr_chunk");
}

}  // namespace rulegrad::io
