// Times one analysis of an ONNX model within this process:
//   analyze MODEL METHOD [--batch N] [--threads N] [--repeat N] [--input FILE.npy] [--precision exact|fast|bf16]
//           [--samples N] [--serve | --shapes | --overhead | --calls | --print | --verify]
// METHOD is `forward` or an analyzer as the command takes it; several, with `;` between them, are one
// program; so many samples of a loop run at once as --samples says. One JSON object a line: what was prepared
// and how long it took, each timing (the mean of N runs), the peak of memory. With --serve it answers `run N`
// and `write FILE.npy` from standard input, one line each, until it ends, so that several programs can take
// turns. With --shapes it prints the contractions of a run and the bytes of its other calls, for `floor`.
// With --overhead each timing is split into what kernels take and what the rest does (binding inputs, memory,
// the order of calls), and the last line says what each kernel took in the mean; with --calls each call, the
// longest first. With --print it prints the program before it runs. With --verify it runs once and says how
// far the result is off the plain float64 path, and how much of that rounding explains (verify.hpp).
#include <algorithm>
#include <chrono>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/files/npy.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/prove/verify.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/version.hpp"

#include "contractions.hpp"

using namespace rulegrad;

namespace {

#ifdef __clang__
constexpr const char* compiler = "Clang " __clang_version__;
#else
constexpr const char* compiler = "GCC " __VERSION__;
#endif

struct Options {
  std::string model, method, input, precision = "exact";
  std::int64_t batch = 1, samples = 0;
  int threads = 0, repeat = 7;
  bool serve = false, shapes = false, overhead = false, calls = false, print = false, verify = false;
};

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

Options read_options(int argc, char** argv) {
  Options options;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) throw Error(ErrorCode::invalid_argument, word + " needs a value");
      return argv[++i];
    };
    if (word == "--batch")
      options.batch = std::stoll(value());
    else if (word == "--samples")
      options.samples = std::stoll(value());
    else if (word == "--threads")
      options.threads = std::stoi(value());
    else if (word == "--repeat")
      options.repeat = std::stoi(value());
    else if (word == "--input")
      options.input = value();
    else if (word == "--precision")
      options.precision = value();
    else if (word == "--serve")
      options.serve = true;
    else if (word == "--shapes")
      options.shapes = true;
    else if (word == "--overhead")
      options.overhead = true;
    else if (word == "--calls")
      options.calls = true;
    else if (word == "--print")
      options.print = true;
    else if (word == "--verify")
      options.verify = true;
    else if (word.starts_with("--"))
      throw Error(ErrorCode::invalid_argument, "there is no option " + word);
    else
      words.push_back(word);
  }
  if (words.size() != 2)
    throw Error(ErrorCode::invalid_argument,
                "usage: analyze MODEL METHOD [--batch N] [--threads N] [--repeat N] [--input FILE.npy] "
                "[--precision exact|fast|bf16] [--samples N] "
                "[--serve | --shapes | --overhead | --calls | --print | --verify]");
  options.model = words[0];
  options.method = words[1];
  return options;
}

Tensor random_input(const Shape& shape, std::int64_t batch) {
  std::minstd_rand random(2);
  std::normal_distribution<float> normal;
  Tensor values = Tensor::uninitialized(DType::float32, shape.at({.batch = batch, .samples = 1}));
  for (float& v : values.mutable_values<float>()) v = normal(random);
  return values;
}

/// A line of /proc/self/status in kB: VmRSS, what is resident now; VmHWM, its peak.
long status_kb(const std::string& key) {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(key + ":")) return std::stol(line.substr(key.size() + 1));
  return 0;
}

/// Milliseconds by operator.
using KernelTimes = std::map<std::string, double>;

void set_precision(CompileOptions& options, const std::string& word) {
  if (word == "fast")
    options.precision = Precision::fast;
  else if (word == "bf16")
    options.precision = Precision::bfloat16;
  else if (word != "exact")
    throw Error(ErrorCode::invalid_argument, "there is no precision " + word + " here");
}

double sum(const KernelTimes& times) {
  double total = 0;
  for (const auto& [name, ms] : times) total += ms;
  return total;
}

std::vector<Expr> explained(const std::string& methods, const Question& question) {
  std::vector<Expr> outputs;
  std::stringstream words(methods);
  for (std::string method; std::getline(words, method, ';');) {
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
    outputs.insert(outputs.end(), analysis.attributions.begin(), analysis.attributions.end());
  }
  return outputs;
}

