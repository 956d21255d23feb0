// Streams of the command: folders, lists and arrays that stay on disk become shards that are the bytes of one
// analysis, whatever ends the run in between.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <span>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rulegrad/files/npy.hpp"
#include "rulegrad/files/picture.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/build.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/ops/operators.hpp"
#include "rulegrad/support/json.hpp"
#include "rulegrad/tensor/tensor.hpp"

#include "cli/stream_case.hpp"

using namespace rulegrad;
using testing::check_near;
using testing::CommandResult;
using testing::contents;
using testing::demo;
using testing::member;
using testing::refuses;
using testing::ScratchDirectory;
using testing::succeeds;

namespace {

namespace fs = std::filesystem;

std::vector<std::string> on_fashion(const std::string& input, const std::string& output,
                                    const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments{
      "analyze", demo("fashion.onnx"), "--input",          input,      "--preprocess",
      "unit",    "--labels",           demo("labels.txt"), "--output", output};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::vector<fs::path> pictures() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(demo("pictures"))) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

std::string shard_file(const std::string& folder, const std::string& method, int k) {
  const std::string number = std::to_string(k);
  return folder + "/" + method + "/x/" + std::string(6 - number.size(), '0') + number + ".npy";
}

/// Rows of the shards of one method, one behind the other.
Tensor shards(const ScratchDirectory& scratch, const std::string& folder, const std::string& method) {
  std::vector<float> values;
  Dims dims;
  for (int k = 0;; ++k) {
    const std::string file = scratch.file(shard_file(folder, method, k));
    if (!fs::exists(file)) break;
    const Tensor part = io::read_npy(file);
    const auto numbers = part.values<float>();
    values.insert(values.end(), numbers.begin(), numbers.end());
    const std::int64_t before = dims.empty() ? 0 : dims[0];
    dims = part.dims();
    dims[0] += before;
  }
  return Tensor(dims, std::span<const float>(values));
}

}  // namespace

TEST_CASE("a folder becomes shards that are those of one analysis") {
  const ScratchDirectory scratch;
  const CommandResult done = succeeds(on_fashion(
      demo("pictures"), scratch.file("maps"),
      {"--method", "gradient", "--method", "lrp.epsilon:epsilon=0.1", "--shard", "4", "--pictures", "3"}));
  CHECK(done.out.find("10 samples in 3 shards of 4, 0 left out") != std::string::npos);
  std::vector<std::string> whole =
      on_fashion(pictures()[0].string(), scratch.file("whole"),
                 {"--method", "gradient", "--method", "lrp.epsilon:epsilon=0.1"});
  for (std::size_t i = 1; i < pictures().size(); ++i) {
    whole.push_back("--input");
    whole.push_back(pictures()[i].string());
  }
  (void)succeeds(whole);
  check_near(shards(scratch, "maps", "gradient"), io::read_npy(scratch.file("whole/gradient.npy")));
  check_near(shards(scratch, "maps", "lrp.epsilon"), io::read_npy(scratch.file("whole/lrp.epsilon.npy")));

  // The first three are drawn, and a grid of them.
  int drawn = 0;
  for (const auto& entry : fs::directory_iterator(scratch.file("maps/pictures")))
    drawn += entry.path().extension() == ".png" ? 1 : 0;
  CHECK(drawn == 3 * 2 + 1);

  const std::string text = testing::read_text(scratch.file("maps/manifest.json"));
  const auto manifest = json_members(text, "manifest");
  CHECK(member(manifest, "complete") == "true");
  CHECK(member(manifest, "shard_size") == "4");
  const auto samples = json_items(member(manifest, "samples"), "samples");
  REQUIRE(samples.size() == 10);
  CHECK(json_string(member(json_members(samples[0], "sample"), "name"), "name") == "ankle_boot_0.png");
  CHECK(json_string(member(json_members(samples[0], "sample"), "label"), "label") == "ankle boot");
  const auto method = json_members(json_items(member(manifest, "methods"), "methods")[1], "method");
  CHECK(json_normal(member(method, "parameters"), "parameters") == R"({"epsilon":0.1})");
  // The directory of the whole has one too, with the same samples.
  const std::string beside = testing::read_text(scratch.file("whole/manifest.json"));
  CHECK(json_items(member(json_members(beside, "manifest"), "samples"), "samples").size() == 10);
}

