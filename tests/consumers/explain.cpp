// A program that links rulegrad: loads a model, explains it with a rule of its own in C++ and one in text,
// checks the numbers. Without ONNX it builds the same network itself. What the library was built without is
// an error that names the option.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>

#include <rulegrad/dsl.hpp>
#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

namespace {

void require(bool holds, const std::string& what) {
  if (holds) return;
  std::fprintf(stderr, "explain: %s: does not hold\n", what.c_str());
  std::exit(1);
}

bool have(std::string_view name) {
  for (const Feature& feature : features())
    if (feature.name == name) return feature.available;
  return false;
}

/// What a build does not have is told with the option that turns it on.
template <class F>
void expect_missing(const std::string& feature, F&& use) {
  if (have(feature)) return;
  try {
    use();
    require(false, "an error without " + feature);
  } catch (const Error& error) {
    require(error.code() == ErrorCode::missing_feature, feature + ": the code of the error, " + error.what());
    require(std::string(error.what()).find("-D" + feature + "=enabled") != std::string::npos,
            feature + ": the option in '" + error.what() + "'");
  }
}

void use_what_is_missing(const char* model) {
  const Model made = Sequential({B, 2}).dense(1).finish();
  const Expr y = made.outputs()[0].expr;
  const std::pair<std::string, Tensor> array{"x", Tensor(DType::float32, {1})};
  expect_missing("onnx", [&] { (void)load_onnx(model); });
  expect_missing("onnx", [&] { (void)inspect_onnx(model); });
  expect_missing("onnx", [&] { save_onnx("never.onnx", std::span(&y, 1)); });
  expect_missing("png", [] { io::write_png("never.png", io::Picture(1, 1, 3)); });
  expect_missing("npz", [&] { io::write_npz("never.npz", std::span(&array, 1)); });
  // Pictures are told apart by how they begin.
  for (const auto& [feature, beginning] :
       {std::pair("png", "\x89PNG\r\n\x1a\n"), std::pair("jpeg", "\xff\xd8\xff\xe0")}) {
    std::ofstream("picture", std::ios::binary) << beginning;
    expect_missing(feature, [] { (void)io::read_picture("picture"); });
  }
  // Kernels of oneDNN are no function of their own: without them the portable ones run, and nothing is an
  // error.
  require(Kernels::best().find("conv") != nullptr, "there are kernels");
}

Model load(const char* path) {
  return have("onnx") ? load_onnx(path)
                      : Sequential({B, 22}).dense(30).relu().dense(3).relu().dense(1).finish();
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
  use_what_is_missing(argv[1]);
  const Model model = load(argv[1]);
  Registry registry;
  registry.rules.add(lower(mine::guided));
  registry.rules.add_text(text, "mine.rules");

  Tensor x(DType::float32, {4, 22});
  for (std::size_t i = 0; i < 88; ++i) x.mutable_values<float>()[i] = std::sin(static_cast<float>(i));
  const Explainer explainer(model,
                            {"from_text", "from_cpp", "guided_backprop", "gradient", "input_times_gradient"},
                            {.registry = &registry});
  const Explanation got = explainer.run(x);

  require(got.attribution("from_text").dims() == Dims{4, 22}, "the shape");
  require(identical(got.attribution("from_text"), got.attribution("from_cpp")), "text and C++ agree");
  require(identical(got.attribution("from_text"), got.attribution("guided_backprop")),
          "both are Guided Backprop");
  for (std::int64_t i = 0; i < 88; ++i)
    require(got.attribution("input_times_gradient").at(i) ==
                static_cast<double>(x.values<float>()[static_cast<std::size_t>(i)] *
                                    got.attribution("gradient").values<float>()[static_cast<std::size_t>(i)]),
            "input times gradient");
  std::printf("rulegrad %s explains\n", std::string(version()).c_str());
}
