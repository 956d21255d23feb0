// Numbers of a file's weights: every type, in every place that a file keeps them, and more than 2 GB of them.
#include <doctest/doctest.h>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"

#include "onnx/onnx_builder.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

void lay_beside(onnx::TensorProto& tensor, const ScratchFile& file, std::uint64_t offset) {
  tensor.clear_raw_data();
  tensor.set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] :
       {std::pair<const char*, std::string>{"location", file.path().filename().string()},
        {"offset", std::to_string(offset)}}) {
    auto& entry = *tensor.add_external_data();
    entry.set_key(key);
    entry.set_value(value);
  }
}

}  // namespace

TEST_CASE(
    "weights of more than 2 GB, and such that lie behind the first 4 GB of a file, are read where they lie") {
  // A table of 2.4 GB that is a hole in its file but for two rows, and a shift behind it. The disk needs no room.
  constexpr std::int64_t rows = 300000, width = 2000;
  constexpr std::uint64_t row = width * sizeof(float), behind = 0x1'0000'0000 + 64;
  static_assert(rows * row > 0x8000'0000);
  const ScratchFile data("huge.bin");
  std::error_code refused;
  std::filesystem::resize_file(data.path(), behind + row, refused);
  if (refused) {
    MESSAGE("skipped: no file of 4 GB can be made here: " << refused.message());
    return;
  }
  {
    std::fstream file(data.path(), std::ios::binary | std::ios::in | std::ios::out);
    const auto put = [&](std::uint64_t at, float value) {
      file.seekp(static_cast<std::streamoff>(at));
      file.write(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    put(64 + 7 * row, 1.5F);
    put(64 + (rows - 1) * row + row - sizeof(float), 2.5F);
    put(behind, 100);
    put(behind + row - sizeof(float), 200);
    REQUIRE(file.good());
  }
  OnnxBuilder b;
  b.input("ids", {-1}, onnx::TensorProto::INT64);
  lay_beside(b.floats("table", {rows, width}, {}), data, 64);
  lay_beside(b.floats("shift", {width}, {}), data, behind);
  b.node("Gather", {"table", "ids"}, {"h"});
  b.node("Add", {"h", "shift"}, {"y"});
  b.output("y");
  const ScratchFile file("huge.onnx", b.bytes());
  const Model model = load_onnx(file.path());
  const Expr y = model.outputs()[0].expr;
  const std::vector<std::int64_t> ids{7, rows - 1, 0};
  const Tensor result =
      evaluate(std::span(&y, 1), {{"ids", Tensor({3}, std::span<const std::int64_t>(ids))}})[0];
  REQUIRE(result.dims() == Dims{3, width});
  CHECK(result.at(0) == 101.5);
  CHECK(result.at(width - 1) == 200);
  CHECK(result.at(width) == 100);
  CHECK(result.at(2 * width - 1) == 202.5);
  CHECK(result.at(3 * width - 1) == 200);
}

TEST_CASE("numbers of every type arrive from raw bytes, from fields and from beside the model") {
  struct Case {
    int type;
    std::string bytes;                 ///< of 2, -3 (3 where there is no sign) and 100
    void (*fill)(onnx::TensorProto&);  ///< the same as a field
    bool is_signed;
  };
  const auto raw = []<class T>(std::initializer_list<T> values) {
    return std::string(reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T));
  };
  const auto ints = [](onnx::TensorProto& t) {
    for (const int v : {2, -3, 100}) t.add_int32_data(v);
  };
  const auto whole = [](onnx::TensorProto& t) {
    for (const int v : {2, 3, 100}) t.add_int32_data(v);
  };
  const auto wide = [](onnx::TensorProto& t) {
    for (const unsigned v : {2U, 3U, 100U}) t.add_uint64_data(v);
  };
  using onnx::TensorProto;
  const std::vector<Case> cases{
      {TensorProto::FLOAT, raw({2.0F, -3.0F, 100.0F}),
       [](TensorProto& t) {
         for (const float v : {2.0F, -3.0F, 100.0F}) t.add_float_data(v);
       },
       true},
      {TensorProto::DOUBLE, raw({2.0, -3.0, 100.0}),
       [](TensorProto& t) {
         for (const double v : {2.0, -3.0, 100.0}) t.add_double_data(v);
       },
       true},
      {TensorProto::FLOAT16, raw({std::uint16_t{0x4000}, std::uint16_t{0xC200}, std::uint16_t{0x5640}}),
       [](TensorProto& t) {
         for (const int v : {0x4000, 0xC200, 0x5640}) t.add_int32_data(v);
       },
       true},
      {TensorProto::BFLOAT16, raw({std::uint16_t{0x4000}, std::uint16_t{0xC040}, std::uint16_t{0x42C8}}),
       [](TensorProto& t) {
         for (const int v : {0x4000, 0xC040, 0x42C8}) t.add_int32_data(v);
       },
       true},
      {TensorProto::INT8, raw({std::int8_t{2}, std::int8_t{-3}, std::int8_t{100}}), ints, true},
      {TensorProto::UINT8, raw({std::uint8_t{2}, std::uint8_t{3}, std::uint8_t{100}}), whole, false},
      {TensorProto::INT16, raw({std::int16_t{2}, std::int16_t{-3}, std::int16_t{100}}), ints, true},
      {TensorProto::UINT16, raw({std::uint16_t{2}, std::uint16_t{3}, std::uint16_t{100}}), whole, false},
      {TensorProto::INT32, raw({2, -3, 100}), ints, true},
      {TensorProto::UINT32, raw({2U, 3U, 100U}), wide, false},
      {TensorProto::INT64, raw({std::int64_t{2}, std::int64_t{-3}, std::int64_t{100}}),
       [](TensorProto& t) {
         for (const int v : {2, -3, 100}) t.add_int64_data(v);
       },
       true},
      {TensorProto::UINT64, raw({std::uint64_t{2}, std::uint64_t{3}, std::uint64_t{100}}), wide, false},
  };
  for (const Case& one : cases) {
    // One byte before the numbers: nothing is aligned.
    const ScratchFile data("numbers.bin", "p" + one.bytes);
    for (const int place : {0, 1, 2})
      for (const DType dtype : {DType::float32, DType::float64}) {
        CAPTURE(one.type);
        CAPTURE(place);
        OnnxBuilder b;
        b.input("x", {-1, 3});
        auto& tensor = b.tensor("w", {3}, one.type);
        if (place == 0) tensor.set_raw_data(one.bytes);
        if (place == 1) one.fill(tensor);
        if (place == 2) lay_beside(tensor, data, 1);
        OnnxBuilder::set(b.node("Cast", {"w"}, {"real"}), "to", std::int64_t{TensorProto::FLOAT});
        b.node("Add", {"x", "real"}, {"y"});
        b.output("y");
        const ScratchFile file("numbers.onnx", b.bytes());
        const Model model = load_onnx(file.path(), {.dtype = dtype});
        const Expr y = model.outputs()[0].expr;
        const Tensor result = evaluate(std::span(&y, 1), {{"x", Tensor(dtype, {1, 3})}})[0];
        CHECK(result.at(0) == 2);
        CHECK(result.at(1) == (one.is_signed ? -3 : 3));
        CHECK(result.at(2) == 100);
      }
  }
}
