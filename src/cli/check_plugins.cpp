#include "cli/check_plugins.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <string>
#include <vector>

#include "rulegrad/prove/operator_trials.hpp"
#include "rulegrad/prove/properties.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

namespace rulegrad::cli {
namespace {

/// Methods that ship and must get along with an operator for it to be explained at all, and by rules.
constexpr const char* usual_methods[] = {"gradient", "lrp.epsilon"};

std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

using Tell = std::function<void(Severity, const std::string&)>;

class PluginCheck {
 public:
  PluginCheck(const Registry& registry, const Tell& tell) : registry_(registry), tell_(tell) {
    const std::vector<std::string> shipped = RuleLibrary::builtin().analyzer_names();
    for (const std::string& name : registry.rules.analyzer_names())
      if (std::find(shipped.begin(), shipped.end(), name) == shipped.end()) own_methods_.push_back(name);
  }

  PluginReport run() {
    for (const auto& op : registry_.operators.all())
      if (Operators::builtin().find(op->name) == nullptr) try_own(*op);
    for (const auto& op : Operators::builtin().all())
      if (registry_.kernels.find(op->name) != Kernels::best().find(op->name)) try_kernel(*op);
    for (const std::string& method : own_methods_) try_method(method);
    return report_;
  }

 private:
  void error(const std::string& text) { tell_(Severity::error, text); }
  void warning(const std::string& text) { tell_(Severity::warning, text); }
  void note(const std::string& text) { tell_(Severity::note, text); }

  /// What it says of itself; tells what holds.
  void try_facts(const OpSchema& op, const std::string& title) {
    std::vector<std::string> holding;
    for (const OperatorTrial& trial : try_operator(op, registry_.kernels, registry_.operators)) {
      if (!trial.holds())
        error(fmt::format("[{}] {} {}", op.name, trial.what, trial.failure));
      else if (trial.examples > 0)
        holding.push_back(fmt::format("{} ({})", trial.what, trial.examples));
    }
    if (!holding.empty()) note(fmt::format("{}: on so many examples hold {}", title, join(holding)));
  }

  void try_own(const OpSchema& op) {
    ++report_.operators;
    if (!op.examples)
      return error(fmt::format(
          "[{}] it has no examples, so that nothing it says can be tried; set OpSchema::examples", op.name));
    if (const std::vector<std::string> unsaid = op.unsaid(); !unsaid.empty())
      error(fmt::format(
          "[{}] it says nothing of {}; set OpSchema::{} (rulegrad/expr/operator_facts.hpp has the "
          "usual answers), or say in OpSchema::without that there is no derivative or fold",
          op.name, join(unsaid), unsaid.front() == "derivative" ? "derivatives" : unsaid.front()));
    try_facts(op, op.name);
    std::vector<std::string> methods(std::begin(usual_methods), std::end(usual_methods));
    methods.insert(methods.end(), own_methods_.begin(), own_methods_.end());
    for (const std::string& method : methods) try_method_on(op, method);
  }

  void try_kernel(const OpSchema& op) {
    ++report_.kernels;
    if (op.examples) try_facts(op, fmt::format("kernel of {}", op.name));
  }

  void try_method_on(const OpSchema& op, const std::string& method) {
    const std::vector<PropertyTrial> trials = try_properties_on(
        op, registry_.rules, method, registry_.kernels, registry_.operators, registry_.samplers);
    if (trials[0].networks == 0) {
      note(fmt::format("{}: {} does not explain it: {}", op.name, method,
                       trials[0].what.empty() ? "no operand of its examples is data of float64"
                                              : first_line(trials[0].what)));
      return;
    }
    std::vector<std::string> holding;
    for (const PropertyTrial& trial : trials) {
      if (trial.holds)
        holding.push_back(trial.property == "explains" ? "gives finite numbers" : trial.property);
      else
        error(fmt::format("[{}] {} {} on {}: {}", op.name, method,
                          trial.property == "explains"
                              ? std::string("does not explain it")
                              : fmt::format("declares `{}`, which does not hold", trial.property),
                          trial.network, trial.what));
    }
    if (!holding.empty()) note(fmt::format("{}: {} {}", op.name, method, join(holding)));
  }

  /// What it declares, on the layers and networks that methods that ship are tried on.
  void try_method(const std::string& method) {
    ++report_.analyzers;
    for (const PropertyTrial& trial :
         try_properties(registry_.rules, method, registry_.operators, registry_.samplers)) {
      if (trial.networks == 0)
        warning(
            fmt::format("`{}` declares `{}`, which could not be tried: it runs on none of the networks that "
                        "it would be tried on",
                        method, trial.property));
      else if (!trial.holds)
        error(fmt::format("`{}` declares `{}`, which does not hold on {}: {}", method, trial.property,
                          trial.network, trial.what));
    }
  }

  const Registry& registry_;
  const Tell& tell_;
  std::vector<std::string> own_methods_;
  PluginReport report_;
};

}  // namespace

PluginReport check_plugins(const Registry& registry, const Tell& tell) {
  return PluginCheck(registry, tell).run();
}

}  // namespace rulegrad::cli
