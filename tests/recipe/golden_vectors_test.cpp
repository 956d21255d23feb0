// Numbers that Zennit and iNNvestigate's formulas give on tiny networks, worked out apart from this library,
// to the digits printed.
#include <cmath>
#include <doctest/doctest.h>

#include "rulegrad/ops/build.hpp"

#include "recipe/recipe_helpers.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

Expr array(Graph& graph, Dims dims, const std::vector<double>& values) {
  return graph.constant(Tensor(std::move(dims), std::span<const double>(values)));
}

/// One dense layer, its relevance given.
struct OneLayer {
  Graph graph{DType::float64};
  Expr x, y;
  std::vector<double> input, relevance;

  OneLayer(const std::vector<double>& w, const std::vector<double>& b, std::vector<double> in,
           std::vector<double> r)
      : input(std::move(in)), relevance(std::move(r)) {
    const auto inputs = static_cast<std::int64_t>(input.size()),
               outputs = static_cast<std::int64_t>(relevance.size());
    x = graph.input("x", {DType::float64, Shape{B, inputs}});
    y = dense(x, array(graph, {outputs, inputs}, w),
              b.empty() ? graph.scalar(0) : array(graph, {outputs}, b));
  }

  void check(const std::string& method, const std::vector<double>& expected, double digits) {
    Question question = question_for(y, {x}, fixed_target(graph, 0));
    question.seed = Question::Seed::tensor;
    question.seed_tensor = array(graph, {1, static_cast<std::int64_t>(relevance.size())}, relevance);
    const Tensor map = explain(
        method, question,
        {{"x", Tensor({1, static_cast<std::int64_t>(input.size())}, std::span<const double>(input))}});
    INFO(method);
    for (std::size_t i = 0; i < expected.size(); ++i)
      CHECK(std::abs(map.at(static_cast<std::int64_t>(i)) - expected[i]) <=
            digits * std::max(1.0, std::abs(expected[i])));
  }
};

std::vector<double> sines(double from, std::size_t count, double factor = 1) {
  std::vector<double> values;
  for (std::size_t i = 0; i < count; ++i) values.push_back(factor * std::sin(from + static_cast<double>(i)));
  return values;
}

}  // namespace

TEST_CASE("Zennit's rules on a dense layer: the nine digits that Zennit printed") {
  OneLayer layer({1, -2, 0.5, -0.5, 1, 1.5}, {0.3, -0.2}, {0.5, -1, 2}, {1, -0.5});
  OneLayer plain({1, -2, 0.5, -0.5, 1, 1.5}, {}, {0.5, -1, 2}, {1, -0.5});
  layer.check("zennit.epsilon", {0.212224022, 0.848896088, -0.704583486}, 1e-9);
  layer.check("zennit.epsilon:epsilon=0.25", {0.192901235, 0.771604938, -0.586419753}, 1e-9);
  layer.check("zennit.gamma", {0.185926722, 0.743706889, -0.552059198}, 1e-9);
  layer.check("zennit.z_plus", {0.131578913, 0.526315651, -0.236842008}, 1e-9);
  layer.check("zennit.alpha_beta:alpha=2,beta=1", {0.349364663, 1.397458650, -0.473684016}, 1e-9);
  layer.check("zennit.z_box:low=-3,high=3", {0.191860453, 0.478405283, -0.170265761}, 1e-9);
  layer.check("zennit.w_square", {0.151955158, 0.607820632, -0.270980050}, 1e-9);
  layer.check("zennit.w_square:bias=0", {0.154761879, 0.619047515, -0.273809441}, 1e-9);
  layer.check("zennit.flat", {0.166666611, 0.166666611, 0.166666611}, 1e-9);
  plain.check("zennit.epsilon:epsilon=0.25", {0.195833333, 0.783333333, -0.483333333}, 1e-9);
  plain.check("zennit.gamma", {0.192857090, 0.771428361, -0.464285480}, 1e-9);
  plain.check("zennit.z_plus", {0.142857102, 0.571428408, -0.214285629}, 1e-9);
  // The canonical rules of the same kind agree where Zennit has no quirk.
  layer.check("lrp.epsilon:epsilon=0.25", {0.192901235, 0.771604938, -0.586419753}, 1e-9);
  layer.check("lrp.generalized_gamma", {0.185926722, 0.743706889, -0.552059198}, 1e-9);
  layer.check("lrp.z_plus", {0.131578913, 0.526315651, -0.236842008}, 1e-9);
  layer.check("lrp.z_box:low=-3,high=3", {0.191860453, 0.478405283, -0.170265761}, 1e-9);
  layer.check("lrp.w_square", {0.154761879, 0.619047515, -0.273809441}, 1e-9);
  layer.check("lrp.flat", {0.166666611, 0.166666611, 0.166666611}, 1e-9);
}

