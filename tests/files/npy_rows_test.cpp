// Rows of arrays that stay on disk are the rows of the arrays read whole.
#include "rulegrad/files/npy_rows.hpp"

#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/support/error.hpp"

#include "files/helpers.hpp"
#include "files/npy_header.hpp"

using namespace rulegrad;
using namespace rulegrad::io;

namespace {

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace

TEST_CASE("rows of an array on disk") {
  const std::string path = (std::filesystem::temp_directory_path() / "rulegrad-npy-rows.npy").string();
  for (const DType dtype : {DType::float32, DType::float64, DType::int64, DType::uint8, DType::boolean}) {
    Tensor whole = Tensor::uninitialized(DType::float64, {7, 2, 3});
    for (std::int64_t i = 0; i < whole.size(); ++i)
      whole.mutable_values<double>()[static_cast<std::size_t>(i)] = static_cast<double>(i % 5);
    whole = whole.cast(dtype);
    write_npy(path, whole);
    const NpyRows rows(path);
    CHECK(rows.count() == 7);
    CHECK(rows.dims() == Dims{7, 2, 3});
    for (std::int64_t first = 0; first < 7; ++first)
      for (std::int64_t count = 0; first + count <= 7; ++count)
        CHECK(identical(rows.read(first, count), whole.rows(first, count)));
    CHECK_THROWS_WITH_AS((void)rows.read(6, 2), doctest::Contains("has 7 rows; rows 6 to 7 are not there"),
                         Error);
    CHECK_THROWS_AS((void)rows.read(-1, 1), Error);
  }

  // Other byte orders and half precision arrive as read_npy gives them.
  const std::string half = npy_preamble({"<f2", false, {2, 1}}) + std::string("\x00\x3c\x00\xc0", 4);
  write(path, half);
  CHECK(NpyRows(path).read(1, 1).at(0) == -2);
  write(path, npy_preamble({">i4", false, {2}}) + std::string("\0\0\0\1\0\0\1\0", 8));
  CHECK(NpyRows(path).read(1, 1).at(0) == 256);

  write(path, npy_preamble({"<f4", true, {2, 2}}) + std::string(16, '\0'));
  CHECK_THROWS_WITH_AS(NpyRows{path}, doctest::Contains("Fortran order"), Error);
  write(path, npy_preamble({"<f4", false, {2, 2}}) + std::string(15, '\0'));
  CHECK_THROWS_WITH_AS(NpyRows{path}, doctest::Contains("it was cut off"), Error);
  write(path, npy_preamble({"<f4", false, {2, 2}}) + std::string(17, '\0'));
  CHECK_THROWS_WITH_AS(NpyRows{path}, doctest::Contains("something follows the array"), Error);
  write(path, npy_preamble({"<f4", false, {std::int64_t{1} << 40, std::int64_t{1} << 40}}));
  CHECK_THROWS_WITH_AS(NpyRows{path}, doctest::Contains("more elements than can be stored"), Error);
  write(path, npy_preamble({"|O8", false, {1}}) + std::string(8, '\0'));
  CHECK_THROWS_WITH_AS((void)NpyRows(path).read(0, 1), doctest::Contains("'|O8'"), Error);
  write(path, "no array");
  CHECK_THROWS_WITH_AS(NpyRows{path}, doctest::Contains("magic string"), Error);
  CHECK_THROWS_WITH_AS(NpyRows{"/nowhere/x.npy"}, doctest::Contains("cannot read"), Error);
  std::filesystem::remove(path);
}
