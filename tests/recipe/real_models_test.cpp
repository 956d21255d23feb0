// Trained networks on real photographs: what they say, and that every method explains it soundly.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <numeric>
#include <string>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "shared_data.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;

io::Preprocessing recipe(double scale, std::vector<double> mean, io::ColorOrder color) {
  io::Preprocessing result;
  result.scale = scale;
  result.mean = std::move(mean);
  result.color = color;
  return result;
}

/// A model, how it takes pictures, and the shared sample it is asked about.
struct Subject {
  std::string name;
  Tensor x;
  std::int64_t expected;   ///< the class it must name; -1: no matter
  double probability = 0;  ///< of that class, where the manifest gives it
};

Tensor picture_input(const fs::path& file, const io::Preprocessing& how, std::int64_t extent,
                     std::int64_t channels = 3) {
  return io::to_input(io::read_picture(file), how, extent, extent, channels);
}

std::vector<Subject> subjects(const fs::path& data) {
  const io::Preprocessing caffe = recipe(1, {104, 117, 123}, io::ColorOrder::bgr),
                          centred = recipe(1 / 127.5, {1}, io::ColorOrder::rgb),
                          unit = recipe(1 / 255.0, {}, io::ColorOrder::rgb),
                          raw = recipe(1, {}, io::ColorOrder::rgb);
  std::vector<Subject> all;
  const auto image = [&](const std::string& name) { return data / "images" / (name + "_224.png"); };
  // Class numbers of labels_1000.txt; labels_1001.txt counts one more.
  all.push_back({"imagenet/squeezenet1.1.onnx", picture_input(image("cat"), caffe, 224), 285, 0.7727});
  all.push_back({"imagenet/squeezenet1.1.onnx", picture_input(image("bird"), caffe, 224), 19, 0.9013});
  all.push_back({"imagenet/squeezenet1.1.onnx", picture_input(image("parrot"), caffe, 224), 88, 0.8821});
  all.push_back({"imagenet/mobilenetv2.onnx", picture_input(image("cat"), centred, 224), 286, 0.8495});
  all.push_back({"imagenet/mobilenetv2.onnx", picture_input(image("hot_dog"), centred, 224), 935, 0.6498});
  all.push_back(
      {"imagenet/mobilenetv1_0.25_128_dequantize.onnx", picture_input(image("bird"), centred, 128), 20, -1});
  all.push_back(
      {"faces/fer2013_mini_xception.onnx",
       picture_input(data / "faces/face_64.png", recipe(1 / 127.5, {1}, io::ColorOrder::rgb), 64, 1), 6,
       0.959});
  all.push_back(
      {"faces/person_vww_96.onnx", picture_input(data / "faces/person_96.png", unit, 96), 1, 0.888});
  all.push_back(
      {"faces/person_vww_96.onnx", picture_input(data / "faces/no_person_96.png", unit, 96), 0, 1 - 0.028});
  const Tensor digits = io::read_npy(data / "mnist/digits.npy"),
               digit_labels = io::read_npy(data / "mnist/labels.npy");
  all.push_back({"mnist/mnist_cnn.onnx",
                 Tensor({1, 1, 28, 28}, digits.cast(DType::float32).values<float>().subspan(0, 784)),
                 static_cast<std::int64_t>(digit_labels.at(0)), 0});
  const Tensor cifar = io::read_npy(data / "cifar10/images.npy").cast(DType::float32),
               cifar_labels = io::read_npy(data / "cifar10/labels.npy");
  all.push_back({"cifar10/resnet8.onnx", Tensor({1, 3, 32, 32}, cifar.values<float>().subspan(0, 3072)),
                 static_cast<std::int64_t>(cifar_labels.at(0)), 0});
  Tensor scaled({1, 3, 32, 32}, cifar.values<float>().subspan(0, 3072));
  for (float& v : scaled.mutable_values<float>()) v = v / 127.5F - 1;
  all.push_back({"cifar10/cnn.onnx", scaled, -1, 0});
  Tensor fashion({1, 1, 28, 28}, io::read_npz(data / "fashion_mnist/images.npz", "pixels")
                                     .cast(DType::float32)
                                     .values<float>()
                                     .subspan(0, 784));
  for (float& v : fashion.mutable_values<float>()) v /= 255;
  all.push_back({"fashion_mnist/fashion_cnn.onnx", fashion,
                 static_cast<std::int64_t>(io::read_npz(data / "fashion_mnist/images.npz", "labels").at(0)),
                 0});
  all.push_back({"tabular/iris_mlp.onnx", Tensor({1, 4}, {5.1F, 3.5F, 1.4F, 0.2F}), 0, 0});
  all.push_back(
      {"tabular/california_housing_mlp.onnx",
       Tensor({1, 8}, {8.3252F, 41.F, 6.98412698F, 1.02380952F, 322.F, 2.55555556F, 37.88F, -122.23F}), 0,
       0});
  return all;
}