TEST_CASE("a list, and an array that stays on disk") {
  const ScratchDirectory scratch;
  std::ofstream list(scratch.file("files.txt"));
  list << "# the first three\n\n";
  for (int i = 0; i < 3; ++i) list << pictures()[static_cast<std::size_t>(i)].string() << "\n";
  list.close();
  (void)succeeds(on_fashion(scratch.file("files.txt"), scratch.file("listed"),
                            {"--method", "gradient", "--pictures", "0"}));
  CHECK_FALSE(fs::exists(scratch.file("listed/pictures")));

  Tensor x(DType::float32, {23, 1, 28, 28});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i * 37 % 256) / 255.0F;
  io::write_npy(scratch.file("x.npy"), x);
  (void)succeeds(
      on_fashion(scratch.file("x.npy"), scratch.file("whole.npy"), {"--method", "smoothgrad:n=2"}));
  // Nothing but the size of the array makes it a stream here: 72 kB against 0.05 MB.
  const CommandResult large =
      succeeds(on_fashion(scratch.file("x.npy"), scratch.file("large"),
                          {"--method", "gradient", "--memory", "0.05", "--pictures", "0"}));
  CHECK(large.out.find("23 samples in ") != std::string::npos);
  (void)succeeds(on_fashion(scratch.file("x.npy"), scratch.file("plain.npy"), {"--method", "gradient"}));
  check_near(shards(scratch, "large", "gradient"), io::read_npy(scratch.file("plain.npy")));

  std::vector<std::int64_t> targets;
  for (std::int64_t i = 0; i < 23; ++i) targets.push_back(i % 10);
  io::write_npy(scratch.file("targets.npy"), Tensor({23}, std::span<const std::int64_t>(targets)));
  (void)succeeds(on_fashion(
      scratch.file("x.npy"), scratch.file("asked"),
      {"--method", "gradient", "--shard", "5", "--target", scratch.file("targets.npy"), "--pictures", "0"}));
  (void)succeeds(on_fashion(scratch.file("x.npy"), scratch.file("asked.npy"),
                            {"--method", "gradient", "--target", scratch.file("targets.npy")}));
  check_near(shards(scratch, "asked", "gradient"), io::read_npy(scratch.file("asked.npy")));
  const std::string text = testing::read_text(scratch.file("asked/manifest.json"));
  const auto samples = json_items(member(json_members(text, "manifest"), "samples"), "samples");
  CHECK(member(json_members(samples[17], "sample"), "target") == "7");
}

TEST_CASE("a bad file ends the run, or is counted and left out") {
  const ScratchDirectory scratch;
  fs::create_directories(scratch.file("bad"));
  for (std::size_t i = 0; i < 5; ++i)
    fs::copy_file(pictures()[i], fs::path(scratch.file("bad")) / pictures()[i].filename());
  std::ofstream(scratch.file("bad/broken.png")) << "no picture";
  Tensor nan = Tensor::full(DType::float32, {1, 28, 28}, 0.5);
  nan.mutable_values<float>()[7] = std::numeric_limits<float>::quiet_NaN();
  io::write_npy(scratch.file("bad/nan.npy"), nan);
  io::write_npy(scratch.file("bad/wide.npy"), Tensor(DType::float32, {1, 28, 29}));
  refuses(on_fashion(scratch.file("bad"), scratch.file("stopped"), {"--method", "gradient", "--shard", "3"}),
          "broken.png");
  const CommandResult done =
      succeeds(on_fashion(scratch.file("bad"), scratch.file("skipped"),
                          {"--method", "gradient", "--shard", "3", "--on-error", "skip"}));
  CHECK(done.out.find("5 samples in 3 shards of 3, 3 left out") != std::string::npos);
  for (const char* name : {"left out: broken.png", "left out: nan.npy", "left out: wide.npy"})
    CHECK(done.err.find(name) != std::string::npos);
  const std::string text = testing::read_text(scratch.file("skipped/manifest.json"));
  const auto failed = json_items(member(json_members(text, "manifest"), "failed"), "failed");
  REQUIRE(failed.size() == 3);
  CHECK(json_string(member(json_members(failed[0], "failed"), "name"), "name") == "broken.png");
  CHECK(shards(scratch, "skipped", "gradient").dims()[0] == 5);

  fs::create_directories(scratch.file("worse"));
  std::ofstream(scratch.file("worse/broken.png")) << "no picture";
  refuses(
      on_fashion(scratch.file("worse"), scratch.file("none"), {"--method", "gradient", "--on-error", "skip"}),
      "none of the 1 samples");
  refuses(on_fashion(scratch.file("worse"), scratch.file("none2"),
                     {"--method", "gradient", "--on-error", "hide"}),
          "--on-error");
  fs::create_directories(scratch.file("empty"));
  refuses(on_fashion(scratch.file("empty"), scratch.file("none3"), {"--method", "gradient"}),
          "holds no picture");
  refuses(on_fashion(scratch.file("bad"), scratch.file("x.npy"), {"--method", "gradient"}), "folder");
  std::vector<std::string> no_recipe{"analyze",  demo("fashion.onnx"), "--input",  demo("pictures"),
                                     "--method", "gradient",           "--output", scratch.file("none4")};
  refuses(no_recipe, "--preprocess");
}

