#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

#include "cli/commands.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/version.hpp"

int main(int argc, char** argv) {
  CLI::App app{
      "rulegrad explains what a trained neural network answered: how much each pixel, feature or token counted.\n\n"
      "  rulegrad predict model.onnx --input cat.png --preprocess imagenet --labels labels.txt\n"
      "  rulegrad analyze model.onnx --input cat.png --preprocess imagenet --method lrp.epsilon_plus_flat --output cat_heat.png\n\n"
      "`rulegrad methods` lists the methods, `rulegrad show METHOD` prints the rules of one, `rulegrad check FILE.rules` tells what is wrong\nwith rules of your own.",
      "rulegrad"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(rulegrad::version()));
  rulegrad::cli::Run run;
  rulegrad::cli::add_predict(app, run);
  rulegrad::cli::add_analyze(app, run);
  rulegrad::cli::add_inspect(app, run);
  rulegrad::cli::add_methods(app, run);
  rulegrad::cli::add_show(app, run);
  rulegrad::cli::add_check(app, run);
  rulegrad::cli::add_complete(app, run);
  rulegrad::cli::add_explain(app, run);
  rulegrad::cli::add_diff(app, run);
  rulegrad::cli::add_patterns(app, run);
  rulegrad::cli::add_evaluate(app, run);
  rulegrad::cli::add_xai_tris(app, run);
  rulegrad::cli::add_reference(app, run);
  try {
    app.parse(argc, argv);
    run();
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rulegrad: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
