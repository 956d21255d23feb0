#include "runtime/kernels/onednn/bind.hpp"

#include "runtime/kernels/blocked/bind.hpp"
#include "runtime/kernels/onednn/conv.hpp"

namespace rulegrad::kernels::onednn {

void bind_all(Kernels& all) {
  blocked::bind_all(all);
  all.set("conv", conv(*all.at("conv")));
  all.set("conv_transpose", conv_transpose(*all.at("conv_transpose")));
  all.set("conv_weight_grad", conv_weight_grad(*all.at("conv_weight_grad")));
}

}  // namespace rulegrad::kernels::onednn
