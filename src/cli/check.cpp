#include "rulegrad/check/check.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fmt/format.h>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "rulegrad/explain/unapplied.hpp"
#include "rulegrad/files/text_file.hpp"
#include "rulegrad/prove/properties.hpp"
#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/recipe/rule_library.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"
#include "rulegrad/support/text.hpp"

#include "cli/check_plugins.hpp"
#include "cli/commands.hpp"
#include "cli/loading.hpp"
#include "cli/print_json.hpp"
#include "cli/question.hpp"
#include "cli/say.hpp"

namespace rulegrad::cli {
namespace {

struct CheckChoices {
  std::vector<std::string> files;
  ModelOptions model;
  bool json = false;
};

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string read_rules(const std::string& path) {
  std::string text = io::read_text(path);
  if (text.empty())
    throw Error(ErrorCode::rule,
                fmt::format("the rule file '{}' is empty; rule files begin with `rulegrad 1`", path));
  return text;
}

/// What was found, as it is told, or kept for the answer as JSON.
struct Report {
  std::size_t errors = 0, warnings = 0;
  bool json = false;
  Json findings = {};

  void add(const Diagnostic& finding, std::string_view source) {
    const char* severity = finding.severity == Severity::error     ? "error"
                           : finding.severity == Severity::warning ? "warning"
                                                                   : "note";
    tell(severity, finding, render(finding, source));
    errors += finding.severity == Severity::error ? 1 : 0;
    warnings += finding.severity == Severity::warning ? 1 : 0;
  }
  /// What stands in no rule file.
  void add(Severity severity, const std::string& text) {
    Diagnostic plain;
    plain.severity = severity;
    plain.message = text;
    const char* name = severity == Severity::error ? "error" : "warning";
    tell(name, plain, fmt::format("{}: {}", name, text));
    ++(severity == Severity::error ? errors : warnings);
  }
  void add_error(const std::string& text) {
    Diagnostic plain;
    plain.message = text;
    tell("error", plain, text);
    ++errors;
  }

 private:
  void tell(const char* severity, const Diagnostic& finding, const std::string& text) {
    if (!json) return say(fmt::format("{}\n\n", text));
    findings.open('{').key("severity").text(severity).key("code").text(finding.code);
    findings.key("file").text(finding.where.file);
    findings.key("line").number(static_cast<std::int64_t>(finding.where.line));
    findings.key("column").number(static_cast<std::int64_t>(finding.where.column));
    findings.key("message")
        .text(finding.message)
        .key("help")
        .text(finding.help)
        .key("text")
        .text(text)
        .close('}');
  }
};

/// What of a rule file had no part in any analysis of a model. What the analyzers use that could not be tried
/// is left out.
class Unreached {
 public:
  explicit Unreached(const RuleFile& file) : file_(file) {}

  void add_tried(const AnalyzerDefinition& analyzer, const std::vector<UnappliedRule>& unapplied) {
    std::set<Place> idle;
    for (const UnappliedRule& rule : unapplied) {
      if (rule.where.file != file_.path) continue;
      idle.insert(place(rule.where));
      if (rule.selector) found_.emplace(place(rule.where), rule);
    }
    for (const RuleSet* set : sets_of(analyzer, idle))
      for (const Rule& rule : set->rules) {
        if (rule.level == RuleLevel::forward) continue;
        used_.insert(place(rule.where));
        if (!idle.contains(place(rule.where))) at_work_.insert(place(rule.where));
      }
    for (const Use& use : analyzer.uses)
      if (use.selector != no_term && !idle.contains(place(use.where))) at_work_.insert(place(use.where));
  }
  void add_untried(const AnalyzerDefinition& analyzer) {
    for (const RuleSet* set : sets_of(analyzer, {}))
      for (const Rule& rule : set->rules) at_work_.insert(place(rule.where));
  }
  [[nodiscard]] std::vector<Diagnostic> findings() const {
    std::vector<Diagnostic> result;
    const auto add = [&](const SourceRange& where, std::string message, std::string help) {
      Diagnostic finding;
      finding.code = "R271";
      finding.where = where;
      finding.message = std::move(message);
      finding.help = std::move(help);
      result.push_back(std::move(finding));
    };
    for (const auto& [where, rule] : found_)
      if (!at_work_.contains(where)) add(rule.where, rule.message, rule.help);
    for (const RuleSet& set : file_.rule_sets)
      for (const Rule& rule : set.rules)
        if (used_.contains(place(rule.where)) && !at_work_.contains(place(rule.where)))
          add(rule.where, fmt::format("this rule of `{}` is never applied on this model", set.name), {});
    return result;
  }

 private:
  using Place = std::pair<int, int>;
  static Place place(const SourceRange& where) { return {where.line, where.column}; }

