// A program that links rulegrad: loads a model, explains it with a rule of its own in C++ and one in text, checks the
// numbers. Without ONNX it builds the same network itself, and sees that the error names the option.
#include <rulegrad/dsl.hpp>
#include <rulegrad/rulegrad.hpp>

#include <cmath>
#include <cstdio>
#include <string>

using namespace rulegrad;

namespace {

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "explain: %s does not hold\n", what);
  std::exit(1);
}

bool have(std::string_view name) {
  for (const Feature& feature : features())
    if (feature.name == name) return feature.available;
  return false;
}

Model load(const char* path) {
  if (have("onnx")) return load_onnx(path);
  try {
    (void)load_onnx(path);
    require(false, "an error without ONNX");
  } catch (const Error& error) {
    require(error.code() == ErrorCode::missing_feature, "its code");
    require(std::string(error.what()).find("-Donnx=enabled") != std::string::npos, "its option");
  }
  return Sequential({B, 22}).dense(30).relu().dense(3).relu().dense(1).finish();
}

namespace mine {
using namespace rulegrad::dsl;
using namespace rulegrad::dsl::vars;
constexpr auto guided = rules("mine_in_cpp", rewrite(grad(relu(x), g), where(x > 0, max(g, 0), 0)));
}  // namespace mine

constexpr const char* text = R"(rulegrad 1
rules mine_in_text {
  grad(relu(x), g) => where(x > 0, max(g, 0), 0)
}
analyzer from_text {
  use mine_in_text
  default gradient
}
analyzer from_cpp {
  use mine_in_cpp
  default gradient
}
)";

}  // namespace

int main(int argc, char** argv) {
  require(argc == 2, "usage: explain MODEL.onnx");
  const Model model = load(argv[1]);
  Registry registry;
  registry.rules.add(lower(mine::guided));
  registry.rules.add_text(text, "mine.rules");

  Tensor x(DType::float32, {4, 22});
  for (std::size_t i = 0; i < 88; ++i) x.mutable_values<float>()[i] = std::sin(static_cast<float>(i));
  const Explainer explainer(model, {"from_text", "from_cpp", "guided_backprop", "gradient", "input_times_gradient"}, {.registry = &registry});
  const Explanation got = explainer.run(x);

  require(got.attribution("from_text").dims() == Dims{4, 22}, "the shape");
  require(identical(got.attribution("from_text"), got.attribution("from_cpp")), "text and C++ agree");
  require(identical(got.attribution("from_text"), got.attribution("guided_backprop")), "both are Guided Backprop");
  for (std::int64_t i = 0; i < 88; ++i)
    require(got.attribution("input_times_gradient").at(i) == static_cast<double>(x.values<float>()[static_cast<std::size_t>(i)] * got.attribution("gradient").values<float>()[static_cast<std::size_t>(i)]),
            "input times gradient");
  std::printf("rulegrad %s explains\n", std::string(version()).c_str());
}
