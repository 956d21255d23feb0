// Files made to crash, hang or eat the memory, and what goes wrong around a process.
#include <csignal>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <thread>

#include "rulegrad/files/npy.hpp"

#include "cli/command.hpp"
#include "shared_data.hpp"
#include "support/timing.hpp"

using namespace rulegrad;
using testing::demo;
using testing::read_text;
using testing::run_command;
using testing::ScratchDirectory;

namespace {

/// The most memory that any child of this process took so far, in MB.
long children_megabytes() {
  rusage usage{};
  ::getrusage(RUSAGE_CHILDREN, &usage);
  return usage.ru_maxrss / 1024;
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status.st_mode & 07777 : 0;
}

std::vector<std::string> analyze(const std::string& input, const std::string& output) {
  return {"analyze", demo("mlp.onnx"), "--input", input, "--method", "gradient", "--output", output};
}

struct Input {
  ScratchDirectory scratch;
  std::string good = scratch.file("good.npy"), output = scratch.file("out.npy");
  Input() { io::write_npy(good, Tensor::full(DType::float32, {2, 22}, 0.5)); }
};

/// Waits in the shell for what is to be waited for.
int shell(const std::string& line) {
  const int status = std::system(("bash -c '" + line + "'").c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE("files made to crash, hang or exhaust the memory are refused, or answered") {
  const auto data = shared_data();
  if (!data || !std::filesystem::exists(*data / "hostile")) {
    MESSAGE("skipped: no shared data");
    return;
  }
  const Input files;
  for (const auto& entry : std::filesystem::directory_iterator(*data / "hostile")) {
    const std::string path = entry.path().string();
    CAPTURE(path);
    const testing::ChildrenTimer timer;
    std::vector<testing::CommandResult> results;
    if (entry.path().extension() == ".onnx") {
      const std::string input = path.substr(0, path.size() - 5) + ".npy";
      results.push_back(run_command({"analyze", path, "--input", input, "--method", "gradient"}));
      results.push_back(run_command({"inspect", path}));
    } else if (entry.path().extension() == ".rules") {
      results.push_back(run_command({"check", path, "--model", demo("mlp.onnx")}));
      results.push_back(run_command(
          {"analyze", demo("mlp.onnx"), "--input", files.good, "--rules", path, "--method", "a"}));
    }
    for (const auto& result : results) {
      INFO(result.err);
      CHECK((result.code == 0 || result.code == 1 || result.code == 2));
      CHECK(result.err.find("bad_alloc") == std::string::npos);
      CHECK(result.err.find("max_size") == std::string::npos);
    }
    CHECK(timer.seconds() < 20);
    CHECK(children_megabytes() < 512);
  }
}

TEST_CASE("permissions and links of what is replaced stay as they are") {
  const Input files;
  REQUIRE(run_command(analyze(files.good, files.output)).code == 0);
  REQUIRE(::chmod(files.output.c_str(), 0600) == 0);
  CHECK(run_command(analyze(files.good, files.output)).code == 0);
  CHECK(mode_of(files.output) == 0600);

  const std::string before = read_text(files.output);
  REQUIRE(::chmod(files.output.c_str(), 0444) == 0);
  const auto refused = run_command(analyze(files.good, files.output));
  CHECK(refused.code == 2);
  CHECK(refused.err.find("out.npy") != std::string::npos);
  CHECK(read_text(files.output) == before);

  const std::string link = files.scratch.file("link.npy"), target = files.scratch.file("target.npy");
  std::filesystem::create_symlink("target.npy", link);
  CHECK(run_command(analyze(files.good, link)).code == 0);
  CHECK(std::filesystem::is_symlink(link));
  CHECK(std::filesystem::is_regular_file(target));

  std::filesystem::create_symlink("circle_b", files.scratch.file("circle_a"));
  std::filesystem::create_symlink("circle_a", files.scratch.file("circle_b"));
  CHECK(run_command(analyze(files.good, files.scratch.file("circle_a"))).code == 2);
}

TEST_CASE("a standard output that takes nothing is an error") {
  const Input files;
  const std::string command = rulegrad_command();
  for (const char* const arguments : {" methods", " --version", " --help"}) {
    CAPTURE(arguments);
    CHECK(shell(command + arguments + " >/dev/full 2>/dev/null") == 2);
    CHECK(shell(command + arguments + " >&- 2>/dev/null") != 0);
  }
  CHECK(shell(command + " predict " + demo("mlp.onnx") + " --input " + files.good +
              " >/dev/full 2>/dev/null") == 2);
}

TEST_CASE("a file-size limit is an error of the write") {
  const Input files;
  std::string line = "ulimit -f 0; " + rulegrad_command();
  for (const std::string& argument : analyze(files.good, files.output)) line += " " + argument;
  CHECK(shell(line + " >/dev/null 2>/dev/null") == 2);
  CHECK(!std::filesystem::exists(files.output));
  CHECK(std::distance(std::filesystem::directory_iterator(files.scratch.path()), {}) == 1);
}

TEST_CASE("pipes, devices and directories are no inputs") {
  const Input files;
  const std::string pipe = files.scratch.file("pipe.npy");
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const std::string& path :
       {pipe, std::string("/dev/zero"), files.scratch.path().string() + "/nothing"}) {
    CAPTURE(path);
    CHECK(run_command({"predict", path, "--input", files.good}).code == 2);
    CHECK(run_command({"check", path}).code == 2);
    CHECK(run_command(
              {"analyze", demo("mlp.onnx"), "--input", files.good, "--method", "gradient", "--rules", path})
              .code == 2);
  }
  CHECK(run_command(analyze(pipe, files.output)).code == 2);
  // Nor is one a recipe for pictures beside a model.
  const std::string model = files.scratch.file("model.onnx"), beside = model + ".preprocess";
  std::filesystem::copy_file(demo("fashion.onnx"), model);
  REQUIRE(::mkfifo(beside.c_str(), 0600) == 0);
  const auto asked = run_command({"predict", model, "--input", demo("pictures/bag_18.png")});
  CHECK(asked.code == 2);
  CHECK(asked.err.find("--preprocess") != std::string::npos);
}

TEST_CASE("rules read nothing from outside of their folder") {
  const Input files;
  const auto& folder = files.scratch.path();
  std::filesystem::create_directories(folder / "own");
  std::filesystem::create_directories(folder / "real");
  std::ofstream(folder / "secret.rules") << "a secret word\n";
  std::ofstream(folder / "real/main.rules") << "rulegrad 1\ninclude \"part.rules\"\n";
  std::ofstream(folder / "real/part.rules") << "rulegrad 1\nfn twice(v) = v + v\n";
  // Beside a link to the main file stands a link that leads out.
  std::filesystem::create_symlink("../real/main.rules", folder / "own/main.rules");
  std::filesystem::create_symlink("../secret.rules", folder / "own/part.rules");
  const auto linked = run_command({"check", (folder / "own/main.rules").string()});
  CHECK(linked.err.find("secret word") == std::string::npos);
  CHECK(linked.out.find("secret word") == std::string::npos);

  io::write_npy((folder / "outside.npy").string(), Tensor::full(DType::float32, {22}, 2));
  const auto with_array = [&](const std::string& path) {
    std::ofstream(folder / "own/array.rules") << "rulegrad 1\nanalyzer a(scale = \"" + path +
                                                     "\") { default gradient\n result relevance * scale }\n";
    return run_command({"analyze", demo("mlp.onnx"), "--input", files.good, "--method", "a", "--rules",
                        (folder / "own/array.rules").string(), "--output", files.output});
  };
  for (const std::string& path : {std::string("../outside.npy"), (folder / "outside.npy").string()}) {
    const auto refused = with_array(path);
    INFO(refused.err);
    CHECK(refused.code == 2);
    CHECK(refused.err.find("outside.npy") != std::string::npos);
  }
  std::filesystem::copy_file(folder / "outside.npy", folder / "own/inside.npy");
  const auto taken = with_array("inside.npy");
  INFO(taken.err);
  CHECK(taken.code == 0);
}

TEST_CASE("a signal ends the command at once, with its number, and leaves nothing behind") {
  const Input files;
  for (const auto& [name, code] : {std::pair("INT", 130), std::pair("TERM", 143)}) {
    CAPTURE(name);
    const std::string line = rulegrad_command() + " analyze " + demo("mlp.onnx") + " --input " + files.good +
                             " --method smoothgrad:n=5000000 --output " + files.output +
                             " >/dev/null 2>&1 & child=$!; sleep 0.5; kill -" + name + " $child; wait $child";
    CHECK(shell(line) == code);
    CHECK(std::distance(std::filesystem::directory_iterator(files.scratch.path()), {}) == 1);
  }
}

TEST_CASE("a limit on the memory is kept before anything is allocated, and named") {
  const Input files;
  auto arguments = analyze(files.good, files.output);
  arguments.insert(arguments.end(), {"--max-memory", "100"});
  const auto result = run_command(arguments);
  INFO(result.err);
  CHECK(result.code == 2);
  CHECK(result.err.find("--max-memory") != std::string::npos);
  CHECK(!std::filesystem::exists(files.output));
}
