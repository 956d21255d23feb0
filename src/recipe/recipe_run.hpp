#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "rulegrad/recipe/analyzer.hpp"

#include "autodiff/derivatives.hpp"
#include "expr/node_map.hpp"
#include "recipe/parameters.hpp"
#include "recipe/substitution.hpp"
#include "rewrite/canonize.hpp"
#include "rewrite/evaluate_term.hpp"
#include "rewrite/rule_list.hpp"

/// How an analyzer becomes expressions.
///
/// An analyzer and what it extends are *levels*, the outermost first. Each level has a user's world, moves it
/// with `at` and hands the moved world to the level below as its user's world; the innermost moved world is
/// the one in which the rules run, once. On the way back each level's `relevance` is the result of the level
/// below: so any augmentation can stand around any method. Loops are indices (samples.hpp) that a level's
/// values depend on; the level that opens a loop must reduce over it.
namespace rulegrad {

class Unclaimed;

struct Engine {
  const RuleLibrary& library;
  const Operators& operators;
  const Samplers& samplers;
};

/// Arguments of an analyzer, evaluated when they are asked for.
using LazyArguments = std::vector<std::pair<std::string, std::function<Value()>>>;
[[nodiscard]] LazyArguments lazy_arguments(Graph& graph, const AnalyzerCall& call);

/// What one run explains.
struct Task {
  Expr output;                  ///< as the model has it
  std::vector<Expr> explained;  ///< together: worlds move all of them
  std::vector<Expr> inputs;     ///< what else guards take values to depend on
  std::vector<Expr> keep;
  Expr target;
  Question::Seed seed = Question::Seed::own;
  Expr seed_tensor;
  std::function<Tensor(const std::string&)> read_array;
  std::shared_ptr<const AuxiliaryArrays> aux;
  bool allow_unmatched = false;
  std::int64_t depth = 0;    ///< of the first loop
  std::int64_t stream = 0;   ///< of the random numbers of the first explained value
  std::int64_t samples = 1;  ///< of the loops around
  std::vector<std::string> askers =
      {};  ///< analyzers that ask for each other's relevance, the outermost first
};

class RecipeRun {
 public:
  RecipeRun(const Engine& engine, const std::string& method, LazyArguments given, Task task);

  /// Does a level move the input, so that inputs and inner nodes need runs of their own? And inputs each?
  [[nodiscard]] bool moves_input() const;
  [[nodiscard]] bool slides_over_input() const;
  /// Does a parameter stand for the last feature map, which each explained value has its own of?
  [[nodiscard]] bool chooses_feature_map() const;

  /// What `run` found stays here; a caller that needs nothing more moves it away.
  [[nodiscard]] Analysis& run();

 private:
  struct Loop {
    std::vector<std::string> variables;
    std::int64_t depth, count;
  };
  /// `baseline@ids=...`: a parameter's value for one of several inputs.
  struct ForInput {
    std::string parameter;
    Expr input;
    Value value;
  };
  struct Level {
    const AnalyzerDefinition* definition = nullptr;
    LazyArguments given;
    std::map<std::string, std::string> methods;  ///< parameters that are analyzers
    std::map<std::string, Expr> nodes;           ///< parameters that are nodes, in the user's own world
    Scope scope;                                 ///< the other parameters, and the loops' variables
    std::vector<ForInput> for_inputs;            ///< what parameters are where `input` means one of several
    std::vector<Loop> loops;
    std::int64_t first_depth = 0;
    World user, moved;
    std::map<std::string, World> points;
  };
  /// Where a term of a level is evaluated.
  struct Context {
    std::size_t level = 0;
    Expr original;           ///< what `input` means, in the user's own world; absent: what `focus` is
    Expr focus;              ///< what `relevance` reached, in the final world
    World* world = nullptr;  ///< behind `@`; absent: each name in the world it is about
  };

  // levels.cpp: the chain of `extends`, parameters, canonizers
  void build_chain(const std::string& method, LazyArguments given);
  std::string method_text(const Level& level, const Parameter& parameter);
  void canonize_output();
  [[nodiscard]] bool speaks_of(std::string_view operation) const;
  void bind_parameters(std::size_t level);
  void bind_for_inputs();
  Value parameter_value(std::size_t level, const Parameter& parameter);
  Value converted(const Level& level, const Parameter& parameter, Value value);
  Expr node_parameter(std::size_t level, const Parameter& parameter);
  /// Of a file that the caller named, or, with the place in a rule file that names it, of one in that file's
  /// folder.
  Value read_array(const std::string& path, const SourceRange* named_at = nullptr);
  static bool means_feature_map(const Level& level, const Parameter& parameter);

