// The command on the models that ship.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"

#include "cli/command.hpp"

using namespace rulegrad;
using testing::demo;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

std::vector<std::string> pictures() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(demo("pictures")))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

}  // namespace

TEST_CASE("the demo model names the shipped pictures") {
  int right = 0;
  for (const std::string& file : pictures()) {
    const auto result = run_command({"predict", demo("fashion.onnx"), "--input", file, "--preprocess", "unit",
                                     "--labels", demo("labels.txt"), "--top", "1"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    // File names begin with the true label.
    const std::string label = std::filesystem::path(file).stem().string();
    std::string said = result.out;
    std::replace(said.begin(), said.end(), ' ', '_');
    right += said.find(label.substr(0, label.rfind('_'))) != std::string::npos;
  }
  CHECK(right >= static_cast<int>(pictures().size()) - 1);
}

TEST_CASE("--precision and --exact: a choice of three words, which do not contradict each other") {
  const ScratchDirectory scratch;
  const std::string file = pictures().front();
  const auto analyzed = [&](std::vector<std::string> more, const std::string& name) {
    std::vector<std::string> line{
        "analyze", demo("fashion.onnx"), "--input",          file,       "--preprocess",
        "unit",    "--method",           "lrp.epsilon_plus", "--output", scratch.file(name)};
    line.insert(line.end(), more.begin(), more.end());
    return run_command(line);
  };
  for (const char* word : {"exact", "fast", "auto"}) {
    const auto result = analyzed({"--precision", word}, std::string(word) + ".npy");
    INFO(result.err);
    CHECK(result.code == 0);
  }
  CHECK(analyzed({"--exact", "--precision", "exact"}, "both.npy").code == 0);
  const auto unknown = analyzed({"--precision", "fats"}, "none.npy");
  CHECK(unknown.code != 0);
  CHECK(unknown.err.find("fast") != std::string::npos);
  const auto contradiction = analyzed({"--exact", "--precision", "fast"}, "none.npy");
  CHECK(contradiction.code != 0);
  CHECK(contradiction.err.find("leave one of them out") != std::string::npos);
}

TEST_CASE("arrays have the input's shape and the chosen dtype, whatever the batch size") {
  const ScratchDirectory scratch;
  Tensor x = Tensor::uninitialized(DType::float64, {5, 22});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.mutable_values<double>()[static_cast<std::size_t>(i)] = std::sin(static_cast<double>(i));
  io::write_npy(scratch.file("x.npy"), x);
  const auto run = [&](const std::string& batch, const std::string& dtype) {
    const auto result = run_command({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"),
                                     "--method", "lrp.epsilon", "--output", scratch.file("r.npy"),
                                     "--batch-size", batch, "--dtype", dtype, "--threads", "1"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return io::read_npy(scratch.file("r.npy"));
  };
  const Tensor whole = run("5", "float64"), cut = run("2", "float64"), single = run("5", "float32");
  CHECK(whole.dtype() == DType::float64);
  CHECK(whole.dims() == Dims{5, 22});
  CHECK(single.dtype() == DType::float32);
  for (std::int64_t i = 0; i < whole.size(); ++i) {
    CHECK(cut.at(i) == doctest::Approx(whole.at(i)).epsilon(1e-12));
    CHECK(single.at(i) == doctest::Approx(whole.at(i)).epsilon(1e-2));
  }
}

TEST_CASE("a directory gets an array a method, a heat map a sample and method, and a grid") {
  const ScratchDirectory scratch;
  const auto files = pictures();
  const auto result =
      run_command({"analyze", demo("fashion.onnx"), "--input", files[0], "--input", files[1], "--preprocess",
                   "unit", "--labels", demo("labels.txt"), "--method", "gradient", "--method",
                   "lrp.gamma:gamma=0.5", "--output", scratch.file("maps")});
  INFO(result.err);
  REQUIRE(result.code == 0);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(scratch.file("maps")))
    names.push_back(entry.path().filename().string());
  CHECK(std::count_if(names.begin(), names.end(), [](const std::string& n) { return n.ends_with(".npy"); }) ==
        2);
  CHECK(std::count_if(names.begin(), names.end(), [](const std::string& n) { return n.ends_with(".png"); }) ==
        5);
  CHECK(io::read_npy(scratch.file("maps/gradient.npy")).dims() == Dims{2, 1, 28, 28});
  CHECK(io::read_picture(scratch.file("maps/grid.png")).width > 300);
}

TEST_CASE("several methods in one call give what each gives alone, bit for bit") {
  const ScratchDirectory scratch;
  const std::string file = pictures()[2];
  const std::vector<std::string> methods{"gradient", "guided_backprop", "lrp.epsilon",
                                         "lrp.epsilon_plus_flat"};
  std::vector<std::string> all{"analyze", demo("fashion.onnx"), "--input",          file, "--preprocess",
                               "unit",    "--output",           scratch.file("all")};
  for (const std::string& method : methods) all.insert(all.end(), {"--method", method});
  REQUIRE(run_command(all).code == 0);
  for (const std::string& method : methods) {
    REQUIRE(run_command({"analyze", demo("fashion.onnx"), "--input", file, "--preprocess", "unit", "--method",
                         method, "--output", scratch.file("one.npy")})
                .code == 0);
    INFO(method);
    CHECK(identical(io::read_npy(scratch.file("one.npy")),
                    io::read_npy(scratch.file("all/" + method + ".npy"))));
  }
}

TEST_CASE("targets: an index, all of them, one a sample") {
  const ScratchDirectory scratch;
  const auto files = pictures();
  const auto run = [&](const std::string& target) {
    const auto result = run_command({"analyze", demo("fashion.onnx"), "--input", files[0], "--input",
                                     files[1], "--preprocess", "unit", "--method", "gradient", "--target",
                                     target, "--output", scratch.file("r.npy")});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return io::read_npy(scratch.file("r.npy"));
  };
  const Tensor all = run("all"), three = run("3");
  CHECK(all.dims() == Dims{2, 10, 1, 28, 28});
  io::write_npy(scratch.file("t.npy"), Tensor({2}, {std::int64_t{3}, std::int64_t{7}}));
  const Tensor mixed = run(scratch.file("t.npy"));
  for (std::int64_t i = 0; i < 784; ++i) {
    CHECK(all.at(3 * 784 + i) == three.at(i));
    CHECK(mixed.at(i) == three.at(i));
    CHECK(mixed.at(784 + i) == all.at((10 + 7) * 784 + i));
  }
}

TEST_CASE("seeds: the value scales what one gives, an array is taken as it is") {
  const ScratchDirectory scratch;
  const std::string file = pictures()[0];
  const auto run = [&](const std::string& seed) {
    const auto result = run_command({"analyze", demo("fashion.onnx"), "--input", file, "--preprocess", "unit",
                                     "--method", "gradient", "--target", "4", "--seed", seed, "--output",
                                     scratch.file("r.npy"), "--dtype", "float64"});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return io::read_npy(scratch.file("r.npy"));
  };
  const Tensor one = run("one"), value = run("value");
  Tensor twice(DType::float64, {10});
  twice.mutable_values<double>()[4] = 2;
  io::write_npy(scratch.file("seed.npy"), twice);
  const Tensor given = run(scratch.file("seed.npy"));
  std::int64_t largest = 0;
  for (std::int64_t i = 0; i < 784; ++i)
    if (std::abs(one.at(i)) > std::abs(one.at(largest))) largest = i;
  const double factor = value.at(largest) / one.at(largest);
  for (std::int64_t i = 0; i < 784; ++i) {
    CHECK(value.at(i) == doctest::Approx(one.at(i) * factor).epsilon(1e-9));
    CHECK(given.at(i) == doctest::Approx(2 * one.at(i)).epsilon(1e-12));
  }
  CHECK(std::abs(factor - 1) > 1e-3);
}

TEST_CASE("methods and show print what there is, and what show prints can be used") {
  const auto methods = run_command({"methods"});
  CHECK(methods.code == 0);
  for (const char* name : {"gradient", "input_times_gradient", "deconvnet", "guided_backprop", "lrp.z",
                           "lrp.epsilon", "lrp.gamma", "lrp.epsilon_plus_flat"})
    CHECK(methods.out.find(std::string(name) + (std::string(name).find("lrp") == 0 ? "" : "\n")) !=
          std::string::npos);
  const auto shown = run_command({"show", "lrp.epsilon_plus_flat"});
  CHECK(shown.code == 0);
  CHECK(shown.out.find("use lrp.flat on first(affine)") != std::string::npos);

  // Renamed, the printed text is a rule file of one's own.
  const ScratchDirectory scratch;
  std::string text = shown.out;
  for (std::size_t at = 0; (at = text.find("lrp.", at)) != std::string::npos; at += 5)
    text.replace(at, 4, "mine.");
  for (std::size_t at = 0; (at = text.find("canonical", at)) != std::string::npos; at += 13)
    text.replace(at, 9, "my_canonical");
  for (std::size_t at = 0; (at = text.find("routing {", at)) != std::string::npos; at += 12)
    text.replace(at, 9, "mine.routing {");
  for (std::size_t at = 0; (at = text.find("use routing", at)) != std::string::npos; at += 14)
    text.replace(at, 11, "use mine.routing");
  for (const char* fn : {"clip_pos", "clip_neg"})
    for (std::size_t at = 0; (at = text.find(fn, at)) != std::string::npos; at += 10)
      text.replace(at, 8, std::string("my_") + fn);
  std::ofstream(scratch.file("mine.rules")) << text;
  const std::string file = pictures()[0];
  const auto run = [&](const std::string& method) {
    const auto result =
        run_command({"analyze", demo("fashion.onnx"), "--input", file, "--preprocess", "unit", "--rules",
                     scratch.file("mine.rules"), "--method", method, "--output", scratch.file("r.npy")});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return io::read_npy(scratch.file("r.npy"));
  };
  CHECK(identical(run("mine.epsilon_plus_flat"), run("lrp.epsilon_plus_flat")));
}

TEST_CASE("help is understood by a newcomer") {
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {"--help"}, {"analyze", "--help"}, {"predict", "--help"}, {"inspect", "--help"}}) {
    const auto help = run_command(arguments);
    CHECK(help.code == 0);
    CHECK(help.out.size() > 200);
  }
  CHECK(run_command({"analyze", "--help"}).out.find("--method") != std::string::npos);
}

TEST_CASE("an analyzer that misses an operator says so and writes nothing") {
  const ScratchDirectory scratch;
  std::ofstream(scratch.file("mine.rules")) << "rulegrad 1\n\nrules mine {\n  grad(y: affine(x), r) => "
                                               "vjp(y, r)\n}\n\nanalyzer mine {\n  use mine\n}\n";
  const auto result = run_command({"analyze", demo("fashion.onnx"), "--input", pictures()[0], "--preprocess",
                                   "unit", "--rules", scratch.file("mine.rules"), "--method", "mine",
                                   "--output", scratch.file("r.npy")});
  CHECK(result.code == 2);
  for (const std::string word :
       {"mine has no rule for", "relu, operand 'x'", "max_pool", "reshape", "default gradient",
        "grad(y: relu, g) wrt v => vjp(y, g)", "--method mine_2"})
    CHECK_MESSAGE(result.err.find(word) != std::string::npos, word << " is missing in:\n" << result.err);
  CHECK_FALSE(std::filesystem::exists(scratch.file("r.npy")));
}

TEST_CASE("--stats says what is computed, kept and needed") {
  const ScratchDirectory scratch;
  io::write_npy(scratch.file("x.npy"), Tensor::full(DType::float32, {3, 22}, 0.5));
  const auto said = [&](const std::string& method, const std::string& batch) {
    const auto result = run_command({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"),
                                     "--method", method, "--stats", "--batch-size", batch});
    INFO(result.err);
    REQUIRE(result.code == 0);
    return result.err;
  };
  const std::string gradient = said("gradient", "2");
  CHECK(gradient.find("convolutions and matrix products") != std::string::npos);
  CHECK(gradient.find("computed once and kept: 0 constants, 0.0 MB") != std::string::npos);
  CHECK(gradient.find("working memory for 2 samples: ") != std::string::npos);
  CHECK(gradient.find("a loop takes") == std::string::npos);
  // Positive weights are computed once; a loop says how many of its samples run together.
  CHECK(said("lrp.z_plus", "1").find("kept: 0 constants") == std::string::npos);
  CHECK(said("integrated_gradients", "1").find("a loop takes 64 of its samples at once") !=
        std::string::npos);
}
