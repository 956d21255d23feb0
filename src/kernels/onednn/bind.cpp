#include "kernels/onednn/bind.hpp"

#include "kernels/blocked/bind.hpp"
#include "kernels/onednn/conv.hpp"
#include "kernels/onednn/matmul.hpp"

namespace rulegrad::kernels::onednn {

void bind_all(Kernels& all) {
  blocked::bind_all(all);
  all.set("dense", dense(*all.at("dense")));
  all.set("matmul", matmul(*all.at("matmul")));
  all.set("conv", conv(*all.at("conv")));
  all.set("conv_transpose", conv_transpose(*all.at("conv_transpose")));
  all.set("conv_weight_grad", conv_weight_grad(*all.at("conv_weight_grad")));
}

}  // namespace rulegrad::kernels::onednn
