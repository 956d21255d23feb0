#pragma once

#include <functional>

namespace CLI {
class App;
}  // namespace CLI

/// The commands of `rulegrad`. Each adds itself to the application and leaves what it will do in `run`.
namespace rulegrad::cli {

using Run = std::function<void()>;

void add_predict(CLI::App& app, Run& run);
void add_analyze(CLI::App& app, Run& run);
void add_inspect(CLI::App& app, Run& run);
void add_methods(CLI::App& app, Run& run);
void add_show(CLI::App& app, Run& run);
void add_check(CLI::App& app, Run& run);
void add_complete(CLI::App& app, Run& run);
void add_explain(CLI::App& app, Run& run);
void add_diff(CLI::App& app, Run& run);
void add_report(CLI::App& app, Run& run);
void add_export(CLI::App& app, Run& run);
void add_patterns(CLI::App& app, Run& run);
void add_evaluate(CLI::App& app, Run& run);
void add_xai_tris(CLI::App& app, Run& run);
void add_reference(CLI::App& app, Run& run);

}  // namespace rulegrad::cli
