// What the command is asked: several inputs and outputs, free axes, targets of any rank, labels, token ids.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/operators.hpp"

#include "cli/asking.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// ids [B, 4] looked up in a table of 6 rows, and two scores.
std::string token_model(const ScratchDirectory& scratch) {
  Graph graph;
  const Expr ids = graph.input("ids", {DType::int64, Shape{B, 4}}), table = graph.constant(numbers({6, 3}));
  const Expr embedded = graph.apply(Operators::builtin().at("gather"), {table, ids}, AxisAttributes{0});
  const Expr y = dense(relu(dense(flatten(embedded), graph.constant(numbers({5, 12}, 0.7)))),
                       graph.constant(numbers({2, 5}, 0.9)));
  save_onnx(scratch.file("tokens.onnx"), std::span(&y, 1), {.graph_name = "tokens", .output_names = {"y"}});
  io::write_npy(scratch.file("ids.npy"),
                Tensor({1, 4}, {std::int64_t{1}, std::int64_t{0}, std::int64_t{5}, std::int64_t{3}}));
  return scratch.file("tokens.onnx");
}

}  // namespace

TEST_CASE("a hidden value whose first axis is samples times steps") {
  const std::string folder = field("at_merged_batch");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  for (const char* batch : {"16", "2"}) {
    (void)succeeds({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method", "gradient",
                    "--at", "/f/Gemm_output_0", "--dtype", "float64", "--batch-size", batch, "--output",
                    scratch.file("r.npy")});
    check_near(io::read_npy(scratch.file("r.npy")), io::read_npy(folder + "expected.npy"), 1e-9);
  }
  const CommandResult directory =
      succeeds({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method", "gradient", "--at",
                "/f/Gemm_output_0", "--output", scratch.file("maps")});
  CHECK(has(directory.out, "x_4: "));
  CHECK_FALSE(has(directory.out, "x_5: "));
}

TEST_CASE("a value without a batch is explained for each sample, by what the model answers there") {
  const std::string folder = field("at_without_batch");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  const CommandResult result =
      succeeds({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method", "gradient", "--at",
                "p", "--dtype", "float64", "--output", scratch.file("r.npy")});
  check_near(io::read_npy(scratch.file("r.npy")), io::read_npy(folder + "expected_per_sample.npy"), 1e-9);
  const CommandResult predicted = succeeds(
      {"predict", folder + "model.onnx", "--input", folder + "x.npy", "--top", "1", "--dtype", "float64"});
  CHECK(has(predicted.out, "x_3  (scores as the model gives them)\n      1.0035     1  class 1"));
  CHECK(has(result.out, "x_3: class 1 (1.0035"));
  CHECK_FALSE(has(succeeds({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method",
                            "gradient", "--at", "W"})
                      .out,
                  "class 3"));
}

TEST_CASE("occlusion follows the seed, and who cannot says so") {
  const std::string folder = field("occlusion_ignores_seed");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  for (const char* method : {"occlusion:window=1", "captum.occlusion:window=1", "integrated_gradients"}) {
    (void)succeeds({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method", method,
                    "--seed", folder + "seed.npy", "--dtype", "float64", "--output", scratch.file("r.npy")});
    check_near(io::read_npy(scratch.file("r.npy")), io::read_npy(folder + "expected.npy"), 1e-9);
  }
  refuses({"analyze", folder + "model.onnx", "--input", folder + "x.npy", "--method", "random", "--seed",
           folder + "seed.npy"},
          {"random cannot explain a seed"});
}

