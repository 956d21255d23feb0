#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The one form in which rules live, whichever front end wrote them: the text parser and the C++ DSL both
/// make it; the matcher, the checker and the printer read it. It is plain data that names operators by text,
/// so it stands below the operators and can carry their derivative rules.
namespace [[gnu::visibility("default")]] rulegrad {

/// A place in a rule file, or in a C++ file for rules of the DSL. Lines and columns count from 1.
struct SourceRange {
  std::string file;
  int line = 0;
  int column = 0;
  int length = 0;
};

/// What a term is, in the spelling of rule files.
enum class TermKind : std::uint8_t {
  variable,  ///< `name`: a pattern variable, a let, a parameter; bare operator or class names too, until
             ///< resolved
  wildcard,  ///< `_`
  ellipsis,  ///< `...` as the only operand of a pattern: any operands
  number,    ///< `number`
  text,      ///< `"name"`
  list,      ///< `[args...]`
  call,      ///< `name(args..., key = named...)`; infix operators are calls too: add sub mul div neg pow,
             ///< less less_equal greater greater_equal equal not_equal is, and or not; `0..3` is range(0, 3),
             ///< `relevance of m` is relevance(of = m)
  label,     ///< `name: args[0]`: names the operation that args[0] matches
  member,    ///< `args[0].name`: an attribute or a role of an operation
  replace,   ///< `name(key = named...)` where `name` is bound to an operation: it, with operands replaced
  spread,    ///< `..name` in a call: all attributes of the operation bound to `name`
  world,     ///< `args[0]@name`: a value in another world
  reduce,    ///< `name over text (args[0])`: an explicit reduction over a sample variable; `text` is in `key`
};

/// Index of a term in its pool.
using TermId = std::int32_t;
/// There is no such term.
inline constexpr TermId no_term = -1;

/// A node of a pattern, guard or result; which members count depends on the kind.
struct Term {
  TermKind kind = TermKind::wildcard;
  std::string name;
  std::string key;
  double number = 0;
  std::vector<TermId> args;
  std::vector<std::pair<std::string, TermId>> named;
  SourceRange where;
};

/// A flat pool; children stand before their parents.
using Terms = std::vector<Term>;

/// `let name = value`
struct Let {
  std::string name;
  TermId value = no_term;
  SourceRange where = {};
};

/// Which nodes a rule rewrites: `grad` ones (analyzers), `vjp` ones (derivatives), or the forward graph.
enum class RuleLevel : std::uint8_t { grad, vjp, forward };

/// `grad(pattern, cotangent) wrt slot when guard => lets result`, or `rewrite pattern when guard => lets
/// result`.
struct Rule {
  std::string name;  ///< optional; needed to override by name
  RuleLevel level = RuleLevel::grad;
  Terms terms;
  TermId pattern = no_term;
  std::string cotangent;  ///< the variable bound to the incoming cotangent; `_` if unused
  std::string wrt;        ///< the pattern variable whose slot is meant; empty: the only data operand
  TermId guard = no_term;
  std::vector<Let> lets;
  TermId result = no_term;
  SourceRange where;
  SourceRange cotangent_where, wrt_where;
};

/// An interval of numbers that a parameter must lie in.
struct NumberRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_open = false;
  bool high_open = false;
};

/// `name: type = default in range`; the default is a term of the owner's pool, absent for required
/// parameters.
struct Parameter {
  std::string name;
  std::string type;  ///< "" (a number), tensor, node, sampler, analyzer
  TermId fallback = no_term;
  std::optional<NumberRange> range;
  SourceRange where;
};

/// `rules name(parameters) { ... }`. `terms` holds the parameters' defaults and the arguments of `use`s.
struct RuleSet {
  std::string name;
  std::string doc;  ///< the comment lines right above it
  Terms terms;
  std::vector<Parameter> parameters;
  std::vector<TermId> uses;  ///< other rule sets whose rules stand after its own, as call or variable terms
  std::vector<Rule> rules;
  SourceRange where;
};

/// `fn name(parameters) = lets result`: a hygienic macro over values and operations.
struct Function {
  std::string name;
  std::string doc;
  Terms terms;
  std::vector<std::string> parameters;
  std::vector<Let> lets;
  TermId result = no_term;
  SourceRange where;
  std::vector<SourceRange> parameters_where;
};

/// `op name(parameters): class = result`: an operator defined by its expansion.
struct CompositeOp {
  std::string name;
  std::string doc;
  Terms terms;
  std::vector<std::string> parameters;
  std::string op_class;
  TermId result = no_term;
  SourceRange where;
  std::vector<SourceRange> parameters_where;
  SourceRange op_class_where;
};

/// `use set(arguments) on selector`
struct Use {
  TermId set = no_term;
  TermId selector = no_term;  ///< a boolean term over classes, positions and names; absent: everywhere
  SourceRange where;
};

/// `for (variables) in sampler`
struct ForClause {
  std::vector<std::string> variables;
  TermId sampler = no_term;
  SourceRange where;
};

/// `at node = value`, or `point world: node = value`
struct Placement {
  std::string world;  ///< empty: the world in which the analyzer itself runs
  TermId node = no_term;
  TermId value = no_term;
  SourceRange where;
};

/// What happens to a gradient node that no rule claims.
enum class Fallback : std::uint8_t { error, gradient, pass, zero };

/// `analyzer name(parameters) { ... }`: a recipe.
struct AnalyzerDefinition {
  std::string name;
  std::string doc;
  Terms terms;
  std::vector<Parameter> parameters;
  TermId extends = no_term;
  TermId seed = no_term;  ///< absent: onehot(target)
  std::vector<Use> uses;
  std::vector<TermId> canonizers;  ///< `canonize set`: forward rule sets, in order
  std::optional<Fallback> fallback;
  std::vector<ForClause> loops;
  std::vector<Placement> placements;
  std::vector<Let> lets;
  TermId result = no_term;              ///< absent: the relevance of the input
  std::vector<std::string> properties;  ///< `declare conserves linear`: tested, never trusted
  SourceRange where;
  SourceRange fallback_where;
  std::vector<SourceRange> properties_where;
};

/// A whole file of rules, in the order of the file within each kind.
struct RuleFile {
  std::string path;
  std::vector<std::string> includes;
  std::vector<Function> functions;
  std::vector<CompositeOp> operators;
  std::vector<RuleSet> rule_sets;
  std::vector<AnalyzerDefinition> analyzers;
};

}  // namespace rulegrad
