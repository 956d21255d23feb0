// Streams of models with several inputs, of several targets of each sample, and into Zarr's format.
#include <cstring>
#include <limits>
#include <span>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/json.hpp"

#include "cli/stream_case.hpp"

using namespace rulegrad;
using testing::CommandResult;
using testing::contents;
using testing::demo;
using testing::member;
using testing::refuses;
using testing::ScratchDirectory;
using testing::succeeds;

namespace {

namespace fs = std::filesystem;

Tensor numbers(Dims dims, double step) {
  Tensor result(DType::float32, std::move(dims));
  for (std::int64_t i = 0; i < result.size(); ++i)
    result.mutable_values<float>()[static_cast<std::size_t>(i)] =
        static_cast<float>(std::sin(step * static_cast<double>(i + 1)));
  return result;
}

/// y = W (a * b * c) for samples a, b of three numbers, and c that all of them share; five samples, those of
/// a in a folder of files.
struct Product {
  ScratchDirectory scratch;
  Tensor a = numbers({5, 3}, 0.37), b = numbers({5, 3}, 0.81), c = numbers({3}, 1.3),
         w = numbers({2, 3}, 0.59);
  std::string model = scratch.file("product.onnx");

  Product() {
    Graph graph;
    const Expr xa = graph.input("a", {DType::float32, Shape{B, 3}}),
               xb = graph.input("b", {DType::float32, Shape{B, 3}}),
               xc = graph.input("c", {DType::float32, Shape{3}});
    const auto& mul = Operators::builtin().at("mul");
    const Expr y = dense(graph.apply(mul, {graph.apply(mul, {xa, xb}), xc}), graph.constant(w));
    save_onnx(model, std::span(&y, 1), {.graph_name = "product", .output_names = {"y"}});
    fs::create_directories(scratch.file("a"));
    for (std::int64_t i = 0; i < 5; ++i)
      io::write_npy(scratch.file("a/" + std::to_string(i) + ".npy"), a.rows(i, 1).reshaped({3}));
    io::write_npy(scratch.file("b.npy"), b);
    io::write_npy(scratch.file("c.npy"), c);
  }

  [[nodiscard]] std::vector<std::string> line(const std::string& output,
                                              const std::vector<std::string>& more = {}) const {
    std::vector<std::string> result{"analyze",    model,
                                    "--input",    "a=" + scratch.file("a"),
                                    "--input",    "b=" + scratch.file("b.npy"),
                                    "--input",    "c=" + scratch.file("c.npy"),
                                    "--method",   "gradient",
                                    "--shard",    "2",
                                    "--pictures", "0",
                                    "--output",   scratch.file(output)};
    result.insert(result.end(), more.begin(), more.end());
    return result;
  }
  /// The derivative of score k of sample i by entry j of an input, from plain products.
  [[nodiscard]] double derivative(const std::string& by, std::int64_t i, std::int64_t k,
                                  std::int64_t j) const {
    const double xa = a.at(3 * i + j), xb = b.at(3 * i + j), xc = c.at(j);
    return w.at(3 * k + j) * (by == "a" ? xb * xc : by == "b" ? xa * xc : xa * xb);
  }
};

/// The array of Zarr's format that lies in a folder, read by its specification: chunks along the first axis.
Tensor read_zarr(const std::string& folder) {
  const std::string text = testing::read_text(folder + "/.zarray");
  const auto about = json_members(text, folder);
  REQUIRE(member(about, "zarr_format") == "2");
  REQUIRE(member(about, "compressor") == "null");
  REQUIRE(member(about, "filters") == "null");
  REQUIRE(member(about, "dtype") == "\"<f4\"");
  Dims dims, chunks;
  for (const auto item : json_items(member(about, "shape"), folder))
    dims.push_back(std::stoll(std::string(item)));
  for (const auto item : json_items(member(about, "chunks"), folder))
    chunks.push_back(std::stoll(std::string(item)));
  Tensor result = Tensor::full(DType::float32, dims, std::numeric_limits<double>::quiet_NaN());
  const std::size_t row = result.bytes() / static_cast<std::size_t>(dims[0]);
  std::string rest;
  for (std::size_t axis = 1; axis < dims.size(); ++axis) {
    CHECK(chunks[axis] == dims[axis]);
    rest += ".0";
  }
  for (std::int64_t first = 0; first < dims[0]; first += chunks[0]) {
    const std::string chunk = folder + "/" + std::to_string(first / chunks[0]) + rest;
    if (!fs::exists(chunk)) continue;
    const std::string bytes = testing::read_text(chunk);
    REQUIRE(bytes.size() == row * static_cast<std::size_t>(chunks[0]));
    const auto rows = static_cast<std::size_t>(std::min(chunks[0], dims[0] - first));
    std::memcpy(result.mutable_data() + static_cast<std::size_t>(first) * row, bytes.data(), rows * row);
  }
  return result;
}

std::vector<std::string_view> rows_of(const std::string& manifest) {
  return json_items(member(json_members(manifest, "manifest"), "samples"), "samples");
}

}  // namespace

