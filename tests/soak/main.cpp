// Many threads explain models with methods for as long as one likes, load and drop models, cancel runs and
// give what is wrong: memory stays flat after the first minutes, nothing fails that was not asked to, and
// every result is the one that a single thread computed before the others began.
//
//     soak [--minutes N] [--threads N] [--seed N]
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/compile/shared_constants.hpp"
#include "rulegrad/onnx/model.hpp"
#include "rulegrad/support/error.hpp"

#include "places.hpp"
#include "support/seed.hpp"

using namespace rulegrad;

namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Choices {
  double minutes = 1;
  int threads = 16;
  std::uint64_t seed = drawn_seed();
};

/// A model file, a method and an input, and what one thread alone makes of them.
struct Case {
  std::string path, method;
  Inputs inputs = {};
  std::optional<Tensor> result = {};
  std::string error = {};  ///< where it is refused
  std::size_t slot = 0;    ///< that of its model
  bool cuts = false;       ///< sample by sample it gives the same bits
};

struct Tally {
  std::atomic<std::uint64_t> explained{0}, loaded{0}, cancelled{0}, refused{0}, findings{0};
};

std::mutex output;

void say(const std::string& line) {
  const std::lock_guard lock(output);
  fmt::print("{}\n", line);
  std::fflush(stdout);
}

double megabytes() {
  std::ifstream file("/proc/self/statm");
  long all = 0, resident = 0;
  file >> all >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE)) / (1 << 20);
}

std::vector<std::string> model_files() {
  std::vector<std::string> files;
  for (const char* name : {"fashion.onnx", "mlp.onnx", "mlp_tanh.onnx"})
    files.push_back((source_root() / "examples/demo" / name).string());
  std::vector<std::string> zoo;
  for (const auto& entry : fs::recursive_directory_iterator(source_root() / "tests/zoo"))
    if (entry.path().extension() == ".onnx" && fs::file_size(entry.path()) < 1 << 20)
      zoo.push_back(entry.path().string());
  std::sort(zoo.begin(), zoo.end());
  for (std::size_t i = 0; i < zoo.size() && files.size() < 14; i += 2) files.push_back(zoo[i]);
  return files;
}

/// Small numbers of both signs, the same for a seed.
Tensor values(const Type& type, std::int64_t batch, std::uint64_t seed) {
  Tensor result(type.dtype, type.shape.at({.batch = batch}));
  std::mt19937_64 random(seed);
  dispatch(type.dtype, [&]<class T>(T) {
    for (T& value : result.mutable_values<T>()) {
      const double number = static_cast<double>(random() % 2001) / 1000 - 1;
      if constexpr (std::is_floating_point_v<T>)
        value = static_cast<T>(number);
      else
        value = static_cast<T>(number > 0 ? 1 : 0);
    }
  });
  return result;
}

constexpr std::array methods{"gradient",
                             "lrp.epsilon",
                             "lrp.z_plus",
                             "lrp.alpha_2_beta_1",
                             "guided_backprop",
                             "deeplift.rescale",
                             "integrated_gradients:steps=8",
                             "smoothgrad:n=6",
                             "gradient_times_input",
                             "lrp.epsilon_plus_flat"};

std::optional<Inputs> inputs_of(const Model& model, std::uint64_t seed) {
  Inputs inputs = {};
  for (const ModelInput& input : model.inputs()) {
    if (input.expr.shape().sampled()) return std::nullopt;
    inputs.emplace(input.name, values(input.expr.type(), 1 + static_cast<std::int64_t>(seed % 3), seed));
  }
  return inputs;
}

/// What is explained alone, before anything else runs.
std::vector<Case> references(std::uint64_t seed) {
  std::vector<Case> cases;
  std::size_t slot = 0;
  for (const std::string& path : model_files()) {
    ++slot;
    for (const char* const method : methods) {
      Case one{.path = path, .method = method, .slot = slot};
      try {
        const Model model = load_onnx(path);
        const auto inputs = inputs_of(model, seed++);
        if (!inputs) break;
        one.inputs = *inputs;
        one.result = Explainer(model, method).run(one.inputs, {.threads = 1}).attribution();
      } catch (const Error& error) {
        one.error = error.what();
      }
      if (one.result) try {
          const Model model = load_onnx(path);
          one.cuts = identical(Explainer(model, method).run(one.inputs, {.batch_size = 1}).attribution(),
                               *one.result);
        } catch (const Error&) {
          // It mixes samples.
        }
      cases.push_back(std::move(one));
    }
  }
  return cases;
}

