// Every method on every real model of the shared data: a Markdown table for the eye, and the reasons of all
// refusals. Ends with 1 if a map has another shape than what it explains; `overflow` is the error of one that
// leaves the range of float32.
//   method_table [--models=PART] [--methods=PART]
#include <cstdio>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <iostream>
#include <memory>
#include <set>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "recipe/shared_models.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// Few samples are enough here.
const std::set<std::string> counts{"n", "steps", "n_iter", "n_steps", "augment_by_n", "nt_samples"};

AnalyzerCall call_of(const std::string& name, const Tensor& baselines) {
  AnalyzerCall call{.name = name, .arguments = {}};
  for (const Parameter& parameter : RuleLibrary::builtin().analyzer(name).parameters) {
    if (counts.contains(parameter.name))
      call.arguments.emplace_back(parameter.name, 2.0);
    else if (parameter.name == "window" || parameter.name == "stride")
      call.arguments.emplace_back(parameter.name, 64.0);
    else if (parameter.fallback != no_term)
      continue;
    else if (parameter.type == "tensor")
      call.arguments.emplace_back(parameter.name, baselines);
    else if (parameter.type == "rules")
      call.arguments.emplace_back(parameter.name, std::string("z"));
    else
      call.arguments.emplace_back(parameter.name, parameter.name == "low" ? 0.0 : 1.0);
  }
  return call;
}

/// One model under every method; the reasons of refusals go to `reasons`.
class Column {
 public:
  Column(const std::filesystem::path& file, std::map<std::string, std::set<std::string>>& reasons)
      : name(file.stem().string()),
        reasons_(reasons),
        model_(load_onnx(file.string(), load_options_of(file))) {
    const Expr output = model_.head(HeadKind::logit);
    question_.output = output;
    question_.explained = {explained_of(model_, output)};
    x_ = values_for(model_.inputs()[0], 1);
    Dims dims = question_.explained[0].shape().at({.batch = 1});
    dims[0] = 2;
    baselines_ = Tensor::full(question_.explained[0].dtype(), dims, 0.25);
    AuxiliaryArrays patterns("the weights themselves");
    for (const Expr e : topological_order(std::span(&output, 1)))
      if (e.op().is(OpClass::affine) && !e.graph().names(e).empty() && e.operand(1).is("constant"))
        patterns.add(e.graph().names(e).at(0) + "/pattern",
                     Program::compile(std::vector<Expr>{e.operand(1)}).run({}).at(0));
    question_.aux = std::make_shared<AuxiliaryArrays>(patterns);
  }

  [[nodiscard]] std::string cell(const std::string& method) {
    try {
      const Analysis analysis = analyze(RuleLibrary::builtin(), call_of(method, baselines_), question_);
      const Tensor map = Program::compile(analysis.attributions).run({{model_.inputs()[0].name, x_}}).at(0);
      if (map.dims() != question_.explained[0].shape().at({.batch = 1})) return "**shape**";
      return "yes";
    } catch (const Error& error) {
      const std::string text = error.what();
      if (error.code() == ErrorCode::non_finite) return "overflow";
      reasons_[text.substr(0, text.find('\n'))].insert(fmt::format("{} on {}", method, name));
      return "-";
    }
  }

  std::string name;

 private:
  std::map<std::string, std::set<std::string>>& reasons_;
  Model model_;
  Question question_;
  Tensor x_, baselines_;
};

std::string option(int argc, char** argv, const std::string& name) {
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]).starts_with(name + "=")) return std::string(argv[i]).substr(name.size() + 1);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  const auto data = shared_data();
  if (!data) {
    std::puts("skipped: no shared data");
    return 0;
  }
  std::map<std::string, std::set<std::string>> reasons;
  std::vector<std::string> names;
  for (const std::string& name : RuleLibrary::builtin().analyzer_names())
    if (name.find(option(argc, argv, "--methods")) != std::string::npos) names.push_back(name);
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows(names.size());
  std::size_t wrong = 0, yes = 0, refused = 0;
  for (const std::filesystem::path& file : models_of(*data)) {
    if (refused_models.contains(file.filename().string()) ||
        file.string().find(option(argc, argv, "--models")) == std::string::npos)
      continue;
    Column column(file, reasons);
    header.push_back(column.name);
    std::cerr << column.name << std::endl;
    for (std::size_t m = 0; m < names.size(); ++m) {
      rows[m].push_back(column.cell(names[m]));
      (rows[m].back() == "yes" ? yes : rows[m].back().starts_with("**") ? wrong : refused) += 1;
    }
  }
  const std::vector<std::string> dashes(header.size(), "---");
  fmt::print("| method | {} |\n|---|{}|\n", fmt::join(header, " | "), fmt::join(dashes, "|"));
  for (std::size_t m = 0; m < names.size(); ++m)
    fmt::print("| `{}` | {} |\n", names[m], fmt::join(rows[m], " | "));
  fmt::print("\n{} explained, {} refused, {} wrong\n", yes, refused, wrong);
  for (const auto& [reason, where] : reasons)
    fmt::print("\n- {} ({}: {} ...)\n", reason, where.size(), *where.begin());
  return wrong == 0 ? 0 : 1;
}
