// Rule sets that ship, written in C++: both forms rewrite random networks to the very same nodes.
#include <doctest/doctest.h>

#include "rulegrad/dsl.hpp"

#include "property/networks.hpp"
#include "rewrite/bench.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace cpp {
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::letters;

constexpr var<"wp"> wp;
constexpr var<"wn"> wn;
constexpr var<"xp"> xp;
constexpr var<"xn"> xn;
constexpr var<"z"> z;
constexpr var<"scale"> scale;
constexpr var<"bias"> bias;
constexpr var<"mu"> mu;
constexpr var<"variance"> variance;
constexpr auto small = param<"epsilon">(1e-7, above(0));
constexpr auto epsilon = param<"epsilon">(1e-6, above(0));
constexpr auto gamma_ = param<"gamma">(0.25, at_least(0));

constexpr auto deconvnet = rules("cpp.deconvnet.relu", rewrite(grad(relu(), g), clip_pos(g)));
constexpr auto guided =
    rules("cpp.guided_backprop.relu", rewrite(grad(relu(x), g), where(x > 0, clip_pos(g), 0)));
constexpr auto routing_set = rules("cpp.routing", rewrite(grad(y = routing(), r), vjp(y, r)));
constexpr auto lrp_z = rules("cpp.lrp.z", rewrite(grad(y = affine(x), r), x* vjp(y, over(r, y))));
constexpr auto lrp_epsilon =
    rules("cpp.lrp.epsilon", small, rewrite(grad(y = affine(x), r), x* vjp(y, r / stabilize(y, small))));
constexpr auto lrp_gamma =
    rules("cpp.lrp.gamma", gamma_, epsilon,
          rewrite(grad(y = affine(x, w, b), r),
                  let(p = y(w = w + gamma_ * clip_pos(w), b = b + gamma_ * clip_pos(b))),
                  x* vjp(p, r / stabilize(p, epsilon))));
constexpr auto z_plus =
    rules("cpp.lrp.z_plus", epsilon,
          rewrite(grad(y = affine(x, w, b), r),
                  let(wp = clip_pos(w), wn = clip_neg(w), xp = clip_pos(x), xn = clip_neg(x)),
                  let(z = y(x = xp, w = wp, b = clip_pos(b)) + y(x = xn, w = wn, b = 0)),
                  let(s = r / stabilize(z, epsilon)), xp* vjp(y(w = wp), s) + xn * vjp(y(w = wn), s)));
constexpr auto flat =
    rules("cpp.lrp.flat", epsilon,
          rewrite(grad(y = affine(), r), vjp(y(w = 1), r / stabilize(y(x = 1, w = 1, b = 0), epsilon))));
constexpr auto rest = rules("cpp.lrp.rest", epsilon,  //
                            rewrite(grad(y = a + b, r), wrt(a), a*(r / stabilize(y, epsilon))),
                            rewrite(grad(y = avg_pool(x), r), x* vjp(y, r / stabilize(y, epsilon))),
                            rewrite(grad(y = max_pool(), r), vjp(y, r)),  //
                            rewrite(grad(activation(), r), r), use<"cpp.routing">());
constexpr auto norm =
    rules("cpp.residual.norm", epsilon,
          rewrite(grad(y = a + b, r), wrt(a), when(skip(a, b) || skip(b, a)), a*(r / stabilize(y, epsilon))));
constexpr auto symmetric =
    rules("cpp.residual.symmetric", rewrite(grad(a + b, r), wrt(a), when(skip(a, b) || skip(b, a)), r / 2));
constexpr auto ratio =
    rules("cpp.residual.ratio",
          rewrite(grad(a + b, r), wrt(a), when(skip(a, b) || skip(b, a)), r* over(abs(a), abs(a) + abs(b))));
constexpr auto drop_skip =
    rules("cpp.residual.drop_skip", rewrite(grad(a + b, _), wrt(a), when(skip(a, b)), 0),
          rewrite(grad(a + b, r), wrt(a), when(skip(b, a)), r));
constexpr var<"n"> n;
constexpr var<"k"> k;
constexpr auto batch_norm_set = rules(
    "cpp.canonical.batch_norm", rewrite(n = dsl::batch_norm(y = affine(_, w, b), scale, bias, mu, variance),
                                        when(only_use(y)), let(k = scale / sqrt(variance + n["epsilon"])),
                                        y(w = w * out_channels(k, y), b = (b - mu) * k + bias)));

