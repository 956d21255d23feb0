// Which layer class activation maps take where none is named.
#include <doctest/doctest.h>

#include "rulegrad/onnx/model.hpp"
#include "rulegrad/ops/op_attributes.hpp"

#include "rewrite/bench.hpp"
#include "shared_data.hpp"

using namespace rulegrad;
using namespace rulegrad::testing;

namespace {

struct Net {
  Graph graph{DType::float64};
  Draw draw{7};
  Expr x = graph.input("x", {DType::float64, Shape{B, 3, 12, 12}});

  Expr convolved(Expr from, std::int64_t channels, std::int64_t kernel, const std::string& name,
                 std::int64_t stride = 1) {
    ConvAttributes how;
    how.strides = {stride, stride};
    how.pads_begin = how.pads_end = {kernel / 2, kernel / 2};
    const Expr y =
        conv(from, draw.weight(graph, {channels, from.shape()[1].factor, kernel, kernel}), 0.0, how);
    graph.add_name(y, name);
    return y;
  }
  Expr named(Expr e, const std::string& name) {
    graph.add_name(e, name);
    return e;
  }
  Expr head(Expr map) { return dense(mean(map, {2, 3}), draw.weight(graph, {4, map.shape()[1].factor})); }
};

std::string layer_of(Expr output, const std::vector<Expr>& explained,
                     const std::string& method = "grad_cam") {
  const Analysis analysis =
      analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question_about(output, explained));
  std::string all;
  for (const std::string& note : analysis.notes) all += note + "\n";
  return all;
}

}  // namespace

TEST_CASE("the last map before global pooling, not the logits that are a 1 x 1 convolution behind it") {
  Net net;  // as MobileNetV2
  const Expr last = net.named(
      net.graph.apply(op("clip"), {net.convolved(net.x, 8, 3, "features")}, ClipAttributes{0, 6}), "relu6");
  const Expr logits = net.convolved(mean(last, {2, 3}, true), 4, 1, "logits");
  CHECK(layer_of(flatten(logits), {net.x}).find("layer = clip 'relu6'") != std::string::npos);
}

TEST_CASE("the concatenation or sum of a block's branches, not one of them") {
  Net net;  // as Inception, DenseNet, ResNet
  const Expr stem = relu(net.convolved(net.x, 4, 3, "stem"));
  const std::vector<Expr> branches{relu(net.convolved(stem, 4, 1, "a")),
                                   relu(net.convolved(relu(net.convolved(stem, 4, 1, "b1")), 6, 3, "b2"))};
  const Expr joined = net.named(concat(branches, 1), "joined");
  CHECK(layer_of(net.head(joined), {net.x}).find("layer = concat 'joined'") != std::string::npos);
  const Expr sum = net.named(relu(net.convolved(joined, 10, 3, "c") + joined), "sum");
  CHECK(layer_of(net.head(sum), {net.x}).find("layer = relu 'sum'") != std::string::npos);
  // Two heads that see different maps have the one before in common.
  const Expr both = net.head(joined) + net.head(relu(net.convolved(joined, 5, 3, "d")));
  CHECK(layer_of(both, {net.x}).find("layer = concat 'joined'") != std::string::npos);
}

TEST_CASE("the map before pooling, as it was") {
  Net net;  // as VGG
  const Expr last = net.named(relu(net.convolved(net.x, 4, 3, "c")), "r");
  const Expr pooled = max_pool(last, PoolAttributes{{2, 2}, {2, 2}});
  CHECK(layer_of(dense(relu(dense(flatten(pooled), net.draw.weight(net.graph, {5, 144}))),
                       net.draw.weight(net.graph, {2, 5})),
                 {net.x})
            .find("layer = relu 'r'") != std::string::npos);
}

TEST_CASE("the map below a detector's logits, of which a score is one element") {
  Net net;
  const Expr last = net.named(relu(net.convolved(net.x, 6, 3, "c", 2)), "r");
  const Expr logits = net.convolved(last, 10, 1, "logits");
  CHECK(layer_of(flatten(sigmoid(transpose(logits, {0, 2, 3, 1}))), {net.x}).find("layer = relu 'r'") !=
        std::string::npos);
}

