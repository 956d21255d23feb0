#include "rulegrad/rule_library.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "analysis/shipped_rules.hpp"
#include "rewrite/evaluate.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/rule_text.hpp"
#include "rulegrad/sampler.hpp"
#include "support/text.hpp"

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
    for (const auto& [path, text] : shipped_rules()) shipped.add_checked(parse_rules(text, std::string(path)));
    return shipped;
  }();
  return library;
}

CheckContext RuleLibrary::check_context() const {
  CheckContext context;
  context.operators = operators_;
  context.samplers = Samplers::builtin().names();
  context.functions = functions_;
  for (const auto& [name, rules] : rule_sets_) context.rule_sets.emplace(name, rules.get());
  for (const auto& [name, analyzer] : analyzers_) context.analyzers.emplace(name, analyzer.get());
  return context;
}

void RuleLibrary::add(const RuleFile& file) {
  require_no_errors(check(file, check_context()), {});
  add_checked(file);
}

void RuleLibrary::add_text(std::string_view text, const std::string& path) {
  const RuleFile file = parse_rules(text, path);
  require_no_errors(check(file, check_context()), text);
  add_checked(file);
}

void RuleLibrary::add_checked(const RuleFile& file) {
  for (const Function& function : file.functions) {
    add_named(owned_functions_, function);
    functions_.emplace(function.name, owned_functions_.at(function.name).get());
  }
  for (const RuleSet& rules : file.rule_sets) add_named(rule_sets_, rules);
  for (const AnalyzerDefinition& analyzer : file.analyzers) add_named(analyzers_, analyzer);
}

void RuleLibrary::add_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf()))
    throw Error(ErrorCode::io, fmt::format("cannot read the rule file '{}'; is the path right and the file readable?", path));
  add_text(text.str(), path);
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

const RuleSet& RuleLibrary::rule_set(std::string_view name) const { return find_named(rule_sets_, name, "rule set"); }
const AnalyzerDefinition& RuleLibrary::analyzer(std::string_view name) const { return find_named(analyzers_, name, "method"); }
std::vector<std::string> RuleLibrary::analyzer_names() const { return keys(analyzers_); }
std::vector<std::string> RuleLibrary::rule_set_names() const { return keys(rule_sets_); }

}  // namespace rulegrad
