// Reads the relevance at hidden layers. Epsilon-LRP keeps its sum from layer to layer where there are no
// biases.
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main() {
  Network net(DType::float64);
  const Expr x = net.input("pixels", {B, 1, 8, 8});
  const Expr c1 = relu(net.conv(x, 4, {3, 3}, {}, "first"));
  const Expr c2 = relu(net.conv(c1, 8, {3, 3}, {}, "second"));
  const Model model = net.finish(net.dense(flatten(c2), 5, "answer"));

  Tensor picture(DType::float64, {1, 1, 8, 8});
  for (std::size_t i = 0; i < 64; ++i)
    picture.mutable_values<double>()[i] = std::cos(0.3 * static_cast<double>(i));
  const Explainer explainer(model, "lrp.epsilon:epsilon=1e-12", {.nodes = {"pixels", "first", "second"}});
  const Explanation got = explainer.run(picture);

  bool kept = true;
  for (const std::string& node : got.nodes()) {
    const Tensor& relevance = got.attribution("lrp.epsilon", node);
    double sum = 0;
    for (std::int64_t i = 0; i < relevance.size(); ++i) sum += relevance.at(i);
    std::printf("%-7s %-16s sum of relevance %.9f\n", node.c_str(), to_string(relevance.dims()).c_str(), sum);
    kept = kept && std::abs(sum - 1) < 1e-6;
  }
  return kept ? 0 : 1;
}
