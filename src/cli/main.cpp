#include <CLI/CLI.hpp>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <unistd.h>

#include "rulegrad/support/error.hpp"
#include "rulegrad/support/process.hpp"
#include "rulegrad/version.hpp"

#include "cli/commands.hpp"
#include "cli/say.hpp"

namespace {

/// What is complete has its name, and what is not has none: there is nothing to clean up.
void end_at_once(int signal) {
  ::_exit(128 + signal);
}

void prepare_signals() {
  std::signal(SIGINT, end_at_once);
  std::signal(SIGTERM, end_at_once);
  // A file-size limit is an error of the write that meets it.
  std::signal(SIGXFSZ, SIG_IGN);
  rulegrad::name_files_cut_short();
}

/// Threads that wait by spinning take the time of those that compute wherever the machine has other work too.
/// OpenMP reads how to wait when it is loaded, before main begins: the program starts itself once more, with
/// that said.
void wait_passively(char** argv) {
  if (std::getenv("OMP_WAIT_POLICY") != nullptr || std::getenv("GOMP_SPINCOUNT") != nullptr) return;
  if (::setenv("OMP_WAIT_POLICY", "passive", 0) == 0) ::execv("/proc/self/exe", argv);
}

/// What was printed has to arrive: a full disk behind standard output is an error like any other.
int flushed(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fprintf(stderr, "rulegrad: error: cannot write to standard output: %s\n",
               std::strerror(errno != 0 ? errno : EIO));
  return code == 0 ? 2 : code;
}

}  // namespace

int main(int argc, char** argv) {
  wait_passively(argv);
  prepare_signals();
  CLI::App app{
      "rulegrad explains what a trained neural network answered: how much each pixel, feature or token "
      "counted.\n\n"
      "  rulegrad predict model.onnx --input cat.png --preprocess imagenet --labels labels.txt\n"
      "  rulegrad analyze model.onnx --input cat.png --preprocess imagenet --method lrp.epsilon_plus_flat "
      "--output cat_heat.png\n\n"
      "`rulegrad methods` lists the methods, `rulegrad show METHOD` prints the rules of one, `rulegrad check "
      "FILE.rules` tells what is wrong\nwith rules of your own.",
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
  rulegrad::cli::add_report(app, run);
  rulegrad::cli::add_export(app, run);
  rulegrad::cli::add_patterns(app, run);
  rulegrad::cli::add_evaluate(app, run);
  rulegrad::cli::add_xai_tris(app, run);
  rulegrad::cli::add_reference(app, run);
  try {
    app.parse(argc, argv);
    run();
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return flushed(code == 0 ? 0 : 2);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rulegrad: error: %s\n", rulegrad::cli::harmless(error.what()).c_str());
    return 2;
  } catch (...) {
    std::fprintf(stderr,
                 "rulegrad: error: something that is no exception was thrown, by a plugin as it seems\n");
    return 2;
  }
  return flushed(0);
}
