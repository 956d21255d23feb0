#include <filesystem>
#include <stdlib.h>
#include <string>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/run/program.hpp"

#include "networks.hpp"
#include "suite.hpp"

namespace rulegrad::benchmarks {
namespace {

/// A model written to a file that is gone when this is.
class ModelFile {
 public:
  explicit ModelFile(const Model& model) {
    std::string pattern = (std::filesystem::temp_directory_path() / "rulegrad-XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    const Expr output = model.outputs()[0].expr;
    save_onnx(path(), {&output, 1});
  }
  ModelFile(const ModelFile&) = delete;
  ModelFile& operator=(const ModelFile&) = delete;
  ~ModelFile() { std::filesystem::remove_all(directory_); }
  [[nodiscard]] std::filesystem::path path() const { return directory_ / "model.onnx"; }

 private:
  std::filesystem::path directory_;
};

void run_load(benchmark::State& state, Model (*make)()) {
  const ModelFile file(make());
  for (auto _ : state) benchmark::DoNotOptimize(load_onnx(file.path()));
}

/// 10,000 operations: import and compile of the forward pass are to take less than half a second.
void run_load_and_compile(benchmark::State& state) {
  const ModelFile file(deep(static_cast<std::size_t>(state.range(0))));
  for (auto _ : state) {
    const Model model = load_onnx(file.path());
    const Expr output = model.outputs()[0].expr;
    benchmark::DoNotOptimize(Program::compile({&output, 1}));
  }
}

/// The shipped rules, as a program that starts reads them.
void run_rules(benchmark::State& state) {
  std::string text = "rulegrad 1\n";
  for (const std::string& name : RuleLibrary::builtin().rule_set_names())
    text += print(RuleLibrary::builtin().rule_set(name)) + "\n";
  for (auto _ : state) benchmark::DoNotOptimize(parse_rules(text, "shipped.rules"));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

}  // namespace

void add_import() {
  benchmark::RegisterBenchmark("import/load/lenet", run_load, lenet)->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("import/load/mlp", run_load, mlp)->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("import/load_and_compile/nodes", run_load_and_compile)
      ->Arg(1000)
      ->Arg(10000)
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("import/rules", run_rules)->Unit(benchmark::kMillisecond);
}

}  // namespace rulegrad::benchmarks