const std::vector<std::string> methods{
    "gradient", "input_times_gradient", "deconvnet", "guided_backprop",
    "lrp.z",    "lrp.epsilon",          "lrp.gamma", "lrp.epsilon_plus_flat"};

}  // namespace

TEST_CASE("real models name what is on real pictures, and every method explains it with finite numbers") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  for (const Subject& subject : subjects(*data)) {
    INFO(subject.name);
    const Model model = load_onnx((*data / subject.name).string(), {.dtype = DType::float32});
    const std::string input = model.inputs()[0].name;
    Question question{.output = model.head(HeadKind::logit),
                      .explained = {model.inputs()[0].expr},
                      .target = {},
                      .seed_tensor = {}};
    std::vector<Expr> outputs{question.output};
    for (const std::string& method : methods)
      outputs.push_back(
          analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question).attributions[0]);
    const std::vector<Tensor> results = Program::compile(outputs).run({{input, subject.x}});

    const Tensor& scores = results[0];
    std::int64_t best = 0;
    double total = 0;
    for (std::int64_t k = 0; k < scores.size(); ++k) {
      if (scores.at(k) > scores.at(best)) best = k;
    }
    for (std::int64_t k = 0; k < scores.size(); ++k) total += std::exp(scores.at(k) - scores.at(best));
    if (subject.expected >= 0) CHECK(best == subject.expected);
    if (subject.probability > 0) CHECK(1 / total == doctest::Approx(subject.probability).epsilon(2e-3));

    for (std::size_t m = 0; m < methods.size(); ++m) {
      INFO(methods[m]);
      const Tensor& map = results[m + 1];
      CHECK(map.dims() == subject.x.dims());
      bool finite = true, nonzero = false;
      for (std::int64_t i = 0; i < map.size(); ++i) {
        finite = finite && std::isfinite(map.at(i));
        nonzero = nonzero || map.at(i) != 0;
      }
      CHECK(finite);
      CHECK(nonzero);
    }
  }
}

TEST_CASE("without biases, what LRP gives to the input adds up to what it started from") {
  const auto data = shared_data();
  if (!data) {
    MESSAGE("skipped: no shared data");
    return;
  }
  // The biases are taken away by a forward rule, so that the networks are the real ones otherwise.
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(R"(rulegrad 1
rules test.no_bias {
  rewrite y: affine(x, w, b) => y(b = 0)
}
analyzer test.epsilon { canonize test.no_bias  use lrp.epsilon(1e-9)  use lrp.rest(1e-9) }
analyzer test.gamma { canonize test.no_bias  use lrp.gamma(0.25, 1e-9)  use lrp.rest(1e-9) }
analyzer test.plus_flat {
  canonize test.no_bias
  use lrp.flat(1e-9) on first(affine)
  use lrp.z_plus(1e-9) on conv
  use lrp.epsilon(1e-9) on dense
  use lrp.rest(1e-9)
}
)",
                   "test.rules");
  for (const Subject& subject : subjects(*data)) {
    // Models whose batch norms stay behind (they are an affine map with a bias of their own) are not
    // bias-free.
    if (subject.name.find("squeezenet") == std::string::npos &&
        subject.name.find("mobilenet") == std::string::npos &&
        subject.name.find("cnn.onnx") == std::string::npos)
      continue;
    if (subject.name.find("fashion") != std::string::npos) continue;
    // Residual sums: epsilon and gamma divide by what nearly cancels there (relevances of 1e15 have to add up
    // to 1, which float64 does not hold), and z+ loses what reaches units without a positive part (1.2 % and
    // 0.5 % on these two).
    if (subject.name.find("mobilenetv2") != std::string::npos) continue;
    INFO(subject.name);
    const Model model = load_onnx((*data / subject.name).string(), {.dtype = DType::float64});
    Question question{.output = model.head(HeadKind::logit),
                      .explained = {model.inputs()[0].expr},
                      .target = {},
                      .seed_tensor = {}};
    for (const char* method : {"test.epsilon", "test.gamma", "test.plus_flat"}) {
      const Analysis analysis = analyze(library, {method, {}}, question);
      const Tensor map =
          evaluate(analysis.attributions, {{model.inputs()[0].name, subject.x.cast(DType::float64)}})[0];
      double sum = 0;
      for (std::int64_t i = 0; i < map.size(); ++i) sum += map.at(i);
      INFO(method);
      CHECK(sum == doctest::Approx(1).epsilon(1e-3));
    }
  }
}
