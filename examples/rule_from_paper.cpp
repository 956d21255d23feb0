// A rule from a paper, typed in: the z+ rule of Montavon et al. 2017 (arXiv 1512.02479), eq. 12,
//   R_i = sum over j of (x_i w_ij+) / (sum over i' of x_i' w_i'j+) R_j.
// On a network of dense layers and ReLUs it keeps the sum of the relevance.
#include <cmath>
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main() {
  Registry registry;
  registry.rules.add_text(R"(rulegrad 1
rules paper.z_plus {
  grad(y: dense(x, w), r) =>
    let p = y(w = max(w, 0), b = 0)
    x * vjp(p, over(r, p))
}
## The z+ rule in every dense layer, relevance through ReLUs as it is.
analyzer deep_taylor_by_hand {
  seed onehot(target) * y
  use paper.z_plus
  use pass_relu
}
rules pass_relu {
  grad(relu(x), r) => r
})",
                          "paper.rules");
  const Model model = Sequential({B, 8}, DType::float64).dense(16).relu().dense(16).relu().dense(3).finish();
  Tensor x(DType::float64, {1, 8});
  for (std::size_t i = 0; i < 8; ++i) x.mutable_values<double>()[i] = 0.5 + 0.1 * static_cast<double>(i);
  const Explanation got = Explainer(model, "deep_taylor_by_hand", {.registry = &registry}).run(x);

  double sum = 0;
  for (std::int64_t i = 0; i < 8; ++i) sum += got.attribution().at(i);
  const double score = got.scores().at(got.predictions()[0]);
  std::printf("score %.12f, sum of relevance %.12f\n", score, sum);
  return std::abs(sum - score) < 1e-9 ? 0 : 1;
}
