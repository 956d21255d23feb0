#pragma once

#include <algorithm>
#include <cstdlib>
#include <doctest/doctest.h>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <sstream>

#include "rulegrad/support/error.hpp"

#include "onnx/raise.hpp"
#include "property/spellings.hpp"
#include "recipe/recipe_helpers.hpp"

/// One network in many spellings, each explained by many methods.
namespace rulegrad::testing {

/// Weights by the order in which they are asked for, the same for every spelling.
struct Weights {
  std::mt19937_64 random{7};
  Expr operator()(Graph& graph, Dims dims, double scale = 1) {
    Tensor value(DType::float64, dims);
    std::normal_distribution<double> normal;
    for (double& element : value.mutable_values<double>())
      element = scale * normal(random) / std::sqrt(static_cast<double>(dims.back()));
    return graph.constant(value);
  }
};

struct Spelt {
  Graph graph{DType::float64};
  Expr x, y;
};

/// What ships, and the explicit forms of LXT with stabilisers that do not show: its own are 1e-6 for the operator layer
/// norm and 1e-8 for a sum, so that a norm that was written out is 1e-6 / y away.
inline const RuleLibrary& methods_tried() {
  static const RuleLibrary library = [] {
    RuleLibrary result = RuleLibrary::builtin();
    const auto fine = [](const std::string& name, const std::string& attention) {
      return "analyzer " + name + " {\n  seed onehot(target) * y\n  use lxt.norm(1e-13)\n" + attention +
             "  use lxt.linear(1e-13)\n  use lxt.elementwise\n}\n";
    };
    const std::string usual = "  use lxt.attention(1e-13)\n";
    result.add_text(
        "rulegrad 1\n" + fine("lxt_fine", usual) +
            fine("lxt_fine_llama", "  use lxt.attention_llama(1e-13)\n" + usual) +
            fine("lxt_fine_cp", "  use lxt.attention_cp(1e-13)\n") +
            fine("lxt_fine_cp_llama", "  use lxt.attention_cp(1e-13)\n  use lxt.gate_cp(1e-13)\n"),
        "fine.rules");
    result.add_text(
        "rulegrad 1\nanalyzer signal {\n  canonize canonical\n  use lrp.gate.signal\n  use "
        "lrp.epsilon(1e-9)\n  use "
        "lrp.rest(1e-9)\n}\nanalyzer cp {\n  canonize canonical\n  use lrp.attention_cp(1e-9)\n  use "
        "lrp.gamma(0.3, 1e-9)\n  use lrp.rest(1e-9)\n}\n",
        "products.rules");
    return result;
  }();
  return library;
}

/// RULEGRAD_SPELLINGS_TALK tells more.
inline bool talking() {
  return std::getenv("RULEGRAD_SPELLINGS_TALK") != nullptr;
}

/// Which rule closed what, from the output down.
inline void tell_steps(const std::string& method, const Question& question) {
  const auto number = [](Expr e) { return "%" + std::to_string(e->id); };
  for (const Step& step : analyze(methods_tried(), AnalyzerCall::parse(method), question).steps) {
    std::string line = describe(step.node) + " of";
    for (const Expr operand : step.node.operands()) line += " " + number(operand);
    MESSAGE(line, ", to ", number(step.node.operand(step.slot)), ": ", step.by->rule_set, ", line ",
            step.by->where.line);
  }
}

/// The map, or nothing where the method refuses the network.
inline std::optional<Tensor> map_of(const Spelt& net, Expr output, const std::string& method,
                                    const Tensor& input) {
  try {
    // Masks hold -inf; that the map is finite is looked at here.
    const Tensor map = explain(method, question_for(output, {net.x}, fixed_target(output.graph(), 1)),
                               {{"x", input}}, {.check_finite = false}, {}, methods_tried());
    for (std::int64_t i = 0; i < map.size(); ++i)
      if (!std::isfinite(map.at(i))) return Tensor::full(DType::float64, map.dims(), 1e9);
    return map;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::unclaimed) throw;
    if (talking()) MESSAGE(std::string(error.what()));
    return std::nullopt;
  }
}

/// Methods that know products.
inline const std::vector<std::string> product_methods{"lrp.z",
                                                      "lrp.epsilon:epsilon=1e-9",
                                                      "lrp.gamma:epsilon=1e-9",
                                                      "lrp.generalized_gamma:epsilon=1e-9",
                                                      "lrp.alpha_beta:epsilon=1e-9",
                                                      "lrp.z_plus:epsilon=1e-9",
                                                      "lrp.epsilon_plus:epsilon=1e-9",
                                                      "lrp.w_square:epsilon=1e-9",
                                                      "lrp.flat:epsilon=1e-9",
                                                      "lrp.attention",
                                                      "lrp.attention_cp",
                                                      "signal",
                                                      "cp",
                                                      "lxt_fine",
                                                      "lxt_fine_llama",
                                                      "lrp.lstm:epsilon=1e-9",
                                                      "lrp.gru:epsilon=1e-9",
                                                      "lxt.attn_lrp_efficient",
                                                      "lxt.cp_lrp_efficient",
                                                      "relp",
                                                      "libragrad:epsilon=1e-9",
                                                      "gim",
                                                      "deeplift.rescale:baseline=0.3",
                                                      "deeplift.reveal_cancel:baseline=0.3",
                                                      "gradient"};