TEST_CASE(
    "Zennit's composites on a convolution, pooling and two dense layers: the seven digits that Zennit "
    "printed") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1, 4, 4}});
  Expr h = graph.apply(op("conv"),
                       {x, array(graph, {2, 1, 3, 3}, sines(1, 18)), array(graph, {2}, sines(101, 2, 0.1))},
                       ConvAttributes{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1});
  h = graph.apply(op("avg_pool"), {relu(h)},
                  AvgPoolAttributes{{2, 2}, {2, 2}, {0, 0}, {0, 0}, {1, 1}, false, false});
  h = graph.apply(op("reshape"), {h}, ShapeAttributes{Shape{B, 8}});
  h = relu(dense(h, array(graph, {5, 8}, sines(21, 40)), array(graph, {5}, sines(201, 5, 0.1))));
  const Expr y = dense(h, array(graph, {3, 5}, sines(61, 15)), array(graph, {3}, sines(301, 3, 0.1)));
  std::vector<double> input;
  for (int i = 0; i < 16; ++i) input.push_back(std::cos(i));
  const Tensor values({1, 1, 4, 4}, std::span<const double>(input));
  const Tensor logits = Program::compile(std::span(&y, 1)).run({{"x", values}})[0];
  CHECK(std::abs(logits.at(0) - 0.05863976) < 1e-8);
  CHECK(std::abs(logits.at(1) - 0.30006345) < 1e-8);
  CHECK(std::abs(logits.at(2) - 0.13191702) < 1e-8);

  struct Golden {
    std::vector<std::string> methods;
    std::vector<double> map;
  };
  const std::vector<Golden> all{
      {{"zennit.gradient", "gradient"},
       {0.0252031, -0.0051420, -0.0485135, -0.0560868, 0.0260430, -0.0269991, -0.0753234, -0.0017749,
        -0.0267858, 0.0155520, 0.0998000, 0.0959066, 0.1203429, 0.1247068, 0.0356601, -0.0281520}},
      {{"zennit.epsilon_plus", "lrp.epsilon_plus"},
       {-0.7260321, -0.4599900, 0.4276036, 0.8930117, -0.4194926, -0.2058126, -0.5814623, 0.1781051,
        0.2553050, 0.7171238, -0.9300556, 0, 1.5577016, 1.6988122, 0.0682260, 0}},
      {{"zennit.epsilon_plus_flat", "lrp.epsilon_plus_flat", "zennit.epsilon_alpha2_beta1_flat",
        "lrp.epsilon_alpha2_beta1_flat"},
       {-0.8037778, -0.5851883, 0.7325756, 0.9936989, -0.5928645, -0.7700062, 0.1845462, 0.3160631, 1.1301571,
        0.8900098, -0.5067046, -0.8239740, 1.1641428, 1.1755876, 0.3079328, -0.2704599}},
      {{"zennit.epsilon_alpha2_beta1"},
       {-0.5112631, -0.5676978, 0.8552072, 1.7860235, -2.0183346, 2.4871120, -1.1629245, 0.3562101, 0.1829348,
        0.5795165, -1.8601112, 1.8482451, 3.1154032, 3.3976243, 0.1364520, 2.7981227}},
      {{"zennit.epsilon_gamma_box:low=-1,high=1", "lrp.epsilon_gamma_box"},
       {-0.6667972, -0.5752683, 0.6486603, 0.8553239, -0.4719479, -0.6292403, -0.3005127, 0.3550613,
        1.0564684, 0.6381909, -0.7795787, -0.5517004, 1.3586233, 1.4164126, 0.2186156, -0.0305720}},
      {{"zennit.guided_backprop", "guided_backprop", "captum.guided_backprop"},
       {0.2523791, -0.1092115, -0.3814006, -0.3364441, -0.2661532, 0.0437081, 0.3557194, 0.3665545,
        -0.1666402, -0.4556182, -0.4982681, -0.3360578, 0.4031646, 0.5378030, 0.3482208, 0.1065979}},
      {{"zennit.deconvnet", "deconvnet", "captum.deconvolution"},
       {0.0087825, -0.0514623, -0.0452006, -0.0084869, -0.4048971, -0.4306536, -0.3456855, -0.2436174,
        0.3791826, 0.3948989, 0.1485211, -0.0190674, 0.0405258, 0.0038371, 0.0013160, -0.0117718}},
      {{"zennit.excitation_backprop"},
       {0.0514877, 0.0085212, 0.0573679, 0.1160150, 0.0346385, 0.0158422, 0.1255153, 0.0962832, 0.0154663,
        0.1295624, 0.1072132, 0, 0.0802329, 0.1137600, 0.0111988, 0}},
      {{"zennit.beta_smooth", "beta_smooth"},
       {0.0288870, -0.0308327, -0.0832556, -0.0617134, 0.0392093, -0.0000720, -0.0564045, -0.0040331,
        -0.0190650, 0.0457605, 0.0947963, 0.0683953, 0.1484459, 0.1541598, 0.0835453, 0.0253827}},
      {{"zennit.integrated_gradients", "integrated_gradients:steps=20,rule=right"},
       {0.0569995, -0.0358257, 0.0597206, 0.0759015, -0.0152928, 0.0062697, -0.0423929, -0.0257111,
        -0.0031232, -0.0971372, -0.0738164, 0.0001331, 0.1576395, 0.1772756, 0.0201899, -0.0728465}},
      {{"zennit.occlusion:window=2"},
       {-0.1215682, -0.1215682, -0.0498845, -0.0498845, -0.1215682, -0.1215682, -0.0498845, -0.0498845,
        0.3293023, 0.3293023, -0.2575984, -0.2575984, 0.3293023, 0.3293023, -0.2575984, -0.2575984}},
  };
  for (const Golden& golden : all)
    for (const std::string& method : golden.methods) {
      const Tensor map = explain(method, question_for(y, {x}, fixed_target(graph, 0)), {{"x", values}});
      INFO(method);
      REQUIRE(map.size() == 16);
      for (std::int64_t i = 0; i < 16; ++i)
        CHECK(std::abs(map.at(i) - golden.map[static_cast<std::size_t>(i)]) < 0.51e-7);
    }
}

