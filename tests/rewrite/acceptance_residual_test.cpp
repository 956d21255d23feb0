// Residual policies at a sum, chosen by which branch is the short one.
#include <array>
#include <doctest/doctest.h>

#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

const std::string analyzers = [] {
  std::string text;
  for (const std::string policy : {"norm(1e-12)", "symmetric", "ratio", "drop_skip"})
    text += "analyzer " + policy.substr(0, policy.find('(')) + " { use residual." + policy +
            "  use lrp.epsilon(1e-12)  use lrp.rest(1e-12) }\n";
  return text;
}();

/// Eight bias-free blocks, every third with a projection at its shortcut.
struct ResNet {
  Graph graph{DType::float64};
  Draw draw;
  Expr x = graph.input("x", {DType::float64, Shape{B, 3, 5, 5}});
  Expr y;
  std::vector<Expr> sums, shorts, bodies;

  explicit ResNet(std::uint64_t seed) : draw(seed) {
    Expr h = relu(layer(x, 6));
    for (int block = 0; block < 8; ++block) {
      const std::int64_t channels = h.shape()[1].factor, wide = block % 3 == 2 ? channels + 1 : channels;
      const Expr body = layer(relu(layer(h, wide)), wide);
      const Expr shortcut = wide == channels ? h : conv(h, draw.weight(graph, {wide, channels, 1, 1}));
      // Which operand is the shortcut must not matter.
      const Expr sum = block % 2 == 0 ? body + shortcut : shortcut + body;
      sums.push_back(sum);
      shorts.push_back(shortcut);
      bodies.insert(bodies.end(), {body, body.operand(0).operand(0)});
      if (wide != channels) bodies.push_back(shortcut);
      h = relu(sum);
    }
    y = dense(mean(h, {2, 3}), draw.weight(graph, {3, h.shape()[1].factor}));
  }
  Expr layer(Expr h, std::int64_t channels) {
    return conv(h, draw.weight(graph, {channels, h.shape()[1].factor, 3, 3}, -0.6, 0.6), 0.0,
                {{}, {1, 1}, {1, 1}, {}, 1});
  }
};

bool has_zero(const Tensor& tensor) {
  for (std::int64_t i = 0; i < tensor.size(); ++i)
    if (tensor.at(i) == 0) return true;
  return false;
}

}  // namespace

TEST_CASE("each residual policy is at most four lines") {
  const RuleSet* set = nullptr;
  for (const std::string name : {"norm", "symmetric", "ratio", "drop_skip"}) {
    set = &RuleLibrary::builtin().rule_set("residual." + name);
    CHECK(set->rules.size() <= 2);
  }
}

TEST_CASE("residual policies conserve relevance over eight blocks with identity and projection shortcuts") {
  const RuleLibrary library = library_with(analyzers);
  int alive = 0;
  for (std::uint64_t seed = 1; seed <= 12; ++seed) {
    ResNet net(seed);
    const Question question = question_about(net.y, {net.x});
    const Tensor value = net.draw.tensor({2, 3, 5, 5});
    // Half of the relevance to a branch that is exactly 0 has nowhere to go, whatever the layers do: such
    // networks are no test.
    if (std::any_of(net.bodies.begin(), net.bodies.end(), [&](Expr body) {
          return has_zero(evaluate(std::vector<Expr>{body}, {{"x", value}})[0]);
        }))
      continue;
    ++alive;
    for (const std::string policy : {"norm", "symmetric", "ratio", "drop_skip"}) {
      CAPTURE(policy);
      CAPTURE(seed);
      const Analysis analysis = analyze(library, {policy, {}}, question);
      const auto results =
          evaluate(std::vector<Expr>{analysis.attributions[0], analysis.seed}, {{"x", value}});
      // Conserved to 1e-9 of the mass that moves.
      double mass = total(results[1]);
      for (std::int64_t i = 0; i < results[0].size(); ++i) mass += std::abs(results[0].at(i));
      CHECK(std::abs(total(results[0]) - total(results[1])) < 1e-9 * mass);
      std::size_t at_sums = 0;
      for (const Step& step : analysis.steps) at_sums += step.by->rule_set.starts_with("residual.") ? 1 : 0;
      CHECK(at_sums == 2 * net.sums.size());
    }
  }
  CHECK(alive >= 3);
}

TEST_CASE("residual policies send to each branch what their formulas say") {
  const RuleLibrary library = library_with(analyzers);
  ResNet net(4);
  const Question question = question_about(net.y, {net.x});
  const Tensor value = net.draw.tensor({1, 3, 5, 5});
  for (const std::string policy : {"norm", "symmetric", "ratio", "drop_skip"}) {
    CAPTURE(policy);
    for (const Step& step : analyze(library, {policy, {}}, question).steps) {
      const auto found = std::find(net.sums.begin(), net.sums.end(), step.node);
      if (found == net.sums.end()) continue;
      const Expr shortcut = net.shorts[static_cast<std::size_t>(found - net.sums.begin())];
      const bool is_short = step.node.operand(step.slot) == shortcut;
      const auto values =
          evaluate(std::vector<Expr>{step.node.operand(step.slot), step.node.operand(1 - step.slot),
                                     step.cotangent, step.result ? step.result : step.cotangent},
                   {{"x", value}});
      for (std::int64_t i = 0; i < values[0].size(); ++i) {
        const double a = values[0].at(i), b = values[1].at(i), r = values[2].at(i);
        const double expected = policy == "norm"        ? a * r / (a + b + (a + b >= 0 ? 1e-12 : -1e-12))
                                : policy == "symmetric" ? r / 2
                                : policy == "ratio"
                                    ? (a == 0 && b == 0 ? 0 : r * std::abs(a) / (std::abs(a) + std::abs(b)))
                                    : (is_short ? 0 : r);
        CHECK((step.result ? values[3].at(i) : 0.0) == doctest::Approx(expected).epsilon(1e-9));
      }
    }
  }
}