/// Those, but for LXT's explicit forms, which are for transformers, and the composites for images.
inline std::vector<std::string> image_methods() {
  std::vector<std::string> result;
  for (const std::string& method : product_methods)
    if (!method.starts_with("lxt_fine")) result.push_back(method);
  for (const char* method :
       {"lrp.norm:epsilon=1e-9", "lrp.alpha_1_beta_0:epsilon=1e-9", "lrp.alpha_2_beta_1:epsilon=1e-9",
        "lrp.z_box:epsilon=1e-9,low=-5,high=5", "lrp.epsilon_plus_flat:epsilon=1e-9",
        "lrp.epsilon_alpha2_beta1:epsilon=1e-9", "lrp.epsilon_alpha2_beta1_flat:epsilon=1e-9",
        "lrp.epsilon_gamma_box:epsilon=1e-9,low=-5,high=5", "lrp.sequential_preset_a:epsilon=1e-9",
        "lrp.sequential_preset_b:epsilon=1e-9"})
    result.emplace_back(method);
  return result;
}

/// RULEGRAD_SPELLINGS sets how many are tried.
inline std::uint64_t spellings() {
  const char* wanted = std::getenv("RULEGRAD_SPELLINGS");
  return wanted != nullptr ? static_cast<std::uint64_t>(std::atoi(wanted)) : 60;
}

/// RULEGRAD_SPELLINGS_METHODS, with blanks between them, is tried in the place of what a test asks for.
inline std::vector<std::string> asked_for(const std::vector<std::string>& usual) {
  const char* wanted = std::getenv("RULEGRAD_SPELLINGS_METHODS");
  if (wanted == nullptr) return usual;
  std::istringstream words(wanted);
  return {std::istream_iterator<std::string>(words), {}};
}

using Builder = std::function<void(Spelt& net, std::uint64_t seed, std::size_t function)>;

/// What may be asked of a trial beside its networks.
struct Trial {
  Dims dims{2, 4, 6};              ///< of the input
  std::string_view refusing = {};  ///< methods with this prefix may refuse what was loaded, too
};

/// Attributions of DeepLIFT sum to the difference of the explained score from that at the baseline.
inline void check_complete(const std::string& method, const Tensor& map, const Tensor& scores,
                           const Tensor& at_baseline) {
  if (!method.starts_with("deeplift.")) return;
  const std::int64_t each = map.size() / map.dims()[0], classes = scores.dims()[1];
  double largest = 0;
  for (std::int64_t i = 0; i < map.size(); ++i) largest = std::max(largest, std::abs(map.at(i)));
  for (std::int64_t sample = 0; sample < map.dims()[0]; ++sample) {
    double sum = 0;
    for (std::int64_t i = 0; i < each; ++i) sum += map.at(sample * each + i);
    const std::int64_t score = sample * classes + 1;
    CHECK(std::abs(sum - scores.at(score) + at_baseline.at(score)) < 1e-6 * largest);
  }
}

/// Each spelling, as it is built and as it is when loaded, against spelling 0.
inline void try_spellings(const Builder& build_net, std::size_t functions,
                          const std::vector<std::string>& usual, const Trial& trial = {}) {
  const std::vector<std::string> tried = asked_for(usual);
  Tensor input(DType::float64, trial.dims);
  std::mt19937_64 random(3);
  for (double& element : input.mutable_values<double>()) element = std::normal_distribution<double>()(random);
  const auto computed = [&](const std::vector<Expr>& outputs) {
    return Program::compile(outputs, {.check_finite = false}).run({{"x", input}});
  };
  const Tensor baseline = Tensor::full(DType::float64, trial.dims, 0.3);
  std::vector<std::map<std::string, Tensor>> expected(functions);
  std::vector<Tensor> values;
  for (std::size_t function = 0; function < functions; ++function) {
    Spelt plain;
    build_net(plain, 0, function);
    const std::vector<Expr> raised = io::raise(std::span(&plain.y, 1)).outputs;
    values.push_back(computed(raised).at(0));
    for (const std::string& method : tried) {
      const auto map = map_of(plain, raised[0], method, input);
      CAPTURE(method);
      REQUIRE(map);
      check_complete(method, *map, values.back(),
                     Program::compile(raised, {.check_finite = false}).run({{"x", baseline}}).at(0));
      expected[function].emplace(method, *map);
    }
  }
  std::size_t different = 0, refused = 0, compared = 0;
  for (std::uint64_t seed = 1; seed <= spellings(); ++seed) {
    const std::size_t function = seed % functions;
    Spelt net;
    build_net(net, seed, function);
    const Expr loaded = io::raise(std::span(&net.y, 1)).outputs[0];
    const std::vector<Tensor> now = computed({net.y, loaded});
    CHECK(distance(now[0], values[function]) < 1e-5);
    CHECK(distance(now[1], values[function]) < 1e-5);
    for (const Expr output : {loaded, net.y})
      for (const std::string& method : tried) {
        const auto map = map_of(net, output, method, input);
        if (!map) {
          // What was loaded is put together; a softmax that a person wrote out is refused by name, and LXT's
          // rules, which are for transformers, know no batch norm.
          const bool may_refuse = output == net.y || method.starts_with("lxt_fine") ||
                                  (!trial.refusing.empty() && method.starts_with(trial.refusing));
          CHECK(may_refuse);
          ++refused;
          continue;
        }
        ++compared;
        const double away = distance(*map, expected[function].at(method));
        if (away < 1e-4) continue;
        ++different;
        if (talking()) tell_steps(method, question_for(output, {net.x}, fixed_target(output.graph(), 1)));
        MESSAGE("spelling ", seed, " of function ", function,
                std::string(output == loaded ? ", loaded" : ", built"), ": ", method, " is ", away, " away");
      }
  }
  CHECK(different == 0);
  CHECK(compared >= 2 * refused);
}

}  // namespace rulegrad::testing
