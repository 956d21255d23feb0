// `rulegrad evaluate` on the demo network, and `rulegrad xai-tris`: what they report, what they write, what
// they refuse.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <map>
#include <sstream>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/files/preprocess.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::CommandResult;
using testing::demo;
using testing::read_text;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

std::vector<std::string> demo_pictures() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(demo("pictures")))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

CommandResult evaluate_demo(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"evaluate", demo("fashion.onnx"), "--preprocess", "unit", "--input"};
  const auto files = demo_pictures();
  arguments.insert(arguments.end(), files.begin(), files.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_command(arguments);
}

struct Csv {
  std::map<std::string, std::map<std::string, double>> measures;  ///< of a method, by name
  std::map<std::string, std::map<std::string, std::vector<std::pair<std::string, double>>>>
      curves;  ///< places and values
};

Csv read_csv(const std::string& path) {
  std::istringstream lines(read_text(path));
  std::string line;
  std::getline(lines, line);
  CHECK(line == "method,measure,at,value");
  Csv csv;
  while (std::getline(lines, line)) {
    std::vector<std::string> fields;
    std::istringstream parts(line);
    for (std::string field; std::getline(parts, field, ',');) fields.push_back(field);
    REQUIRE(fields.size() == 4);
    if (fields[2].empty())
      csv.measures[fields[0]][fields[1]] = std::stod(fields[3]);
    else
      csv.curves[fields[0]][fields[1]].emplace_back(fields[2], std::stod(fields[3]));
  }
  return csv;
}

}  // namespace

TEST_CASE("on the demo network every method beats random, in the table, the CSV file and the chart") {
  const ScratchDirectory scratch;
  const std::vector<std::string> methods{
      "input_times_gradient", "integrated_gradients",  "deeplift.rescale", "lrp.epsilon",
      "lrp.epsilon_plus",     "lrp.epsilon_plus_flat", "deep_taylor"};
  std::vector<std::string> arguments{
      "--csv", scratch.file("curves.csv"), "--plot", scratch.file("curves.png"), "--method", "gradient"};
  for (const std::string& method : methods) arguments.insert(arguments.end(), {"--method", method});
  const auto result = evaluate_demo(arguments);
  INFO(result.err);
  REQUIRE(result.code == 0);
  CHECK(result.err.empty());  // progress is for terminals
  CHECK(result.out.find("AOPC      above random's: all methods\nbetween   above random's: all methods\n") !=
        std::string::npos);
  CHECK(result.out.find("which favours") != std::string::npos);

  const Csv csv = read_csv(scratch.file("curves.csv"));
  const auto& floor = csv.measures.at("random");
  CHECK(csv.measures.at("gradient").at("aopc") > floor.at("aopc"));
  for (const std::string& method : methods) {
    INFO(method);
    const auto& found = csv.measures.at(method);
    CHECK(found.at("aopc") > floor.at("aopc") + 0.1);
    CHECK(found.at("aopc_least_relevant_first") < floor.at("aopc_least_relevant_first") - 0.1);
    CHECK(found.at("area_between_curves") ==
          doctest::Approx(found.at("aopc") - found.at("aopc_least_relevant_first")));
    CHECK(found.at("deletion_auc") < floor.at("deletion_auc") - 0.1);
    CHECK(found.at("insertion_auc") > floor.at("insertion_auc") + 0.1);
    CHECK(found.at("gini") > floor.at("gini"));
    // The curve that is written is the one whose areas are written.
    const auto& curve = csv.curves.at(method).at("most_relevant_first");
    REQUIRE(curve.size() == 33);
    CHECK(curve.front().first == "0");
    CHECK(curve.back().first == "1");
    double above = 0, below = 0;
    for (std::size_t k = 0; k < curve.size(); ++k) {
      above += (curve[0].second - curve[k].second) / static_cast<double>(curve.size());
      if (k > 0)
        below += (std::stod(curve[k].first) - std::stod(curve[k - 1].first)) *
                 (curve[k].second + curve[k - 1].second) / 2;
    }
    CHECK(found.at("aopc") == doctest::Approx(above));
    CHECK(found.at("deletion_auc") == doctest::Approx(below));
  }
  // Integrated gradients and DeepLIFT are complete against the baseline 0, the gradient is not.
  CHECK(csv.measures.at("deeplift.rescale").at("completeness_error") < 1e-4);
  CHECK(csv.measures.at("integrated_gradients").at("completeness_error") < 0.05);
  CHECK(csv.measures.at("gradient").at("completeness_error") > 0.5);
  const io::Picture chart = io::read_picture(scratch.file("curves.png"));
  CHECK(chart.width > 900);
  CHECK(chart.channels == 3);
}

