// A rule in C++ beside the same rule from a file (docs/negative-values.md):
//   negative_values MODEL.onnx SAMPLES.npy FILE.rules METHOD
#include <algorithm>
#include <cstdio>
#include <exception>

#include "rulegrad/dsl.hpp"
#include "rulegrad/rulegrad.hpp"

namespace own {
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;
constexpr auto guided_tanh = rules("own.guided_tanh", rewrite(grad(y = tanh(x), g), vjp(y, max(g, 0))));
}  // namespace own

int main(int argc, char** argv) {
  using namespace rulegrad;
  if (argc != 5) {
    std::fprintf(stderr, "usage: negative_values MODEL.onnx SAMPLES.npy FILE.rules METHOD\n");
    return 2;
  }
  try {
    Registry registry;
    registry.rules.add(dsl::lower(own::guided_tanh));
    const char* analyzer = "rulegrad 1\nanalyzer own.guided_tanh { use own.guided_tanh  default gradient }\n";
    registry.rules.add_text(analyzer, "negative_values.cpp");
    registry.rules.add_file(argv[3]);
    const Model model = load_onnx(argv[1]);
    const Explainer explainer(model, {"own.guided_tanh", argv[4]}, {.registry = &registry});
    const Explanation got = explainer.run(io::read_npy(argv[2]).cast(DType::float32));
    const auto [least, largest] = std::ranges::minmax(got.attribution(0).values<float>());
    std::printf("the rule in C++: %.4f to %.4f\n", double{least}, double{largest});
    std::printf("%s from %s: %s\n", argv[4], argv[3],
                identical(got.attribution(0), got.attribution(1)) ? "the same, bit for bit" : "different");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "negative_values: error: %s\n", error.what());
    return 2;
  }
  return 0;
}