/// What several threads share: a model with explainers on it, replaced now and then.
struct Slot {
  std::mutex lock;
  std::shared_ptr<const Model> model;
  std::map<std::string, std::shared_ptr<const Explainer>> explainers;
};

class Worker {
 public:
  Worker(const std::vector<Case>& cases, std::vector<Slot>& slots, Tally& tally, std::uint64_t seed,
         Clock::time_point until)
      : cases_(cases), slots_(slots), tally_(tally), random_(seed), until_(until) {}

  void run() {
    while (Clock::now() < until_) {
      const Case& one = cases_[random_() % cases_.size()];
      switch (random_() % 12) {
        case 0:
          cancel(one);
          break;
        case 1:
          wrong(one);
          break;
        case 2:
        case 3:
          anew(one);
          break;
        default:
          shared(one, slots_[one.slot]);
          break;
      }
    }
  }

 private:
  void finding(const Case& one, const std::string& what) {
    ++tally_.findings;
    say(fmt::format("FINDING {} of '{}': {}", one.method, one.path, what));
  }

  void compare(const Case& one, const Tensor& result) {
    ++tally_.explained;
    if (!one.result)
      finding(one, "alone it was refused: " + one.error);
    else if (!identical(result, *one.result))
      finding(one, "the result is another one than alone");
  }

  /// Errors must be those that one thread alone met.
  template <class F>
  void guarded(const Case& one, F&& f) {
    try {
      f();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::internal || one.error != error.what())
        finding(one, fmt::format("fails under load: {}", error.what()));
      else
        ++tally_.refused;
    } catch (const std::exception& error) {
      finding(one, fmt::format("an exception that is no Error: {}", error.what()));
    }
  }

  int threads() { return 1 + static_cast<int>(random_() % 3); }

  void anew(const Case& one) {
    guarded(one, [&] {
      const Model model = load_onnx(one.path);
      ++tally_.loaded;
      compare(one, Explainer(model, one.method).run(one.inputs, {.threads = threads()}).attribution());
    });
  }

  void shared(const Case& one, Slot& slot) {
    guarded(one, [&] {
      std::shared_ptr<const Model> model;
      std::shared_ptr<const Explainer> explainer;
      {
        const std::lock_guard lock(slot.lock);
        // Dropped while others may still run what was compiled from it.
        if (!slot.model || random_() % 60 == 0) {
          slot.explainers.clear();
          slot.model = std::make_shared<const Model>(load_onnx(one.path));
          ++tally_.loaded;
        }
        model = slot.model;
        const auto found = slot.explainers.find(one.method);
        if (found != slot.explainers.end()) explainer = found->second;
      }
      if (model->files().front() != one.path) return;  // the slot holds another model
      if (!explainer) {
        explainer = std::make_shared<const Explainer>(*model, one.method);
        const std::lock_guard lock(slot.lock);
        if (slot.model == model) slot.explainers.emplace(one.method, explainer);
      }
      compare(one, explainer
                       ->run(one.inputs,
                             {.batch_size = one.cuts && random_() % 2 == 0 ? 1 : 0, .threads = threads()})
                       .attribution());
      if (random_() % 50 == 0) drop_idle_constants(model->graph());
    });
  }

  void cancel(const Case& one) {
    std::stop_source source;
    const auto after = std::chrono::microseconds(random_() % 3000);
    const std::jthread ends([&source, after] {
      std::this_thread::sleep_for(after);
      source.request_stop();
    });
    try {
      const Model model = load_onnx(one.path);
      ++tally_.loaded;
      compare(one, Explainer(model, one.method)
                       .run(one.inputs, {.threads = threads(), .stop = source.get_token()})
                       .attribution());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::cancelled)
        ++tally_.cancelled;
      else if (one.error == error.what())
        ++tally_.refused;
      else
        finding(one, fmt::format("fails while it is cancelled: {}", error.what()));
    }
  }

  /// Each of these is an Error that is none of rulegrad's own.
  void wrong(const Case& one) {
    try {
      switch (random_() % 5) {
        case 0:
          (void)load_onnx(one.path + ".missing");
          break;
        case 1:
          (void)load_onnx((source_root() / "README.md").string());
          break;
        case 2:
          (void)Explainer(load_onnx(one.path), "no.such.method");
          break;
        case 3: {
          const Model model = load_onnx(one.path);
          (void)Explainer(model, "gradient")
              .run(Inputs{{model.inputs()[0].name, Tensor(DType::float32, {1, 1, 1, 1, 1, 1})}});
          break;
        }
        default: {
          const Model model = load_onnx(one.path);
          Inputs inputs = one.inputs;
          Tensor& first = inputs.begin()->second;
          if (first.dtype() != DType::float32 || first.size() == 0) return;
          first.mutable_values<float>()[0] = NAN;
          (void)Explainer(model, "gradient").run(inputs);
          break;
        }
      }
      finding(one, "what is wrong was taken");
    } catch (const Error& error) {
      if (error.code() == ErrorCode::internal)
        finding(one, fmt::format("what is wrong is an internal error: {}", error.what()));
      else
        ++tally_.refused;
    } catch (const std::exception& error) {
      finding(one, fmt::format("what is wrong is an exception that is no Error: {}", error.what()));
    }
  }

  const std::vector<Case>& cases_;
  std::vector<Slot>& slots_;
  Tally& tally_;
  std::mt19937_64 random_;
  Clock::time_point until_;
};