TEST_CASE("a curve is what predicting the perturbed picture gives") {
  const ScratchDirectory scratch;
  const std::string picture = demo("pictures/sandal_8.png");
  const auto result = run_command({"evaluate", demo("fashion.onnx"), "--input", picture, "--preprocess",
                                   "unit", "-m", "lrp.epsilon_plus", "--region-size", "7", "--score", "logit",
                                   "--csv", scratch.file("c.csv")});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto curve = read_csv(scratch.file("c.csv")).curves.at("lrp.epsilon_plus").at("most_relevant_first");
  REQUIRE(curve.size() == 17);

  const Model model = load_onnx(demo("fashion.onnx"));
  Tensor x =
      io::to_input(io::read_picture(picture), io::preprocessing_from_name("unit"), 28, 28, 1, DType::float32);
  const Explainer explainer(model, "lrp.epsilon_plus");
  const Explanation found = explainer.run(x);
  const auto label = found.predictions()[0];
  std::vector<std::pair<double, std::size_t>> blocks;
  for (std::size_t b = 0; b < 16; ++b) {
    double sum = 0;
    for (std::int64_t i = 0; i < 784; ++i)
      if (static_cast<std::size_t>(i / 28 / 7 * 4 + i % 28 / 7) == b) sum += found.attribution().at(i);
    blocks.emplace_back(-sum, b);
  }
  std::sort(blocks.begin(), blocks.end());
  for (std::size_t k = 0; k <= 16; ++k) {
    CHECK(curve[k].second == doctest::Approx(explainer.run(x).scores().at(label)).epsilon(1e-4));
    for (std::int64_t i = 0; k < 16 && i < 784; ++i)
      if (static_cast<std::size_t>(i / 28 / 7 * 4 + i % 28 / 7) == blocks[k].second)
        x.mutable_values<float>()[static_cast<std::size_t>(i)] = 0;
  }
}

TEST_CASE("labels, fills, sensitivity, randomisation and masks are reported when they are asked for") {
  const ScratchDirectory scratch;
  Tensor x(DType::float32, {6, 22});
  for (std::size_t i = 0; i < 6 * 22; ++i)
    x.mutable_values<float>()[i] = static_cast<float>(std::sin(1.3 * static_cast<double>(i)));
  io::write_npy(scratch.file("x.npy"), x);
  io::write_npy(scratch.file("y.npy"), Tensor(DType::int64, {6}));
  Tensor mask(DType::boolean, {22});
  for (std::size_t i = 0; i < 6; ++i)
    mask.mutable_values<bool>()[i] = true;  // the network was made of the first six features
  io::write_npy(scratch.file("mask.npy"), mask);
  const auto run = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments{"evaluate", demo("mlp.onnx"),       "--input", scratch.file("x.npy"),
                                       "--labels", scratch.file("y.npy"),  "-m",      "gradient",
                                       "-m",       "input_times_gradient", "--csv",   scratch.file("c.csv")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto result = run_command(arguments);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.out;
  };
  const std::string out = run({"--sensitivity", "4", "--randomisation", "cascading", "--randomisation",
                               "independent", "--mask", scratch.file("mask.npy"), "--fill", "mean"});
  CHECK(out.find("6 of the labels are the model's answers") != std::string::npos);
  CHECK(out.find("logit of the label") != std::string::npos);  // one score is no probability
  CHECK(out.find("sensitivity") != std::string::npos);
  CHECK(out.find("precision") != std::string::npos);
  const Csv csv = read_csv(scratch.file("c.csv"));
  CHECK(csv.measures.at("gradient").at("precision") > csv.measures.at("random").at("precision") + 0.3);
  CHECK(csv.measures.at("gradient").at("max_sensitivity") > 0);
  CHECK(csv.measures.at("random").at("max_sensitivity") == 0);
  for (const std::string kind : {"cascading", "independent"}) {
    const auto& layers = csv.curves.at("gradient").at(kind + "_rank_correlation");
    REQUIRE(layers.size() == 3);
    CHECK(layers[0].first == "dense3");
    CHECK(layers[2].first == "dense1");
    CHECK(std::abs(layers[2].second) < 0.5);
    for (const auto& [layer, value] : csv.curves.at("random").at(kind + "_rank_correlation"))
      CHECK(value == 1);
  }
  // Batches do not matter.
  const std::string all = run({"--batch-size", "6"}), two = run({"--batch-size", "2"});
  CHECK(all == two);
  for (const std::string fill : {"uniform", "0.5"})
    CHECK(run({"--fill", fill}).find("replaced by " + fill + ";") != std::string::npos);
}

