// Rule files that would be checked or applied for ages. Each is a kind of its own; the numbers in them may be any others.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <string>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/support/error.hpp"

#include "support/timing.hpp"

using namespace rulegrad;

namespace {

/// What is wrong with a file whose analyzer `a` is added and explains a network; empty: nothing.
std::string refusal(const std::string& text) {
  try {
    Registry registry;
    registry.rules.add_text("rulegrad 1\n" + text, "bomb.rules");
    Sequential net({B, 4});
    net.dense(3).relu().dense(2);
    const Model model = net.finish();
    (void)Explainer(model, "a", {.registry = &registry}).run(Tensor(DType::float32, {2, 4}));
  } catch (const Error& error) {
    CHECK(error.code() != ErrorCode::internal);
    return error.what();
  }
  return {};
}

/// `count` lines, each from its number and the next one.
std::string lines(int count, const char* line) {
  std::string text;
  for (int i = 0; i < count; ++i) text += fmt::format(fmt::runtime(line), i, i + 1);
  return text;
}

void check_refused(const std::string& text, const char* reason) {
  const testing::ThreadTimer timer;
  const std::string said = refusal(text);
  INFO(said);
  CHECK(said.find(reason) != std::string::npos);
  // It takes a second or two.
  CHECK(timer.seconds() < 60);
}

}  // namespace

TEST_CASE("what doubles with each line ends by its count: functions, lets, rule sets that use others twice") {
  const std::string analyzer = "analyzer a { default gradient\n result f0(relevance) }\n";
  check_refused(lines(40, "fn f{0}(v) = f{1}(v) + f{1}(v * 1.01)\n") + "fn f40(v) = v\n" + analyzer, "calls");
  check_refused("analyzer a { default gradient\n let v0 = relevance\n" +
                    lines(80, " let v{1} = v{0} + v{0}\n") + " result v80 }\n",
                "20000 times");
  for (const int depth : {28, 200}) {
    const std::string last = fmt::format("rules s{} {{ grad(relu(x), r) => r }}\n", depth);
    check_refused(lines(depth, "rules s{0} {{ use s{1}\n use s{1} }}\n") + last +
                      "analyzer a { use s0\n default gradient }\n",
                  depth == 28 ? "20000 times" : "circle");
  }
}

TEST_CASE(
    "files of many items are refused by their number, and those of as many as may be are checked in a "
    "moment") {
  check_refused(lines(5000, "analyzer a{} {{ extends a{} }}\n") +
                    "analyzer a5000 { default gradient }\nanalyzer a { default gradient }\n",
                "4096");
  check_refused("rules s {\n" + lines(5000, " grad(relu(x), r) when depth > {} => r * {}\n") +
                    "}\nanalyzer a { use s\n default gradient }\n",
                "4096");
  const testing::ThreadTimer timer;
  CHECK(refusal(lines(3000, "fn f{}(v) = f{}(v)\n") + "fn f3000(v) = v\nanalyzer a { default gradient }\n")
            .empty());
  CHECK(timer.seconds() < 60);
}
