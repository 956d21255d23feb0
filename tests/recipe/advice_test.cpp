// The error about unclaimed nodes proposes a file of rules: pasted as it is it loads and claims them, and in
// a method of relevance nothing is lost by it. Names are found however they are written.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <set>

#include "rulegrad/explain/unapplied.hpp"
#include "rulegrad/expr/random_engine.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

/// The proposed file of a message, without its indentation.
std::string pasted(const std::string& message) {
  const std::size_t from = message.find("  rulegrad 1\n"), to = message.find("\nor say what they get");
  REQUIRE(from != std::string::npos);
  REQUIRE(to != std::string::npos);
  return message.substr(from, to - from + 1);
}

Tensor drawn(RandomEngine& random, const ExampleOperand& operand) {
  Tensor result(operand.dtype, operand.dims);
  dispatch(operand.dtype, [&]<class T>(T) {
    std::uniform_real_distribution<double> real(operand.low, operand.high);
    std::uniform_int_distribution<std::int64_t> whole(static_cast<std::int64_t>(std::ceil(operand.low)),
                                                      static_cast<std::int64_t>(std::floor(operand.high)));
    for (T& value : result.mutable_values<T>())
      value = std::is_floating_point_v<T> ? static_cast<T>(real(random)) : static_cast<T>(whole(random));
  });
  return result;
}

const RuleLibrary& strict() {
  static const RuleLibrary library = library_with(
      "rules nothing { grad(erf(x), r) when x is relu => r / stabilize(x, 1e-6) }\n"
      "rules positive { grad(relu(x), g) => max(g, 0) }\n"
      "analyzer relevance { use nothing }\n"
      "analyzer slopes { use positive }\n");
  return library;
}

/// One operation on inputs of which the data are explained.
struct Single {
  Graph graph{DType::float64};
  std::vector<Expr> explained;
  Inputs inputs;
  Expr y, seed;

  Single(const OpSchema& op, const OpExample& example, RandomEngine& random) {
    std::vector<Expr> operands;
    for (std::size_t k = 0; k < example.operands.size(); ++k) {
      const std::string name = "x" + std::to_string(k);
      inputs[name] = drawn(random, example.operands[k]);
      operands.push_back(graph.input(name, {example.operands[k].dtype, Shape::of(example.operands[k].dims)}));
      if (op.operand(k).role == Role::data && is_floating(example.operands[k].dtype))
        explained.push_back(operands.back());
    }
    y = graph.make(op, operands,
                   &example.attributes.type() == op.attributes ? example.attributes
                                                               : Attributes::make(*op.attributes, {}));
    y = graph.apply(rulegrad::op("reshape"), {y}, ShapeAttributes{Shape{1, y.shape().count().factor}});
    seed = graph.input("seed", y.type());
    // Nothing can be shared out where nothing was given.
    Tensor of_seed = Program::compile(std::span(&y, 1)).run(inputs).at(0);
    dispatch(of_seed.dtype(), [&]<class T>(T) {
      std::int64_t i = 0;
      for (T& value : of_seed.mutable_values<T>())
        value = value == T(0) ? T(0) : static_cast<T>(1 + 0.25 * static_cast<double>(i++ % 5));
    });
    inputs["seed"] = of_seed;
  }
  Question question() const {
    Question result;
    result.output = y;
    result.explained = explained;
    result.seed = Question::Seed::tensor;
    result.seed_tensor = seed;
    return result;
  }
};

}  // namespace

