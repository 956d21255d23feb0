// An ordinary program around a fuzz target, for compilers without libFuzzer: replays files, or draws inputs
// from a seed and changes them by what they mean.
//
//     fuzz_TARGET FILE...                           each once
//     fuzz_TARGET --seconds N [--seed N]            inputs drawn and changed; 20 seconds from a seed of its
//     own fuzz_TARGET --corpus FOLDER [--seed N]        writes 64 inputs that mean something
//
// A crash, an exception that is no Error, an input that takes more than 20 seconds of a processor or more than 2 GB end with
// exit code 1; the input is left in the working folder, and its name and the seed are printed.
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <iterator>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rulegrad/support/text.hpp"

#include "fuzz/target.hpp"
#include "support/seed.hpp"

using namespace rulegrad;
using namespace rulegrad::fuzz;

namespace {

constexpr std::size_t largest = std::size_t{1} << 20;
constexpr double patience = 20;
constexpr long most_kilobytes = 2L << 20;
constexpr std::size_t pool_size = 400;

/// What the process that runs inputs tells the one that watches it.
struct Shared {
  std::atomic<std::uint64_t> count{0};
  std::array<std::atomic<std::uint64_t>, std::size(reached_names)> reached{};
  std::atomic<bool> too_much_memory{false};
  std::size_t size = 0;
  std::uint8_t input[largest] = {};
};

Shared& shared_memory() {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) finding("no memory to share");
  return *new (memory) Shared;
}

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Of a process: on a machine that others use too, what takes long need not be slow.
double cpu_seconds(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

Bytes bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Runs inputs until the time is over or the process ends otherwise.
[[noreturn]] void work(Shared& shared, std::uint64_t seed, double until, const std::vector<Bytes>& given) {
  RandomEngine random(seed);
  std::vector<Bytes> pool = given;
  for (int i = 0; i < 40; ++i) pool.push_back(target().fresh(random));
  std::size_t next = 0;
  while (now() < until) {
    Bytes input = next < pool.size() && next < given.size() + 40 ? pool[next] : pick(random, pool);
    if (next++ >= given.size() + 40) {
      if (one_in(random, 20)) input = target().fresh(random);
      for (std::size_t count = 1 + below(random, 4); count > 0; --count) target().mutate(input, random);
    }
    if (input.size() > largest) continue;
    shared.size = input.size();
    if (!input.empty()) std::memcpy(shared.input, input.data(), input.size());
    const Reached reached = target().run(input);
    ++shared.reached[static_cast<std::size_t>(reached)];
    ++shared.count;
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    if (usage.ru_maxrss > most_kilobytes) {
      shared.too_much_memory = true;
      std::abort();
    }
    // What got far is changed further.
    if (reached >= Reached::planned || one_in(random, 30)) {
      if (pool.size() < pool_size)
        pool.push_back(std::move(input));
      else
        pool[below(random, pool.size())] = std::move(input);
    }
  }
  ::_exit(0);
}

int watch(std::uint64_t seed, double seconds, const std::vector<Bytes>& given) {
  fmt::print("{}: seed {}\n", target().name, seed);
  std::fflush(stdout);
  Shared& shared = shared_memory();
  const double until = now() + seconds;
  const pid_t child = ::fork();
  if (child == 0) work(shared, seed, until, given);
  int status = 0;
  std::uint64_t seen = 0;
  double since = now(), spent = 0;
  bool hangs = false;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    if (const std::uint64_t count = shared.count; count != seen) {
      seen = count;
      since = now();
      spent = cpu_seconds(child);
    } else if (cpu_seconds(child) - spent > patience || now() - since > 15 * patience) {
      hangs = true;
      ::kill(child, SIGKILL);
      ::waitpid(child, &status, 0);
      break;
    }
    ::usleep(20000);
  }
  ScratchFile::remove_those_of(child);
  std::string tally;
  for (std::size_t i = 0; i < std::size(reached_names); ++i)
    tally += fmt::format("{}{} {}", i == 0 ? "" : ", ", shared.reached[i].load(), reached_names[i]);
  fmt::print("{}: {} inputs: {}\n", target().name, shared.count.load(), tally);
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
  const Bytes input(shared.input, shared.input + shared.size);
  const std::string path = fmt::format("finding-{}-{:016x}", target().name, digest(input));
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
  const std::string why = hangs ? fmt::format("takes more than {} s of a processor", patience)
                          : shared.too_much_memory ? "takes more than 2 GB"
                          : WIFSIGNALED(status)    ? fmt::format("ends with signal {}", WTERMSIG(status))
                                                : fmt::format("ends with exit code {}", WEXITSTATUS(status));
  fmt::print("FINDING {}: an input {}: {} (seed {}, after {} others)\n", target().name, why, path, seed,
             shared.count.load());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seed = drawn_seed();
  double seconds = 0;
  std::string corpus;
  std::vector<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const auto value = [&]() -> std::string {
      if (++i < argc) return argv[i];
      fmt::print(stderr, "{} needs a value\n", argument);
      std::exit(2);
    };
    if (argument == "--seed")
      seed = std::stoull(value());
    else if (argument == "--seconds")
      seconds = std::stod(value());
    else if (argument == "--corpus")
      corpus = value();
    else
      files.emplace_back(argument);
  }
  if (!corpus.empty()) {
    RandomEngine random(seed);
    std::filesystem::create_directories(corpus);
    for (int i = 0; i < 64; ++i) {
      const Bytes input = target().fresh(random);
      std::ofstream(fmt::format("{}/{:02}", corpus, i), std::ios::binary)
          .write(reinterpret_cast<const char*>(input.data()), static_cast<std::streamsize>(input.size()));
    }
    return 0;
  }
  std::vector<Bytes> given;
  for (const std::string& file : files)
    for (const auto& entry : std::filesystem::is_directory(file) ? std::filesystem::directory_iterator(file)
                                                                 : std::filesystem::directory_iterator())
      given.push_back(bytes_of(entry.path()));
  for (const std::string& file : files)
    if (!std::filesystem::is_directory(file)) given.push_back(bytes_of(file));
  if (files.empty() || seconds > 0) return watch(seed, seconds > 0 ? seconds : 20, given);
  for (const Bytes& input : given)
    fmt::print("{}\n", reached_names[static_cast<std::size_t>(target().run(input))]);
  return 0;
}