Choices choices_of(int argc, char** argv) {
  Choices choices;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--minutes")
      choices.minutes = std::stod(value);
    else if (name == "--threads")
      choices.threads = std::stoi(value);
    else if (name == "--seed")
      choices.seed = std::stoull(value);
    else
      throw std::invalid_argument("soak [--minutes N] [--threads N] [--seed N]");
  }
  return choices;
}

}  // namespace

int main(int argc, char** argv) try {
  const Choices choices = choices_of(argc, argv);
  say(fmt::format("seed {}", choices.seed));
  const std::vector<Case> cases = references(choices.seed);
  const auto taken =
      std::count_if(cases.begin(), cases.end(), [](const Case& one) { return one.result.has_value(); });
  say(fmt::format("{} cases, {} of them explained and {} refused by one thread alone", cases.size(), taken,
                  static_cast<std::ptrdiff_t>(cases.size()) - taken));

  Tally tally;
  std::vector<Slot> slots(model_files().size() + 1);
  const auto start = Clock::now();
  const auto length = std::chrono::duration<double>(60 * choices.minutes);
  const auto until = start + std::chrono::duration_cast<Clock::duration>(length);
  std::vector<std::thread> threads;
  for (int i = 0; i < choices.threads; ++i)
    threads.emplace_back([&, i] {
      Worker(cases, slots, tally, choices.seed + 1000003 * static_cast<std::uint64_t>(i + 1), until).run();
    });

  // Flat: in the last half of the time no more than in the quarter before it.
  double warm = 0, late = 0, next = 60;
  while (Clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    const double gone = std::chrono::duration<double>(Clock::now() - start).count(),
                 share = gone / length.count(), now = megabytes();
    if (share >= 0.25 && share < 0.5) warm = std::max(warm, now);
    if (share >= 0.5) late = std::max(late, now);
    if (gone < next) continue;
    next += 60;
    say(fmt::format("{:.0f} min: {} explained, {} loaded, {} cancelled, {} refused, {:.0f} MB", gone / 60,
                    tally.explained.load(), tally.loaded.load(), tally.cancelled.load(), tally.refused.load(),
                    now));
  }
  for (std::thread& thread : threads) thread.join();
  // What is over sooner is over before the first minutes are.
  const bool flat = choices.minutes < 5 || late <= 1.1 * warm + 32;
  say(
      fmt::format("{} explained, {} loaded, {} cancelled, {} refused; at most {:.0f} MB in the second "
                  "quarter of the time and {:.0f} MB in the last half: {}; {} findings",
                  tally.explained.load(), tally.loaded.load(), tally.cancelled.load(), tally.refused.load(),
                  warm, late, flat ? "flat" : "NOT FLAT", tally.findings.load()));
  return tally.findings == 0 && flat ? 0 : 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "soak: {}\n", error.what());
  return 2;
}
