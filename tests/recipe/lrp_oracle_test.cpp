// The LRP family on random networks against sums over single connections.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>

#include "rulegrad/recipe/analyzer.hpp"
#include "rulegrad/run/program.hpp"

#include "oracle/twin_network.hpp"

using namespace rulegrad;
using oracle::Layer;
using oracle::TwinNetwork;
using oracle::Vector;

namespace {

using AffineRule = std::function<Vector(const Layer&, std::size_t, const Vector&, const Vector&)>;

/// Several shapes of network: strides, padding (uneven, and as a node of its own), dilation, groups,
/// depthwise, one or two spatial axes, both poolings, global averages, batch norms that fold and that do not,
/// tanh, up to five layers.
TwinNetwork make_network(Graph& graph, std::uint64_t seed, bool with_bias) {
  TwinNetwork net(graph, seed, with_bias);
  switch (seed % 9) {
    case 0:
      net.input(7);
      net.dense(6), net.relu(), net.dense(5), net.relu(), net.dense(3);
      break;
    case 1:
      net.input(2, 8, 7);
      net.conv(4, 3, 1, 1, 1, 1), net.relu(), net.max_pool(2, 2), net.conv(4, 3, 2, 1, 1, 2), net.relu(),
          net.dense(3);
      break;
    case 2:
      net.input(3, 7, 7);
      net.conv(3, 3, 1, 1, 1, 3), net.tanh(), net.conv(5, 1, 1, 0, 1, 1), net.relu(), net.avg_pool(2, 2),
          net.dense(4), net.relu(), net.dense(3);
      break;
    case 3:
      net.input(1, 9, 9);
      net.conv(3, 3, 1, 0, 2, 1), net.relu(), net.max_pool(3, 1), net.dense(3);
      break;
    case 4:
      net.input(3, 11);
      net.conv(4, 3, 1, 1, 1, 1), net.relu(), net.conv(6, 3, 2, 1, 2, 2, 1), net.tanh(), net.global_average(),
          net.dense(3);
      break;
    case 5:
      net.input(2, 7, 7);
      net.conv(4, 3, 1, 1, 1, 1), net.batch_norm(true), net.relu(), net.conv(4, 3, 2, 1, 1, 4),
          net.batch_norm(true), net.relu(), net.dense(4), net.relu(), net.dense(3);
      break;
    case 6:
      net.input(2, 6, 6);
      net.padded_conv(3, 3, 1), net.relu(), net.batch_norm(false), net.conv(4, 2, 1, 0, 1, 1, 1), net.tanh(),
          net.global_average(), net.dense(3);
      break;
    case 7:
      net.input(5);
      net.dense(6), net.tanh(), net.dense(6), net.tanh(), net.dense(5), net.tanh(), net.dense(4), net.tanh(),
          net.dense(3);
      break;
    default:
      net.input(2, 6, 6);
      net.avg_pool(2, 1), net.conv(4, 3, 1, 1, 1, 1), net.relu(), net.conv(4, 3, 1, 1, 1, 1), net.relu(),
          net.dense(3);
      break;
  }
  return net;
}

double worst_error(const std::string& method, std::uint64_t seed, bool with_bias, double pool_epsilon,
                   const AffineRule& rule) {
  Graph graph(DType::float64);
  TwinNetwork net = make_network(graph, seed, with_bias);
  constexpr std::int64_t batch = 3;
  const std::size_t each = static_cast<std::size_t>(element_count(net.batch_dims(1)));
  const Vector values = net.draw(each * batch, 1);
  const Tensor x(net.batch_dims(batch), std::span<const double>(values));

  Question question{.output = net.y,
                    .explained = {net.x},
                    .target = graph.constant(Tensor({1}, {std::int64_t{1}})),
                    .seed_tensor = {}};
  const Analysis analysis = analyze(RuleLibrary::builtin(), AnalyzerCall::parse(method), question);
  const Tensor map = evaluate(analysis.attributions, {{"x", x}})[0];

  double worst = 0;
  for (std::size_t sample = 0; sample < batch; ++sample) {
    const Vector one(values.begin() + static_cast<std::ptrdiff_t>(sample * each),
                     values.begin() + static_cast<std::ptrdiff_t>((sample + 1) * each));
    const Vector expected = oracle::propagate(net.layers, one, 1, pool_epsilon, rule);
    double scale = 1e-12;
    for (const double v : expected) scale = std::max(scale, std::abs(v));
    for (std::size_t i = 0; i < each; ++i)
      worst = std::max(worst,
                       std::abs(map.at(static_cast<std::int64_t>(sample * each + i)) - expected[i]) / scale);
  }
  return worst;
}

void check_method(const std::string& method, double pool_epsilon, const AffineRule& rule) {
  for (std::uint64_t seed = 0; seed < 27; ++seed)
    for (const bool with_bias : {false, true}) {
      INFO(method, ", network ", seed, with_bias ? " with bias" : " without bias");
      CHECK(worst_error(method, seed, with_bias, pool_epsilon, rule) < 1e-9);
    }
}

}  // namespace