TEST_CASE("iNNvestigate's rules on a dense layer: seven digits of its formulas, with and without bias") {
  // Its weights are [in, out].
  OneLayer layer({1, -0.5, 2, -2, 1, 0.25, 0.5, 2, -1}, {0.5, -0.25, -1}, {1, -2, 0.5}, {1, -0.5, 2});
  const double digits = 0.6e-7;
  layer.check("innvestigate.lrp.z", {-0.1567100, 1.6432900, 0.5008658}, digits);
  layer.check("innvestigate.lrp.z_IB", {-0.1747312, 2.0752688, 0.5994624}, digits);
  layer.check("innvestigate.lrp.epsilon:epsilon=0.1", {-0.1549870, 1.6097188, 0.4886491}, digits);
  layer.check("innvestigate.lrp.epsilon:epsilon=0.1,bias=0", {-0.1728941, 2.0222278, 0.5822064}, digits);
  layer.check("innvestigate.lrp.epsilon_IB:epsilon=0.1", {-0.1728941, 2.0222278, 0.5822064}, digits);
  layer.check("innvestigate.lrp.w_square", {-0.1093474, 1.4726631, 1.1366843}, digits);
  layer.check("innvestigate.lrp.flat", {0.8333333, 0.8333333, 0.8333333}, digits);
  layer.check("innvestigate.lrp.alpha_1_beta_0", {-1.7142857, 0.2857143, 0.7857143}, digits);
  layer.check("innvestigate.lrp.alpha_1_beta_0_IB", {2.3333333, 0.3333333, -0.1666667}, digits);
  layer.check("innvestigate.lrp.z_plus", {2.3333333, 0.3333333, -0.1666667}, digits);
  layer.check("innvestigate.lrp.alpha_2_beta_1", {-3.1932773, -0.6478228, 1.3896104}, digits);
  layer.check("innvestigate.lrp.alpha_2_beta_1_IB", {4.9166667, -0.8611111, -0.5555556}, digits);
  layer.check("innvestigate.lrp.alpha_beta:alpha=2", {-3.1932773, -0.6478228, 1.3896104}, digits);
  layer.check("innvestigate.lrp.alpha_beta:alpha=1,bias=0", {2.3333333, 0.3333333, -0.1666667}, digits);
  layer.check("innvestigate.lrp.z_plus_fast", {0.2142857, 1.7523810, 0.5333333}, digits);
  layer.check("innvestigate.lrp.z:input_layer_rule=box(-3,3)", {0.5712554, 0.7154634, 1.2132812}, digits);
  layer.check("innvestigate.lrp:rule=box(low=-3,high=3)", {0.5712554, 0.7154634, 1.2132812}, digits);
  layer.check("innvestigate.lrp:rule=alpha_beta_x(2,1,0)", {5.2444444, 0, -0.8666667}, digits);
  layer.check("innvestigate.lrp:rule=alpha_beta_x(1,0,0)", {2.4, 0, -0.1}, digits);
  layer.check("innvestigate.lrp:rule=alpha_beta_x(1,0,-1)", {2.4, 0.5, -0.1}, digits);
  layer.check("innvestigate.lrp.z:input_layer_rule=flat", {0.8333333, 0.8333333, 0.8333333}, digits);
  layer.check("innvestigate.lrp.z:input_layer_rule=w_square", {-0.1093474, 1.4726631, 1.1366843}, digits);

  // Issue 273 of its repository: where the canonical rule splits the bias, it divides by an exact zero.
  OneLayer issue({1, -1}, {-1}, {1, 1}, {-1});
  issue.check("innvestigate.lrp.alpha_1_beta_0", {-1e7, 0}, 1e-6);
  issue.check("innvestigate.lrp.alpha_2_beta_1", {-2e7, 0.5}, 1e-6);
  issue.check("lrp.alpha_1_beta_0", {-1, 0}, 1e-6);
  issue.check("lrp.alpha_2_beta_1", {-2, 0.5}, 1e-6);
}

