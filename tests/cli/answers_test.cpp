// What the command answers: that what is printed is what was explained, tables and series as pictures, JSON,
// and names that come from files.
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"

#include "cli/asking.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

TEST_CASE("what is printed is what was explained") {
  const std::string folder = field("grid_label");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  const auto summary = [&](const std::vector<std::string>& more) {
    std::vector<std::string> line{"analyze",  folder + "model.onnx",
                                  "--input",  folder + "x.npy",
                                  "--method", "gradient",
                                  "--dtype",  "float64",
                                  "--head",   "probability"};
    line.insert(line.end(), more.begin(), more.end());
    return succeeds(line).out;
  };
  const CommandResult all = succeeds(
      {"predict", folder + "model.onnx", "--input", folder + "x.npy", "--top", "100", "--dtype", "float64"});
  const std::string third = summary({"--target", "3"});
  for (const char* name : {"x_0: class 3 (", "x_1: class 3 (", "x_2: class 3 ("}) CHECK(has(third, name));
  // The score beside it is that of class 3.
  const std::string score = third.substr(third.find('(') + 1, third.find(')') - third.find('(') - 1);
  CHECK_MESSAGE(has(all.out, score), score << " is not in " << all.out);
  Tensor seed(DType::float64,
              {static_cast<std::int64_t>(std::count(all.out.begin(), all.out.end(), '\n')) / 3 - 1});
  seed.mutable_values<double>()[0] = 1;
  seed.mutable_values<double>()[2] = -1;
  io::write_npy(scratch.file("seed.npy"), seed);
  CHECK(has(summary({"--seed", scratch.file("seed.npy")}), "x_0: class 0 - class 2 ("));
}

TEST_CASE("tables and series are drawn as what they are") {
  const ScratchDirectory scratch;
  io::write_npy(scratch.file("x.npy"), numbers({3, 22}));
  std::string names;
  for (int i = 0; i < 22; ++i) names += "feature " + std::to_string(i) + "\n";
  std::ofstream(scratch.file("names.txt")) << names;
  // 22 features and two methods: the case that the project grew out of.
  CHECK(succeeds({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--method", "gradient",
                  "--method", "lrp.epsilon", "--features", scratch.file("names.txt"), "--output",
                  scratch.file("grid.png")})
            .code == 0);
  CHECK(io::read_picture(scratch.file("grid.png")).width > 800);
  // The largest of 22, by name.
  const std::string told = succeeds({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"),
                                     "--method", "gradient", "--features", scratch.file("names.txt")})
                               .out;
  CHECK_MESSAGE(told.find("     5  feature 5\n") != std::string::npos, told);
  CHECK(succeeds({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--method", "gradient",
                  "--output", scratch.file("maps")})
            .code == 0);
  CHECK(std::filesystem::exists(scratch.file("maps/x_1.gradient.png")));
  std::ofstream(scratch.file("few.txt")) << "a\nb\n";
  refuses({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--method", "gradient",
           "--features", scratch.file("few.txt")},
          {"2 names", "22 values"});

  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 2, 90}});
  const Expr y = dense(flatten(x), graph.constant(numbers({3, 180})));
  save_onnx(scratch.file("s.onnx"), std::span(&y, 1));
  io::write_npy(scratch.file("s.npy"), numbers({2, 2, 90}, 0.1));
  for (const char* look : {"series", "picture"})
    CHECK(succeeds({"analyze", scratch.file("s.onnx"), "--input", scratch.file("s.npy"), "--method",
                    "input_times_gradient", "--show-as", look, "--output",
                    scratch.file(std::string(look) + ".png")})
              .code == 0);
  CHECK(succeeds({"analyze", scratch.file("s.onnx"), "--input", scratch.file("s.npy"), "--method",
                  "input_times_gradient", "--output", scratch.file("own.png")})
            .code == 0);
  // A page shows them so too, and the command that writes no page of them says which does.
  CHECK(succeeds({"report", scratch.file("s.onnx"), "--input", scratch.file("s.npy"), "--method",
                  "input_times_gradient", "--output", scratch.file("s.html")})
            .code == 0);
  const std::string page = testing::read_text(scratch.file("s.html"));
  const auto times = [&](const std::string& word) {
    std::size_t count = 0;
    for (std::size_t at = page.find(word); at != std::string::npos; at = page.find(word, at + 1)) ++count;
    return count;
  };
  CHECK(times("<svg ") == 2);
  CHECK(times("<polyline ") == 4);
  refuses({"analyze", scratch.file("s.onnx"), "--input", scratch.file("s.npy"), "--method", "gradient",
           "--output", scratch.file("s.html")},
          {"rulegrad report", ".png"});
  CHECK(io::read_picture(scratch.file("own.png")) == io::read_picture(scratch.file("series.png")));
  CHECK_FALSE(io::read_picture(scratch.file("picture.png")) == io::read_picture(scratch.file("series.png")));
}