TEST_CASE("lrp.z agrees with sums over connections") {
  check_method("lrp.z", 0, [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_z(l, x, r);
  });
}

TEST_CASE("lrp.epsilon agrees with sums over connections") {
  check_method("lrp.epsilon", 1e-7, [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_epsilon(l, x, r, 1e-7);
  });
  check_method("lrp.epsilon:epsilon=0.25", 1e-6,
               [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
                 return oracle::lrp_epsilon(l, x, r, 0.25);
               });
}

TEST_CASE("lrp.gamma agrees with sums over connections") {
  check_method("lrp.gamma", 1e-6, [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_gamma(l, x, r, 0.25, 1e-6);
  });
  check_method("lrp.gamma:gamma=1,epsilon=0.01", 1e-6,
               [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
                 return oracle::lrp_gamma(l, x, r, 1, 0.01);
               });
}

TEST_CASE("lrp.epsilon_plus_flat uses flat first, z+ for convolutions and epsilon for dense layers") {
  check_method(
      "lrp.epsilon_plus_flat", 1e-6, [](const Layer& l, std::size_t index, const Vector& x, const Vector& r) {
        if (index == 0) return oracle::lrp_flat(l, x, r, 1e-6);
        return l.convolution ? oracle::lrp_z_plus(l, x, r, 1e-6) : oracle::lrp_epsilon(l, x, r, 1e-6);
      });
}

TEST_CASE("lrp.generalized_gamma agrees with sums over connections") {
  check_method("lrp.generalized_gamma", 1e-6,
               [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
                 return oracle::lrp_generalized_gamma(l, x, r, 0.25, 1e-6);
               });
  check_method("lrp.generalized_gamma:gamma=2,epsilon=1e-3", 1e-6,
               [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
                 return oracle::lrp_generalized_gamma(l, x, r, 2, 1e-3);
               });
}

TEST_CASE(
    "lrp.alpha_beta agrees with sums over connections: bias split or left out, empty parts filled or lost") {
  const auto rule = [](oracle::AlphaBeta how) {
    return [how](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
      return oracle::lrp_alpha_beta(l, x, r, how);
    };
  };
  check_method("lrp.alpha_beta", 1e-7, rule({}));
  check_method("lrp.alpha_beta:alpha=3,epsilon=0.01", 1e-6, rule({.alpha = 3, .beta = 2, .epsilon = 0.01}));
  check_method("lrp.alpha_2_beta_1:fill_empty=0", 1e-7, rule({.fill_empty = false}));
  check_method("lrp.alpha_2_beta_1:bias=0", 1e-7, rule({.bias = false}));
  check_method("lrp.alpha_1_beta_0", 1e-7, rule({.alpha = 1, .beta = 0}));
  check_method("lrp.alpha_1_beta_0:bias=0,fill_empty=0", 1e-7,
               rule({.alpha = 1, .beta = 0, .bias = false, .fill_empty = false}));
}

TEST_CASE("lrp.z_plus, lrp.w_square and lrp.flat agree with sums over connections") {
  check_method("lrp.z_plus", 1e-6, [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_z_plus(l, x, r, 1e-6);
  });
  check_method("lrp.w_square", 1e-6, [](const Layer& l, std::size_t, const Vector&, const Vector& r) {
    return oracle::lrp_w_square(l, {}, r, 1e-6);
  });
  check_method("lrp.flat", 1e-6, [](const Layer& l, std::size_t, const Vector&, const Vector& r) {
    return oracle::lrp_flat(l, {}, r, 1e-6);
  });
  check_method("lrp.norm", 1e-6, [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_epsilon(l, x, r, 1e-6);
  });
}

