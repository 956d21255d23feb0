// What the kernels written by hand are worth: how many times as long a whole analysis takes without one of the
// ways that kernels go (kernel_paths.hpp), and where one operator is computed by its xtensor expression instead
// (rulegrad/kernels/plain_kernels.hpp). The table of docs/architecture.md, and the figures beside the paths.
//
//   kernel_worth [--threads N] [--only REGEX] [--closed PATH] [--models-only] [--best-only] [--method CALL]
//                [--batch N] [MODEL.onnx...]
//
// measures MLPs, LeNet and an encoder, and the models that are named (these alone with --models-only); the paths
// and operators whose names match, while those of --closed, given any number of times, stay closed; both sets of
// kernels, or those beside oneDNN alone, as portable ones may take long. --method and --batch, given any number
// of times, stand in place of those that each network has.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <list>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "rulegrad/kernels/plain_kernels.hpp"
#include "rulegrad/rulegrad.hpp"

#include "kernels/kernel_paths.hpp"
#include "suite/networks.hpp"

using namespace rulegrad;

namespace {

struct Subject {
  std::string name;
  Model model;
  std::vector<std::int64_t> batches = {1, 4};
  std::vector<std::string> methods = {"gradient", "lrp.epsilon_plus_flat", "lrp.alpha_2_beta_1",
                                      "deeplift.rescale"};
};

struct Worst {
  double ratio = 0;
  std::string where;
};
using Table = std::map<std::string, Worst>;

int threads = 1;

/// Milliseconds of one run.
double timed(const Explainer& explainer, const Tensor& input) {
  const auto start = std::chrono::steady_clock::now();
  (void)explainer.run(input, {.threads = threads});
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// What is switched off: a path, or the kernel of an operator.
struct Without {
  std::string name;
  const KernelPath* path = nullptr;

  [[nodiscard]] std::optional<ClosedWhile> closed() const {
    return path == nullptr ? std::nullopt : std::optional<ClosedWhile>(std::in_place, *path);
  }
  [[nodiscard]] Kernels of(Kernels kernels) const {
    if (path == nullptr) kernels.set(name, *plain_kernels().at(name));
    return kernels;
  }
};

/// The second's time in units of the first's: in turns, the quickest of each, as others may use the machine. What
/// is little at first sight is looked at no longer.
double ratio(const Explainer& before, const Explainer& after, const Without& without, const Tensor& input) {
  double a = 1e300, b = 1e300, spent = 0;
  const auto goes_on = [&](int round) {
    // What takes seconds and is surely worth its lines would take minutes to be measured well.
    if (round == 1 && b > 4 * a && spent > 1000) return false;
    if (round < 4) return true;
    return spent < (b / a > 1.12 && b / a < 4 ? 150 : 25) && round < 80;
  };
  for (int round = 0; goes_on(round); ++round) {
    const double first = timed(before, input);
    const auto closed = without.closed();
    const double second = timed(after, input);
    a = std::min(a, first);
    b = std::min(b, second);
    spent += first + second;
  }
  return b / a;
}

/// The operators that a program calls, fused or not: `%3 = conv(...)`, `%4 = mul+add(...)`.
std::set<std::string> called(const std::string& program) {
  std::set<std::string> found;
  for (std::size_t at = 0; (at = program.find(" = ", at)) != std::string::npos;) {
    const std::size_t begin = at + 3, end = program.find('(', begin);
    at = begin;
    if (end == std::string::npos) break;
    std::string word;
    for (const char c : program.substr(begin, end - begin) + " ")
      if (c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
        word += c;
      else if (!word.empty())
        found.insert(std::exchange(word, ""));
  }
  return found;
}

/// The ways that an analysis takes and the operators that it calls, of those that can be switched off.
std::vector<Without> taken(const Explainer& explainer, const std::vector<std::uint64_t>& counts,
                           std::int64_t batch, const std::string& only) {
  std::vector<Without> all;
  const std::vector<const KernelPath*> paths = kernel_paths();
  for (std::size_t i = 0; i < paths.size(); ++i)
    if (paths[i]->may_close() && paths[i]->count() != counts[i])
      all.push_back({std::string(paths[i]->name()), paths[i]});
  for (const std::string& name : called(explainer.program().print({.batch = batch, .samples = 1})))
    if (const auto plain = plain_kernels().find(name); plain && plain != Kernels::portable().find(name))
      all.push_back({name});
  std::erase_if(all, [&](const Without& w) { return !std::regex_search(w.name, std::regex(only)); });
  return all;
}

/// The largest ratios over the methods and batches of one network. What is surely worth its lines is not asked
/// again.
void measure(const Subject& network, const Kernels& base, const std::string& only, Table& worst) {
  constexpr double surely = 3;
  for (const std::string& method : network.methods)
    for (const std::int64_t batch : network.batches) {
      const std::string where = fmt::format("{}, {}, batch {}", network.name, method, batch);
      try {
        const auto explainer = [&](const Kernels& kernels) {
          Registry registry;
          registry.kernels = kernels;
          return Explainer(network.model, method, {.registry = &registry, .prove_canonizers = false});
        };
        std::vector<std::uint64_t> counts;
        for (const KernelPath* path : kernel_paths()) counts.push_back(path->count());
        const Tensor input = benchmarks::random_input(network.model, batch);
        const Explainer before = explainer(base);
        (void)before.run(input, {.threads = threads});
        for (const Without& without : taken(before, counts, batch, only)) {
          if (worst[without.name].ratio > surely) continue;
          auto closed = without.closed();
          const Explainer after = explainer(without.of(base));
          (void)after.run(input, {.threads = threads});
          closed.reset();
          const double now = ratio(before, after, without, input);
          if (now > worst[without.name].ratio) worst[without.name] = {now, where};
        }
      } catch (const Error& error) {
        fmt::print(stderr, "{}: {}\n", where, error.what());
      }
    }
}

const KernelPath& path_named(std::string_view name) {
  for (const KernelPath* path : kernel_paths())
    if (path->name() == name && path->may_close()) return *path;
  throw Error(ErrorCode::unknown_name, fmt::format("no kernel path '{}' that may be closed", name));
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Subject> networks;
  networks.push_back({"MLP", benchmarks::mlp(), {1, 8, 32, 256}});
  networks.push_back({"LeNet", benchmarks::lenet(), {1, 8}});
  // Its weights are too large to be kept in other forms (CompileOptions::streamed_weights).
  networks.push_back({"wide MLP",
                      Sequential({B, 2048}).dense(2048).relu().dense(2048).relu().dense(10).finish(),
                      {1, 8, 64}});
  for (Subject& network : networks) network.methods.push_back("integrated_gradients:steps=4");
  const std::vector<std::string> attention{"gradient", "lxt.attn_lrp", "integrated_gradients:steps=4"};
  networks.push_back({"encoder", benchmarks::encoder(), {1, 4}, attention});
  std::string only;
  bool best_only = false;
  std::vector<std::string> methods;
  std::vector<std::int64_t> batches;
  std::list<ClosedWhile> closed;
  for (int i = 1; i < count; ++i)
    if (std::string_view(arguments[i]) == "--only" && i + 1 < count)
      only = arguments[++i];
    else if (std::string_view(arguments[i]) == "--closed" && i + 1 < count)
      closed.emplace_back(path_named(arguments[++i]));
    else if (std::string_view(arguments[i]) == "--method" && i + 1 < count)
      methods.emplace_back(arguments[++i]);
    else if (std::string_view(arguments[i]) == "--batch" && i + 1 < count)
      batches.push_back(std::stoll(arguments[++i]));
    else if (std::string_view(arguments[i]) == "--models-only")
      networks.clear();
    else if (std::string_view(arguments[i]) == "--best-only")
      best_only = true;
    else if (std::string_view(arguments[i]) == "--threads" && i + 1 < count)
      threads = std::stoi(arguments[++i]);
    else {
      const std::string name = std::filesystem::path(arguments[i]).stem().string();
      networks.push_back({name, load_onnx(arguments[i])});
      if (name.find("encoder") != std::string::npos) networks.back().methods = attention;
    }

  for (Subject& network : networks) {
    if (!methods.empty()) network.methods = methods;
    if (!batches.empty()) network.batches = batches;
  }
  Table portable, best;
  for (const Subject& network : networks) {
    if (!best_only) measure(network, Kernels::portable(), only, portable);
    measure(network, Kernels::best(), only, best);
    fmt::print(stderr, "{} is done\n", network.name);
  }
  std::set<std::string> names;
  for (const Table* table : {&portable, &best})
    for (const auto& [name, ratio] : *table) names.insert(name);
  fmt::print("| without | beside oneDNN | in | portable | in |\n|---|---|---|---|---|\n");
  const auto cells = [](const Worst& worst) {
    return worst.ratio == 0 ? std::string("| | ") : fmt::format("| {:.2f} | {} ", worst.ratio, worst.where);
  };
  for (const std::string& name : names)
    fmt::print("| {} {}{}|\n", name, cells(best[name]), cells(portable[name]));
}
