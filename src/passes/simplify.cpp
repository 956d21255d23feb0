#include "rulegrad/simplify.hpp"

#include "passes/intervals.hpp"
#include "passes/simplifier_rules.hpp"
#include "passes/support.hpp"
#include "rewrite/canonize.hpp"
#include "rewrite/words.hpp"
#include "rulegrad/error.hpp"
#include "rulegrad/rule_text.hpp"

namespace rulegrad {
namespace {

/// The rules of the simplifier, in the order of the file.
const RuleList& rules() {
  static const RuleList list = [] {
    RuleList all;
    const auto no_parameters = std::make_shared<const Scope>();
    for (const auto& [path, text] : simplifier_rules()) {
      const auto file = std::make_shared<const RuleFile>(parse_rules(text, std::string(path)));
      for (const RuleSet& set : file->rule_sets)
        for (const Rule& rule : set.rules) all.add({std::shared_ptr<const Rule>(file, &rule), set.name, no_parameters, {}});
    }
    return all;
  }();
  return list;
}

class Facts {
 public:
  std::optional<Value> answer(const Meaning& meaning, std::span<const Value> arguments) {
    if (meaning.word == nullptr || meaning.word->kind != WordKind::simplifier) return std::nullopt;
    if (meaning.word->name == "vanishes") return truth(vanishes_below(std::get<Expr>(arguments[0]), std::get<Expr>(arguments[1])));
    return truth(interval(arguments[0]).low >= interval(arguments[1]).high);
  }

 private:
  static Value truth(bool condition) { return condition ? 1.0 : 0.0; }
  Interval interval(const Value& value) {
    if (const auto* number = std::get_if<double>(&value)) return {*number, *number};
    return intervals_.of(std::get<Expr>(value));
  }

  Intervals intervals_;
};

}  // namespace

Simplified simplify(std::span<const Expr> outputs) {
  if (outputs.empty()) return {};
  static const Functions no_functions;
  Facts facts;
  ForwardRewriting how;
  how.move_names = false;
  how.fact = [&](const Term&, const Meaning& meaning, std::span<const Value> arguments) { return facts.answer(meaning, arguments); };
  Canonized done = canonize(outputs[0].graph(), outputs, rules(), Operators::builtin(), no_functions, how);
  Simplified result{std::move(done.outputs), std::move(done.rewrites), {}};
  for (const auto& [before, after] : done.image)
    if (before != after && before->named && !after->named) result.renewed.emplace_back(before, after);
  return result;
}

}  // namespace rulegrad