TEST_CASE(
    "every proposal that an unclaimed operator provokes loads, claims it, and keeps relevance in a method of "
    "relevance") {
  RandomEngine random(9);
  std::set<std::string> provoked, kept;
  for (const auto& op : Operators::builtin().all()) {
    if (!op->examples || op->operands.empty() || op->name == "grad" || op->name == "vjp") continue;
    for (const OpExample& example : op->examples(random))
      for (const std::string method : {"relevance", "slopes", "lrp.epsilon", "deeplift.rescale"}) {
        Single single(*op, example, random);
        if (single.explained.empty() || !is_floating(single.y.dtype())) continue;
        std::string message;
        try {
          (void)analyze(strict(), {method, {}}, single.question());
        } catch (const Error& error) {
          if (error.code() == ErrorCode::unclaimed) message = error.what();
        }
        if (message.empty()) continue;
        const std::string text = pasted(message);
        CAPTURE(op->name);
        CAPTURE(method);
        CAPTURE(text);
        RuleLibrary library = strict();
        REQUIRE_NOTHROW(library.add_text(text, "mine.rules"));
        if (op->derivatives.empty() && !op->expansion) continue;  // `vjp` of it has no meaning
        std::optional<Analysis> analysis;
        REQUIRE_NOTHROW(analysis = analyze(library, {"mine", {}}, single.question()));
        provoked.insert(op->name);
        const bool relevance = method == "relevance" || method == "lrp.epsilon";
        if (!relevance || text.find("relevance is not kept") != std::string::npos) continue;
        // Biases and what is padded by a constant take their part.
        if (op->is(OpClass::affine) || op->name == "pad") continue;
        double came = 0;
        for (const Tensor& part : evaluate(analysis->attributions, single.inputs)) came += total(part);
        CHECK(came == doctest::Approx(total(single.inputs.at("seed"))).epsilon(1e-6));
        kept.insert(op->name);
      }
  }
  for (const char* name : {"mul", "div", "matmul", "softmax", "layer_norm", "exp", "erf", "sum", "mean",
                           "resize", "reshape", "where", "max", "add", "pow", "neg"}) {
    CHECK(provoked.contains(name));
    CHECK(kept.contains(name));
  }
}

TEST_CASE(
    "a gate that depends on the input gets half, a factor that does not gets none; computed weights get "
    "none") {
  Graph graph(DType::float64);
  Draw draw(2);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 4}}),
             scale = graph.input("scale", {DType::float64, Shape{4}});
  const Expr gate = dense(x, draw.weight(graph, {4, 4}));
  const Expr y =
      dense(gate * sigmoid(dense(x, draw.weight(graph, {4, 4}))) * scale, draw.weight(graph, {2, 4}));
  const Question question = question_about(y, {x});
  // What ships shares products by half; this method of relevance says nothing of them.
  const std::string bare =
      "rules constant { grad(a * c, r) wrt a when not depends(c) => r }\n"
      "analyzer bare { use lrp.z  use lrp.pass  use constant  use routing }\n";
  const std::string message =
      error_of([&] { (void)analyze(library_with(bare), AnalyzerCall::parse("bare"), question); });
  CHECK(message.find("bare has no rule for 2 gradient nodes") != std::string::npos);
  CHECK(message.find("grad(a * b, r) wrt a when depends(b) => r / 2\n") != std::string::npos);
  CHECK(message.find("extends bare\n") != std::string::npos);
  CHECK(message.find("`use lrp.attention` claims mul") != std::string::npos);
  RuleLibrary library = library_with(bare);
  library.add_text(pasted(message), "mine.rules");
  const Analysis analysis = analyze(library, AnalyzerCall::parse("mine"), question);
  const auto values = evaluate(std::vector<Expr>{analysis.attributions[0], analysis.seed},
                               {{"x", draw.tensor({3, 4})}, {"scale", draw.tensor({4}, 0.5, 1)}});
  CHECK(total(values[0]) == doctest::Approx(total(values[1])).epsilon(1e-9));
}

