// Trained networks of the shared data: do they say what their makers, or PyTorch, say they say?
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <fstream>
#include <string>
#include <tuple>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/run/program.hpp"
#include "rulegrad/support/error.hpp"

#include "shared_data.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

std::optional<fs::path> data_or_skip() {
  const auto data = shared_data();
  if (!data) MESSAGE("skipped: no shared data");
  return data;
}

Tensor run(const Model& model, const Tensor& x) {
  const Expr y = model.outputs()[0].expr;
  return evaluate(std::span(&y, 1), {{model.inputs()[0].name, x}})[0];
}

std::int64_t best(const Tensor& scores, std::int64_t row, std::int64_t classes) {
  std::int64_t at = 0;
  for (std::int64_t k = 1; k < classes; ++k)
    if (scores.at(row * classes + k) > scores.at(row * classes + at)) at = k;
  return at;
}

double accuracy(const Model& model, const Tensor& x, const Tensor& labels) {
  const Tensor scores = run(model, x);
  const std::int64_t count = x.dims()[0], classes = scores.size() / count;
  double right = 0;
  for (std::int64_t i = 0; i < count; ++i)
    right += best(scores, i, classes) == static_cast<std::int64_t>(labels.at(i)) ? 1 : 0;
  return right / static_cast<double>(count);
}

/// (pixels as floats) * scale - shift, in another shape.
Tensor scaled(const Tensor& pixels, double scale, double shift, Dims dims) {
  Tensor x = pixels.cast(DType::float32).reshaped(std::move(dims));
  for (float& v : x.mutable_values<float>()) v = static_cast<float>(static_cast<double>(v) * scale - shift);
  return x;
}

Tensor picture(const fs::path& file, double scale, double shift, std::int64_t extent) {
  io::Preprocessing how;
  how.scale = scale;
  how.mean = {shift};
  return io::to_input(io::read_picture(file), how, extent, extent, 3);
}

std::vector<std::string> lines_of(const fs::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// `tench` of `tench, Tinca tinca`.
std::string first_word(const std::vector<std::string>& labels, std::int64_t index) {
  const std::string& all = labels.at(static_cast<std::size_t>(index));
  return all.substr(0, all.find(','));
}

}  // namespace

TEST_CASE("MobileNetV2 names all shared photographs, several at once") {
  const auto data = data_or_skip();
  if (!data) return;
  const Model model = load_onnx(*data / "imagenet/mobilenetv2.onnx");
  const auto labels = lines_of(*data / "imagenet/labels_1001.txt");
  const std::pair<const char*, const char*> answers[] = {
      {"cat", "Egyptian cat"},    {"bird", "chickadee"},          {"kitten", "tabby"},
      {"parrot", "macaw"},        {"hot_dog", "hotdog"},          {"sunflower", "daisy"},
      {"dragonfly", "dragonfly"}, {"pets", "Italian greyhound"},  {"dog", "Great Pyrenees"},
      {"fish", "tench"},          {"grace_hopper", "mortarboard"}};
  Tensor batch(DType::float32, {11, 3, 224, 224});
  for (std::size_t i = 0; i < 11; ++i) {
    const Tensor x =
        picture(*data / "images" / (std::string(answers[i].first) + "_224.png"), 1 / 127.5, 1, 224);
    std::copy(x.values<float>().begin(), x.values<float>().end(),
              batch.mutable_values<float>().begin() + static_cast<std::ptrdiff_t>(i) * x.size());
  }
  const Tensor scores = run(model, batch);
  REQUIRE(scores.dims() == Dims{11, 1001});
  for (std::int64_t i = 0; i < 11; ++i) CHECK(first_word(labels, best(scores, i, 1001)) == answers[i].second);
  for (const auto& [row, name] : {std::pair{0, "mobilenetv2_cat"}, std::pair{1, "mobilenetv2_bird"}}) {
    const Tensor expected = io::read_npz(*data / "imagenet/expected.npz", name);
    double off = 0;
    for (std::int64_t k = 0; k < 1001; ++k)
      off = std::max(off, std::abs(scores.at(row * 1001 + k) - expected.at(k)));
    CHECK(off < 1e-3);
  }
}