TEST_CASE("a run that was ended goes on at the first missing shard, with the same bytes") {
  const ScratchDirectory scratch;
  const std::vector<std::string> methods{"--method", "gradient", "--method",   "smoothgrad:n=3",
                                         "--shard",  "3",        "--pictures", "0"};
  (void)succeeds(on_fashion(demo("pictures"), scratch.file("whole"), methods));
  fs::copy(scratch.file("whole"), scratch.file("again"), fs::copy_options::recursive);
  fs::remove(scratch.file("again/manifest.json"));
  fs::remove(scratch.file("again/records/000001.json"));
  fs::remove(scratch.file("again/records/000003.json"));
  for (const auto& entry : fs::recursive_directory_iterator(scratch.file("again")))
    if (entry.path().filename() == "000003.npy") std::ofstream(entry.path()) << "half written";
  std::vector<std::string> on = methods;
  on.push_back("--resume");
  (void)succeeds(on_fashion(demo("pictures"), scratch.file("again"), on));
  CHECK(contents(scratch.file("again")) == contents(scratch.file("whole")));
  // The size of the shards is known.
  fs::remove(scratch.file("again/manifest.json"));
  fs::remove(scratch.file("again/records/000002.json"));
  (void)succeeds(
      on_fashion(demo("pictures"), scratch.file("again"),
                 {"--method", "gradient", "--method", "smoothgrad:n=3", "--pictures", "0", "--resume"}));
  CHECK(contents(scratch.file("again")) == contents(scratch.file("whole")));

  refuses(on_fashion(demo("pictures"), scratch.file("whole"), methods), "is not empty");
  refuses(on_fashion(demo("pictures"), scratch.file("whole"),
                     {"--method", "gradient", "--shard", "3", "--resume"}),
          "another methods");
  refuses(on_fashion(demo("pictures"), scratch.file("whole"),
                     {"--method", "gradient", "--method", "smoothgrad:n=3", "--shard", "4", "--resume"}),
          "another shard_size");
  refuses(on_fashion(demo("pictures"), scratch.file("whole"),
                     {"--method", "gradient", "--method", "smoothgrad:n=3", "--target", "2", "--resume"}),
          "another target");
  // What lies there may be anything.
  for (const auto& [text, words] :
       {std::pair{"{", "is no JSON"}, std::pair{"[1]", "is no JSON"}, std::pair{"{}", "has no 'shard_size'"},
        std::pair{R"({"shard_size": "3"})", "the shard_size is"},
        std::pair{R"({"shard_size": -1})", "the shard_size is"},
        std::pair{R"({"shard_size": 3})", "another aux"}}) {
    std::ofstream(scratch.file("whole/asked.json")) << text;
    refuses(on_fashion(demo("pictures"), scratch.file("whole"), {"--method", "gradient", "--resume"}), words);
  }
}