TEST_CASE("iNNvestigate's batch norm: both ways of fusing, its own rule, and what is right") {
  Graph graph(DType::float64);
  const Expr x = graph.input("x", {DType::float64, Shape{B, 1, 3}});
  const Expr y = graph.apply(
      op("batch_norm"),
      {x, array(graph, {1}, {2}), array(graph, {1}, {0.3}), array(graph, {1}, {0.5}), array(graph, {1}, {4})},
      BatchNormAttributes{1e-3, 1});
  Question question = question_for(y, {x}, fixed_target(graph, 0));
  question.seed = Question::Seed::tensor;
  question.seed_tensor = array(graph, {1, 3}, {1, 2, -1});
  const auto check = [&](const std::string& method, const std::vector<double>& expected) {
    const std::vector<double> input{1.5, -1, 0.25};
    const Tensor map = explain(method, question, {{"x", Tensor({1, 1, 3}, std::span<const double>(input))}});
    INFO(method);
    for (std::int64_t i = 0; i < 3; ++i)
      CHECK(std::abs(map.at(i) - expected[static_cast<std::size_t>(i)]) < 0.6e-7);
  };
  check("innvestigate.lrp.z", {0.8108026, 3.0770118, -0.4166536});
  check("innvestigate.lrp.z:bn_fuse=2", {0.9374890, 2.2222685, -0.7142475});
  check("innvestigate.lrp:rule=z,bn_layer_rule=bn.z(2)", {0.9374890, 2.2222685, -0.7142475});
  check("innvestigate.lrp:rule=z", {1.1538128, 1.6667187, -4.9962131});
  check("lrp.z", {1.1538129, 1.6667187, -4.9962530});
  check("innvestigate.lrp.flat", {1, 2, -1});
  check("innvestigate.lrp.w_square", {1, 2, -1});
  check("innvestigate.lrp.w_square:bn_fuse=2", {1, 2, -1});
  check("innvestigate.lrp.sequential_preset_a", {2 * 1.5 * 0.4999844 / (1.5 * 0.4999844 + 0.1750039), 0,
                                                 -2 * 0.25 * 0.4999844 / (0.25 * 0.4999844 + 0.1750039)});
}
