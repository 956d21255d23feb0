// What the kernels written by hand are worth: how many times as long a whole analysis takes when one operator
// is computed by its xtensor expression instead (rulegrad/kernels/plain_kernels.hpp), one thread. `kernel_worth
// [MODEL.onnx...]`: an MLP, LeNet and an
// encoder, and the models that are named; the table of docs/architecture.md.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "rulegrad/kernels/plain_kernels.hpp"
#include "rulegrad/rulegrad.hpp"

#include "suite/networks.hpp"

using namespace rulegrad;

namespace {

struct Subject {
  std::string name;
  Model model;
};

struct Worst {
  double ratio = 0;
  std::string where;
};

/// Milliseconds of one run.
double timed(const Explainer& explainer, const Tensor& input) {
  const auto start = std::chrono::steady_clock::now();
  (void)explainer.run(input, {.threads = 1});
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// The second's time in units of the first's: in turns, the quickest of each, as others may use the machine.
double ratio(const Explainer& before, const Explainer& after, const Tensor& input) {
  double a = 1e300, b = 1e300, spent = 0;
  for (int round = 0; round < 40 && (round < 5 || spent < 400); ++round) {
    const double first = timed(before, input), second = timed(after, input);
    a = std::min(a, first);
    b = std::min(b, second);
    spent += first + second;
  }
  return b / a;
}

/// The operators among `names` that have kernel calls of their own: `%3 = conv(...)`.
std::vector<std::string> called(const Explainer& explainer, const std::vector<std::string>& names,
                                std::int64_t batch) {
  const std::string program = explainer.program().print({.batch = batch, .samples = 1});
  std::vector<std::string> found;
  for (const std::string& name : names)
    if (program.find(" = " + name + "(") != std::string::npos) found.push_back(name);
  return found;
}

/// The largest ratio of each operator over the methods and batches of one network.
void measure(const Subject& network, const Kernels& base, const std::vector<std::string>& names,
             std::map<std::string, Worst>& worst) {
  for (const char* method : {"gradient", "lrp.epsilon_plus_flat", "deeplift.rescale", "lxt.attn_lrp"})
    for (const std::int64_t batch : {1, 8}) {
      const std::string where = fmt::format("{}, {}, batch {}", network.name, method, batch);
      try {
        Registry registry;
        registry.kernels = base;
        const Tensor input = benchmarks::random_input(network.model, batch);
        const Explainer before(network.model, method, {.registry = &registry});
        for (const std::string& name : called(before, names, batch)) {
          Registry changed;
          changed.kernels = base;
          changed.kernels.set(name, *plain_kernels().at(name));
          const Explainer after(network.model, method, {.registry = &changed});
          const double now = ratio(before, after, input);
          if (now > worst[name].ratio) worst[name] = {now, where};
        }
      } catch (const Error& error) {
        fmt::print(stderr, "{}: {}\n", where, error.what());
      }
    }
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<Subject> networks;
  networks.push_back({"MLP", benchmarks::mlp()});
  networks.push_back({"LeNet", benchmarks::lenet()});
  networks.push_back({"encoder", benchmarks::encoder()});
  for (int i = 1; i < count; ++i)
    networks.push_back({std::filesystem::path(arguments[i]).stem().string(), load_onnx(arguments[i])});
  std::vector<std::string> names;
  for (const std::string& name : plain_kernels().names())
    if (plain_kernels().find(name) != Kernels::portable().find(name)) names.push_back(name);

  std::map<std::string, Worst> portable, best;
  for (const Subject& network : networks) {
    measure(network, Kernels::portable(), names, portable);
    measure(network, Kernels::best(), names, best);
  }
  fmt::print("| operator | beside oneDNN | in | without | in |\n|---|---|---|---|---|\n");
  const auto cells = [](const Worst& worst) {
    return worst.ratio == 0 ? std::string("| | ") : fmt::format("| {:.2f} | {} ", worst.ratio, worst.where);
  };
  for (const std::string& name : names)
    if (portable.contains(name) || best.contains(name))
      fmt::print("| {} {}{}|\n", name, cells(best[name]), cells(portable[name]));
}