class Session {
 public:
  explicit Session(const Options& options) : options_(options) {
    auto start = std::chrono::steady_clock::now();
    const Model model = load_onnx(options.model);
    const double load = since(start);
    const Expr x = model.inputs().at(0).expr;
    inputs_ = {{model.inputs()[0].name, options.input.empty() ? random_input(x.shape(), options.batch)
                                                              : io::read_npy(options.input)}};
    batch_ = inputs_.begin()->second.dims()[0];

    start = std::chrono::steady_clock::now();
    std::vector<Expr> outputs{model.head(HeadKind::logit)};
    if (options.method != "forward")
      outputs = explained(options.method,
                          {.output = outputs[0], .explained = {x}, .target = {}, .seed_tensor = {}});
    const double rewrite = since(start);
    if (options.shapes) {
      for (const std::string& line : benchmarks::contractions_of(outputs, inputs_)) fmt::print("{}\n", line);
      for (const std::string& line : benchmarks::streams_of(outputs, inputs_)) fmt::print("{}\n", line);
      return;
    }
    start = std::chrono::steady_clock::now();
    CompileOptions compile_options;
    set_precision(compile_options, options.precision);
    compile_options.samples_at_once = options.samples;
    program_ = std::make_unique<Program>(Program::compile(outputs, compile_options));
    const double compile = since(start);
    run_options_.threads = options.threads;
    if (options.verify) {
      hold(outputs, compile_options.precision);
      program_.reset();
      return;
    }
    if (options.overhead || options.calls)
      run_options_.observe = [this](const KernelReport& call) {
        kernel_ms_[std::string(call.operation) + (options_.calls ? fmt::format(" {}", call.label) : "")] +=
            call.milliseconds;
      };
    if (options.print) fmt::print("{}", program_->print({.batch = batch_, .samples = 1}));
    const ProgramStats stats = program_->stats({.batch = batch_, .samples = 1});
    fmt::print(
        "{{\"ready\": true, \"version\": \"{}\", \"compiler\": \"{}\", \"load_ms\": {:.3f}, \"rewrite_ms\": "
        "{:.3f}, \"compile_ms\": {:.3f}, \"instructions\": {}, "
        "\"contractions\": {}, \"folded_bytes\": {}, \"packed_bytes\": {}, \"arena_bytes\": {}, \"idle_kb\": "
        "{}}}\n",
        version(), compiler, load, rewrite, compile, stats.instructions, stats.contractions,
        stats.folded_bytes, stats.packed_bytes, stats.arena_bytes, status_kb("VmRSS"));
    std::fflush(stdout);
  }

  [[nodiscard]] bool ready() const { return program_ != nullptr; }

  void repeat() {
    (void)program_->run(inputs_, run_options_);
    KernelTimes all;
    for (int i = 0; i < options_.repeat; ++i) {
      run(1);
      for (const auto& [name, ms] : kernel_ms_) all[name] += ms / options_.repeat;
    }
    if (options_.calls) {
      std::vector<std::pair<double, std::string>> calls;
      for (const auto& [name, ms] : all) calls.emplace_back(ms, name);
      std::sort(calls.rbegin(), calls.rend());
      for (const auto& [ms, name] : calls) fmt::print("{:9.4f} ms  {}\n", ms, name);
    }
    if (options_.overhead) {
      std::vector<std::string> parts;
      for (const auto& [name, ms] : all)
        if (ms > 0) parts.push_back(fmt::format("\"{}\": {:.4f}", name, ms));
      answer(fmt::format("{{\"kernels_ms\": {{{}}}}}", fmt::join(parts, ", ")));
    }
    answer(memory());
  }

  void serve() {
    for (std::string line; std::getline(std::cin, line);) {
      if (line.starts_with("run "))
        run(std::stoi(line.substr(4)));
      else if (line.starts_with("write ")) {
        io::write_npy(line.substr(6), program_->run(inputs_, run_options_)[0]);
        answer("{\"written\": true}");
      } else if (line == "peak")
        answer(memory());
      else
        throw Error(ErrorCode::invalid_argument,
                    fmt::format("'{}' is no request; there are: run N, write FILE.npy, peak", line));
    }
  }

 private:
  /// One JSON object: the largest difference of a run from the plain float64 path, and what rounding
  /// explains.
  void hold(std::span<const Expr> outputs, Precision precision) {
    std::vector<std::int64_t> samples;
    for (std::int64_t s = 0; s < batch_; ++s) samples.push_back(s);
    const std::vector<Tensor> results = program_->run(inputs_, run_options_);
    const NumberCheck check = NumberVerifier(outputs, precision).check(inputs_, results, samples).front();
    answer(
        fmt::format("{{\"difference\": {:.3e}, \"explained\": {:.3e}}}", check.difference, check.explained));
  }

  void run(int count) {
    for (auto& [name, ms] : kernel_ms_) ms = 0;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < count; ++i) (void)program_->run(inputs_, run_options_);
    const double ms = since(start) / count;
    if (options_.overhead)
      answer(fmt::format("{{\"ms\": {:.4f}, \"overhead_ms\": {:.4f}}}", ms, ms - sum(kernel_ms_) / count));
    else
      answer(fmt::format("{{\"ms\": {:.4f}}}", ms));
  }

  /// Of the whole process, and what is its own beyond mapped files and what it began with.
  [[nodiscard]] std::string memory() const {
    return fmt::format("{{\"peak_kb\": {}, \"own_kb\": {}}}", status_kb("VmHWM"),
                       status_kb("RssAnon") - began_kb_);
  }

  static void answer(const std::string& line) {
    fmt::print("{}\n", line);
    std::fflush(stdout);
  }

  const Options& options_;
  Inputs inputs_;
  std::int64_t batch_ = 1;
  RunOptions run_options_;
  KernelTimes kernel_ms_;
  long began_kb_ = status_kb("RssAnon");
  std::unique_ptr<Program> program_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = read_options(argc, argv);
    Session session(options);
    if (!session.ready()) return 0;
    if (options.serve)
      session.serve();
    else
      session.repeat();
  } catch (const std::exception& error) {
    fmt::print(stderr, "analyze: error: {}\n", error.what());
    return 2;
  }
  return 0;
}