TEST_CASE("SqueezeNet gives its published outputs, from float32 and from float16 weights") {
  const auto data = data_or_skip();
  if (!data) return;
  io::Preprocessing bgr;
  bgr.color = io::ColorOrder::bgr;
  const Tensor fish = io::to_input(io::read_picture(*data / "images/fish_224.png"), bgr, 224, 224, 3);
  const std::tuple<const char*, const char*, double> cases[] = {
      {"squeezenet1.1.onnx", "squeezenet_fp32_fish_expected.csv", 1e-3},
      {"squeezenet1.1_fp16.onnx", "squeezenet_fp16_fish_expected.csv", 2e-3}};
  for (const auto& one : cases) {
    const char* const file = std::get<0>(one);
    const char* const expected = std::get<1>(one);
    const double tolerance = std::get<2>(one);
    INFO(file);
    const Model model = load_onnx(*data / "imagenet" / file);
    CHECK(model.inputs()[0].expr.shape() == Shape{B, 3, 224, 224});
    const Tensor p = run(model, fish);
    CHECK(p.dims() == Dims{1, 1000, 1, 1});
    const auto rows = lines_of(*data / "imagenet" / expected);
    REQUIRE(rows.size() >= 1001);
    double off = 0;
    for (std::int64_t k = 0; k < 1000; ++k) {
      const std::string& row = rows[static_cast<std::size_t>(k) + 1];
      off = std::max(off, std::abs(p.at(k) - std::stod(row.substr(row.find(',') + 1))));
    }
    CHECK(off < tolerance);
  }
  io::Preprocessing caffe = bgr;
  caffe.mean = {104, 117, 123};
  const Tensor cat = io::to_input(io::read_picture(*data / "images/cat_224.png"), caffe, 224, 224, 3);
  const Tensor expected = io::read_npz(*data / "imagenet/expected.npz", "squeezenet1.1_bgr_mean_cat");
  const Tensor p = run(load_onnx(*data / "imagenet/squeezenet1.1.onnx", {.dtype = DType::float64}),
                       cat.cast(DType::float64));
  double off = 0;
  for (std::int64_t k = 0; k < 1000; ++k) off = std::max(off, std::abs(p.at(k) - expected.at(k)));
  CHECK(off < 1e-6);
}

TEST_CASE("quantised weights behind DequantizeLinear are folded") {
  const auto data = data_or_skip();
  if (!data) return;
  const Model model = load_onnx(*data / "imagenet/mobilenetv1_0.25_128_dequantize.onnx");
  const Expr y = model.outputs()[0].expr;
  for (const Expr node : topological_order(std::span(&y, 1)))
    CHECK_FALSE((node.is("mul") || node.is("sub") || node.is("cast")));
  const auto labels = lines_of(*data / "imagenet/labels_1001.txt");
  for (const auto& [name, answer] : {std::pair{"cat", "Egyptian cat"}, std::pair{"bird", "chickadee"},
                                     std::pair{"sunflower", "daisy"}, std::pair{"fish", "tench"}}) {
    const fs::path file = *data / "images" / (std::string(name) + "_224.png");
    const Tensor scores = run(model, picture(file, 1 / 127.5, 1, 128));
    CHECK(first_word(labels, best(scores, 0, 1001)) == answer);
  }
}

TEST_CASE("small classifiers are as accurate as their makers say") {
  const auto data = data_or_skip();
  if (!data) return;
  const Tensor cifar = io::read_npy(*data / "cifar10/images.npy"),
               cifar_labels = io::read_npy(*data / "cifar10/labels.npy");
  CHECK(accuracy(load_onnx(*data / "cifar10/resnet8.onnx"), scaled(cifar, 1, 0, {50, 3, 32, 32}),
                 cifar_labels) == doctest::Approx(0.92));
  CHECK(accuracy(load_onnx(*data / "cifar10/cnn.onnx"), scaled(cifar, 1 / 127.5, 1, {50, 3, 32, 32}),
                 cifar_labels) == doctest::Approx(0.62));
  const fs::path fashion = *data / "fashion_mnist/images.npz";
  const double on_fashion = accuracy(load_onnx(*data / "fashion_mnist/fashion_cnn.onnx"),
                                     scaled(io::read_npz(fashion, "pixels"), 1 / 255.0, 0, {200, 1, 28, 28}),
                                     io::read_npz(fashion, "labels"));
  CHECK(on_fashion > 0.85);
  // Exported for one digit, shown two hundred.
  const Model mnist = load_onnx(*data / "mnist/mnist_cnn.onnx");
  CHECK(accuracy(mnist, scaled(io::read_npy(*data / "mnist/digits.npy"), 1, 0, {200, 1, 28, 28}),
                 io::read_npy(*data / "mnist/labels.npy")) > 0.97);
  const Tensor house =
      run(load_onnx(*data / "tabular/california_housing_mlp.onnx"),
          Tensor({2, 8}, {8.3252F, 41.F, 6.98412698F, 1.02380952F, 322.F, 2.55555556F, 37.88F, -122.23F,
                          1.5603F, 25.F, 5.04545455F, 1.13333333F, 845.F, 2.56060606F, 39.48F, -121.09F}));
  CHECK(house.at(0) == doctest::Approx(3.3149).epsilon(1e-4));
  CHECK(house.at(1) == doctest::Approx(1.3730).epsilon(1e-4));
  const Tensor people = run(load_onnx(*data / "faces/person_vww_96.onnx"),
                            picture(*data / "faces/person_96.png", 1 / 255.0, 0, 96));
  CHECK(1 / (1 + std::exp(people.at(0) - people.at(1))) == doctest::Approx(0.888).epsilon(2e-3));
}

