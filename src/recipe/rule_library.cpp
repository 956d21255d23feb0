#include "rulegrad/recipe/rule_library.hpp"

#include <algorithm>
#include <filesystem>
#include <fmt/format.h>

#include "rulegrad/check/check.hpp"
#include "rulegrad/recipe/sampler.hpp"
#include "rulegrad/rule/rule_text.hpp"
#include "rulegrad/support/error.hpp"

#include "recipe/shipped_rules.hpp"
#include "rewrite/composite.hpp"
#include "support/read_file.hpp"
#include "support/text.hpp"
#include "support/usual_names.hpp"

namespace rulegrad {
namespace {

template <class Map, class T>
void add_named(Map& map, T item) {
  auto shared = std::make_shared<const T>(std::move(item));
  map.emplace(shared->name, shared);
}

template <class Map>
std::vector<std::string> keys(const Map& map) {
  std::vector<std::string> result;
  for (const auto& [name, item] : map) result.push_back(name);
  return result;
}

template <class Map>
const auto& find_named(const Map& map, std::string_view name, std::string_view kind) {
  const auto found = map.find(name);
  if (found == map.end()) throw Error(ErrorCode::unknown_name, unknown_name_message(kind, name, keys(map)));
  return *found->second;
}

}  // namespace

const RuleLibrary& RuleLibrary::builtin() {
  static const RuleLibrary library = [] {
    RuleLibrary shipped;
    shipped.add_samplers(Samplers::builtin());
    // The files refer to each other, so all are there before the first is checked.
    std::vector<RuleFile> files;
    for (const auto& [path, text] : shipped_rules())
      shipped.add_checked(files.emplace_back(parse_rules(text, std::string(path))));
    // Trials on samples cost a hundred times what the rest does; a test makes them.
    CheckContext context = shipped.check_context();
    context.try_examples = false;
    for (std::size_t i = 0; i < files.size(); ++i)
      require_no_errors(check(files[i], context), shipped_rules()[i].second);
    return shipped;
  }();
  return library;
}

CheckContext RuleLibrary::check_context() const {
  CheckContext context;
  context.operators = &operators_;
  context.samplers = samplers_;
  context.functions = functions_;
  for (const auto& [name, definition] : definitions_) context.composites.emplace(name, definition.get());
  for (const auto& [name, rules] : rule_sets_) context.rule_sets.emplace(name, rules.get());
  for (const auto& [name, analyzer] : analyzers_) context.analyzers.emplace(name, analyzer.get());
  return context;
}

void RuleLibrary::add(const RuleFile& file) {
  add(file, {});
}

void RuleLibrary::add_checked(const RuleFile& file) {
  for (const Function& function : file.functions) {
    add_named(owned_functions_, function);
    functions_.emplace(function.name, owned_functions_.at(function.name).get());
  }
  std::set<std::string>& visible = visible_operators_[file.path];
  for (const CompositeOp* definition : simplest_first(file)) {
    add_operator(*definition);
    visible.insert(definition->name);
  }
  for (const RuleSet& rules : file.rule_sets) add_named(rule_sets_, rules);
  for (const AnalyzerDefinition& analyzer : file.analyzers) add_named(analyzers_, analyzer);
}

void RuleLibrary::add_operators(const Operators& operators) {
  for (const auto& schema : operators.all())
    if (operators_.find(schema->name) == nullptr) operators_.add(schema);
}

void RuleLibrary::add_samplers(const Samplers& samplers) {
  for (std::string& name : samplers.names())
    if (std::find(samplers_.begin(), samplers_.end(), name) == samplers_.end())
      samplers_.push_back(std::move(name));
}

void RuleLibrary::add_operator(const CompositeOp& definition) {
  if (definitions_.contains(definition.name)) return;
  auto scope = std::make_shared<CompositeScope>();
  scope->operators = operators_;
  scope->functions = functions_;
  for (const auto& [name, function] : owned_functions_) scope->owned.push_back(function);
  const auto schema = make_composite(definition, scope);
  operators_.add(schema);
  composites_.push_back(schema);
  definitions_.emplace(definition.name, std::make_shared<const CompositeOp>(definition));
  if (auto rule = raising_rule(definition, *scope))
    raising_.emplace(definition.name, std::make_shared<const Rule>(std::move(*rule)));
}

std::vector<std::shared_ptr<const Rule>> RuleLibrary::raising_rules(
    const AnalyzerDefinition& analyzer) const {
  std::vector<std::shared_ptr<const Rule>> result;
  const auto visible = visible_operators_.find(analyzer.where.file);
  if (visible == visible_operators_.end()) return result;
  for (const auto& schema : composites_)
    if (visible->second.contains(schema->name))
      if (const auto rule = raising_.find(schema->name); rule != raising_.end())
        result.push_back(rule->second);
  return result;
}

void RuleLibrary::add_text(std::string_view text, const std::string& path) {
  const RuleFile file = parse_rules(text, path);
  if (!file.includes.empty())
    throw Error(
        ErrorCode::rule,
        fmt::format("{}: `include \"{}\"` needs a file to start from, but these rules were given as a text",
                    path, file.includes.front()));
  add(file, text);
}

void RuleLibrary::add(const RuleFile& file, std::string_view source) {
  require_no_errors(check(file, check_context()), source);
  add_checked(file);
}

void RuleLibrary::add_file(const std::string& path) {
  // All of what the file includes is there in the end, or nothing of it.
  RuleLibrary whole = *this;
  std::vector<std::string> chain;
  whole.add_file(path, chain);
  *this = std::move(whole);
}

void RuleLibrary::add_file(const std::string& name, std::vector<std::string>& chain) {
  namespace fs = std::filesystem;
  const fs::path path(name);
  const auto included = [&] {
    std::string text;
    for (auto from = chain.rbegin(); from != chain.rend(); ++from)
      text += fmt::format("\n  included from {}", *from);
    return text;
  };
  const std::string text = [&] {
    try {
      return read_text_file(path);
    } catch (const Error& error) {
      throw Error(ErrorCode::io, fmt::format("{} (a rule file){}", error.what(), included()));
    }
  }();
  if (text.empty())
    throw Error(ErrorCode::rule,
                fmt::format("the rule file '{}' is empty; rule files begin with `rulegrad 1`{}",
                            path.string(), included()));
  const fs::path canonical = fs::canonical(path);
  const auto [entry, fresh] = files_.try_emplace(canonical.string(), path.string());
  if (std::any_of(chain.begin(), chain.end(),
                  [&](const std::string& above) { return fs::canonical(above) == canonical; }))
    throw Error(ErrorCode::rule,
                fmt::format("the rule file '{}' includes itself{}", path.string(), included()));
  if (!fresh) {
    if (chain.empty())
      throw Error(ErrorCode::rule, fmt::format("the rule file '{}' was read already, as '{}'; name it once",
                                               path.string(), entry->second));
    return;
  }
  RuleFile parsed = parse_rules(text, path.string());
  chain.push_back(path.string());
  const fs::path directory = canonical.parent_path();
  std::set<std::string> seen, visible;
  for (const std::string& include : parsed.includes) {
    const auto refuse = [&](const std::string& what) {
      throw Error(ErrorCode::rule, fmt::format("`include \"{}\"` {}{}", include, what, included()));
    };
    if (!seen.insert(include).second) refuse("stands there twice; leave one of them out");
    const fs::path relative(include);
    if (relative.empty() || relative.is_absolute())
      refuse("must be a path relative to the file that includes it");
    for (const fs::path& part : relative)
      if (part == "..")
        refuse("leaves the directory of the file that includes it; put the included file beside it or below");
    std::error_code missing;
    const fs::path target = fs::weakly_canonical(directory / relative, missing);
    const fs::path inside = target.lexically_relative(directory);
    if (inside.empty() || *inside.begin() == "..")
      refuse("is a link that leads out of the directory of the file that includes it");
    // Beside a link to the including file may stand something else: what was looked at is what is read.
    const fs::path shown = path.parent_path() / relative;
    add_file(fs::weakly_canonical(shown, missing) == target ? shown.string() : target.string(), chain);
    const auto known = files_.find(target.string());
    if (known != files_.end()) visible.merge(std::set<std::string>(visible_operators_[known->second]));
  }
  chain.pop_back();
  try {
    add(parsed, text);
  } catch (const Error& error) {
    if (chain.empty()) throw;
    throw Error(error.code(), error.what() + included());
  }
  visible_operators_[parsed.path].merge(visible);
}

void RuleLibrary::add(RuleSet rules) {
  RuleFile file;
  file.path = rules.where.file;
  file.rule_sets.push_back(std::move(rules));
  add(file);
}

void RuleLibrary::add(AnalyzerDefinition analyzer) {
  RuleFile file;
  file.path = analyzer.where.file;
  file.analyzers.push_back(std::move(analyzer));
  add(file);
}

const RuleSet& RuleLibrary::rule_set(std::string_view name) const {
  return find_named(rule_sets_, name, "rule set");
}

const AnalyzerDefinition& RuleLibrary::analyzer(std::string_view name) const {
  if (const auto found = analyzers_.find(name); found != analyzers_.end()) return *found->second;
  // As people write it elsewhere: `SmoothGrad`, `saliency`.
  const std::string plain = folded(name);
  const AnalyzerDefinition* same = nullptr;
  int spellings = 0;
  for (const auto& [known, definition] : analyzers_)
    if (folded(known) == plain) {
      same = definition.get();
      ++spellings;
    }
  if (spellings == 1) return *same;
  if (const auto usual = analyzers_.find(usual_name(name)); spellings == 0 && usual != analyzers_.end())
    return *usual->second;
  return find_named(analyzers_, name, "method");
}

std::string RuleLibrary::rule_set_near(const std::string& name, std::string_view owner) const {
  // `lrp.lstm.all` within lrp.lstm, then `lrp.all` beside it.
  for (std::string_view space = owner; !space.empty();) {
    const std::string inner = fmt::format("{}.{}", space, name);
    if (rule_sets_.contains(inner)) return inner;
    const std::size_t dot = space.rfind('.');
    space = space.substr(0, dot == std::string_view::npos ? 0 : dot);
  }
  return rule_set(name).name;
}

std::vector<std::string> RuleLibrary::analyzer_names() const {
  return keys(analyzers_);
}
std::vector<std::string> RuleLibrary::files() const {
  return keys(files_);
}
std::vector<std::string> RuleLibrary::rule_set_names() const {
  return keys(rule_sets_);
}

}  // namespace rulegrad