TEST_CASE("where positions attend to each other there is no last map: it asks for a name") {
  Net net;  // as ViT
  const Expr patches = net.convolved(net.x, 8, 3, "patches", 3);
  const Expr tokens = transpose(reshape(patches, Shape{B, 8, 16}), {0, 2, 1});
  const auto projected = [&](Expr t) { return dense(t, net.draw.weight(net.graph, {8, 8})); };
  const Expr p = softmax(matmul(projected(tokens), projected(tokens), MatmulAttributes{false, true}), 2);
  const Expr y = dense(mean(tokens + matmul(p, projected(tokens)), {1}), net.draw.weight(net.graph, {2, 8}));
  const std::string said = error_of([&] { (void)layer_of(y, {net.x}); });
  CHECK(said.find("'layer' of grad_cam is the last convolutional feature map, but its positions go on in ") !=
        std::string::npos);
  CHECK(said.find("name a node, the last maps are 'patches'") != std::string::npos);
  CHECK(layer_of(y, {net.x}, "grad_cam:layer=patches").find("patches") != std::string::npos);
}

TEST_CASE("no convolution, no map") {
  Net net;
  const Expr y = dense(relu(dense(flatten(net.x), net.draw.weight(net.graph, {5, 432}))),
                       net.draw.weight(net.graph, {2, 5}));
  CHECK(error_of([&] {
          (void)layer_of(y, {net.x});
        }).find("this one has none that depends on 'x'; name a node") != std::string::npos);
}

TEST_CASE("two inputs through one backbone: each has the map of its own branch") {
  Net net;
  const Expr b = net.graph.input("b", {DType::float64, Shape{B, 3, 12, 12}});
  const Expr w = net.draw.weight(net.graph, {4, 3, 3, 3});
  const Expr map_a = net.named(relu(conv(net.x, w)), "map_a"), map_b = net.named(relu(conv(b, w)), "map_b");
  const Expr u = net.draw.weight(net.graph, {2, 8});
  const std::vector<Expr> ends{mean(map_a, {2, 3}), mean(map_b, {2, 3})};
  const Expr y = dense(concat(ends, 1), u);
  CHECK(layer_of(y, {net.x, b}) ==
        "layer = relu 'map_a' float64[B, 4, 10, 10]\nlayer = relu 'map_b' float64[B, 4, 10, 10]\n");
  const Inputs inputs{{"x", net.draw.tensor({2, 3, 12, 12})}, {"b", net.draw.tensor({2, 3, 12, 12})}};
  const std::vector<Tensor> both =
      maps(RuleLibrary::builtin(), "grad_cam", question_about(y, {net.x, b}), inputs);
  CHECK(distance(both[0], maps(RuleLibrary::builtin(), "grad_cam", question_about(y, {net.x}), inputs)[0]) ==
        0);
  CHECK(distance(both[1], maps(RuleLibrary::builtin(), "grad_cam", question_about(y, {b}), inputs)[0]) == 0);
  CHECK(distance(both[0], both[1]) > 0);
  // A layer of the other branch says nothing of an input.
  const std::string said = error_of([&] { (void)layer_of(y, {net.x, b}, "grad_cam:layer=map_a"); });
  CHECK(said.find("layer = relu 'map_a' float64[B, 4, 10, 10] does not depend on input 'b'") !=
        std::string::npos);
  // Where the branches meet in a map, the last one of each is before that.
  const std::vector<Expr> maps_of_both{map_a, map_b};
  const Expr met = net.head(net.named(relu(net.convolved(concat(maps_of_both, 1), 5, 3, "c")), "met"));
  CHECK(layer_of(met, {net.x, b}) ==
        "layer = relu 'map_a' float64[B, 4, 10, 10]\nlayer = relu 'map_b' float64[B, 4, 10, 10]\n");
  // And where they meet before the first, no map is one input's.
  const std::vector<Expr> pictures{net.x, b};
  const Expr early = net.head(net.named(relu(net.convolved(concat(pictures, 1), 5, 3, "e")), "mixed"));
  CHECK(
      error_of([&] {
        (void)layer_of(early, {net.x, b});
      }).find("'mixed' and all before it that is a map depends on other inputs than 'x' too; name a node") !=
      std::string::npos);
}
