#include "differential/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <memory>
#include <optional>

#include "rulegrad/kernels/plain_kernels.hpp"
#include "rulegrad/ops/op_attributes.hpp"
#include "rulegrad/recipe/analyzer.hpp"

#include "kernels/kernel_paths.hpp"
#include "oracle/interpreter.hpp"

namespace differential {
namespace {

struct Switch {
  const char* name;
  void (*set)(CompileOptions&, bool on);
};

constexpr Switch switches[] = {
    {"simplification", [](CompileOptions& o, bool on) { o.simplify = on; }},
    {"rounding rewrites", [](CompileOptions& o, bool on) { o.rounding = on; }},
    {"folded constants", [](CompileOptions& o, bool on) { o.fold_constants = on; }},
    {"fusion", [](CompileOptions& o, bool on) { o.fuse = on; }},
    {"memory reuse", [](CompileOptions& o, bool on) { o.reuse_memory = on; }},
    {"blocked layouts", [](CompileOptions& o, bool on) { o.blocked_layouts = on; }},
    {"fast kernels", [](CompileOptions& o, bool on) { o.kernels = on ? nullptr : &Kernels::portable(); }},
    // All weights are swept that can be, so that networks of a test's size meet them.
    {"sweeps", [](CompileOptions& o, bool on) { o.streamed_weights = on ? 1 << 14 : 0; }},
    {"denormals flushed", [](CompileOptions& o, bool on) { o.flush_denormals = on; }},
    {"little on one thread", [](CompileOptions& o, bool on) { o.little_on_one_thread = on; }},
};

CompileOptions with(bool others, std::size_t one) {
  CompileOptions options;
  for (std::size_t i = 0; i < std::size(switches); ++i) switches[i].set(options, i == one ? !others : others);
  return options;
}

constexpr std::size_t none = std::size(switches);

}  // namespace

CompileOptions plain_options() {
  return with(false, none);
}

namespace {

/// What all settings are held against: none of their kernels, but for what is not an xtensor expression.
CompileOptions reference_options() {
  CompileOptions options = plain_options();
  options.kernels = &plain_kernels();
  return options;
}

}  // namespace

std::vector<Setting> settings() {
  std::vector<Setting> all{{"plain", plain_options()}, {"default", {}}, {"all on", with(true, none)}};
  for (const auto& [name, precision] :
       {std::pair("fast", Precision::fast), std::pair("auto", Precision::automatic)}) {
    CompileOptions options;
    options.precision = precision;
    all.push_back({name, options});
  }
  for (std::size_t i = 0; i < std::size(switches); ++i) {
    all.push_back({std::string("only ") + switches[i].name, with(false, i)});
    all.push_back({std::string("all but ") + switches[i].name, with(true, i)});
  }
  // Blocks of channels are what fast kernels ask for: alone, neither shows.
  CompileOptions blocks = with(false, 6);
  blocks.blocked_layouts = true;
  all.push_back({"fast kernels in blocks", blocks});
  const std::size_t count = all.size();
  for (std::size_t i = 1; i < count; ++i) {
    Setting two = all[i];
    two.threads = 2;
    two.options.little_on_one_thread = false;
    all.push_back(std::move(two));
  }
  return all;
}

namespace {

/// A network with its explanations, ready to compile.
struct Explained {
  Subject subject;
  std::vector<Expr> outputs;
};

/// What training asks for, which no explanation does: sums over the batch of what meets at each weight of a
/// convolution and a dense layer.
void add_weight_gradients(Explained& e) {
  const Expr scores = e.subject.scores();
  for (const char* name : {"conv", "dense"})
    for (const Expr y : topological_order(std::span(&scores, 1))) {
      if (!y.is(name)) continue;
      if (y.is("dense")) {
        e.outputs.push_back(y.graph().make(op("dense_weight_grad"), {y.operand(0), y}));
      } else {
        const auto& a = y.attributes<ConvAttributes>();
        const Shape& w = y.operand(1).shape();
        Ints kernel;
        for (std::size_t axis = 2; axis < w.rank(); ++axis) kernel.push_back(w[axis].factor);
        e.outputs.push_back(y.graph().make(
            op("conv_weight_grad"), {y.operand(0), y},
            ConvWeightGradAttributes{a.strides, a.pads_begin, a.pads_end, a.dilations, a.groups, kernel}));
      }
      if (y.is("dense")) break;
    }
}

Explained explained(Kind kind, std::uint64_t seed, DType dtype, const std::vector<std::string>& methods,
                    bool small, bool weights = false) {
  Explained result{subject(kind, seed, dtype, small), {}};
  Graph& graph = result.subject.model.graph();
  Question question;
  question.output = result.subject.scores();
  question.explained = {result.subject.input()};
  question.target = graph.input("target", {DType::int64, Shape{B}});
  for (const std::string& method : methods) {
    const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
    if (result.outputs.empty()) result.outputs.push_back(analysis.output);
    result.outputs.push_back(analysis.attributions[0]);
  }
  if (weights) add_weight_gradients(result);
  return result;
}

Tensor targets(const Explained& e, std::int64_t samples, std::uint64_t seed) {
  Draw draw(seed);
  Tensor target(DType::int64, {samples});
  const std::int64_t scores = e.outputs[0].shape()[1].factor;
  for (std::int64_t& t : target.mutable_values<std::int64_t>()) t = draw.between(0, scores - 1);
  return target;
}

/// Sample by sample, the largest difference over the largest value; a value that is none is infinitely far.
/// `together`: over the largest value of all samples, where that of one may be a sum of which nothing is
/// left.
std::vector<double> differences(const Tensor& got, const Tensor& want, bool together = false) {
  const std::int64_t samples = want.dims()[0], each = samples == 0 ? 0 : want.size() / samples;
  std::vector<double> result, largest;
  for (std::int64_t s = 0; s < samples; ++s) {
    double most = 0, top = 0;
    for (std::int64_t i = s * each; i < (s + 1) * each; ++i) {
      const double distance = std::abs(got.at(i) - want.at(i));
      most = std::isfinite(distance) ? std::max(most, distance) : INFINITY;
      top = std::max(top, std::abs(want.at(i)));
    }
    result.push_back(most);
    largest.push_back(top);
  }
  const double of_all = largest.empty() ? 0 : *std::ranges::max_element(largest);
  for (std::size_t s = 0; s < result.size(); ++s)
    if (result[s] != 0) result[s] /= together ? of_all : largest[s];
  return result;
}

/// What rounding may do: some times what it does on the plain float32 path, whose roundings are others of the
/// same size, and a little: more where much is summed up that cancels, as running sums over a whole batch and
/// all positions, or the relevance of all inputs that flat rules spread evenly. What Winograd's transforms
/// may do besides, docs/precision.md says.
double allowed(double plain, const Setting& setting, bool cancels) {
  return 16 * plain + (cancels || setting.options.precision != Precision::exact ? 1e-4 : 4e-6);
}

/// Methods that divide by sums whose terms cancel: what is far smaller than its terms drowns in Winograd's
/// errors, which are those of the largest terms, as it drowns in float32 where numbers are no integers.
/// `fast` promises nothing of them that could be held here.
bool divides_by_differences(const std::string& method) {
  constexpr const char* sound[] = {"gradient",   "guided_backprop", "deconvnet", "excitation_backprop",
                                   "smoothgrad", "vargrad",         "lrp.z_plus"};
  const bool named =
      std::ranges::any_of(sound, [&](const char* name) { return method.find(name) != std::string::npos; });
  return !named || method.find("method=lrp") != std::string::npos;
}

std::vector<std::uint64_t> path_counts() {
  std::vector<std::uint64_t> counts;
  for (const KernelPath* path : kernel_paths()) counts.push_back(path->count());
  return counts;
}

class Counting {
 public:
  explicit Counting(Tally& tally) : tally_(tally), before_(path_counts()) {}
  ~Counting() {
    const auto paths = kernel_paths();
    for (std::size_t i = 0; i < paths.size(); ++i)
      if (paths[i]->count() != before_[i]) tally_.paths.emplace(paths[i]->name());
  }
  Counting(const Counting&) = delete;
  Counting& operator=(const Counting&) = delete;

