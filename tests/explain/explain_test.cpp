#include "rulegrad/explain/explain.hpp"

#include <algorithm>
#include <doctest/doctest.h>
#include <map>
#include <regex>
#include <set>

#include "rulegrad/support/error.hpp"

#include "explain/explained_network.hpp"
#include "support/table.hpp"
#include "text_snapshot.hpp"

using namespace rulegrad;
using testing::check_text;
using testing::ExplainedNetwork;

namespace {

/// Rules of every kind that an explanation speaks of: guard, selector, names, `next`, lets, defaults.
constexpr const char* own_rules = R"(rulegrad 1
rules mine {
  rule halves: grad(y: a + b, r) wrt a when depends(a) and not depends(y.b) or name("add") => next(r / 2)
  grad(y: a + b, r) wrt v => vjp(y, r)
  grad(y: affine(x, w, b), r) when name("conv2") =>
    let s = r / stabilize(y, 0.25)
    let wp = max(w, 0)
    x * vjp(y(w = wp), s) + x * vjp(y(w = w - wp, b = 0), s)
}
analyzer mine {
  canonize canonical
  use mine
  use lrp.flat on first(conv) and not last(affine)
  default gradient
}
)";

RuleLibrary own_library() {
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(own_rules, "mine.rules");
  return library;
}

struct Case {
  ExplainedNetwork network;
  RuleLibrary library = own_library();
  Analysis analysis;
  explicit Case(const std::string& method)
      : analysis(analyze(library, AnalyzerCall::parse(method), network.question())) {}
};

}  // namespace

TEST_CASE("the table of an analyzer names for each gradient node its rule, where it stands and why") {
  check_text(explain_table(Case("lrp.epsilon_plus_flat").analysis),
             "explain/explained/epsilon_plus_flat.txt");
  check_text(explain_table(Case("mine").analysis), "explain/explained/mine.txt");
  check_text(explain_table(Case("guided_backprop").analysis), "explain/explained/guided_backprop.txt");
}

TEST_CASE("a narrow table wraps its reasons and then shortens names, and holds its width") {
  const Case c("mine");
  const std::string narrow = explain_table(c.analysis, 84);
  check_text(narrow, "explain/explained/mine_narrow.txt");
  for (std::size_t start = 0; start < narrow.size();) {
    const std::size_t end = narrow.find('\n', start);
    CHECK(end - start <= 84);
    start = end + 1;
  }
}

TEST_CASE("there is a row for every gradient node, with the place of the rule that closed it") {
  const Case c("lrp.epsilon_plus_flat");
  const auto rows = explained_steps(c.analysis);
  REQUIRE(rows.size() == c.analysis.steps.size());
  std::map<std::string, int> rules;
  for (const ExplainedStep& row : rows) {
    ++rules[row.rule];
    CHECK(row.place.starts_with("rules/lrp.rules:"));
    CHECK_FALSE(row.why.empty());
  }
  CHECK(rules == std::map<std::string, int>{{"lrp.epsilon", 1},
                                            {"lrp.flat", 1},
                                            {"lrp.norm", 2},
                                            {"lrp.rest", 1},
                                            {"lrp.z_plus", 1},
                                            {"routing", 1}});
}

TEST_CASE("batch norm behind a convolution is folded before the canonical methods explain") {
  const Case c("lrp.epsilon");
  const auto rewrites = explained_rewrites(c.analysis);
  REQUIRE(rewrites.size() == 1);
  CHECK(rewrites[0].before == "batch_norm 'bn1'");
  CHECK(rewrites[0].folded == "conv 'conv1'");
  CHECK(rewrites[0].after == "conv 'bn1'");
  CHECK(rewrites[0].rule == "canonical.batch_norm");
  CHECK(rewrites[0].place.starts_with("rules/canonize.rules:"));
  // The folded convolution is found under both its names.
  CHECK(explain_node(c.analysis, "conv1") == explain_node(c.analysis, "bn1"));
}