TEST_CASE("methods with rules of one's own and with arrays that belong to nodes are evaluated too") {
  const ScratchDirectory scratch;
  const auto made = run_command({"patterns", demo("fashion.onnx"), "--preprocess", "unit", "--input",
                                 demo("pictures/bag_18.png"), demo("pictures/coat_6.png"), "--output",
                                 scratch.file("p.npz")});
  REQUIRE(made.code == 0);
  std::ofstream(scratch.file("own.rules"))
      << "rulegrad 1\n\nanalyzer own.map {\n  seed onehot(target) * y\n  use { grad(y: affine(x, w), g) => "
         "vjp(y(w = w * aux(y, \"pattern\", w)), g) }\n  default gradient\n}\n";
  const auto result =
      evaluate_demo({"-m", "own.map", "-m", "pattern.attribution", "--rules", scratch.file("own.rules"),
                     "--aux", scratch.file("p.npz"), "--steps", "4", "--csv", scratch.file("c.csv")});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const Csv csv = read_csv(scratch.file("c.csv"));
  CHECK(csv.measures.at("own.map").at("aopc") ==
        doctest::Approx(csv.measures.at("pattern.attribution").at("aopc")).epsilon(1e-3));
}

TEST_CASE("evaluate calls a probability what a softmax ends, and nothing else") {
  const ScratchDirectory scratch;
  Tensor weights(DType::float32, {3, 4}), samples(DType::float32, {2, 4});
  for (std::size_t i = 0; i < 12; ++i)
    weights.mutable_values<float>()[i] = 0.3F * static_cast<float>(i % 5) - 0.4F;
  for (std::size_t i = 0; i < 8; ++i) samples.mutable_values<float>()[i] = 0.5F + static_cast<float>(i % 3);
  io::write_npy(scratch.file("x.npy"), samples);
  Graph graph;
  const Expr y = dense(graph.input("x", {DType::float32, Shape{B, 4}}), graph.constant(weights)),
             p = softmax(y, 1);
  save_onnx(scratch.file("scores.onnx"), std::span(&y, 1), {.graph_name = "scores", .output_names = {"y"}});
  save_onnx(scratch.file("classes.onnx"), std::span(&p, 1), {.graph_name = "classes", .output_names = {"p"}});
  const auto told = [&](const std::string& model, const std::vector<std::string>& more) {
    std::vector<std::string> line{"evaluate", scratch.file(model), "--input", scratch.file("x.npy"),
                                  "-m",       "gradient"};
    line.insert(line.end(), more.begin(), more.end());
    const auto result = run_command(line);
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.out.substr(result.out.find('\n') + 1,
                             result.out.find(" on average") - result.out.find('\n'));
  };
  CHECK(told("scores.onnx", {}).starts_with("logit of the label"));
  CHECK(told("classes.onnx", {}).starts_with("probability of the label"));
  CHECK(told("classes.onnx", {"--score", "logit"}) == told("scores.onnx", {}));
  CHECK(told("scores.onnx", {"--score", "probability"}) == told("classes.onnx", {}));
}