TEST_CASE("token ids in, one number a token out, with names") {
  const ScratchDirectory scratch;
  const std::string model = token_model(scratch), ids = scratch.file("ids.npy");
  for (const char* method : {"gradient", "guided_backprop", "integrated_gradients"}) {
    (void)succeeds({"analyze", model, "--input", ids, "--method", method, "--output", scratch.file("r.npy")});
    const Tensor map = io::read_npy(scratch.file("r.npy"));
    REQUIRE(map.dims() == Dims{1, 4});
    for (std::int64_t i = 0; i < 4; ++i) CHECK(map.at(i) != 0);
  }
  std::ofstream(scratch.file("words.txt"))
      << "the\n<b>cat</b>\nsat\non\n\x1b[31mred\nmat\n";  // a vocabulary of six
  const CommandResult named = succeeds({"analyze", model, "--input", ids, "--method", "gradient", "--tokens",
                                        scratch.file("words.txt"), "--output", scratch.file("r.html")});
  for (const char* word : {"the", "cat", "mat", "on"}) CHECK(has(named.out, word));
  CHECK_FALSE(has(named.out, "sat"));
  const std::string page = testing::read_text(scratch.file("r.html"));
  CHECK(has(page, "&lt;b&gt;cat&lt;/b&gt;"));
  CHECK_FALSE(has(page, "<b>"));
  CHECK(has(page, "background:#"));
  // By position.
  std::ofstream(scratch.file("sentence.txt")) << "w0\nw1\nw2\nw3\n";
  CHECK(has(succeeds({"analyze", model, "--input", ids, "--method", "gradient", "--tokens",
                      scratch.file("sentence.txt"), "--output", scratch.file("r.png")})
                .out,
            "w2"));
  std::ofstream(scratch.file("five.txt")) << "a\nb\nc\nd\ne\n";
  refuses({"analyze", model, "--input", ids, "--method", "gradient", "--tokens", scratch.file("five.txt")},
          {"5 lines", "6", "4 tokens"});
  // What one looks at layer by layer starts from the same value.
  CHECK(has(succeeds({"explain", model, "--method", "lrp.epsilon", "--input", ids}).out, "dense"));
}

TEST_CASE("ids that are looked up in the field") {
  const std::string folder = field("token_gradient_zero");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  for (const char* method :
       {"gradient", "input_times_gradient", "guided_backprop", "innvestigate.gradient"}) {
    const CommandResult result = run_command({"analyze", folder + "model.onnx", "--input", folder + "ids.npy",
                                              "--method", method, "--output", scratch.file("r.npy")});
    INFO(method << ": " << result.err);
    if (result.code == 2) {
      // Nothing of guided backpropagation applies to a network without a relu.
      CHECK(has(result.err, std::string(method) == "guided_backprop" ? "--allow-unmatched" : "--at"));
      continue;
    }
    const Tensor map = io::read_npy(scratch.file("r.npy"));
    CHECK(map.dims() == Dims{1, 3});
    double largest = 0;
    for (std::int64_t i = 0; i < map.size(); ++i) largest = std::max(largest, std::abs(map.at(i)));
    CHECK(largest > 0);
  }
}

TEST_CASE(
    "a guard against NaN is no decision of the input: DeepLIFT goes through it and sums to the difference") {
  const std::string folder = field("isnan_legacy_two_inputs_free_seq");
  if (folder.empty()) return;
  const CommandResult result =
      succeeds({"analyze", folder + "model.onnx", "--input", "input_ids=" + folder + "input_ids.npy",
                "--input", "attention_mask=" + folder + "attention_mask.npy", "--method", "deeplift.rescale",
                "--dtype", "float64"});
  CHECK(has(result.out, "should be"));
  CHECK_FALSE(has(result.err, "warning"));
}