  /// The sets of this file that the analyzer uses, but for `use`s that never apply.
  [[nodiscard]] std::set<const RuleSet*> sets_of(const AnalyzerDefinition& analyzer,
                                                 const std::set<Place>& idle) const {
    std::set<const RuleSet*> result;
    // With those of the analyzers that it extends, as far as this file defines them.
    const AnalyzerDefinition* level = &analyzer;
    for (int depth = 0; level != nullptr && depth < 16; ++depth) {
      for (const Use& use : level->uses)
        if (!idle.contains(place(use.where)))
          add_set(level->terms[static_cast<std::size_t>(use.set)].name, result);
      if (level->extends == no_term) break;
      const std::string& base = level->terms[static_cast<std::size_t>(level->extends)].name;
      const auto found = std::find_if(file_.analyzers.begin(), file_.analyzers.end(),
                                      [&](const AnalyzerDefinition& other) { return other.name == base; });
      level = found == file_.analyzers.end() ? nullptr : &*found;
    }
    return result;
  }
  void add_set(const std::string& name, std::set<const RuleSet*>& into) const {
    const auto own = std::find_if(file_.rule_sets.begin(), file_.rule_sets.end(),
                                  [&](const RuleSet& set) { return set.name == name; });
    if (own == file_.rule_sets.end() || !into.insert(&*own).second) return;
    for (const TermId id : own->uses) add_set(own->terms[static_cast<std::size_t>(id)].name, into);
  }

  const RuleFile& file_;
  std::map<Place, UnappliedRule> found_;
  std::set<Place> used_, at_work_;
};

class Checking {
 public:
  explicit Checking(const CheckChoices& options)
      : options_(options), library_(library_with(options.model.registry(), {})) {}

  void run() {
    if (!options_.json) return check_all();
    report_.json = true;
    report_.findings.open('[');
    try {
      check_all();
    } catch (const Error&) {
      if (report_.errors == 0) throw;  // nothing was found yet: a file that is not there
      answer();
      throw;
    }
    answer();
  }

 private:
  void answer() {
    Json json;
    const auto count = [](std::size_t number) { return static_cast<std::int64_t>(number); };
    json.open('{')
        .key("errors")
        .number(count(report_.errors))
        .key("warnings")
        .number(count(report_.warnings));
    json.key("rules")
        .number(count(rules_))
        .key("sets")
        .number(count(sets_))
        .key("analyzers")
        .number(count(analyzers_));
    json.key("findings").raw(report_.findings.close(']').whole()).close('}');
    print_answer(json);
  }

  void check_all() {
    if (!options_.model.plugins.empty()) try_plugins();
    for (const std::string& path : options_.files) check_file(path);
    if (report_.errors > 0)
      throw Error(ErrorCode::rule,
                  fmt::format("{}{}", counted(report_.errors, "error"),
                              report_.warnings > 0 ? " and " + counted(report_.warnings, "warning") : ""));
    if (options_.json) return;
    std::vector<std::string> tried;
    if (!options_.files.empty())
      tried.push_back(fmt::format("{} in {}, {}", counted(rules_, "rule"), counted(sets_, "set"),
                                  counted(analyzers_, "analyzer")));
    if (!options_.model.plugins.empty()) tried.push_back(plugins_);
    say(fmt::format("{}: {}\n", join(tried, "; "),
                    report_.warnings > 0 ? counted(report_.warnings, "warning") : "no problems"));
  }

  void try_plugins() {
    const PluginReport found =
        check_plugins(options_.model.registry(), [this](Severity severity, const std::string& text) {
          if (severity != Severity::note)
            report_.add(severity, text);
          else if (!options_.json)
            say(text + "\n");
        });
    plugins_ = fmt::format("{}, {} and {} of {}", counted(found.operators, "operator"),
                           counted(found.kernels, "kernel"), counted(found.analyzers, "analyzer"),
                           counted(options_.model.plugins.size(), "plugin"));
  }

  void check_file(const std::string& path) {
    const std::string text = read_rules(path);
    const RuleFile file = parsed(text, path);
    const std::size_t before = report_.errors;
    try {
      library_.add_file(path);  // and what it includes
    } catch (const RuleError& error) {
      // What is wrong with this file is told below, with the warnings.
      if (error.diagnostics().front().where.file != path) return report_.add_error(error.what());
    } catch (const Error& error) {
      return report_.add_error(error.what());
    }
    for (const Diagnostic& finding : check(file, library_.check_context())) report_.add(finding, text);
    sets_ += file.rule_sets.size();
    analyzers_ += file.analyzers.size();
    for (const RuleSet& set : file.rule_sets) rules_ += set.rules.size();
    if (report_.errors > before) return;
    for (const AnalyzerDefinition& analyzer : file.analyzers) try_declared(analyzer, text);
    if (!options_.model.path.empty()) try_on_model(file, text);
  }

