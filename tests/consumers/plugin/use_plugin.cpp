// Loads the plugin, builds a network with its operator, explains it, and writes it for the command:
// use_plugin PLUGIN OUTPUT.onnx
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  Registry registry;
  load_plugin(registry, argv[1]);
  const OpSchema& squash = registry.operators.at("squash");
  const Attributes half = Attributes::make(*squash.attributes, std::vector<NamedValue>{{"slope", 0.5}});

  const Model model = Sequential({B, 2}, DType::float64)
                          .dense(Tensor({2, 2}, {1.0, -2.0, 3.0, 0.5}))
                          .then([&](Expr x) { return x.graph().apply(squash, {x}, half); })
                          .dense(Tensor({1, 2}, {2.0, 1.0}))
                          .finish();
  const Tensor x({1, 2}, {0.3, 0.7});
  const Explanation got =
      Explainer(model, {"gradient", "lrp_through_squash"}, {.registry = &registry}).run(x);

  // By hand: z = W x, y = 2 s(z0) + s(z1); the relevance of y is 1.
  const double z[2] = {0.3 - 1.4, 0.9 + 0.35},
               slope[2] = {0.5 / std::pow(0.5 + 1.1, 2), 0.5 / std::pow(0.5 + 1.25, 2)};
  const double expected = 2 * slope[0] * 1 + slope[1] * 3;
  const double relevance0 = 2 * z[0] / (0.5 + 1.1), relevance1 = z[1] / (0.5 + 1.25);
  const double lrp = (relevance0 * 0.3 / z[0] + relevance1 * 0.9 / z[1]) / (relevance0 + relevance1);
  if (std::abs(got.attribution("gradient").at(0) - expected) > 1e-12 ||
      std::abs(got.attribution("lrp_through_squash").at(0) - lrp) > 1e-4) {
    std::fprintf(stderr, "gradient %.12g, expected %.12g; lrp %.12g, expected %.12g\n",
                 got.attribution("gradient").at(0), expected, got.attribution("lrp_through_squash").at(0),
                 lrp);
    return 1;
  }
  const Expr y = model.outputs()[0].expr;
  save_onnx(argv[2], std::span(&y, 1));
  const Model again = load_onnx(argv[2], {.dtype = DType::float64, .operators = &registry.operators});
  if (!identical(Explainer(again, "gradient", {.registry = &registry}).run(x).attribution(),
                 got.attribution("gradient")))
    return 1;
  std::printf("the plugin's operator is explained: %.6g, %.6g\n", expected, lrp);
}