TEST_CASE("the error names the rule sets that have rules for such nodes") {
  Graph graph(DType::float64);
  Draw draw(2);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1, 4, 4}});
  const Expr y = dense(flatten(relu(conv(x, draw.weight(graph, {2, 1, 2, 2})))), draw.weight(graph, {2, 18}));
  const std::string said =
      error_of([&] { (void)analyze(strict(), AnalyzerCall::parse("relevance"), question_about(y, {x})); });
  CAPTURE(said);
  CHECK(said.find("`use lrp.epsilon` claims dense, conv") != std::string::npos);
  CHECK(said.find("`use lrp.rest` claims reshape, relu") != std::string::npos);
  // Products are left by the usual sets of layers; sets whose methods make relevance of slopes at the end say
  // nothing of shares.
  const Expr b = graph.input("b", {DType::float64, Shape{B, 2}});
  const std::string product = error_of([&] {
    (void)analyze(strict(), AnalyzerCall::parse("relevance"), question_about(y * b, {x, b}));
  });
  CAPTURE(product);
  CHECK(product.find("`use lrp.rest` claims mul") != std::string::npos);
  CHECK(product.find("lrp.mamba") == std::string::npos);
  CHECK(product.find("slopes") == std::string::npos);
}

TEST_CASE("methods are found however they are written, and suggestions do not hang on case") {
  const RuleLibrary& library = RuleLibrary::builtin();
  CHECK(library.analyzer("Gradient").name == "gradient");
  CHECK(library.analyzer("LRP.Epsilon").name == "lrp.epsilon");
  CHECK(library.analyzer("Guided-Backprop").name == "guided_backprop");
  CHECK(library.analyzer("deeplift").name == "deeplift.rescale");
  CHECK(library.analyzer("DeepLIFT").name == "deeplift.rescale");
  CHECK(library.analyzer("saliency").name == "gradient");
  CHECK(library.analyzer("GradCAM").name == "grad_cam");
  CHECK(error_of([&] { (void)library.analyzer("SMOTHGRAD"); }).find("did you mean 'smoothgrad'?") !=
        std::string::npos);
  CHECK(error_of([] {
          (void)library_with("rules a { grad(ReLU(x), g) => g }\n");
        }).find("did you mean 'relu'?") != std::string::npos);
  CHECK(error_of([] {
          (void)library_with("rules a { grad(BatchNorm(x), g) => g }\n");
        }).find("did you mean 'batch_norm'?") != std::string::npos);
  CHECK(error_of([] { (void)op("Conv2d"); }).find("did you mean 'conv'?") != std::string::npos);
}

TEST_CASE("rules and selectors of the user's own that never apply are told of, with the nearest names") {
  Graph graph(DType::float64);
  Draw draw(2);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1, 4, 4}});
  const Expr c = conv(x, draw.weight(graph, {2, 1, 2, 2}));
  graph.add_name(c, "conv_1");
  const Expr y = dense(flatten(relu(c)), draw.weight(graph, {2, 18}));
  graph.add_name(y, "head");
  const RuleLibrary library = library_with(
      "rules mine { grad(tanh(x), r) => r\n  grad(relu(x), r) => r }\n"
      "analyzer a {\n  use lrp.flat on name(\"conv2*\")\n  use mine\n  use lrp.z_plus on conv_transpose\n  "
      "use lrp.epsilon\n  use lrp.rest\n}\n");
  const AnalyzerCall call = AnalyzerCall::parse("a");
  const std::vector<UnappliedRule> idle =
      unapplied_rules(library, call, analyze(library, call, question_about(y, {x})));
  REQUIRE(idle.size() == 3);
  CHECK(to_string(idle[0]).starts_with(
      "test.rules:5:3: `use lrp.flat on name(\"conv2*\")` never applies to this network; no node is named "
      "like \"conv2*\"; the nearest names are 'conv_1'"));
  CHECK(idle[0].selector);
  CHECK(to_string(idle[1]) ==
        "test.rules:7:3: `use lrp.z_plus on conv_transpose` never applies to this network");
  CHECK(to_string(idle[2]) == "test.rules:2:14: this rule of `mine` never applies to this network");
  CHECK_FALSE(idle[2].selector);
  // What ships is for other networks too.
  const AnalyzerCall shipped = AnalyzerCall::parse("lrp.epsilon_plus");
  CHECK(unapplied_rules(library, shipped, analyze(library, shipped, question_about(y, {x}))).empty());
}
