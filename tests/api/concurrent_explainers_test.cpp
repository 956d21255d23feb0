// Explainers of one model made and run from several threads: scripts/sanitize.sh thread runs this under the
// thread sanitizer.
#include <array>
#include <doctest/doctest.h>
#include <exception>
#include <string>
#include <thread>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"

using namespace rulegrad;

namespace {

Model network() {
  Sequential net({B, 2, 8, 8});
  net.conv(8, {3, 3}).relu().max_pool({2, 2}).flatten().dense(12).relu().dense(4);
  return net.finish();
}

const std::vector<std::string>& methods() {
  static const std::vector<std::string> all{"gradient",           "lrp.epsilon",
                                            "lrp.alpha_2_beta_1", "guided_backprop",
                                            "deeplift.rescale",   "integrated_gradients:steps=4",
                                            "smoothgrad:n=3",     "lrp.z_plus"};
  return all;
}

Tensor batch() {
  Tensor x(DType::float32, {3, 2, 8, 8});
  for (std::size_t i = 0; i < static_cast<std::size_t>(x.size()); ++i)
    x.mutable_values<float>()[i] = static_cast<float>(static_cast<int>(i * 7 % 23) - 11) / 11;
  return x;
}

}  // namespace

TEST_CASE("many threads make explainers of one model and run them: each gets what one thread alone gets") {
  const Tensor x = batch();
  std::vector<Tensor> wanted;
  {
    const Model alone = network();
    for (const std::string& method : methods())
      wanted.push_back(Explainer(alone, method).run(x).attribution());
  }
  for (int round = 0; round < 5; ++round) {
    const Model shared = network();
    std::vector<Tensor> results(methods().size());
    std::vector<std::string> errors(methods().size());
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < methods().size(); ++i)
      threads.emplace_back([&, i] {
        try {
          results[i] = Explainer(shared, methods()[i]).run(x).attribution();
        } catch (const std::exception& error) {
          errors[i] = error.what();
        }
      });
    for (std::thread& thread : threads) thread.join();
    for (std::size_t i = 0; i < methods().size(); ++i) {
      CAPTURE(methods()[i]);
      CHECK(errors[i].empty());
      CHECK(identical(results[i], wanted[i]));
    }
  }
}

TEST_CASE("many threads make explainers of models of their own: what ships is read by all of them") {
  const Tensor x = batch();
  std::vector<Tensor> results(4);
  std::vector<std::thread> threads;
  for (Tensor& result : results)
    threads.emplace_back([&] {
      const Model own = network();
      result = Explainer(own, "lrp.alpha_2_beta_1").run(x).attribution();
    });
  for (std::thread& thread : threads) thread.join();
  for (const Tensor& result : results) CHECK(identical(result, results[0]));
}