TEST_CASE("inputs of a stream go together sample by sample, and every target has its rows") {
  const Product product;
  const CommandResult done =
      succeeds(product.line("maps", {"--target", "all", "--at", "a", "--at", "b", "--at", "c", "--method",
                                     "input_times_gradient"}));
  CHECK(done.out.find("5 samples in 3 shards of 2, 0 left out") != std::string::npos);
  for (const std::string by : {"a", "b", "c"})
    for (std::int64_t shard = 0; shard < 3; ++shard) {
      const Tensor part = io::read_npy(
          product.scratch.file("maps/gradient/" + by + "/00000" + std::to_string(shard) + ".npy"));
      const std::int64_t count = shard < 2 ? 2 : 1;
      REQUIRE(part.dims() == Dims{count, 2, 3});
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t k = 0; k < 2; ++k)
          for (std::int64_t j = 0; j < 3; ++j)
            CHECK(part.at((i * 2 + k) * 3 + j) ==
                  doctest::Approx(product.derivative(by, 2 * shard + i, k, j)).epsilon(1e-5));
    }
  const std::string manifest = testing::read_text(product.scratch.file("maps/manifest.json"));
  CHECK(member(json_members(manifest, "manifest"), "stacked") == "2");
  CHECK(member(json_members(manifest, "manifest"), "target") == "\"all\"");
  const auto samples = rows_of(manifest);
  REQUIRE(samples.size() == 10);
  for (std::size_t row = 0; row < 10; ++row) {
    const auto sample = json_members(samples[row], "sample");
    CHECK(json_string(member(sample, "name"), "name") == std::to_string(row / 2) + ".npy");
    CHECK(member(sample, "target") == std::to_string(row % 2));
    const auto i = static_cast<std::int64_t>(row / 2), k = static_cast<std::int64_t>(row % 2);
    double score = 0;
    for (std::int64_t j = 0; j < 3; ++j) score += product.derivative("a", i, k, j) * product.a.at(3 * i + j);
    CHECK(std::stod(std::string(member(sample, "score"))) == doctest::Approx(score).epsilon(1e-5));
  }

  // Several targets by name, in the order asked for.
  (void)succeeds(product.line("two", {"--target", "1", "--target", "0"}));
  const Tensor part = io::read_npy(product.scratch.file("two/gradient/b/000001.npy"));
  REQUIRE(part.dims() == Dims{2, 2, 3});
  CHECK(part.at(0) == doctest::Approx(product.derivative("b", 2, 1, 0)).epsilon(1e-5));
  CHECK(part.at(3) == doctest::Approx(product.derivative("b", 2, 0, 0)).epsilon(1e-5));
}

TEST_CASE("a stream of several inputs goes on with the same bytes, and refuses others") {
  const Product product;
  const std::vector<std::string> more{"--target", "all"};
  (void)succeeds(product.line("whole", more));
  fs::copy(product.scratch.file("whole"), product.scratch.file("again"), fs::copy_options::recursive);
  fs::remove(product.scratch.file("again/manifest.json"));
  fs::remove(product.scratch.file("again/records/000001.json"));
  fs::remove(product.scratch.file("again/gradient/b/000002.npy"));
  fs::remove(product.scratch.file("again/records/000002.json"));
  std::vector<std::string> on = more;
  on.push_back("--resume");
  (void)succeeds(product.line("again", on));
  CHECK(contents(product.scratch.file("again")) == contents(product.scratch.file("whole")));
  refuses(product.line("again", {"--target", "1", "--resume"}), "another");
  refuses(product.line("again", {"--target", "0", "--target", "1", "--resume"}), "another target");

  const Tensor c = numbers({3}, 1.7);
  io::write_npy(product.scratch.file("c.npy"), c);
  refuses(product.line("again", on), "another source");
  io::write_npy(product.scratch.file("c.npy"), numbers({4}, 1.3));
  refuses(product.line("none", more), "the model's input 'c'");
  io::write_npy(product.scratch.file("c.npy"), product.c);
  io::write_npy(product.scratch.file("b.npy"), product.b.rows(0, 4));
  refuses(product.line("none", more), "'a' holds 5 samples but 'b' holds 4");
  refuses({"analyze", product.model, "--input", "a=" + product.scratch.file("a"), "--method", "gradient",
           "--output", product.scratch.file("none")},
          "'b'");
  refuses({"analyze", product.model, "--input", product.scratch.file("a"), "--method", "gradient", "--output",
           product.scratch.file("none")},
          "3 inputs");
}