  RuleFile parsed(const std::string& text, const std::string& path) {
    try {
      return parse_rules(text, path);
    } catch (const RuleError& error) {
      if (report_.json)
        for (const Diagnostic& finding : error.diagnostics()) report_.add(finding, text);
      else
        say(fmt::format("{}\n\n", error.what()));
      throw Error(ErrorCode::rule, counted(error.diagnostics().size(), "error"));
    }
  }

  /// What the analyzer declares of itself, on layers and random networks.
  void try_declared(const AnalyzerDefinition& analyzer, const std::string& text) {
    const std::vector<PropertyTrial> trials = try_properties(
        library_, analyzer.name, options_.model.registry().operators, options_.model.registry().samplers);
    for (std::size_t i = 0; i < trials.size(); ++i) {
      const PropertyTrial& trial = trials[i];
      if (trial.holds && trial.networks > 0) continue;
      Diagnostic finding;
      finding.where = i < analyzer.properties_where.size() ? analyzer.properties_where[i] : analyzer.where;
      if (trial.holds) {
        finding.code = "R281";
        finding.severity = Severity::warning;
        finding.message = fmt::format(
            "`{}` declares `{}`, which could not be tried: it runs on none of the networks that it would be "
            "tried on",
            analyzer.name, trial.property);
      } else {
        finding.code = "R280";
        finding.message =
            fmt::format("`{}` declares `{}`, which does not hold", analyzer.name, trial.property);
        finding.notes.push_back(
            {fmt::format("the smallest network on which it fails is {}", trial.network), {}});
        finding.notes.push_back({trial.what, {}});
        finding.help = fmt::format("leave `{}` out of `declare`, or change the rules", trial.property);
      }
      report_.add(finding, text);
    }
  }

  /// Every analyzer of the file on the model: the nodes it leaves unclaimed, and the rules that never apply.
  void try_on_model(const RuleFile& file, const std::string& text) {
    if (!model_) model_.emplace(load_model(options_.model));
    ExplainerOptions how;
    how.output = output_index(options_.model, *model_);
    how.keep_explained = false;
    const Question question = question_for(*model_, how).question;
    Unreached unreached(file);
    for (const AnalyzerDefinition& analyzer : file.analyzers) {
      if (const auto missing = std::find_if(analyzer.parameters.begin(), analyzer.parameters.end(),
                                            [](const Parameter& p) { return p.fallback == no_term; });
          missing != analyzer.parameters.end()) {
        if (!report_.json)
          say(fmt::format("`{}` is not tried on the model: its parameter `{}` has no default\n\n",
                          analyzer.name, missing->name));
        unreached.add_untried(analyzer);
        continue;
      }
      try {
        // Where no rule at all applies is told below, rule by rule.
        const AnalyzerCall call{analyzer.name, {{"allow_unmatched", 1.0}}};
        unreached.add_tried(
            analyzer, unapplied_rules(library_, call,
                                      analyze(library_, call, question, options_.model.registry().operators,
                                              options_.model.registry().samplers)));
      } catch (const Error& error) {
        unreached.add_untried(analyzer);
        if (error.code() == ErrorCode::unclaimed)
          report_.add_error(fmt::format("{}:{}:{}: error[R270]: on {} {}", analyzer.where.file,
                                        analyzer.where.line, analyzer.where.column, options_.model.path,
                                        error.what()));
        else
          report_.add_error(fmt::format("{}:{}:{}: error[R272]: `{}` cannot run on {}: {}",
                                        analyzer.where.file, analyzer.where.line, analyzer.where.column,
                                        analyzer.name, options_.model.path, error.what()));
      }
    }
    for (const Diagnostic& finding : unreached.findings()) report_.add(finding, text);
  }

  const CheckChoices& options_;
  RuleLibrary library_;
  std::optional<Model> model_;
  Report report_;
  std::size_t rules_ = 0, sets_ = 0, analyzers_ = 0;
  std::string plugins_;  ///< what of them was tried
};

}  // namespace

void add_check(CLI::App& app, Run& run) {
  auto options = std::make_shared<CheckChoices>();
  CLI::App* command = app.add_subcommand(
      "check",
      "Find what is wrong in rule files before they run, on their own or on a model, and try the operators "
      "of\nplugins: shapes, kernels, derivatives by differences, and methods on their samples");
  command->add_option("file", options->files, "Rule files")->type_name("FILE.rules");
  command
      ->add_option(
          "--model", options->model.path,
          "A network, an ONNX file: which of its operations no rule claims, and which rules never apply")
      ->type_name("MODEL");
  add_plugin_option(*command, options->model);
  add_shape_options(*command, options->model);
  add_json_option(*command, options->json);
  command->callback([options, &run] {
    if (options->files.empty() && options->model.plugins.empty()) throw CLI::RequiredError("file");
    run = [options] { Checking(*options).run(); };
  });
}

}  // namespace rulegrad::cli
