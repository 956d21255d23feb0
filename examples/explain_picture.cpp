// Explains a picture: explain_picture MODEL.onnx PICTURE.png HEATMAP.png
#include <cstdio>

#include <rulegrad/rulegrad.hpp>

using namespace rulegrad;

int main(int argc, char** argv) try {
  if (argc != 4)
    return std::fprintf(stderr, "usage: explain_picture MODEL.onnx PICTURE.png HEATMAP.png\n"), 2;
  const Model model = load_onnx(argv[1]);
  const io::Picture picture = io::read_picture(argv[2]);
  const Shape& shape = model.inputs()[0].expr.shape();  // [B, channels, height, width]
  const io::Preprocessing recipe = io::preprocessing_from_name("unit");
  const Tensor x = io::to_input(picture, recipe, shape[2].factor, shape[3].factor, shape[1].factor);

  const Explanation got = Explainer(model, "lrp.epsilon_plus_flat").run(x);

  const std::int64_t answer = got.predictions()[0];
  std::printf("class %lld with score %.3f\n", static_cast<long long>(answer), got.scores().at(answer));
  const Tensor map = got.attribution().reshaped({shape[1].factor, shape[2].factor, shape[3].factor});
  io::write_png(argv[3], io::render(map, {.upscale = 0}));
  return 0;
} catch (const Error& error) {
  return std::fprintf(stderr, "explain_picture: %s\n", error.what()), 2;
}