TEST_CASE("a sample whose second input is bad is left out whole") {
  const Product product;
  Tensor b = product.b;
  b.mutable_values<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  io::write_npy(product.scratch.file("b.npy"), b);
  refuses(product.line("stopped"), "b");
  (void)succeeds(product.line("skipped", {"--on-error", "skip", "--target", "1"}));
  const Tensor part = io::read_npy(product.scratch.file("skipped/gradient/a/000000.npy"));
  REQUIRE(part.dims() == Dims{1, 3});
  CHECK(part.at(0) == doctest::Approx(product.derivative("a", 0, 1, 0)).epsilon(1e-5));
  CHECK(rows_of(testing::read_text(product.scratch.file("skipped/manifest.json"))).size() == 4);
}

TEST_CASE("a stream writes Zarr's format, a chunk a shard") {
  const Product product;
  (void)succeeds(product.line("maps", {"--target", "all"}));
  (void)succeeds(product.line("maps.zarr", {"--target", "all"}));
  CHECK(testing::read_text(product.scratch.file("maps.zarr/.zgroup")).find("\"zarr_format\": 2") !=
        std::string::npos);
  CHECK(fs::exists(product.scratch.file("maps.zarr/gradient/.zgroup")));
  const Tensor whole = read_zarr(product.scratch.file("maps.zarr/gradient/b"));
  REQUIRE(whole.dims() == Dims{5, 2, 3});
  for (std::int64_t shard = 0; shard < 3; ++shard) {
    const Tensor part =
        io::read_npy(product.scratch.file("maps/gradient/b/00000" + std::to_string(shard) + ".npy"));
    for (std::int64_t i = 0; i < part.size(); ++i) CHECK(whole.at(shard * 12 + i) == part.at(i));
  }
  // The same manifest, down to the digests.
  CHECK(testing::read_text(product.scratch.file("maps.zarr/manifest.json")) ==
        testing::read_text(product.scratch.file("maps/manifest.json")));

  fs::copy(product.scratch.file("maps.zarr"), product.scratch.file("again.zarr"),
           fs::copy_options::recursive);
  fs::remove(product.scratch.file("again.zarr/manifest.json"));
  fs::remove(product.scratch.file("again.zarr/records/000001.json"));
  fs::remove(product.scratch.file("again.zarr/gradient/a/1.0.0"));
  fs::remove(product.scratch.file("again.zarr/gradient/b/.zarray"));
  (void)succeeds(product.line("again.zarr", {"--target", "all", "--resume"}));
  CHECK(contents(product.scratch.file("again.zarr")) == contents(product.scratch.file("maps.zarr")));

  // What is left out is NaN at its own number, and so is a whole shard without a sample.
  for (const char* bad : {"1", "2", "3"})
    std::ofstream(product.scratch.file("a/" + std::string(bad) + ".npy")) << "no array";
  (void)succeeds(product.line("gaps.zarr", {"--target", "1", "--on-error", "skip"}));
  const Tensor gaps = read_zarr(product.scratch.file("gaps.zarr/gradient/a"));
  REQUIRE(gaps.dims() == Dims{5, 3});
  for (std::int64_t i = 0; i < 5; ++i)
    for (std::int64_t j = 0; j < 3; ++j) {
      if (i > 0 && i < 4)
        CHECK(std::isnan(gaps.at(3 * i + j)));
      else
        CHECK(gaps.at(3 * i + j) == doctest::Approx(product.derivative("a", i, 1, j)).epsilon(1e-5));
    }
}

TEST_CASE("an output called .zarr is a stream of any input") {
  const ScratchDirectory scratch;
  std::vector<std::string> line{"analyze", demo("fashion.onnx"), "--preprocess",
                                "unit",    "--method",           "gradient"};
  for (const char* name : {"ankle_boot_0.png", "sneaker_9.png"}) {
    line.push_back("--input");
    line.push_back(demo("pictures") + ("/" + std::string(name)));
  }
  std::vector<std::string> zarr = line, plain = line;
  for (const std::string& word : {std::string("--output"), scratch.file("maps.zarr")}) zarr.push_back(word);
  for (const std::string& word : {std::string("--output"), scratch.file("maps.npy")}) plain.push_back(word);
  (void)succeeds(zarr);
  (void)succeeds(plain);
  testing::check_near(read_zarr(scratch.file("maps.zarr/gradient/x")),
                      io::read_npy(scratch.file("maps.npy")));
}