TEST_CASE("evaluate: what cannot be done is told, and nothing is written") {
  const ScratchDirectory data, scratch;
  io::write_npy(data.file("short.npy"), Tensor(DType::int64, {3}));
  io::write_npy(data.file("real.npy"), Tensor(DType::float32, {1}));
  io::write_npy(data.file("high.npy"), Tensor({1}, {std::int64_t{7}}));
  const auto fails = [&](std::vector<std::string> arguments, const std::string& word) {
    arguments.insert(arguments.begin(), {"evaluate", demo("mlp.onnx"), "--input", demo("features.npy"),
                                         "--csv", scratch.file("c.csv")});
    const auto result = run_command(arguments);
    INFO(result.err);
    CHECK(result.code == 2);
    CHECK(result.out.empty());
    CHECK_MESSAGE(result.err.find(word) != std::string::npos, "expected in the message: " << word);
    CHECK(std::filesystem::is_empty(scratch.path()));
  };
  const std::string m = "-m", gradient = "gradient";
  fails({m, gradient, "--labels", data.file("short.npy")},
        "int64[3] but --labels needs one integer for each of the 1 samples");
  fails({m, gradient, "--labels", data.file("real.npy")}, "float32[1]");
  fails({m, gradient, "--labels", data.file("high.npy")}, "label 7 of sample 0");
  fails({m, gradient, "--region-size", "23"}, "size of 1 to 22");
  fails({m, gradient, "--fill", "unifrom"}, "did you mean 'uniform'");
  fails({m, gradient, "--fill", "blur"}, "no images");
  fails({m, gradient, "--fill", "mean"}, "more samples");
  fails({m, gradient, "--steps", "23"}, "choose 1 to 22 steps");
  fails({m, gradient, "--until", "1.5"}, "(0, 1]");
  fails({m, gradient, "--score", "probability"}, "no probability");
  fails({m, gradient, "--score", "logits"}, "did you mean 'logit'");
  fails({m, gradient, "--randomisation", "cascade"}, "cascading");
  fails({m, gradient, "--radius", "0.1"}, "--sensitivity");
  fails({m, gradient, "--plot", scratch.file("p.jpg")}, ".png");
  fails({m, gradient, "--mask", data.file("short.npy")}, "22 elements of one sample");
  fails({m, "gradeint"}, "did you mean 'gradient'");
  fails({}, "--method");
}

TEST_CASE("xai-tris reports precision against the truth, and writes what evaluate measures the same by") {
  const ScratchDirectory scratch;
  const auto result = run_command(
      {"xai-tris", "xor", "-m", "input_times_gradient", "--samples", "60", "--output", scratch.file("tris")});
  INFO(result.err);
  REQUIRE(result.code == 0);
  const auto value_behind = [](const std::string& text, const std::string& name) {
    const std::size_t at = text.find("\n" + name + " ");
    REQUIRE(at != std::string::npos);
    return std::stod(text.substr(at + name.size() + 1));
  };
  const double found = value_behind(result.out, "input_times_gradient"),
               floor = value_behind(result.out, "random");
  CHECK(floor == doctest::Approx(0.125).epsilon(0.3));
  CHECK(found > 3 * floor);

  const auto again =
      run_command({"evaluate", scratch.file("tris/model.onnx"), "--input", scratch.file("tris/samples.npy"),
                   "--labels", scratch.file("tris/labels.npy"), "--mask", scratch.file("tris/mask.npy"), "-m",
                   "input_times_gradient", "--csv", scratch.file("c.csv")});
  INFO(again.err);
  REQUIRE(again.code == 0);
  const Csv csv = read_csv(scratch.file("c.csv"));
  CHECK(csv.measures.at("input_times_gradient").at("precision") == doctest::Approx(found).epsilon(0.005));
  CHECK(csv.measures.at("random").at("precision") == doctest::Approx(floor).epsilon(0.01));

  const auto wrong = run_command({"xai-tris", "mult", "-m", "gradient"});
  CHECK(wrong.code == 2);
  CHECK(wrong.err.find("linear") != std::string::npos);
}