TEST_CASE("what reached the input stands beside what should have, and too little is warned of") {
  const ScratchDirectory scratch;
  io::write_npy(scratch.file("x.npy"), numbers({2, 22}));
  const auto run = [&](const std::string& method) {
    return succeeds({"analyze", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--method", method,
                     "--dtype", "float64"});
  };
  const CommandResult rescale = run("deeplift.rescale"),
                      steps = run("integrated_gradients:steps=1,rule=left,baseline=-3"),
                      gradient = run("gradient");
  CHECK(has(rescale.out, "should be"));
  CHECK_FALSE(has(rescale.err, "warning"));
  CHECK_FALSE(has(gradient.out, "should be"));
  CHECK(has(steps.err, "warning: integrated_gradients: "));
  CHECK(has(steps.err, "steps=4"));
}

TEST_CASE("answers as JSON") {
  const ScratchDirectory scratch;
  io::write_npy(scratch.file("x.npy"), numbers({2, 22}));
  const std::string predicted =
      succeeds({"predict", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--json"}).out;
  CHECK(predicted.starts_with("{\"model\": "));
  CHECK(has(predicted, "\"name\": \"x_1\", \"scores\": [{\"index\": 0, "));
  CHECK(has(succeeds({"inspect", demo("mlp.onnx"), "--json"}).out, "\"inputs\": [{\"name\": "));
  CHECK(has(succeeds({"methods", "--json"}).out, "{\"name\": \"gradient\", "));
  CHECK(has(succeeds({"evaluate", demo("mlp.onnx"), "--input", scratch.file("x.npy"), "--method", "gradient",
                      "--score", "logit", "--random-orders", "1", "--json"})
                .out,
            "\"aopc\": "));
}

TEST_CASE("names from files do not steer the terminal, and numbers have bounds") {
  const ScratchDirectory scratch;
  Graph graph;
  const Expr x = graph.input("in\x1b[2Jput", {DType::float32, Shape{B, 4}});
  const Expr y = dense(x, graph.constant(numbers({6, 4})));
  save_onnx(scratch.file("m.onnx"), std::span(&y, 1), {.graph_name = "g", .output_names = {"o\x1b[31m"}});
  io::write_npy(scratch.file("x.npy"), numbers({2, 4}));
  io::write_npy(scratch.file("bad.npy"), numbers({2, 5}));
  for (const std::vector<std::string>& line : std::vector<std::vector<std::string>>{
           {"inspect", scratch.file("m.onnx")},
           {"predict", scratch.file("m.onnx"), "--input", scratch.file("bad.npy")},
           {"predict", scratch.file("m.onnx"), "--input", scratch.file("x.npy"), "--output-node", "none"}}) {
    const CommandResult result = run_command(line);
    CHECK_FALSE(has(result.out + result.err, "\x1b"));
    CHECK(has(result.out + result.err, "\\x1b["));
  }
  const std::vector<std::string> analyze{"analyze",  demo("mlp.onnx"), "--input", scratch.file("x.npy"),
                                         "--method", "gradient"};
  const auto refused = [&](const std::vector<std::string>& more, const std::vector<std::string>& words) {
    std::vector<std::string> line = analyze;
    line.insert(line.end(), more.begin(), more.end());
    refuses(line, words);
  };
  refused({"--upscale", "658812288346769701"}, {"--upscale"});
  refused({"--short-side", "-5"}, {"--short-side"});
  refused({"--threads", "10000"}, {"--threads", "1024"});
  std::ofstream(scratch.file("empty.rules"));
  refused({"--rules", scratch.file("empty.rules")}, {"empty"});
  refuses({"check", scratch.file("empty.rules")}, {"empty"});
}