/// Words that guards and right-hand sides know, for comparison with a text.
constexpr auto words =
    rules("cpp.words",
          rewrite(grad(y = conv(), r),
                  when(first(conv() || dense(), "through"_a = routing()) || index(conv(), range(0, 1))),
                  vjp(y, r) / 2),
          rewrite(grad(y = affine(x, w), r), when(depth() > 3 && rank(x) == 2),
                  vjp(y(w = w * in_channels(op<"amax">(w, "axes"_a = list(0)), y)), r)),
          rewrite(grad(activation(x), r), when(is(producer(x), affine()) && !last(activation())),
                  r - op<"mean">(r, "axes"_a = per_sample) + op<"amax">(x, "axes"_a = channels)));

}  // namespace cpp

namespace {

constexpr const char* words_text =
    "rules text.words {\n"
    "  grad(y: conv(), r) when first(conv or dense, through = routing) or index(conv, 0..1) => vjp(y, r) / "
    "2\n"
    "  grad(y: affine(x, w), r) when depth > 3 and rank(x) == 2 => vjp(y(w = w * in_channels(amax(w, axes = "
    "[0]), y)), r)\n"
    "  grad(activation(x), r) when producer(x) is affine and not last(activation) =>\n"
    "    r - mean(r, per sample) + amax(x, channels)\n"
    "}\n";

/// The analyzer's attribution of both forms of a set, as nodes of one graph.
void check_same(const std::string& set, bool canonizes, std::uint64_t seed, const RuleLibrary& library,
                int& applied) {
  Graph graph(DType::float64);
  NetworkMaker maker(graph, seed, {});
  Network net = seed % 2 == 0 ? maker.mlp() : maker.cnn();
  if (canonizes) {
    Draw draw(seed);
    const auto each = [&](double low, double high) { return draw.weight(graph, {3}, low, high); };
    net.output = batch_norm(net.output, each(-1, 1), each(-1, 1), each(-1, 1), each(0.5, 2));
  }
  const Question question = question_about(net.output, {net.input});
  const std::string text_name = set == "words" ? "text.words" : set;
  const Analysis text = analyze(library, {"text_" + set, {{"allow_unmatched", 1.0}}}, question);
  const Analysis cxx = analyze(library, {"cpp_" + set, {{"allow_unmatched", 1.0}}}, question);
  INFO(set, ", network ", seed);
  CHECK(text.output == cxx.output);
  REQUIRE(text.attributions.size() == 1);
  CHECK(text.attributions[0] == cxx.attributions[0]);
  REQUIRE(text.steps.size() == cxx.steps.size());
  for (std::size_t i = 0; i < text.steps.size(); ++i) {
    CHECK(text.steps[i].rewritten == cxx.steps[i].rewritten);
    if (text.steps[i].by->rule_set != text_name) continue;
    CHECK(cxx.steps[i].by->rule_set == "cpp." + set);
    ++applied;
  }
  if (canonizes && text.output != net.output) ++applied;
}

}  // namespace

TEST_CASE("fourteen shipped rule sets give the same nodes in text and in C++") {
  RuleLibrary library = RuleLibrary::builtin();
  const auto add = [&](const auto&... sets) { (library.add(dsl::lower(sets)), ...); };
  add(cpp::deconvnet, cpp::guided, cpp::routing_set, cpp::lrp_z, cpp::lrp_epsilon, cpp::lrp_gamma,
      cpp::z_plus, cpp::flat, cpp::rest, cpp::norm, cpp::symmetric, cpp::ratio, cpp::drop_skip,
      cpp::batch_norm_set, cpp::words);
  const std::vector<std::string> sets{"deconvnet.relu",
                                      "guided_backprop.relu",
                                      "routing",
                                      "lrp.z",
                                      "lrp.epsilon",
                                      "lrp.gamma",
                                      "lrp.z_plus",
                                      "lrp.flat",
                                      "lrp.rest",
                                      "residual.norm",
                                      "residual.symmetric",
                                      "residual.ratio",
                                      "residual.drop_skip",
                                      "canonical.batch_norm",
                                      "words"};
  std::string text = words_text;
  for (const std::string& set : sets) {
    const bool canonizes = set.starts_with("canonical.");
    const std::string word = canonizes ? "canonize " : "use ";
    text += "analyzer text_" + set + " { " + word + (set == "words" ? "text.words" : set) +
            "  default gradient }\n";
    text += "analyzer cpp_" + set + " { " + word + "cpp." + set + "  default gradient }\n";
  }
  library.add_text("rulegrad 1\n" + text, "forms.rules");
  for (const std::string& set : sets) {
    int applied = 0;
    for (std::uint64_t seed = 0; seed < 16; ++seed)
      check_same(set, set.starts_with("canonical."), seed, library, applied);
    INFO(set);
    CHECK(applied > 0);
  }
}
