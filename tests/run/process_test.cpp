// Programs run where a host program may call them: in many threads at once, within its own parallel region,
// and after it forked.
#include <atomic>
#include <doctest/doctest.h>
#include <omp.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "rulegrad/api/explainer.hpp"
#include "rulegrad/api/network.hpp"
#include "rulegrad/support/error.hpp"

using namespace rulegrad;

namespace {

Model network() {
  Sequential net({B, 3, 24, 24});
  net.conv(16, {3, 3}).relu().max_pool({2, 2}).flatten().dense(64).relu().dense(5);
  return net.finish();
}

Tensor batch() {
  Tensor x(DType::float32, {6, 3, 24, 24});
  const auto values = x.mutable_values<float>();
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>(static_cast<int>(i * 7 % 23) - 11) / 11;
  return x;
}

struct Asked {
  Model model = network();
  Tensor x = batch();
  Explainer explainer{model, {"lrp.epsilon", "gradient"}};
  Tensor wanted = explainer.run(x, {.threads = 4}).attribution();

  [[nodiscard]] bool same(int threads) const {
    return identical(explainer.run(x, {.threads = threads}).attribution(), wanted);
  }
};

/// The exit code of `step` in a child of this process; 128 and more: it was ended, after a minute for
/// instance.
template <class F>
int in_child(F&& step) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    int code = 3;
    try {
      code = step();
    } catch (...) {
    }
    ::_exit(code);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

TEST_CASE(
    "a child of fork runs what its parent compiled and what it compiles itself, whatever threads the parent "
    "used") {
  const Asked asked;
  REQUIRE(asked.same(4));
  CHECK(in_child([&] { return asked.same(1) ? 0 : 1; }) == 0);
  CHECK(in_child([&] { return asked.same(4) && asked.same(0) ? 0 : 1; }) == 0);
  CHECK(in_child([&] {
          const Model own = network();
          return identical(Explainer(own, "lrp.epsilon").run(asked.x, {.threads = 3}).attribution(),
                           asked.wanted)
                     ? 0
                     : 1;
        }) == 0);
  // Threads that the child makes have teams of their own.
  CHECK(in_child([&] {
          bool same = false;
          std::thread([&] { same = asked.same(3); }).join();
          return same ? 0 : 1;
        }) == 0);
  // And a child of the child.
  CHECK(in_child([&] { return in_child([&] { return asked.same(2) ? 0 : 1; }); }) == 0);
  CHECK(asked.same(4));
}

TEST_CASE("64 threads run one program at once, each with a team of its own") {
  const Asked asked;
  std::atomic<int> same{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 64; ++i) threads.emplace_back([&, i] { same += asked.same(1 + i % 3) ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  CHECK(same == 64);
}

TEST_CASE("a call from within a parallel region of the caller gives the same bits, and the region goes on") {
  const Asked asked;
  std::atomic<int> same{0}, compiled{0};
  int members = 0;
#pragma omp parallel num_threads(4)
  {
#pragma omp single
    members = omp_get_num_threads();
    same += asked.same(2) ? 1 : 0;
    const Model own = network();
    compiled += identical(Explainer(own, "lrp.epsilon").run(asked.x).attribution(), asked.wanted) ? 1 : 0;
#pragma omp barrier
  }
  CHECK(same == members);
  CHECK(compiled == members);
}

TEST_CASE("more threads than any machine has are refused by name") {
  const Asked asked;
  for (const int threads : {-1, 1025, 100000, 2147483647})
    CHECK_THROWS_WITH_AS((void)asked.same(threads), doctest::Contains("threads"), Error);
}