  // worlds.cpp: loops and placements
  void open_loops(std::size_t level);
  void place(std::size_t level, const Placement& placement, World& world);
  Expr placed_node(std::size_t level, const Placement& placement);
  World& world_named(std::size_t level, const Term& term);

  // terms.cpp: what names and words mean
  [[nodiscard]] Scope scope_for(std::size_t level, Expr original) const;
  Value evaluate(Context context, TermId term);
  std::optional<Value> answer(const Context& context, const Term& term, std::span<const Value> arguments);
  std::optional<Value> name_value(const Context& context, const Term& term);
  Expr input_of(const Context& context);
  Expr score(const Context& context);
  Expr score_seed();
  Expr seed_in(World& world);
  Value reduced(const Context& context, const Term& term, const Value& value);
  Value random_value(const Context& context, const Term& term, std::span<const Value> arguments);
  Value relevance_word(const Context& context, const Term& term, std::span<const Value> arguments);
  Value relevance_of(const Context& context, const Term& method);
  Expr target();
  Expr onehot(Expr index);
  Expr constant_index(double index);

  // walk.cpp: rules, the reverse walk, results
  void gather();
  void gather_chosen(const Level& level, const std::string& chosen, const SourceRange& where,
                     const std::vector<ActiveRule::Selector>& selectors);
  void walk();
  const ForwardFacts& learn_facts(std::optional<ForwardFacts>& farther);
  EvaluationHooks walking_hooks();
  std::optional<Expr> close_gradient(const GradientRules& rules, Unclaimed& unclaimed, Expr node,
                                     std::size_t slot, Expr cotangent);
  Expr seed();
  std::optional<Expr> fall_back(Step& step, Expr node, std::size_t slot, Expr cotangent) const;
  [[nodiscard]] std::shared_ptr<const RuleMatch> kept_match(RuleResult applied) const;
  Expr relevance(std::size_t level, Expr focus, Expr original);
  Expr result(std::size_t level, Expr focus, Expr original);
  Expr total(Expr focus);
  void require_seed_used() const;

  // totals.cpp: what the analyzer declares that attributions add up to
  void find_totals();
  [[nodiscard]] Expr score_lost();
  [[nodiscard]] Expr over_scores(Expr values);
  [[nodiscard]] bool nothing_passes(std::span<const Expr> nodes) const;
  Value in_world_of_rules(const Term& term, const Value& value);

  // report.cpp: nodes without rules, rules without nodes
  [[noreturn]] void refuse_unclaimed(const Unclaimed& unclaimed, const EvaluationHooks& hooks);
  void refuse_unmatched() const;

  [[nodiscard]] Expr image(Expr node) const;
  [[nodiscard]] Expr flattened(Expr output) const;
  [[nodiscard]] Expr zeros(const Type& type) const;
  [[nodiscard]] RewriteContext rewriting() const { return {graph_, vocabulary_, *facts_}; }
  [[nodiscard]] RewriteContext rewriting_by_user() const { return {graph_, vocabulary_, *user_facts_}; }
  [[nodiscard]] const Terms& terms(std::size_t level) const { return levels_[level].definition->terms; }
  [[nodiscard]] const Term& term(std::size_t level, TermId id) const {
    return terms(level)[static_cast<std::size_t>(id)];
  }

  Engine engine_;
  Task task_;
  Graph& graph_;
  Vocabulary vocabulary_;
  std::deque<Level> levels_;
  LazyArguments given_for_inputs_;  ///< `parameter@input`
  RuleList rules_, canonizers_;
  bool rule_applied_ = false;
  Fallback fallback_ = Fallback::error;
  Canonized canonized_;
  std::vector<Expr> explained_;  ///< canonised, in the user's own world
  Expr output_, final_output_;
  std::unique_ptr<ForwardFacts> user_facts_, facts_;
  World* final_ = nullptr;
  std::int64_t next_depth_ = 0;
  std::int64_t samples_ = 1;  ///< of all loops that are open, multiplied
  Expr target_;
  Derivatives derivatives_;
  bool prepared_ = false, walked_ = false, walking_ = false;
  bool in_seed_ = false;  ///< a seed is being evaluated
  bool asks_seed_ = false,
       asks_output_ = false;  ///< does the answer depend on the seed; on `target` or `y` beside it?
  Expr score_seed_;
  int let_depth_ = 0;
  std::int64_t lets_ = 0;  ///< that were worked out
  static constexpr std::int64_t most_lets = 20'000;
  NodeMap<Expr> totals_;
  std::map<std::string, Substitution> to_worlds_;
  std::map<std::string, std::unique_ptr<RecipeRun>> others_;
  Analysis analysis_;

  void prepare();
};

}  // namespace rulegrad