TEST_CASE("lrp.z_box takes the box at the model's input to the first layer") {
  const auto box = [](double low, double high) {
    return [=](const Layer& l, std::size_t index, const Vector& x, const Vector& r) {
      if (index > 0) return oracle::lrp_epsilon(l, x, r, 1e-6);
      return oracle::lrp_z_box(l, x, r, Vector(x.size(), low), Vector(x.size(), high), 1e-6);
    };
  };
  check_method("lrp.z_box", 1e-6, box(-1, 1));
  check_method("lrp.z_box:low=-4,high=3.5", 1e-6, box(-4, 3.5));
}

TEST_CASE("composites run each rule in the layers that they name") {
  const auto composite = [](AffineRule first, AffineRule convolution, AffineRule dense) {
    return [=](const Layer& l, std::size_t index, const Vector& x, const Vector& r) {
      return (index == 0 && first ? first : l.convolution ? convolution : dense)(l, index, x, r);
    };
  };
  const auto epsilon = [](double e) {
    return [e](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
      return oracle::lrp_epsilon(l, x, r, e);
    };
  };
  const auto alpha_beta = [](oracle::AlphaBeta how) {
    return [how](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
      return oracle::lrp_alpha_beta(l, x, r, how);
    };
  };
  const AffineRule z_plus = [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_z_plus(l, x, r, 1e-6);
  };
  const AffineRule flat = [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_flat(l, x, r, 1e-6);
  };
  const AffineRule gamma = [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_generalized_gamma(l, x, r, 0.25, 1e-6);
  };
  const AffineRule box = [&](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return l.convolution ? oracle::lrp_z_box(l, x, r, Vector(x.size(), -3), Vector(x.size(), 2), 1e-6)
                         : oracle::lrp_epsilon(l, x, r, 1e-6);
  };
  check_method("lrp.epsilon_plus", 1e-6, composite({}, z_plus, epsilon(1e-6)));
  check_method("lrp.epsilon_plus_flat:epsilon=0.1", 1e-6, composite(flat, z_plus, epsilon(0.1)));
  check_method("lrp.epsilon_alpha2_beta1", 1e-6, composite({}, alpha_beta({.epsilon = 1e-6}), epsilon(1e-6)));
  check_method("lrp.epsilon_alpha2_beta1_flat", 1e-6,
               composite(flat, alpha_beta({.epsilon = 1e-6}), epsilon(1e-6)));
  check_method("lrp.epsilon_gamma_box:low=-3,high=2", 1e-6, composite(box, gamma, epsilon(1e-6)));
  check_method("lrp.sequential_preset_a", 1e-6,
               composite({}, alpha_beta({.alpha = 1, .beta = 0}), epsilon(0.1)));
  check_method("lrp.sequential_preset_b", 1e-6, composite({}, alpha_beta({}), epsilon(0.1)));
  check_method("lrp.sequential_preset_a_flat", 1e-6,
               composite(flat, alpha_beta({.alpha = 1, .beta = 0}), epsilon(0.1)));
  check_method("lrp.sequential_preset_b_flat", 1e-6, composite(flat, alpha_beta({}), epsilon(0.1)));
  check_method("lrp.sequential_preset_b_flat_until:until=1", 1e-6,
               [&](const Layer& l, std::size_t index, const Vector& x, const Vector& r) {
                 return (index <= 1      ? flat
                         : l.convolution ? AffineRule(alpha_beta({}))
                                         : AffineRule(epsilon(0.1)))(l, index, x, r);
               });
}

TEST_CASE("the oracle itself tells rules apart") {
  const auto wrong = [](const Layer& l, std::size_t, const Vector& x, const Vector& r) {
    return oracle::lrp_epsilon(l, x, r, 0.3);
  };
  CHECK(worst_error("lrp.epsilon:epsilon=0.25", 1, true, 1e-6, wrong) > 1e-3);
}
