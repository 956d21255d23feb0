#include "support/usual_names.hpp"

#include <utility>

namespace rulegrad {
namespace {

// Names of papers and of other tools.
constexpr std::pair<std::string_view, std::string_view> elsewhere[] = {
    {"saliency", "gradient"},
    {"vanilla_gradient", "gradient"},
    {"gradients", "gradient"},
    {"gradient_times_input", "input_times_gradient"},
    {"gradient_x_input", "input_times_gradient"},
    {"input_x_gradient", "input_times_gradient"},
    {"ig", "integrated_gradients"},
    {"deeplift", "deeplift.rescale"},
    {"deep_lift", "deeplift.rescale"},
    {"deepshap", "deeplift_shap"},
    {"deep_lift_shap", "deeplift_shap"},
    {"guided_backpropagation", "guided_backprop"},
    {"deconvolution", "deconvnet"},
    {"deconv", "deconvnet"},
    {"gradcam", "grad_cam"},
    {"layercam", "layer_cam"},
    {"lrp", "lrp.epsilon"},
    {"deeptaylor", "deep_taylor"},
    {"smooth_grad", "smoothgrad"},
    {"relu6", "clip"},
    {"hardtanh", "clip"},
    {"clamp", "clip"},
    {"swish", "silu"},
    {"fully_connected", "dense"},
    {"gemm", "dense"},
    {"conv1d", "conv"},
    {"conv2d", "conv"},
    {"conv3d", "conv"},
    {"batchnorm", "batch_norm"},
    {"layernorm", "layer_norm"},
    {"rmsnorm", "rms_norm"},
    {"l2_normalize", "lp_normalize"},
    {"maxpool", "max_pool"},
    {"avgpool", "avg_pool"},
    {"averagepool", "avg_pool"},
    {"leakyrelu", "leaky_relu"},
    {"flatten", "reshape"},
};

}  // namespace

std::string folded(std::string_view name) {
  std::string result(name);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z')
      c = static_cast<char>(c - 'A' + 'a');
    else if (c == '-' || c == ' ')
      c = '_';
  }
  return result;
}

std::string_view usual_name(std::string_view name) {
  const std::string plain = folded(name);
  for (const auto& [other, ours] : elsewhere)
    if (other == plain) return ours;
  return {};
}

}  // namespace rulegrad
