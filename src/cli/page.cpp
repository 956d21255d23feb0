#include "rulegrad/draw/page.hpp"

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fmt/format.h>
#include <memory>

#include "rulegrad/explain/explain.hpp"
#include "rulegrad/explain/relevance_flow.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"
#include "rulegrad/version.hpp"

#include "cli/analysis.hpp"
#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/report.hpp"
#include "cli/say.hpp"
#include "cli/session.hpp"

namespace rulegrad::cli {
namespace {

struct PageChoices : AnalysisOptions {
  ReportOptions looks;
  std::string title;
  double overlay = 0;
  bool no_layers = false;
};

class Reporting {
 public:
  explicit Reporting(const PageChoices& options) : options_(options), case_(options) {
    const std::filesystem::path output = options.looks.output;
    if (output.extension() != ".html")
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("--output '{}': a report is a page, x.html", options.looks.output));
  }

  void run() {
    const Samples samples = case_.load_samples();
    const Model& model = case_.model();
    const Chosen chosen = resolve_targets(options_.question.target, samples.count(), case_.scores());
    note_output(options_.model, model);
    const ExplainerOptions how = case_.explainer_options(chosen);
    const Explainer explainer(model, case_.calls(), how);
    check_output_choice(options_.looks, case_.calls().size() * explainer.nodes().size(), chosen.each);
    case_.note_other_inputs(explainer.nodes());

    ExplainChoices choices{.targets = chosen.targets,
                           .seed = case_.seed_array(samples.count()),
                           .batch_size = batch_size_for(options_.run, model, samples.count()),
                           .threads = options_.run.threads};
    if (chosen.each > 1) choices.stacked = chosen.each;
    const Explanation found = explainer.run(samples.inputs, choices);
    const std::string model_name = std::filesystem::path(options_.model.path).stem().string();
    io::Page page{.title = options_.title.empty() ? model_name + ": what counted" : options_.title,
                  .percentile = options_.looks.percentile.value_or(99),
                  .overlay = options_.overlay,
                  .colormap = options_.looks.colormap};
    page.samples = Report(options_.looks, samples, found,
                          {case_.scores(), case_.seed_name(choices.seed),
                           case_.tokens_of(explainer.nodes(), samples), case_.score_kind()})
                       .page_samples();
    if (!options_.no_layers && chosen.each == 1)
      for (std::size_t m = 0; m < case_.calls().size(); ++m)
        page.rules.push_back(rules_of(m, found.methods()[m], samples, choices, how));
    page.facts = facts(found, samples);
    io::write_text(options_.looks.output, io::page_html(page));
    say(fmt::format("wrote {}\n", options_.looks.output));
  }

 private:
  /// The rules of a method, and where the relevance of the first sample went.
  [[nodiscard]] io::PageRules rules_of(std::size_t method, const std::string& label, const Samples& samples,
                                       const ExplainChoices& choices, const ExplainerOptions& how) const {
    const Model& model = case_.model();
    io::PageRules result{.title = fmt::format("{}, {}", label, samples.names[0])};
    try {
      const AskedQuestion asked = question_for(model, how);
      const Registry& registry = case_.registry();
      const Analysis analysis = rulegrad::analyze(registry.rules, case_.calls()[method], asked.question,
                                                  registry.operators, registry.samplers);
      const std::int64_t count = std::max<std::int64_t>(fixed_batch(model), 1);
      Inputs inputs = samples.part(model, 0, count);
      if (!asked.target_input.empty())
        inputs[asked.target_input] =
            Tensor({count}, std::span(choices.targets).first(static_cast<std::size_t>(count)));
      if (!asked.seed_input.empty()) inputs[asked.seed_input] = choices.seed.rows(0, count);
      result.steps = explained_steps(analysis);
      result.rewrites = explained_rewrites(analysis);
      const FlowQuestions questions(analysis);
      result.flow = questions.read(
          Program::compile(questions.expressions(), compile_options(options_.model, options_.run))
              .run(inputs, {.threads = options_.run.threads}));
    } catch (const Error& error) {
      result.problem = error.what();
    }
    return result;
  }

  [[nodiscard]] std::vector<std::pair<std::string, std::string>> facts(const Explanation& found,
                                                                       const Samples& samples) const {
    std::string rules;
    for (const AnalyzerCall& call : case_.calls()) rules += show_method(case_.registry().rules, call.name);
    const std::int64_t shown =
        options_.looks.pictures < 0 ? samples.count() : std::min(options_.looks.pictures, samples.count());
    return {{"rulegrad", std::string(version())},
            {"model", options_.model.path},
            {"digest of the model", case_.model().digest()},
            {"digest of the rules", digest_of(rules)},
            {"methods", join(found.methods())},
            {"explained", join(found.nodes())},
            {"precision", options_.run.precision_name},
            {"samples", fmt::format("{} of {}", shown, samples.count())}};
  }

  const PageChoices& options_;
  AnalysisCase case_;
};

}  // namespace

void add_report(CLI::App& app, Run& run) {
  auto options = std::make_shared<PageChoices>();
  options->looks.pictures = 16;
  CLI::App* command = app.add_subcommand(
      "report",
      "Write one HTML page: pictures or tokens with their heat maps, the largest scores, the "
      "rules that ran and where\nrelevance went; it needs no network");
  add_analysis_options(*command, *options);
  ReportOptions& looks = options->looks;
  command->add_option("--output,-o", looks.output, "The page")->required()->type_name("FILE.html");
  command->add_option("--title", options->title, "What stands on top")->type_name("TEXT");
  command->add_option("--samples", looks.pictures, "How many samples are shown (default 16)")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  add_look_options(*command, looks);
  command
      ->add_option("--overlay", options->overlay, "How much of the picture shows at first, 0 (default) to 1")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0));
  command->add_flag("--no-layers", options->no_layers,
                    "Leave out the rules that ran and where relevance went");
  command->callback([options, &run] { run = [options] { Reporting(*options).run(); }; });
}

}  // namespace rulegrad::cli