TEST_CASE("affine layers of real models are one node each, with biases that are vectors or none") {
  const auto data = data_or_skip();
  if (!data) return;
  for (const char* name :
       {"mnist/mnist_cnn.onnx", "cifar10/cnn.onnx", "tabular/iris_mlp.onnx", "fashion_mnist/fashion_cnn.onnx",
        "nets/lenet/model.onnx", "text/stories260k_t16.onnx"}) {
    INFO(name);
    const Model model = load_onnx(*data / name);
    const Expr y = model.outputs()[0].expr;
    int affine = 0;
    for (const Expr node : topological_order(std::span(&y, 1))) {
      if (!node.is("dense") && !node.is("conv")) continue;
      ++affine;
      CHECK(node.operand(1).is("constant"));
      CHECK((is_zero(node.operand(2)) || node.operand(2).shape().rank() == 1));
    }
    CHECK(affine > 0);
  }
}

TEST_CASE("a language model says the words that it was heard to say") {
  const auto data = data_or_skip();
  if (!data) return;
  // The first prompt and the words that follow it, as its author documents them: "... named Lily. She loved
  // to".
  const std::vector<std::int64_t> words{1,   403, 407, 261, 378, 432, 383, 286, 261, 376, 298,
                                        315, 421, 395, 317, 426, 338, 401, 396, 267, 337, 410};
  const auto length = static_cast<std::int64_t>(words.size());
  const Model model = load_onnx(*data / "text/stories260k.onnx", {.extents = {{"T", length}}});
  CHECK(model.inputs()[0].expr.shape() == Shape{B, length});
  // Two equal sentences, to see that the batch runs through all the shape arithmetic.
  std::vector<std::int64_t> twice = words;
  twice.insert(twice.end(), words.begin(), words.end());
  const Tensor logits = run(model, Tensor({2, length}, std::span<const std::int64_t>(twice)));
  REQUIRE(logits.dims() == Dims{2, length, 512});
  for (std::int64_t sentence = 0; sentence < 2; ++sentence)
    for (std::int64_t at = 13; at + 1 < length; ++at)
      CHECK(best(logits, sentence * length + at, 512) == words[static_cast<std::size_t>(at) + 1]);
  CHECK(logits.at(13 * 512 + 317) == doctest::Approx(18.050268).epsilon(1e-4));
}

TEST_CASE("models beyond what is mapped are refused by the names of what is missing") {
  const auto data = data_or_skip();
  if (!data) return;
  // Its free axis is time, which an LSTM goes along: read as the batch it would be another model.
  CHECK_THROWS_WITH_AS(
      (void)load_onnx(*data / "audio/silero_vad_sequence.onnx"),
      doctest::Contains("say how many there are, so that it is none: LoadOptions::extents[\"T\"]"), Error);
  CHECK_THROWS_WITH_AS((void)load_onnx(*data / "audio/silero_vad_16k_op15.onnx"),
                       doctest::Contains("extents[\"sequence\"]"), Error);
  CHECK_THROWS_WITH_AS((void)load_onnx(*data / "keras/resnet8_cifar10.h5"), doctest::Contains("HDF5"), Error);
}