TEST_CASE("a killed run gives the same bytes") {
  const ScratchDirectory scratch;
  Tensor x(DType::float32, {60, 1, 28, 28});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x.mutable_values<float>()[static_cast<std::size_t>(i)] = static_cast<float>(i * 101 % 256) / 255.0F;
  io::write_npy(scratch.file("x.npy"), x);
  const std::vector<std::string> asked = on_fashion(
      scratch.file("x.npy"), scratch.file("killed"),
      {"--method", "smoothgrad:n=64", "--shard", "2", "--threads", "1", "--pictures", "0", "--resume"});
  std::string line = "'" + rulegrad_command() + "'";
  for (const std::string& argument : asked) line += " '" + argument + "'";
  // The shell kills it once three shards are there.
  const std::string script = line + " >/dev/null 2>&1 & pid=$!; for i in $(seq 3000); do [ -e '" +
                             scratch.file("killed/records/000002.json") +
                             "' ] && break; kill -0 $pid 2>/dev/null || break; sleep 0.01; done; kill -9 "
                             "$pid; wait $pid 2>/dev/null; true";
  REQUIRE(std::system(script.c_str()) == 0);
  REQUIRE(fs::exists(scratch.file("killed/records/000002.json")));
  CHECK_FALSE(fs::exists(scratch.file("killed/manifest.json")));
  (void)succeeds(asked);
  std::vector<std::string> whole = asked;
  std::ranges::replace(whole, scratch.file("killed"), scratch.file("whole"));
  (void)succeeds(whole);
  CHECK(contents(scratch.file("killed")) == contents(scratch.file("whole")));
}

TEST_CASE("memory stays bounded whatever the number of samples") {
  const ScratchDirectory scratch;
  // 300 MB of samples and as much of results: y = sum x^2 of 262144 numbers.
  constexpr std::int64_t width = 262144, samples = 300;
  Graph graph;
  const Expr x = graph.input("x", {DType::float32, Shape{B, width}});
  const auto& operators = Operators::builtin();
  const Expr y = graph.apply(operators.at("sum"), {graph.apply(operators.at("mul"), {x, x})},
                             ReduceAttributes{{1}, true});
  save_onnx(scratch.file("sum.onnx"), std::span(&y, 1), {.graph_name = "sum", .output_names = {"y"}});
  {
    // Its file has all the bytes, the disk holds those of the last sample.
    io::write_npy(scratch.file("x.npy"), Tensor(DType::float32, {1, width}));
    std::string bytes = testing::read_text(scratch.file("x.npy")).substr(0, 128);
    const std::size_t shape = bytes.find("(1, ");
    REQUIRE(shape != std::string::npos);
    bytes.replace(shape, 4, "(300, ");
    bytes.erase(bytes.size() - 3, 2);  // two spaces of the padding
    std::ofstream file(scratch.file("x.npy"), std::ios::binary | std::ios::trunc);
    file << bytes;
    file.seekp(static_cast<std::streamoff>(128 + 4 * width * samples - 4));
    const float last = 3;
    file.write(reinterpret_cast<const char*>(&last), 4);
  }
  std::vector<std::string> arguments{rulegrad_command(),
                                     "analyze",
                                     scratch.file("sum.onnx"),
                                     "--input",
                                     scratch.file("x.npy"),
                                     "--method",
                                     "gradient",
                                     "--memory",
                                     "48",
                                     "--output",
                                     scratch.file("maps"),
                                     "--pictures",
                                     "0"};
  std::vector<char*> raw;
  for (std::string& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_WRONLY);
    ::dup2(nowhere, 1);
    ::execv(raw[0], raw.data());
    ::_exit(127);
  }
  int status = 0;
  rusage used{};
  REQUIRE(::wait4(child, &status, 0, &used) == child);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK_MESSAGE(used.ru_maxrss < 200 * 1024, used.ru_maxrss << " kB");
  const std::string text = testing::read_text(scratch.file("maps/manifest.json"));
  const auto shards_made = json_items(member(json_members(text, "manifest"), "shards"), "shards");
  CHECK(shards_made.size() > 20);
  const Tensor last = io::read_npy(
      scratch.file("maps/gradient/x/" +
                   json_string(member(json_members(shards_made.back(), "shard"), "name"), "name") + ".npy"));
  CHECK(last.at(last.size() - 1) == 6);
  CHECK(last.at(0) == 0);
}