TEST_CASE(
    "the derivation of a node goes from the forward expression to the closed one, in the words of the "
    "language") {
  const Case c("mine");
  check_text(explain_node(c.analysis, "conv2"), "explain/explained/node_conv2.txt");
  check_text(explain_node(c.analysis, "conv1"), "explain/explained/node_conv1.txt");
  check_text(explain_node(c.analysis, "add"), "explain/explained/node_add.txt");
  check_text(explain_node(c.analysis, "relu1"), "explain/explained/node_relu1.txt");
  check_text(explain_node(Case("lrp.epsilon_plus_flat").analysis, "conv2"),
             "explain/explained/node_z_plus.txt");
}

TEST_CASE("a node that does not exist is answered with the nearest name") {
  const Case c("gradient");
  CHECK_THROWS_WITH_AS((void)explain_node(c.analysis, "conv3"), doctest::Contains("did you mean 'conv"),
                       Error);
  CHECK_THROWS_AS((void)explain_node(c.analysis, "image"),
                  Error);  // an input has no gradient node of its own
}

TEST_CASE(
    "the drawing has every forward node, a frame or a note for every gradient node, and edges between nodes "
    "only") {
  for (const char* method : {"mine", "lrp.epsilon_plus_flat", "guided_backprop", "input_times_gradient"}) {
    const Case c(method);
    const std::string dot = explain_dot(c.analysis);
    CHECK(dot.starts_with("digraph rulegrad {\n"));
    CHECK(dot.ends_with("}\n"));
    CHECK(std::count(dot.begin(), dot.end(), '{') == std::count(dot.begin(), dot.end(), '}'));
    std::set<std::string> nodes;
    static const std::regex node(R"(^\s+(\w+) \[label=)"), edge(R"(^\s+(\w+) -> (\w+))");
    std::istringstream lines(dot);
    std::vector<std::pair<std::string, std::string>> edges;
    for (std::string line; std::getline(lines, line);) {
      std::smatch match;
      if (std::regex_search(line, match, node)) CHECK(nodes.insert(match[1]).second);
      if (std::regex_search(line, match, edge)) edges.emplace_back(match[1], match[2]);
    }
    for (const auto& [from, to] : edges) {
      INFO(from, " -> ", to);
      CHECK(nodes.contains(from));
      CHECK(nodes.contains(to));
    }
    for (std::size_t i = 0; i < c.analysis.steps.size(); ++i) {
      const std::string id = "step_" + std::to_string(i) + " ";
      CHECK((dot.find("cluster_" + id) != std::string::npos || dot.find("  " + id) != std::string::npos));
    }
    for (const char* name : {"bn1", "relu1", "conv2", "add", "scores"})
      CHECK(dot.find(name) != std::string::npos);
    CHECK(dot.find(" by " + explained_steps(c.analysis)[0].rule) != std::string::npos);
  }
}

TEST_CASE("names that hold quotes, backslashes and line breaks are escaped in the drawing") {
  ExplainedNetwork network;
  network.graph.add_name(network.x, "never shown");
  Graph graph;
  const Expr x = graph.input("in \"put\" \\", {DType::float32, Shape{B, 2}});
  const Expr y = relu(x);
  graph.add_name(y, "two\nlines");
  Question question;
  question.output = y;
  question.explained = {x};
  const std::string dot =
      explain_dot(analyze(RuleLibrary::builtin(), AnalyzerCall::parse("gradient"), question));
  CHECK(dot.find(R"(in \"put\" \\\n)") != std::string::npos);
  CHECK(dot.find(R"(two\nlines)") != std::string::npos);
}

TEST_CASE("tables put their columns under each other and give in where there is no room") {
  TextTable table({{"name"}, {"number", TextTable::Align::right}, {"words"}});
  table.add({"a", "12", "one two three four five six seven"});
  table.add({"a_very_long_name_of_a_node_that_goes_on", "3"});
  CHECK(table.text(100) ==
        "name                                     number  words\n"
        "a                                            12  one two three four five six seven\n"
        "a_very_long_name_of_a_node_that_goes_on       3\n");
  CHECK(table.text(46) ==
        "name                  number  words\n"
        "a                         12  one two three\n"
        "                              four five six\n"
        "                              seven\n"
        "a_very_l...t_goes_on       3\n");
  CHECK(without_middle("short", 9) == "short");
}
