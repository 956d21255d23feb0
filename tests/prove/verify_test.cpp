#include "rulegrad/prove/verify.hpp"

#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"
#include "rulegrad/support/error.hpp"

#include "property/networks.hpp"
#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Normalised {
  Graph graph;
  Expr x, y;
  explicit Normalised(DType dtype) : graph(dtype) {
    NetworkMaker maker(graph, 4, {});
    x = graph.input("x", {dtype, Shape{B, 2, 5, 5}});
    const auto positive = [&] { return graph.constant(Tensor({3}, {0.5, 1.25, 2.0}).cast(dtype)); };
    const Expr w = graph.constant(maker.values({3, 2, 3, 3}).cast(dtype));
    y = flatten(relu(batch_norm(conv(x, w), positive(), positive(), positive(), positive())));
    graph.add_name(y, "y");
  }
};

}  // namespace

TEST_CASE("folding batch norm is proved harmless in both precisions, and says by how much it rounds") {
  for (const DType dtype : {DType::float32, DType::float64}) {
    Normalised net(dtype);
    const Analysis analysis =
        analyze(RuleLibrary::builtin(), {"lrp.epsilon", {}}, question_for(net.y, {net.x}));
    REQUIRE(analysis.rewrites.size() == 1);
    const CanonizerProof proof = prove_canonizers(net.y, analysis);
    CHECK(proof.rewrites == 1);
    CHECK(proof.largest > 0.1);
    CHECK(proof.difference <= (dtype == DType::float32 ? 1e-5 : 1e-13) * proof.largest);
  }
}

TEST_CASE("of several canonizers the harmful one is named, and only that one") {
  Normalised net(DType::float64);
  RuleLibrary library = RuleLibrary::builtin();
  library.add_text(
      "rulegrad 1\nrules wrong {\n  rewrite relu(x) => x\n}\nanalyzer a { canonize canonical  canonize wrong "
      " default gradient }\n",
      "mine.rules");
  const Analysis analysis = analyze(library, {"a", {}}, question_for(net.y, {net.x}));
  REQUIRE(analysis.rewrites.size() == 2);
  try {
    (void)prove_canonizers(net.y, analysis);
    FAIL("a ReLU was taken out");
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK(error.code() == ErrorCode::rule);
    CHECK(what.find("mine.rules:3:3: wrong changes relu") != std::string::npos);
    CHECK(what.find("canonical") == std::string::npos);
  }
}
