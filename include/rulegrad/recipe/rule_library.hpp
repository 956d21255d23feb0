#pragma once

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rulegrad/ops/operators.hpp"
#include "rulegrad/rule/rule.hpp"

namespace [[gnu::visibility("default")]] rulegrad {

struct CheckContext;  // check.hpp
class Samplers;

/// Rule sets, functions and analyzers by name: the ones that ship, and those of the user's files beside them.
class RuleLibrary {
 public:
  /// Empty; see `builtin`.
  RuleLibrary() = default;
  /// The shipped `rules/*.rules`, parsed once.
  [[nodiscard]] static const RuleLibrary& builtin();

  /// Adds all items of a file, whose includes must be there, once they are checked (rulegrad/check/check.hpp)
  /// together with what the library holds. Throws RuleError with every error found; then nothing is added. An
  /// item that equals one that is there is that one.
  void add(const RuleFile& file);
  /// Parses the text of a file and adds it; `path` is what messages call it.
  void add_text(std::string_view text, const std::string& path);
  /// Reads a file and the files it includes, each once. Included paths are relative to the including file and
  /// stay inside its directory. Throws Error with the chain of includes: a file that cannot be read or lies
  /// elsewhere, a file that includes itself, mistakes in the rules.
  void add_file(const std::string& path);
  /// Adds a rule set made with the C++ DSL.
  void add(RuleSet rules);
  void add(AnalyzerDefinition analyzer);

  /// Operators that rules added from now on may name too: those of a program or plugin, beside the ones that
  /// are there.
  void add_operators(const Operators& operators);
  /// The same for what may stand behind `for ... in`.
  void add_samplers(const Samplers& samplers);
  /// What a file that is added may refer to.
  [[nodiscard]] CheckContext check_context() const;

  /// The rule set of that name. Throws Error(unknown_name) with the nearest name.
  [[nodiscard]] const RuleSet& rule_set(std::string_view name) const;
  /// A rule set by a name as people type it: the one beside `owner` first (`flat` of `innvestigate.lrp.z` is
  /// `innvestigate.flat`), then that very name. Throws Error(unknown_name).
  [[nodiscard]] std::string rule_set_near(const std::string& name, std::string_view owner) const;
  /// The analyzer of that name. Throws Error(unknown_name) with the nearest name.
  [[nodiscard]] const AnalyzerDefinition& analyzer(std::string_view name) const;
  /// What files define by `fn`, by name.
  [[nodiscard]] const std::map<std::string, const Function*, std::less<>>& functions() const {
    return functions_;
  }
  /// The operators that ship and those that rule files define.
  [[nodiscard]] const Operators& operators() const { return operators_; }
  /// Those that rule files define.
  [[nodiscard]] std::span<const std::shared_ptr<const OpSchema>> composites() const { return composites_; }
  /// The forward rules that find in a graph what the analyzer's file, or a file it includes, defines by `op`.
  [[nodiscard]] std::vector<std::shared_ptr<const Rule>> raising_rules(
      const AnalyzerDefinition& analyzer) const;
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> analyzer_names() const;
  /// In alphabetical order.
  [[nodiscard]] std::vector<std::string> rule_set_names() const;
  /// Canonical paths of the files that were read.
  [[nodiscard]] std::vector<std::string> files() const;

 private:
  void add_file(const std::string& path, std::vector<std::string>& chain);
  void add(const RuleFile& file, std::string_view source);
  void add_checked(const RuleFile& file);
  void add_operator(const CompositeOp& definition);

  std::map<std::string, std::shared_ptr<const RuleSet>, std::less<>> rule_sets_;
  std::map<std::string, std::shared_ptr<const AnalyzerDefinition>, std::less<>> analyzers_;
  std::map<std::string, std::shared_ptr<const Function>, std::less<>> owned_functions_;
  std::map<std::string, const Function*, std::less<>> functions_;
  Operators operators_ = Operators::builtin();
  std::vector<std::string> samplers_;
  std::vector<std::shared_ptr<const OpSchema>> composites_;
  std::map<std::string, std::shared_ptr<const CompositeOp>, std::less<>> definitions_;  ///< of the composites
  std::map<std::string, std::shared_ptr<const Rule>> raising_;                          ///< by operator
  std::map<std::string, std::set<std::string>>
      visible_operators_;                     ///< by file: its own and those of its includes
  std::map<std::string, std::string> files_;  ///< canonical path -> what messages call it
};

}  // namespace rulegrad