TEST_CASE("several inputs and outputs by name") {
  const ScratchDirectory scratch;
  Graph graph;
  const Expr a = graph.input("a", {DType::float32, Shape{B, 3}}),
             b = graph.input("b", {DType::float32, Shape{B, 2}});
  const Expr first = dense(concat(std::vector{a, b}, 1), graph.constant(numbers({2, 5}))),
             second = dense(relu(a), graph.constant(numbers({4, 3}, 0.9)));
  const Expr outputs[] = {first, second};
  const std::string model = scratch.file("two.onnx"), fa = scratch.file("va.npy"),
                    fb = scratch.file("vb.npy");
  save_onnx(model, outputs, {.graph_name = "two", .output_names = {"sum", "relu_only"}});
  io::write_npy(fa, numbers({3, 3}));
  io::write_npy(fb, numbers({3, 2}, 0.8));
  const std::vector<std::string> given{"--input", "a=" + fa, "--input", "b=" + fb};
  const auto with = [&](std::vector<std::string> line, const std::vector<std::string>& more) {
    line.insert(line.end(), given.begin(), given.end());
    line.insert(line.end(), more.begin(), more.end());
    return line;
  };
  const CommandResult both = succeeds(
      with({"analyze", model}, {"--method", "input_times_gradient", "--output", scratch.file("maps.npz")}));
  CHECK(io::read_npz(scratch.file("maps.npz"), "input_times_gradient@a").dims() == Dims{3, 3});
  CHECK(io::read_npz(scratch.file("maps.npz"), "input_times_gradient@b").dims() == Dims{3, 2});
  CHECK(io::read_npz(scratch.file("maps.npz"), "scores").dims() == Dims{3, 2});
  CHECK(has(both.err, "--output-node"));  // which output was taken is said
  // Linear without a bias: both together are the score.
  const Tensor ma = io::read_npz(scratch.file("maps.npz"), "input_times_gradient@a"),
               mb = io::read_npz(scratch.file("maps.npz"), "input_times_gradient@b"),
               scores = io::read_npz(scratch.file("maps.npz"), "scores");
  for (std::int64_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (std::int64_t k = 0; k < 3; ++k) sum += ma.at(3 * i + k);
    for (std::int64_t k = 0; k < 2; ++k) sum += mb.at(2 * i + k);
    CHECK(sum == doctest::Approx(std::max(scores.at(2 * i), scores.at(2 * i + 1))).epsilon(1e-5));
  }
  (void)succeeds(with({"analyze", model}, {"--method", "gradient", "--output", scratch.file("dir")}));
  CHECK(std::filesystem::exists(scratch.file("dir/gradient@a.npy")));
  CHECK(std::filesystem::exists(scratch.file("dir/va_2.gradient@b.png")));
  (void)succeeds(
      with({"analyze", model}, {"--method", "gradient", "--at", "b", "--output", scratch.file("b.npy")}));
  CHECK(io::read_npy(scratch.file("b.npy")).dims() == Dims{3, 2});

  CHECK(has(succeeds(with({"predict", model}, {"--output-node", "relu_only", "--top", "4"})).out, "class 3"));
  CHECK(has(succeeds(with({"explain", model}, {"--method", "lrp.epsilon", "--output-node", "relu_only"})).out,
            "relu"));
  CHECK(succeeds(with({"diff", model}, {"--method", "lrp.epsilon", "--method", "gradient"})).code == 0);
  refuses(with({"predict", model}, {"--output-node", "relu_onyl"}), {"did you mean 'relu_only'?"});
  refuses({"analyze", model, "--input", fa, "--method", "gradient"}, {"2 inputs", "--input a="});
  refuses({"analyze", model, "--input", "a=" + fa, "--method", "gradient"},
          {"'b'", "missing", "--input b=FILE"});
  refuses({"analyze", model, "--input", "a=" + fa, "--input", "c=" + fb, "--method", "gradient"},
          {"unknown input 'c'"});
  refuses(with({"analyze", model}, {"--method", "gradient", "--output", scratch.file("r.npy")}),
          {"one array", "--at"});
  io::write_npy(fb, numbers({2, 2}));
  refuses(with({"predict", model}, {}), {"3 samples", "2"});
  // An archive names its arrays.
  const std::vector<std::pair<std::string, Tensor>> arrays{{"a", numbers({2, 3})}, {"b", numbers({2, 2})}};
  io::write_npz(scratch.file("in.npz"), arrays);
  CHECK(has(succeeds({"predict", model, "--input", scratch.file("in.npz")}).out, "a_1"));
}

TEST_CASE("two inputs, one of them categories, in the field") {
  const std::string folder = field("two_inputs_tabular");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  const std::vector<std::string> inputs{"--input", "cat=" + folder + "cat.npy", "--input",
                                        "num=" + folder + "num.npy"};
  std::vector<std::string> line{
      "analyze",  folder + "model.onnx", "--method", "gradient",           "--dtype", "float64",
      "--target", folder + "target.npy", "--output", scratch.file("r.npy")};
  line.insert(line.end(), inputs.begin(), inputs.end());
  const CommandResult result = succeeds(line);
  check_near(io::read_npy(scratch.file("r.npy")), io::read_npy(folder + "expected_gradient_0.npy"), 1e-5);
  CHECK(has(result.err, "--at"));  // the categories are not left out without a word
}

TEST_CASE("free axes take the extent of the array, or of --dim") {
  const std::string folder = field("free_seq_axis");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  const std::string model = folder + "model.onnx";
  for (const std::vector<std::string>& more :
       std::vector<std::vector<std::string>>{{}, {"--dim", "seq=12"}}) {
    std::vector<std::string> line{
        "analyze", model,     "--input",  folder + "input.npy",  "--method", "gradient",
        "--dtype", "float64", "--target", folder + "target.npy", "--output", scratch.file("r.npy")};
    line.insert(line.end(), more.begin(), more.end());
    (void)succeeds(line);
    check_near(io::read_npy(scratch.file("r.npy")), io::read_npy(folder + "expected_gradient_0.npy"), 1e-5);
  }
  CHECK(has(succeeds({"inspect", model}).out, "--dim seq=EXTENT"));
  CHECK(succeeds({"explain", model, "--method", "gradient", "--dim", "seq=12"}).code == 0);
  refuses({"explain", model, "--method", "gradient"}, {"--dim seq=128"});
  refuses({"analyze", model, "--input", folder + "input.npy", "--method", "gradient", "--dim", "sequence=12"},
          {"'sequence'", "seq"});
  refuses({"analyze", model, "--input", folder + "input.npy", "--method", "gradient", "--dim", "seq=0"},
          {"NAME=EXTENT"});
}