 private:
  Tally& tally_;
  std::vector<std::uint64_t> before_;
};

/// Kernels go other ways: one or two that earlier settings went here, `before` them by count, are closed.
struct Detour {
  std::vector<std::unique_ptr<ClosedWhile>> closed;
  std::string text;

  Detour(Draw& draw, const std::vector<std::uint64_t>& before) {
    std::vector<const KernelPath*> taken;
    const auto paths = kernel_paths();
    for (std::size_t i = 0; i < paths.size(); ++i)
      if (paths[i]->may_close() && paths[i]->count() != before[i]) taken.push_back(paths[i]);
    for (std::int64_t count = draw.between(1, 2); count > 0 && !taken.empty(); --count) {
      const auto at = taken.begin() + static_cast<std::ptrdiff_t>(draw.bits() % taken.size());
      closed.push_back(std::make_unique<ClosedWhile>(**at));
      text += fmt::format(", without '{}'", (*at)->name());
      taken.erase(at);
    }
  }
};

/// As many samples as keep the plain float64 path within a second or so.
std::int64_t samples_for(Draw& draw, double products, std::size_t methods, bool loops) {
  const double work = products * static_cast<double>(methods) * (loops ? 24 : 8);
  const auto most = static_cast<std::int64_t>(std::clamp(2e9 / std::max(work, 1.0), 1.0, 40.0));
  return draw.chance(0.25) ? std::min<std::int64_t>(most, draw.one_of({1, 8, 16, 32, 40}))
                           : draw.between(1, most);
}

}  // namespace

void compare_one(Kind kind, std::uint64_t seed, Tally& tally) {
  Draw draw(seed ^ 0x5eed);
  const Subject probe = subject(kind, seed, DType::float64);
  std::vector<std::string> known = methods_for(kind, probe), methods;
  // One method, or several that share what they can.
  for (std::int64_t count = draw.chance(0.3) ? draw.between(2, 3) : 1; count > 0; --count)
    methods.push_back(known[draw.bits() % known.size()]);
  std::sort(methods.begin(), methods.end());
  methods.erase(std::unique(methods.begin(), methods.end()), methods.end());
  const bool weights = draw.chance(0.25) || probe.text.find(", 4096]") != std::string::npos;
  const bool loops = std::any_of(methods.begin(), methods.end(),
                                 [](const std::string& m) { return m.find('=') != std::string::npos; });

  const Explained reference = explained(kind, seed, DType::float64, methods, false, weights),
                  tested = explained(kind, seed, DType::float32, methods, false, weights);
  const Program wanted = Program::compile(reference.outputs, reference_options());
  const std::vector<Setting> all = settings();
  std::vector<const Setting*> chosen{&all[0], &all[1]};
  // In turns, so that a slice takes each several times.
  for (int i = 0; i < 4; ++i) chosen.push_back(&all[2 + tally.next_setting++ % (all.size() - 2)]);

  // What only transforms take must come up in a slice.
  if ((kind == Kind::images || kind == Kind::smooth_images) && draw.chance(0.4))
    chosen.push_back(&*std::ranges::find(all, std::string("fast"), &Setting::name));

  struct Batch {
    Inputs inputs;
    std::vector<Tensor> want;
    std::vector<std::vector<double>> plain;
  };
  std::vector<Batch> batches;
  for (int k = 0; k < 2; ++k) {
    const std::int64_t samples = samples_for(draw, probe.products, methods.size(), loops);
    const std::uint64_t numbers = draw.bits();
    const Tensor target = targets(reference, samples, numbers);
    Batch batch{{{"x", batch_for(tested.subject, samples, numbers)}, {"target", target}}, {}, {}};
    batch.want = wanted.run({{"x", batch_for(reference.subject, samples, numbers)}, {"target", target}},
                            {.threads = 1});
    batches.push_back(std::move(batch));
  }
  ++tally.networks;
  ++tally.by_kind[name_of(kind)];
  for (const std::string& method : methods) ++tally.by_method[method];

  const std::vector<std::uint64_t> counts = path_counts();
  for (const Setting* setting : chosen) {
    const Counting counting(tally);
    std::optional<Detour> detour;
    if (setting != chosen[0] && setting != chosen[1] && draw.chance(0.5)) detour.emplace(draw, counts);
    CompileOptions options = setting->options;
    options.poison = true;
    options.check_facts = draw.chance(0.25);
    // All settings share the store of one graph, as the programs of a user do.
    const Program program = Program::compile(tested.outputs, options);
    for (Batch& batch : batches) {
      RunOptions run{.threads = setting->threads};
      run.observe = [&](const KernelReport& report) { tally.operations.emplace(report.operation); };
      const std::vector<Tensor> got = program.run(batch.inputs, run);
      ++tally.programs;
      ++tally.by_setting[setting->name];
      tally.detours += detour ? 1 : 0;
      const bool transforms = setting->options.precision != Precision::exact;
      for (std::size_t o = 0; o < got.size(); ++o) {
        // The sum of a residual block may be 0, and integers that compete in a window may be the same: there
        // transforms decide one way or the other, as docs/precision.md says.
        const bool open =
            !tested.subject.smooth && (tested.subject.text.find("[residual") != std::string::npos ||
                                       tested.subject.text.find("max_pool") != std::string::npos);
        if (transforms && o > 0 && o <= methods.size() && (open || divides_by_differences(methods[o - 1])))
          continue;
        const bool cancels =
            o > methods.size() || (o > 0 && methods[o - 1].find("flat") != std::string::npos);
        const std::vector<double> off = differences(got[o], batch.want[o], cancels);
        if (setting == chosen[0]) batch.plain.push_back(off);
        std::string worst;
        double worst_share = 0;
        for (std::size_t s = 0; s < off.size(); ++s) {
          // The plain path has no other to be measured by.
          const double most = setting == chosen[0] ? 1e-3 : allowed(batch.plain[o][s], *setting, cancels),
                       share = std::isnan(off[s]) ? INFINITY : off[s] / most;
          if (share <= worst_share) continue;
          worst_share = share;
          worst = fmt::format(
              "{} of {}:{} ({}), {}{}, {} thread{}, {} {} of {}: off by {:.1e} of the largest value, the "
              "plain "
              "float32 path by {:.1e}",
              o == 0                ? "scores"
              : o <= methods.size() ? methods[o - 1]
                                    : "weight gradient",
              name_of(kind), seed, tested.subject.text, setting->name, detour ? detour->text : "",
              setting->threads, setting->threads == 1 ? "" : "s", o <= methods.size() ? "sample" : "channel",
              s, off.size(), off[s], batch.plain[o][s]);
        }
        if (worst_share > 1) tally.findings.push_back({worst});
        if (worst_share > tally.worst) {
          tally.worst = worst_share;
          tally.worst_text = worst;
        }
      }
    }
  }
}

namespace {

/// The outputs by the plain loops of tests/oracle, which share no code with kernels.
std::vector<Tensor> by_plain_loops(const Explained& e, const Inputs& inputs) {
  oracle::Interpreter plain(inputs, 2, 0);
  std::vector<Tensor> result;
  for (const Expr output : e.outputs) {
    const oracle::Interpreted& found = plain.of(output);
    result.emplace_back(Dims(found.dims), std::span<const double>(found.value));
  }
  return result;
}

/// Each element moved by up to 2^-46 of itself, a hundred roundings: what cancels to nothing changes by more than its own size then, and is
/// the same in no two orders of summing.
Tensor shaken(const Tensor& x, Draw& draw) {
  Tensor result = x;
  for (double& value : result.mutable_values<double>())
    value *= 1 + std::ldexp(std::clamp(draw.normal(), -1.0, 1.0), -46);
  return result;
}

}  // namespace

void compare_reference(Kind kind, std::uint64_t seed, Tally& tally) {
  const std::vector<std::string> methods{"gradient",           "guided_backprop", "lrp.epsilon",
                                         "lrp.alpha_2_beta_1", "lrp.z_plus",      "deeplift.rescale"};
  for (const std::string& method : methods) {
    const Explained e = explained(kind, seed, DType::float64, {method}, true);
    Inputs inputs{{"x", batch_for(e.subject, 2, seed)}, {"target", targets(e, 2, seed)}};
    std::vector<Tensor> got = Program::compile(e.outputs, reference_options()).run(inputs, {.threads = 1});
    const std::vector<Tensor> loops = by_plain_loops(e, inputs);
    std::vector<std::vector<double>> off;
    double most = 0;
    for (std::size_t o = 0; o < got.size(); ++o) {
      off.push_back(differences(got[o].reshaped(loops[o].dims()), loops[o]));
      for (const double value : off[o]) most = std::isnan(value) ? INFINITY : std::max(most, value);
    }
    // What rounding explains is measured where it is asked for: four times what shaken inputs change.
    constexpr double sound = 1e-9;
    std::vector<std::vector<double>> explains(got.size(), std::vector<double>(2, sound));
    Draw draw(seed ^ 0x5ac3);
    const Tensor x = inputs.at("x");
    for (int k = 0; k < 3 && most > sound && std::isfinite(most); ++k) {
      inputs["x"] = shaken(x, draw);
      const std::vector<Tensor> moved = by_plain_loops(e, inputs);
      for (std::size_t o = 0; o < got.size(); ++o) {
        const std::vector<double> change = differences(moved[o], loops[o]);
        for (std::size_t s = 0; s < change.size(); ++s)
          explains[o][s] = std::max(explains[o][s], 4 * change[s]);
      }
    }
    for (std::size_t o = 0; o < got.size(); ++o)
      for (std::size_t s = 0; s < off[o].size(); ++s) {
        ++tally.plain_loops;
        if (!(off[o][s] <= explains[o][s]))
          tally.findings.push_back({fmt::format(
              "{} of small {} {} ({}): the float64 path is off plain loops by {:.1e}, of which "
              "rounding explains {:.1e}",
              o == 0 ? "scores" : method, name_of(kind), seed, e.subject.text, off[o][s], explains[o][s])});
      }
  }
}

}  // namespace differential