TEST_CASE("two inputs, a second output, a free image in the field") {
  const std::string folder = field("cli_inputs_outputs_extents");
  if (folder.empty()) return;
  const ScratchDirectory scratch;
  CHECK(succeeds({"analyze", folder + "free_extents.onnx", "--input", folder + "image.npy", "--method",
                  "gradient", "--output", scratch.file("r.npy")})
            .code == 0);
  CHECK(io::read_npy(scratch.file("r.npy")).dims() == Dims{1, 2, 4, 5});
  CHECK(has(succeeds({"predict", folder + "two_outputs.onnx", "--input", folder + "a.npy"}).err,
            "--output-node"));
}

TEST_CASE("targets of any rank, labels and what their number must be") {
  const ScratchDirectory scratch;
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, 4}});
  const Expr y = reshape(dense(x, graph.constant(numbers({6, 4}))), Shape{B, 2, 3});
  const std::string model = scratch.file("m.onnx"), input = scratch.file("x.npy");
  save_onnx(model, std::span(&y, 1));
  io::write_npy(input, numbers({2, 4}));
  const auto map = [&](const std::string& target) {
    (void)succeeds({"analyze", model, "--input", input, "--method", "gradient", "--target", target,
                    "--output", scratch.file("r.npy")});
    return io::read_npy(scratch.file("r.npy"));
  };
  CHECK(identical(map("1,2"), map("5")));
  CHECK_FALSE(identical(map("0,2"), map("5")));
  CHECK(has(succeeds({"analyze", model, "--input", input, "--method", "gradient", "--target", "1,2"}).out,
            "x_0: [1, 2] ("));
  refuses({"analyze", model, "--input", input, "--method", "gradient", "--target", "2,0"},
          {"out of range", "[2, 3]"});
  refuses({"analyze", model, "--input", input, "--method", "gradient", "--target", "1,1,1"}, {"2 axes"});

  const std::string mlp = demo("fashion.onnx"), labels = demo("labels.txt");
  io::write_npy(scratch.file("p.npy"), numbers({1, 1, 28, 28}));
  const auto with = [&](const std::string& target, const std::string& file) {
    return std::vector<std::string>{"analyze",  mlp,        "--input",  scratch.file("p.npy"),
                                    "--method", "gradient", "--target", target,
                                    "--labels", file};
  };
  std::vector<std::string> lines;
  std::ifstream read(labels);
  for (std::string line; std::getline(read, line);) lines.push_back(line);
  REQUIRE(lines.size() == 10);
  CHECK(has(succeeds(with(lines[7], labels)).out, "p: " + lines[7]));
  refuses(with("no such thing", labels), {"label"});
  std::ofstream(scratch.file("nine.txt")) << "a\nb\nc\nd\ne\nf\ng\nh\ni\n";
  refuses(with("3", scratch.file("nine.txt")), {"9 labels", "10 scores"});
  refuses({"predict", mlp, "--input", scratch.file("p.npy"), "--labels", scratch.file("nine.txt")},
          {"9 labels", "10 scores"});
  refuses(with("3", scratch.path().string()), {"directory"});
}

TEST_CASE("a picture needs a recipe, which the model may bring along") {
  const ScratchDirectory scratch;
  std::vector<std::string> pictures;
  for (const auto& entry : std::filesystem::directory_iterator(demo("pictures")))
    pictures.push_back(entry.path().string());
  const std::string picture = *std::min_element(pictures.begin(), pictures.end());
  refuses({"predict", demo("fashion.onnx"), "--input", picture}, {"--preprocess", ".preprocess"});
  const std::string model = scratch.file("m.onnx");
  std::filesystem::copy_file(demo("fashion.onnx"), model);
  std::ofstream(model + ".preprocess") << "unit\n";
  CHECK(succeeds({"predict", model, "--input", picture}).out ==
        succeeds({"predict", model, "--input", picture, "--preprocess", "unit"}).out);
  std::ofstream(model + ".preprocess") << "raw scale=0.00392156862745098\n";
  CHECK(succeeds({"predict", model, "--input", picture}).out ==
        succeeds({"predict", model, "--input", picture, "--preprocess", "unit"}).out);
  std::ofstream(model + ".preprocess") << "unit sclae=2\n";
  refuses({"predict", model, "--input", picture}, {"'sclae'", "scale"});
}
